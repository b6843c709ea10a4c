// SPDX-License-Identifier: Apache-2.0
// What nghttp2 reports of a call, written into the waiting fiber's `struct peer_call`, and the request as it leaves. It
// must never touch a call whose fiber has gone: a stream's user data is NULL from then on.
#include "grpc_peer.h"

#include <stdio.h>
#include <stdlib.h>

#define RESPONSE_HEADS_MAX (16 * 1024)

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

void peer_call_unlink(struct peer_call *call)
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
    peer_call_unlink(call);
    call->is_closed = call->is_lost = true;
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
    peer_call_unlink(call);
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

int32_t peer_call_submit(struct peer_call *call, const char *bearer, int64_t deadline_ns)
{
    const nghttp2_data_provider provider = {.read_callback = read_request};
    char timeout[GRPC_TIMEOUT_TEXT], traceparent[CH_TRACEPARENT_TEXT];
    size_t timeout_len = grpc_timeout_format(deadline_ns - ch_now_ns(), timeout), count = 8;
    nghttp2_nv headers[9] = {
        GRPC_NV(":method", "POST"),
        GRPC_NV(":scheme", "http"),
        GRPC_NV_STR(":path", ch_str_of(call->rpc->path), NGHTTP2_NV_FLAG_NO_COPY_VALUE),
        GRPC_NV_STR(":authority", ch_str_of(call->conn->end->name->authority), 0),
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
