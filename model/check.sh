#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Searches every state of the models in this folder, then the same with each deliberate bug, which must be found. Must never call a search
# passed that was cut short: the depth, the memory and the claim are looked at, not only the count of errors.
#
#   model/check.sh [WORD]...      only rows that hold one of the words
#   MODEL_KEEP=1                  keeps build/model/<row>: pan, the trail and `trail.txt` with the steps that lead to the error
set -uo pipefail

HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
OUT=$(dirname "$HERE")/build/model
MEMORY_MIB=900
DEPTH=20000

# model | what | -D… | what must be found (nothing: no error; else a part of pan's message)
ROWS=(
  'place  | a key sent twice, one box, a crash  | -DREQUESTS=2                              |'
  'place  | two keys, one box, a crash          | -DREQUESTS=2 -DOWN_KEYS                   |'
  'place  | a key sent twice, two boxes         | -DREQUESTS=2 -DBOXES=2 -DCRASHES=0        |'
  'place  | Reserve comes twice, two sweepers   | -DREQUESTS=1 -DOWN_KEYS -DCALLS=2 -DSWEEPERS=2 |'
  'place  | two database servers                | -DREQUESTS=2 -DTWO_SERVERS                |'
  'relay  | two relays, two consumers, a crash  |                                           |'
  'cancel | two requests, a reconciler          | -DCANCELS=2                               |'
  'cancel | a request, two reconcilers          | -DCANCELS=1 -DRECONCILERS=2               |'
  'cancel | every wish comes to its end         | -DCANCELS=1 -DLIVE                        |'
  'place  | mutant reply_before_commit          | -DREQUESTS=2 -DMUTANT_reply_before_commit          | acknowledged'
  'place  | mutant key_outside_transaction      | -DREQUESTS=2 -DBOXES=2 -DMUTANT_key_outside_transaction | orders.order[1]'
  'place  | mutant no_row_lock                  | -DREQUESTS=2 -DOWN_KEYS -DMUTANT_no_row_lock       | catalog.available+n'
  'place  | mutant hold_not_checked             | -DREQUESTS=1 -DOWN_KEYS -DCALLS=2 -DBOXES=2 -DMUTANT_hold_not_checked | catalog.available+n'
  'place  | mutant release_twice                | -DREQUESTS=2 -DMUTANT_release_twice                | catalog.available+n'
  'place  | mutant release_on_unknown           | -DREQUESTS=2 -DMUTANT_release_on_unknown           | catalog.hold[i]'
  'place  | mutant resolve_without_fence        | -DREQUESTS=2 -DMUTANT_resolve_without_fence        | assertion'
  'place  | mutant no_cluster_run_check         | -DREQUESTS=2 -DMUTANT_no_cluster_run_check         | catalog.hold[i]'
  'place  | mutant async_on_two_servers         | -DREQUESTS=2 -DTWO_SERVERS -DMUTANT_async_on_two_servers | catalog.hold[i]'
  'relay  | mutant publish_before_commit        | -DMUTANT_publish_before_commit                     | applied[i]==0'
  'relay  | mutant mark_sent_before_confirm     | -DMUTANT_mark_sent_before_confirm                  | applied[i]==1'
  'relay  | mutant ack_before_commit            | -DMUTANT_ack_before_commit                         | applied[i]==1'
  'relay  | mutant inbox_outside_transaction    | -DMUTANT_inbox_outside_transaction                 | applied[i]==1'
  'relay  | mutant no_inbox                     | -DMUTANT_no_inbox                                  | applied[i]<=1'
  'relay  | mutant limit_counts_deaths          | -DDELIVERY_LIMIT=1                                 | dead[i]==0'
  'cancel | mutant no_row_lock                  | -DMUTANT_no_row_lock                               | assertion'
  'cancel | mutant release_twice                | -DMUTANT_release_twice                             | available=='
  'cancel | mutant cancel_without_tombstone     | -DMUTANT_cancel_without_tombstone                  | assertion'
  'cancel | mutant no_reconciler                | -DCANCELS=1 -DLIVE -DMUTANT_no_reconciler          | acceptance cycle'
)

