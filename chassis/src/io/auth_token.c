// SPDX-License-Identifier: Apache-2.0
// Checks one JWT access token: form, header, key, signature, claims, in this order. Exists apart from cache and key
// source so that every rule can be tested with plain bytes. Must never let the token choose its own algorithm or key.
#include "auth_internal.h"

#include <stdio.h>

enum { LEEWAY_S = 60, ARENA_MAX = 64 * 1024 };

static const char *text_member(const json_t *object, const char *name)
{
    return json_string_value(json_object_get(object, name));
}

// Padding and line ends included: a token has neither. Looked at before anything is computed of it.
static bool is_base64url(struct ch_str text)
{
    for (size_t i = 0; i < text.len; i++) {
        const char c = text.data[i], letter = (char)(c | 0x20);

        if (!(letter >= 'a' && letter <= 'z') && !(c >= '0' && c <= '9') && c != '-' && c != '_')
            return false;
    }
    return text.len % 4 != 1;
}

// ---- header
// ------------------------------------------------------------------------------------------------------------

// A part of the token as strict JSON; NULL when it is none.
static json_t *part_json(struct ch_str part)
{
    struct ch_buf text;
    json_t *json = NULL;

    ch_buf_init(&text, CH_AUTH_TOKEN_MAX);
    if (ch_base64url_decode(part, &text) == CH_OK && ch_json_parse(ch_buf_str(&text), NULL, &json) == CH_OK &&
        !json_is_object(json)) {
        json_decref(json);
        json = NULL;
    }
    ch_buf_release(&text);
    return json;
}

static bool type_is_access_token(const char *typ)
{
    return typ &&
           (ch_str_ieq(ch_str_of(typ), CH_STR("at+jwt")) || ch_str_ieq(ch_str_of(typ), CH_STR("application/at+jwt")));
}

// The key of a header that was read and found good before.
static struct ch_auth_key *key_of_header(struct ch_key_set *set, struct ch_str part)
{
    for (size_t i = 0; i < set->count; i++)
        if (set->keys[i].header_len == part.len && memcmp(set->keys[i].header, part.data, part.len) == 0)
            return &set->keys[i];
    return NULL;
}

static void remember_header(struct ch_auth_key *key, struct ch_str part)
{
    if (part.len > sizeof(key->header))
        return;
    memcpy(key->header, part.data, part.len);
    key->header_len = part.len;
}

static enum ch_token_fault check_header(const struct ch_token_rules *rules, struct ch_str part,
                                        struct ch_auth_key **ret_key)
{
    enum ch_token_fault fault = CH_TOKEN_UNKNOWN_KEY;
    json_t *header = part_json(part);

    if (!header)
        return CH_TOKEN_MALFORMED;
    const char *alg = text_member(header, "alg"), *kid = text_member(header, "kid");
    if (json_object_get(header, "crit") || json_object_get(header, "b64") || !alg) {
        fault = CH_TOKEN_MALFORMED; // extensions we must understand, and understand none (RFC 7515 4.1.11)
    } else if (strcmp(alg, "RS256") != 0 && strcmp(alg, "ES256") != 0) {
        fault = CH_TOKEN_ALGORITHM;
    } else if (!type_is_access_token(text_member(header, "typ"))) {
        fault = CH_TOKEN_TYPE;
    } else {
        *ret_key = kid ? ch_key_find(rules->set, kid) : NULL;
        if (*ret_key)
            fault = strcmp((*ret_key)->alg, alg) == 0 ? CH_TOKEN_OK : CH_TOKEN_ALGORITHM;
    }
    json_decref(header);
    return fault;
}

// ---- claims
// ------------------------------------------------------------------------------------------------------------

static const struct {
    const char *name;
    unsigned bit;
} scope_names[] = {
#define CH_SCOPE(id, bit, name) {name, 1u << (bit)},
#include "ch/scopes.def"
#undef CH_SCOPE
};

// Space-separated names (RFC 6749 3.3); names of other systems are passed over.
static unsigned read_scopes(const char *text)
{
    unsigned scopes = 0;

    while (text && *text) {
        const size_t len = strcspn(text, " ");
        for (size_t i = 0; i < sizeof(scope_names) / sizeof(scope_names[0]); i++)
            if (ch_str_is((struct ch_str){text, len}, scope_names[i].name))
                scopes |= scope_names[i].bit;
        text += len + (text[len] == ' ');
    }
    return scopes;
}

static bool audience_has(const json_t *aud, const char *wanted)
{
    const char *single = json_string_value(aud);
    size_t index;
    json_t *item;

    if (single)
        return strcmp(single, wanted) == 0;
    json_array_foreach(aud, index, item)
    {
        const char *text = json_string_value(item);
        if (text && strcmp(text, wanted) == 0)
            return true;
    }
    return false;
}

