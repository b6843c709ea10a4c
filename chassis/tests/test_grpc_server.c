// SPDX-License-Identifier: Apache-2.0
// The gRPC server as a client sees it that may say anything: calls, refusals, limits, drain.
#include "test_grpc_raw.h"

static const uint8_t *bytes_of(const char *text)
{
    return (const uint8_t *)text;
}

// ---- unary ----

static void test_unary__answers(void **state)
{
    static const struct raw_header headers[] = {
        {"authorization", "Bearer good"},
        {"grpc-timeout", "2S"},
        {"traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"},
        {0}};
    struct raw *raw = raw_open(true);
    struct raw_stream *s = raw_send(raw, GET_SKUS, headers, raw_get_skus("사과"), false);
    Catalog__V1__GetSkusResponse *reply;
    size_t at = 0;

    (void)state;
    raw_wait(raw, s);
    assert_int_equal(s->http_status, 200);
    assert_int_equal(s->grpc_status, 0);
    reply = (Catalog__V1__GetSkusResponse *)raw_next(s, &catalog__v1__get_skus_response__descriptor, &at);
    assert_int_equal(reply->n_skus, 1);
    assert_string_equal(reply->skus[0]->sku_id, "사과");
    assert_int_equal(at, s->reply.len);
    protobuf_c_message_free_unpacked(&reply->base, NULL);
    fx_wait_idle();
    assert_string_equal(fx.authorization, "Bearer good");
    assert_int_equal(fx.trace.trace_id[0], 0x0a);
    assert_in_range(fx.timeout_ns, MS(1500), MS(2000));
    assert_int_equal(fx.before, 1);
    assert_int_equal(fx.after, 1);
    raw_close(raw);
}

// One row a way to be refused. Lengths that are too large for the row's request stand in its prefix only.
static void test_unary__refuses(void **state)
{
    static const char malformed[] = "\0\0\0\0\3\x0a\x05x", compressed[] = "\1\0\0\0\0", huge[] = "\0\x7f\0\0\0";
    static const char bad_utf8[] = "\0\0\0\0\7\x0a\0\x0a\3\xff\xfe\xfd", two[] = "\0\0\0\0\0\0\0\0\0\0",
                      cut[] = "\0\0\0\0\7abc";
#define BYTES(literal)                                                                                                 \
    {                                                                                                                  \
        (literal), sizeof(literal) - 1                                                                                 \
    }
    static const struct {
        const char *name, *path;
        struct raw_header headers[2];
        struct ch_str request;
        int http, grpc;
        const char *code;
    } cases[] = {
        {"unknown method",
         "/catalog.v1.CatalogService/Nothing",
         {{0}},
         BYTES("\0\0\0\0\0"),
         200,
         CH_GRPC_UNIMPLEMENTED,
         "not_implemented"},
        {"no path", "/", {{0}}, BYTES("\0\0\0\0\0"), 200, CH_GRPC_UNIMPLEMENTED, "not_implemented"},
        {"content type", GET_SKUS, {{"content-type", "application/json"}}, BYTES("{}"), 415, -1, ""},
        {"no content type", GET_SKUS, {{"content-type", NULL}}, BYTES("{}"), 415, -1, ""},
        {"method", GET_SKUS, {{":method", "PUT"}}, BYTES("\0\0\0\0\0"), 405, -1, ""},
        {"compressed",
         GET_SKUS,
         {{"grpc-encoding", "gzip"}},
         BYTES(compressed),
         200,
         CH_GRPC_UNIMPLEMENTED,
         "not_implemented"},
        {"too large", GET_SKUS, {{0}}, BYTES(huge), 200, CH_GRPC_RESOURCE_EXHAUSTED, "payload_too_large"},
        {"malformed", GET_SKUS, {{0}}, BYTES(malformed), 200, CH_GRPC_INVALID_ARGUMENT, "malformed_request"},
        {"bad UTF-8", GET_SKUS, {{0}}, BYTES(bad_utf8), 200, CH_GRPC_INVALID_ARGUMENT, "invalid_request"},
        {"two messages", GET_SKUS, {{0}}, BYTES(two), 200, CH_GRPC_INVALID_ARGUMENT, "malformed_request"},
        {"half a message", GET_SKUS, {{0}}, BYTES(cut), 200, CH_GRPC_INVALID_ARGUMENT, "malformed_request"},
        {"no message", GET_SKUS, {{0}}, {"", 0}, 200, CH_GRPC_INVALID_ARGUMENT, "malformed_request"},
        {"bad timeout",
         GET_SKUS,
         {{"grpc-timeout", "soon"}},
         BYTES("\0\0\0\0\0"),
         200,
         CH_GRPC_INVALID_ARGUMENT,
         "invalid_request"},
        {"expired",
         GET_SKUS,
         {{"grpc-timeout", "0m"}},
         BYTES("\0\0\0\0\0"),
         200,
         CH_GRPC_DEADLINE_EXCEEDED,
         "deadline_exceeded"},
        {"expired soon",
         GET_SKUS,
         {{"grpc-timeout", "1n"}},
         BYTES("\0\0\0\0\0"),
         200,
         CH_GRPC_DEADLINE_EXCEEDED,
         "deadline_exceeded"},
        {"bad token",
         GET_SKUS,
         {{"authorization", "Bearer bad"}},
         BYTES("\0\0\0\0\0"),
         200,
         CH_GRPC_UNAUTHENTICATED,
         "unauthenticated"},
    };
    struct raw *raw = raw_open(true);

    (void)state;
    FOR_EACH(it, cases)
    {
        const struct raw_header headers[2] = {it->headers[0], {0}};
        struct raw_stream *s = raw_send(raw, it->path, headers, it->request, false);

        raw_wait(raw, s);
        CHECK(it->name, s->is_closed);
        CHECK(it->name, s->http_status == it->http);
        CHECK(it->name, s->grpc_status == it->grpc);
        CHECK_TEXT(it->name, s->code, it->code);
    }
    fx_wait_idle();
    assert_int_equal(fx.started, 0);
    raw_close(raw);
}

