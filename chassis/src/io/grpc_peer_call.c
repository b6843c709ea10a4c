// SPDX-License-Identifier: Apache-2.0
// A unary call as its caller sees it: one function that parks. Around it: span, metric, deadline, the token, one more
// attempt when the peer did not look at the first. Inside: nghttp2's callbacks, which write into the waiting fiber's
// `struct peer_call`. It must never repeat a call that the peer may have begun, nor leave its address with nghttp2
// after it returned.
#include "grpc_peer.h"

#include <stdio.h>
#include <stdlib.h>

#define FIRST_WAIT_NS      (200 * 1000000ll) // for a connection that is being made
#define ATTEMPTS_MAX       3
#define RESPONSE_HEADS_MAX (16 * 1024)
#define STREAM_ID_LAST     0x7ffffff0 // then a new connection

static const struct ch_metric duration_metric = {
    .name = "rpc_client_call_duration_seconds",
    .type = CH_HISTOGRAM,
    .help = "Duration of outgoing gRPC calls",
    .labels = {"peer", "method", "code"},
};

static struct peer_call *call_of(nghttp2_session *session, int32_t id)
{
    return nghttp2_session_get_stream_user_data(session, id);
}

// The reply is of no use: the stream ends, and the caller gets `err`.
static int give_up(nghttp2_session *session, struct peer_call *call, enum ch_err err)
{
    if (!call->err)
        call->err = err;
    return nghttp2_submit_rst_stream(session, NGHTTP2_FLAG_NONE, call->id, NGHTTP2_CANCEL);
}

/* ---- what the peer sends ---- */

static int on_header(nghttp2_session *session, const nghttp2_frame *frame, const uint8_t *name_bytes, size_t name_len,
                     const uint8_t *value_bytes, size_t value_len, uint8_t flags, void *arg)
{
    struct peer_call *call = call_of(session, frame->hd.stream_id);
    struct ch_str name = {(const char *)name_bytes, name_len}, value = {(const char *)value_bytes, value_len};
    int64_t number;

    (void)flags;
    (void)arg;
    if (!call)
        return 0;
    call->header_bytes += name_len + value_len + 32;
    if (call->header_bytes > RESPONSE_HEADS_MAX)
        return give_up(session, call, CH_ERR_INTERNAL);
    if (ch_str_is(name, ":status"))
        call->http_status = atoi(value.data); // three digits and a NUL, nghttp2 has checked
    else if (ch_str_is(name, "content-type"))
        call->is_grpc = grpc_is_content_type(value);
    else if (ch_str_is(name, "grpc-status"))
        call->status.status =
            ch_str_to_int64(value, &number) || number < 0 || number > 16 ? CH_GRPC_UNKNOWN : (int)number;
    else if (ch_str_is(name, "gwasuwon-code"))
        call->status.ours = grpc_code_to_err(value);
    else if (ch_str_is(name, "grpc-message"))
        call->status.message = (struct ch_str){ch_arena_strdup(call->ctx->arena, value), value.len};
    if (call->status.message.len > 0 && !call->status.message.data)
        call->status.message.len = 0; // the arena is full: no sentence
    return 0;
}

// The prefix is whole: room for the message.
static enum ch_err begin_reply(struct peer_call *call)
{
    struct grpc_prefix prefix = grpc_prefix_read(call->prefix);

    if (prefix.is_compressed)
        return CH_ERR_INTERNAL;
    if (prefix.len > CH_GRPC_MESSAGE_MAX)
        return CH_ERR_TOO_LARGE;
    call->reply = ch_arena_alloc(call->ctx->arena, prefix.len ? prefix.len : 1);
    call->reply_len = prefix.len;
    return call->reply ? CH_OK : CH_ERR_NO_MEMORY;
}

static int on_data(nghttp2_session *session, uint8_t flags, int32_t id, const uint8_t *data, size_t len, void *arg)
{
    struct peer_call *call = call_of(session, id);

    (void)flags;
    (void)arg;
    if (!call || call->err || call->http_status != 200) // then the body is no gRPC
        return 0;
    for (; len > 0 && call->prefix_len < GRPC_PREFIX; data++, len--)
        call->prefix[call->prefix_len++] = *data;
    if (call->prefix_len == GRPC_PREFIX && !call->reply) {
        enum ch_err err = begin_reply(call);

        if (err)
            return give_up(session, call, err);
    }
    if (len == 0)
        return 0;
    if (len > call->reply_len - call->reply_at) // more than one message
        return give_up(session, call, CH_ERR_INTERNAL);
    memcpy(call->reply + call->reply_at, data, len);
    call->reply_at += len;
    return 0;
}

