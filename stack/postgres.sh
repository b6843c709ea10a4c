# shellcheck shell=bash
# SPDX-License-Identifier: Apache-2.0
# The stack's own PostgreSQL: data, socket and port of its own, one role pair a schema, migrations by dbmate.
# Must never run as root, nor touch Debian's clusters.

PG_BIN=/usr/lib/postgresql/15/bin
PG_HOME=$VAR/postgres # or a link to a place that PostgreSQL's user can reach
PG_SOCKET_DIR=$PG_HOME/socket

# As root, PostgreSQL runs as Debian's user for it; else as you.
as_pg() {
  if ((EUID == 0)); then
    runuser -u postgres -- "$@"
  else
    "$@"
  fi
}

# The home moves to /var/tmp when PostgreSQL's user can't get through the checkout's folders, or a socket's path would be too long (107).
prepare_pg_home() {
  local refuge
  if [[ -e $PG_HOME/data ]]; then
    resolve_pg_home
    return
  fi
  [[ ! -L $PG_HOME ]] || rm -f "$PG_HOME"
  if ((${#PG_SOCKET_DIR} > 85)) || ! as_pg test -x "$VAR"; then
    refuge=/var/tmp/gwasuwon-$(printf '%s' "$VAR" | sha256sum | cut -c 1-12)
    mkdir -p "$refuge"
    [[ -O $refuge ]] || fail "$refuge belongs to another user" '' 'use another place: GWASUWON_VAR=<folder> ./dev up'
    chmod 711 "$refuge"
    ln -sfn "$refuge" "$PG_HOME"
  fi
  mkdir -p "$PG_HOME"
  resolve_pg_home
  mkdir -p "$PG_SOCKET_DIR"
  chmod 711 "$PG_HOME"
  ((EUID != 0)) || chown postgres: "$PG_SOCKET_DIR"
}

resolve_pg_home() {
  PG_HOME=$(readlink -f "$PG_HOME")
  PG_SOCKET_DIR=$PG_HOME/socket
}

# A cluster exists whole or not at all: an interrupted initdb leaves only a data.new folder.
init_pg() {
  local draft=$PG_HOME/data.new.$$ secret=$PG_HOME/initial-password
  [[ ! -e $PG_HOME/data ]] || return 0
  rm -rf "$PG_HOME"/data.new.*
  install -m 600 /dev/null "$secret"
  ((EUID != 0)) || chown postgres: "$secret"
  echo "$POSTGRES_PASSWORD" >"$secret"
  install -d -m 700 "$draft"
  ((EUID != 0)) || chown postgres: "$draft"
  run_logged postgres "$LOGS/initdb.log" as_pg env -C / "$PG_BIN/initdb" --pgdata="$draft" --username=postgres --pwfile="$secret" \
    --auth=scram-sha-256 --encoding=UTF8 --locale=C.UTF-8 --data-checksums ||
    fail 'initdb could not make the database' "$LOGS/initdb.log" 'read the log; a full disk and missing rights are the usual causes'
  rm -f "$secret"
  mv "$draft" "$PG_HOME/data"
  say postgres 'made a new database'
}

# A killed server leaves its lock files, and so long as nobody has reaped it, its pid still answers: PostgreSQL would refuse to start.
drop_stale_locks() {
  local pid lock=$PG_HOME/data/postmaster.pid
  pid=$(head -n 1 "$lock" 2>/dev/null) || pid=0
  if ! birth_of "$pid" >/dev/null || [[ $(readlink "/proc/$pid/cwd" 2>/dev/null) != "$PG_HOME/data" ]]; then
    rm -f "$lock" "$PG_SOCKET_DIR"/.s.PGSQL.*
  fi
}

start_postgres() {
  local sum command
  prepare_pg_home
  init_pg
  render "$ROOT/stack/postgres.conf" | put 644 "$PG_HOME/postgresql.conf"
  sum=$(sum_of "$PG_HOME/postgresql.conf" "$PG_BIN/postgres")
  if is_current postgres "$sum"; then
    return
  fi
  stop_postgres
  drop_stale_locks
  require_free postgres "$POSTGRES_PORT"
  command=("$PG_BIN/postgres" -D "$PG_HOME/data" -c "config_file=$PG_HOME/postgresql.conf")
  # setpriv, not runuser: it leaves no process of its own between us and the server.
  ((EUID != 0)) || command=(setpriv --reuid=postgres --regid=postgres --init-groups -- "${command[@]}")
  launch postgres "$sum" "${command[@]}"
  STARTED[postgres]=1
}

# Fast shutdown: clients are cut off, nothing is lost. `now` is a crash.
stop_postgres() {
  begin_stop postgres "$([[ ${1:-} == now ]] && echo QUIT || echo INT)"
  end_stop postgres 20
}

pg_query() { PGPASSWORD=$POSTGRES_PASSWORD PGCONNECT_TIMEOUT=5 psql -XqAt -v ON_ERROR_STOP=1 -h 127.0.0.1 -p "$POSTGRES_PORT" -U postgres "$@" 9>&-; }

wait_postgres() { wait_ready postgres 60 "$PG_BIN/pg_isready" -q -h 127.0.0.1 -p "$POSTGRES_PORT"; }

# owner_uri SERVICE, app_uri SERVICE: as the migrations and the service connect.
role_uri() {
  local schema=${SCHEMA[$1]} secret
  secret=${schema^^}_${2^^}_PASSWORD
  echo "postgresql://${schema}_$2:${!secret}@127.0.0.1:$POSTGRES_PORT/gwasuwon"
}

# Database, schemas and roles: makes what is missing.
prepare_roles() {
  local service schema owner app log=$LOGS/roles.log
  if [[ $(pg_query -d postgres -c "SELECT 1 FROM pg_database WHERE datname = 'gwasuwon'" 2>"$log") != 1 ]]; then
    pg_query -d postgres -c 'CREATE DATABASE gwasuwon' -c 'REVOKE ALL ON DATABASE gwasuwon FROM PUBLIC' 2>"$log" ||
      fail 'the database gwasuwon could not be made' "$log"
  fi
  for service in "${SERVICES[@]}" identity; do
    schema=${SCHEMA[$service]}
    owner=${schema^^}_OWNER_PASSWORD app=${schema^^}_APP_PASSWORD
    # By standard input: a password on a command line is everybody's.
    {
      printf "\\set schema '%s'\n\\set owner_password '%s'\n\\set app_password '%s'\n" "$schema" "${!owner}" "${!app}"
      cat "$ROOT/stack/postgres-roles.sql"
    } | pg_query -d gwasuwon -f - >"$log" 2>&1 || fail "the roles of schema $schema could not be made" "$log"
  done
}

migrate() {
  local service schema folder log=$LOGS/migrate.log done=0
  for service in "${SERVICES[@]}" identity; do
    schema=${SCHEMA[$service]}
    folder=$ROOT/services/$service/migrations
    [[ $service != identity ]] || folder=$ROOT/identity/migrations
    [[ -d $folder ]] || continue
    DATABASE_URL="$(role_uri "$service" owner)?sslmode=disable&search_path=$schema" "$DBMATE" --migrations-dir "$folder" \
      --migrations-table "$schema.schema_migrations" --no-dump-schema migrate >"$log" 2>&1 9>&- ||
      fail "a migration of $service failed; it was rolled back" "$log" "mend it in ${folder#"$ROOT/"}, run ./dev up again"
    if [[ $(grep -c '^Applied' "$log") -gt 0 ]]; then
      done=$((done + $(grep -c '^Applied' "$log")))
      pg_query -d gwasuwon -c "REVOKE INSERT, UPDATE, DELETE ON $schema.schema_migrations FROM ${schema}_app"
    fi
  done
  MIGRATED=$done
}
