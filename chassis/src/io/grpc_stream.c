// SPDX-License-Identifier: Apache-2.0
// nghttp2's callbacks on the server: headers into metadata, data into a message, limits as the bytes come. What is
// refused is refused here, before it costs memory; what is complete gets a fiber. These functions run inside nghttp2
// and must never free a session, wait or call a handler.
#include "grpc_server.h"

static struct ch_grpc_stream *stream_of(nghttp2_session *session, int32_t id)
{
    return nghttp2_session_get_stream_user_data(session, id);
}

/* ---- headers ---- */

static int on_begin_headers(nghttp2_session *session, const nghttp2_frame *frame, void *arg)
{
    struct ch_grpc_stream *stream;

    if (frame->hd.type != NGHTTP2_HEADERS || frame->headers.cat != NGHTTP2_HCAT_REQUEST)
        return 0;
    stream = grpc_stream_take(arg, frame->hd.stream_id);
    if (!stream)
        return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
    if (nghttp2_session_set_stream_user_data(session, frame->hd.stream_id, stream)) {
        grpc_stream_close(stream);
        return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
    }
    return 0;
}

static struct ch_str str_of(nghttp2_rcbuf *buf)
{
    nghttp2_vec bytes = nghttp2_rcbuf_get_buf(buf);

    return (struct ch_str){(const char *)bytes.base, bytes.len};
}

// Past the limits metadata is only counted, and the call refused when the headers are complete.
static int on_header(nghttp2_session *session, const nghttp2_frame *frame, nghttp2_rcbuf *name, nghttp2_rcbuf *value,
                     uint8_t flags, void *arg)
{
    struct ch_grpc_stream *stream = stream_of(session, frame->hd.stream_id);
    struct grpc_header *header;

    (void)flags;
    (void)arg;
    if (!stream || frame->headers.cat != NGHTTP2_HCAT_REQUEST) // trailers of a request mean nothing
        return 0;
    stream->header_bytes += nghttp2_rcbuf_get_buf(name).len + nghttp2_rcbuf_get_buf(value).len + 32; // RFC 9113 6.5.2
    if (stream->header_bytes > GRPC_HEADER_LIST_MAX || stream->header_count == GRPC_METADATA_MAX) {
        stream->header_bytes = GRPC_HEADER_LIST_MAX + 1;
        return 0;
    }
    header = &stream->headers[stream->header_count++];
    *header = (struct grpc_header){str_of(name), str_of(value), name, value};
    nghttp2_rcbuf_incref(name);
    nghttp2_rcbuf_incref(value);
    return 0;
}

// The deadline the caller named, or the default: that of a stream is long, because it is meant to last.
static enum ch_err read_deadline(struct ch_grpc_stream *stream, int64_t *ret_timeout_ns)
{
    struct ch_str text = ch_call_metadata(&stream->call, "grpc-timeout");

    *ret_timeout_ns =
        stream->method->kind == GRPC_UNARY ? stream->server->options.default_timeout_ns : GRPC_STREAM_MAX_NS;
    if (!text.data || grpc_timeout_parse(text, ret_timeout_ns))
        return CH_OK;
    return ch_fail(&stream->call.ctx, CH_ERR_INVALID, "grpc-timeout", "format", "숫자 1~8자리와 단위 하나여야 합니다");
}

static enum ch_err prepare_call(struct ch_grpc_stream *stream)
{
    struct ch_call *call = &stream->call;
    struct ch_ctx *ctx = &call->ctx;
    int64_t timeout_ns = 0;
    enum ch_err err;

    stream->method = grpc_method_find(stream->server, ch_call_metadata(call, ":path"));
    if (!stream->method)
        return CH_ERR_UNIMPLEMENTED;
    call->rpc = stream->method->rpc;
    ctx->name = call->rpc->path;
    err = read_deadline(stream, &timeout_ns);
    if (err)
        return err;
    ctx->deadline_ns = ctx->start_ns + timeout_ns;
    call->authorization = ch_call_metadata(call, "authorization");
    call->traceparent = ch_call_metadata(call, "traceparent");
    ch_trace_start(&ctx->trace, call->traceparent);
    return CH_OK;
}

