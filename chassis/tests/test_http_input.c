// SPDX-License-Identifier: Apache-2.0
// Bytes in, status out: what the server takes and what it refuses. Each case is sent whole, then byte by byte; the
// answer must be the same.
#include "test_http_fixture.h"

static void echo(struct ch_http_exchange *x, void *arg)
{
    struct ch_http_header extra[] = {{CH_STR("X-Path"), x->path}, {CH_STR("X-Query"), x->query}};

    (void)arg;
    ch_http_reply(x, ch_str_is(x->path, "/304") ? 304 : 200, "text/plain", extra, 2, x->body);
}

#define HOST      "Host: a\r\n"
#define POST      "POST /e HTTP/1.1\r\n" HOST
#define CHUNKED   POST "Transfer-Encoding: chunked\r\n\r\n"
#define HEADERS8  "A: b\r\nA: b\r\nA: b\r\nA: b\r\nA: b\r\nA: b\r\nA: b\r\nA: b\r\n"
#define HEADERS56 HEADERS8 HEADERS8 HEADERS8 HEADERS8 HEADERS8 HEADERS8 HEADERS8
#define BYTES(s)  (s), sizeof(s) - 1

enum { OPEN, CLOSED };

static const struct input {
    const char *name;
    const char *bytes;
    size_t len;
    int status;
    int end;
    const char *body; // NULL: any
} inputs[] = {
    {"plain", BYTES("GET /a HTTP/1.1\r\n" HOST "\r\n"), 200, OPEN, ""},
    {"empty line before", BYTES("\r\nGET /a HTTP/1.1\r\n" HOST "\r\n"), 200, OPEN, ""},
    {"two empty lines before", BYTES("\r\n\r\nGET /a HTTP/1.1\r\n" HOST "\r\n"), 400, CLOSED, NULL},
    {"connection close", BYTES("GET /a HTTP/1.1\r\n" HOST "Connection: close\r\n\r\n"), 200, CLOSED, ""},
    {"no space after colon", BYTES("GET /a HTTP/1.1\r\nHost:a\r\n\r\n"), 200, OPEN, ""},
    {"empty value", BYTES("GET /a HTTP/1.1\r\n" HOST "X:\r\nY: \t \r\n\r\n"), 200, OPEN, ""},
    {"list field twice",
     BYTES("GET /a HTTP/1.1\r\n" HOST "Accept: a\r\nAccept: b\r\nIf-None-Match: \"1\"\r\nIf-None-Match: \"2\"\r\n\r\n"),
     200, OPEN, ""},
    {"host with port", BYTES("GET /a HTTP/1.1\r\nHost: [::1]:80\r\n\r\n"), 200, OPEN, ""},
    {"options star", BYTES("OPTIONS * HTTP/1.1\r\n" HOST "\r\n"), 200, OPEN, ""},
    {"absolute form", BYTES("GET http://b/a?q HTTP/1.1\r\n" HOST "\r\n"), 200, OPEN, ""},
    {"UTF-8 target", BYTES("GET /a?q=\xec\x82\xac\xea\xb3\xbc HTTP/1.1\r\n" HOST "\r\n"), 200, OPEN, ""},
    {"HTTP/1.0", BYTES("GET /a HTTP/1.0\r\n\r\n"), 200, CLOSED, ""},
    {"HTTP/1.0 keep-alive", BYTES("GET /a HTTP/1.0\r\nConnection: keep-alive\r\n\r\n"), 200, CLOSED, ""},
    {"other method", BYTES("PROPFIND /a HTTP/1.1\r\n" HOST "\r\n"), 200, OPEN, ""},
    {"upgrade is not taken up", BYTES("GET /a HTTP/1.1\r\n" HOST "Connection: Upgrade\r\nUpgrade: h2c\r\n\r\n"), 200,
     CLOSED, ""},
    {"64 fields",
     BYTES("GET /a HTTP/1.1\r\n" HOST HEADERS56 "A: b\r\nA: b\r\nA: b\r\nA: b\r\nA: b\r\nA: b\r\nA: b\r\n\r\n"), 200,
     OPEN, ""},
    {"body", BYTES(POST "Content-Length: 5\r\n\r\nhello"), 200, OPEN, "hello"},
    {"body of zero", BYTES(POST "Content-Length: 0\r\n\r\n"), 200, OPEN, ""},
    {"no length is no body", BYTES(POST "\r\n"), 200, OPEN, ""},
    {"chunked", BYTES(CHUNKED "5\r\nhello\r\n00006\r\n world\r\n0\r\n\r\n"), 200, OPEN, "hello world"},
    {"chunked, hex", BYTES(CHUNKED "A\r\n0123456789\r\nb\r\n0123456789-\r\n0\r\n\r\n"), 200, OPEN,
     "01234567890123456789-"},
    {"chunk extension", BYTES(CHUNKED "5;a=b;c=\"d\"\r\nhello\r\n0 ;x\r\n\r\n"), 200, OPEN, "hello"},
    {"trailers", BYTES(CHUNKED "5\r\nhello\r\n0\r\nHost: b\r\nX-Sum: 1\r\n\r\n"), 200, OPEN, "hello"},
    {"Chunked in capitals", BYTES(POST "Transfer-Encoding: CHUNKED\r\n\r\n0\r\n\r\n"), 200, OPEN, ""},
    {"expect, body there", BYTES(POST "Expect: 100-continue\r\nContent-Length: 0\r\n\r\n"), 200, OPEN, ""},

    {"NUL in value", BYTES("GET /a HTTP/1.1\r\n" HOST "X: a\0b\r\n\r\n"), 400, CLOSED, NULL},
    {"NUL in name", BYTES("GET /a HTTP/1.1\r\n" HOST "X\0: a\r\n\r\n"), 400, CLOSED, NULL},
    {"NUL in target", BYTES("GET /a\0 HTTP/1.1\r\n" HOST "\r\n"), 400, CLOSED, NULL},
    {"control in value", BYTES("GET /a HTTP/1.1\r\n" HOST "X: a\x01\r\n\r\n"), 400, CLOSED, NULL},
    {"DEL in value", BYTES("GET /a HTTP/1.1\r\n" HOST "X: a\x7f\r\n\r\n"), 400, CLOSED, NULL},
    {"bare CR in value", BYTES("GET /a HTTP/1.1\r\n" HOST "X: a\rb\r\n\r\n"), 400, CLOSED, NULL},
    {"bare CR before the end", BYTES("GET /a HTTP/1.1\r\n" HOST "\r\r\n"), 400, CLOSED, NULL},
    {"bare LF", BYTES("GET /a HTTP/1.1\r\nHost: a\nX: b\r\n\r\n"), 400, CLOSED, NULL},
    {"bare LF throughout", BYTES("GET /a HTTP/1.1\nHost: a\n\n"), 400, CLOSED, NULL},
    {"bare LF first", BYTES("\nGET /a HTTP/1.1\r\n" HOST "\r\n"), 400, CLOSED, NULL},
    {"obs-fold", BYTES("GET /a HTTP/1.1\r\n" HOST "X: a\r\n b\r\n\r\n"), 400, CLOSED, NULL},
    {"obs-fold by tab", BYTES("GET /a HTTP/1.1\r\n" HOST "X: a\r\n\tb\r\n\r\n"), 400, CLOSED, NULL},
    {"space before fields", BYTES("GET /a HTTP/1.1\r\n " HOST "\r\n"), 400, CLOSED, NULL},
    {"space before colon", BYTES("GET /a HTTP/1.1\r\nHost : a\r\n\r\n"), 400, CLOSED, NULL},
    {"space in name", BYTES("GET /a HTTP/1.1\r\n" HOST "X Y: a\r\n\r\n"), 400, CLOSED, NULL},
    {"no name", BYTES("GET /a HTTP/1.1\r\n" HOST ": a\r\n\r\n"), 400, CLOSED, NULL},
    {"no colon", BYTES("GET /a HTTP/1.1\r\n" HOST "X\r\n\r\n"), 400, CLOSED, NULL},
    {"name not ASCII", BYTES("GET /a HTTP/1.1\r\n" HOST "X\xc3\xa9: a\r\n\r\n"), 400, CLOSED, NULL},
    {"no host", BYTES("GET /a HTTP/1.1\r\n\r\n"), 400, CLOSED, NULL},
    {"two hosts", BYTES("GET /a HTTP/1.1\r\n" HOST HOST "\r\n"), 400, CLOSED, NULL},
    {"two hosts, 1.0", BYTES("GET /a HTTP/1.0\r\n" HOST HOST "\r\n"), 400, CLOSED, NULL},
    {"empty host", BYTES("GET /a HTTP/1.1\r\nHost:\r\n\r\n"), 400, CLOSED, NULL},
    {"host with path", BYTES("GET /a HTTP/1.1\r\nHost: a/b\r\n\r\n"), 400, CLOSED, NULL},
    {"host with user", BYTES("GET /a HTTP/1.1\r\nHost: u@a\r\n\r\n"), 400, CLOSED, NULL},
    {"host list", BYTES("GET /a HTTP/1.1\r\nHost: a, b\r\n\r\n"), 400, CLOSED, NULL},
    {"two lengths", BYTES(POST "Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello"), 400, CLOSED, NULL},
    {"two equal lengths", BYTES(POST "Content-Length: 5\r\nContent-Length: 5\r\n\r\nhello"), 400, CLOSED, NULL},
    {"length list", BYTES(POST "Content-Length: 5, 5\r\n\r\nhello"), 400, CLOSED, NULL},
    {"length with sign", BYTES(POST "Content-Length: +5\r\n\r\nhello"), 400, CLOSED, NULL},
    {"negative length", BYTES(POST "Content-Length: -5\r\n\r\nhello"), 400, CLOSED, NULL},
    {"hex length", BYTES(POST "Content-Length: 0x5\r\n\r\nhello"), 400, CLOSED, NULL},
    {"empty length", BYTES(POST "Content-Length:\r\n\r\n"), 400, CLOSED, NULL},
    {"overflowing length", BYTES(POST "Content-Length: 18446744073709551621\r\n\r\nhello"), 400, CLOSED, NULL},
    {"length and coding", BYTES(POST "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"), 400, CLOSED,
     NULL},
    {"coding and length", BYTES(POST "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n"), 400, CLOSED,
     NULL},
    {"coding gzip", BYTES(POST "Transfer-Encoding: gzip\r\n\r\n"), 400, CLOSED, NULL},
    {"coding gzip, chunked", BYTES(POST "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n"), 400, CLOSED, NULL},
    {"coding chunked, chunked", BYTES(POST "Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n"), 400, CLOSED, NULL},
    {"coding xchunked", BYTES(POST "Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n"), 400, CLOSED, NULL},
    {"coding with vertical tab",
     BYTES(POST "Transfer-Encoding: \x0b"
                "chunked\r\n\r\n0\r\n\r\n"),
     400, CLOSED, NULL},
    {"coding empty", BYTES(POST "Transfer-Encoding:\r\n\r\n0\r\n\r\n"), 400, CLOSED, NULL},
    {"two codings", BYTES(POST "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"), 400,
     CLOSED, NULL},
    {"coding in 1.0", BYTES("POST /e HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"), 400, CLOSED, NULL},
    {"two Content-Type", BYTES(POST "Content-Type: a\r\nContent-Type: a\r\n\r\n"), 400, CLOSED, NULL},
    {"two Authorization", BYTES(POST "Authorization: a\r\nauthorization: a\r\n\r\n"), 400, CLOSED, NULL},
    {"two If-Match", BYTES(POST "If-Match: a\r\nIF-MATCH: a\r\n\r\n"), 400, CLOSED, NULL},
    {"two Idempotency-Key", BYTES(POST "Idempotency-Key: a\r\nIdempotency-Key: a\r\n\r\n"), 400, CLOSED, NULL},
    {"two traceparent", BYTES(POST "traceparent: a\r\nTraceparent: a\r\n\r\n"), 400, CLOSED, NULL},
    {"chunk size missing", BYTES(CHUNKED "\r\nhello\r\n0\r\n\r\n"), 400, CLOSED, NULL},
    {"chunk size not hex", BYTES(CHUNKED "g\r\nhello\r\n0\r\n\r\n"), 400, CLOSED, NULL},
    {"chunk size 0x", BYTES(CHUNKED "0x5\r\nhello\r\n0\r\n\r\n"), 400, CLOSED, NULL},
    {"chunk size negative", BYTES(CHUNKED "-5\r\nhello\r\n0\r\n\r\n"), 400, CLOSED, NULL},
    {"chunk size too long", BYTES(CHUNKED "0000000000000005\r\nhello\r\n0\r\n\r\n"), 400, CLOSED, NULL},
    {"chunk size, bare LF", BYTES(CHUNKED "5\nhello\r\n0\r\n\r\n"), 400, CLOSED, NULL},
    {"chunk size, bare CR", BYTES(CHUNKED "5\rXhello\r\n0\r\n\r\n"), 400, CLOSED, NULL},
    {"chunk longer than said", BYTES(CHUNKED "5\r\nhello!\r\n0\r\n\r\n"), 400, CLOSED, NULL},
    {"chunk without CRLF", BYTES(CHUNKED "5\r\nhello0\r\n\r\n"), 400, CLOSED, NULL},
    {"chunk ends in LF", BYTES(CHUNKED "5\r\nhello\n0\r\n\r\n"), 400, CLOSED, NULL},
    {"NUL in extension", BYTES(CHUNKED "5;a\0\r\nhello\r\n0\r\n\r\n"), 400, CLOSED, NULL},
    {"bare LF in trailers", BYTES(CHUNKED "0\r\nX: a\n\r\n"), 400, CLOSED, NULL},
    {"trailer without colon", BYTES(CHUNKED "0\r\nX\r\n\r\n"), 400, CLOSED, NULL},
    {"trailer with space", BYTES(CHUNKED "0\r\nX : a\r\n\r\n"), 400, CLOSED, NULL},
    {"folded trailer", BYTES(CHUNKED "0\r\nX: a\r\n b\r\n\r\n"), 400, CLOSED, NULL},
    {"65 fields", BYTES("GET /a HTTP/1.1\r\n" HOST HEADERS56 HEADERS8 "\r\n"), 431, CLOSED, NULL},
    {"HTTP/2.0", BYTES("GET /a HTTP/2.0\r\n" HOST "\r\n"), 505, CLOSED, NULL},
    {"HTTP/1.2", BYTES("GET /a HTTP/1.2\r\n" HOST "\r\n"), 505, CLOSED, NULL},
    {"HTTP/0.9", BYTES("GET /a HTTP/0.9\r\n" HOST "\r\n"), 505, CLOSED, NULL},
    {"HTTP/3", BYTES("GET /a HTTP/3\r\n" HOST "\r\n"), 505, CLOSED, NULL},
    {"no version", BYTES("GET /a\r\n" HOST "\r\n"), 505, CLOSED, NULL},
    {"other protocol", BYTES("GET /a RTSP/1.0\r\n" HOST "\r\n"), 400, CLOSED, NULL},
    {"lower-case protocol", BYTES("GET /a http/1.1\r\n" HOST "\r\n"), 400, CLOSED, NULL},
    {"space behind version", BYTES("GET /a HTTP/1.1 \r\n" HOST "\r\n"), 505, CLOSED, NULL},
    {"two spaces", BYTES("GET  /a HTTP/1.1\r\n" HOST "\r\n"), 400, CLOSED, NULL},
    {"two spaces behind", BYTES("GET /a  HTTP/1.1\r\n" HOST "\r\n"), 400, CLOSED, NULL},
    {"tab for space", BYTES("GET\t/a HTTP/1.1\r\n" HOST "\r\n"), 400, CLOSED, NULL},
    {"tab in target", BYTES("GET /a\tb HTTP/1.1\r\n" HOST "\r\n"), 400, CLOSED, NULL},
    {"fragment", BYTES("GET /a#b HTTP/1.1\r\n" HOST "\r\n"), 400, CLOSED, NULL},
    {"target not UTF-8", BYTES("GET /a\xff HTTP/1.1\r\n" HOST "\r\n"), 400, CLOSED, NULL},
    {"backslash", BYTES("GET /a\\b HTTP/1.1\r\n" HOST "\r\n"), 400, CLOSED, NULL},
    {"relative target", BYTES("GET a HTTP/1.1\r\n" HOST "\r\n"), 400, CLOSED, NULL},
    {"no target", BYTES("GET HTTP/1.1\r\n" HOST "\r\n"), 400, CLOSED, NULL},
    {"star for GET", BYTES("GET * HTTP/1.1\r\n" HOST "\r\n"), 400, CLOSED, NULL},
    {"other scheme", BYTES("GET ftp://b/a HTTP/1.1\r\n" HOST "\r\n"), 400, CLOSED, NULL},
    {"connect", BYTES("CONNECT b:80 HTTP/1.1\r\n" HOST "\r\n"), 501, CLOSED, NULL},
    {"unknown method", BYTES("BREW /a HTTP/1.1\r\n" HOST "\r\n"), 501, CLOSED, NULL},
    {"lower-case method", BYTES("get /a HTTP/1.1\r\n" HOST "\r\n"), 501, CLOSED, NULL},
    {"method no token", BYTES("G@T /a HTTP/1.1\r\n" HOST "\r\n"), 400, CLOSED, NULL},
    {"TLS hello", BYTES("\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"), 400, CLOSED, NULL},
    {"HTTP/2 preface", BYTES("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), 501, CLOSED, NULL},
    {"unknown expectation", BYTES(POST "Expect: 200-maybe\r\nContent-Length: 5\r\n\r\nhello"), 417, CLOSED, NULL},
    {"body too large", BYTES(POST "Content-Length: 1025\r\n\r\n"), 413, CLOSED, NULL},
    {"body far too large", BYTES(POST "Content-Length: 18446744073709551615\r\n\r\n"), 400, CLOSED, NULL},
    {"expect, body too large", BYTES(POST "Expect: 100-continue\r\nContent-Length: 1025\r\n\r\n"), 413, CLOSED, NULL},
};

static void send_split(struct client *client, const struct input *in, bool is_split)
{
    size_t step = is_split ? 1 : in->len;

    for (size_t i = 0; i < in->len; i += step)
        if (!client_send(client, in->bytes + i, step))
            return;
}

static void check_input(const struct input *in, bool is_split)
{
    struct client client = client_open();
    struct reply reply;

    send_split(&client, in, is_split);
    CHECK(in->name, client_reply(&client, true, &reply));
    if (reply.status != in->status)
        fail_msg("case \"%s\" (%s): status %d, want %d", in->name, is_split ? "split" : "whole", reply.status,
                 in->status);
    if (in->body)
        CHECK_TEXT(in->name, reply.body, in->body);
    if (in->status >= 400)
        CHECK(in->name, strstr(reply.head, "application/problem+json") && strstr(reply.body, "\"traceId\""));
    CHECK(in->name, !strstr(reply.head, "Connection: close") == (in->end == OPEN));
    if (in->end == CLOSED) {
        CHECK(in->name, client_is_closed(&client));
    } else {
        CHECK(in->name, client_text(&client, GET("/next")));
        CHECK(in->name, client_status(&client) == 200);
    }
    free(reply.body);
    client_close(&client);
}

static struct ch_http_limits small_body(void)
{
    struct ch_http_limits limits = ch_http_limits_default;

    limits.body_max = 1024;
    return limits;
}

static void test_input__answers_the_same_whole_and_split(void **state)
{
    struct ch_http_limits limits = small_body();

    (void)state;
    fx_start(&limits, echo);
    FOR_EACH(in, inputs)
    {
        check_input(in, false);
        check_input(in, true);
    }
    fx_stop();
}

static void test_input__target_is_split(void **state)
{
    static const struct {
        const char *name, *target, *path, *query;
    } cases[] = {
        {"origin", "/a/b", "X-Path: /a/b\r\n", "X-Query: \r\n"},
        {"query", "/a?x=1&y?", "X-Path: /a\r\n", "X-Query: x=1&y?\r\n"},
        {"absolute", "http://h:1/a?x", "X-Path: /a\r\n", "X-Query: x\r\n"},
        {"absolute, no path", "HTTPS://h", "X-Path: /\r\n", "X-Query: \r\n"},
        {"absolute, query only", "http://h?x", "X-Path: /\r\n", "X-Query: x\r\n"},
        {"encoded stays", "/%2F%00?%20", "X-Path: /%2F%00\r\n", "X-Query: %20\r\n"},
    };
    struct ch_http_limits limits = small_body();
    struct client client;

    (void)state;
    fx_start(&limits, echo);
    client = client_open();
    FOR_EACH(c, cases)
    {
        char request[256];
        struct reply reply;

        snprintf(request, sizeof(request), "GET %s HTTP/1.1\r\nHost: h\r\n\r\n", c->target);
        CHECK(c->name, client_text(&client, request) && client_reply(&client, true, &reply));
        CHECK(c->name, strstr(reply.head, c->path) && strstr(reply.head, c->query));
        free(reply.body);
    }
    client_close(&client);
    fx_stop();
}

static void test_input__long_heads(void **state)
{
    static const struct {
        const char *name, *before, *behind;
        size_t filler;
        int status;
    } cases[] = {
        {"target of 8 KiB", "GET /", " HTTP/1.1\r\nHost: a\r\n\r\n", 8191, 200},
        {"target past 8 KiB", "GET /", " HTTP/1.1\r\nHost: a\r\n\r\n", 8192, 414},
        {"target without end", "GET /", "", 20000, 414},
        {"target past the head", "GET /", " HTTP/1.1\r\nHost: a\r\n\r\n", 70000, 414},
        {"head of 32 KiB", "GET / HTTP/1.1\r\nHost: a\r\nX: ", "\r\n\r\n", 32768 - 32, 200},
        {"head past 32 KiB", "GET / HTTP/1.1\r\nHost: a\r\nX: ", "\r\n\r\n", 32768 - 31, 431},
        {"head without end", "GET / HTTP/1.1\r\nHost: a\r\nX: ", "", 40000, 431},
        {"200 kB header", "GET / HTTP/1.1\r\nHost: a\r\nX: ", "\r\n\r\n", 200000, 431},
        {"chunk line without end", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1;", "", 2000, 400},
        {"trailers without end", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX: ", "", 9000,
         431},
        {"chunked past the limit", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1000\r\n",
         "\r\n0\r\n\r\n", 4096, 413},
    };
    struct ch_http_limits limits = small_body();
    char *filler = malloc(200000);

    (void)state;
    memset(filler, 'x', 200000);
    fx_start(&limits, echo);
    FOR_EACH(c, cases)
    {
        struct client client = client_open();
        int status;

        (void)(client_text(&client, c->before) && client_send(&client, filler, c->filler) &&
               client_text(&client, c->behind));
        status = client_status(&client);
        if (status != c->status)
            fail_msg("case \"%s\": status %d, want %d", c->name, status, c->status);
        client_close(&client);
    }
    free(filler);
    fx_stop();
}

static void test_input__pipelined_requests_are_answered_in_order(void **state)
{
    static const char piped[] = GET("/1") POST "Content-Length: 3\r\n\r\ntwo" CHUNKED
                                               "5\r\nthree\r\n0\r\n\r\n" GET("/4") "BAD\r\n\r\n" GET("/6");
    static const char *const bodies[] = {"", "two", "three", ""};
    struct ch_http_limits limits = small_body();

    (void)state;
    fx_start(&limits, echo);
    for (int is_split = 0; is_split < 2; is_split++) {
        const struct input in = {.bytes = piped, .len = sizeof(piped) - 1};
        struct client client = client_open();

        send_split(&client, &in, is_split);
        FOR_EACH(body, bodies)
        {
            struct reply reply;

            assert_true(client_reply(&client, true, &reply));
            assert_int_equal(reply.status, 200);
            assert_string_equal(reply.body, *body);
            free(reply.body);
        }
        assert_int_equal(client_status(&client), 400);
        assert_true(client_is_closed(&client)); // what stood behind the bad one is not answered
        client_close(&client);
    }
    fx_stop();
}

#define DEEP 20000

static void *send_deep(void *arg)
{
    struct client *client = arg;
    char request[128];

    for (int i = 0; i < DEEP; i++) {
        int len = snprintf(request, sizeof(request), POST "Content-Length: 6\r\n\r\n%06d", i);

        if (!client_send(client, request, (size_t)len))
            return client;
    }
    return NULL;
}

// More than the server keeps, more than the kernel keeps: it must stop reading, and lose nothing.
static void test_input__deep_pipeline_loses_no_byte(void **state)
{
    struct ch_http_limits limits = small_body();
    struct client client;
    pthread_t sender;
    void *failed;

    (void)state;
    fx_start(&limits, echo);
    client = client_open();
    assert_int_equal(pthread_create(&sender, NULL, send_deep, &client), 0);
    for (int i = 0; i < DEEP; i++) {
        struct reply reply;

        assert_true(client_reply(&client, true, &reply));
        if (reply.status != 200 || atoi(reply.body) != i)
            fail_msg("reply %d: status %d, body %s", i, reply.status, reply.body);
        free(reply.body);
    }
    pthread_join(sender, &failed);
    assert_null(failed);
    client_close(&client);
    fx_stop();
}

static void test_input__head_and_304_have_no_body(void **state)
{
    struct ch_http_limits limits = small_body();
    struct client client;
    struct reply reply;

    (void)state;
    fx_start(&limits, echo);
    client = client_open();
    assert_true(client_text(&client, "HEAD /e HTTP/1.1\r\n" HOST "Content-Length: 5\r\n\r\nhello" GET("/304")));
    assert_true(client_reply(&client, false, &reply));
    assert_int_equal(reply.status, 200);
    assert_non_null(strstr(reply.head, "Content-Length: 5\r\n"));
    free(reply.body);
    assert_true(client_reply(&client, false, &reply));
    assert_int_equal(reply.status, 304);
    assert_null(strstr(reply.head, "Content-Length"));
    free(reply.body);
    assert_true(client_text(&client, GET("/x")));
    assert_int_equal(client_status(&client), 200);
    client_close(&client);
    fx_stop();
}

static void test_input__100_continue_comes_before_the_body(void **state)
{
    struct ch_http_limits limits = small_body();
    struct client client;

    (void)state;
    fx_start(&limits, echo);
    client = client_open();
    assert_true(client_text(&client, POST "Expect: 100-continue\r\nContent-Length: 5\r\n\r\n"));
    assert_int_equal(client_status(&client), 100);
    assert_true(client_text(&client, "hello"));
    assert_int_equal(client_status(&client), 200);
    client_close(&client);
    fx_stop();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_input__answers_the_same_whole_and_split),
        cmocka_unit_test(test_input__target_is_split),
        cmocka_unit_test(test_input__long_heads),
        cmocka_unit_test(test_input__pipelined_requests_are_answered_in_order),
        cmocka_unit_test(test_input__deep_pipeline_loses_no_byte),
        cmocka_unit_test(test_input__head_and_304_have_no_body),
        cmocka_unit_test(test_input__100_continue_comes_before_the_body),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
