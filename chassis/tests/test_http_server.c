// SPDX-License-Identifier: Apache-2.0
// The server over time: timeouts, limits, many connections, streams, disconnects, drain, handlers that misbehave.
#include "../src/io/http_internal.h"
#include "test_http_fixture.h"

#include <malloc.h>
#include <sys/resource.h>

#if defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define IS_SANITIZED 1
#endif
#endif
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define IS_SANITIZED 1
#endif

#define BIG_BYTES (24 * 1024 * 1024)

// ---- handlers ----

static char *big;

static void reply_ok(struct ch_http_exchange *x)
{
    ch_http_reply(x, 200, "text/plain", NULL, 0, CH_STR("ok"));
}

static void reply_none(struct ch_http_exchange *x)
{
    (void)x;
}

static void reply_twice(struct ch_http_exchange *x)
{
    reply_ok(x);
    ch_http_reply_problem(x, CH_ERR_NOT_FOUND, NULL);
}

static void reply_split_header(struct ch_http_exchange *x)
{
    struct ch_http_header evil = {CH_STR("X"), CH_STR("a\r\nSet-Cookie: b")};

    ch_http_reply(x, 200, "text/plain", &evil, 1, CH_STR("ok"));
}

static void reply_cancelled(struct ch_http_exchange *x)
{
    ch_http_reply_problem(x, CH_ERR_CANCELLED, NULL);
}

static void reply_unauthenticated(struct ch_http_exchange *x)
{
    ch_http_reply_problem(x, CH_ERR_UNAUTHENTICATED, NULL);
}

// More faults' text than a problem may hold: the faults are left out.
static void reply_many_faults(struct ch_http_exchange *x)
{
    struct ch_ctx ctx = {.arena = x->arena, .trace = {.trace_id = {1}}};
    char name[5001];

    memset(name, 'n', 5000);
    name[5000] = '\0';
    ch_faults_init(&ctx.faults, x->arena);
    for (int i = 0; i < CH_FAULTS_MAX; i++)
        ch_faults_add(&ctx.faults, name, "unknown", "%s", name);
    ch_http_reply_problem(x, CH_ERR_INVALID, &ctx);
}

static void reply_joined(struct ch_http_exchange *x)
{
    ch_http_reply(x, 200, "text/plain", NULL, 0, ch_http_header(x, "accept"));
}

static void reply_peer(struct ch_http_exchange *x)
{
    ch_http_reply(x, 200, "text/plain", NULL, 0, x->peer);
}

static void reply_big(struct ch_http_exchange *x)
{
    ch_http_reply(x, 200, "text/plain", NULL, 0, (struct ch_str){big, BIG_BYTES});
    sem_post(&ended);
}

static void reply_later(struct ch_http_exchange *x)
{
    result = park_wait();
    reply_ok(x);
    sem_post(&ended);
}

static void handle(struct ch_http_exchange *x, void *arg)
{
    static const struct {
        const char *path;
        void (*fn)(struct ch_http_exchange *x);
    } rows[] = {
        {"/none", reply_none},           {"/twice", reply_twice},   {"/split", reply_split_header},
        {"/cancelled", reply_cancelled}, {"/joined", reply_joined}, {"/401", reply_unauthenticated},
        {"/faults", reply_many_faults},  {"/peer", reply_peer},     {"/big", reply_big},
        {"/later", reply_later},

    };

    (void)arg;
    FOR_EACH(row, rows)
    if (ch_str_is(x->path, row->path)) {
        row->fn(x);
        return;
    }
    reply_ok(x);
}

static struct ch_http_limits limits;

static int setup(void **state)
{
    (void)state;
    limits = ch_http_limits_default;
    big = big ? big : calloc(1, BIG_BYTES);
    memset(big, 'x', BIG_BYTES);
    sem_init(&entered, 0, 0);
    sem_init(&ended, 0, 0);
    return big ? 0 : -1;
}

static int status_of(const char *request)
{
    struct client client = client_open();
    int status = client_text(&client, request) ? client_status(&client) : -1;

    client_close(&client);
    return status;
}

// ---- handlers that misbehave, small helpers ----