static bool has_role(const json_t *claims, const char *role)
{
    return audience_has(json_object_get(claims, "roles"), role); // a text or a list of texts, like aud
}

static enum ch_token_fault check_times(const json_t *claims, int64_t now_s)
{
    const json_t *exp = json_object_get(claims, "exp"), *nbf = json_object_get(claims, "nbf");

    if (!json_is_integer(exp) || (nbf && !json_is_integer(nbf)))
        return CH_TOKEN_CLAIMS;
    if (json_integer_value(exp) <= now_s - LEEWAY_S)
        return CH_TOKEN_EXPIRED;
    if (nbf && json_integer_value(nbf) > now_s + LEEWAY_S)
        return CH_TOKEN_NOT_YET_VALID;
    return CH_TOKEN_OK;
}

static enum ch_token_fault read_identity(const json_t *claims, struct ch_identity *ret_identity)
{
    const char *sub = text_member(claims, "sub"), *farm = text_member(claims, "farmId"),
               *service = text_member(claims, "service");

    if (!sub || !*sub || strlen(sub) >= sizeof(ret_identity->sub) ||
        (service && strlen(service) >= sizeof(ret_identity->service)))
        return CH_TOKEN_CLAIMS;
    *ret_identity = (struct ch_identity){
        .scopes = read_scopes(text_member(claims, "scope")),
        .is_farmer = has_role(claims, "farmer"),
        .is_operator = has_role(claims, "operator"),
        .is_buyer = has_role(claims, "buyer"),
        .expires_s = json_integer_value(json_object_get(claims, "exp")),
    };
    snprintf(ret_identity->sub, sizeof(ret_identity->sub), "%s", sub);
    snprintf(ret_identity->service, sizeof(ret_identity->service), "%s", service ? service : "");
    if (ch_uuid_parse(ch_str_of(sub), &ret_identity->id))
        memset(&ret_identity->id, 0, sizeof(ret_identity->id)); // an issuer may number people otherwise
    if (farm && ch_uuid_parse(ch_str_of(farm), &ret_identity->farm_id))
        return CH_TOKEN_CLAIMS;
    return CH_TOKEN_OK;
}

static enum ch_token_fault check_claims(const struct ch_token_rules *rules, struct ch_str part,
                                        struct ch_identity *ret_identity)
{
    json_t *claims = part_json(part);

    if (!claims)
        return CH_TOKEN_MALFORMED;
    const char *iss = text_member(claims, "iss");
    enum ch_token_fault fault = CH_TOKEN_OK;
    if (!iss || strcmp(iss, rules->issuer) != 0)
        fault = CH_TOKEN_ISSUER;
    else if (!audience_has(json_object_get(claims, "aud"), rules->audience))
        fault = CH_TOKEN_AUDIENCE;
    if (!fault)
        fault = check_times(claims, rules->now_s);
    if (!fault)
        fault = read_identity(claims, ret_identity);
    json_decref(claims);
    return fault;
}

enum ch_token_fault ch_token_check(const struct ch_token_rules *rules, struct ch_str token,
                                   struct ch_identity *ret_identity)
{
    struct ch_auth_key *key = NULL;
    const char *dot = token.len <= CH_AUTH_TOKEN_MAX ? memchr(token.data, '.', token.len) : NULL;
    const char *end = token.data + token.len;
    const char *second = dot ? memchr(dot + 1, '.', (size_t)(end - dot - 1)) : NULL;

    if (!second || memchr(second + 1, '.', (size_t)(end - second - 1)))
        return CH_TOKEN_MALFORMED;
    if (!is_base64url((struct ch_str){dot + 1, (size_t)(second - dot - 1)}) ||
        !is_base64url((struct ch_str){second + 1, (size_t)(end - second - 1)}))
        return CH_TOKEN_MALFORMED;
    const struct ch_str header = {token.data, (size_t)(dot - token.data)},
                        text = {token.data, (size_t)(second - token.data)};
    enum ch_token_fault fault = CH_TOKEN_OK;

    if (header.len > 0)
        key = key_of_header(rules->set, header);
    const bool is_new_header = !key;
    if (is_new_header)
        fault = check_header(rules, header, &key);
    if (fault)
        return fault;
    if (!ch_key_verify(rules->set, key, text, (struct ch_str){second + 1, (size_t)(end - second - 1)}))
        return CH_TOKEN_SIGNATURE;
    if (is_new_header)
        remember_header(key, header);
    return check_claims(rules, (struct ch_str){dot + 1, (size_t)(second - dot - 1)}, ret_identity);
}
