// SPDX-License-Identifier: Apache-2.0
// What the tests of the gRPC client share: a loop of its own beside the server's, and one call with a context of its
// own.
#ifndef CH_TEST_GRPC_CLIENT_H
#define CH_TEST_GRPC_CLIENT_H

#include "loop_fixture.h"
#include "test_grpc_fixture.h"

static const char *bearer;

static inline int client_setup(void **state)
{
    return loop_setup(state) || fx_start(state);
}

static inline int client_teardown(void **state)
{
    return fx_stop(state) || loop_teardown(state);
}

#define PEER_TEST(name) cmocka_unit_test_setup_teardown(name, client_setup, client_teardown)

static inline struct ch_peer *peer_at(const char *host, int port, size_t in_flight_max)
{
    char address[64];
    struct ch_peer_options options = {
        .name = "test", .address = address, .in_flight_max = in_flight_max, .bearer = &bearer};
    struct ch_peer *peer;

    (void)snprintf(address, sizeof(address), "%s:%d", host, port);
    peer = ch_peer_new(loop, &options);
    assert_non_null(peer);
    return peer;
}

// ---- one call with a context of its own ----

struct one {
    struct ch_peer *peer;
    const char *id;
    const struct ch_rpc *rpc; // NULL: GetSkus
    int64_t timeout_ns, ctx_timeout_ns;
    enum ch_err err;
    char detail[200], sku_id[32];
    struct ch_fiber *fiber;
    struct ch_trace trace;
    int *left; // counted down at its end
};

static inline void call_one(void *arg)
{
    struct one *one = arg;
    struct ch_ctx ctx = {.loop = loop, .arena = ch_arena_new(8 * 1024 * 1024)};
    Catalog__V1__GetSkusRequest request = CATALOG__V1__GET_SKUS_REQUEST__INIT;
    void *reply = NULL;

    one->fiber = ch_fiber_current();
    ctx.deadline_ns = ch_now_ns() + (one->ctx_timeout_ns ? one->ctx_timeout_ns : MS(10000));
    ch_faults_init(&ctx.faults, ctx.arena);
    ch_trace_start(&ctx.trace, (struct ch_str){0});
    one->trace = ctx.trace;
    request.n_sku_ids = 1;
    request.sku_ids = (char **)&one->id;
    one->err = ch_peer_call_wait(one->peer, &ctx, one->rpc ? one->rpc : &fx_rpcs[0], &request.base,
                                 ch_now_ns() + (one->timeout_ns ? one->timeout_ns : MS(10000)), &reply);
    if (one->err == CH_OK)
        (void)snprintf(one->sku_id, sizeof(one->sku_id), "%s",
                       ((Catalog__V1__GetSkusResponse *)reply)->skus[0]->sku_id);
    (void)snprintf(one->detail, sizeof(one->detail), "%s", ctx.detail ? ctx.detail : "");
    ch_arena_free(ctx.arena);
    if (one->left)
        --*one->left;
}

static inline enum ch_err call(struct ch_peer *peer, const char *id, int64_t timeout_ns)
{
    struct one one = {.peer = peer, .id = id, .timeout_ns = timeout_ns};

    call_one(&one);
    return one.err;
}

static inline void wait_until_none(const int *left)
{
    int64_t end_ns = ch_now_ns() + MS(20000);

    while (*left > 0 && ch_now_ns() < end_ns)
        assert_int_equal(ch_sleep_wait(ch_now_ns() + MS(1)), CH_OK);
    assert_int_equal(*left, 0);
}

static inline void wait_until_up(struct ch_peer *peer)
{
    int64_t end_ns = ch_now_ns() + MS(5000);

    while (!ch_peer_is_up(peer) && ch_now_ns() < end_ns)
        assert_int_equal(ch_sleep_wait(ch_now_ns() + MS(1)), CH_OK);
    assert_true(ch_peer_is_up(peer));
}

#endif
