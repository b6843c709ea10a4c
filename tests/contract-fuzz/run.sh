#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Asks the services whatever their OpenAPI files allow, and much that they do not (schemathesis), with an operator's token: no answer may
# be a server error, nor one that the contract does not name. A stack of its own, for this fills it with rubbish. Must never run against
# another stack, nor install anything outside the checkout.
#
#   ./dev contract-fuzz [--minutes N] [--seed N] [SERVICE...]      10 minutes in all, shared by the three services
set -euo pipefail
ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
TOOL=$ROOT/build/tools/contract-fuzz
LIST=$ROOT/tests/contract-fuzz/requirements.txt
MINUTES=10
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

install_tool() {
  local want
  want=$(sha256sum <"$LIST")
  [[ -e $TOOL/.list && $(<"$TOOL/.list") == "$want" ]] && return
  rm -rf "$TOOL"
  python3 -m venv "$TOOL"
  "$TOOL/bin/pip" install --quiet --disable-pip-version-check --no-deps -r "$LIST"
  echo "$want" >"$TOOL/.list"
}

# Asked of the service itself: what stands before it answers what its contract does not know (a limit of requests, say).
fuzz() {
  local service=$1 token
  token=$("$ROOT/dev" token operator1 --ttl $((MINUTES * 60 + 3600)))
  echo "$service: $((MINUTES * 60 / ${#SERVICES[@]})) s, seed $SEED"
  # A stream has no end, and a token that is taken away (ignored_auth) is what tests/blackbox/access.test.mjs asks for.
  cd "$GWASUWON_VAR" # it leaves its notes where it stands
  "$TOOL/bin/schemathesis" --config-file "$ROOT/tests/contract-fuzz/schemathesis.toml" run "$ROOT/contracts/openapi/$service.yaml" --url "$(jq -r ".services[\"$service\"].http" <<<"$STATUS")" \
    --header "Authorization: Bearer $token" --exclude-operation-id delivery_events \
    --checks not_a_server_error,status_code_conformance,content_type_conformance,response_headers_conformance,response_schema_conformance,negative_data_rejection,missing_required_header,unsupported_method,allow_header_conformance \
    --phases examples,coverage,fuzzing --max-time $((MINUTES * 60 / ${#SERVICES[@]})) --seed "$SEED" --request-timeout 20 --continue-on-failure \
    --suppress-health-check all --generation-database none --warnings off
}

export GWASUWON_VAR=$ROOT/var/contract-fuzz
cd "$ROOT"
install_tool
trap './dev down >/dev/null 2>&1 || true' EXIT
./dev down --wipe >/dev/null
./dev up --kind asan --no-seed
STATUS=$(./dev status --json)
failed=0
for service in "${SERVICES[@]}"; do fuzz "$service" || failed=1; done
exit $failed
