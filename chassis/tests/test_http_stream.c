// SPDX-License-Identifier: Apache-2.0
// Who leaves when: clients that disconnect, streams and their ends, a server that drains.
#include "test_http_fixture.h"

#define FLOOD_BYTES 200000

static char flood[FLOOD_BYTES];

// ---- handlers ----

static void reply_later(struct ch_http_exchange *x)
{
    result = park_wait();
    ch_http_reply(x, 200, "text/plain", NULL, 0, CH_STR("ok"));
    sem_post(&ended);
}

static void reply_ok(struct ch_http_exchange *x)
{
    ch_http_reply(x, 200, "text/plain", NULL, 0, CH_STR("ok"));
}

static void stream_three(struct ch_http_exchange *x)
{
    static const char *const pieces[] = {"one\n", "two\n", "three\n"};
    enum ch_err err = ch_http_stream_start(x, 200, "text/event-stream");

    for (int i = 0; !err && i < 3; i++)
        err = ch_http_stream_write_wait(x, ch_str_of(pieces[i]), ch_now_ns() + MS(10000));
    result = err;
    sem_post(&ended);
}

static void stream_until_cancelled(struct ch_http_exchange *x)
{
    enum ch_err err = ch_http_stream_start(x, 200, "text/event-stream");

    if (!err)
        err = ch_http_stream_write_wait(x, CH_STR("one\n"), ch_now_ns() + MS(10000));
    if (!err)
        err = park_wait();
    result = err;
    sem_post(&ended);
}

static void stream_flood(struct ch_http_exchange *x)
{
    enum ch_err err = ch_http_stream_start(x, 200, "text/event-stream");

    while (!err)
        err = ch_http_stream_write_wait(x, (struct ch_str){flood, FLOOD_BYTES}, ch_now_ns() + MS(10000));
    result = err;
    sem_post(&ended);
}

static void stream_impatient(struct ch_http_exchange *x)
{
    enum ch_err err = ch_http_stream_start(x, 200, "text/event-stream");

    while (!err)
        err = ch_http_stream_write_wait(x, (struct ch_str){flood, FLOOD_BYTES}, ch_now_ns() + MS(100));
    result = err;
    sem_post(&ended);
}

static void handle(struct ch_http_exchange *x, void *arg)
{
    static const struct {
        const char *path;
        void (*fn)(struct ch_http_exchange *x);
    } rows[] = {
        {"/later", reply_later},
        {"/three", stream_three},
        {"/flood", stream_flood},
        {"/impatient", stream_impatient},
        {"/stream", stream_until_cancelled},
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
    sem_init(&entered, 0, 0);
    sem_init(&ended, 0, 0);
    return 0;
}

// ---- disconnects ----

static void test_stream__lost_client_does_not_stop_a_request(void **state)
{
    struct client client;

    (void)state;
    fx_start(&limits, handle);
    client = client_open();
    assert_true(client_text(&client, GET("/later")));
    sem_wait(&entered);
    client_close(&client);
    fx_call(NULL);
    fx_call(release);
    sem_wait(&ended);
    assert_int_equal(result, CH_OK);
    assert_true(fx_wait_connections(0));
    fx_stop();
}

// A reset instead of an ordinary close.
static void client_reset(struct client *client)
{
    const struct linger at_once = {.l_onoff = 1};

    assert_int_equal(setsockopt(client->fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once)), 0);
    client_close(client);
}

static void test_stream__reset_cancels_a_read_and_not_a_write(void **state)
{
    static const struct {
        const char *name, *request;
        bool is_cancelled;
    } cases[] = {
        {"read", GET("/later"), true},
        {"write", "POST /later HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n", false},
    };

    (void)state;
    FOR_EACH(c, cases)
    {
        struct client client;

        fx_start(&limits, handle);
        client = client_open();
        CHECK(c->name, client_text(&client, c->request));
        sem_wait(&entered);
        client_reset(&client);
        if (!c->is_cancelled) {
            fx_call(NULL); // the loop has seen the reset by then, or sees it before it wakes the handler
            fx_call(release);
        }
        sem_wait(&ended);
        CHECK(c->name, result == (c->is_cancelled ? CH_ERR_CANCELLED : CH_OK));
        fx_stop();
    }
}

static void test_stream__half_closed_client_gets_all_its_answers(void **state)
{
    struct client client;

    (void)state;
    fx_start(&limits, handle);
    client = client_open();
    assert_true(client_text(&client, GET("/later") GET("/2") GET("/3") "GET /half"));
    shutdown(client.fd, SHUT_WR);
    sem_wait(&entered);
    fx_call(NULL);
    fx_call(release);
    for (int i = 0; i < 3; i++)
        assert_int_equal(client_status(&client), 200);
    assert_true(client_is_closed(&client));
    client_close(&client);
    fx_stop();
}

// ---- streams ----