static int on_frame(nghttp2_session *session, const nghttp2_frame *frame, void *arg)
{
    struct peer_conn *conn = arg;

    (void)session;
    if (frame->hd.type == NGHTTP2_SETTINGS && !(frame->hd.flags & NGHTTP2_FLAG_ACK))
        peer_conn_on_settings(conn);
    if (frame->hd.type == NGHTTP2_GOAWAY)
        peer_conn_retire(conn);
    return 0;
}

/* ---- the end of a stream ---- */

static void unlink_call(struct peer_call *call)
{
    if (!call->conn)
        return;
    *call->prev = call->next;
    if (call->next)
        call->next->prev = call->prev;
    call->conn = NULL;
}

void peer_call_lost(struct peer_call *call)
{
    unlink_call(call);
    call->is_closed = true;
    if (!call->err)
        call->err = CH_ERR_UNAVAILABLE;
    ch_wake(&call->wait, CH_OK);
}

// grpc.io, "HTTP2 Transport Mapping": errors of a stream that had no status.
static enum ch_err err_of_code(uint32_t code)
{
    switch (code) {
    case NGHTTP2_REFUSED_STREAM:
    case NGHTTP2_CANCEL: // by the peer: our own cancels are not awaited
        return CH_ERR_UNAVAILABLE;
    case NGHTTP2_ENHANCE_YOUR_CALM:
        return CH_ERR_OVERLOADED;
    default:
        return CH_ERR_INTERNAL;
    }
}

static int on_stream_closed(nghttp2_session *session, int32_t id, uint32_t code, void *arg)
{
    struct peer_conn *conn = arg;
    struct peer_call *call = call_of(session, id);

    h2_conn_flush_later(&conn->h2); // a retired connection ends with its last stream
    if (!call)
        return 0;
    unlink_call(call);
    call->is_closed = true;
    call->is_refused |= code == NGHTTP2_REFUSED_STREAM;
    if (!call->err && code != NGHTTP2_NO_ERROR && call->status.status < 0)
        call->err = err_of_code(code);
    ch_wake(&call->wait, CH_OK);
    return 0;
}

// A GOAWAY came before the request could leave.
static int on_frame_not_sent(nghttp2_session *session, const nghttp2_frame *frame, int error, void *arg)
{
    struct peer_call *call = call_of(session, frame->hd.stream_id);

    (void)error;
    (void)arg;
    if (call && frame->hd.type == NGHTTP2_HEADERS) {
        call->is_refused = true;
        call->err = CH_ERR_UNAVAILABLE;
    }
    return 0;
}

nghttp2_session_callbacks *peer_callbacks_new(void)
{
    nghttp2_session_callbacks *callbacks;

    if (nghttp2_session_callbacks_new(&callbacks))
        return NULL;
    nghttp2_session_callbacks_set_on_header_callback(callbacks, on_header);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, on_data);
    nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, on_frame);
    nghttp2_session_callbacks_set_on_frame_not_send_callback(callbacks, on_frame_not_sent);
    nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, on_stream_closed);
    return callbacks;
}

/* ---- the request ---- */

static ssize_t read_request(nghttp2_session *session, int32_t id, uint8_t *to, size_t max, uint32_t *flags,
                            nghttp2_data_source *source, void *arg)
{
    struct peer_call *call = call_of(session, id); // not from `source`: the caller may have gone
    size_t len;

    (void)source;
    (void)arg;
    if (!call)
        return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
    len = call->request.len - call->request_at;
    if (len > max)
        len = max;
    memcpy(to, call->request.data + call->request_at, len);
    call->request_at += len;
    if (call->request_at == call->request.len)
        *flags |= NGHTTP2_DATA_FLAG_EOF;
    return (ssize_t)len;
}

