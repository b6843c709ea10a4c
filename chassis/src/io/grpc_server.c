// SPDX-License-Identifier: Apache-2.0
// The gRPC server of one loop: its listener, its connections and what bounds them. A sweep once a second ends what makes no progress;
// everything else happens as bytes come. It must never hold a connection or a stream without a limit on its time and memory.
#include "grpc_server.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#define SECOND_NS         1000000000ll
#define ACCEPTS_PER_EVENT 32
#define PREFACE_NS        (10 * SECOND_NS)
#define STALLED_NS        (30 * SECOND_NS)  // output not taken
#define REPLY_TAKEN_NS    (60 * SECOND_NS)  // a complete reply not taken, by the window of its stream
#define IDLE_NS           (300 * SECOND_NS) // no stream and no byte
#define PING_AFTER_NS     (30 * SECOND_NS)  // streams, but no byte
#define PING_WAIT_NS      (10 * SECOND_NS)
#define DRAIN_NOTICE_NS   SECOND_NS // between the two GOAWAYs, when the peer does not answer the PING
#define LINGER_NS         (2 * SECOND_NS)

#define BUDGET_MAX        1000.0 // control frames at once
#define BUDGET_PER_SECOND 100.0
#define BUDGET_PER_STREAM 8.0 // some clients measure the line with a PING at each answer

#define BUF_KEEP (64 * 1024)
#define SPARE_MAX 256

static const struct ch_metric connections_metric = {
    .name = "rpc_server_connections",
    .type = CH_GAUGE,
    .help = "Open gRPC connections",
};

/* ---- methods ---- */

static int compare_paths(struct ch_str a, struct ch_str b)
{
    if (a.len != b.len)
        return a.len < b.len ? -1 : 1;
    return memcmp(a.data, b.data, a.len);
}

static int compare_methods(const void *a, const void *b)
{
    return compare_paths(((const struct grpc_method *)a)->path, ((const struct grpc_method *)b)->path);
}

const struct grpc_method *grpc_method_find(const struct ch_grpc_server *server, struct ch_str path)
{
    size_t low = 0, high = server->method_count;

    if (!path.data)
        return NULL;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int order = compare_paths(path, server->methods[middle].path);

        if (order == 0)
            return &server->methods[middle];
        if (order < 0)
            high = middle;
        else
            low = middle + 1;
    }
    return NULL;
}

static bool add_table(struct ch_grpc_server *server, const struct ch_rpc *table, bool is_builtin)
{
    for (const struct ch_rpc *rpc = table; rpc->path; rpc++) {
        struct grpc_method *methods = reallocarray(server->methods, server->method_count + 1, sizeof(*methods));

        if (!methods)
            return false;
        server->methods = methods;
        methods[server->method_count++] = (struct grpc_method){
            .path = ch_str_of(rpc->path),
            .rpc = rpc,
            .kind = table == grpc_reflection_rpcs ? GRPC_BIDI
                    : rpc->is_stream              ? GRPC_SERVER_STREAM
                                                  : GRPC_UNARY,
            .is_builtin = is_builtin,
        };
    }
    return true;
}

static bool add_methods(struct ch_grpc_server *server)
{
    bool is_ok = add_table(server, grpc_health_rpcs, true) && add_table(server, grpc_reflection_rpcs, true);

    for (const struct ch_rpc *const *table = server->options.tables; is_ok && *table; table++)
        is_ok = add_table(server, *table, false);
    if (is_ok)
        qsort(server->methods, server->method_count, sizeof(server->methods[0]), compare_methods);
    return is_ok;
}

/* ---- streams ---- */

static void stream_free(struct ch_grpc_stream *stream)
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
    stream_free(stream);
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
    conn->budget += BUDGET_PER_STREAM;
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

