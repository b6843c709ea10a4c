// SPDX-License-Identifier: Apache-2.0
// What a token check costs in CPU: the first one of an RS256 and of an ES256 token, and one that the cache knows.
// Exists because placing an order pays for one each time. Fails when a limit is passed; it must only be believed of a
// release build, and it refuses to judge any other.
#include "../src/io/auth_internal.h"
#include "loop_fixture.h"

#include <cjose/cjose.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

enum { ROUNDS = 25, FIRST_CHECKS = 500, CACHED_CHECKS = 100000, KINDS = 2, TEXT_MAX = 4096 };
#define FIRST_LIMIT_NS  30000.0
#define CACHED_LIMIT_NS 2000.0

static struct {
    const char *alg, *kid;
    cjose_jwk_t *jwk;
    char token[TEXT_MAX], header[TEXT_MAX + 8];
} kinds[KINDS] = {{.alg = "RS256", .kid = "r1"}, {.alg = "ES256", .kid = "e1"}};

static char jwks[TEXT_MAX];

// As large as the shop's own: what ./dev token prints has about these claims.
static void sign(int kind)
{
    char claims[1024];
    const char *compact;
    cjose_err error;

    (void)snprintf(
        claims, sizeof(claims),
        "{\"scope\":\"orders:write orders:read\",\"roles\":[\"buyer\"],\"iss\":\"https://localhost:8443/auth\","
        "\"aud\":\"gwasuwon\",\"sub\":\"018f0000-0000-7000-8000-0000000000b1\",\"iat\":%lld,\"exp\":%lld,"
        "\"jti\":\"018f0000-0000-7000-8000-00000000aaaa\"}",
        (long long)time(NULL), (long long)time(NULL) + 3600);
    json_t *header = json_pack("{s:s,s:s,s:s}", "alg", kinds[kind].alg, "kid", kinds[kind].kid, "typ", "at+jwt");
    cjose_jws_t *jws = cjose_jws_sign(kinds[kind].jwk, header, (const uint8_t *)claims, strlen(claims), &error);

    if (!jws || !cjose_jws_export(jws, &compact, &error))
        abort();
    (void)snprintf(kinds[kind].token, TEXT_MAX, "%s", compact);
    (void)snprintf(kinds[kind].header, sizeof(kinds[kind].header), "Bearer %s", compact);
    cjose_jws_release(jws);
    json_decref(header);
}

static void make_keys(void)
{
    json_t *keys = json_array();
    cjose_err error;

    kinds[0].jwk = cjose_jwk_create_RSA_random(2048, (const uint8_t *)"\x01\x00\x01", 3, &error);
    kinds[1].jwk = cjose_jwk_create_EC_random(CJOSE_JWK_EC_P_256, &error);
    for (int i = 0; i < KINDS; i++) {
        if (!kinds[i].jwk || !cjose_jwk_set_kid(kinds[i].jwk, kinds[i].kid, 2, &error))
            abort();
        char *text = cjose_jwk_to_json(kinds[i].jwk, false, &error);
        json_array_append_new(keys, json_loads(text, 0, NULL));
        cjose_get_dealloc()(text);
        sign(i);
    }
    json_t *set = json_pack("{s:o}", "keys", keys);
    char *text = json_dumps(set, 0);
    (void)snprintf(jwks, sizeof(jwks), "%s", text);
    free(text);
    json_decref(set);
}

static double cpu_ns(void)
{
    struct timespec now;

    (void)clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now); // exists on every Linux
    return (double)now.tv_sec * 1e9 + (double)now.tv_nsec;
}