// < 0: nghttp2's error.
static int32_t submit(struct ch_peer *peer, struct peer_call *call, int64_t deadline_ns)
{
    const nghttp2_data_provider provider = {.read_callback = read_request};
    const char *bearer = peer->bearer ? *peer->bearer : NULL;
    char timeout[GRPC_TIMEOUT_TEXT], traceparent[CH_TRACEPARENT_TEXT];
    size_t timeout_len = grpc_timeout_format(deadline_ns - ch_now_ns(), timeout), count = 8;
    nghttp2_nv headers[9] = {
        GRPC_NV(":method", "POST"),
        GRPC_NV(":scheme", "http"),
        GRPC_NV_STR(":path", ch_str_of(call->rpc->path), NGHTTP2_NV_FLAG_NO_COPY_VALUE),
        GRPC_NV_STR(":authority", ch_str_of(peer->authority), 0),
        GRPC_NV("te", "trailers"),
        GRPC_NV("content-type", "application/grpc"),
        GRPC_NV_STR("grpc-timeout", ((struct ch_str){timeout, timeout_len}), NGHTTP2_NV_FLAG_NO_INDEX),
        GRPC_NV_STR("traceparent", ((struct ch_str){traceparent, CH_TRACEPARENT_TEXT - 1}), NGHTTP2_NV_FLAG_NO_INDEX),
    };

    ch_trace_format(&call->ctx->trace, traceparent);
    if (bearer) {
        char *value = ch_arena_printf(call->ctx->arena, "Bearer %s", bearer);

        if (!value)
            return NGHTTP2_ERR_NOMEM;
        headers[count++] = GRPC_NV_STR("authorization", ch_str_of(value), 0);
    }
    return nghttp2_submit_request(call->conn->h2.session, NULL, headers, count, &provider, call);
}

// The caller does not wait any more: nghttp2 forgets the call, the peer is told to stop.
static void take_back(struct peer_call *call, int64_t since_ns)
{
    struct peer_conn *conn = call->conn;

    (void)nghttp2_session_set_stream_user_data(conn->h2.session, call->id, NULL); // is there
    (void)nghttp2_submit_rst_stream(conn->h2.session, NGHTTP2_FLAG_NONE, call->id,
                                    NGHTTP2_CANCEL); // it answers in vain
    h2_conn_flush_later(&conn->h2);
    unlink_call(call);
    peer_conn_probe(conn, since_ns);
}

/* ---- the reply ---- */

// Replies that are no gRPC, from something in between (grpc.io, "HTTP to gRPC Status Code Mapping").
static enum ch_err err_of_http(int status)
{
    static const struct {
        int http;
        enum ch_err err;
    } table[] = {
        {400, CH_ERR_INTERNAL},      {401, CH_ERR_UNAUTHENTICATED}, {403, CH_ERR_FORBIDDEN},
        {404, CH_ERR_UNIMPLEMENTED}, {429, CH_ERR_UNAVAILABLE},     {502, CH_ERR_UNAVAILABLE},
        {503, CH_ERR_UNAVAILABLE},   {504, CH_ERR_UNAVAILABLE},
    };

    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++)
        if (table[i].http == status)
            return table[i].err;
    return CH_ERR_INTERNAL;
}

static enum ch_err result_of(struct peer_call *call, void **ret_reply)
{
    ProtobufCMessage *message = NULL;
    enum ch_err err;

    if (call->err)
        return call->err;
    if (call->http_status != 200)
        return err_of_http(call->http_status);
    if (!call->is_grpc || call->status.status < 0)
        return CH_ERR_INTERNAL;
    err = grpc_status_err(call->ctx, &call->status);
    if (err)
        return err;
    if (!call->reply || call->reply_at < call->reply_len)
        return CH_ERR_INTERNAL;
    if (grpc_unpack(call->ctx, call->rpc->output, call->reply, call->reply_len, &message))
        return CH_ERR_INTERNAL; // the fault is the peer's, not our caller's
    *ret_reply = message;
    return CH_OK;
}

/* ---- one call ---- */

// Until a connection takes calls.
static enum ch_err ready_wait(struct ch_peer *peer, int64_t deadline_ns)
{
    int64_t until_ns = ch_now_ns() + FIRST_WAIT_NS;
    enum ch_err err;

    if (until_ns > deadline_ns)
        until_ns = deadline_ns;
    while (peer->state == PEER_CONNECTING && !peer->is_freed) {
        err = ch_queue_wait(&peer->waiting, until_ns);
        if (err == CH_ERR_DEADLINE && until_ns < deadline_ns)
            return CH_ERR_UNAVAILABLE;
        if (err)
            return err;
    }
    return peer->state == PEER_UP && !peer->is_freed ? CH_OK : CH_ERR_UNAVAILABLE;
}

static enum ch_err attempt(struct ch_peer *peer, struct peer_call *call, int64_t deadline_ns, void **ret_reply)
{
    struct peer_conn *conn = peer->conn;
    int64_t start_ns = ch_now_ns();
    enum ch_err err;

