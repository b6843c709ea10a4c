# shellcheck shell=bash
# SPDX-License-Identifier: Apache-2.0
# What all parts of ./dev share: places, progress on the screen, failures that say what to do, templates and process records.
# Exists so that each part is only its own steps. Must never signal a process it cannot prove to be one this stack started.

VAR=$(realpath -ms "${GWASUWON_VAR:-$ROOT/var}")
RUN=$VAR/run
LOGS=$VAR/log
KEYS_DIR=$VAR/keys
export GWASUWON_VAR=$VAR

SERVICES=(fruit-catalog order-manager delivery-mock)
declare -A SCHEMA=([fruit-catalog]=catalog [order-manager]=orders [delivery-mock]=delivery [identity]=identity)
INSTANCES_MAX=3
INSTANCES=()  # the processes of the services: order-manager, order-manager-2, ...; count_instances says how many
COMPONENTS=() # all that can be started and stopped

# count_instances N: of each service. The first carries the service's own name.
count_instances() {
  local service n
  INSTANCE_COUNT=$1 INSTANCES=()
  for service in "${SERVICES[@]}"; do
    for ((n = 1; n <= $1; n++)); do INSTANCES+=("$service$( ((n == 1)) || echo "-$n")"); done
  done
  COMPONENTS=(postgres rabbitmq identity "${INSTANCES[@]}" gateway)
}

# remembered_instances: prints the number that the last ./dev up --instances gave this stack.
remembered_instances() { cat "$VAR/instances" 2>/dev/null || echo 1; }

# service_of INSTANCE, number_of INSTANCE: order-manager-2 is the second of order-manager.
service_of() { echo "${1%-[2-9]}"; }
number_of() { [[ $1 =~ -([2-9])$ ]] && echo "${BASH_REMATCH[1]}" || echo 1; }
is_service() { [[ " ${SERVICES[*]} " == *" $1 "* ]]; }
is_instance() { is_service "$(service_of "$1")"; }

# siblings_of SERVICE: prints its instances.
siblings_of() {
  local name
  for name in "${INSTANCES[@]}"; do [[ $(service_of "$name") != "$1" ]] || echo "$name"; done
}

BEGAN_US=${EPOCHREALTIME/[.,]/}
JOB_PID=
WIDTH=$({ [[ -t 1 ]] && tput cols; } 2>/dev/null || echo 80)
IS_EXPLAINED= # set once the screen says why this run ends

# ---- the screen --------------------------------------------------------------------------------------------------------

elapsed() {
  local us=$((${EPOCHREALTIME/[.,]/} - BEGAN_US))
  printf '%d.%d' $((us / 1000000)) $((us / 100000 % 10))
}

# say NAME TEXT: one finished step.
say() {
  [[ ! -t 1 ]] || printf '\r\e[K'
  printf '%6ss  %-16s %s\n' "$(elapsed)" "$1" "$2"
}

# working NAME TEXT: what is being waited for; the next line replaces it. Only where a person looks.
working() {
  [[ ! -t 1 ]] || printf '\r\e[K%6ss  %-16s %.*s' "$(elapsed)" "$1" $((WIDTH - 28)) "$2"
}

# fail WHAT [LOG] [NEXT]: says what failed, where its log is, what to do; ends ./dev.
fail() {
  local what=$1 log=${2:-} next=${3:-}
  IS_EXPLAINED=1
  {
    [[ ! -t 2 ]] || printf '\r\e[K'
    printf '%6ss  FAILED: %s\n' "$(elapsed)" "$what"
    if [[ -n $log && -s $log ]]; then
      printf '  log   %s, its last lines:\n' "$log"
      tail -n 15 "$log" | cut -c 1-300 | sed 's/^/        /'
    fi
    [[ -z $next ]] || printf '  next  %s\n' "$next"
  } >&2
  exit 1
}