static void test_server__every_request_is_answered_once(void **state)
{
    static const struct {
        const char *name, *request;
        int status;
        const char *want; // in the reply
    } cases[] = {
        {"no reply", GET("/none"), 500, "\"code\":\"internal\""},
        {"two replies", GET("/twice"), 200, "ok"},
        {"CRLF in a header", GET("/split"), 500, "\"code\":\"internal\""},
        {"499 never leaves", GET("/cancelled"), 503, "\"code\":\"service_unavailable\""},
        {"no token", GET("/401"), 401, "\"code\":\"unauthenticated\""},
        {"faults past the limit", GET("/faults"), 400,
         "\"traceId\":\"01000000000000000000000000000000\",\"errors\":[]}"},
        {"list header", "GET /joined HTTP/1.1\r\nHost: a\r\nAccept: a\r\nX: y\r\nACCEPT: b\r\n\r\n", 200, "a, b"},
        {"peer", GET("/peer"), 200, "127.0.0.1"},
    };
    struct client client;

    (void)state;
    fx_start(&limits, handle);
    client = client_open();
    FOR_EACH(c, cases)
    {
        struct reply reply;

        CHECK(c->name, client_text(&client, c->request) && client_reply(&client, true, &reply));
        CHECK(c->name, reply.status == c->status && strstr(reply.body, c->want));
        CHECK(c->name,
              strstr(reply.head, "\r\nDate: ") && strstr(reply.head, "\r\nX-Content-Type-Options: nosniff\r\n"));
        {
            const char *retry = strstr(reply.head, "\r\nRetry-After: ");

            CHECK(c->name, (c->status == 503) == (retry != NULL));
            CHECK(c->name, !retry || (retry[15] >= '1' && retry[15] <= '3' && retry[16] == '\r'));
        }
        CHECK(c->name, (c->status == 401) == (strstr(reply.head, "\r\nWWW-Authenticate: Bearer\r\n") != NULL));
        CHECK(c->name, !strstr(reply.head, "Set-Cookie") && !strstr(reply.head, "Server:"));
        free(reply.body);
    }
    client_close(&client);
    fx_stop();
}

// ---- time ----

