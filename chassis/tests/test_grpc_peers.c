// SPDX-License-Identifier: Apache-2.0
// A peer with several addresses: turns, deaths, drains, an address that fails, names with two addresses, bounds.
#include "ch/resolve.h"
#include "test_grpc_client.h"

#include <event2/dns.h>
#include <event2/dns_struct.h>

enum { SERVERS = 2 };

static struct {
    struct ch_grpc_server *server;
    int port;
    atomic_int calls;
    atomic_bool is_failing;
} servers[SERVERS];

static enum ch_err count_call(struct ch_call *rpc, void *arg)
{
    const size_t at = (size_t)(uintptr_t)arg;

    (void)rpc;
    servers[at].calls++;
    return servers[at].is_failing ? CH_ERR_UNAVAILABLE : CH_OK;
}

static void listen_at(size_t at, const char *address)
{
    const struct ch_grpc_server_options options = {
        .tables = fx_tables,
        .before = count_call,
        .after = fx_after,
        .arg = (void *)(uintptr_t)at,
        .default_timeout_ns = MS(5000),
        .connections_max = 20,
        .streams_max = 100,
    };

    const struct ch_listen where = {.address = address, .port = servers[at].port};

    assert_int_equal(ch_grpc_server_new(fx.loop, &where, &options, &servers[at].server), CH_OK);
    servers[at].port = ch_grpc_server_port(servers[at].server);
}

static void do_listen(void *arg)
{
    listen_at((size_t)(uintptr_t)arg, "127.0.0.1");
}

static void do_free(void *arg)
{
    ch_grpc_server_free(servers[(size_t)(uintptr_t)arg].server);
    servers[(size_t)(uintptr_t)arg].server = NULL;
}

static void do_drain(void *arg)
{
    ch_grpc_server_drain(servers[(size_t)(uintptr_t)arg].server);
}

static void on(void (*fn)(void *arg), size_t at)
{
    fx_on_loop(fn, (void *)(uintptr_t)at);
}

static int setup(void **state)
{
    if (client_setup(state))
        return -1;
    memset(servers, 0, sizeof(servers));
    for (size_t i = 0; i < SERVERS; i++)
        on(do_listen, i);
    return 0;
}

