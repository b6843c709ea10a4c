# shellcheck shell=bash
# SPDX-License-Identifier: Apache-2.0
# The keys that OrderManager seals personal data with: made at the first start, changed while it runs, taken away when nothing needs them.
# Must never print a key, nor take one away that a stored value was sealed with.

PERSONAL_KEYS=$KEYS_DIR/personal.keys

new_personal_key() { openssl rand 32 | base64 -w 0 | tr '+/' '-_' | tr -d '='; }
personal_key_ids() { awk '$1 ~ /^[0-9]+$/ { print $1 }' "$PERSONAL_KEYS" | sort -n; }
current_personal_key() { awk '$1 == "current" { print $2 }' "$PERSONAL_KEYS"; }

prepare_personal_keys() {
  [[ ! -s $PERSONAL_KEYS ]] || return 0
  mkdir -p "$KEYS_DIR"
  write_personal_keys 1 "1 $(new_personal_key)"
  say personal-keys 'made the first key'
}

# write_personal_keys CURRENT LINES
write_personal_keys() {
  printf '%s\n' '# Keys of personal data: ID and 32 bytes as base64url. Without them it is lost: keep a copy, away from the database.' \
    "current $1" "$2" | put 600 "$PERSONAL_KEYS"
}

# personal_metric INSTANCE NAME: prints what it says now.
personal_metric() { curl -fsS -m 2 "http://127.0.0.1:$(port_of "$1" ADMIN)/metrics" | awk -v name="$2" '$1 == name { print $2 }'; }

# await_personal_keys NAME ID: until every instance that runs says so; they look at the file every 5 s.
await_personal_keys() {
  local name tries
  for name in $(siblings_of order-manager); do
    is_alive "$name" || continue
    for ((tries = 0; tries < 300; tries++)); do
      [[ $(personal_metric "$name" "$1" 2>/dev/null) != "$2" ]] || continue 2
      working personal-keys "waiting for $name"
      sleep 0.1
    done
    fail "$name does not know key $2 after 30 s" "$LOGS/$name.log" 'nothing is lost: old and new keys are in the file; read the log'
  done
}

# Every instance knows the new key before any of them seals with it.
rotate_personal_keys() {
  local lines old new
  old=$(current_personal_key)
  new=$(($(personal_key_ids | tail -n 1) + 1))
  lines=$(awk '$1 ~ /^[0-9]+$/' "$PERSONAL_KEYS")$'\n'"$new $(new_personal_key)"
  write_personal_keys "$old" "$lines"
  await_personal_keys personal_key_newest_id "$new"
  record_action orders personal-keys.rotate "key $new"
  write_personal_keys "$new" "$lines"
  await_personal_keys personal_key_current_id "$new"
  say personal-keys "key $new seals now; what older keys sealed is sealed anew (./dev personal-keys status)"
}

# personal_key_users: prints the id of each key that something stored was sealed with, what, and how many.
personal_key_users() {
  pg_query -d gwasuwon -F ' ' <<'SQL'
WITH values_ (what, key, at) AS (
  SELECT 'orders', personal, 1 FROM orders.orders WHERE personal IS NOT NULL
  UNION ALL SELECT 'notes', note, 1 FROM orders.cancellations WHERE note IS NOT NULL
  UNION ALL SELECT 'fingerprints', request_hash, 0 FROM orders.orders WHERE request_hash IS NOT NULL
)
SELECT get_byte(key, at)::int8 << 24 | get_byte(key, at + 1) << 16 | get_byte(key, at + 2) << 8 | get_byte(key, at + 3) AS id, what, count(*)
FROM values_ GROUP BY 1, 2 ORDER BY 1, 2;
SQL
}

drop_personal_key() {
  local id=$1 current
  current=$(current_personal_key)
  personal_key_ids | grep -qx "$id" || fail "there is no key \"$id\"" '' './dev personal-keys status'
  [[ $id != "$current" ]] || fail "key $id is the current one" '' './dev personal-keys rotate makes another current'
  if personal_key_users | grep -q "^$id "; then
    fail "key $id is still needed: $(personal_key_users | awk -v id="$id" '$1 == id { printf "%s %s  ", $3, $2 }')" '' \
      'values are sealed anew within minutes; fingerprints of requests go with their Idempotency-Key (IDEMPOTENCY_KEEP_H)'
  fi
  record_action orders personal-keys.drop "key $id"
  write_personal_keys "$current" "$(awk -v id="$id" '$1 ~ /^[0-9]+$/ && $1 != id' "$PERSONAL_KEYS")"
  say personal-keys "key $id is gone from the file; instances forget it at their next start"
}

verb_personal_keys() {
  load_stack
  [[ -s $PERSONAL_KEYS ]] || fail "there is no $PERSONAL_KEYS" '' './dev up'
  case ${1:-status} in
    status)
      printf 'current %s, known %s\n' "$(current_personal_key)" "$(personal_key_ids | tr '\n' ' ')"
      personal_key_users | awk '{ printf "key %-4s %-14s %s\n", $1, $2, $3 }'
      ;;
    rotate) lock_stack && rotate_personal_keys ;;
    drop) lock_stack && drop_personal_key "${2:-}" ;;
    *) fail "personal-keys does not know \"$1\"" '' './dev --help' ;;
  esac
}