// All but memory is as new again; `headers` need no zeros.
static void stream_give(struct ch_grpc_server *server, struct ch_grpc_stream *stream)
{
    struct ch_arena *arena = stream->arena;
    struct ch_buf in = stream->in, out = stream->out;

    if (server->spare_count >= SPARE_MAX || !GRPC_IS_POOLED) {
        stream_free(stream);
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

static void server_release(struct ch_grpc_server *server)
{
    while (server->spare) {
        struct ch_grpc_stream *stream = server->spare;

        server->spare = stream->next;
        stream_free(stream);
    }
    free(server->methods);
    free(server);
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
        server_release(server);
}

/* ---- connections ---- */

bool grpc_conn_spend(struct grpc_conn *conn)
{
    int64_t now = ch_now_ns();

    conn->budget += BUDGET_PER_SECOND * (double)(now - conn->budget_ns) / (double)SECOND_NS;
    if (conn->budget > BUDGET_MAX)
        conn->budget = BUDGET_MAX;
    conn->budget_ns = now;
    conn->budget -= 1;
    return conn->budget >= 0;
}

static void on_conn_end(struct h2_conn *h2, const char *reason)
{
    struct grpc_conn *conn = (struct grpc_conn *)h2;
    struct ch_grpc_server *server = conn->server;

    ch_log(CH_LOG_DEBUG, NULL, "grpc.connection_ended", CH_LS("reason", reason), CH_LI("streams", (int64_t)conn->stream_count));
    while (conn->streams)
        grpc_stream_close(conn->streams);
    *conn->prev = conn->next;
    if (conn->next)
        conn->next->prev = conn->prev;
    server->connection_count--;
    ch_gauge_add(server->connections_gauge, -1);
    h2_conn_free(h2);
}

static void conn_release(struct h2_conn *h2)
{
    free(h2);
}

static void conn_open(struct ch_grpc_server *server, int fd)
{
    struct grpc_conn *conn = calloc(1, sizeof(*conn));
    nghttp2_session *session = NULL;

    if (!conn) {
        (void)close(fd);
        return;
    }
    conn->server = server;
    conn->open_ns = conn->budget_ns = ch_now_ns();
    conn->budget = BUDGET_MAX;
    conn->h2 = (struct h2_conn){.is_lingering_end = true, .on_end = on_conn_end, .release = conn_release};
    if (grpc_session_new(conn, &session) || h2_conn_open(&conn->h2, server->loop, fd, session)) {
        conn->h2.fd = fd;
        h2_conn_free(&conn->h2);
        return;
    }
    conn->next = server->conns;
    conn->prev = &server->conns;
    if (conn->next)
        conn->next->prev = &conn->next;
    server->conns = conn;
    server->connection_count++;
    ch_gauge_add(server->connections_gauge, 1);
    h2_conn_flush_later(&conn->h2);
}

static void on_acceptable(evutil_socket_t fd, short events, void *arg)
{
    struct ch_grpc_server *server = arg;

    (void)events;
    for (int i = 0; i < ACCEPTS_PER_EVENT; i++) {
        int peer = accept4(fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

        if (peer < 0) {
            if (errno == EMFILE || errno == ENFILE || errno == ENOMEM)
                (void)event_del(server->acceptable); // the sweep tries again
            return;
        }
        if (server->connection_count >= server->options.connections_max) {
            (void)close(peer);
            continue;
        }
        (void)setsockopt(peer, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int)); // only slower without
        conn_open(server, peer);
    }
}

/* ---- drain ---- */

// First notice: "start nothing more", while what is on its way is still taken. The PING's answer tells that the peer knows.
static void conn_drain(struct grpc_conn *conn)
{
    if (conn->drain_ns)
        return;
    conn->drain_ns = ch_now_ns();
    if (nghttp2_submit_shutdown_notice(conn->h2.session) ||
        nghttp2_submit_ping(conn->h2.session, NGHTTP2_FLAG_NONE, (const uint8_t *)"draining"))
        grpc_conn_goaway(conn);
    h2_conn_flush_later(&conn->h2);
}

void grpc_conn_goaway(struct grpc_conn *conn)
{
    nghttp2_session *session = conn->h2.session;

    if (conn->is_goaway_final)
        return;
    conn->is_goaway_final = true;
    (void)nghttp2_submit_goaway(session, NGHTTP2_FLAG_NONE, nghttp2_session_get_last_proc_stream_id(session), NGHTTP2_NO_ERROR,
                                NULL, 0); // fails for want of memory: then the drain's deadline ends the connection
    h2_conn_flush_later(&conn->h2);
}

static void stop_accepting(struct ch_grpc_server *server)
{
    if (server->acceptable)
        event_free(server->acceptable);
    server->acceptable = NULL;
    if (server->fd >= 0)
        (void)close(server->fd);
    server->fd = -1;
}

void ch_grpc_server_drain(struct ch_grpc_server *server)
{
    server->is_draining = true;
    ch_grpc_server_set_serving(server, false);
    stop_accepting(server);
    for (struct grpc_conn *conn = server->conns; conn; conn = conn->next) {
        conn_drain(conn);
        for (struct ch_grpc_stream *stream = conn->streams; stream; stream = stream->next)
            if (stream->fiber && grpc_call_is_streaming(stream))
                ch_fiber_cancel(stream->fiber);
    }
}

/* ---- sweep ---- */

static void sweep_stream(struct ch_grpc_stream *stream, int64_t now)
{
    if (!stream->is_reply_complete && !stream->is_busy && now > stream->call.ctx.deadline_ns)
        grpc_call_finish(stream, CH_ERR_DEADLINE); // its request never came whole
    if (stream->is_reply_complete && now - stream->reply_ns > REPLY_TAKEN_NS) {
        (void)nghttp2_submit_rst_stream(stream->conn->h2.session, NGHTTP2_FLAG_NONE, stream->id, NGHTTP2_CANCEL); // tried again
        h2_conn_flush_later(&stream->conn->h2);
    }
}

// Why the connection has to end; NULL: it need not.
static const char *conn_fault(const struct grpc_conn *conn, int64_t now)
{
    const struct h2_conn *h2 = &conn->h2;

    if (h2->linger_ns)
        return now - h2->linger_ns > LINGER_NS ? "drained" : NULL;
    if (!conn->has_settings && now - conn->open_ns > PREFACE_NS)
        return "no preface";
    if (h2->unsent.len > 0 && now - h2->progress_ns > STALLED_NS)
        return "stalled";
    if (conn->ping_ns && h2->read_ns < conn->ping_ns && now - conn->ping_ns > PING_WAIT_NS)
        return "no answer to ping";
    return NULL;
}

static void sweep_conn(struct grpc_conn *conn, int64_t now)
{
    struct h2_conn *h2 = &conn->h2;
    const char *fault = conn_fault(conn, now);

    if (fault) {
        h2_conn_end(h2, fault);
        return;
    }
    if (h2->linger_ns)
        return;
    for (struct ch_grpc_stream *stream = conn->streams; stream; stream = stream->next)
        sweep_stream(stream, now);
    if (conn->drain_ns && now - conn->drain_ns > DRAIN_NOTICE_NS)
        grpc_conn_goaway(conn);
    if (conn->stream_count == 0 && now - h2->read_ns > IDLE_NS)
        conn_drain(conn);
    if (conn->stream_count > 0 && now - h2->read_ns > PING_AFTER_NS && conn->ping_ns <= h2->read_ns) {
        conn->ping_ns = now;
        (void)nghttp2_submit_ping(h2->session, NGHTTP2_FLAG_NONE, NULL); // unsent is as unanswered
        h2_conn_flush_later(h2);
    }
}

static void on_sweep(evutil_socket_t fd, short events, void *arg)
{
    struct ch_grpc_server *server = arg;
    struct grpc_conn *next;
    int64_t now = ch_now_ns();

    (void)fd;
    (void)events;
    for (struct grpc_conn *conn = server->conns; conn; conn = next) {
        next = conn->next;
        sweep_conn(conn, now);
    }
    if (server->acceptable && !event_pending(server->acceptable, EV_READ, NULL))
        (void)event_add(server->acceptable, NULL);
}

/* ---- life ---- */

static enum ch_err listen_on(struct ch_grpc_server *server, const char *address, int port)
{
    struct sockaddr_storage where = {0};
    struct sockaddr_in *v4 = (struct sockaddr_in *)&where;
    struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)&where;
    socklen_t len = sizeof(where);

    if (inet_pton(AF_INET, address, &v4->sin_addr) == 1)
        v4->sin_family = AF_INET;
    else if (inet_pton(AF_INET6, address, &v6->sin6_addr) == 1)
        v6->sin6_family = AF_INET6;
    else
        return CH_ERR_INVALID;
    v4->sin_port = htons((uint16_t)port); // in the same place for both
    server->fd = socket(where.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (server->fd < 0 || setsockopt(server->fd, SOL_SOCKET, SO_REUSEADDR, &(int){1}, sizeof(int)) ||
        setsockopt(server->fd, SOL_SOCKET, SO_REUSEPORT, &(int){1}, sizeof(int)) ||
        bind(server->fd, (struct sockaddr *)&where, v4->sin_family == AF_INET ? sizeof(*v4) : sizeof(*v6)) ||
        listen(server->fd, 1024) || getsockname(server->fd, (struct sockaddr *)&where, &len))
        return CH_ERR_UNAVAILABLE;
    server->port = ntohs(v4->sin_port);
    return CH_OK;
}

static enum ch_err start_events(struct ch_grpc_server *server)
{
    static const struct timeval every = {.tv_sec = 1};
    struct event_base *base = ch_loop_base(server->loop);

    server->acceptable = event_new(base, server->fd, EV_READ | EV_PERSIST, on_acceptable, server);
    server->sweep = event_new(base, -1, EV_PERSIST, on_sweep, server);
    if (!server->acceptable || !server->sweep || event_add(server->acceptable, NULL) || event_add(server->sweep, &every))
        return CH_ERR_NO_MEMORY;
    return CH_OK;
}

enum ch_err ch_grpc_server_new(struct ch_loop *loop, const char *address, int port,
                               const struct ch_grpc_server_options *options, struct ch_grpc_server **ret_server)
{
    struct ch_grpc_server *server = calloc(1, sizeof(*server));
    enum ch_err err;

    if (!server)
        return CH_ERR_NO_MEMORY;
    server->loop = loop;
    server->options = *options;
    server->fd = -1;
    server->is_serving = true;
    server->connections_gauge = ch_series_get(&connections_metric, (const char *const[]){NULL});
    ch_queue_init(&server->watchers, GRPC_WATCHERS_MAX);
    err = add_methods(server) ? listen_on(server, address, port) : CH_ERR_NO_MEMORY;
    if (!err)
        err = start_events(server);
    if (err) {
        ch_grpc_server_free(server);
        return err;
    }
    *ret_server = server;
    return CH_OK;
}

int ch_grpc_server_port(const struct ch_grpc_server *server)
{
    return server->port;
}

size_t ch_grpc_server_streams(const struct ch_grpc_server *server)
{
    return server->stream_count;
}

void ch_grpc_server_free(struct ch_grpc_server *server)
{
    if (!server)
        return;
    stop_accepting(server);
    if (server->sweep)
        event_free(server->sweep);
    server->is_draining = true;
    server->stream_count++; // until all connections are gone
    while (server->conns)
        h2_conn_end(&server->conns->h2, "server stops");
    server->stream_count--;
    server->is_freed = true;
    if (server->stream_count == 0)
        server_release(server);
}
