// SPDX-License-Identifier: Apache-2.0
/**
 * @file grpc_server.h
 * @brief What the server's files share: server, connection, stream. All of one loop's thread.
 *
 *   grpc_server.c        methods, listener, life
 *   grpc_conn.c          a connection and the limits of its time
 *   grpc_stream.c        nghttp2's callbacks: a stream from its first header to its end
 *   grpc_stream_pool.c   the memory of streams
 *   grpc_call.c          the fiber of a call, and what it sends
 *   grpc_health.c, grpc_reflection.c   the services every server has
 *
 * A stream lives as long as either side needs it: nghttp2 (until the stream closed) and the fiber (until the handler
 * returned).
 */
#ifndef CH_IO_GRPC_SERVER_H
#define CH_IO_GRPC_SERVER_H

#include "ch/grpc.h"

#include "grpc_wire.h"
#include "h2_conn.h"

#define GRPC_METADATA_MAX    64
#define GRPC_HEADER_LIST_MAX (16 * 1024)
#define GRPC_ARENA_MAX       (32u * 1024 * 1024) /**< a call's memory: a message unpacked is larger than packed */
#define GRPC_BUFFERED_MAX    (64u * 1024 * 1024) /**< request bytes of one server not yet handed to a handler */
#define GRPC_OUT_MAX         (CH_GRPC_MESSAGE_MAX + 256 * 1024)
#define GRPC_OUT_HIGH        (64 * 1024)           /**< ch_call_send_wait parks above it */
#define GRPC_OUT_LOW         (16 * 1024)           /**< and goes on below it */
#define GRPC_STREAM_MAX_NS   (3600 * 1000000000ll) /**< a server-streaming call whose caller named no deadline */
#define GRPC_WATCHERS_MAX    1024

/** Streams are reused, but not under ASan: that would hide their misuse. */
#define GRPC_IS_POOLED 1
#ifdef __SANITIZE_ADDRESS__
#undef GRPC_IS_POOLED
#define GRPC_IS_POOLED 0
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#undef GRPC_IS_POOLED
#define GRPC_IS_POOLED 0
#endif
#endif

enum grpc_kind { GRPC_UNARY, GRPC_SERVER_STREAM, GRPC_BIDI };

/** A method as served. `is_builtin`: answered without `before` and `after`. */
struct grpc_method {
    struct ch_str path;
    const struct ch_rpc *rpc;
    enum grpc_kind kind;
    bool is_builtin;
};

struct ch_grpc_server {
    struct ch_loop *loop;
    struct ch_grpc_server_options options;
    struct grpc_method *methods; /**< sorted by path */
    size_t method_count;
    struct event *acceptable, *sweep;
    int fd;
    int port;
    struct grpc_conn *conns;
    size_t connection_count;
    size_t stream_count;          /**< streams and fibers alive, draining ones too */
    size_t buffered;              /**< request bytes held by all streams */
    struct ch_grpc_stream *spare; /**< pool */
    size_t spare_count;
    struct ch_queue watchers;
    bool is_serving, is_draining;
    bool is_freed; /**< goes with its last stream */
    struct ch_series *connections_gauge;
};

struct grpc_conn {
    struct h2_conn h2; /**< first */
    struct ch_grpc_server *server;
    struct grpc_conn *next, **prev;
    struct ch_grpc_stream *streams;
    size_t stream_count;
    int64_t open_ns;
    int64_t drain_ns; /**< when the first GOAWAY was sent; 0: not draining */
    int64_t ping_ns;  /**< when our PING was sent that nothing has answered; 0: none */
    double budget;    /**< control frames the peer may still send */
    int64_t budget_ns;
    bool has_settings; /**< the peer's preface came */
    bool is_goaway_final;
};

/** Metadata is not copied: nghttp2's counted buffers are held until the stream leaves. */
struct grpc_header {
    struct ch_str name, value;
    nghttp2_rcbuf *name_buf, *value_buf;
};

