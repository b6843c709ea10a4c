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
  if is_instance "$name"; then
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

# choose_instances [N]: as wished, else as many as there were; ends those beyond.
choose_instances() {
  local count=${1:-$(remembered_instances)} service n
  [[ $count =~ ^[1-$INSTANCES_MAX]$ ]] || fail "--instances takes 1 to $INSTANCES_MAX, not \"$count\""
  echo "$count" | put 644 "$VAR/instances"
  count_instances "$count"
  for service in "${SERVICES[@]}"; do
    for ((n = count + 1; n <= INSTANCES_MAX; n++)); do begin_stop "$service-$n" TERM; done
  done
  for service in "${SERVICES[@]}"; do
    for ((n = count + 1; n <= INSTANCES_MAX; n++)); do end_stop "$service-$n" 20; done
  done
}

verb_up() {
  local is_seeding=1 instances='' service
  while (($#)); do
    case $1 in
      --kind) KIND=${2:-} && shift ;;
      --kind=*) KIND=${1#*=} ;;
      --instances) instances=${2:-0} && shift ;;
      --instances=*) instances=${1#*=} ;;
      --no-seed) is_seeding= ;;
      *) fail "up does not know \"$1\"" '' './dev --help' ;;
    esac
    shift
  done
  check_kind "$KIND"
  lock_stack
  choose_instances "$instances"
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
  seed_accounts
  start_identity
  prepare_personal_keys
  wait_rabbitmq
  report rabbitmq
  for service in "${INSTANCES[@]}"; do start_service "$service"; done
  start_gateway
  for service in "${INSTANCES[@]}"; do
    wait_service "$service"
    report "$service" "$KIND"
  done
  wait_identity
  report identity "$DEMO_ACCOUNTS"
  wait_gateway
  report gateway "$GATEWAY_TLS_URL, $GATEWAY_URL${TLS_MADE:+; $TLS_MADE}"
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

  shop        $GATEWAY_TLS_URL/   its certificate is signed by ${CA_FILE#"$PWD"/}
  sign in     $GATEWAY_TLS_URL/shop/   mails land in ${VAR#"$PWD"/}/mail and, for operator1, at $JWT_ISSUER/operator/mail
  API         $GATEWAY_URL/api/v1/products
  API docs    $GATEWAY_TLS_URL/docs/
  RabbitMQ    http://127.0.0.1:$RABBITMQ_MANAGEMENT_PORT/   user gwasuwon, password: RABBITMQ_PASSWORD in ${VAR#"$PWD"/}/secrets.env
  database    ./dev psql

  demo accounts (a token for one: ./dev token buyer1; the password of all, and in ${VAR#"$PWD"/}/secrets.env: $DEMO_PASSWORD)
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
  count_instances "$INSTANCES_MAX"
  stop_gateway
  begin_stop identity TERM
  for service in "${INSTANCES[@]}"; do begin_stop "$service" TERM; done
  for service in "${INSTANCES[@]}"; do end_stop "$service" 20; done
  stop_identity
  begin_stop rabbitmq TERM
  stop_postgres
  stop_rabbitmq
  stop_epmd
  say down 'all stopped'
  [[ -n $wipe ]] || return 0
  [[ -e $VAR/.gwasuwon ]] || fail "$VAR does not look like a stack's folder: not deleted"
  refuge=$(readlink "$VAR/postgres" || true)
  [[ $refuge != /var/tmp/gwasuwon-* ]] || rm -rf "$refuge"
  for name in postgres rabbitmq nginx tls env keys mail log run ports.env secrets.env kind instances seeded; do rm -rf "${VAR:?}/$name"; done
  rm -f "$VAR/.gwasuwon" "$VAR/lock"
  rmdir "$VAR" 2>/dev/null || true # something of yours is in it: left alone
  say down "$VAR is wiped"
}

load_kind() { KIND=$(cat "$VAR/kind" 2>/dev/null || echo release); }

verb_start() {
  lock_stack
  load_stack
  check_component "${1:-}"
  load_kind
  component start "$1"
  component wait "$1"
  report "$1"
}

verb_stop() {
  local now=''
  if [[ ${1:-} == --now ]]; then
    now=now
    shift
  fi
  [[ ${2:-} == '' || $2 == --now ]] || fail "stop does not know \"$2\"" '' './dev --help'
  [[ -z ${2:-} ]] || now=now
  lock_stack
  load_stack
  check_component "${1:-}"
  component stop "$1" "$now"
  say "$1" 'stopped'
}

# One instance after the other: asked to end, waited for until it has drained, started, waited for until it is ready.
verb_rolling_restart() {
  local service name from_us
  local -a wanted=("${SERVICES[@]}")
  lock_stack
  load_stack
  load_kind
  if (($#)); then
    { [[ $# == 1 ]] && is_service "$1"; } || fail "rolling-restart knows no service \"$*\"" '' "there are: ${SERVICES[*]}"
    wanted=("$1")
  fi
  ((INSTANCE_COUNT > 1)) || say instances 'only one of each: requests that come while it is away are refused (./dev up --instances 2)'
  for service in "${wanted[@]}"; do
    for name in $(siblings_of "$service"); do
      from_us=${EPOCHREALTIME/[.,]/}
      stop_service "$name"
      say "$name" "drained in $(((${EPOCHREALTIME/[.,]/} - from_us) / 1000)) ms"
      start_service "$name"
      wait_service "$name"
      report "$name" "ready again after $(((${EPOCHREALTIME/[.,]/} - from_us) / 1000)) ms"
    done
  done
}