// All headers of a request are here.
static void on_request(struct ch_grpc_stream *stream)
{
    enum ch_err err;

    if (stream->header_bytes > GRPC_HEADER_LIST_MAX) {
        grpc_call_finish(stream, CH_ERR_HEADERS_TOO_LARGE);
        return;
    }
    if (!ch_str_is(ch_call_metadata(&stream->call, ":method"), "POST")) {
        grpc_call_refuse(stream, 405);
        return;
    }
    if (!grpc_is_content_type(ch_call_metadata(&stream->call, "content-type"))) {
        grpc_call_refuse(stream, 415);
        return;
    }
    err = prepare_call(stream);
    if (err)
        grpc_call_finish(stream, err);
    else if (stream->method->kind == GRPC_BIDI)
        grpc_call_start(stream);
}

/* ---- messages ---- */

// What is wrong with the bytes so far, seen as soon as the prefix is there and so before the message is buffered.
static enum ch_err check_input(struct ch_grpc_stream *stream)
{
    size_t at = stream->in_at;

    while (stream->in.len - at >= GRPC_PREFIX) {
        struct grpc_prefix prefix = grpc_prefix_read(stream->in.data + at);

        if (prefix.is_compressed) {
            stream->call.ctx.detail = "compressed messages are not supported";
            return CH_ERR_UNIMPLEMENTED;
        }
        if (prefix.len > CH_GRPC_MESSAGE_MAX)
            return CH_ERR_TOO_LARGE;
        if (stream->method->kind != GRPC_BIDI && stream->in.len - at > GRPC_PREFIX + prefix.len) {
            stream->call.ctx.detail = "more than one message";
            return CH_ERR_BAD_SYNTAX;
        }
        if (stream->in.len - at < GRPC_PREFIX + prefix.len)
            break;
        at += GRPC_PREFIX + prefix.len;
    }
    return CH_OK;
}

static void wake(struct ch_wait **wait, enum ch_err result)
{
    if (*wait)
        ch_wake(*wait, result);
    *wait = NULL;
}

static int on_data(nghttp2_session *session, uint8_t flags, int32_t id, const uint8_t *data, size_t len, void *arg)
{
    struct ch_grpc_stream *stream = stream_of(session, id);
    enum ch_err err;

    (void)flags;
    (void)arg;
    if (!stream || stream->is_reply_complete || stream->result) // refused already: the rest is thrown away
        return 0;
    ch_buf_append(&stream->in, data, len);
    if (!stream->in.is_full)
        grpc_stream_count_buffered(stream, len, 0);
    err = stream->in.is_full ? CH_ERR_TOO_LARGE : check_input(stream);
    if (!err && stream->server->buffered > GRPC_BUFFERED_MAX)
        err = CH_ERR_OVERLOADED;
    if (!err)
        wake(&stream->reader, CH_OK);
    else if (!stream->is_busy)
        grpc_call_finish(stream, err);
    else if (stream->fiber)
        ch_fiber_cancel(stream->fiber); // its result is overruled by this one
    if (err && stream->is_busy)
        stream->result = err;
    return 0;
}

// The caller has said all.
static void on_input_end(struct ch_grpc_stream *stream)
{
    stream->is_input_ended = true;
    if (stream->is_reply_complete)
        return;
    if (stream->is_busy) {
        wake(&stream->reader, CH_OK);
        return;
    }
    if (stream->in.len < GRPC_PREFIX || stream->in.len < GRPC_PREFIX + grpc_prefix_read(stream->in.data).len) {
        stream->call.ctx.detail = "no complete message";
        grpc_call_finish(stream, CH_ERR_BAD_SYNTAX);
        return;
    }
    grpc_call_start(stream);
}

/* ---- frames ---- */

static void on_stream_frame(nghttp2_session *session, const nghttp2_frame *frame)
{
    struct ch_grpc_stream *stream = stream_of(session, frame->hd.stream_id);

    if (!stream)
        return;
    if (frame->hd.type == NGHTTP2_HEADERS && frame->headers.cat == NGHTTP2_HCAT_REQUEST)
        on_request(stream);
    if (frame->hd.flags & NGHTTP2_FLAG_END_STREAM)
        on_input_end(stream);
}

