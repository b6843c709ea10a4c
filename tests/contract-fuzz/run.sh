#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Asks the services whatever their OpenAPI files allow, and much that they do not (schemathesis), with the tokens of those who have business with
# each: no answer may be a server error, nor one that the contract does not name. A stack of its own, for this fills it with rubbish. Must
# never run against another stack, nor install anything outside the checkout.
#
#   ./dev contract-fuzz [--minutes N] [--seed N] [SERVICE...]      10 minutes in all, shared by the services and their callers
set -euo pipefail
ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
TOOL=$ROOT/build/tools/contract-fuzz
# shellcheck source=tests/lib/python.sh
. "$ROOT/tests/lib/python.sh"
MINUTES=10
# Who asks: everybody whose role may do something there that others may not.
declare -A CALLERS=([fruit-catalog]='operator1 farmer1' [order-manager]='buyer1 operator1 farmer1' [delivery-mock]='operator1 buyer1')
SEED=$RANDOM
SERVICES=()
while (($#)); do
  case $1 in
    --minutes) MINUTES=$2 && shift 2 ;;
    --seed) SEED=$2 && shift 2 ;;
    fruit-catalog | order-manager | delivery-mock) SERVICES+=("$1") && shift ;;
    *) echo "what is \"$1\"? ./dev contract-fuzz [--minutes N] [--seed N] [SERVICE...]" >&2 && exit 64 ;;
  esac
done
((${#SERVICES[@]})) || SERVICES=(fruit-catalog order-manager delivery-mock)

# Asked of the service itself: what stands before it answers what its contract does not know (a limit of requests, say).
fuzz() (
  local service=$1 caller=$2 seconds=$3 token
  token=$("$ROOT/dev" token "$caller" --ttl $((MINUTES * 60 + 3600))) || exit
  echo "$service, $caller: $seconds s, seed $SEED"
  # A stream has no end, and a token that is taken away (ignored_auth) is what tests/blackbox/access.test.mjs asks for.
  cd "$GWASUWON_VAR" || exit # it leaves its notes where it stands
  "$TOOL/bin/schemathesis" --config-file "$ROOT/tests/contract-fuzz/schemathesis.toml" run "$ROOT/contracts/openapi/$service.yaml" --url "$(jq -r ".services[\"$service\"].http" <<<"$STATUS")" \
    --header "Authorization: Bearer $token" --exclude-operation-id delivery_events \
    --checks not_a_server_error,status_code_conformance,content_type_conformance,response_headers_conformance,response_schema_conformance,negative_data_rejection,missing_required_header,unsupported_method,allow_header_conformance \
    --phases examples,coverage,fuzzing --max-time "$seconds" --seed "$SEED" --request-timeout 20 --continue-on-failure \
    --suppress-health-check all --generation-database none --warnings off
)

export GWASUWON_VAR=$ROOT/var/contract-fuzz
cd "$ROOT"
python_tools "$TOOL" tests/contract-fuzz/requirements.txt
trap './dev down >/dev/null 2>&1 || true' EXIT
./dev down --wipe >/dev/null
./dev up --kind asan # with the seed: its farms and products are what lists answer, and what the tool learns ids from
STATUS=$(./dev status --json)
failed=0
for service in "${SERVICES[@]}"; do
  read -ra callers <<<"${CALLERS[$service]}"
  for caller in "${callers[@]}"; do
    fuzz "$service" "$caller" $((MINUTES * 60 / ${#SERVICES[@]} / ${#callers[@]})) || failed=1
  done
done
./dev down >/dev/null # what leaks is reported at the end
! grep -E -m 1 -A 25 'ERROR: (Address|Leak)Sanitizer|runtime error:' "$GWASUWON_VAR"/log/{fruit-catalog,order-manager,delivery-mock}.log || failed=1
exit $failed
