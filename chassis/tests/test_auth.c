// SPDX-License-Identifier: Apache-2.0
// Which access tokens are taken: a table of good and bad ones, the cache, and keys that change while the loop runs.
#include "../src/io/auth_internal.h"
#include "cases.h"
#include "loop_fixture.h"

#include <cjose/cjose.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static cjose_jwk_t *rsa, *ec, *stranger;

static cjose_jwk_t *with_kid(cjose_jwk_t *jwk, const char *kid)
{
    cjose_err error;

    assert_non_null(jwk);
    assert_true(cjose_jwk_set_kid(jwk, kid, strlen(kid), &error));
    return jwk;
}

static void add_public(json_t *keys, const cjose_jwk_t *jwk)
{
    cjose_err error;
    char *text = cjose_jwk_to_json(jwk, false, &error);

    json_array_append_new(keys, json_loads(text, 0, NULL));
    cjose_get_dealloc()(text);
}

// JWKS with the first `count` of rsa, ec, stranger.
static char *jwks_text(int count)
{
    const cjose_jwk_t *all[] = {rsa, ec, stranger};
    json_t *keys = json_array();

    for (int i = 0; i < count; i++)
        add_public(keys, all[i]);
    json_t *set = json_pack("{s:o}", "keys", keys);
    char *text = json_dumps(set, 0);
    json_decref(set);
    return text;
}

static char *sign(cjose_jwk_t *jwk, const char *header_text, const char *claims)
{
    cjose_err error;
    const char *compact;
    json_t *header = json_loads(header_text, 0, NULL);
    cjose_jws_t *jws = cjose_jws_sign(jwk, (cjose_header_t *)header, (const uint8_t *)claims, strlen(claims), &error);

    assert_non_null(jws);
    assert_true(cjose_jws_export(jws, &compact, &error));
    char *copy = strdup(compact);
    cjose_jws_release(jws);
    json_decref(header);
    return copy;
}

#define RS   "{\"alg\":\"RS256\",\"kid\":\"r1\",\"typ\":\"at+jwt\"}"
#define BASE "\"iss\":\"https://issuer\",\"aud\":\"gwasuwon\",\"sub\":\"018f0000-0000-7000-8000-0000000000b1\""
#define GOOD                                                                                                           \
    "{" BASE ",\"exp\":2000,\"scope\":\"orders:read  orders:write "                                                    \
    "other\",\"roles\":[\"farmer\"],\"farmId\":\"018f0000-0000-7000-9000-000000000001\"}"

enum signer { BY_RSA, BY_EC, BY_STRANGER };

