# shellcheck shell=bash
# SPDX-License-Identifier: Apache-2.0
# The three services: environment from stack/env/, start, stop, readiness.
# Must never start a service with anything in its environment that its env file does not show.

# service_environment SERVICE: prints its variables. Templates first, then the caller's: ORDER_MANAGER_LOG_LEVEL=debug sets LOG_LEVEL there.
service_environment() {
  local name prefix
  SERVICE=$1
  SERVICE_SCHEMA=${SCHEMA[$1]}
  SERVICE_HTTP_PORT=$(port_of "$1" HTTP)
  SERVICE_GRPC_PORT=$(port_of "$1" GRPC)
  SERVICE_ADMIN_PORT=$(port_of "$1" ADMIN)
  name=${SERVICE_SCHEMA^^}_APP_PASSWORD
  SERVICE_PASSWORD=${!name}
  prefix=${1^^}
  prefix=${prefix//-/_}_
  {
    render "$ROOT/stack/env/common.env"
    render "$ROOT/stack/env/$1.env"
    [[ ! -e $ROOT/stack/env/$KIND.sanitizer.env ]] || render "$ROOT/stack/env/$KIND.sanitizer.env"
    for name in $(compgen -e "$prefix" || true); do
      echo "${name#"$prefix"}=${!name}"
    done
  } | sed '/^#/d; /^$/d' | awk -F= '{ if (!($1 in line)) order[++n] = $1; line[$1] = $0 } END { for (i = 1; i <= n; i++) print line[order[i]] }'
}

start_service() {
  local service=$1 binary sum file=$VAR/env/$1.env
  local -a environment
  binary=$(binary_of "$service")
  [[ -x $binary ]] || fail "$service is not built: no $binary" '' "./dev build $KIND"
  service_environment "$service" | put 600 "$file"
  sum=$(sum_of "$binary" "$file")
  if is_current "$service" "$sum"; then
    return
  fi
  ! is_alive "$service" || say "$service" 'its program or settings changed: restarting it'
  stop_service "$service"
  for kind in HTTP GRPC ADMIN; do require_free "$service ($kind)" "$(port_of "$service" "$kind")"; done
  mapfile -t environment <"$file"
  launch "$service" "$sum" env -i PATH=/usr/bin:/bin LANG=C.UTF-8 HOME="$VAR" "${environment[@]}" "$binary"
  STARTED["$service"]=1
}

wait_service() { wait_ready "$1" 60 curl -fsS -m 2 -o /dev/null "http://127.0.0.1:$(port_of "$1" ADMIN)/readyz"; }

stop_service() {
  begin_stop "$1" "$([[ ${2:-} == now ]] && echo KILL || echo TERM)"
  end_stop "$1" 20
}
