#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Every test that needs no cluster; ./dev test calls it after all set-up. Unit tests under AddressSanitizer and ThreadSanitizer, then the
# black-box, contract, Postman, browser and fault tests against a private stack of AddressSanitizer builds, made new each time.
# The last line is always "N passed, N failed". Must never touch another stack than its own, nor call a run good that left a report.
#
#   ./dev test [--keep] [unit|blackbox|contract|postman|browser|faults|chaos|points|fuzz|hardening|FILE]...
#
# Without names: all up to chaos. points, fuzz and hardening only by name.
#
# --keep leaves the stack up, and uses one that is up already. TESTS_VERBOSE=1 names each test. Reports: var/reports (JUnit XML).
set -uo pipefail

ROOT=${GWASUWON_ROOT:-$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)}
HOME_VAR=${GWASUWON_VAR:-$ROOT/var}
REPORTS=$HOME_VAR/reports
export GWASUWON_VAR=$HOME_VAR/test GWASUWON_REPORTS=$REPORTS GWASUWON_STATUS=$REPORTS/status.json
[[ ! -x $ROOT/build/tools/node/bin/node ]] || PATH=$ROOT/build/tools/node/bin:$PATH

# A stack for tests: lost holds are settled soon, and AddressSanitizer's quarantine does not hide growth.
export FRUIT_CATALOG_HOLD_TTL_S=5
ASAN='halt_on_error=1:abort_on_error=0:exitcode=99:detect_leaks=1:detect_stack_use_after_return=0:strict_string_checks=1:quarantine_size_mb=32'
export FRUIT_CATALOG_ASAN_OPTIONS=$ASAN ORDER_MANAGER_ASAN_OPTIONS=$ASAN DELIVERY_MOCK_ASAN_OPTIONS=$ASAN

SERVICES=(fruit-catalog order-manager delivery-mock)
PARTS=(unit blackbox contract postman browser faults chaos)
BY_NAME=(points fuzz hardening) # take minutes of their own and look at builds of their own: run when named, as .ci/run does
STACKLESS=(unit chaos points fuzz hardening) # need not the stack of the others
REPORT_MARK='ERROR: (Address|Leak|Thread)Sanitizer|WARNING: ThreadSanitizer|runtime error:|LeakSanitizer: detected'
PASSED=0
FAILED=0

say() { printf '%7ss  %s\n' "$SECONDS" "$*"; }

# check NAME COMMAND...: one more test, by its exit code.
check() {
  local name=$1
  shift
  if "$@"; then
    PASSED=$((PASSED + 1))
  else
    FAILED=$((FAILED + 1))
    echo "  FAIL  $name"
  fi
}

# counted NAME COMMAND...: shows what it prints; its last line "@ passed failed" is added up. Without that line it has failed.
counted() {
  local name=$1 line passed='' failed=''
  shift
  while IFS= read -r line; do
    if [[ $line =~ ^@\ ([0-9]+)\ ([0-9]+)$ ]]; then
      passed=${BASH_REMATCH[1]} failed=${BASH_REMATCH[2]}
    else
      printf '%s\n' "$line"
    fi
  done < <("$@" 2>&1)
  if [[ -z $passed ]]; then
    echo "  FAIL  $name broke off"
    passed=0 failed=1
  fi
  PASSED=$((PASSED + passed)) FAILED=$((FAILED + failed))
  say "$name: $passed passed, $failed failed"
}

# ---- unit tests ----------------------------------------------------------------------------------------------------------

unit_tests() {
  local kind=$1 folder=$ROOT/build/$1 out=$REPORTS/unit-$1
  rm -rf "$out"
  mkdir -p "$out"
  TESTS_OUT=$out meson test -C "$folder" --no-rebuild --wrapper "$ROOT/tests/lib/cmocka.sh" --logbase "testlog-$kind" >"$out/meson.log" 2>&1 # its log's name ends in the wrapper's
  node "$ROOT/tests/lib/unit-summary.mjs" "$folder/meson-logs/testlog-$kind-cmocka.sh.json" "$out" "$REPORT_MARK"
}

part_unit() {
  local kind
  for kind in asan tsan release; do
    check "the $kind build" "$ROOT/dev" build "$kind"
  done
  ASAN_OPTIONS=detect_leaks=1:exitcode=99 UBSAN_OPTIONS=halt_on_error=1:print_stacktrace=1 counted 'unit tests, AddressSanitizer' unit_tests asan
  TSAN_OPTIONS=halt_on_error=0:exitcode=99:second_deadlock_stack=1 counted 'unit tests, ThreadSanitizer' unit_tests tsan
}

# ---- the stack -----------------------------------------------------------------------------------------------------------

is_up() { "$ROOT/dev" status >/dev/null 2>&1; }

stack_up() {
  if [[ -n $KEEP ]] && is_up; then
    say 'stack: it is up'
  else
    "$ROOT/dev" down --wipe >"$REPORTS/down.log" 2>&1 || true
    "$ROOT/dev" up --kind asan >"$REPORTS/up.log" 2>&1 || {
      tail -n 40 "$REPORTS/up.log"
      return 1
    }
    say 'stack: up'
  fi
  "$ROOT/dev" status --json >"$GWASUWON_STATUS"
}

