# shellcheck shell=bash
# SPDX-License-Identifier: Apache-2.0
# The verbs that change what runs: up, down, start, stop. Must leave what is already right untouched, and be repeatable at any point.

declare -A STARTED=() # components this run has started
KIND=release
MIGRATED=0

# start_<component>, wait_<component>, stop_<component>: the same three verbs for all.
component() {
  local verb=$1 name=$2
  shift 2
  if [[ -n ${SCHEMA[$name]:-} ]]; then
    "${verb}_service" "$name" "$@"
  else
    "${verb}_$name" "$@"
  fi
}

check_component() {
  local name
  for name in "${COMPONENTS[@]}"; do
    [[ $name != "${1:-}" ]] || return 0
  done
  fail "no part \"${1:-}\"" '' "there are: ${COMPONENTS[*]}"
}

report() {
  local state=runs
  [[ -z ${STARTED[$1]:-} ]] || state=started
  say "$1" "$state${2:+, $2}"
}

verb_up() {
  local is_seeding=1 service
  while (($#)); do
    case $1 in
      --kind) KIND=${2:-} && shift ;;
      --kind=*) KIND=${1#*=} ;;
      --no-seed) is_seeding= ;;
      *) fail "up does not know \"$1\"" '' './dev --help' ;;
    esac
    shift
  done
  check_kind "$KIND"
  lock_stack
  prepare_machine
  prepare_ports
  echo "$KIND" | put 644 "$VAR/kind"
  # The slow starter first; the build and the database need not wait for it.
  start_rabbitmq
  start_postgres
  build_services
  say build "$BUILT"
  wait_postgres
  prepare_roles
  migrate
  report postgres "$( ((MIGRATED)) && echo "$MIGRATED migrations applied" || echo 'schemas are up to date')"
  say keys "$(node "$ROOT/stack/keys.mjs" init 9>&-)"
  wait_rabbitmq
  report rabbitmq
  for service in "${SERVICES[@]}"; do start_service "$service"; done
  start_gateway
  for service in "${SERVICES[@]}"; do
    wait_service "$service"
    report "$service" "$KIND"
  done
  wait_gateway
  report gateway "$GATEWAY_URL"
  [[ -z $is_seeding ]] || seed_once
  welcome
}

# The seed runs once a database, and again when the seed itself has changed.
seed_once() {
  local sum
  [[ -e $ROOT/stack/seed.mjs ]] || return 0
  sum=$(find "$ROOT/stack/seed.mjs" "$ROOT/stack/seed" -type f -print0 | sort -z | xargs -0 cat "$ROOT/stack/accounts.json" | sum_of)
  if [[ -e $VAR/seeded && $(<"$VAR/seeded") == "$sum" ]]; then
    say seed 'is there'
    return
  fi
  run_logged seed "$LOGS/seed.log" node "$ROOT/stack/seed.mjs" || fail 'the seed could not be laid' "$LOGS/seed.log" \
    'the shop runs, but may be empty: read the log, then run ./dev seed'
  echo "$sum" >"$VAR/seeded"
  say seed 'laid'
}

welcome() {
  cat <<TEXT

Gwasuwon (과수원) is up after $(elapsed) s.

  shop        $GATEWAY_URL/
  API         $GATEWAY_URL/api/v1/products
  API docs    $GATEWAY_URL/docs/
  RabbitMQ    http://127.0.0.1:$RABBITMQ_MANAGEMENT_PORT/   user gwasuwon, password: RABBITMQ_PASSWORD in ${VAR#"$PWD"/}/secrets.env
  database    ./dev psql

  demo accounts (a token for one: ./dev token buyer1)
$(jq -r '.accounts[] | "    \(.name)\t\(.role)\(if .farmId then ", farm \(.farmId)" else "" end)"' "$ROOT/stack/accounts.json" | expand -t 16)
TEXT
}

verb_down() {
  local wipe='' name service refuge
  case ${1:-} in
    '') ;;
    --wipe) wipe=1 ;;
    *) fail "down does not know \"$1\"" '' './dev --help' ;;
  esac
  if [[ ! -d $VAR ]]; then
    say down 'nothing runs'
    return
  fi
  lock_stack
  stop_gateway
  for service in "${SERVICES[@]}"; do begin_stop "$service" TERM; done
  for service in "${SERVICES[@]}"; do end_stop "$service" 20; done
  begin_stop rabbitmq TERM
  stop_postgres
  stop_rabbitmq
  stop_epmd
  say down 'all stopped'
  [[ -n $wipe ]] || return 0
  [[ -e $VAR/.gwasuwon ]] || fail "$VAR does not look like a stack's folder: not deleted"
  refuge=$(readlink "$VAR/postgres" || true)
  [[ $refuge != /var/tmp/gwasuwon-* ]] || rm -rf "$refuge"
  for name in postgres rabbitmq nginx env keys log run ports.env secrets.env kind seeded; do rm -rf "${VAR:?}/$name"; done
  rm -f "$VAR/.gwasuwon" "$VAR/lock"
  rmdir "$VAR" 2>/dev/null || true # something of yours is in it: left alone
  say down "$VAR is wiped"
}

load_kind() { KIND=$(cat "$VAR/kind" 2>/dev/null || echo release); }

verb_start() {
  check_component "${1:-}"
  lock_stack
  load_stack
  load_kind
  component start "$1"
  component wait "$1"
  report "$1"
}

verb_stop() {
  check_component "${1:-}"
  [[ ${2:-} == '' || $2 == --now ]] || fail "stop does not know \"$2\"" '' './dev --help'
  lock_stack
  component stop "$1" "${2:+now}"
  say "$1" 'stopped'
}
