// SPDX-License-Identifier: Apache-2.0
// The gRPC client against our own server: results, deadlines both ways, limits, and everything that may happen to a connection.
#include "loop_fixture.h"
#include "test_grpc_fixture.h"

static const char *bearer;

static int setup(void **state)
{
    return loop_setup(state) || fx_start(state);
}

static int teardown(void **state)
{
    return fx_stop(state) || loop_teardown(state);
}

#define PEER_TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

static struct ch_peer *peer_at(const char *host, int port, size_t in_flight_max)
{
    char address[64];
    struct ch_peer_options options = {.name = "test", .address = address, .in_flight_max = in_flight_max, .bearer = &bearer};
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
    int64_t timeout_ns, ctx_timeout_ns;
    enum ch_err err;
    char detail[200], sku_id[32];
    struct ch_fiber *fiber;
    struct ch_trace trace;
    int *left; // counted down at its end
};

static void call_one(void *arg)
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
    one->err = ch_peer_call_wait(one->peer, &ctx, &fx_rpcs[0], &request.base,
                                 ch_now_ns() + (one->timeout_ns ? one->timeout_ns : MS(10000)), &reply);
    if (one->err == CH_OK)
        (void)snprintf(one->sku_id, sizeof(one->sku_id), "%s", ((Catalog__V1__GetSkusResponse *)reply)->skus[0]->sku_id);
    (void)snprintf(one->detail, sizeof(one->detail), "%s", ctx.detail ? ctx.detail : "");
    ch_arena_free(ctx.arena);
    if (one->left)
        --*one->left;
}

static enum ch_err call(struct ch_peer *peer, const char *id, int64_t timeout_ns)
{
    struct one one = {.peer = peer, .id = id, .timeout_ns = timeout_ns};

    call_one(&one);
    return one.err;
}

static void wait_until_none(const int *left)
{
    int64_t end_ns = ch_now_ns() + MS(20000);

    while (*left > 0 && ch_now_ns() < end_ns)
        assert_int_equal(ch_sleep_wait(ch_now_ns() + MS(1)), CH_OK);
    assert_int_equal(*left, 0);
}

static void wait_until_up(struct ch_peer *peer)
{
    int64_t end_ns = ch_now_ns() + MS(5000);

    while (!ch_peer_is_up(peer) && ch_now_ns() < end_ns)
        assert_int_equal(ch_sleep_wait(ch_now_ns() + MS(1)), CH_OK);
    assert_true(ch_peer_is_up(peer));
}

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
    struct one ones[2] = {{.peer = peer, .id = "sleep 100", .left = &left}, {.peer = peer, .id = "sleep 100", .left = &left}};

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

// ---- the connection ----

static void names(void *arg)
{
    struct ch_peer *peer = peer_at("localhost", fx.port, 10), *nowhere = peer_at("no-such-host.invalid", fx.port, 10);
    int64_t start_ns = ch_now_ns();

    (void)arg;
    assert_int_equal(call(nowhere, "a", 0), CH_ERR_UNAVAILABLE);
    assert_in_range(ch_now_ns() - start_ns, 0, MS(500));
    wait_until_up(peer);
    assert_int_equal(call(peer, "a", 0), CH_OK);
    ch_peer_free(peer);
    ch_peer_free(nowhere);
    assert_int_equal(ch_sleep_wait(ch_now_ns() + MS(10)), CH_OK); // libevent gives the forgotten lookup back
}

static void test_peer__resolves_names(void **state)
{
    (void)state;
    loop_run_until_done(names, NULL);
}

