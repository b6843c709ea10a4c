// SPDX-License-Identifier: Apache-2.0
// Public keys of a JWKS (RFC 7517, RFC 7518 6) and the check of a signature with one of them, by OpenSSL's EVP. What
// can be made once a key is made once: the context of the verification and the digest, which OpenSSL 3 would look up by
// name each time. Must never take a private or symmetric key, nor let anything but the key's type choose the algorithm.
#include "auth_internal.h"

#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/param_build.h>
#include <openssl/rsa.h>
#include <stdio.h>

enum {
    RSA_BITS_MIN = 2048,
    RSA_BITS_MAX = 4096, // a larger one costs a loop milliseconds a check
    NUMBER_MAX = RSA_BITS_MAX / 8,
    EC_COORDINATE = 32,
    SIGNATURE_MAX = NUMBER_MAX,
    EC_DER_MAX = 80,
    DIGEST_LEN = 32,
};

// ---- from JSON to a key

static const char *text_member(const json_t *object, const char *name)
{
    return json_string_value(json_object_get(object, name));
}

// A base64url member; 0 when it is none, or longer than `max`.
static size_t bytes_member(const json_t *object, const char *name, uint8_t *ret_bytes, size_t max)
{
    const char *text = text_member(object, name);
    struct ch_buf bytes;
    size_t len = 0;

    ch_buf_init(&bytes, max + 1);
    if (text && ch_base64url_decode(ch_str_of(text), &bytes) == CH_OK && bytes.len <= max && !bytes.is_full) {
        len = bytes.len;
        memcpy(ret_bytes, bytes.data, len);
    }
    ch_buf_release(&bytes);
    return len;
}

static EVP_PKEY *key_from(const char *type, OSSL_PARAM_BLD *build)
{
    OSSL_PARAM *params = OSSL_PARAM_BLD_to_param(build);
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, type, NULL);
    EVP_PKEY *key = NULL;

    if (!params || !ctx || EVP_PKEY_fromdata_init(ctx) <= 0 ||
        EVP_PKEY_fromdata(ctx, &key, EVP_PKEY_PUBLIC_KEY, params) <= 0)
        key = NULL;
    EVP_PKEY_CTX_free(ctx);
    OSSL_PARAM_free(params);
    return key;
}

static EVP_PKEY *rsa_key(const json_t *jwk)
{
    uint8_t n[NUMBER_MAX], e[8];
    const size_t n_len = bytes_member(jwk, "n", n, sizeof(n)), e_len = bytes_member(jwk, "e", e, sizeof(e));
    BIGNUM *modulus = BN_bin2bn(n, (int)n_len, NULL), *exponent = BN_bin2bn(e, (int)e_len, NULL);
    OSSL_PARAM_BLD *build = OSSL_PARAM_BLD_new();
    EVP_PKEY *key = NULL;

    if (modulus && exponent && build && BN_num_bits(modulus) >= RSA_BITS_MIN && BN_is_odd(exponent) &&
        BN_num_bits(exponent) > 1 && OSSL_PARAM_BLD_push_BN(build, OSSL_PKEY_PARAM_RSA_N, modulus) &&
        OSSL_PARAM_BLD_push_BN(build, OSSL_PKEY_PARAM_RSA_E, exponent))
        key = key_from("RSA", build);
    OSSL_PARAM_BLD_free(build);
    BN_free(modulus);
    BN_free(exponent);
    return key;
}

static EVP_PKEY *ec_key(const json_t *jwk)
{
    uint8_t point[1 + 2 * EC_COORDINATE] = {POINT_CONVERSION_UNCOMPRESSED};
    OSSL_PARAM_BLD *build = OSSL_PARAM_BLD_new();
    EVP_PKEY *key = NULL;

    if (build && bytes_member(jwk, "x", point + 1, EC_COORDINATE) == EC_COORDINATE &&
        bytes_member(jwk, "y", point + 1 + EC_COORDINATE, EC_COORDINATE) == EC_COORDINATE &&
        OSSL_PARAM_BLD_push_utf8_string(build, OSSL_PKEY_PARAM_GROUP_NAME, "prime256v1", 0) &&
        OSSL_PARAM_BLD_push_octet_string(build, OSSL_PKEY_PARAM_PUB_KEY, point, sizeof(point)))
        key = key_from("EC", build); // refuses a point that is not on the curve
    OSSL_PARAM_BLD_free(build);
    return key;
}

static const struct key_type {
    const char *kty, *alg, *crv;
    EVP_PKEY *(*make)(const json_t *jwk);
} key_types[] = {
    {"RSA", "RS256", NULL, rsa_key},
    {"EC", "ES256", "P-256", ec_key},
};

// How a key may be used; NULL: not for signatures that we accept.
static const struct key_type *type_of(const json_t *jwk)
{
    const char *kty = text_member(jwk, "kty"), *use = text_member(jwk, "use"), *alg = text_member(jwk, "alg"),
               *crv = text_member(jwk, "crv");

    if (!kty || (use && strcmp(use, "sig") != 0))
        return NULL;
    for (size_t i = 0; i < sizeof(key_types) / sizeof(key_types[0]); i++)
        if (strcmp(kty, key_types[i].kty) == 0 && (!alg || strcmp(alg, key_types[i].alg) == 0) &&
            (!key_types[i].crv || (crv && strcmp(crv, key_types[i].crv) == 0)))
            return &key_types[i];
    return NULL;
}

