# shellcheck shell=bash
# SPDX-License-Identifier: Apache-2.0
# The gateway: a private nginx in front of the services. Must never read or write Debian's nginx (/etc/nginx but for its MIME types).

NGINX_DIR=$VAR/nginx

# upstream_servers SERVICE: prints nginx's lines for its instances. An instance that fails once is passed over for a second. All stand
# there once more as backup and are never passed over: when one is restarted while another is still being passed over, both would
# be taken for dead.
upstream_servers() {
  local name text='' spare=''
  for name in $(siblings_of "$1"); do
    text+="server 127.0.0.1:$(port_of "$name" HTTP) max_fails=1 fail_timeout=1s; "
    spare+="server 127.0.0.1:$(port_of "$name" HTTP) max_fails=0 backup; "
  done
  ((INSTANCE_COUNT > 1)) || spare=''
  echo "$text$spare"
}

# render_gateway: writes nginx's configuration, by the variables that are set.
render_gateway() {
  FRUIT_CATALOG_SERVERS=$(upstream_servers fruit-catalog)
  ORDER_MANAGER_SERVERS=$(upstream_servers order-manager)
  DELIVERY_MOCK_SERVERS=$(upstream_servers delivery-mock)
  mkdir -p "$NGINX_DIR/temp" "$NGINX_DIR/cache"
  NGINX_USER=
  TLS_LISTEN_V6= # where the machine has an IPv6 loopback: localhost means both
  [[ ! -e /proc/net/if_inet6 ]] || ! grep -q ' lo$' /proc/net/if_inet6 || TLS_LISTEN_V6="listen [::1]:$GATEWAY_TLS_PORT ssl backlog=4096;"
  ((EUID != 0)) || NGINX_USER='user root;' # its workers read the checkout, which may be root's alone
  GATEWAY_LIMITS=${GATEWAY_LIMITS:-}
  [[ $GATEWAY_LIMITS =~ ^[a-z0-9.=\ -]*$ ]] || fail "GATEWAY_LIMITS=\"$GATEWAY_LIMITS\" is not understood" '' 'docs/edge.md says its form'
  auth_of_gateway
  case ${GATEWAY_PLAIN_API:-on} in
    on) PLAIN_LOCATIONS="include $NGINX_DIR/server.conf; $AUTH_PLAIN" ;;
    off) PLAIN_LOCATIONS= ;;
    *) fail "GATEWAY_PLAIN_API=\"$GATEWAY_PLAIN_API\": on or off" ;;
  esac
  render "$ROOT/stack/nginx.conf" | put 644 "$NGINX_DIR/nginx.conf"
  render "$ROOT/stack/nginx-server.conf" | put 644 "$NGINX_DIR/server.conf"
}

# auth_of_gateway: where /auth/ leads. Over plain HTTP only what programs read: the public keys and the discovery document.
auth_of_gateway() {
  local name
  GATEWAY_JWKS=${GATEWAY_JWKS:-http://127.0.0.1:$IDENTITY_PORT/auth/jwks.json}
  AUTH_PLAIN=
  for name in jwks.json .well-known/openid-configuration; do AUTH_PLAIN+="location = /auth/$name { proxy_pass http://identity; }"; done
}

start_gateway() {
  local sum
  prepare_tls
  render_gateway
  sum=$(sum_of "$NGINX_DIR/nginx.conf" "$NGINX_DIR/server.conf" "$TLS_DIR/gateway.pem" "$ROOT"/deploy/gateway/{nginx-*.conf,policy.json} "$ROOT"/stack/edge/*.lua)
  if is_current gateway "$sum"; then
    return
  fi
  stop_gateway
  require_free gateway "$GATEWAY_PORT"
  require_free gateway "$GATEWAY_TLS_PORT"
  launch gateway "$sum" env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin \
    /usr/sbin/nginx -p "$NGINX_DIR" -c "$NGINX_DIR/nginx.conf" -e stderr
  STARTED[gateway]=1
}

wait_gateway() { wait_ready gateway 10 curl -fsS -m 2 --cacert "$CA_FILE" -o /dev/null "$GATEWAY_TLS_URL/"; }

stop_gateway() {
  begin_stop gateway "$([[ ${1:-} == now ]] && echo KILL || echo TERM)"
  end_stop gateway 10
}
