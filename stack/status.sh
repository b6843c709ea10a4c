# shellcheck shell=bash
# SPDX-License-Identifier: Apache-2.0
# The verbs that only look: status, logs. Must never change a stack.

pid_or_null() { pid_of "$1" || echo null; }

status_json() {
  local service schema
  {
    for service in "${INSTANCES[@]}"; do
      jq -n --arg name "$service" --arg http "http://127.0.0.1:$(port_of "$service" HTTP)" --arg grpc "127.0.0.1:$(port_of "$service" GRPC)" \
        --arg admin "http://127.0.0.1:$(port_of "$service" ADMIN)" --argjson pid "$(pid_or_null "$service")" \
        '{services: {($name): {$http, $grpc, $admin, $pid}}}'
    done
    for service in "${SERVICES[@]}" identity; do
      schema=${SCHEMA[$service]}
      # Passwords by the environment: anybody may read a process's arguments.
      OWNER_URI=$(role_uri "$service" owner) APP_URI=$(role_uri "$service" app) jq -n --arg owner "${schema}_owner" --arg app "${schema}_app" \
        '{postgres: {roles: {($owner): env.OWNER_URI, ($app): env.APP_URI}}}'
    done
    POSTGRES_URI=$POSTGRES_URI AMQP=$RABBITMQ_URI MANAGEMENT="http://gwasuwon:$RABBITMQ_PASSWORD@127.0.0.1:$RABBITMQ_MANAGEMENT_PORT" \
      jq -n --arg gateway "$GATEWAY_URL" --arg gatewayTls "$GATEWAY_TLS_URL" --arg caFile "$CA_FILE" --arg issuer "$JWT_ISSUER" --argjson postgres_pid "$(pid_or_null postgres)" \
      --argjson rabbitmq_pid "$(pid_or_null rabbitmq)" --arg identity "http://127.0.0.1:$IDENTITY_PORT" --arg identity_admin "http://127.0.0.1:$IDENTITY_ADMIN_PORT" \
      --argjson identity_pid "$(pid_or_null identity)" --arg var "$VAR" --arg kind "$KIND" --slurpfile directory "$ROOT/stack/accounts.json" \
      '{$gateway, $gatewayTls, $caFile, $issuer, postgres: {uri: env.POSTGRES_URI, pid: $postgres_pid}, rabbitmq: {amqp: env.AMQP, management: env.MANAGEMENT, pid: $rabbitmq_pid},
        identity: {http: $identity, admin: $identity_admin, pid: $identity_pid},
        accounts: [$directory[0].accounts[] | {name, role, sub, farmId: (.farmId // null)}], $kind, $var}'
  } | jq -s 'reduce .[] as $part ({}; . * $part) | {gateway, gatewayTls, caFile, services, postgres, rabbitmq, identity, issuer, accounts, kind, var}'
}

status_text() {
  local name pid where code=0
  local -A port=([postgres]=$POSTGRES_PORT [rabbitmq]=$RABBITMQ_PORT [gateway]="$GATEWAY_TLS_PORT and $GATEWAY_PORT"
    [identity]="$IDENTITY_PORT  admin $IDENTITY_ADMIN_PORT")
  for name in "${COMPONENTS[@]}"; do
    if is_instance "$name"; then
      where="http $(port_of "$name" HTTP)  grpc $(port_of "$name" GRPC)  admin $(port_of "$name" ADMIN)"
    else
      where="port ${port[$name]}"
    fi
    if pid=$(pid_of "$name"); then
      printf '  %-16s runs     pid %-8s %s\n' "$name" "$pid" "$where"
    else
      printf '  %-16s STOPPED               %s\n' "$name" "$where"
      code=3 IS_EXPLAINED=1
    fi
  done
  printf '\n  gateway %s   %s   API docs %s/docs/\n  certificates are signed by %s   state %s\n' "$GATEWAY_TLS_URL" "$GATEWAY_URL" "$GATEWAY_TLS_URL" "$CA_FILE" "$VAR"
  return "$code"
}

verb_status() {
  load_stack
  load_kind
  case ${1:-} in
    '') status_text ;;
    --json) status_json ;;
    *) fail "status does not know \"$1\"" '' './dev --help' ;;
  esac
}

verb_logs() {
  local follow='' name
  count_instances "$(remembered_instances)"
  local -a files=()
  if [[ ${1:-} == -f ]]; then
    follow=-F
    shift
  fi
  if (($#)); then
    for name in "$@"; do
      check_component "$name"
      files+=("$LOGS/$name.log")
    done
  else
    for name in "${COMPONENTS[@]}"; do [[ ! -e $LOGS/$name.log ]] || files+=("$LOGS/$name.log"); done
    ((${#files[@]})) || fail "there are no logs in $LOGS yet" '' './dev up'
  fi
  exec tail -n "$( ((${#files[@]} > 1)) && echo 30 || echo 200)" ${follow:+"$follow"} "${files[@]}"
}