static int by_value(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

struct figure {
    double best, median; // ns
};

// Of many short rounds, each the mean of `count` calls.
static struct figure measure(void (*run)(void *arg), void *arg, int count)
{
    double rounds[ROUNDS];

    run(arg); // warm
    for (int i = 0; i < ROUNDS; i++) {
        const double start = cpu_ns();
        for (int j = 0; j < count; j++)
            run(arg);
        rounds[i] = (cpu_ns() - start) / count;
    }
    qsort(rounds, ROUNDS, sizeof(rounds[0]), by_value);
    return (struct figure){rounds[0], rounds[ROUNDS / 2]};
}

// Judged by the round that others on the machine disturbed least. limit_ns 0: told, not judged.
static int report(const char *what, struct figure figure, double limit_ns)
{
    const bool is_short = limit_ns > 0 && figure.best > limit_ns;

    printf("%-6s %-20s %6.2f us of CPU (median of rounds %.2f; ",
           limit_ns <= 0 ? ""
           : is_short    ? "SHORT"
                         : "met",
           what, figure.best / 1000, figure.median / 1000);
    if (limit_ns > 0)
        printf("limit %.0f)\n", limit_ns / 1000);
    else
        printf("no limit)\n");
    return is_short;
}

// ---- what is measured

struct first {
    struct ch_token_rules rules;
    struct ch_str token;
};

static void check_first(void *arg)
{
    const struct first *first = arg;
    struct ch_identity who;

    if (ch_token_check(&first->rules, first->token, &who))
        abort();
}

struct cached {
    struct ch_auth *auth;
    struct ch_ctx ctx;
    struct ch_str header;
};

static void check_cached(void *arg)
{
    struct cached *cached = arg;
    const struct ch_identity *who;

    if (ch_auth_check_wait(cached->auth, &cached->ctx, cached->header, &who) || !who)
        abort();
    ch_arena_reset(cached->ctx.arena); // as between two requests
}

static int bench_first(int kind)
{
    struct ch_key_set set;
    char what[64];

    if (ch_key_set_import(ch_str_of(jwks), &set))
        abort();
    struct first first = {
        .rules = {.set = &set, .issuer = "https://localhost:8443/auth", .audience = "gwasuwon", .now_s = time(NULL)},
        .token = ch_str_of(kinds[kind].token),
    };
    (void)snprintf(what, sizeof(what), "first check, %s", kinds[kind].alg);
    // ES256's price is the curve's: OpenSSL's own verification alone passes 30 us.
    const int is_short = report(what, measure(check_first, &first, FIRST_CHECKS), kind == 0 ? FIRST_LIMIT_NS : 0);
    ch_key_set_release(&set);
    return is_short;
}

static char path[] = "/tmp/bench_auth_XXXXXX";

static void bench_cached(void *ret_short)
{
    struct ch_keys *keys = NULL;
    const struct ch_keys_options options = {
        .source = path, .issuer = "https://localhost:8443/auth", .audience = "gwasuwon"};

    if (ch_keys_start(&options, &keys))
        abort();
    struct cached cached = {
        .auth = ch_auth_new(loop, keys, 4096),
        .ctx = {.arena = ch_arena_new(64 * 1024), .deadline_ns = CH_NO_DEADLINE},
        .header = ch_str_of(kinds[0].header),
    };
    *(int *)ret_short = report("cached check", measure(check_cached, &cached, CACHED_CHECKS), CACHED_LIMIT_NS);
    ch_auth_free(cached.auth);
    ch_keys_stop(keys);
    ch_arena_free(cached.ctx.arena);
}

int main(void)
{
    int is_short = 0;

#ifndef __OPTIMIZE__
    fprintf(stderr, "not an optimised build: its figures say nothing\n");
    return 77; // skipped
#endif
    make_keys();
    const int fd = mkstemp(path);
    if (fd < 0 || write(fd, jwks, strlen(jwks)) < 0 || close(fd))
        abort();
    loop_setup(NULL);
    loop_run_until_done(bench_cached, &is_short);
    loop_teardown(NULL);
    unlink(path);
    for (int i = 0; i < KINDS; i++)
        is_short += bench_first(i);
    for (int i = 0; i < KINDS; i++)
        cjose_jwk_release(kinds[i].jwk);
    return is_short > 0;
}