static int on_frame(nghttp2_session *session, const nghttp2_frame *frame, void *arg)
{
    struct grpc_conn *conn = arg;

    switch (frame->hd.type) {
    case NGHTTP2_HEADERS:
        on_stream_frame(session, frame);
        break;
    case NGHTTP2_DATA:
        on_stream_frame(session, frame);
        if (frame->hd.length > 0 || frame->hd.flags & NGHTTP2_FLAG_END_STREAM)
            break;
        return grpc_conn_spend(conn) ? 0 : NGHTTP2_ERR_CALLBACK_FAILURE;
    case NGHTTP2_SETTINGS:
        conn->has_settings = true;
        return grpc_conn_spend(conn) ? 0 : NGHTTP2_ERR_CALLBACK_FAILURE;
    case NGHTTP2_PING:
        if (frame->hd.flags & NGHTTP2_FLAG_ACK && conn->drain_ns)
            grpc_conn_goaway(conn); // the peer knows of the drain: what it sent before has arrived
        return grpc_conn_spend(conn) ? 0 : NGHTTP2_ERR_CALLBACK_FAILURE;
    case NGHTTP2_PRIORITY:
        return grpc_conn_spend(conn) ? 0 : NGHTTP2_ERR_CALLBACK_FAILURE;
    default:
        break;
    }
    return 0;
}

// A reply that ended before its request did: the caller is told to send no more (RFC 9113 8.1).
static int on_frame_sent(nghttp2_session *session, const nghttp2_frame *frame, void *arg)
{
    (void)arg;
    if ((frame->hd.type != NGHTTP2_HEADERS && frame->hd.type != NGHTTP2_DATA) ||
        !(frame->hd.flags & NGHTTP2_FLAG_END_STREAM))
        return 0;
    if (nghttp2_session_get_stream_remote_close(session, frame->hd.stream_id) == 0)
        return nghttp2_submit_rst_stream(session, NGHTTP2_FLAG_NONE, frame->hd.stream_id, NGHTTP2_NO_ERROR);
    return 0;
}

void grpc_stream_close(struct ch_grpc_stream *stream)
{
    stream->is_closed = true;
    if (stream->fiber)
        ch_fiber_cancel(stream->fiber);
    grpc_stream_leave(stream);
}

static int on_stream_closed(nghttp2_session *session, int32_t id, uint32_t code, void *arg)
{
    struct ch_grpc_stream *stream = stream_of(session, id);

    (void)code;
    (void)arg;
    if (stream)
        grpc_stream_close(stream);
    return 0;
}

/* ---- the session ---- */

static nghttp2_session_callbacks *callbacks_new(void)
{
    nghttp2_session_callbacks *callbacks;

    if (nghttp2_session_callbacks_new(&callbacks))
        return NULL;
    nghttp2_session_callbacks_set_on_begin_headers_callback(callbacks, on_begin_headers);
    nghttp2_session_callbacks_set_on_header_callback2(callbacks, on_header);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, on_data);
    nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, on_frame);
    nghttp2_session_callbacks_set_on_frame_send_callback(callbacks, on_frame_sent);
    nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, on_stream_closed);
    return callbacks;
}

static nghttp2_option *option_new(void)
{
    nghttp2_option *option;

    if (nghttp2_option_new(&option))
        return NULL;
    nghttp2_option_set_max_outbound_ack(option, 200);              // acknowledgements a peer makes us hold
    nghttp2_option_set_stream_reset_rate_limit(option, 2000, 100); // rapid reset: burst, a second
    nghttp2_option_set_no_closed_streams(option, 1);               // no memory for priorities of the dead
    return option;
}

enum ch_err grpc_session_new(struct grpc_conn *conn, nghttp2_session **ret_session)
{
    const nghttp2_settings_entry settings[] = {
        {NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, (uint32_t)conn->server->options.streams_max},
        {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, 256 * 1024},
        {NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, GRPC_HEADER_LIST_MAX},
        {NGHTTP2_SETTINGS_NO_RFC7540_PRIORITIES, 1},
    };
    nghttp2_session_callbacks *callbacks = callbacks_new();
    nghttp2_option *option = option_new();
    nghttp2_session *session = NULL;
    bool is_made = callbacks && option && nghttp2_session_server_new2(&session, callbacks, conn, option) == 0;

    nghttp2_session_callbacks_del(callbacks);
    nghttp2_option_del(option);
    if (!is_made)
        return CH_ERR_NO_MEMORY;
    if (nghttp2_submit_settings(session, NGHTTP2_FLAG_NONE, settings, sizeof(settings) / sizeof(settings[0])) ||
        nghttp2_session_set_local_window_size(session, NGHTTP2_FLAG_NONE, 0, 1024 * 1024)) {
        nghttp2_session_del(session);
        return CH_ERR_NO_MEMORY;
    }
    *ret_session = session;
    return CH_OK;
}
