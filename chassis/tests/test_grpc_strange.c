// SPDX-License-Identifier: Apache-2.0
// The gRPC client against a peer that is not ours and answers anything: every reply becomes one failure, and the next
// call still works.
#include "loop_fixture.h"
#include "test_grpc_raw.h"

#include <assert.h>

#define OK_REPLY "\0\0\0\0\0"
#define BYTES(literal)                                                                                                 \
    {                                                                                                                  \
        (literal), sizeof(literal) - 1                                                                                 \
    }

// One row a reply. Without a body the status comes with the headers.
static const struct reply {
    const char *name, *status, *content_type;
    struct ch_str body;
    const char *grpc_status, *code;
    uint32_t reset; // RST_STREAM instead of a reply
    bool is_closing;
    enum ch_err want;
} replies[] = {
    {"good", "200", "application/grpc", BYTES(OK_REPLY), "0", NULL, 0, false, CH_OK},
    {"good with a suffix", "200", "application/grpc+proto", BYTES(OK_REPLY), "0", NULL, 0, false, CH_OK},
    {"not found", "200", "application/grpc", {0}, "5", NULL, 0, false, CH_ERR_NOT_FOUND},
    {"ours", "200", "application/grpc", {0}, "9", "stock_short", 0, false, CH_ERR_STOCK_SHORT},
    {"ours, unknown code", "200", "application/grpc", {0}, "9", "of_tomorrow", 0, false, CH_ERR_CONFLICT},
    {"status out of range", "200", "application/grpc", {0}, "99", NULL, 0, false, CH_ERR_INTERNAL},
    {"status no number", "200", "application/grpc", {0}, "x", NULL, 0, false, CH_ERR_INTERNAL},
    {"no status", "200", "application/grpc", BYTES(OK_REPLY), NULL, NULL, 0, false, CH_ERR_INTERNAL},
    {"no message", "200", "application/grpc", {0}, "0", NULL, 0, false, CH_ERR_INTERNAL},
    {"two messages", "200", "application/grpc", BYTES(OK_REPLY OK_REPLY), "0", NULL, 0, false, CH_ERR_INTERNAL},
    {"half a message", "200", "application/grpc", BYTES("\0\0\0\0\5ab"), "0", NULL, 0, false, CH_ERR_INTERNAL},
    {"compressed", "200", "application/grpc", BYTES("\1\0\0\0\0"), "0", NULL, 0, false, CH_ERR_INTERNAL},
    {"too large", "200", "application/grpc", BYTES("\0\x7f\0\0\0"), "0", NULL, 0, false, CH_ERR_TOO_LARGE},
    {"malformed", "200", "application/grpc", BYTES("\0\0\0\0\2\x0a\5"), "0", NULL, 0, false, CH_ERR_INTERNAL},
    {"a web page", "200", "text/html", BYTES("<html>"), NULL, NULL, 0, false, CH_ERR_INTERNAL},
    {"bad gateway", "502", "text/html", BYTES("<html>"), NULL, NULL, 0, false, CH_ERR_UNAVAILABLE},
    {"no rights", "403", "text/html", {0}, NULL, NULL, 0, false, CH_ERR_FORBIDDEN},
    {"not there", "404", "text/html", {0}, NULL, NULL, 0, false, CH_ERR_UNIMPLEMENTED},
    {"calm", NULL, NULL, {0}, NULL, NULL, NGHTTP2_ENHANCE_YOUR_CALM, false, CH_ERR_OVERLOADED},
    {"internal", NULL, NULL, {0}, NULL, NULL, NGHTTP2_INTERNAL_ERROR, false, CH_ERR_INTERNAL},
    {"refused for ever", NULL, NULL, {0}, NULL, NULL, NGHTTP2_REFUSED_STREAM, false, CH_ERR_UNAVAILABLE},
    {"closed", NULL, NULL, {0}, NULL, NULL, 0, true, CH_ERR_UNAVAILABLE},
};

// ---- the peer: a thread that blocks, one connection after the other ----

static struct {
    int fd, port;
    pthread_t thread;
    atomic_int calls; // of this row
    _Atomic(const struct reply *) reply;
} strange;

static ssize_t read_body(nghttp2_session *session, int32_t id, uint8_t *to, size_t max, uint32_t *flags,
                         nghttp2_data_source *source, void *arg)
{
    const struct reply *reply = source->ptr;
    nghttp2_nv trailer = {(uint8_t *)"grpc-status", (uint8_t *)reply->grpc_status, 11, 0, 0};

    (void)arg;
    assert(reply->body.len <= max);
    memcpy(to, reply->body.data, reply->body.len);
    *flags |= NGHTTP2_DATA_FLAG_EOF;
    if (reply->grpc_status) {
        trailer.valuelen = strlen(reply->grpc_status);
        *flags |= NGHTTP2_DATA_FLAG_NO_END_STREAM;
        assert(nghttp2_submit_trailer(session, id, &trailer, 1) == 0);
    }
    return (ssize_t)reply->body.len;
}