static void test_stream__stream_is_chunked_and_the_connection_stays(void **state)
{
    static const char want[] = "4\r\none\n\r\n4\r\ntwo\n\r\n6\r\nthree\n\r\n0\r\n\r\n";
    struct client client;
    struct reply reply;

    (void)state;
    fx_start(&limits, handle);
    client = client_open();
    assert_true(client_text(&client, GET("/three")));
    assert_true(client_reply(&client, true, &reply));
    assert_non_null(strstr(reply.head, "Transfer-Encoding: chunked\r\n"));
    while (client.len < strlen(want))
        assert_true(client_more(&client) > 0);
    assert_memory_equal(client.buf, want, strlen(want));
    client_take(&client, strlen(want));
    assert_true(client_text(&client, GET("/")));
    assert_int_equal(client_status(&client), 200);
    free(reply.body);
    client_close(&client);
    fx_stop();
}

static void test_stream__stream_to_http10_ends_by_close(void **state)
{
    struct client client;

    (void)state;
    fx_start(&limits, handle);
    client = client_open();
    assert_true(client_text(&client, "GET /three HTTP/1.0\r\n\r\n"));
    assert_true(client_is_closed(&client));
    client.buf[client.len] = '\0';
    assert_non_null(strstr(client.buf, "\r\n\r\none\ntwo\nthree\n"));
    assert_null(strstr(client.buf, "chunked"));
    client_close(&client);
    fx_stop();
}

static void test_stream__stream_ends_when_the_client_leaves(void **state)
{
    static const char *const paths[] = {GET("/stream"), GET("/flood")};

    (void)state;
    fx_start(&limits, handle);
    FOR_EACH(path, paths)
    {
        struct client client = client_open();

        result = CH_OK;
        assert_true(client_text(&client, *path));
        if (path == paths)
            sem_wait(&entered);
        assert_true(client_more(&client) > 0);
        client_close(&client);
        sem_wait(&ended);
        CHECK(*path, result == CH_ERR_CANCELLED);
        assert_true(fx_wait_connections(0));
    }
    fx_stop();
}

static void test_stream__stream_to_a_stalled_reader_ends(void **state)
{
    struct client client;

    (void)state;
    limits.write_timeout_ns = MS(100);
    fx_start(&limits, handle);
    client = client_open();
    assert_true(client_text(&client, GET("/flood")));
    sem_wait(&ended);
    assert_int_equal(result, CH_ERR_CANCELLED);
    assert_true(fx_wait_connections(0));
    client_close(&client);
    fx_stop();
}

static void test_stream__write_keeps_its_own_deadline(void **state)
{
    struct client client;

    (void)state;
    fx_start(&limits, handle);
    client = client_open();
    assert_true(client_text(&client, GET("/impatient")));
    sem_wait(&ended);
    assert_int_equal(result, CH_ERR_DEADLINE);
    client_close(&client);
    assert_true(fx_wait_connections(0));
    fx_stop();
}

// ---- drain ----

static void test_stream__drain_answers_what_it_has(void **state)
{
    struct client idle, busy, streaming, half, fresh;
    struct reply reply;

    (void)state;
    fx_start(&limits, handle);
    idle = client_open();
    streaming = client_open();
    busy = client_open();
    half = client_open();
    fresh = client_open();
    assert_true(client_text(&idle, GET("/")));
    assert_int_equal(client_status(&idle), 200);
    assert_true(client_text(&streaming, GET("/stream")));
    sem_wait(&entered);
    assert_true(client_text(&busy, GET("/later")));
    sem_wait(&entered);
    assert_true(client_text(&half, "GET / HTTP/1.1\r\n"));
    fx_call(fx_drain);

    assert_true(client_is_closed(&idle));
    sem_wait(&ended);
    assert_int_equal(result, CH_ERR_CANCELLED);
    assert_true(client_is_closed(&streaming));
    assert_memory_equal(streaming.buf + streaming.len - 5, "0\r\n\r\n", 5);
    assert_true(client_text(&fresh, GET("/")) && client_text(&half, "Host: a\r\n\r\n"));
    assert_true(client_reply(&fresh, true, &reply));
    assert_int_equal(reply.status, 200);
    assert_non_null(strstr(reply.head, "Connection: close"));
    free(reply.body);
    assert_int_equal(client_status(&half), 200);
    fx_call(release);
    assert_true(client_reply(&busy, true, &reply));
    assert_int_equal(reply.status, 200);
    assert_non_null(strstr(reply.head, "Connection: close"));
    free(reply.body);
    assert_true(client_is_closed(&busy));
    client_close(&idle);
    client_close(&busy);
    client_close(&streaming);
    client_close(&half);
    client_close(&fresh);
    fx_stop();
}

#define HTTP_TEST(name) cmocka_unit_test_setup(name, setup)

int main(void)
{
    const struct CMUnitTest tests[] = {
        HTTP_TEST(test_stream__lost_client_does_not_stop_a_request),
        HTTP_TEST(test_stream__reset_cancels_a_read_and_not_a_write),
        HTTP_TEST(test_stream__half_closed_client_gets_all_its_answers),
        HTTP_TEST(test_stream__stream_is_chunked_and_the_connection_stays),
        HTTP_TEST(test_stream__stream_to_http10_ends_by_close),
        HTTP_TEST(test_stream__stream_ends_when_the_client_leaves),
        HTTP_TEST(test_stream__stream_to_a_stalled_reader_ends),
        HTTP_TEST(test_stream__write_keeps_its_own_deadline),
        HTTP_TEST(test_stream__drain_answers_what_it_has),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
