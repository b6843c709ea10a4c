# shellcheck shell=bash
# SPDX-License-Identifier: Apache-2.0
# The stack's own RabbitMQ: a node on loopback with ports, data, cookie and epmd of its own.
# Must never use Debian's node, its configuration in /etc/rabbitmq, nor the machine's epmd.

RABBITMQ_BIN=/usr/lib/rabbitmq/bin
RABBITMQ_DIR=$VAR/rabbitmq

# rabbitmq_env COMMAND...: runs it with this node's environment and nothing else of ours.
rabbitmq_env() {
  env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin LANG=C.UTF-8 HOME="$RABBITMQ_DIR" \
    ERL_EPMD_PORT="$EPMD_PORT" ERL_EPMD_ADDRESS=127.0.0.1 ERL_CRASH_DUMP="$LOGS/erl_crash.dump" \
    RABBITMQ_NODENAME="gwasuwon$RABBITMQ_PORT@localhost" \
    RABBITMQ_DIST_PORT="$RABBITMQ_DIST_PORT" \
    RABBITMQ_CONF_ENV_FILE=/dev/null \
    RABBITMQ_CONFIG_FILE="$RABBITMQ_DIR/rabbitmq.conf" \
    RABBITMQ_ADVANCED_CONFIG_FILE="$RABBITMQ_DIR/none.config" \
    RABBITMQ_ENABLED_PLUGINS_FILE="$RABBITMQ_DIR/enabled_plugins" \
    RABBITMQ_MNESIA_BASE="$RABBITMQ_DIR/data" \
    RABBITMQ_LOG_BASE="$LOGS" \
    RABBITMQ_GENERATED_CONFIG_DIR="$RABBITMQ_DIR/generated" \
    RABBITMQ_PID_FILE="$RABBITMQ_DIR/pid" \
    RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS='+S 1:1 +A 16 +sbwt none +sbwtdcpu none +sbwtdio none -start_epmd false -kernel inet_dist_use_interface {127,0,0,1}' \
    RUNNING_UNDER_SYSTEMD=true "$@" # the script then becomes the server instead of guarding it
}

start_rabbitmq() {
  local sum
  mkdir -p "$RABBITMQ_DIR/data" "$RABBITMQ_DIR/generated"
  echo "$RABBITMQ_COOKIE" | put 400 "$RABBITMQ_DIR/.erlang.cookie"
  echo '[rabbitmq_management].' | put 644 "$RABBITMQ_DIR/enabled_plugins"
  render "$ROOT/stack/rabbitmq-definitions.json" | put 600 "$RABBITMQ_DIR/definitions.json"
  render "$ROOT/stack/rabbitmq.conf" | put 600 "$RABBITMQ_DIR/rabbitmq.conf"
  sum=$({ cat "$RABBITMQ_DIR"/{definitions.json,rabbitmq.conf,enabled_plugins} && declare -f rabbitmq_env && echo "$EPMD_PORT $RABBITMQ_DIST_PORT"; } | sum_of)
  if is_current rabbitmq "$sum" && is_current epmd "$EPMD_PORT"; then
    return
  fi
  stop_rabbitmq
  if ! is_current epmd "$EPMD_PORT"; then
    stop_epmd
    require_free epmd "$EPMD_PORT"
    launch epmd "$EPMD_PORT" env -i PATH="$PATH" epmd -port "$EPMD_PORT" -address 127.0.0.1
    wait_ready epmd 10 epmd -port "$EPMD_PORT" -names
  fi
  require_free rabbitmq "$RABBITMQ_PORT"
  require_free 'RabbitMQ management' "$RABBITMQ_MANAGEMENT_PORT"
  require_free 'RabbitMQ distribution' "$RABBITMQ_DIST_PORT"
  launch_rabbitmq "$sum"
  STARTED[rabbitmq]=1
}

launch_rabbitmq() {
  local -a environment
  # env is a program, rabbitmq_env a function: what it would set is read back so that launch can exec it.
  mapfile -d '' -t environment < <(rabbitmq_env env -0)
  launch rabbitmq "$1" env -i "${environment[@]}" "$RABBITMQ_BIN/rabbitmq-server"
}

stop_rabbitmq() {
  begin_stop rabbitmq "$([[ ${1:-} == now ]] && echo KILL || echo TERM)"
  end_stop rabbitmq 30
}

stop_epmd() {
  begin_stop epmd TERM
  end_stop epmd 5
}

# Definitions are imported before the listeners open: answering means exchanges and queues are there.
is_rabbitmq_ready() {
  curl -fsS -m 5 -o /dev/null -K - "http://127.0.0.1:$RABBITMQ_MANAGEMENT_PORT/api/queues/%2F/gwasuwon.dead" <<<"user = \"gwasuwon:$RABBITMQ_PASSWORD\"" &&
    (exec 3<>"/dev/tcp/127.0.0.1/$RABBITMQ_PORT")
}

wait_rabbitmq() { wait_ready rabbitmq 90 is_rabbitmq_ready; }
