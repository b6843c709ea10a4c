// SPDX-License-Identifier: Apache-2.0
// One call on its fiber: deadline, `before`, unpack, handler, pack, `after`; and the reply as nghttp2 takes it:
// headers, messages, trailers. A reply is submitted once and its trailers come from one place. Must never touch the
// connection of a stream that is closed.
#include "grpc_server.h"

#define BUF_KEEP (64 * 1024) // larger ones are not kept for the next call

struct ch_str ch_call_metadata(const struct ch_call *call, const char *name)
{
    const struct ch_grpc_stream *stream = call->stream;
    size_t len = strlen(name);

    for (int i = 0; i < stream->header_count; i++) {
        const struct grpc_header *header = &stream->headers[i];

        if (header->name.len == len && memcmp(header->name.data, name, len) == 0)
            return header->value;
    }
    return (struct ch_str){0};
}

bool grpc_call_is_streaming(const struct ch_grpc_stream *stream)
{
    return stream->method && stream->method->kind != GRPC_UNARY;
}

/* ---- replying ---- */

static nghttp2_session *session_of(const struct ch_grpc_stream *stream)
{
    return stream->conn->h2.session;
}

static ssize_t read_out(nghttp2_session *session, int32_t id, uint8_t *to, size_t max, uint32_t *flags,
                        nghttp2_data_source *source, void *arg)
{
    struct ch_grpc_stream *stream = source->ptr;
    size_t len = stream->out.len - stream->out_at;
    nghttp2_nv trailers[GRPC_TRAILERS_MAX];

    (void)arg;
    if (len > max)
        len = max;
    if (len > 0)
        memcpy(to, stream->out.data + stream->out_at, len);
    stream->out_at += len;
    if (stream->out_at == stream->out.len) {
        ch_buf_reset(&stream->out);
        stream->out_at = 0;
    }
    if (stream->writer && stream->out.len - stream->out_at <= GRPC_OUT_LOW) {
        ch_wake(stream->writer, CH_OK);
        stream->writer = NULL;
    }
    if (stream->out.len > 0)
        return (ssize_t)len;
    if (!stream->is_reply_complete)
        return len > 0 ? (ssize_t)len : NGHTTP2_ERR_DEFERRED;
    *flags |= NGHTTP2_DATA_FLAG_EOF | NGHTTP2_DATA_FLAG_NO_END_STREAM;
    if (nghttp2_submit_trailer(session, id, trailers, grpc_trailers(&stream->call.ctx, stream->result, trailers)))
        return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
    return (ssize_t)len;
}

// Whatever cannot be submitted ends the stream: memory is short.
static void submitted(struct ch_grpc_stream *stream, int failure)
{
    stream->is_replying = true;
    if (failure)
        (void)nghttp2_submit_rst_stream(session_of(stream), NGHTTP2_FLAG_NONE, stream->id, NGHTTP2_INTERNAL_ERROR);
    h2_conn_flush_later(&stream->conn->h2);
}

// Headers now, messages and trailers as they come.
static void submit_headers(struct ch_grpc_stream *stream)
{
    const nghttp2_nv headers[] = {GRPC_NV(":status", "200"), GRPC_NV("content-type", "application/grpc")};
    const nghttp2_data_provider provider = {.source.ptr = stream, .read_callback = read_out};

    submitted(stream, nghttp2_submit_response(session_of(stream), stream->id, headers,
                                              sizeof(headers) / sizeof(headers[0]), &provider));
}

static void submit_trailers_only(struct ch_grpc_stream *stream)
{
    nghttp2_nv headers[3 + GRPC_TRAILERS_MAX] = {GRPC_NV(":status", "200"),
                                                 GRPC_NV("content-type", "application/grpc")};
    size_t count = 2;

    if (stream->result == CH_ERR_UNIMPLEMENTED)
        headers[count++] = GRPC_NV("grpc-accept-encoding", "identity");
    count += grpc_trailers(&stream->call.ctx, stream->result, headers + count);
    submitted(stream, nghttp2_submit_response(session_of(stream), stream->id, headers, count, NULL));
}

// Bytes wait in `out`, or its end does.
static void continue_reply(struct ch_grpc_stream *stream)
{
    if (!stream->is_replying) {
        submit_headers(stream);
        return;
    }
    (void)nghttp2_session_resume_data(session_of(stream), stream->id); // fails when it was not deferred: as well
    h2_conn_flush_later(&stream->conn->h2);
}

static void complete_reply(struct ch_grpc_stream *stream)
{
    stream->is_reply_complete = true;
    stream->reply_ns = ch_now_ns();
}

void grpc_call_finish(struct ch_grpc_stream *stream, enum ch_err err)
{
    if (stream->is_closed || stream->is_reply_complete)
        return;
    if (err == CH_ERR_CANCELLED && stream->server->is_draining)
        err = CH_ERR_UNAVAILABLE; // the caller did not cancel: it may go elsewhere
    stream->result = err;
    complete_reply(stream);
    if (err && !stream->is_replying)
        submit_trailers_only(stream);
    else
        continue_reply(stream);
}

void grpc_call_refuse(struct ch_grpc_stream *stream, int http_status)
{
    const nghttp2_nv unsupported = GRPC_NV(":status", "415");
    const nghttp2_nv not_allowed[] = {GRPC_NV(":status", "405"), GRPC_NV("allow", "POST")};

    complete_reply(stream);
    submitted(stream, http_status == 405
                          ? nghttp2_submit_response(session_of(stream), stream->id, not_allowed, 2, NULL)
                          : nghttp2_submit_response(session_of(stream), stream->id, &unsupported, 1, NULL));
}