static bool verification_init(struct ch_auth_key *slot, EVP_PKEY *key, const EVP_MD *sha256)
{
    slot->verify = EVP_PKEY_CTX_new_from_pkey(NULL, key, NULL); // has a reference to `key`
    return slot->verify && EVP_PKEY_verify_init(slot->verify) > 0 &&
           (EVP_PKEY_get_base_id(key) != EVP_PKEY_RSA ||
            EVP_PKEY_CTX_set_rsa_padding(slot->verify, RSA_PKCS1_PADDING) > 0) &&
           EVP_PKEY_CTX_set_signature_md(slot->verify, sha256) > 0;
}

static void import_one(const json_t *jwk, struct ch_key_set *set)
{
    const struct key_type *type = type_of(jwk);
    const char *kid = text_member(jwk, "kid");
    struct ch_auth_key *slot = &set->keys[set->count];
    EVP_PKEY *key = NULL;

    if (!type || !kid || strlen(kid) >= sizeof(slot->kid) || set->count == CH_AUTH_KEYS_MAX)
        return;
    key = type->make(jwk);
    *slot = (struct ch_auth_key){.alg = type->alg};
    (void)snprintf(slot->kid, sizeof(slot->kid), "%s", kid); // its length was looked at
    if (key && verification_init(slot, key, set->sha256))
        set->count++;
    else
        EVP_PKEY_CTX_free(slot->verify);
    EVP_PKEY_free(key);
}

enum ch_err ch_key_set_import(struct ch_str jwks, struct ch_key_set *ret_set)
{
    json_t *json = NULL, *jwk;
    size_t index;

    *ret_set = (struct ch_key_set){0};
    if (ch_json_parse(jwks, NULL, &json))
        return CH_ERR_INVALID;
    ret_set->sha256 = EVP_MD_fetch(NULL, "SHA256", NULL);
    ret_set->digest = EVP_MD_CTX_new();
    if (ret_set->sha256 && ret_set->digest)
        json_array_foreach(json_object_get(json, "keys"), index, jwk) import_one(jwk, ret_set);
    json_decref(json);
    ERR_clear_error(); // of keys that were passed over
    if (ret_set->count > 0)
        return CH_OK;
    ch_key_set_release(ret_set);
    return CH_ERR_INVALID;
}

void ch_key_set_release(struct ch_key_set *set)
{
    for (size_t i = 0; i < set->count; i++)
        EVP_PKEY_CTX_free(set->keys[i].verify);
    EVP_MD_CTX_free(set->digest);
    EVP_MD_free(set->sha256);
    *set = (struct ch_key_set){0};
}

struct ch_auth_key *ch_key_find(struct ch_key_set *set, const char *kid)
{
    for (size_t i = 0; i < set->count; i++)
        if (strcmp(set->keys[i].kid, kid) == 0)
            return &set->keys[i];
    return NULL;
}

// ---- signatures

// A JWS has r and s of an ECDSA signature side by side (RFC 7518 3.4), OpenSSL wants them in DER. 0: neither.
static size_t der_from(const uint8_t *raw, size_t len, uint8_t ret_der[EC_DER_MAX])
{
    ECDSA_SIG *sig = ECDSA_SIG_new();
    BIGNUM *r = NULL, *s = NULL;
    int der_len = 0;

    if (sig && len == (size_t)2 * EC_COORDINATE) {
        r = BN_bin2bn(raw, EC_COORDINATE, NULL);
        s = BN_bin2bn(raw + EC_COORDINATE, EC_COORDINATE, NULL);
    }
    if (r && s && ECDSA_SIG_set0(sig, r, s)) { // owns both now
        r = s = NULL;
        der_len = i2d_ECDSA_SIG(sig, &ret_der);
    }
    BN_free(r);
    BN_free(s);
    ECDSA_SIG_free(sig);
    return der_len > 0 ? (size_t)der_len : 0;
}

static bool digest_of(const struct ch_key_set *set, struct ch_str text, uint8_t ret_digest[DIGEST_LEN])
{
    unsigned len = 0;

    return EVP_DigestInit_ex2(set->digest, set->sha256, NULL) > 0 &&
           EVP_DigestUpdate(set->digest, text.data, text.len) > 0 &&
           EVP_DigestFinal_ex(set->digest, ret_digest, &len) > 0 && len == DIGEST_LEN;
}

bool ch_key_verify(const struct ch_key_set *set, const struct ch_auth_key *key, struct ch_str text,
                   struct ch_str signature)
{
    uint8_t digest[DIGEST_LEN], der[EC_DER_MAX];
    struct ch_buf raw;
    bool is_valid = false;

    ch_buf_init(&raw, SIGNATURE_MAX);
    if (ch_base64url_decode(signature, &raw) == CH_OK && raw.len > 0 && digest_of(set, text, digest)) {
        const bool is_ec = strcmp(key->alg, "ES256") == 0;
        const uint8_t *bytes = is_ec ? der : (const uint8_t *)raw.data;
        const size_t len = is_ec ? der_from((const uint8_t *)raw.data, raw.len, der) : raw.len;

        is_valid = len > 0 && EVP_PKEY_verify(key->verify, bytes, len, digest, sizeof(digest)) == 1;
    }
    ch_buf_release(&raw);
    if (!is_valid)
        ERR_clear_error(); // OpenSSL's queue is the thread's: libcurl and libpq read it too
    return is_valid;
}
