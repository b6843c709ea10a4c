// SPDX-License-Identifier: Apache-2.0
// A loop's token check: a bounded cache of verified tokens in front of ch_token_check, and the wait for a key not seen
// before.
#include "auth_internal.h"

#include <stdlib.h>

enum {
    WAYS = 4,
    KEPT_MAX = 2048,   // bytes of a token that is kept; a longer one is verified each time
    WAITING_MAX = 256, // for a reading of the keys that is under way
    COOLING_MAX = 16,  // ... or will be: whoever sends unknown kids without end must not fill the service with waiting
    JWKS_MAX = 256 * 1024,
};
#define REFRESH_WAIT_NS INT64_C(3500000000)

struct cached {
    char *token; // owned; NULL: free
    size_t len;
    struct ch_identity identity;
};

struct ch_auth {
    struct ch_loop *loop;
    struct ch_keys *keys;
    struct ch_key_set set;
    uint64_t version; // of set
    struct cached *cache;
    size_t buckets;
    size_t victim;
    struct ch_queue waiting; // fibers whose kid was unknown
    struct ch_keys_listener listener;
    bool is_closed; // freed as soon as its mail has come
    struct ch_series *hits, *misses;
};

static void auth_release(struct ch_auth *auth);

static const struct ch_metric cache_requests = {
    "auth_cache_requests_total", CH_COUNTER, "Token checks by whether the token was verified before.", {"outcome"}};

// What each fault says to a developer at the other end; `code` is the closed set of auth.h.
static const struct {
    const char *code, *detail;
} faults[] = {
    [CH_TOKEN_MALFORMED] = {"malformed", "토큰 형식이 올바르지 않습니다"},
    [CH_TOKEN_ALGORITHM] = {"algorithm", "받지 않는 서명 알고리즘입니다"},
    [CH_TOKEN_UNKNOWN_KEY] = {"unknown_key", "알 수 없는 키로 서명되었습니다"},
    [CH_TOKEN_SIGNATURE] = {"signature", "서명이 맞지 않습니다"},
    [CH_TOKEN_EXPIRED] = {"expired", "만료된 토큰입니다"},
    [CH_TOKEN_NOT_YET_VALID] = {"not_yet_valid", "아직 유효하지 않은 토큰입니다"},
    [CH_TOKEN_ISSUER] = {"issuer", "발급자가 다릅니다"},
    [CH_TOKEN_AUDIENCE] = {"audience", "다른 서비스에 쓰는 토큰입니다"},
    [CH_TOKEN_TYPE] = {"type", "액세스 토큰이 아닙니다"},
    [CH_TOKEN_CLAIMS] = {"claims", "토큰 내용이 올바르지 않습니다"},
};

static void on_keys_read(struct ch_loop *loop, void *arg)
{
    struct ch_auth *auth = arg;

    (void)loop;
    __atomic_store_n(&auth->listener.is_posted, false, __ATOMIC_RELEASE);
    if (auth->is_closed)
        auth_release(auth);
    else
        ch_queue_wake_all(&auth->waiting, CH_OK);
}

static void cached_drop(struct cached *cached)
{
    free(cached->token);
    *cached = (struct cached){0};
}

static void cache_clear(struct ch_auth *auth)
{
    for (size_t i = 0; i < auth->buckets * WAYS; i++)
        cached_drop(&auth->cache[i]);
}

struct ch_auth *ch_auth_new(struct ch_loop *loop, struct ch_keys *keys, size_t cache_max)
{
    struct ch_auth *auth = calloc(1, sizeof(*auth));
    const char *hit = "hit", *miss = "miss";

    if (!auth)
        return NULL;
    auth->loop = loop;
    auth->keys = keys;
    auth->buckets = cache_max / WAYS ? cache_max / WAYS : 1;
    auth->cache = calloc(auth->buckets * WAYS, sizeof(*auth->cache));
    if (!auth->cache) {
        free(auth);
        return NULL;
    }
    ch_queue_init(&auth->waiting, WAITING_MAX);
    auth->hits = ch_series_get(&cache_requests, &hit);
    auth->misses = ch_series_get(&cache_requests, &miss);
    auth->listener = (struct ch_keys_listener){.mail = {.fn = on_keys_read, .arg = auth}, .loop = loop};
    ch_keys_listen(keys, &auth->listener);
    return auth;
}

static void auth_release(struct ch_auth *auth)
{
    cache_clear(auth);
    ch_key_set_release(&auth->set);
    free(auth->cache);
    free(auth);
}

void ch_auth_free(struct ch_auth *auth)
{
    if (!auth)
        return;
    ch_keys_unlisten(auth->keys, &auth->listener);
    auth->is_closed = true;
    if (!__atomic_load_n(&auth->listener.is_posted, __ATOMIC_ACQUIRE))
        auth_release(auth);
}

// Takes over a newer key set; tokens of keys that are gone must not live on in the cache.
static void take_keys(struct ch_auth *auth)
{
    struct ch_key_set set;
    struct ch_buf text;
    uint64_t version;

    if (ch_keys_version(auth->keys) == auth->version)
        return;
    ch_buf_init(&text, JWKS_MAX);
    if (ch_keys_text(auth->keys, &text, &version) == CH_OK && ch_key_set_import(ch_buf_str(&text), &set) == CH_OK) {
        ch_key_set_release(&auth->set);
        auth->set = set;
        auth->version = version;
        cache_clear(auth);
    }
    ch_buf_release(&text);
}