static void test_server__slow_clients_are_ended(void **state)
{
    static const struct {
        const char *name, *bytes;
        int status; // -1: closed silently
    } cases[] = {
        {"nothing sent", "", -1},
        {"part of a head", "GET / HTTP/1.1\r\nHo", 408},
        {"part of a line end", "\r", 408},
        {"part of a body", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhel", 408},
        {"part of a chunk", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhel", 408},
    };

    (void)state;
    limits.head_timeout_ns = limits.body_timeout_ns = limits.idle_timeout_ns = MS(100);
    fx_start(&limits, handle);
    FOR_EACH(c, cases)
    {
        struct client client = client_open();

        CHECK(c->name, client_text(&client, c->bytes));
        CHECK(c->name, client_status(&client) == c->status);
        CHECK(c->name, client_is_closed(&client));
        client_close(&client);
    }
    fx_stop();
}

// A byte now and then must not push the timeout of the whole head further.
static void test_server__drips_do_not_extend_the_head(void **state)
{
    struct client client;
    int64_t begin = ch_now_ns();
    struct timeval tick = {.tv_usec = 20000};

    (void)state;
    limits.head_timeout_ns = MS(200);
    fx_start(&limits, handle);
    client = client_open();
    setsockopt(client.fd, SOL_SOCKET, SO_RCVTIMEO, &tick, sizeof(tick));
    assert_true(client_text(&client, "GET / HTTP/1.1\r\nHost: a\r\nX: "));
    while (client.len == 0 && ch_now_ns() - begin < MS(10000)) {
        (void)client_send(&client, "x", 1);
        (void)client_more(&client);
    }
    assert_true(client.len > 12 && memcmp(client.buf, "HTTP/1.1 408", 12) == 0);
    assert_true(ch_now_ns() - begin < MS(5000));
    client_close(&client);
    fx_stop();
}

static void test_server__idle_after_a_request_is_closed(void **state)
{
    struct client client;

    (void)state;
    limits.idle_timeout_ns = MS(100);
    fx_start(&limits, handle);
    client = client_open();
    assert_true(client_text(&client, GET("/")));
    assert_int_equal(client_status(&client), 200);
    assert_true(client_is_closed(&client));
    client_close(&client);
    fx_stop();
}

// ---- large things ----

static void test_server__large_reply_arrives_whole(void **state)
{
    struct client client;
    size_t left = BIG_BYTES;
    char *end;

    (void)state;
    fx_start(&limits, handle);
    client = client_open();
    assert_true(client_text(&client, GET("/big") GET("/next")));
    while (!(end = memmem(client.buf, client.len, "\r\n\r\n", 4)))
        assert_true(client_more(&client) > 0);
    client_take(&client, (size_t)(end - client.buf) + 4);
    for (;;) {
        size_t take = client.len < left ? client.len : left;

        for (size_t i = 0; i < take; i++)
            if (client.buf[i] != 'x')
                fail_msg("wrong byte");
        left -= take;
        client_take(&client, take);
        if (left == 0)
            break;
        assert_true(client_more(&client) > 0);
    }
    assert_int_equal(client_status(&client), 200);
    client_close(&client);
    fx_stop();
}

static void test_server__reader_that_stalls_is_closed(void **state)
{
    struct client client;

    (void)state;
    limits.write_timeout_ns = MS(100);
    fx_start(&limits, handle);
    client = client_open();
    assert_true(client_text(&client, GET("/big")));
    sem_wait(&ended);
    assert_true(fx_wait_connections(0));
    client_close(&client);
    fx_stop();
}

static void test_server__reply_beyond_the_budget_is_broken_off(void **state)
{
    struct client client;

    (void)state;
    limits.buffered_max = 1024 * 1024;
    fx_start(&limits, handle);
    client = client_open();
    assert_true(client_text(&client, GET("/big")));
    sem_wait(&ended);
    assert_true(fx_wait_connections(0));
    client_close(&client);
    fx_stop();
}

static void test_server__413_is_readable_while_sending(void **state)
{
    struct client client;

    (void)state;
    fx_start(&limits, handle);
    client = client_open();
    assert_true(client_text(&client, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3000000\r\n\r\n"));
    assert_true(client_send(&client, big, 3000000));
    assert_int_equal(client_status(&client), 413);
    assert_true(client_is_closed(&client));
    client_close(&client);
    fx_stop();
}

static size_t held;

static void look_at_held(void)
{
    held = fx.server->held;
}

static void test_server__bodies_beyond_the_budget_get_503(void **state)
{
    static const char half[] = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n";
    struct client first, second;

    (void)state;
    limits.buffered_max = 1000000;
    fx_start(&limits, handle);
    first = client_open();
    second = client_open();
    assert_true(client_text(&first, half) && client_send(&first, big, 900000));
    while (held != 900000)
        fx_call(look_at_held);
    assert_true(client_text(&second, half) && client_send(&second, big, 200000));
    assert_int_equal(client_status(&second), 503);
    assert_true(client_send(&first, big, 100000));
    assert_int_equal(client_status(&first), 200);
    client_close(&first);
    client_close(&second);
    fx_stop();
}

// ---- many ----

static void test_server__idle_connections_are_cheap_and_stop_nobody(void **state)
{
    enum { COUNT = 2000 };
    int *fds = malloc(COUNT * sizeof(*fds));
    char answer[512];
    size_t before, used;

    (void)state;
    fx_start(&limits, handle);
    assert_int_equal(status_of(GET("/")), 200);
    assert_true(fx_wait_connections(0));
    before = mallinfo2().uordblks;
    for (int i = 0; i < COUNT; i++) {
        struct client client = client_open();

        fds[i] = client.fd;
        free(client.buf);
        assert_int_equal(send(fds[i], GET("/"), strlen(GET("/")), 0), strlen(GET("/")));
        assert_true(recv(fds[i], answer, sizeof(answer), 0) > 0);
    }
    fx_call(NULL);
    used = mallinfo2().uordblks - before;
    assert_int_equal(ch_http_server_connections(fx.server), COUNT);
    print_message("%zu bytes per idle connection\n", used / COUNT);
#ifndef IS_SANITIZED
    assert_true(used / COUNT <= 1024);
#endif
    assert_int_equal(status_of(GET("/")), 200);
    for (int i = 0; i < COUNT; i++)
        close(fds[i]);
    free(fds);
    fx_stop();
}

static void test_server__connection_past_the_limit_gets_503(void **state)
{
    struct client first, second;

    (void)state;
    limits.connections_max = 1;
    fx_start(&limits, handle);
    first = client_open();
    assert_true(client_text(&first, GET("/")));
    assert_int_equal(client_status(&first), 200);
    second = client_open();
    assert_int_equal(client_status(&second), 503);
    assert_true(client_is_closed(&second));
    client_close(&second);
    assert_true(fx_wait_connections(1));
    assert_true(client_text(&first, GET("/")));
    assert_int_equal(client_status(&first), 200);
    client_close(&first);
    fx_stop();
}

static void test_server__request_past_the_fibers_gets_503_and_may_stay(void **state)
{
    struct client first, second;

    (void)state;
    fx_start_fibers(&limits, handle, 1);
    first = client_open();
    second = client_open();
    assert_true(client_text(&first, GET("/later")));
    sem_wait(&entered);
    assert_true(client_text(&second, GET("/1") GET("/2") GET("/3")));
    for (int i = 0; i < 3; i++)
        assert_int_equal(client_status(&second), 503);
    fx_call(release);
    assert_int_equal(client_status(&first), 200);
    assert_true(client_text(&second, GET("/4")));
    assert_int_equal(client_status(&second), 200);
    client_close(&first);
    client_close(&second);
    fx_stop();
}

static void test_server__without_descriptors_it_waits_and_goes_on(void **state)
{
    struct rlimit all, none;
    struct client client;

    (void)state;
    fx_start(&limits, handle);
    client = (struct client){.fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), .buf = malloc(CLIENT_BYTES)};
    getrlimit(RLIMIT_NOFILE, &all);
    none = all;
    none.rlim_cur = 3;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
    struct sockaddr_in where = {.sin_family = AF_INET,
                                .sin_port = htons((uint16_t)ch_http_server_port(fx.server)),
                                .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    assert_int_equal(connect(client.fd, (struct sockaddr *)&where, sizeof(where)), 0);
    assert_true(client_text(&client, GET("/")));
    for (int i = 0; i < 20; i++)
        fx_call(NULL); // the loop turns, and the connection stays in the queue
    assert_int_equal(ch_http_server_connections(fx.server), 0);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &all), 0);
    assert_int_equal(client_status(&client), 200);
    client_close(&client);
    fx_stop();
}

static void test_server__address_that_is_none_is_refused(void **state)
{
    static const struct {
        const char *name;
        struct ch_listen where;
        enum ch_err want;
    } cases[] = {
        {"host name", {.address = "localhost"}, CH_ERR_INVALID},
        {"port too large", {.address = "127.0.0.1", .port = 65536}, CH_ERR_INVALID},
        {"not ours", {.address = "192.0.2.1"}, CH_ERR_UNAVAILABLE},
    };
    struct ch_loop_options options = {.name = "http", .fibers_max = 1};
    struct ch_loop *loop = ch_loop_new(&options);
    struct ch_http_server *server = NULL;

    (void)state;
    FOR_EACH(c, cases)
    CHECK(c->name, ch_http_server_new(loop, &c->where, &limits, handle, NULL, &server) == c->want && !server);
    ch_loop_free(loop);
}

#define HTTP_TEST(name) cmocka_unit_test_setup(name, setup)

int main(void)
{
    const struct CMUnitTest tests[] = {
        HTTP_TEST(test_server__every_request_is_answered_once),
        HTTP_TEST(test_server__slow_clients_are_ended),
        HTTP_TEST(test_server__drips_do_not_extend_the_head),
        HTTP_TEST(test_server__idle_after_a_request_is_closed),
        HTTP_TEST(test_server__large_reply_arrives_whole),
        HTTP_TEST(test_server__reader_that_stalls_is_closed),
        HTTP_TEST(test_server__reply_beyond_the_budget_is_broken_off),
        HTTP_TEST(test_server__413_is_readable_while_sending),
        HTTP_TEST(test_server__bodies_beyond_the_budget_get_503),
        HTTP_TEST(test_server__idle_connections_are_cheap_and_stop_nobody),
        HTTP_TEST(test_server__connection_past_the_limit_gets_503),
        HTTP_TEST(test_server__request_past_the_fibers_gets_503_and_may_stay),
        HTTP_TEST(test_server__without_descriptors_it_waits_and_goes_on),
        HTTP_TEST(test_server__address_that_is_none_is_refused),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);

    free(big);
    return failed;
}
