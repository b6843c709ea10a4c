# shellcheck shell=bash
# SPDX-License-Identifier: Apache-2.0
# The certificate of the local gateway: a certificate authority of this stack alone, and a leaf for localhost that it signs. Both are
# made at the first start and made again before they run out. Must never leave a key readable by others, sign for another name than
# this machine's loopback (the authority's own constraint forbids it), nor make any other program trust it.

TLS_DIR=$VAR/tls
CA_FILE=$TLS_DIR/ca.pem
CA_DAYS=3650
LEAF_DAYS=397 # browsers take no longer one
LEAF_RENEW_S=$((60 * 86400))
CA_RENEW_S=$(((LEAF_DAYS + 60) * 86400)) # a leaf must not outlive its authority
LOOPBACK='DNS:localhost,IP:127.0.0.1,IP:::1'

# lasts FILE SECONDS: the certificate is there and good for so long.
lasts() { openssl x509 -noout -checkend "$2" -in "$1" >/dev/null 2>&1; }

# fits CERTIFICATE KEY: they belong together.
fits() { [[ -s $2 && $(openssl x509 -noout -pubkey -in "$1" 2>/dev/null) == "$(openssl pkey -pubout -in "$2" 2>/dev/null)" ]]; }

make_key() { openssl genpkey -quiet -algorithm EC -pkeyopt ec_paramgen_curve:P-256 2>/dev/null | put 600 "$1"; }

make_authority() {
  make_key "$TLS_DIR/ca.key"
  openssl req -x509 -new -key "$TLS_DIR/ca.key" -sha256 -days "$CA_DAYS" -subj "/O=Gwasuwon/CN=Gwasuwon local CA $(openssl rand -hex 4)" \
    -addext basicConstraints=critical,CA:TRUE,pathlen:0 -addext keyUsage=critical,keyCertSign,cRLSign \
    -addext 'nameConstraints=critical,permitted;DNS:localhost,permitted;IP:127.0.0.1/255.255.255.255,permitted;IP:::1/ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff' \
    | put 644 "$CA_FILE"
}

make_leaf() {
  make_key "$TLS_DIR/gateway.key"
  openssl req -new -key "$TLS_DIR/gateway.key" -subj /O=Gwasuwon/CN=localhost |
    openssl x509 -req -sha256 -days "$LEAF_DAYS" -CA "$CA_FILE" -CAkey "$TLS_DIR/ca.key" -set_serial "0x$(openssl rand -hex 16)" -extfile <(
      printf '%s\n' basicConstraints=critical,CA:FALSE keyUsage=critical,digitalSignature extendedKeyUsage=serverAuth \
        "subjectAltName=$LOOPBACK" subjectKeyIdentifier=hash authorityKeyIdentifier=keyid
    ) 2>/dev/null | put 644 "$TLS_DIR/gateway.pem"
}

# Makes what is missing, damaged or about to run out.
prepare_tls() {
  TLS_MADE=
  mkdir -p "$TLS_DIR"
  chmod 700 "$TLS_DIR"
  if ! lasts "$CA_FILE" "$CA_RENEW_S" || ! fits "$CA_FILE" "$TLS_DIR/ca.key"; then
    make_authority
    TLS_MADE='made a certificate authority and a certificate'
  fi
  if ! lasts "$TLS_DIR/gateway.pem" "$LEAF_RENEW_S" || ! fits "$TLS_DIR/gateway.pem" "$TLS_DIR/gateway.key" ||
    ! openssl verify -CAfile "$CA_FILE" "$TLS_DIR/gateway.pem" >/dev/null 2>&1; then
    make_leaf
    TLS_MADE=${TLS_MADE:-made a certificate}
  fi
}