static const struct {
    const char *name;
    enum signer signer;
    const char *header, *claims;
    enum ch_token_fault want;
} cases[] = {
    {"good RS256", BY_RSA, RS, GOOD, CH_TOKEN_OK},
    {"good ES256", BY_EC, "{\"alg\":\"ES256\",\"kid\":\"e1\",\"typ\":\"application/AT+JWT\"}", GOOD, CH_TOKEN_OK},
    {"audience list", BY_RSA, RS,
     "{\"iss\":\"https://issuer\",\"aud\":[\"other\",\"gwasuwon\"],\"sub\":\"x\",\"exp\":2000}", CH_TOKEN_OK},
    {"within the leeway", BY_RSA, RS, "{" BASE ",\"exp\":950}", CH_TOKEN_OK},
    {"expired", BY_RSA, RS, "{" BASE ",\"exp\":900}", CH_TOKEN_EXPIRED},
    {"no exp", BY_RSA, RS, "{" BASE "}", CH_TOKEN_CLAIMS},
    {"exp as text", BY_RSA, RS, "{" BASE ",\"exp\":\"2000\"}", CH_TOKEN_CLAIMS},
    {"not yet valid", BY_RSA, RS, "{" BASE ",\"exp\":2000,\"nbf\":1100}", CH_TOKEN_NOT_YET_VALID},
    {"other issuer", BY_RSA, RS, "{\"iss\":\"https://other\",\"aud\":\"gwasuwon\",\"sub\":\"x\",\"exp\":2000}",
     CH_TOKEN_ISSUER},
    {"no issuer", BY_RSA, RS, "{\"aud\":\"gwasuwon\",\"sub\":\"x\",\"exp\":2000}", CH_TOKEN_ISSUER},
    {"other audience", BY_RSA, RS, "{\"iss\":\"https://issuer\",\"aud\":\"bank\",\"sub\":\"x\",\"exp\":2000}",
     CH_TOKEN_AUDIENCE},
    {"no subject", BY_RSA, RS, "{\"iss\":\"https://issuer\",\"aud\":\"gwasuwon\",\"exp\":2000}", CH_TOKEN_CLAIMS},
    {"farmId no UUID", BY_RSA, RS, "{" BASE ",\"exp\":2000,\"farmId\":\"1\"}", CH_TOKEN_CLAIMS},
    {"duplicate claim", BY_RSA, RS, "{" BASE ",\"sub\":\"y\",\"exp\":2000}", CH_TOKEN_MALFORMED},
    {"exp twice", BY_RSA, RS, "{" BASE ",\"exp\":2000,\"exp\":3000}", CH_TOKEN_MALFORMED},
    {"claims no object", BY_RSA, RS, "[1]", CH_TOKEN_MALFORMED},
    {"ID token", BY_RSA, "{\"alg\":\"RS256\",\"kid\":\"r1\",\"typ\":\"JWT\"}", GOOD, CH_TOKEN_TYPE},
    {"no type", BY_RSA, "{\"alg\":\"RS256\",\"kid\":\"r1\"}", GOOD, CH_TOKEN_TYPE},
    {"no kid", BY_RSA, "{\"alg\":\"RS256\",\"typ\":\"at+jwt\"}", GOOD, CH_TOKEN_UNKNOWN_KEY},
    {"stranger's key", BY_STRANGER, "{\"alg\":\"RS256\",\"kid\":\"s1\",\"typ\":\"at+jwt\"}", GOOD,
     CH_TOKEN_UNKNOWN_KEY},
    {"stranger under our kid", BY_STRANGER, RS, GOOD, CH_TOKEN_SIGNATURE},
    {"RS384", BY_RSA, "{\"alg\":\"RS384\",\"kid\":\"r1\",\"typ\":\"at+jwt\"}", GOOD, CH_TOKEN_ALGORITHM},
    {"RS256 under the EC kid", BY_RSA, "{\"alg\":\"RS256\",\"kid\":\"e1\",\"typ\":\"at+jwt\"}", GOOD,
     CH_TOKEN_ALGORITHM},
    {"crit", BY_RSA, "{\"alg\":\"RS256\",\"kid\":\"r1\",\"typ\":\"at+jwt\",\"crit\":[\"exp\"]}", GOOD,
     CH_TOKEN_MALFORMED},
};

static struct ch_token_rules rules_with(struct ch_key_set *set)
{
    char *text = jwks_text(2);

    assert_int_equal(ch_key_set_import(ch_str_of(text), set), CH_OK);
    free(text);
    return (struct ch_token_rules){.set = set, .issuer = "https://issuer", .audience = "gwasuwon", .now_s = 1000};
}

static void test_token__is_judged_by_every_rule(void **state)
{
    cjose_jwk_t *signers[] = {rsa, ec, stranger};
    struct ch_key_set set;
    const struct ch_token_rules rules = rules_with(&set);

    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct ch_identity who;
        char *token = sign(signers[cases[i].signer], cases[i].header, cases[i].claims);
        const enum ch_token_fault got = ch_token_check(&rules, ch_str_of(token), &who);

        if (got != cases[i].want)
            fail_msg("%s: got %d, want %d", cases[i].name, got, cases[i].want);
        free(token);
    }
    ch_key_set_release(&set);
}