static void refused(void *arg)
{
    int port = fx.port;
    struct ch_peer *peer;
    int64_t start_ns;

    (void)arg;
    fx_on_loop(fx_do_kill, NULL);
    peer = peer_at("127.0.0.1", port, 10);
    start_ns = ch_now_ns();
    assert_int_equal(call(peer, "a", 0), CH_ERR_UNAVAILABLE); // refused at once: does not wait 200 ms
    for (int i = 0; i < 100; i++)
        assert_int_equal(call(peer, "a", 0), CH_ERR_UNAVAILABLE);
    assert_in_range(ch_now_ns() - start_ns, 0, MS(150));
    fx_on_loop(fx_do_listen, &port);
    start_ns = ch_now_ns();
    wait_until_up(peer);
    assert_in_range(ch_now_ns() - start_ns, 0, MS(1100)); // within one backoff
    assert_int_equal(call(peer, "a", 0), CH_OK);
    ch_peer_free(peer);
}

static void test_peer__fails_fast_while_down_and_comes_back(void **state)
{
    (void)state;
    loop_run_until_done(refused, NULL);
}

static void killed(void *arg)
{
    struct ch_peer *peer = peer_at("127.0.0.1", fx.port, 10);
    int port = fx.port, left = 1;
    struct one one = {.peer = peer, .id = "sleep 10000", .left = &left};

    (void)arg;
    wait_until_up(peer);
    start(call_one, &one);
    while (fx.started == 0)
        assert_int_equal(ch_sleep_wait(ch_now_ns() + MS(1)), CH_OK);
    fx_on_loop(fx_do_kill, NULL);
    wait_until_none(&left);
    assert_int_equal(one.err, CH_ERR_UNAVAILABLE);
    fx_on_loop(fx_do_listen, &port);
    wait_until_up(peer);
    assert_int_equal(call(peer, "a", 0), CH_OK);
    ch_peer_free(peer);
}

static void test_peer__survives_the_servers_death(void **state)
{
    (void)state;
    loop_run_until_done(killed, NULL);
}

// Calls go on while the server drains and another takes its port: none fails.
static bool is_replaced;

static void call_until_replaced(void *arg)
{
    struct one *one = arg;
    struct one again = *one;

    again.left = NULL;
    for (int after = 0; after < 20; after += is_replaced) {
        call_one(&again);
        if (again.err)
            one->err = again.err;
    }
    --*one->left;
}

static void drain_old(void *arg)
{
    ch_grpc_server_drain(arg);
}

static void free_old(void *arg)
{
    ch_grpc_server_free(arg);
}

static void rolling(void *arg)
{
    struct ch_peer *peer = peer_at("127.0.0.1", fx.port, 100);
    struct ch_grpc_server *old = fx.server;
    struct one ones[20];
    int port = fx.port, left = 20;

    (void)arg;
    is_replaced = false;
    wait_until_up(peer);
    assert_int_equal(ch_sleep_wait(ch_now_ns() + MS(1050)), CH_OK); // a connection that has been good for a while
    for (int i = 0; i < 20; i++) {
        ones[i] = (struct one){.peer = peer, .id = i % 2 ? "a" : "sleep 3", .left = &left};
        start(call_until_replaced, &ones[i]);
    }
    assert_int_equal(ch_sleep_wait(ch_now_ns() + MS(20)), CH_OK);
    fx_on_loop(fx_do_listen, &port);
    fx_on_loop(drain_old, old);
    assert_int_equal(ch_sleep_wait(ch_now_ns() + MS(50)), CH_OK);
    is_replaced = true;
    wait_until_none(&left);
    for (int i = 0; i < 20; i++)
        assert_int_equal(ones[i].err, CH_OK);
    fx_on_loop(free_old, old);
    ch_peer_free(peer);
}

static void test_peer__loses_no_call_to_a_rolling_restart(void **state)
{
    (void)state;
    loop_run_until_done(rolling, NULL);
}