static int teardown(void **state)
{
    for (size_t i = 0; i < SERVERS; i++)
        if (servers[i].server)
            on(do_free, i);
    return client_teardown(state);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

static struct ch_peer *peer_of(const char *address, size_t in_flight_max, size_t waiting_max)
{
    const struct ch_peer_options options = {
        .name = "test", .address = address, .in_flight_max = in_flight_max, .waiting_max = waiting_max};
    struct ch_peer *peer = ch_peer_new(loop, &options);

    assert_non_null(peer);
    return peer;
}

static struct ch_peer *peer_of_both(void)
{
    char address[64];

    (void)snprintf(address, sizeof(address), "127.0.0.1:%d,127.0.0.1:%d", servers[0].port, servers[1].port);
    return peer_of(address, 100, 0);
}

// Until each server has answered: then all connections are up.
static void wait_until_both(struct ch_peer *peer)
{
    int64_t end_ns = ch_now_ns() + MS(5000);

    servers[0].calls = servers[1].calls = 0;
    while ((servers[0].calls == 0 || servers[1].calls == 0) && ch_now_ns() < end_ns)
        assert_int_equal(call(peer, "a", 0), CH_OK);
    assert_true(servers[0].calls > 0 && servers[1].calls > 0);
    servers[0].calls = servers[1].calls = 0;
}

static void in_turn(void *arg)
{
    struct ch_peer *peer = peer_of_both();

    (void)arg;
    wait_until_both(peer);
    for (int i = 0; i < 20; i++)
        assert_int_equal(call(peer, "a", 0), CH_OK);
    assert_int_equal(servers[0].calls, 10);
    assert_int_equal(servers[1].calls, 10);
    ch_peer_free(peer);
}

static void test_peers__take_calls_in_turn(void **state)
{
    (void)state;
    loop_run_until_done(in_turn, NULL);
}

static void unreachable(void *arg)
{
    struct ch_peer *peer;

    (void)arg;
    on(do_free, 0);
    peer = peer_of_both();
    for (int i = 0; i < 20; i++)
        assert_int_equal(call(peer, "a", 0), CH_OK);
    on(do_listen, 0);
    wait_until_both(peer); // found again
    ch_peer_free(peer);
}

static void test_peers__do_without_one_that_refuses_and_find_it_again(void **state)
{
    (void)state;
    loop_run_until_done(unreachable, NULL);
}

// Calls that run on a server that dies.
static void die_during(const struct ch_rpc *rpc, enum ch_err *ret_errs, size_t count)
{
    struct ch_peer *peer = peer_of_both();
    int left = (int)count;
    struct one ones[4];

    assert_true(count <= 4);
    wait_until_both(peer);
    for (size_t i = 0; i < count; i++) {
        ones[i] = (struct one){.peer = peer, .id = "sleep 300", .rpc = rpc, .left = &left};
        start(call_one, &ones[i]);
    }
    while (servers[0].calls + servers[1].calls < (int)count)
        assert_int_equal(ch_sleep_wait(ch_now_ns() + MS(1)), CH_OK);
    assert_int_equal(servers[0].calls, count / 2);
    on(do_free, 0);
    wait_until_none(&left);
    for (size_t i = 0; i < count; i++)
        ret_errs[i] = ones[i].err;
    assert_int_equal(call(peer, "a", 0), CH_OK); // by the other
    ch_peer_free(peer);
}

static void repeatable(void *arg)
{
    struct ch_rpc rpc = fx_rpcs[0];
    enum ch_err errs[4];

    (void)arg;
    rpc.is_repeatable = true;
    die_during(&rpc, errs, 4);
    for (int i = 0; i < 4; i++)
        assert_int_equal(errs[i], CH_OK);
    assert_int_equal(servers[1].calls, 5); // two of its own, two of the dead one's, the last
}

static void test_peers__repeat_what_may_come_twice_when_one_dies(void **state)
{
    (void)state;
    loop_run_until_done(repeatable, NULL);
}

static void unrepeatable(void *arg)
{
    enum ch_err errs[4];
    int lost = 0;

    (void)arg;
    die_during(&fx_rpcs[0], errs, 4);
    for (int i = 0; i < 4; i++)
        lost += errs[i] == CH_ERR_UNAVAILABLE;
    assert_int_equal(lost, 2);
    assert_int_equal(servers[1].calls, 3);
}

static void test_peers__never_repeat_what_may_not(void **state)
{
    (void)state;
    loop_run_until_done(unrepeatable, NULL);
}

static bool is_over;

static void call_until_over(void *arg)
{
    struct one *one = arg;
    struct one again = *one;

    again.left = NULL;
    while (!is_over) {
        call_one(&again);
        if (again.err)
            one->err = again.err;
    }
    --*one->left;
}

static void drained(void *arg)
{
    struct ch_peer *peer = peer_of_both();
    struct one ones[20];
    int left = 20;

    (void)arg;
    is_over = false;
    wait_until_both(peer);
    for (int i = 0; i < 20; i++) {
        ones[i] = (struct one){.peer = peer, .id = i % 2 ? "a" : "sleep 3", .left = &left};
        start(call_until_over, &ones[i]);
    }
    assert_int_equal(ch_sleep_wait(ch_now_ns() + MS(20)), CH_OK);
    on(do_drain, 0);
    assert_int_equal(ch_sleep_wait(ch_now_ns() + MS(50)), CH_OK);
    servers[0].calls = 0;
    assert_int_equal(ch_sleep_wait(ch_now_ns() + MS(20)), CH_OK);
    is_over = true;
    wait_until_none(&left);
    for (int i = 0; i < 20; i++)
        assert_int_equal(ones[i].err, CH_OK);
    assert_int_equal(servers[0].calls, 0); // left at once
    ch_peer_free(peer);
}

static void test_peers__leave_one_that_drains_and_lose_nothing(void **state)
{
    (void)state;
    loop_run_until_done(drained, NULL);
}

// As a rolling restart does it: the first comes back, and before its backoff is over the second goes.
static void one_after_the_other(void *arg)
{
    struct ch_peer *peer;

    (void)arg;
    on(do_free, 0);
    peer = peer_of_both();
    assert_int_equal(ch_sleep_wait(ch_now_ns() + MS(2500)), CH_OK); // the backoff is at its longest now
    assert_int_equal(call(peer, "a", 0), CH_OK);
    on(do_listen, 0);
    on(do_drain, 1);
    for (int i = 0; i < 20; i++)
        assert_int_equal(call(peer, "a", 0), CH_OK);
    assert_true(servers[0].calls > 0);
    ch_peer_free(peer);
}

static void test_peers__find_the_first_again_when_the_second_goes(void **state)
{
    (void)state;
    loop_run_until_done(one_after_the_other, NULL);
}

static void failing(void *arg)
{
    struct ch_peer *peer = peer_of_both();
    int failed = 0;

    (void)arg;
    wait_until_both(peer);
    servers[0].is_failing = true;
    for (int i = 0; i < 100; i++)
        failed += call(peer, "a", 0) == CH_ERR_UNAVAILABLE;
    assert_in_range(failed, 10, 30); // then its breaker opened
    assert_in_range(servers[1].calls, 70, 100);
    servers[0].is_failing = false;
    wait_until_both(peer); // probed, and taken back
    ch_peer_free(peer);
}

static void test_peers__leave_one_alone_that_fails_most_calls(void **state)
{
    (void)state;
    loop_run_until_done(failing, NULL);
}

static void failing_idle(void *arg)
{
    struct ch_peer *peer = peer_of_both();
    struct ch_rpc rpc = fx_rpcs[0];
    int left = 3;
    struct one ones[3];

    (void)arg;
    rpc.is_repeatable = true;
    wait_until_both(peer);
    for (int i = 0; i < 2; i++) { // one for each
        ones[i] = (struct one){.peer = peer, .id = i ? "sleep 200" : "sleep 20", .left = &left};
        start(call_one, &ones[i]);
    }
    while (left == 3)
        assert_int_equal(ch_sleep_wait(ch_now_ns() + MS(1)), CH_OK);
    servers[0].is_failing = servers[1].is_failing = true;
    for (int i = 0; i < SERVERS; i++) // the one that is idle now fails, and is still the less busy
        servers[i].calls = 0;
    ones[2] = (struct one){.peer = peer, .id = "a", .rpc = &rpc, .left = &left};
    start(call_one, &ones[2]);
    wait_until_none(&left);
    assert_int_equal(ones[2].err, CH_ERR_UNAVAILABLE); // after three attempts
    assert_true(servers[0].calls > 0 && servers[1].calls > 0);
    assert_int_equal(servers[0].calls + servers[1].calls, 3);
    ch_peer_free(peer);
}

static void test_peers__send_a_retry_elsewhere_however_busy(void **state)
{
    (void)state;
    loop_run_until_done(failing_idle, NULL);
}

static void failing_both(void *arg)
{
    struct ch_peer *peer = peer_of_both();
    int asked;

    (void)arg;
    wait_until_both(peer);
    servers[0].is_failing = servers[1].is_failing = true;
    for (int i = 0; i < 100; i++)
        assert_int_equal(call(peer, "a", 0), CH_ERR_UNAVAILABLE);
    asked = servers[0].calls + servers[1].calls;
    assert_in_range(asked, 30, 50); // the rest failed here at once
    ch_peer_free(peer);
}

static void test_peers__that_all_fail_are_not_asked(void **state)
{
    (void)state;
    loop_run_until_done(failing_both, NULL);
}

// ---- a name server of the test's own ----

static struct {
    struct evdns_server_port *port;
    int fd;
    atomic_int mask; // bit i: 127.0.0.(i + 1) is among the addresses
    char conf[64];
} dns;

static void on_question(struct evdns_server_request *request, void *arg)
{
    (void)arg;
    for (int i = 0; i < request->nquestions; i++) {
        for (uint32_t host = 1; host <= SERVERS; host++) {
            const struct in_addr address = {.s_addr = htonl(0x7f000000 | host)};

            if (request->questions[i]->type == EVDNS_TYPE_A && (dns.mask >> (host - 1) & 1))
                (void)evdns_server_request_add_a_reply(request, request->questions[i]->name, 1, &address.s_addr, 0);
        }
    }
    (void)evdns_server_request_respond(request, 0); // else the client asks again
}

static void dns_open(void *arg)
{
    struct sockaddr_in where = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(where);
    char line[64];
    int conf, written;

    (void)arg;
    dns.fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    assert_int_equal(bind(dns.fd, (struct sockaddr *)&where, sizeof(where)), 0);
    assert_int_equal(getsockname(dns.fd, (struct sockaddr *)&where, &len), 0);
    dns.port = evdns_add_server_port_with_base(ch_loop_base(fx.loop), dns.fd, 0, on_question, NULL);
    assert_non_null(dns.port);
    (void)snprintf(dns.conf, sizeof(dns.conf), "/tmp/test_grpc_peers.XXXXXX");
    conf = mkstemp(dns.conf);
    written = snprintf(line, sizeof(line), "nameserver 127.0.0.1:%d\n", ntohs(where.sin_port));
    assert_int_equal(write(conf, line, (size_t)written), written);
    (void)close(conf);
    ch_resolv_conf = dns.conf;
}

static void dns_close(void *arg)
{
    (void)arg;
    evdns_close_server_port(dns.port);
    (void)close(dns.fd);
    (void)unlink(dns.conf);
}

static void listen_at_2(void *arg)
{
    listen_at((size_t)(uintptr_t)arg, "127.0.0.2");
}

static void named(void *arg)
{
    struct ch_peer *peer;
    char address[64];
    int64_t end_ns;

    (void)arg;
    on(do_free, 1);
    servers[1].port = servers[0].port; // another host, the same port
    on(listen_at_2, 1);
    on(dns_open, 0);
    dns.mask = 3;
    (void)snprintf(address, sizeof(address), "catalog.test:%d", servers[0].port);
    peer = peer_of(address, 10, 0);
    wait_until_both(peer);
    ch_peer_free(peer);

    dns.mask = 1; // the second one has not been started yet
    peer = peer_of(address, 10, 0);
    for (int i = 0; i < 4; i++)
        assert_int_equal(call(peer, "a", 0), CH_OK);
    assert_int_equal(servers[0].calls, 4);
    dns.mask = 2; // it takes the first one's place
    on(do_free, 0);
    end_ns = ch_now_ns() + MS(5000); // far sooner than the next regular lookup
    while (call(peer, "a", 0) != CH_OK && ch_now_ns() < end_ns)
        assert_int_equal(ch_sleep_wait(ch_now_ns() + MS(10)), CH_OK);
    assert_true(servers[1].calls > 0);
    ch_peer_free(peer);
    assert_int_equal(ch_sleep_wait(ch_now_ns() + MS(10)), CH_OK); // libevent gives lookups back
    on(dns_close, 0);
}

static void test_peers__of_one_name_are_all_used_and_looked_up_again(void **state)
{
    (void)state;
    loop_run_until_done(named, NULL);
}

static void crowded(void *arg)
{
    char address[32];
    struct ch_peer *peer;
    struct one ones[6];
    int left = 6, refused = 0;

    (void)arg;
    (void)snprintf(address, sizeof(address), "127.0.0.1:%d", servers[0].port);
    peer = peer_of(address, 2, 3);
    wait_until_up(peer);
    for (int i = 0; i < 6; i++) {
        ones[i] = (struct one){.peer = peer, .id = "sleep 10", .left = &left};
        start(call_one, &ones[i]);
    }
    wait_until_none(&left);
    for (int i = 0; i < 6; i++)
        refused += ones[i].err == CH_ERR_OVERLOADED;
    assert_int_equal(refused, 1);
    assert_int_equal(servers[0].calls, 5);
    ch_peer_free(peer);
}

static void test_peers__take_no_more_calls_than_fit_and_may_wait(void **state)
{
    (void)state;
    loop_run_until_done(crowded, NULL);
}

static void test_peers__lists_of_addresses_are_checked(void **state)
{
    static const struct {
        const char *list;
        bool is_valid;
    } cases[] = {
        {"a:1", true},   {"a:1,b:2", true},  {"127.0.0.1:1,[::1]:2", true}, {"", false},
        {"a:1,", false}, {",a:1", false},    {"a:1,,b:2", false},           {"a:1,b", false},
        {"a:0", false},  {"a:1 b:2", false},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        if (ch_addresses_are_valid(cases[i].list) != cases[i].is_valid)
            fail_msg("\"%s\"", cases[i].list);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        TEST(test_peers__take_calls_in_turn),
        TEST(test_peers__do_without_one_that_refuses_and_find_it_again),
        TEST(test_peers__repeat_what_may_come_twice_when_one_dies),
        TEST(test_peers__never_repeat_what_may_not),
        TEST(test_peers__leave_one_that_drains_and_lose_nothing),
        TEST(test_peers__find_the_first_again_when_the_second_goes),
        TEST(test_peers__leave_one_alone_that_fails_most_calls),
        TEST(test_peers__send_a_retry_elsewhere_however_busy),
        TEST(test_peers__that_all_fail_are_not_asked),
        TEST(test_peers__of_one_name_are_all_used_and_looked_up_again),
        TEST(test_peers__take_no_more_calls_than_fit_and_may_wait),
        cmocka_unit_test(test_peers__lists_of_addresses_are_checked),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