/* ---- messages of streams ---- */

enum ch_err ch_call_send_wait(struct ch_call *call, const ProtobufCMessage *message)
{
    struct ch_grpc_stream *stream = call->stream;
    enum ch_err err;

    if (stream->is_closed)
        return CH_ERR_CANCELLED;
    if (stream->out_at > GRPC_OUT_HIGH / 2) {
        ch_buf_consume(&stream->out, stream->out_at);
        stream->out_at = 0;
    }
    err = grpc_pack(&stream->out, message, CH_GRPC_MESSAGE_MAX);
    if (err)
        return err;
    continue_reply(stream);
    while (stream->out.len - stream->out_at > GRPC_OUT_HIGH) {
        struct ch_wait wait = {0};

        stream->writer = &wait;
        err = ch_wait(&wait, call->ctx.deadline_ns);
        stream->writer = NULL;
        if (err)
            return err;
    }
    return CH_OK;
}

// The bytes of the next complete message; data NULL: not here yet.
static struct ch_str next_message(struct ch_grpc_stream *stream)
{
    size_t left = stream->in.len - stream->in_at;
    struct grpc_prefix prefix;
    const char *at;

    if (left < GRPC_PREFIX)
        return (struct ch_str){0};
    at = stream->in.data + stream->in_at;
    prefix = grpc_prefix_read(at);
    if (left - GRPC_PREFIX < prefix.len)
        return (struct ch_str){0};
    stream->in_at += GRPC_PREFIX + prefix.len;
    return (struct ch_str){at + GRPC_PREFIX, prefix.len};
}

// What was read is no longer needed.
static void drop_input(struct ch_grpc_stream *stream)
{
    grpc_stream_count_buffered(stream, 0, stream->in_at);
    ch_buf_consume(&stream->in, stream->in_at);
    stream->in_at = 0;
    if (stream->in.len == 0 && stream->in.cap > BUF_KEEP)
        ch_buf_release(&stream->in);
}

static enum ch_err unpack_next(struct ch_grpc_stream *stream, ProtobufCMessage **ret_message)
{
    struct ch_str bytes = next_message(stream);
    enum ch_err err;

    if (!bytes.data)
        return CH_OK;
    err =
        grpc_unpack(&stream->call.ctx, stream->method->rpc->input, (const uint8_t *)bytes.data, bytes.len, ret_message);
    drop_input(stream);
    return err;
}

enum ch_err grpc_call_next_wait(struct ch_call *call, ProtobufCMessage **ret_message)
{
    struct ch_grpc_stream *stream = call->stream;

    for (;;) {
        struct ch_wait wait = {0};
        enum ch_err err;

        *ret_message = NULL;
        err = unpack_next(stream, ret_message);
        if (err || *ret_message)
            return err;
        if (stream->is_input_ended)
            return stream->in.len > 0 ? CH_ERR_BAD_SYNTAX : CH_OK;
        stream->reader = &wait;
        err = ch_wait(&wait, call->ctx.deadline_ns);
        stream->reader = NULL;
        if (err)
            return err;
    }
}

/* ---- the fiber ---- */

static enum ch_err handle(struct ch_grpc_stream *stream)
{
    const struct ch_rpc *rpc = stream->method->rpc;
    ProtobufCMessage *in = NULL;
    ProtobufCMessage *out = ch_arena_alloc(stream->arena, rpc->output->sizeof_message);
    enum ch_err err;

    if (!out)
        return CH_ERR_NO_MEMORY;
    rpc->output->message_init(out);
    if (stream->method->kind != GRPC_BIDI) {
        err = unpack_next(stream, &in);
        if (err)
            return err;
    }
    err = rpc->handle(&stream->call, in, out);
    if (err || stream->method->kind != GRPC_UNARY || stream->is_closed)
        return err;
    return grpc_pack(&stream->out, out, CH_GRPC_MESSAGE_MAX);
}

static enum ch_err run_call(struct ch_grpc_stream *stream)
{
    const struct ch_grpc_server_options *options = &stream->server->options;
    enum ch_err err = CH_OK;

    if (ch_now_ns() >= stream->call.ctx.deadline_ns)
        return CH_ERR_DEADLINE;
    if (stream->server->is_draining && grpc_call_is_streaming(stream))
        return CH_ERR_UNAVAILABLE; // the drain would have cancelled it
    if (stream->method->is_builtin) {
        if (options->admit && stream->method->kind == GRPC_BIDI) // reflection; health is asked by who has no token
            err = options->admit(&stream->call, options->arg);
        return err ? err : handle(stream);
    }
    if (options->before)
        err = options->before(&stream->call, options->arg);
    if (!err)
        err = handle(stream);
    if (options->after)
        options->after(&stream->call, err, options->arg);
    return err;
}

static void call_main(void *arg)
{
    struct ch_grpc_stream *stream = arg;
    enum ch_err err = CH_ERR_CANCELLED;

    stream->fiber = stream->call.ctx.fiber = ch_fiber_current();
    if (!stream->is_closed)
        err = run_call(stream);
    stream->fiber = stream->call.ctx.fiber = NULL;
    stream->is_busy = false;
    // A fault seen in the caller's bytes meanwhile outweighs what the handler made of being cancelled.
    grpc_call_finish(stream, stream->result ? stream->result : err);
    grpc_stream_leave(stream);
}

void grpc_call_start(struct ch_grpc_stream *stream)
{
    enum ch_err err = ch_fiber_start(stream->server->loop, call_main, stream);

    if (err)
        grpc_call_finish(stream, err);
    else
        stream->is_busy = true;
}
