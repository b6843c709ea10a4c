# shellcheck shell=bash
# SPDX-License-Identifier: Apache-2.0
# Ports and passwords of this stack: chosen at the first start, kept in var/ so that they stay. Each port can be fixed by an
# environment variable of its name. Must never move a port that was handed out: status, tokens and tests rely on it.

PORT_NAMES=(GATEWAY_PORT GATEWAY_TLS_PORT
  FRUIT_CATALOG_HTTP_PORT FRUIT_CATALOG_GRPC_PORT FRUIT_CATALOG_ADMIN_PORT
  ORDER_MANAGER_HTTP_PORT ORDER_MANAGER_GRPC_PORT ORDER_MANAGER_ADMIN_PORT
  DELIVERY_MOCK_HTTP_PORT DELIVERY_MOCK_GRPC_PORT DELIVERY_MOCK_ADMIN_PORT
  IDENTITY_PORT IDENTITY_ADMIN_PORT
  POSTGRES_PORT RABBITMQ_PORT RABBITMQ_MANAGEMENT_PORT RABBITMQ_DIST_PORT EPMD_PORT)

SECRET_NAMES=(POSTGRES_PASSWORD CATALOG_OWNER_PASSWORD CATALOG_APP_PASSWORD ORDERS_OWNER_PASSWORD ORDERS_APP_PASSWORD
  DELIVERY_OWNER_PASSWORD DELIVERY_APP_PASSWORD IDENTITY_OWNER_PASSWORD IDENTITY_APP_PASSWORD IDENTITY_SECRET DEMO_PASSWORD
  RABBITMQ_PASSWORD RABBITMQ_COOKIE)

# port_names: prints the names of all ports that this stack needs: those of the first instances always, of further ones when there are any.
port_names() {
  local service n kind
  printf '%s\n' "${PORT_NAMES[@]}"
  for ((n = 2; n <= INSTANCE_COUNT; n++)); do
    for service in "${SERVICES[@]}"; do
      for kind in HTTP GRPC ADMIN; do port_name "$service-$n" "$kind"; done
    done
  done
}

# free_block COUNT USED: neighbouring free ports below the ephemeral range, so that no outgoing connection takes one meanwhile.
free_block() {
  local used try base offset
  used=" $2 $(ss -Htln | awk '{ sub(/.*:/, "", $4); printf "%s ", $4 }')"
  for ((try = 0; try < 200; try++)); do
    base=$((10000 + RANDOM % 550 * 40))
    for ((offset = 0; offset < $1; offset++)); do
      [[ $used != *" $((base + offset)) "* ]] || continue 2
    done
    echo "$base"
    return
  done
  fail 'found no block of free ports' '' 'ss -tln shows what listens; or fix the ports by environment, see stack/ports.sh'
}

# Makes var/ports.env and var/secrets.env when they are missing or lack a name; environment wins and is kept.
prepare_ports() {
  local -A wish=() kept=()
  local name value base='' text=''
  local -a names
  mapfile -t names < <(port_names)
  for name in "${names[@]}"; do
    [[ -z ${!name:-} ]] || wish[$name]=${!name}
  done
  if [[ -e $VAR/ports.env ]]; then
    while IFS='=' read -r name value; do kept[$name]=$value; done <"$VAR/ports.env"
  fi
  for name in "${!kept[@]}"; do # of an instance that this start does not have: it may come back
    [[ " ${names[*]} " == *" $name "* ]] || names+=("$name")
  done
  for name in "${names[@]}"; do
    value=${wish[$name]:-${kept[$name]:-}}
    if [[ -z $value ]]; then
      [[ -n $base ]] || base=$(free_block "${#names[@]}" "${kept[*]:-}")
      value=$base
      base=$((base + 1))
    fi
    if [[ ! $value =~ ^[1-9][0-9]{0,4}$ ]] || ((value > 65535)); then
      fail "$name=$value is no port (1 to 65535)"
    fi
    text+=$name=$value$'\n'
  done
  printf '%s' "$text" | put 644 "$VAR/ports.env"
  prepare_secrets
  load_stack
}

prepare_secrets() {
  local name salt
  if [[ -e $VAR/secrets.env ]]; then
    add_secrets
    return
  fi
  {
    for name in "${SECRET_NAMES[@]}"; do
      printf -v "$name" '%s' "$(openssl rand -hex 16)"
      echo "$name=${!name}"
    done
    # RabbitMQ's form: base64(salt + sha256(salt + password)); the salt is four letters here.
    salt=$(openssl rand -hex 2)
    echo "RABBITMQ_PASSWORD_HASH=$({
      printf '%s' "$salt"
      printf '%s' "$salt$RABBITMQ_PASSWORD" | openssl dgst -sha256 -binary
    } | base64 -w 0)"
  } | put 600 "$VAR/secrets.env"
}

# A stack that was made before a secret existed gets it now; the others stay.
add_secrets() {
  local name text
  text=$(<"$VAR/secrets.env")
  for name in "${SECRET_NAMES[@]}"; do
    [[ $'\n'$text == *$'\n'"$name="* ]] || text+=$'\n'$name=$(openssl rand -hex 16)
  done
  echo "$text" | put 600 "$VAR/secrets.env"
}

# Ports, secrets and what follows from them, as shell variables.
load_stack() {
  [[ -e $VAR/ports.env && -e $VAR/secrets.env ]] || fail "this stack was never started ($VAR)" '' './dev up'
  # shellcheck source=/dev/null
  . "$VAR/ports.env"
  # shellcheck source=/dev/null
  . "$VAR/secrets.env"
  count_instances "$(remembered_instances)"
  GATEWAY_URL=http://127.0.0.1:$GATEWAY_PORT
  GATEWAY_TLS_URL=https://localhost:$GATEWAY_TLS_PORT
  JWT_ISSUER=$GATEWAY_TLS_URL/auth
  POSTGRES_URI=postgresql://postgres:$POSTGRES_PASSWORD@127.0.0.1:$POSTGRES_PORT/gwasuwon
  RABBITMQ_URI=amqp://gwasuwon:$RABBITMQ_PASSWORD@127.0.0.1:$RABBITMQ_PORT/%2F
  export JWT_ISSUER
}

# port_name INSTANCE KIND: prints the name of its HTTP, GRPC or ADMIN port: ORDER_MANAGER_2_HTTP_PORT. port_of prints the port.
port_name() {
  local name=${1^^}
  echo "${name//-/_}_$2_PORT"
}

port_of() {
  local name
  name=$(port_name "$1" "$2")
  echo "${!name}"
}

# require_free NAME PORT: before a start, so that the message names the port instead of a log naming an errno.
require_free() {
  local holder
  holder=$(ss -Htlnp "sport = :$2" | head -n 1)
  [[ -z $holder ]] || fail "port $2, kept for $1, is taken by another program: ${holder##*users:}" '' \
    "stop that program, or give $1 another port: delete its line in $VAR/ports.env and run ./dev up"
}
