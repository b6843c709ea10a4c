// SPDX-License-Identifier: Apache-2.0
// Calls of the gRPC client to our own server: results, deadlines both ways, cancel, limits.
#include "test_grpc_client.h"

// ---- results ----

static void answers(void *arg)
{
    struct ch_peer *peer = peer_at("127.0.0.1", fx.port, 10);
    struct one one = {.peer = peer, .id = "사과", .timeout_ns = MS(1000)};

    (void)arg;
    bearer = "token";
    call_one(&one);
    bearer = NULL;
    assert_int_equal(one.err, CH_OK);
    assert_string_equal(one.sku_id, "사과");
    (void)fx_streams(); // what the handler wrote is ours to read
    assert_string_equal(fx.authorization, "Bearer token");
    assert_memory_equal(fx.trace.trace_id, one.trace.trace_id, 16);
    assert_in_range(fx.timeout_ns, MS(500), MS(1000));
    ch_peer_free(peer);
}

static void test_call__answers(void **state)
{
    (void)state;
    loop_run_until_done(answers, NULL);
}

static void every_failure(void *arg)
{
    struct ch_peer *peer = peer_at("127.0.0.1", fx.port, 10);

    (void)arg;
    for (int err = 1; err < CH_ERR_COUNT; err++) {
        char id[64];
        struct one one = {.peer = peer, .id = id};

        (void)snprintf(id, sizeof(id), "fail %s", ch_err_row((enum ch_err)err)->code);
        call_one(&one);
        CHECK(id, one.err == (enum ch_err)err);
        CHECK_TEXT(id, one.detail, err == CH_ERR_STOCK_SHORT ? "부사 3kg: 100%만 남았습니다" : "");
    }
    ch_peer_free(peer);
}

static void test_call__brings_every_failure_back(void **state)
{
    (void)state;
    loop_run_until_done(every_failure, NULL);
}

static void many(void *arg)
{
    static struct one ones[1000];
    struct ch_peer *peer = peer_at("127.0.0.1", fx.port, 1000);
    int left = 1000;

    (void)arg;
    memset(ones, 0, sizeof(ones));
    for (int i = 0; i < 1000; i++) {
        ones[i] = (struct one){.peer = peer, .id = i % 3 ? "a" : "sleep 20", .left = &left};
        start(call_one, &ones[i]);
    }
    wait_until_none(&left);
    for (int i = 0; i < 1000; i++) {
        assert_int_equal(ones[i].err, CH_OK);
        assert_string_equal(ones[i].sku_id, ones[i].id);
    }
    ch_peer_free(peer);
}

static void test_call__a_thousand_at_once(void **state)
{
    (void)state;
    loop_run_until_done(many, NULL);
    assert_int_equal(fx.ended, 1000);
}

// ---- deadlines, cancel, limits ----

static void deadlines(void *arg)
{
    struct ch_peer *peer = peer_at("127.0.0.1", fx.port, 10);
    struct one by_ctx = {.peer = peer, .id = "sleep 10000", .ctx_timeout_ns = MS(40)};
    struct one late = {.peer = peer, .id = "a", .ctx_timeout_ns = -1};
    int64_t start_ns = ch_now_ns();

    (void)arg;
    assert_int_equal(call(peer, "sleep 10000", MS(40)), CH_ERR_DEADLINE);
    call_one(&by_ctx);
    assert_int_equal(by_ctx.err, CH_ERR_DEADLINE);
    call_one(&late);
    assert_int_equal(late.err, CH_ERR_DEADLINE);
    assert_in_range(ch_now_ns() - start_ns, MS(80), MS(2000));
    assert_int_equal(call(peer, "a", 0), CH_OK); // the connection lives on
    fx_wait_for(&fx.ended, 3);
    ch_peer_free(peer);
}

static void test_call__ends_at_its_deadline(void **state)
{
    (void)state;
    loop_run_until_done(deadlines, NULL);
    assert_int_equal(fx.started, 3);
}

static void cancels(void *arg)
{
    struct ch_peer *peer = peer_at("127.0.0.1", fx.port, 10);
    int left = 1;
    struct one one = {.peer = peer, .id = "sleep 10000", .left = &left};

    (void)arg;
    wait_until_up(peer);
    start(call_one, &one);
    while (fx.started == 0)
        assert_int_equal(ch_sleep_wait(ch_now_ns() + MS(1)), CH_OK);
    ch_fiber_cancel(one.fiber);
    wait_until_none(&left);
    assert_int_equal(one.err, CH_ERR_CANCELLED);
    while (fx.cancelled == 0) // the RST_STREAM leaves at the end of the turn
        assert_int_equal(ch_sleep_wait(ch_now_ns() + MS(1)), CH_OK);
    ch_peer_free(peer);
}

static void test_call__a_cancelled_caller_cancels_the_handler(void **state)
{
    (void)state;
    loop_run_until_done(cancels, NULL);
}

static void limits(void *arg)
{
    struct ch_peer *peer = peer_at("127.0.0.1", fx.port, 2);
    char *large = malloc(CH_GRPC_MESSAGE_MAX + 1);
    int left = 2;
    struct one ones[2] = {{.peer = peer, .id = "sleep 100", .left = &left},
                          {.peer = peer, .id = "sleep 100", .left = &left}};

    (void)arg;
    memset(large, 'x', CH_GRPC_MESSAGE_MAX);
    large[CH_GRPC_MESSAGE_MAX] = '\0';
    wait_until_up(peer);
    assert_int_equal(call(peer, large, 0), CH_ERR_TOO_LARGE);
    assert_int_equal(call(peer, "big 4194304", 0), CH_ERR_TOO_LARGE); // the reply
    assert_int_equal(call(peer, "big 3000000", 0), CH_OK);
    start(call_one, &ones[0]);
    start(call_one, &ones[1]);
    ch_fiber_yield();
    assert_int_equal(call(peer, "a", 0), CH_ERR_OVERLOADED);
    wait_until_none(&left);
    assert_int_equal(call(peer, "a", 0), CH_OK);
    free(large);
    ch_peer_free(peer);
}

static void test_call__keeps_its_limits(void **state)
{
    (void)state;
    loop_run_until_done(limits, NULL);
}

static void free_while_calling(void *arg)
{
    struct ch_peer *peer = peer_at("127.0.0.1", fx.port, 10);
    int left = 2;
    struct one running = {.peer = peer, .id = "sleep 10000", .left = &left}, waiting;

    (void)arg;
    wait_until_up(peer);
    start(call_one, &running);
    ch_fiber_yield();
    ch_peer_free(peer);
    peer = peer_at("127.0.0.1", fx.port, 10); // not connected yet
    waiting = (struct one){.peer = peer, .id = "a", .left = &left};
    start(call_one, &waiting);
    ch_fiber_yield();
    ch_peer_free(peer);
    wait_until_none(&left);
    assert_int_equal(running.err, CH_ERR_UNAVAILABLE);
    assert_int_equal(waiting.err, CH_ERR_UNAVAILABLE);
}

static void test_free__ends_running_calls(void **state)
{
    (void)state;
    loop_run_until_done(free_while_calling, NULL);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        PEER_TEST(test_call__answers),
        PEER_TEST(test_call__brings_every_failure_back),
        PEER_TEST(test_call__a_thousand_at_once),
        PEER_TEST(test_call__ends_at_its_deadline),
        PEER_TEST(test_call__a_cancelled_caller_cancels_the_handler),
        PEER_TEST(test_call__keeps_its_limits),
        PEER_TEST(test_free__ends_running_calls),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