has_no_report() { ! grep -E -m 1 -A 25 "$REPORT_MARK" "$GWASUWON_VAR/log/$1.log"; }
has_ended_well() { tail -n 20 "$GWASUWON_VAR/log/$1.log" | grep -q '"drain.done"'; }
down_in_time() { "$ROOT/dev" down >"$REPORTS/down.log" 2>&1 && ! grep 'did not stop' "$REPORTS/down.log"; }

# processes: prints the services and their further instances, as far as they were ever started.
processes() {
  local service n
  for service in "${SERVICES[@]}"; do
    echo "$service"
    for n in 2 3; do [[ ! -e $GWASUWON_VAR/log/$service-$n.log ]] || echo "$service-$n"; done
  done
}

stack_down() {
  local service
  if [[ -z $KEEP ]]; then
    check 'the stack stops in time' down_in_time
    for service in $(processes); do check "$service ended its drain" has_ended_well "$service"; done
  fi
  for service in $(processes); do check "$service left no sanitizer report" has_no_report "$service"; done
}

# ---- tests against the stack ---------------------------------------------------------------------------------------------

# node_tests NAME CONCURRENCY FILE...
node_tests() {
  local name=$1 concurrency=$2
  shift 2
  timeout --kill-after=10 1200 node --test --test-concurrency="$concurrency" \
    --test-reporter="$ROOT/tests/lib/reporter.mjs" --test-reporter-destination=stdout \
    --test-reporter=junit --test-reporter-destination="$REPORTS/$name.xml" "$@"
}

part_blackbox() { counted 'black-box tests' node_tests blackbox 3 "$ROOT"/tests/blackbox/*.test.mjs; }
part_contract() { counted 'contract tests' node_tests contract 2 "$ROOT"/tests/contract/*.test.mjs; }
part_postman() { counted 'Postman collection' node "$ROOT/tests/postman/run.mjs" "$REPORTS/postman.xml"; }
part_faults() { counted 'fault tests' node_tests faults 1 "$ROOT"/tests/faults/*.test.mjs; }

# Against a stack of its own, of release builds: crashes are met at the speed that users see.
part_chaos() {
  counted 'the checker of chaos' node_tests chaos 1 "$ROOT"/tests/chaos/*.test.mjs
  counted 'chaos' env GWASUWON_VAR="$HOME_VAR" node "$ROOT/tests/chaos/run.mjs" --minutes 3 --counted
}
part_points() {
  check 'the build with steps' "$ROOT/dev" build points
  check 'a step does what it is told' "$ROOT/build/points/chassis/tests/test_point"
  counted 'named steps' env -u GWASUWON_STATUS GWASUWON_VAR="$HOME_VAR" node "$ROOT/tests/chaos/points.mjs" --counted
}

part_fuzz() {
  check 'the build of the fuzzers' "$ROOT/dev" build fuzz
  counted 'fuzzers' env GWASUWON_VAR="$HOME_VAR" node "$ROOT/tests/fuzz/run.mjs" --counted
}

# What was built, and from what: defences of the programs, licences, the bill of materials.
part_hardening() {
  check 'the release build' "$ROOT/dev" build release
  counted 'hardening' node_tests hardening 2 "$ROOT"/tests/hardening/*.test.mjs
}

part_files() { counted 'chosen tests' node_tests chosen 1 "${FILES[@]}"; }

part_browser() {
  if [[ -z ${CHROMIUM:-} ]] && ! command -v chromium >/dev/null; then
    check 'Chromium is installed' install_browser
  fi
  counted 'browser tests' node_tests browser 1 "$ROOT"/tests/browser/*.test.mjs
}

# By the functions that ./dev installs with.
install_browser() (
  set -e
  # shellcheck source=stack/lib.sh
  . "$ROOT/stack/lib.sh"
  # shellcheck source=stack/install.sh
  . "$ROOT/stack/install.sh"
  install_packages "$ROOT/tests/packages.apt"
)

# ---- all of it -----------------------------------------------------------------------------------------------------------

finish() {
  printf '%s passed, %s failed\n' "$PASSED" "$FAILED"
  ((FAILED == 0 && PASSED > 0)) || exit 1
}

main() {
  local argument part needs_stack=''
  local -a wanted=()
  KEEP='' FILES=()
  for argument in "$@"; do
    if [[ $argument == --keep ]]; then
      KEEP=1
    elif [[ " ${PARTS[*]} ${BY_NAME[*]} " == *" $argument "* ]]; then
      wanted+=("$argument")
    elif [[ -f $argument ]]; then
      FILES+=("$(realpath "$argument")")
    else
      echo "tests: no part or file \"$argument\"; parts: ${PARTS[*]}; by name only: ${BY_NAME[*]}" >&2
      FAILED=1
      finish
    fi
  done
  ((${#FILES[@]} == 0)) || wanted+=(files)
  ((${#wanted[@]})) || wanted=("${PARTS[@]}")
  mkdir -p "$REPORTS"
  cd "$ROOT" || exit
  for part in "${wanted[@]}"; do
    if [[ " ${STACKLESS[*]} " == *" $part "* ]]; then
      "part_$part"
      continue
    fi
    if [[ -z $needs_stack ]]; then
      needs_stack=1
      check 'the stack comes up' stack_up
      ((FAILED == 0)) || is_up || finish
    fi
    "part_$part"
  done
  [[ -z $needs_stack ]] || stack_down
  finish
}

main "$@"
