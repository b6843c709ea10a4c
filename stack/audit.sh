# shellcheck shell=bash
# SPDX-License-Identifier: Apache-2.0
# The record of privileged actions (table `audit` of each service's schema): shows it, checks that nobody changed it, and adds what was done
# by ./dev. Must never change or take away a row.

# record_action SCHEMA ACTION SUBJECT [DETAIL]: as whoever runs ./dev.
record_action() {
  pg_query -d gwasuwon -v "actor=dev:${SUDO_USER:-$(id -un)}" -v "action=$2" -v "subject=$3" -v "detail=${4:-}" <<SQL
INSERT INTO $1.audit (actor, role, action, subject, outcome, detail, trace_id) VALUES (:'actor', 'operator', :'action', :'subject', 'done', :'detail', '');
SQL
}

# Newest first, of all schemas.
list_audit() {
  local limit=${1:-50} schema text=''
  [[ $limit =~ ^[0-9]{1,6}$ ]] || fail "audit --limit takes a number, not \"$limit\""
  for schema in $(printf '%s\n' "${SCHEMA[@]}" | grep -vx identity | sort); do
    text+="${text:+ UNION ALL }SELECT '$schema', id, at, actor, role, action, subject, outcome, detail, trace_id FROM $schema.audit"
  done
  pg_query -d gwasuwon -F $'\t' -c "SELECT * FROM ($text) AS a (schema, id, at, actor, role, action, subject, outcome, detail, trace_id) ORDER BY at DESC LIMIT $limit"
}

# Each row's digest is computed again from the row before it; ids have no gaps.
verify_audit() {
  local schema broken code=0
  for schema in $(printf '%s\n' "${SCHEMA[@]}" | grep -vx identity | sort); do
    broken=$(pg_query -d gwasuwon -c "
      SELECT id FROM (SELECT a.id, a.digest, $schema.audit_digest(COALESCE(lag(a.digest) OVER w, ''), a) AS wanted, lag(a.id, 1, 0::int8) OVER w AS earlier
                      FROM $schema.audit a WINDOW w AS (ORDER BY a.id)) AS chain
      WHERE digest <> wanted OR id <> earlier + 1 ORDER BY id LIMIT 1")
    if [[ -n $broken ]]; then
      say audit "$schema: BROKEN at row $broken: it, or the row before it, is not as it was written"
      code=1 IS_EXPLAINED=1
    else
      say audit "$schema: $(pg_query -d gwasuwon -c "SELECT count(*) || ' rows, whole; last digest ' || COALESCE(encode((SELECT digest FROM $schema.audit ORDER BY id DESC LIMIT 1), 'hex'), 'none') FROM $schema.audit")"
    fi
  done
  return "$code"
}

verb_audit() {
  load_stack
  case ${1:-} in
    '') list_audit ;;
    --limit) list_audit "${2:-}" ;;
    verify) verify_audit ;;
    *) fail "audit does not know \"$1\"" '' './dev --help' ;;
  esac
}
