#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Form and contracts, without running anything of ours: ./dev lint calls it after all set-up. Every step runs, each failure shows its
# output. Must never change a file.
#
#   ./dev lint [STEP]...
set -uo pipefail
shopt -s nullglob

ROOT=${GWASUWON_ROOT:-$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)}
OUT=$ROOT/build/lint
BIN=$ROOT/node_modules/.bin
[[ ! -x $ROOT/build/tools/node/bin/node ]] || PATH=$ROOT/build/tools/node/bin:$PATH
# shellcheck source=tests/lib/python.sh
. "$ROOT/tests/lib/python.sh"
export REDOCLY_TELEMETRY=off REDOCLY_SUPPRESS_UPDATE_NOTICE=true

FAILED=()

# Files of the project by name; what git ignores is none.
files() { git ls-files --cached --others --exclude-standard -- "$@" | while IFS= read -r file; do [[ ! -f $file ]] || echo "$file"; done; }

step_openapi() { "$BIN/redocly" lint --config contracts/redocly.yaml contracts/openapi/*.yaml; }
step_asyncapi() { node tests/lib/asyncapi-lint.mjs contracts/asyncapi.yaml; }
step_proto() { "$BIN/buf" lint contracts/proto; }

# Every public header and page can be read by Doxygen: a warning is a failure.
step_docs() { "$ROOT/dev" docs; }

step_shell() {
  local -a scripts
  mapfile -t scripts < <(files '*.sh' dev .ci/run)
  shellcheck -x "${scripts[@]}"
}

step_javascript() {
  local file code=0
  while IFS= read -r file; do node --check "$file" || code=1; done < <(files '*.mjs' 'stack/**/*.js' 'web/**/*.js' 'identity/**/*.js')
  return "$code"
}

# What is generated for the two gateways is what deploy/gateway/routes.yaml says.
step_gateway() { node deploy/gateway/generate.mjs --check; }

step_json() {
  local file code=0
  while IFS= read -r file; do jq empty "$file" || { echo "$file"; code=1; }; done < <(files '*.json')
  return "$code"
}

step_format() {
  local -a sources
  mapfile -t sources < <(files '*.c' '*.h')
  clang-format --dry-run -Werror "${sources[@]}"
}

# The licence on the first line (or behind #!), and a comment that says what the file is for.
step_heads() {
  local file code=0
  while IFS= read -r file; do
    head -n 2 "$file" | grep -q 'SPDX-License-Identifier: Apache-2.0' || { echo "$file: no SPDX line at its head"; code=1; }
  done < <(files '*.c' '*.h' '*.mjs' '*.sh' '*.lua' dev .ci/run)
  return "$code"
}

step_gcc() { "$ROOT/dev" build release; }

# A build folder of its own: Meson fixes the compiler when the folder is made. With the named steps, so that their code is looked at too.
step_clang() {
  local -a again=()
  [[ ! -e build/clang/build.ninja ]] || again=(--reconfigure)
  CC=clang meson setup "${again[@]}" build/clang -Dbuildtype=debugoptimized -Db_ndebug=false -Db_lundef=false -Dpoints=true || return
  ninja -C build/clang
}

step_tidy() {
  local -a sources
  [[ -e build/clang/compile_commands.json ]] || step_clang || return
  mapfile -t sources < <(files ':(glob)chassis/src/**/*.c' ':(glob)services/*/*.c')
  printf '%s\n' "${sources[@]}" | xargs -P "$(nproc)" -n 4 clang-tidy --quiet -p build/clang 2>&1 | grep -v -E '^[0-9]+ warnings? (generated|treated)|^$' >"$OUT/tidy.found"
  ! grep -E 'error:|warning:' -A 8 "$OUT/tidy.found"
}

# Every state of the protocols' models, and the deliberate bugs that must be found in them: docs/model.md.
step_model() { model/check.sh; }

# The defences of the programs as they are built, and as an image takes them.
step_hardening() {
  local service
  local -a programs=() shipped=()
  "$ROOT/dev" build release || return
  rm -rf "$OUT/shipped"
  for service in fruit-catalog order-manager delivery-mock; do
    programs+=("build/release/services/$service/$service")
    shipped+=("$OUT/shipped/$service")
    deploy/images/split-debug.sh "${programs[-1]}" "$OUT/shipped" || return
  done
  node tests/hardening/binary.mjs "${programs[@]}" && node tests/hardening/binary.mjs --shipped "${shipped[@]}" &&
    node tests/hardening/binary.mjs --units build/release/compile_commands.json && node tests/hardening/licences.mjs
}

# Secrets that somebody is about to commit. The baseline has what only looks like one. Tests are full of made-up passwords and tokens: among them only
# what has the form of a real key counts.
step_secrets() {
  local home=$ROOT/build/tools/python code=0
  local -a product tests entropy=(--disable-plugin Base64HighEntropyString --disable-plugin HexHighEntropyString)
  python_tools "$home" tests/requirements.txt || return
  cp .secrets.baseline "$OUT/secrets.baseline" # the hook writes into its baseline when lines have moved, and ends with 3: nothing is new then
  mapfile -t product < <(files ':!tests' ':!*/tests/*' ':!package-lock.json' ':!.secrets.baseline')
  mapfile -t tests < <(files tests '*/tests/*' ':!tests/fuzz/corpus')
  "$home/bin/detect-secrets-hook" --baseline "$OUT/secrets.baseline" "${entropy[@]}" "${product[@]}" || (($? == 3)) || code=1
  "$home/bin/detect-secrets-hook" "${entropy[@]}" --disable-plugin KeywordDetector --disable-plugin BasicAuthDetector --disable-plugin JwtTokenDetector \
    "${tests[@]}" || code=1
  return "$code"
}

STEPS=(openapi asyncapi proto gateway shell javascript json heads docs format model gcc hardening secrets clang tidy)

main() {
  local step began
  local -a wanted=("$@")
  ((${#wanted[@]})) || wanted=("${STEPS[@]}")
  cd "$ROOT" || exit
  mkdir -p "$OUT"
  for step in "${wanted[@]}"; do
    [[ " ${STEPS[*]} " == *" $step "* ]] || {
      echo "lint: no step \"$step\"; there are: ${STEPS[*]}" >&2
      exit 2
    }
    began=$SECONDS
    if "step_$step" >"$OUT/$step.log" 2>&1; then
      printf '  ok    %-11s %3s s\n' "$step" $((SECONDS - began))
    else
      printf '  FAIL  %-11s %3s s\n' "$step" $((SECONDS - began))
      tail -n 60 "$OUT/$step.log" | sed 's/^/        /'
      FAILED+=("$step")
    fi
  done
  if ((${#FAILED[@]})); then
    echo "lint: failed: ${FAILED[*]}"
    exit 1
  fi
  echo "lint: ${#wanted[@]} steps passed"
}

main "$@"