static void test_unary__names_the_field_that_is_no_utf8(void **state)
{
    struct raw *raw = raw_open(true);
    struct raw_stream *s =
        raw_send(raw, GET_SKUS, NULL, (struct ch_str){"\0\0\0\0\7\x0a\0\x0a\3\xff\xfe\xfd", 12}, false);
    struct ch_buf text;

    (void)state;
    raw_wait(raw, s);
    ch_buf_init(&text, 4096);
    for (char *c = s->details; *c; c++) // base64url is what base.h decodes
        *c = (char)(*c == '+' ? '-' : *c == '/' ? '_' : *c);
    assert_int_equal(ch_base64url_decode(ch_str_of(s->details), &text), CH_OK);
    assert_non_null(memmem(text.data, text.len, "google.rpc.BadRequest", 21));
    assert_non_null(memmem(text.data, text.len, "\x0a\x0asku_ids[1]", 12));
    assert_non_null(memmem(text.data, text.len, "google.rpc.ErrorInfo", 20));
    assert_non_null(memmem(text.data, text.len, "gwasuwon.example", 16));
    ch_buf_release(&text);
    raw_close(raw);
}

static void test_unary__percent_encodes_the_sentence(void **state)
{
    struct raw *raw = raw_open(true);
    struct raw_stream *s = raw_send(raw, GET_SKUS, NULL, raw_get_skus("fail stock_short"), false);

    (void)state;
    raw_wait(raw, s);
    assert_int_equal(s->grpc_status, CH_GRPC_FAILED_PRECONDITION);
    assert_string_equal(s->code, "stock_short");
    assert_non_null(strstr(s->message, "3kg: 100%25"));
    assert_int_equal(s->reply.len, 0);
    raw_close(raw);
}

// The oversized message is refused by its prefix: the client may not send the rest of it.
static void test_unary__refuses_a_large_message_before_it_comes(void **state)
{
    struct raw *raw = raw_open(true);
    struct raw_stream *s = raw_send(raw, GET_SKUS, NULL, (struct ch_str){"\0\x7f\0\0\0abc", 8}, true);

    (void)state;
    raw_wait(raw, s);
    assert_int_equal(s->grpc_status, CH_GRPC_RESOURCE_EXHAUSTED);
    assert_int_equal(s->close_code, NGHTTP2_NO_ERROR);
    raw_close(raw);
}

static void test_unary__takes_and_gives_large_messages(void **state)
{
    enum { IDS = 400, ID_LEN = 10000 };
    Catalog__V1__GetSkusRequest request = CATALOG__V1__GET_SKUS_REQUEST__INIT;
    struct raw *raw = raw_open(true);
    char *ids[IDS], *bytes = malloc(IDS * (ID_LEN + 10));
    Catalog__V1__GetSkusResponse *reply;
    struct raw_stream *s;
    size_t len, at = 0;

    (void)state;
    for (int i = 0; i < IDS; i++) {
        ids[i] = calloc(1, ID_LEN + 1);
        memset(ids[i], 'a' + i % 26, ID_LEN);
    }
    request.n_sku_ids = IDS;
    request.sku_ids = ids;
    len = protobuf_c_message_pack(&request.base, (uint8_t *)bytes + GRPC_PREFIX);
    assert_true(len < CH_GRPC_MESSAGE_MAX);
    grpc_prefix_write(bytes, len);
    s = raw_send(raw, GET_SKUS, NULL, (struct ch_str){bytes, len + GRPC_PREFIX}, false);
    raw_wait(raw, s);
    assert_int_equal(s->grpc_status, 0);
    reply = (Catalog__V1__GetSkusResponse *)raw_next(s, &catalog__v1__get_skus_response__descriptor, &at);
    assert_int_equal(reply->n_skus, IDS);
    assert_string_equal(reply->skus[IDS - 1]->sku_id, ids[IDS - 1]);
    protobuf_c_message_free_unpacked(&reply->base, NULL);
    for (int i = 0; i < IDS; i++)
        free(ids[i]);
    free(bytes);
    raw_close(raw);
}

