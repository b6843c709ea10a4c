// SPDX-License-Identifier: Apache-2.0
// The gRPC server of one loop: its methods, its listener, its life. A sweep once a second ends what makes no progress;
// everything else happens as bytes come. It must never hold more connections than it was told.
#include "grpc_server.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#define ACCEPTS_PER_EVENT 32
#define ACCEPT_BACKLOG    1024

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

/* ---- accepting ---- */

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
        grpc_conn_open(server, peer);
    }
}

/* ---- drain ---- */

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
        grpc_conn_drain(conn);
        for (struct ch_grpc_stream *stream = conn->streams; stream; stream = stream->next)
            if (stream->fiber && grpc_call_is_streaming(stream))
                ch_fiber_cancel(stream->fiber);
    }
}

/* ---- sweep ---- */

static void on_sweep(evutil_socket_t fd, short events, void *arg)
{
    struct ch_grpc_server *server = arg;
    struct grpc_conn *next;
    int64_t now = ch_now_ns();

    (void)fd;
    (void)events;
    for (struct grpc_conn *conn = server->conns; conn; conn = next) {
        next = conn->next;
        grpc_conn_sweep(conn, now);
    }
    if (server->acceptable && !event_pending(server->acceptable, EV_READ, NULL))
        (void)event_add(server->acceptable, NULL);
}

/* ---- life ---- */

static enum ch_err start_events(struct ch_grpc_server *server)
{
    static const struct timeval every = {.tv_sec = 1};
    struct event_base *base = ch_loop_base(server->loop);

    server->acceptable = event_new(base, server->fd, EV_READ | EV_PERSIST, on_acceptable, server);
    server->sweep = event_new(base, -1, EV_PERSIST, on_sweep, server);
    if (!server->acceptable || !server->sweep || event_add(server->acceptable, NULL) ||
        event_add(server->sweep, &every))
        return CH_ERR_NO_MEMORY;
    return CH_OK;
}

enum ch_err ch_grpc_server_new(struct ch_loop *loop, const struct ch_listen *where,
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
    err = add_methods(server) ? ch_listen_open(where, ACCEPT_BACKLOG, &server->fd, &server->port) : CH_ERR_NO_MEMORY;
    if (!err)
        err = start_events(server);
    if (err) {
        const int reason = errno; // of ch_listen_open

        ch_grpc_server_free(server);
        errno = reason;
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

void grpc_server_release(struct ch_grpc_server *server)
{
    while (server->spare) {
        struct ch_grpc_stream *stream = server->spare;

        server->spare = stream->next;
        grpc_stream_free(stream);
    }
    free(server->methods);
    free(server);
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
        grpc_server_release(server);
}