struct ch_grpc_stream {
    struct ch_call call;
    struct ch_grpc_server *server;
    struct grpc_conn *conn;              /**< NULL once the connection is gone */
    struct ch_grpc_stream *next, **prev; /**< of the connection; `next` of the pool */
    const struct grpc_method *method;
    struct ch_arena *arena;
    struct ch_fiber *fiber;          /**< while it runs */
    struct ch_wait *reader, *writer; /**< the fiber waits for a message; for room in `out` */
    struct ch_buf in;                /**< request bytes with their prefixes */
    struct ch_buf out;               /**< reply bytes with their prefixes, from out_at on not yet with nghttp2 */
    size_t in_at, out_at;
    size_t header_bytes;
    enum ch_err result; /**< of the trailers */
    int64_t reply_ns;   /**< when the reply was complete */
    int32_t id;
    int header_count;
    bool is_input_ended;    /**< END_STREAM came */
    bool is_busy;           /**< a fiber was started and has not returned */
    bool is_replying;       /**< response headers were submitted */
    bool is_reply_complete; /**< nothing more will be added to `out`; trailers follow it */
    bool is_closed;         /**< nghttp2 knows it no more */
    struct grpc_header headers[GRPC_METADATA_MAX];
};

/* ---- grpc_server.c ---- */

const struct grpc_method *grpc_method_find(const struct ch_grpc_server *server, struct ch_str path);
void grpc_server_release(struct ch_grpc_server *server); /**< its last stream has gone */

/* ---- grpc_conn.c ---- */

void grpc_conn_open(struct ch_grpc_server *server, int fd); /**< takes ownership */
void grpc_conn_drain(struct grpc_conn *conn);
void grpc_conn_goaway(struct grpc_conn *conn);             /**< the second, final GOAWAY of a drain */
void grpc_conn_sweep(struct grpc_conn *conn, int64_t now); /**< may end it */
/** One control frame came. False: the peer has used up its budget, and the connection is to end. */
bool grpc_conn_spend(struct grpc_conn *conn);
#define GRPC_BUDGET_PER_STREAM 8.0 /**< some clients measure the line with a PING at each answer */

/* ---- grpc_stream_pool.c ---- */

struct ch_grpc_stream *grpc_stream_take(struct grpc_conn *conn, int32_t id); /**< NULL: memory is short */
/** Back to the pool when neither nghttp2 nor a fiber has it any more. */
void grpc_stream_leave(struct ch_grpc_stream *stream);
void grpc_stream_free(struct ch_grpc_stream *stream); /**< from the pool */
void grpc_stream_count_buffered(struct ch_grpc_stream *stream, size_t more, size_t less);

/* ---- grpc_stream.c ---- */

CH_MUST_CHECK enum ch_err grpc_session_new(struct grpc_conn *conn, nghttp2_session **ret_session);
/** The connection is gone: the stream will not be heard of again by nghttp2. */
void grpc_stream_close(struct ch_grpc_stream *stream);

/* ---- grpc_call.c ---- */

void grpc_call_start(struct ch_grpc_stream *stream);                   /**< starts the fiber */
void grpc_call_finish(struct ch_grpc_stream *stream, enum ch_err err); /**< trailers, or trailers only */
void grpc_call_refuse(struct ch_grpc_stream *stream, int http_status); /**< no gRPC: a plain HTTP answer */
bool grpc_call_is_streaming(const struct ch_grpc_stream *stream);      /**< may last: ended by a drain */
/** Next message of a bidi call; *ret_message NULL at the end of the caller's stream. */
CH_MUST_CHECK enum ch_err grpc_call_next_wait(struct ch_call *call, ProtobufCMessage **ret_message);

/* ---- the services every server has: tables as any service's ---- */

extern const struct ch_rpc grpc_health_rpcs[];
extern const struct ch_rpc grpc_reflection_rpcs[]; /**< all bidi */

#endif