static void test_token__carries_scopes_roles_and_farm(void **state)
{
    struct ch_key_set set;
    const struct ch_token_rules rules = rules_with(&set);
    char *token = sign(rsa, RS, GOOD), farm[CH_UUID_TEXT];
    struct ch_identity who;

    (void)state;
    assert_int_equal(ch_token_check(&rules, ch_str_of(token), &who), CH_TOKEN_OK);
    assert_int_equal(who.scopes, CH_ORDERS_READ | CH_ORDERS_WRITE);
    assert_true(who.is_farmer && !who.is_buyer && !who.is_operator);
    ch_uuid_format(who.farm_id, farm);
    assert_string_equal(farm, "018f0000-0000-7000-9000-000000000001");
    assert_int_equal(who.expires_s, 2000);
    free(token);
    ch_key_set_release(&set);
}

// Bytes that no signer of ours makes.
static void test_token__refuses_forged_forms(void **state)
{
    static const struct {
        const char *name, *token;
        enum ch_token_fault want;
    } forms[] = {
        {"empty", "", CH_TOKEN_MALFORMED},
        {"one part", "abc", CH_TOKEN_MALFORMED},
        {"two parts", "abc.def", CH_TOKEN_MALFORMED},
        {"four parts", "a.b.c.d", CH_TOKEN_MALFORMED},
        {"not base64url", "a+b=.c.d", CH_TOKEN_MALFORMED},
        // {"alg":"none","typ":"at+jwt","kid":"r1"}
        {"alg none", "eyJhbGciOiJub25lIiwidHlwIjoiYXQrand0Iiwia2lkIjoicjEifQ.e30.", CH_TOKEN_ALGORITHM},
        // {"alg":"HS256","typ":"at+jwt","kid":"r1"}
        {"HS256 with a public key", "eyJhbGciOiJIUzI1NiIsInR5cCI6ImF0K2p3dCIsImtpZCI6InIxIn0.e30.AAAA",
         CH_TOKEN_ALGORITHM},
        // {"alg":"RS256","typ":"at+jwt","kid":"r1"}; a decoder may stumble over = where no padding can be
        {"padding in the signature", "eyJhbGciOiJSUzI1NiIsInR5cCI6ImF0K2p3dCIsImtpZCI6InIxIn0.e30.B=cHBwcH",
         CH_TOKEN_MALFORMED},
        {"padding in the claims", "eyJhbGciOiJSUzI1NiIsInR5cCI6ImF0K2p3dCIsImtpZCI6InIxIn0.e=30.BwcHBwcH",
         CH_TOKEN_MALFORMED},
        {"a lone digit", "eyJhbGciOiJSUzI1NiIsInR5cCI6ImF0K2p3dCIsImtpZCI6InIxIn0.e30.BwcHB", CH_TOKEN_MALFORMED},
    };
    struct ch_key_set set;
    const struct ch_token_rules rules = rules_with(&set);

    (void)state;
    for (size_t i = 0; i < COUNT_OF(forms); i++) {
        struct ch_identity who;
        const enum ch_token_fault got = ch_token_check(&rules, ch_str_of(forms[i].token), &who);

        if (got != forms[i].want)
            fail_msg("%s: got %d, want %d", forms[i].name, got, forms[i].want);
    }
    ch_key_set_release(&set);
}

static void test_keys__with_padding_are_passed_over(void **state)
{
    static const char *const sets[] = {
        "{\"keys\":[{\"kty\":\"RSA\",\"kid\":\"r\",\"n\":\"o=GhoaGhoaGhoaGh\",\"e\":\"AQAB\"}]}",
        "{\"keys\":[{\"kty\":\"RSA\",\"kid\":\"r\",\"n\":\"oaGhoaGh\",\"e\":\"A=AB\"}]}",
        "{\"keys\":[{\"kty\":\"EC\",\"crv\":\"P-256\",\"kid\":\"e\",\"x\":\"e=h4\",\"y\":\"eXl5\"}]}",
    };
    struct ch_key_set set;

    (void)state;
    for (size_t i = 0; i < COUNT_OF(sets); i++)
        assert_int_equal(ch_key_set_import(ch_str_of(sets[i]), &set), CH_ERR_INVALID);
}