# run_logged NAME LOG COMMAND...: a long command; its output goes to the log, its last line is shown while it runs.
run_logged() {
  local name=$1 log=$2 code=0 tick=0 last
  shift 2
  mkdir -p "${log%/*}"
  "$@" >"$log" 2>&1 </dev/null 9>&- &
  JOB_PID=$!
  while kill -0 "$JOB_PID" 2>/dev/null; do
    sleep 0.1
    tick=$((tick + 1))
    if [[ -t 1 ]] && ((tick % 3 == 0)); then
      last=$(tail -c 400 "$log" | tr '\r' '\n' | sed '/^[[:space:]]*$/d' | tail -n 1)
      working "$name" "$last"
    elif [[ ! -t 1 ]] && ((tick % 150 == 0)); then
      last=$(tail -c 400 "$log" | tr '\r' '\n' | sed '/^[[:space:]]*$/d' | tail -n 1)
      say "$name" "... ${last:0:120}"
    fi
  done
  wait "$JOB_PID" || code=$?
  JOB_PID=
WIDTH=$({ [[ -t 1 ]] && tput cols; } 2>/dev/null || echo 80)
  return "$code"
}

# No end without a word: what no step foresaw is a fault of ./dev itself.
on_exit() {
  local code=$?
  if ((code != 0 && code != 141)) && [[ -z $IS_EXPLAINED ]]; then # 141: the reader of our output went away
    printf '%6ss  FAILED: ./dev itself, near line %s of %s\n  next  run it again as: bash -x ./dev ...\n' "$(elapsed)" "${BASH_LINENO[0]}" "${BASH_SOURCE[1]:-dev}" >&2
  fi
}

on_signal() {
  trap - INT TERM
  IS_EXPLAINED=1
  [[ -z $JOB_PID ]] || kill -TERM "$JOB_PID" 2>/dev/null || true
  printf '\ninterrupted: ./dev up goes on from here, ./dev down stops what runs\n' >&2
  exit 130
}

# ---- files -------------------------------------------------------------------------------------------------------------

make_var() {
  mkdir -p "$VAR" "$RUN" "$LOGS" "$VAR/env"
  [[ -e $VAR/.gwasuwon ]] || echo 'Runtime state of a local stack; ./dev down --wipe deletes it.' >"$VAR/.gwasuwon"
}

# One ./dev at a time changes a stack; the lock ends with this process, whatever happens to it.
lock_stack() {
  make_var
  exec 9>"$VAR/lock"
  flock -n 9 && return
  say lock "another ./dev is at work on this stack; waiting for it"
  flock -w 900 9 || fail "another ./dev has held $VAR/lock for 15 minutes" '' 'find it with: fuser -v '"$VAR/lock"
}

