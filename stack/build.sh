# shellcheck shell=bash
# SPDX-License-Identifier: Apache-2.0
# Builds the C part with Meson, one folder a kind under build/. Must never reconfigure a folder that is right.

declare -A BUILD_OPTIONS=(
  [release]='-Dbuildtype=debugoptimized -Db_ndebug=false -Dpoints=false -Dmutant=none'
  [asan]='-Dbuildtype=debugoptimized -Db_ndebug=false -Db_sanitize=address,undefined -Db_lundef=false'
  [tsan]='-Dbuildtype=debugoptimized -Db_ndebug=false -Db_sanitize=thread -Db_lundef=false'
  [points]='-Dbuildtype=debugoptimized -Db_ndebug=false -Dpoints=true -Dmutant=none'
  [fuzz]='-Dbuildtype=debugoptimized -Db_ndebug=false -Db_sanitize=address,undefined -Db_lundef=false -Dfuzz=true'
)

# gcc's ThreadSanitizer takes a millisecond and a half for each fiber, clang's a fiftieth of that.
declare -A BUILD_COMPILER=([release]=cc [asan]=cc [tsan]=clang [points]=cc [fuzz]=clang)

# What `./dev build KIND` makes when it is not everything.
declare -A BUILD_TARGETS=([fuzz]=fuzz)

check_kind() { [[ -n ${BUILD_OPTIONS[$1]:-} ]] || fail "no build kind \"$1\"; there are: ${!BUILD_OPTIONS[*]}"; }

binary_of() { echo "${GWASUWON_BUILD:-$ROOT/build/$KIND}/services/$1/$1"; }

# A build with a deliberate bug (-Dmutant) runs where steps are tested, and nowhere else.
refuse_mutant() {
  local service binary
  [[ $1 != points ]] || return 0
  for service in "${SERVICES[@]}"; do
    binary=$GWASUWON_BUILD/services/$service/$service
    [[ ! -x $binary || $("$binary" --version) != *MUTANT* ]] || fail "$binary is built with a deliberate bug" '' './dev up --kind points takes it, no other kind'
  done
}

# build KIND [TARGET...]: everything, or just the targets. GWASUWON_BUILD=<folder> names one that is built already.
build() {
  local kind=$1 folder=$ROOT/build/$1 log=$ROOT/build/$1.log
  shift
  local -a options
  if [[ -n ${GWASUWON_BUILD:-} ]]; then
    refuse_mutant "$kind"
    BUILT="taken from $GWASUWON_BUILD"
    return
  fi
  read -r -a options <<<"${BUILD_OPTIONS[$kind]}"
  mkdir -p "$ROOT/build"
  exec 8>"$ROOT/build/$kind.lock"
  flock 8
  if [[ ! -e $folder/build.ninja ]]; then
    run_logged build "$log" env CC="${BUILD_COMPILER[$kind]}" meson setup "$folder" "$ROOT" "${options[@]}" || build_failed "$kind" "$log"
  elif [[ ! -e $folder/.options || $(<"$folder/.options") != "${options[*]}" ]]; then
    # Not meson configure: a folder made before an option existed would not know it.
    run_logged build "$log" meson setup --reconfigure "$folder" "$ROOT" "${options[@]}" || build_failed "$kind" "$log"
  fi
  echo "${options[*]}" >"$folder/.options"
  run_logged build "$log" ninja -C "$folder" "$@" || build_failed "$kind" "$log"
  exec 8>&-
  # ninja's last line says how much there was to do.
  BUILT=$(tail -n 1 "$log")
}

# Two compilers end at different times: the first error is rarely at the end of the log.
build_failed() {
  local errors=$ROOT/build/$1.errors
  grep -E -A 3 '(: (fatal )?error:|undefined reference|^ERROR:|^ninja: error|meson.build:[0-9]+:)' "$2" | head -n 15 >"$errors" || cp "$2" "$errors"
  say build "the whole log is $2"
  fail "the $1 build failed" "$errors" "mend what it names, run ./dev build $1"
}

build_services() {
  local -a targets=()
  local service
  for service in "${SERVICES[@]}"; do targets+=("services/$service/$service"); done
  build "$KIND" "${targets[@]}"
  case $BUILT in
    *'no work to do'*) BUILT="$KIND is up to date" ;;
    '['*) BUILT="$KIND built" ;;
  esac
}