    call->conn = conn;
    call->id = submit(peer, call, deadline_ns);
    if (call->id < 0) {
        call->conn = NULL;
        call->is_refused = call->id == NGHTTP2_ERR_STREAM_ID_NOT_AVAILABLE;
        if (call->is_refused)
            peer_conn_retire(conn);
        return call->is_refused ? CH_ERR_UNAVAILABLE : CH_ERR_NO_MEMORY;
    }
    if (call->id >= STREAM_ID_LAST)
        peer_conn_retire(conn);
    call->next = conn->calls;
    call->prev = &conn->calls;
    if (call->next)
        call->next->prev = &call->next;
    conn->calls = call;
    h2_conn_flush_later(&conn->h2);

    err = ch_wait(&call->wait, deadline_ns);
    if (err) {
        if (call->conn)
            take_back(call, start_ns);
        return err;
    }
    return result_of(call, ret_reply);
}

static enum ch_err call_wait(struct ch_peer *peer, struct ch_ctx *ctx, const struct ch_rpc *rpc, struct ch_str request,
                             int64_t deadline_ns, void **ret_reply)
{
    enum ch_err err = CH_ERR_UNAVAILABLE;

    for (int i = 0; i < ATTEMPTS_MAX; i++) {
        struct peer_call call = {.ctx = ctx, .rpc = rpc, .request = request, .status.status = -1};

        err = ready_wait(peer, deadline_ns);
        if (err)
            return err;
        err = attempt(peer, &call, deadline_ns, ret_reply);
        if (!err || !call.is_refused || peer->is_freed)
            return err;
    }
    return err;
}

/* ---- around it ---- */

static void observe(struct ch_peer *peer, const struct ch_rpc *rpc, enum ch_err err, int64_t duration_ns)
{
    struct peer_series *series = NULL;

    for (size_t i = 0; i < peer->series_count && !series; i++)
        if (peer->series[i].rpc == rpc)
            series = &peer->series[i];
    if (!series) {
        series = reallocarray(peer->series, peer->series_count + 1, sizeof(*series));
        if (!series)
            return;
        peer->series = series;
        series += peer->series_count++;
        *series = (struct peer_series){.rpc = rpc};
    }
    if (!series->by_err[err])
        series->by_err[err] = ch_series_get(
            &duration_metric, (const char *const[]){peer->name, rpc->path + 1, ch_err_row(err)->code, NULL});
    ch_observe_ns(series->by_err[err], duration_ns);
}

static enum ch_err pack_request(struct ch_arena *arena, const ProtobufCMessage *request, struct ch_str *ret_bytes)
{
    size_t len = protobuf_c_message_get_packed_size(request);
    char *bytes;

    if (len > CH_GRPC_MESSAGE_MAX)
        return CH_ERR_TOO_LARGE;
    bytes = ch_arena_alloc(arena, GRPC_PREFIX + len);
    if (!bytes)
        return CH_ERR_NO_MEMORY;
    grpc_prefix_write(bytes, len);
    (void)protobuf_c_message_pack(request, (uint8_t *)bytes + GRPC_PREFIX); // its size is known
    *ret_bytes = (struct ch_str){bytes, GRPC_PREFIX + len};
    return CH_OK;
}

enum ch_err ch_peer_call_wait(struct ch_peer *peer, struct ch_ctx *ctx, const struct ch_rpc *rpc,
                              const ProtobufCMessage *request, int64_t deadline_ns, void **ret_reply)
{
    int64_t start_ns = ch_now_ns();
    const char *step = ctx->step;
    struct ch_str bytes;
    struct ch_span span;
    enum ch_err err;

    if (peer->in_flight >= peer->in_flight_max || peer->is_freed)
        return peer->is_freed ? CH_ERR_UNAVAILABLE : CH_ERR_OVERLOADED;
    if (deadline_ns > ctx->deadline_ns)
        deadline_ns = ctx->deadline_ns;
    peer->in_flight++;
    ctx->step = rpc->path;
    ch_span_start(&span, &ctx->trace, CH_SPAN_CLIENT, rpc->path + 1);
    ch_span_attr(&span, CH_LS("rpc.system", "grpc"));
    ch_span_attr(&span, CH_LS("server.address", peer->name));
    err = start_ns < deadline_ns ? pack_request(ctx->arena, request, &bytes) : CH_ERR_DEADLINE;
    if (!err)
        err = call_wait(peer, ctx, rpc, bytes, deadline_ns, ret_reply);
    ch_span_attr(&span, CH_LI("rpc.grpc.status_code", ch_err_row(err)->grpc_status));
    ch_span_end(&span, err);
    ctx->step = step;
    observe(peer, rpc, err, ch_now_ns() - start_ns);
    peer_leave(peer);
    return err;
}
