// SPDX-License-Identifier: Apache-2.0
// The memory of streams: taken at the first header, given back when neither nghttp2 nor a fiber has them. A pool keeps
// some with their arenas and buffers, so that a usual call allocates nothing here. What a stream leaves behind must
// never be seen by the next.
#include "grpc_server.h"

#include <stddef.h>
#include <stdlib.h>

#define BUF_KEEP  (64 * 1024) // larger buffers are not kept
#define SPARE_MAX 256

void grpc_stream_free(struct ch_grpc_stream *stream)
{
    ch_buf_release(&stream->in);
    ch_buf_release(&stream->out);
    ch_arena_free(stream->arena);
    free(stream);
}

// From the pool or new; its arena is empty.
static struct ch_grpc_stream *stream_make(struct ch_grpc_server *server)
{
    struct ch_grpc_stream *stream = server->spare;

    if (stream) {
        server->spare = stream->next;
        server->spare_count--;
        return stream;
    }
    stream = calloc(1, sizeof(*stream));
    if (!stream)
        return NULL;
    stream->arena = ch_arena_new(GRPC_ARENA_MAX);
    ch_buf_init(&stream->in, CH_GRPC_MESSAGE_MAX + BUF_KEEP);
    ch_buf_init(&stream->out, GRPC_OUT_MAX);
    if (stream->arena)
        return stream;
    grpc_stream_free(stream);
    return NULL;
}

struct ch_grpc_stream *grpc_stream_take(struct grpc_conn *conn, int32_t id)
{
    struct ch_grpc_server *server = conn->server;
    struct ch_grpc_stream *stream = stream_make(server);
    struct ch_ctx *ctx;

    if (!stream)
        return NULL;
    stream->server = server;
    stream->conn = conn;
    stream->id = id;
    stream->next = conn->streams;
    stream->prev = &conn->streams;
    if (stream->next)
        stream->next->prev = &stream->next;
    conn->streams = stream;
    conn->stream_count++;
    conn->budget += GRPC_BUDGET_PER_STREAM;
    server->stream_count++;

    stream->call.stream = stream;
    ctx = &stream->call.ctx;
    ctx->loop = server->loop;
    ctx->arena = stream->arena;
    ctx->start_ns = ch_now_ns();
    ctx->deadline_ns = ctx->start_ns + server->options.default_timeout_ns; // until the headers say otherwise
    ch_faults_init(&ctx->faults, ctx->arena);
    return stream;
}

void grpc_stream_count_buffered(struct ch_grpc_stream *stream, size_t more, size_t less)
{
    stream->server->buffered += more;
    stream->server->buffered -= less;
}

static void forget_headers(struct ch_grpc_stream *stream)
{
    for (int i = 0; i < stream->header_count; i++) {
        nghttp2_rcbuf_decref(stream->headers[i].name_buf);
        nghttp2_rcbuf_decref(stream->headers[i].value_buf);
    }
}

// All but memory is as new again; `headers` need no zeros.
static void stream_give(struct ch_grpc_server *server, struct ch_grpc_stream *stream)
{
    struct ch_arena *arena = stream->arena;
    struct ch_buf in = stream->in, out = stream->out;

    forget_headers(stream);
    if (server->spare_count >= SPARE_MAX || !GRPC_IS_POOLED) {
        grpc_stream_free(stream);
        return;
    }
    memset(stream, 0, offsetof(struct ch_grpc_stream, headers));
    stream->arena = arena;
    stream->in = in;
    stream->out = out;
    stream->next = server->spare;
    server->spare = stream;
    server->spare_count++;
    ch_arena_reset(stream->arena);
    for (int i = 0; i < 2; i++) {
        struct ch_buf *buf = i == 0 ? &stream->in : &stream->out;

        ch_buf_reset(buf);
        if (buf->cap > BUF_KEEP)
            ch_buf_release(buf);
    }
}

static void stream_unlink(struct ch_grpc_stream *stream)
{
    struct grpc_conn *conn = stream->conn;

    if (!conn)
        return;
    *stream->prev = stream->next;
    if (stream->next)
        stream->next->prev = stream->prev;
    conn->stream_count--;
    stream->conn = NULL;
    h2_conn_flush_later(&conn->h2); // a draining connection ends with its last stream
}

void grpc_stream_leave(struct ch_grpc_stream *stream)
{
    struct ch_grpc_server *server = stream->server;

    if (!stream->is_closed)
        return;
    stream_unlink(stream);
    if (stream->is_busy)
        return;
    grpc_stream_count_buffered(stream, 0, stream->in.len);
    stream_give(server, stream);
    server->stream_count--;
    if (server->is_freed && server->stream_count == 0)
        grpc_server_release(server);
}