PASSED=0
FAILED=0

trim() { sed 's/^ *//; s/ *$//' <<<"$1"; }

# What stands in the log of a search that was not the whole of it.
is_cut_short() { grep -qE 'max search depth too small|out of memory|reached -DMEMLIM|Search not completed|aborting' "$1"; }

# search FOLDER MODEL FLAGS...: pan's words in FOLDER/log
search() {
  local folder=$1 model=$2
  local -a compile=(-w -DCOLLAPSE "-DMEMLIM=$MEMORY_MIB") run=("-m$DEPTH")
  shift 2
  # A bug is found in a moment: there the compiler is what takes time.
  if [[ $* == *MUTANT* ]]; then compile+=(-O0); else compile+=(-O2); fi
  if [[ " $* " == *" -DLIVE "* ]]; then run+=(-a -f) compile+=(-DNFAIR=3); else compile+=(-DSAFETY); fi
  rm -rf "$folder" && mkdir -p "$folder" && cd "$folder" || return
  spin -a "$@" "$HERE/$model.pml" >log 2>&1 && gcc "${compile[@]}" -o pan pan.c >>log 2>&1 && ./pan "${run[@]}" >>log 2>&1
}

# judge LOG WANTED: says what was found; 0 when that is what was wanted
judge() {
  local log=$1 wanted=$2 error
  error=$(sed -n 's/^pan:[0-9]*: *//p' "$log" | head -n 1)
  if ! grep -q 'errors:' "$log"; then
    tail -n 3 "$log"
    return 1
  elif [[ -n $wanted ]]; then
    echo "${error:-no error}"
    [[ $error == *"$wanted"* ]]
  elif is_cut_short "$log"; then
    echo "${error:-not searched to the end}"
    return 1
  else
    echo 'no error'
    grep -q 'errors: 0' "$log"
  fi
}

check() {
  local model what flags wanted folder found states seconds word=FAIL
  IFS='|' read -r model what flags wanted <<<"$1"
  model=$(trim "$model") what=$(trim "$what") wanted=$(trim "$wanted")
  folder=$OUT/$model-${what//[ ,]/_}
  # shellcheck disable=SC2086 # flags are words
  (search "$folder" "$model" $flags)
  if found=$(judge "$folder/log" "$wanted"); then
    word=ok
    PASSED=$((PASSED + 1))
  else
    FAILED=$((FAILED + 1))
  fi
  states=$(awk '/states, stored/ { print $1; exit }' "$folder/log")
  seconds=$(awk '/elapsed time/ { print $4; exit }' "$folder/log")
  printf '%-4s  %-6s  %-35s  %9s states  %6s s  %s\n' "$word" "$model" "$what" "${states:--}" "${seconds:--}" "$found"
  if compgen -G "$folder/*.trail" >/dev/null && { [[ $word == FAIL ]] || [[ -n ${MODEL_KEEP:-} ]]; }; then
    # shellcheck disable=SC2086
    (cd "$folder" && spin $flags -k ./*.trail -p -g -l "$HERE/$model.pml" >trail.txt 2>&1)
    echo "        steps: $folder/trail.txt"
  elif [[ $word == ok && -z ${MODEL_KEEP:-} ]]; then
    rm -rf "$folder"
  fi
}

main() {
  local row word
  command -v spin >/dev/null || { echo 'model: spin is missing (Debian package spin): ./dev lint installs it' >&2; exit 1; }
  for row in "${ROWS[@]}"; do
    if (($# == 0)); then
      check "$row"
      continue
    fi
    for word in "$@"; do
      [[ $row == *"$word"* ]] && { check "$row"; break; }
    done
  done
  echo "$PASSED passed, $FAILED failed"
  ((FAILED == 0 && PASSED > 0))
}

main "$@"