static void test_unary__ends_a_request_that_never_comes_whole(void **state)
{
    static const struct raw_header headers[] = {{"grpc-timeout", "100m"}, {0}};
    struct raw *raw = raw_open(true);
    struct raw_stream *s = raw_send(raw, GET_SKUS, headers, (struct ch_str){"\0\0\0\0\7abc", 8}, true);

    (void)state;
    raw_wait(raw, s);
    assert_int_equal(s->grpc_status, CH_GRPC_DEADLINE_EXCEEDED);
    assert_int_equal(fx.started, 0);
    raw_close(raw);
}

static void test_unary__deadline_ends_the_handlers_wait(void **state)
{
    static const struct raw_header headers[] = {{"grpc-timeout", "50m"}, {0}};
    struct raw *raw = raw_open(true);
    struct raw_stream *s = raw_send(raw, GET_SKUS, headers, raw_get_skus("sleep 10000"), false);

    (void)state;
    raw_wait(raw, s);
    assert_int_equal(s->grpc_status, CH_GRPC_DEADLINE_EXCEEDED);
    raw_close(raw);
}

static void test_unary__cancel_resumes_the_handler(void **state)
{
    struct raw *raw = raw_open(true);
    struct raw_stream *s = raw_send(raw, GET_SKUS, NULL, raw_get_skus("sleep 10000"), false);

    (void)state;
    raw_flush(raw);
    fx_wait_for(&fx.started, 1);
    assert_int_equal(nghttp2_submit_rst_stream(raw->session, 0, s->id, NGHTTP2_CANCEL), 0);
    raw_flush(raw);
    fx_wait_for(&fx.cancelled, 1);
    fx_wait_for(&fx.ended, 1);
    fx_wait_idle();
    raw_close(raw);
}

static void test_unary__a_lost_connection_resumes_its_handlers(void **state)
{
    struct raw *raw = raw_open(true);

    (void)state;
    for (int i = 0; i < 10; i++)
        (void)raw_send(raw, GET_SKUS, NULL, raw_get_skus("sleep 10000"), false);
    (void)raw_send(raw, WATCH, NULL, raw_watch("x", 1000000), false);
    raw_flush(raw);
    fx_wait_for(&fx.started, 11);
    raw_close(raw);
    fx_wait_for(&fx.cancelled, 11);
    fx_wait_idle();
}

// ---- limits ----

static void test_limits__headers_past_the_limit_are_refused(void **state)
{
    static char value[9000];
    const struct raw_header headers[] = {{"x-a", value}, {"x-b", value}, {0}};
    struct raw_header many[71] = {{0}};
    struct raw *raw = raw_open(true);
    struct raw_stream *large, *numerous, *good;

    (void)state;
    memset(value, 'v', sizeof(value) - 1);
    for (int i = 0; i < 70; i++)
        many[i] = (struct raw_header){"x-n", "v"};
    large = raw_send(raw, GET_SKUS, headers, raw_get_skus("a"), false);
    numerous = raw_send(raw, GET_SKUS, many, raw_get_skus("a"), false);
    good = raw_send(raw, GET_SKUS, NULL, raw_get_skus("a"), false);
    raw_wait(raw, large);
    raw_wait(raw, numerous);
    raw_wait(raw, good);
    assert_string_equal(large->code, "headers_too_large");
    assert_string_equal(numerous->code, "headers_too_large");
    assert_int_equal(good->grpc_status, 0);
    raw_close(raw);
}

static void test_limits__a_ping_flood_ends_the_connection(void **state)
{
    struct raw *raw = raw_open(true);

    (void)state;
    for (int i = 0; i < 5000 && !raw->is_ended; i++) {
        assert_int_equal(nghttp2_submit_ping(raw->session, 0, bytes_of("12345678")), 0);
        raw_flush(raw);
    }
    raw_wait_end(raw);
    assert_true(raw->pongs < 3000);
    raw_close(raw);
}

