# shellcheck shell=bash
# SPDX-License-Identifier: Apache-2.0
# The instances of the three services: environment from stack/env/, start, stop, readiness.
# Must never start a service with anything in its environment that its env file does not show.

# addresses_of SERVICE KIND: prints where its instances listen, with commas between.
addresses_of() {
  local name text=''
  for name in $(siblings_of "$1"); do text+=${text:+,}127.0.0.1:$(port_of "$name" "$2"); done
  echo "$text"
}

# wishes_for INSTANCE: prints what the caller's environment sets: ORDER_MANAGER_LOG_LEVEL=debug sets LOG_LEVEL in each instance of
# order-manager, ORDER_MANAGER_2_LOG_LEVEL in the second alone. Ports are chosen by stack/ports.sh.
wishes_for() {
  local name prefix=${1^^}
  prefix=${prefix//-/_}_
  for name in $(compgen -e "$prefix" || true); do
    [[ ${name#"$prefix"} =~ ^([2-9]_|(HTTP|GRPC|ADMIN)_PORT$) ]] || echo "${name#"$prefix"}=${!name}"
  done
}

# service_environment INSTANCE: prints its variables. Templates first, then the caller's.
service_environment() {
  local name
  SERVICE=$(service_of "$1")
  SERVICE_SCHEMA=${SCHEMA[$SERVICE]}
  FRUIT_CATALOG_GRPC=$(addresses_of fruit-catalog GRPC)
  ORDER_MANAGER_GRPC=$(addresses_of order-manager GRPC)
  DELIVERY_MOCK_GRPC=$(addresses_of delivery-mock GRPC)
  SERVICE_HTTP_PORT=$(port_of "$1" HTTP)
  SERVICE_GRPC_PORT=$(port_of "$1" GRPC)
  SERVICE_ADMIN_PORT=$(port_of "$1" ADMIN)
  name=${SERVICE_SCHEMA^^}_APP_PASSWORD
  SERVICE_PASSWORD=${!name}
  {
    render "$ROOT/stack/env/common.env"
    render "$ROOT/stack/env/$SERVICE.env"
    [[ ! -e $ROOT/stack/env/$KIND.sanitizer.env ]] || render "$ROOT/stack/env/$KIND.sanitizer.env"
    wishes_for "$SERVICE"
    [[ $1 == "$SERVICE" ]] || wishes_for "$1"
  } | sed '/^#/d; /^$/d' | awk -F= '{ if (!($1 in line)) order[++n] = $1; line[$1] = $0 } END { for (i = 1; i <= n; i++) print line[order[i]] }'
}

start_service() {
  local service=$1 binary sum file=$VAR/env/$1.env
  local -a environment
  binary=$(binary_of "$(service_of "$service")")
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
