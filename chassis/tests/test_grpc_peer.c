// SPDX-License-Identifier: Apache-2.0
// The gRPC client's connection: names, refusal, death, drain, rolling restart, silence.
#include "test_grpc_client.h"

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
