# shellcheck shell=bash
# SPDX-License-Identifier: Apache-2.0
# The identity service: environment from stack/env/identity.env, demo accounts, start, stop, readiness. Must never put a password on a
# command line.

IDENTITY_SOURCES=("$ROOT"/identity/main.mjs "$ROOT"/identity/src "$ROOT"/identity/sql "$ROOT"/identity/static "$ROOT"/stack/accounts.json "$ROOT"/package-lock.json)

# Templates first, then the caller's: IDENTITY_LOCK_AFTER=3 sets LOCK_AFTER.
identity_environment() {
  local name
  {
    render "$ROOT/stack/env/identity.env"
    for name in $(compgen -e IDENTITY_ || true); do
      [[ $name =~ _PORT$ ]] || echo "${name#IDENTITY_}=${!name}"
    done
  } | sed '/^#/d; /^$/d' | awk -F= '{ if (!($1 in line)) order[++n] = $1; line[$1] = $0 } END { for (i = 1; i <= n; i++) print line[order[i]] }'
}

# The accounts of stack/accounts.json, with the password of this stack; those that are there stay as they are.
seed_accounts() {
  local wanted have
  wanted=$(jq '.accounts | length' "$ROOT/stack/accounts.json")
  have=$(pg_query -d gwasuwon -c "SELECT count(*) FROM identity.accounts WHERE account_id IN ($(jq -r '[.accounts[] | "'\''\(.sub)'\''"] | join(",")' "$ROOT/stack/accounts.json"))")
  DEMO_ACCOUNTS='demo accounts are there'
  ((have < wanted)) || return 0
  DEMO_PASSWORD=$DEMO_PASSWORD IDENTITY_OWNER_URI=$(role_uri identity owner) run_logged identity "$LOGS/accounts.log" node "$ROOT/identity/operator.mjs" seed ||
    fail 'the demo accounts could not be made' "$LOGS/accounts.log"
  DEMO_ACCOUNTS='demo accounts made'
}

start_identity() {
  local sum file=$VAR/env/identity.env
  local -a environment
  identity_environment | put 600 "$file"
  sum=$( (cat "$file" && find "${IDENTITY_SOURCES[@]}" -type f -print0 | sort -z | xargs -0 cat) | sum_of)
  if is_current identity "$sum"; then
    return
  fi
  ! is_alive identity || say identity 'its program or settings changed: restarting it'
  stop_identity
  require_free identity "$IDENTITY_PORT"
  require_free 'identity (admin)' "$IDENTITY_ADMIN_PORT"
  mapfile -t environment <"$file"
  launch identity "$sum" env -i PATH="${PATH%%:*}:/usr/bin:/bin" LANG=C.UTF-8 HOME="$VAR" NODE_ENV=production "${environment[@]}" "$(command -v node)" "$ROOT/identity/main.mjs"
  STARTED[identity]=1
}

wait_identity() { wait_ready identity 60 curl -fsS -m 2 -o /dev/null "http://127.0.0.1:$IDENTITY_ADMIN_PORT/readyz"; }

stop_identity() {
  begin_stop identity "$([[ ${1:-} == now ]] && echo KILL || echo TERM)"
  end_stop identity 20
}