static void test_limits__rapid_resets_end_the_connection(void **state)
{
    struct raw *raw = raw_open(true);
    struct raw_stream *s = &raw->streams[0];

    (void)state;
    for (int i = 0; i < 6000 && !raw->is_ended; i++) {
        raw->count = 0;
        ch_buf_release(&s->reply);
        s = raw_send(raw, GET_SKUS, NULL, raw_get_skus("a"), true); // a fiber each would take minutes under TSan
        raw_flush(raw);
        assert_int_equal(nghttp2_submit_rst_stream(raw->session, 0, s->id, NGHTTP2_CANCEL), 0);
        raw_flush(raw);
    }
    raw_wait_end(raw);
    assert_true(raw->is_ended);
    fx_wait_idle();
    raw_close(raw);
}

static void test_limits__connections_past_the_limit_are_closed(void **state)
{
    struct raw *raws[21];

    (void)state;
    for (int i = 0; i < 21; i++)
        raws[i] = raw_open(true);
    for (int i = 0; i < 20; i++) {
        struct raw_stream *s = raw_send(raws[i], GET_SKUS, NULL, raw_get_skus("a"), false);

        raw_wait(raws[i], s);
        assert_int_equal(s->grpc_status, 0);
    }
    raw_wait_end(raws[20]);
    for (int i = 0; i < 21; i++)
        raw_close(raws[i]);
}

static void test_limits__what_is_no_http2_is_closed(void **state)
{
    static const char request[] = "GET / HTTP/1.1\r\nHost: x\r\n\r\n";
    int fd = raw_socket(fx.port);
    char bytes[1024];

    (void)state;
    assert_int_equal(send(fd, request, sizeof(request) - 1, MSG_NOSIGNAL), sizeof(request) - 1);
    while (recv(fd, bytes, sizeof(bytes), 0) > 0)
        ;
    (void)close(fd);
}

// ---- drain ----

static void test_drain__ends_what_runs_and_then_closes(void **state)
{
    struct raw *raw = raw_open(true), *idle = raw_open(true);
    struct raw_stream *running = raw_send(raw, GET_SKUS, NULL, raw_get_skus("sleep 300"), false);
    struct raw_stream *stream = raw_send(raw, WATCH, NULL, raw_watch("wait", 1), false);

    (void)state;
    raw_flush(idle);
    raw_flush(raw);
    fx_wait_for(&fx.started, 2);
    fx_on_loop(fx_do_drain, NULL);
    raw_wait_end(idle);
    assert_true(idle->has_goaway);
    raw_wait_end(raw);
    assert_true(raw->has_goaway);
    assert_int_equal(raw->goaway_code, NGHTTP2_NO_ERROR);
    assert_int_equal(running->grpc_status, 0);
    assert_int_equal(stream->grpc_status, CH_GRPC_UNAVAILABLE);
    fx_wait_idle();
    raw_close(raw);
    raw_close(idle);
}

static void test_free__cancels_what_runs(void **state)
{
    struct raw *raw = raw_open(true);

    (void)state;
    (void)raw_send(raw, GET_SKUS, NULL, raw_get_skus("sleep 10000"), false);
    raw_flush(raw);
    fx_wait_for(&fx.started, 1);
    fx_on_loop(fx_do_kill, NULL);
    raw_wait_end(raw);
    raw_close(raw);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        SERVER_TEST(test_unary__answers),
        SERVER_TEST(test_unary__refuses),
        SERVER_TEST(test_unary__names_the_field_that_is_no_utf8),
        SERVER_TEST(test_unary__percent_encodes_the_sentence),
        SERVER_TEST(test_unary__refuses_a_large_message_before_it_comes),
        SERVER_TEST(test_unary__takes_and_gives_large_messages),
        SERVER_TEST(test_unary__ends_a_request_that_never_comes_whole),
        SERVER_TEST(test_unary__deadline_ends_the_handlers_wait),
        SERVER_TEST(test_unary__cancel_resumes_the_handler),
        SERVER_TEST(test_unary__a_lost_connection_resumes_its_handlers),
        SERVER_TEST(test_limits__headers_past_the_limit_are_refused),
        SERVER_TEST(test_limits__a_ping_flood_ends_the_connection),
        SERVER_TEST(test_limits__rapid_resets_end_the_connection),
        SERVER_TEST(test_limits__connections_past_the_limit_are_closed),
        SERVER_TEST(test_limits__what_is_no_http2_is_closed),
        SERVER_TEST(test_drain__ends_what_runs_and_then_closes),
        SERVER_TEST(test_free__cancels_what_runs),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