// A header that was read once is not read again: what it leads to must still be the key that signed.
static void test_token__remembers_a_header_but_no_signature(void **state)
{
    struct ch_key_set set;
    const struct ch_token_rules rules = rules_with(&set);
    char *good = sign(rsa, RS, GOOD), *forged = sign(stranger, RS, GOOD), *longer = NULL;
    struct ch_identity who;

    (void)state;
    assert_int_equal(ch_token_check(&rules, ch_str_of(forged), &who), CH_TOKEN_SIGNATURE);
    assert_int_equal(set.keys[0].header_len, 0); // what was forged is not remembered
    for (int i = 0; i < 2; i++) {
        assert_int_equal(ch_token_check(&rules, ch_str_of(good), &who), CH_TOKEN_OK);
        assert_int_equal(ch_token_check(&rules, ch_str_of(forged), &who), CH_TOKEN_SIGNATURE);
    }
    assert_true(asprintf(&longer, "A%s", good) > 0);
    assert_int_not_equal(ch_token_check(&rules, ch_str_of(longer), &who), CH_TOKEN_OK);
    free(good);
    free(forged);
    free(longer);
    ch_key_set_release(&set);
}

static void test_keys__only_good_public_ones_are_imported(void **state)
{
    cjose_err error;
    cjose_jwk_t *small =
        with_kid(cjose_jwk_create_RSA_random(1024, (const uint8_t *)"\x01\x00\x01", 3, &error), "small");
    char *small_text = cjose_jwk_to_json(small, false, &error), *ours = cjose_jwk_to_json(ec, false, &error);
    const struct {
        const char *name, *key;
        bool is_good;
    } keys[] = {
        {"our EC key", ours, true},
        {"RSA of 1024 bits", small_text, false},
        {"a symmetric key", "{\"kty\":\"oct\",\"kid\":\"x\",\"k\":\"AAAAAAAA\"}", false},
        {"a point that is not on the curve",
         "{\"kty\":\"EC\",\"kid\":\"x\",\"crv\":\"P-256\",\"x\":\"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAE\","
         "\"y\":\"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAE\"}",
         false},
        {"another curve", "{\"kty\":\"EC\",\"kid\":\"x\",\"crv\":\"P-384\",\"x\":\"AAAA\",\"y\":\"AAAA\"}", false},
        {"an even exponent", "{\"kty\":\"RSA\",\"kid\":\"x\",\"n\":\"AQAB\",\"e\":\"AAAC\"}", false},
        {"members missing", "{\"kty\":\"RSA\",\"kid\":\"x\"}", false},
        {"no kid", "{\"kty\":\"oct\"}", false},
    };

    (void)state;
    FOR_EACH(it, keys)
    {
        struct ch_key_set set;
        char *text = NULL;

        assert_true(asprintf(&text, "{\"keys\":[%s]}", it->key) > 0);
        CHECK(it->name, (ch_key_set_import(ch_str_of(text), &set) == CH_OK) == it->is_good);
        ch_key_set_release(&set);
        free(text);
    }
    cjose_get_dealloc()(small_text);
    cjose_get_dealloc()(ours);
    cjose_jwk_release(small);
}

// ---- cache and rotation, on a loop
// -----------------------------------------------------------------------------------------

static char path[] = "/tmp/test_auth_XXXXXX";

static void write_jwks(int count)
{
    char draft[64], *text = jwks_text(count);

    snprintf(draft, sizeof(draft), "%s.new", path);
    FILE *file = fopen(draft, "w");
    assert_non_null(file);
    fputs(text, file);
    fclose(file);
    assert_int_equal(rename(draft, path), 0);
    free(text);
}

static enum ch_err check(struct ch_auth *auth, const char *token, char ret_code[32])
{
    struct ch_ctx ctx = {.arena = ch_arena_new(64 * 1024), .deadline_ns = ch_now_ns() + INT64_C(5000000000)};
    const struct ch_identity *who = NULL;
    char *header = NULL;