# render TEMPLATE: prints it with each @NAME@ replaced by the shell variable NAME; an unset one is an error.
render() {
  local text
  text=$(<"$1")
  while [[ $text =~ @([A-Z][A-Z0-9_]*)@ ]]; do
    text=${text//"${BASH_REMATCH[0]}"/"${!BASH_REMATCH[1]}"}
  done
  printf '%s\n' "$text"
}

# put MODE FILE: standard input becomes the file, whole or not at all; an equal file is left alone.
put() {
  local mode=$1 file=$2 draft=$2.$$.new
  (umask 077 && cat >"$draft")
  if [[ -e $file ]] && cmp -s "$draft" "$file"; then
    rm -f "$draft"
  else
    chmod "$mode" "$draft"
    mv -f "$draft" "$file"
  fi
}

sum_of() { cat "$@" | sha256sum | cut -c 1-64; }

# ---- processes ---------------------------------------------------------------------------------------------------------
# run/NAME.pid the process, run/NAME.birth its start time (a pid alone may have been given to another), run/NAME.sum what it was
# started from. Each is the leader of its own session and works in $VAR: that is how its orphans are known.

# birth_of PID: prints boot and start time of a living process; a zombie is dead, but not while threads of it still end: until then its
# sockets are open, and a successor would find its ports taken.
birth_of() {
  local stat fields
  stat=$(cat "/proc/$1/stat" 2>/dev/null) || return 1
  read -r -a fields <<<"${stat##*) }"
  ((fields[17] > 1)) || [[ ${fields[0]} != Z && ${fields[0]} != X ]] || return 1
  echo "$(</proc/sys/kernel/random/boot_id) ${fields[19]}"
}

# record NAME PID: said twice at a start, by the new process of itself and by ./dev: whole each time, for ./dev looks meanwhile.
record() {
  local draft=$RUN/$1.$BASHPID.new
  birth_of "$2" >"$draft" || true
  mv -f "$draft" "$RUN/$1.birth"
  echo "$2" >"$draft"
  mv -f "$draft" "$RUN/$1.pid"
}

# pid_of NAME: prints the recorded process if it lives and is the one that was recorded.
pid_of() {
  local pid
  [[ -s $RUN/$1.pid && -s $RUN/$1.birth ]] || return 1
  pid=$(<"$RUN/$1.pid")
  [[ $(birth_of "$pid") == "$(<"$RUN/$1.birth")" ]] || return 1
  echo "$pid"
}

is_alive() { pid_of "$1" >/dev/null; }

# is_current NAME SUM: it runs, and from exactly this.
is_current() { is_alive "$1" && [[ -e $RUN/$1.sum && $(<"$RUN/$1.sum") == "$2" ]]; }

# launch NAME SUM COMMAND...: starts it in a session of its own. The caller has stopped what was there, and waits for readiness.
launch() {
  local name=$1 sum=$2 log=$LOGS/$1.log
  shift 2
  if [[ -e $log && $(stat -c %s "$log") -gt 20000000 ]]; then
    mv -f "$log" "$log.1"
  fi
  (
    trap - INT TERM
    exec 9>&-
    cd "$VAR" || exit
    ulimit -n 65536 2>/dev/null || ulimit -n "$(ulimit -Hn)"
    ulimit -S -c 0 # a core file would hold what a program has in memory: passwords, addresses
    record "$name" "$BASHPID"
    exec env --default-signal=INT,QUIT setsid "$@" >>"$log" 2>&1 </dev/null
  ) &
  record "$name" $!
  echo "$sum" >"$RUN/$name.sum"
}

# wait_ready NAME SECONDS COMMAND...: until COMMAND succeeds; fails at once when the process ends.
wait_ready() {
  local name=$1 limit_us=$(($2 * 1000000)) from_us=${EPOCHREALTIME/[.,]/} code pid
  shift 2
  until "$@" >/dev/null 2>&1; do
    if ! is_alive "$name"; then
      code=0
      pid=$(<"$RUN/$name.pid")
      wait "$pid" 2>/dev/null || code=$?
      fail "$name ended while starting (exit code $code)" "$LOGS/$name.log" "$(advice "$code")"
    fi
    if ((${EPOCHREALTIME/[.,]/} - from_us > limit_us)); then
      fail "$name runs but is not ready after $((limit_us / 1000000)) s" "$LOGS/$name.log" \
        'read the log; ./dev up tries again, ./dev down stops everything'
    fi
    working "$name" "starting"
    sleep 0.05
  done
}

advice() {
  case $1 in
    78) echo "its configuration was refused: the log names the variable and the rule; it was given $VAR/env" ;;
    71) echo "a port of its is taken: the log names it; ss -tlnp shows by whom" ;;
    127) echo 'no such program or test build: ./dev build says why' ;;
    *) echo 'read the log, mend the cause, run ./dev up again' ;;
  esac
}

# end_orphans NAME: ends what a dead NAME left behind in its session (a killed nginx leaves its workers).
end_orphans() {
  local sid pid cwd tries
  [[ -s $RUN/$1.pid ]] || return 0
  sid=$(<"$RUN/$1.pid")
  for pid in $(pgrep -s "$sid" || true); do
    cwd=$(readlink "/proc/$pid/cwd" 2>/dev/null) || continue
    [[ $cwd == "$VAR" || $cwd == "$VAR"/* || $cwd == "$(readlink -f "$VAR/postgres")"/* ]] || continue
    kill -KILL "$pid" 2>/dev/null || continue
    for ((tries = 0; tries < 100; tries++)); do
      birth_of "$pid" >/dev/null || break
      sleep 0.02
    done
  done
}

# begin_stop NAME SIGNAL: asks; end_stop NAME SECONDS: waits, insists, forgets.
begin_stop() {
  local pid
  pid=$(pid_of "$1") || return 0
  kill "-$2" "$pid" 2>/dev/null || true
}

end_stop() {
  local name=$1 until_us=$((${EPOCHREALTIME/[.,]/} + $2 * 1000000)) pid
  while pid=$(pid_of "$name"); do
    working "$name" "stopping"
    if ((${EPOCHREALTIME/[.,]/} > until_us)); then
      say "$name" "did not stop within $2 s: killed"
      kill -KILL "$pid" 2>/dev/null || true
      until_us=$((until_us + 5000000))
    fi
    sleep 0.03
  done
  end_orphans "$name"
  rm -f "$RUN/$name.pid" "$RUN/$name.birth" "$RUN/$name.sum"
}