static int on_request(nghttp2_session *session, const nghttp2_frame *frame, void *arg)
{
    const struct reply *reply = strange.reply;
    const struct raw_header all[] = {{":status", reply->status},
                                     {"content-type", reply->content_type},
                                     {"grpc-status", reply->body.data ? NULL : reply->grpc_status},
                                     {"gwasuwon-code", reply->code}};
    nghttp2_data_provider provider = {.source.ptr = (void *)reply, .read_callback = read_body};
    nghttp2_nv headers[4];
    size_t count = 0;

    if (!(frame->hd.flags & NGHTTP2_FLAG_END_STREAM) || frame->hd.stream_id == 0)
        return 0;
    strange.calls++;
    if (reply->is_closing)
        *(bool *)arg = true;
    if (!reply->status)
        return nghttp2_submit_rst_stream(session, 0, frame->hd.stream_id, reply->reset);
    for (size_t i = 0; i < 4; i++)
        if (all[i].value)
            headers[count++] = (nghttp2_nv){(uint8_t *)all[i].name, (uint8_t *)all[i].value, strlen(all[i].name),
                                            strlen(all[i].value), 0};
    return nghttp2_submit_response(session, frame->hd.stream_id, headers, count, reply->body.data ? &provider : NULL);
}

static void serve(int fd)
{
    nghttp2_session_callbacks *callbacks;
    nghttp2_session *session;
    nghttp2_option *option;
    bool is_closing = false;
    uint8_t in[65536];
    ssize_t len = 0;

    assert(nghttp2_session_callbacks_new(&callbacks) == 0 && nghttp2_option_new(&option) == 0);
    nghttp2_option_set_no_http_messaging(option, 1);
    nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, on_request);
    assert(nghttp2_session_server_new2(&session, callbacks, &is_closing, option) == 0);
    assert(nghttp2_submit_settings(session, 0, NULL, 0) == 0);
    do {
        const uint8_t *out;

        if (len > 0 && nghttp2_session_mem_recv(session, in, (size_t)len) < 0)
            break;
        while (!is_closing && (len = nghttp2_session_mem_send(session, &out)) > 0)
            if (send(fd, out, (size_t)len, MSG_NOSIGNAL) < 0)
                break;
    } while (!is_closing && (len = recv(fd, in, sizeof(in), 0)) > 0);
    nghttp2_session_del(session);
    nghttp2_option_del(option);
    nghttp2_session_callbacks_del(callbacks);
    (void)close(fd);
}

static void *strange_thread(void *arg)
{
    int fd;

    (void)arg;
    while ((fd = accept(strange.fd, NULL, NULL)) >= 0) // until it is shut down
        serve(fd);
    return NULL;
}

static int setup(void **state)
{
    struct sockaddr_in where = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(where);

    strange.fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (bind(strange.fd, (struct sockaddr *)&where, sizeof(where)) || listen(strange.fd, 10) ||
        getsockname(strange.fd, (struct sockaddr *)&where, &len))
        return -1;
    strange.port = ntohs(where.sin_port);
    return loop_setup(state) || pthread_create(&strange.thread, NULL, strange_thread, NULL);
}

static int teardown(void **state)
{
    (void)shutdown(strange.fd, SHUT_RDWR);
    (void)pthread_join(strange.thread, NULL);
    (void)close(strange.fd);
    return loop_teardown(state);
}

// ---- the test ----

static enum ch_err call(struct ch_peer *peer)
{
    struct ch_ctx ctx = {.loop = loop, .arena = ch_arena_new(1024 * 1024), .deadline_ns = ch_now_ns() + MS(5000)};
    Catalog__V1__GetSkusRequest request = CATALOG__V1__GET_SKUS_REQUEST__INIT;
    void *reply;
    enum ch_err err;

    ch_faults_init(&ctx.faults, ctx.arena);
    ch_trace_start(&ctx.trace, (struct ch_str){0});
    err = ch_peer_call_wait(peer, &ctx, &fx_rpcs[0], &request.base, ctx.deadline_ns, &reply);
    ch_arena_free(ctx.arena);
    return err;
}

static void replies_one_by_one(void *arg)
{
    char address[32];
    struct ch_peer_options options = {.name = "strange", .address = address, .in_flight_max = 10};

    (void)arg;
    (void)snprintf(address, sizeof(address), "127.0.0.1:%d", strange.port);
    FOR_EACH(it, replies)
    {
        struct ch_peer *peer;

        strange.reply = it;
        strange.calls = 0;
        peer = ch_peer_new(loop, &options);
        CHECK(it->name, call(peer) == it->want);
        CHECK(it->name, strange.calls == (it->reset == NGHTTP2_REFUSED_STREAM ? 3 : 1)); // repeated only if refused
        ch_peer_free(peer);
    }
}

static void test_strange__each_reply_is_one_failure(void **state)
{
    (void)state;
    loop_run_until_done(replies_one_by_one, NULL);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_strange__each_reply_is_one_failure, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
