// SPDX-License-Identifier: Apache-2.0
// Access tokens. By its first byte an input is a key set ('K'), a header and claims to be signed by our key ('S', two
// lines), or a token as a stranger sends it. A stranger's is never taken, for nothing was ever signed by the keys it is
// held against; a signed one only when a second reading of its claims finds nothing wrong.
#include "fuzz.h"

#include "../../chassis/src/io/auth_internal.h"

#include <cjose/cjose.h>
#include <strings.h>

#define ISSUER   "https://issuer"
#define AUDIENCE "gwasuwon"
enum { NOW_S = 1000, LEEWAY_S = 60 };

static cjose_jwk_t *signer;
static struct ch_key_set signers, strangers;

// ---- keys ----

static cjose_jwk_t *key_named(cjose_jwk_t *key, const char *kid)
{
    cjose_err error;

    MUST(key && cjose_jwk_set_kid(key, kid, strlen(kid), &error));
    return key;
}

static void import_public(struct ch_key_set *set, cjose_jwk_t *const *keys, size_t count)
{
    json_t *list = json_array();
    cjose_err error;

    for (size_t i = 0; i < count; i++) {
        char *text = cjose_jwk_to_json(keys[i], false, &error);

        MUST(text && json_array_append_new(list, json_loads(text, 0, NULL)) == 0);
        cjose_get_dealloc()(text);
    }
    json_t *jwks = json_pack("{s:o}", "keys", list);
    char *text = json_dumps(jwks, 0);
    MUST(ch_key_set_import(ch_str_of(text), set) == CH_OK && set->count == count);
    free(text);
    json_decref(jwks);
}

static void make_keys(void)
{
    cjose_err error;
    cjose_jwk_t *unused[2];

    signer = key_named(cjose_jwk_create_EC_random(CJOSE_JWK_EC_P_256, &error), "e1");
    import_public(&signers, &signer, 1);
    unused[0] = key_named(cjose_jwk_create_EC_random(CJOSE_JWK_EC_P_256, &error), "e1");
    unused[1] = key_named(cjose_jwk_create_RSA_random(2048, (const uint8_t *)"\x01\x00\x01", 3, &error), "r1");
    import_public(&strangers, unused, 2);
    cjose_jwk_release(unused[0]);
    cjose_jwk_release(unused[1]);
}

// ---- a second reading ----

static bool has_text(const json_t *value, const char *wanted)
{
    if (json_is_string(value))
        return strcmp(json_string_value(value), wanted) == 0;
    for (size_t i = 0; i < json_array_size(value); i++)
        if (json_is_string(json_array_get(value, i)) &&
            strcmp(json_string_value(json_array_get(value, i)), wanted) == 0)
            return true;
    return false;
}

static void check_taken(struct ch_str header_text, struct ch_str claims_text, const struct ch_identity *identity)
{
    json_t *header = json_loadb(header_text.data, header_text.len, JSON_REJECT_DUPLICATES, NULL);
    json_t *claims = json_loadb(claims_text.data, claims_text.len, JSON_REJECT_DUPLICATES, NULL);
    const char *typ = json_string_value(json_object_get(header, "typ")),
               *sub = json_string_value(json_object_get(claims, "sub"));
    const json_t *exp = json_object_get(claims, "exp"), *nbf = json_object_get(claims, "nbf");

    MUST(header && claims);
    MUST(has_text(json_object_get(header, "alg"), "ES256") && has_text(json_object_get(header, "kid"), "e1"));
    MUST(!json_object_get(header, "crit") && !json_object_get(header, "b64"));
    MUST(typ && (strcasecmp(typ, "at+jwt") == 0 || strcasecmp(typ, "application/at+jwt") == 0));
    MUST(has_text(json_object_get(claims, "iss"), ISSUER) && has_text(json_object_get(claims, "aud"), AUDIENCE));
    MUST(json_is_integer(exp) && json_integer_value(exp) > NOW_S - LEEWAY_S);
    MUST(!nbf || (json_is_integer(nbf) && json_integer_value(nbf) <= NOW_S + LEEWAY_S));
    MUST(sub && *sub && strcmp(sub, identity->sub) == 0);
    MUST(!identity->is_operator || has_text(json_object_get(claims, "roles"), "operator"));
    MUST(!(identity->scopes & CH_ADMIN) || strstr(json_string_value(json_object_get(claims, "scope")), "admin"));
    json_decref(header);
    json_decref(claims);
}

// ---- inputs ----

static enum ch_token_fault judge(struct ch_key_set *set, struct ch_str token, struct ch_identity *ret_identity)
{
    const struct ch_token_rules rules = {.set = set, .issuer = ISSUER, .audience = AUDIENCE, .now_s = NOW_S};

    return ch_token_check(&rules, token, ret_identity);
}

static void check_keys(struct ch_str text)
{
    struct ch_key_set set;
    const enum ch_err err = ch_key_set_import(text, &set);

    MUST((err == CH_OK && set.count > 0 && set.count <= CH_AUTH_KEYS_MAX) || (err == CH_ERR_INVALID && set.count == 0));
    for (size_t i = 0; i < set.count; i++)
        MUST(set.keys[i].verify && (strcmp(set.keys[i].alg, "RS256") == 0 || strcmp(set.keys[i].alg, "ES256") == 0));
    ch_key_set_release(&set);
}

// The signature is made over whatever stands in the lines; cjose refuses to sign what it does not know.
static void check_signed(struct ch_str header_text, struct ch_str claims_text)
{
    json_t *header = json_loadb(header_text.data, header_text.len, JSON_REJECT_DUPLICATES, NULL);
    struct ch_identity identity = {0};
    cjose_err error;
    const char *token;

    if (!json_is_object(header)) {
        json_decref(header);
        return;
    }
    cjose_jws_t *jws =
        cjose_jws_sign(signer, (cjose_header_t *)header, (const uint8_t *)claims_text.data, claims_text.len, &error);
    if (jws && cjose_jws_export(jws, &token, &error)) {
        if (judge(&signers, ch_str_of(token), &identity) == CH_TOKEN_OK)
            check_taken(header_text, claims_text, &identity);
        MUST(judge(&strangers, ch_str_of(token), &identity) != CH_TOKEN_OK);
    }
    if (jws)
        cjose_jws_release(jws);
    json_decref(header);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct ch_str rest = {(const char *)data, len};
    struct ch_identity identity = {0};

    if (!signer)
        make_keys();
    if (len > 0 && data[0] == 'K') {
        check_keys((struct ch_str){rest.data + 1, len - 1});
    } else if (len > 0 && data[0] == 'S') {
        rest = (struct ch_str){rest.data + 1, len - 1};
        const struct ch_str header = fuzz_cut(&rest, '\n');
        check_signed(header, rest);
    } else if (len > 0) {
        MUST(judge(&strangers, rest, &identity) != CH_TOKEN_OK);
    }
    return 0;
}