// The end of a token is its signature: as good as random, so it is its own hash. Forged ones are never stored.
static struct cached *bucket_of(struct ch_auth *auth, struct ch_str token)
{
    uint64_t hash = 0;

    if (token.len >= 24)
        for (int i = 0; i < 2; i++) {
            uint64_t word;
            memcpy(&word, token.data + token.len - 20 + 8 * i, sizeof(word));
            hash = (hash ^ word) * UINT64_C(0x9e3779b97f4a7c15);
        }
    return &auth->cache[(hash >> 32) % auth->buckets * WAYS];
}

// What has run out leaves, whoever's it is.
static const struct ch_identity *cache_find(struct ch_auth *auth, struct ch_str token, int64_t now_s)
{
    struct cached *bucket = bucket_of(auth, token), *found = NULL;

    for (size_t i = 0; i < WAYS; i++) {
        if (bucket[i].token && bucket[i].identity.expires_s <= now_s)
            cached_drop(&bucket[i]);
        else if (bucket[i].token && bucket[i].len == token.len && memcmp(bucket[i].token, token.data, token.len) == 0)
            found = &bucket[i];
    }
    return found ? &found->identity : NULL;
}

static void cache_put(struct ch_auth *auth, struct ch_str token, const struct ch_identity *identity, int64_t now_s)
{
    struct cached *bucket = bucket_of(auth, token), *slot = &bucket[auth->victim++ % WAYS];

    if (token.len > KEPT_MAX || identity->expires_s <= now_s) // within the leeway: not for long
        return;
    for (size_t i = 0; i < WAYS; i++)
        if (!bucket[i].token) {
            slot = &bucket[i];
            break;
        }
    char *copy = malloc(token.len);
    if (!copy)
        return; // it will be verified again, that is all
    memcpy(copy, token.data, token.len);
    free(slot->token);
    *slot = (struct cached){.token = copy, .len = token.len, .identity = *identity};
}

static bool read_bearer(struct ch_str authorization, struct ch_str *ret_token)
{
    const struct ch_str scheme = {authorization.data, authorization.len < 7 ? authorization.len : 7};

    if (!ch_str_ieq(scheme, CH_STR("Bearer ")))
        return false;
    *ret_token = (struct ch_str){authorization.data + 7, authorization.len - 7};
    return ret_token->len > 0;
}

static enum ch_token_fault check_token(struct ch_auth *auth, struct ch_str token, struct ch_identity *ret_identity)
{
    const struct ch_token_rules rules = {
        .set = &auth->set,
        .issuer = ch_keys_issuer(auth->keys),
        .audience = ch_keys_audience(auth->keys),
        .now_s = ch_wall_us() / 1000000,
    };
    return ch_token_check(&rules, token, ret_identity);
}

// A kid nobody knows: perhaps the issuer has rotated its keys. Asks for the source to be read again and waits for it.
static enum ch_token_fault check_again_wait(struct ch_auth *auth, struct ch_ctx *ctx, struct ch_str token,
                                            struct ch_identity *ret_identity)
{
    const int64_t until_ns = ch_now_ns() + REFRESH_WAIT_NS;

    const enum ch_keys_answer answer = ch_keys_ask(auth->keys);

    if (answer == CH_KEYS_NEVER || (answer == CH_KEYS_LATER && auth->waiting.count >= COOLING_MAX))
        return CH_TOKEN_UNKNOWN_KEY;
    if (ch_queue_wait(&auth->waiting, until_ns < ctx->deadline_ns ? until_ns : ctx->deadline_ns))
        return CH_TOKEN_UNKNOWN_KEY;
    take_keys(auth);
    return check_token(auth, token, ret_identity);
}

enum ch_err ch_auth_check_wait(struct ch_auth *auth, struct ch_ctx *ctx, struct ch_str authorization,
                               const struct ch_identity **ret_identity)
{
    const int64_t now_s = ch_wall_us() / 1000000;
    struct ch_str token;

    if (!authorization.data) {
        *ret_identity = NULL;
        return CH_OK;
    }
    struct ch_identity *identity = ch_arena_alloc(ctx->arena, sizeof(*identity));
    if (!identity)
        return CH_ERR_NO_MEMORY;
    take_keys(auth);
    if (auth->set.count == 0) // nobody can say yet: that is no fault of the token
        return CH_ERR_UNAVAILABLE;
    enum ch_token_fault fault = CH_TOKEN_MALFORMED;
    if (read_bearer(authorization, &token)) {
        const struct ch_identity *known = cache_find(auth, token, now_s);
        ch_count(known ? auth->hits : auth->misses, 1);
        if (known) {
            *identity = *known;
            *ret_identity = identity;
            return CH_OK;
        }
        fault = check_token(auth, token, identity);
        if (fault == CH_TOKEN_UNKNOWN_KEY)
            fault = check_again_wait(auth, ctx, token, identity);
    }
    if (fault)
        return ch_fail(ctx, CH_ERR_UNAUTHENTICATED, "Authorization", faults[fault].code, "%s", faults[fault].detail);
    cache_put(auth, token, identity, now_s);
    *ret_identity = identity;
    return CH_OK;
}