static void drained(void *arg)
{
    struct ch_peer *peer = peer_at("127.0.0.1", fx.port, 10);
    int left = 1;
    struct one one = {.peer = peer, .id = "sleep 200", .left = &left};

    (void)arg;
    wait_until_up(peer);
    start(call_one, &one);
    while (fx.started == 0)
        assert_int_equal(ch_sleep_wait(ch_now_ns() + MS(1)), CH_OK);
    fx_on_loop(fx_do_drain, NULL);
    while (ch_peer_is_up(peer))
        assert_int_equal(ch_sleep_wait(ch_now_ns() + MS(1)), CH_OK);
    assert_int_equal(call(peer, "a", 0), CH_ERR_UNAVAILABLE); // nobody listens
    assert_int_equal(left, 1);
    wait_until_none(&left);
    assert_int_equal(one.err, CH_OK);
    ch_peer_free(peer);
}

static void test_peer__lets_running_calls_end_in_a_drain(void **state)
{
    (void)state;
    loop_run_until_done(drained, NULL);
}

// ---- silence ----

static void silent(void *arg)
{
    struct sockaddr_in where = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(where);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct ch_peer *peer;
    int64_t start_ns;

    (void)arg;
    assert_int_equal(bind(fd, (struct sockaddr *)&where, sizeof(where)), 0);
    assert_int_equal(listen(fd, 10), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&where, &len), 0);
    peer = peer_at("127.0.0.1", ntohs(where.sin_port), 10);
    start_ns = ch_now_ns();
    assert_int_equal(call(peer, "a", 0), CH_ERR_UNAVAILABLE);
    assert_in_range(ch_now_ns() - start_ns, MS(190), MS(900)); // waited for the first connection, not for its timeout
    start_ns = ch_now_ns();
    assert_int_equal(call(peer, "a", MS(50)), CH_ERR_DEADLINE);
    assert_int_equal(ch_sleep_wait(ch_now_ns() + MS(1000)), CH_OK);
    start_ns = ch_now_ns();
    assert_int_equal(call(peer, "a", 0), CH_ERR_UNAVAILABLE); // known to be down now
    assert_in_range(ch_now_ns() - start_ns, 0, MS(50));
    ch_peer_free(peer);
    (void)close(fd);
}

static void test_peer__that_never_speaks_is_down(void **state)
{
    (void)state;
    loop_run_until_done(silent, NULL);
}

static sem_t thaw;

static void freeze(struct ch_loop *frozen, void *arg)
{
    (void)frozen;
    (void)arg;
    (void)sem_wait(&thaw);
}

static void stopped(void *arg)
{
    struct ch_peer *peer = peer_at("127.0.0.1", fx.port, 10);
    struct ch_mail mail = {.fn = freeze};
    int64_t start_ns;

    (void)arg;
    assert_int_equal(call(peer, "a", 0), CH_OK);
    ch_loop_post(fx.loop, &mail);
    assert_int_equal(call(peer, "a", MS(100)), CH_ERR_DEADLINE);
    start_ns = ch_now_ns();
    while (ch_peer_is_up(peer))
        assert_int_equal(ch_sleep_wait(ch_now_ns() + MS(10)), CH_OK);
    assert_in_range(ch_now_ns() - start_ns, MS(1500), MS(3000)); // by the PING that the first deadline caused
    assert_int_equal(call(peer, "a", 0), CH_ERR_UNAVAILABLE);
    assert_int_equal(sem_post(&thaw), 0);
    wait_until_up(peer);
    assert_int_equal(call(peer, "a", 0), CH_OK);
    ch_peer_free(peer);
}

static void test_peer__that_stands_still_is_found_out(void **state)
{
    (void)state;
    assert_int_equal(sem_init(&thaw, 0, 0), 0);
    loop_run_until_done(stopped, NULL);
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
        PEER_TEST(test_peer__resolves_names),
        PEER_TEST(test_peer__fails_fast_while_down_and_comes_back),
        PEER_TEST(test_peer__survives_the_servers_death),
        PEER_TEST(test_peer__loses_no_call_to_a_rolling_restart),
        PEER_TEST(test_peer__lets_running_calls_end_in_a_drain),
        PEER_TEST(test_peer__that_never_speaks_is_down),
        PEER_TEST(test_peer__that_stands_still_is_found_out),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