    ch_faults_init(&ctx.faults, ctx.arena);
    assert_true(asprintf(&header, "Bearer %s", token) > 0);
    const enum ch_err err = ch_auth_check_wait(auth, &ctx, ch_str_of(header), &who);
    snprintf(ret_code, 32, "%s", ctx.faults.first ? ctx.faults.first->code : "");
    assert_true(err || who);
    free(header);
    ch_arena_free(ctx.arena);
    return err;
}

static void rotation_fiber(void *arg)
{
    struct ch_keys *keys;
    char code[32], claims[256];

    (void)arg;
    snprintf(claims, sizeof(claims), "{" BASE ",\"exp\":%lld}", (long long)(ch_wall_us() / 1000000 + 600));
    char *ours = sign(rsa, RS, claims);
    char *theirs = sign(stranger, "{\"alg\":\"RS256\",\"kid\":\"s1\",\"typ\":\"at+jwt\"}", claims);

    write_jwks(2);
    assert_int_equal(ch_keys_start(&(struct ch_keys_options){path, "https://issuer", "gwasuwon"}, &keys), CH_OK);
    struct ch_auth *auth = ch_auth_new(loop, keys, 64);
    assert_int_equal(check(auth, ours, code), CH_OK);
    assert_int_equal(check(auth, ours, code), CH_OK); // from the cache
    assert_int_equal(check(auth, theirs, code), CH_ERR_UNAUTHENTICATED);
    assert_string_equal(code, "unknown_key");

    write_jwks(3); // the issuer publishes a new key: the next unknown kid that may ask finds it
    const int64_t until_ns = ch_now_ns() + INT64_C(8000000000);
    while (check(auth, theirs, code) && ch_now_ns() < until_ns)
        assert_int_equal(ch_sleep_wait(ch_now_ns() + 100000000), CH_OK);
    assert_int_equal(check(auth, theirs, code), CH_OK);
    assert_int_equal(check(auth, ours, code), CH_OK);

    ch_auth_free(auth);
    ch_keys_stop(keys);
    free(ours);
    free(theirs);
}

static void test_auth__follows_a_rotation_of_keys(void **state)
{
    (void)state;
    const int fd = mkstemp(path);
    assert_true(fd >= 0);
    close(fd);
    loop_run_until_done(rotation_fiber, NULL);
    unlink(path);
}

static void test_keys__refuse_a_file_without_keys(void **state)
{
    struct ch_keys *keys = NULL;

    (void)state;
    assert_int_equal(ch_keys_start(&(struct ch_keys_options){"/dev/null", "https://issuer", "gwasuwon"}, &keys),
                     CH_ERR_INVALID);
    assert_null(keys);
}

static int make_keys(void **state)
{
    cjose_err error;

    (void)state;
    rsa = with_kid(cjose_jwk_create_RSA_random(2048, (const uint8_t *)"\x01\x00\x01", 3, &error), "r1");
    ec = with_kid(cjose_jwk_create_EC_random(CJOSE_JWK_EC_P_256, &error), "e1");
    stranger = with_kid(cjose_jwk_create_RSA_random(2048, (const uint8_t *)"\x01\x00\x01", 3, &error), "s1");
    return 0;
}

static int drop_keys(void **state)
{
    (void)state;
    cjose_jwk_release(rsa);
    cjose_jwk_release(ec);
    cjose_jwk_release(stranger);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_token__is_judged_by_every_rule),
        cmocka_unit_test(test_token__carries_scopes_roles_and_farm),
        cmocka_unit_test(test_token__refuses_forged_forms),
        cmocka_unit_test(test_keys__with_padding_are_passed_over),
        cmocka_unit_test(test_token__remembers_a_header_but_no_signature),
        cmocka_unit_test(test_keys__only_good_public_ones_are_imported),
        LOOP_TEST(test_auth__follows_a_rotation_of_keys),
        cmocka_unit_test(test_keys__refuse_a_file_without_keys),
    };
    return cmocka_run_group_tests(tests, make_keys, drop_keys);
}
