// SPDX-License-Identifier: Apache-2.0
// The server: a listening socket on a loop, its connections, the pool of requests, and how all of it ends.
// Accepts in bounded batches; without descriptors it pauses instead of spinning. Never waits and never looks a name up.
#include "http_internal.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#define ACCEPT_BATCH    64
#define ACCEPT_BACKLOG  4096
#define ACCEPT_PAUSE_MS 100
#define DRAIN_ROUNDS    64 // batches accepted when the drain begins
#define POOLED_BODY_MAX (16 * 1024)
#define PROBLEM_MAX     (64 * 1024)

const struct ch_http_limits ch_http_limits_default = {
    .head_max = 32 * 1024,
    .headers_max = 64,
    .body_max = 1024 * 1024,
    .connections_max = 10000,
    .buffered_max = 64 * 1024 * 1024,
    .head_timeout_ns = INT64_C(10000000000),
    .body_timeout_ns = INT64_C(30000000000),
    .idle_timeout_ns = INT64_C(75000000000),
    .write_timeout_ns = INT64_C(30000000000),
};

// ---- requests ----

static void request_free(struct ch_http_request *req)
{
    ch_arena_free(req->arena);
    ch_buf_release(&req->body);
    free(req);
}

static struct ch_http_request *request_new(const struct ch_http_limits *limits)
{
    struct ch_http_request *req = calloc(1, sizeof(*req) + limits->headers_max * sizeof(req->headers[0]));

    if (!req)
        return NULL;
    ch_buf_init(&req->body, limits->body_max);
    req->arena = ch_arena_new(limits->head_max + limits->body_max + CH_HTTP_ARENA_MAX);
    if (!req->arena) {
        request_free(req);
        return NULL;
    }
    return req;
}

struct ch_http_request *ch_http_request_take(struct ch_http_conn *conn)
{
    struct ch_http_server *server = conn->server;
    struct ch_http_request *req = server->pool;

    if (req) {
        server->pool = req->next;
        server->pool_count--;
    } else {
        req = request_new(&server->limits);
        if (!req)
            return NULL;
    }
    req->is_http10 = req->expects_continue = req->is_stream_open = req->is_chunked_reply = false;
    req->x = (struct ch_http_exchange){.method = CH_METHOD_OTHER,
                                       .peer = ch_str_of(conn->peer),
                                       .arena = req->arena,
                                       .loop = server->loop,
                                       .conn = conn};
    conn->req = req;
    return req;
}

void ch_http_request_give(struct ch_http_conn *conn)
{
    struct ch_http_server *server = conn->server;
    struct ch_http_request *req = conn->req;

    if (!req)
        return;
    conn->req = NULL;
    if (server->pool_count >= CH_HTTP_POOL_MAX) {
        request_free(req);
        return;
    }
    ch_arena_reset(req->arena);
    if (req->body.cap > POOLED_BODY_MAX)
        ch_buf_release(&req->body);
    else
        ch_buf_reset(&req->body);
    req->next = server->pool;
    server->pool = req;
    server->pool_count++;
}

// ---- the end of a turn ----

static void resume_all(struct ch_http_server *server)
{
    struct ch_http_conn *conn = server->resume, *next;

    server->resume = NULL;
    for (; conn; conn = next) {
        next = conn->resume_next;
        ch_http_conn_resume(conn);
    }
}

static void free_dead(struct ch_http_server *server)
{
    struct ch_http_conn *conn = server->dead, *next;

    for (; conn; conn = next) {
        next = conn->next;
        if (!conn->is_resuming) // else after the next round
            ch_http_conn_free(conn);
    }
}

static void on_turn_end(void *arg)
{
    struct ch_http_server *server = arg;

    if (server->is_freed) {
        free(server);
        return;
    }
    resume_all(server);
    free_dead(server);
}

void ch_http_at_turn_end(struct ch_http_server *server)
{
    if (!server->is_freed)
        ch_loop_at_turn_end(server->loop, &server->hook);
}

// ---- accepting ----

static void accept_pause(struct ch_http_server *server)
{
    static const struct timeval pause = {.tv_usec = ACCEPT_PAUSE_MS * 1000};

    (void)event_del(&server->accept_event); // cannot fail for an event that was assigned
    if (event_add(&server->accept_again_event, &pause))
        (void)event_add(&server->accept_event, NULL); // rather spin than be deaf
}

static void on_accept_again(evutil_socket_t fd, short what, void *arg)
{
    struct ch_http_server *server = arg;

    (void)fd;
    (void)what;
    if (server->fd >= 0 && event_add(&server->accept_event, NULL))
        accept_pause(server);
}

static void accepted(struct ch_http_server *server, int fd, const struct sockaddr *address)
{
    size_t count = server->conn_count;

    if (count >= server->limits.connections_max + CH_HTTP_REFUSED_MAX)
        (void)close(fd); // beyond words
    else
        ch_http_conn_new(server, fd, address, count >= server->limits.connections_max);
}

// False: nobody waits any more, or no descriptor is left.
static bool accept_batch(struct ch_http_server *server)
{
    for (int i = 0; i < ACCEPT_BATCH; i++) {
        struct sockaddr_storage address = {0};
        socklen_t len = sizeof(address);
        int fd = accept4(server->fd, (struct sockaddr *)&address, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);

        if (fd >= 0) {
            accepted(server, fd, (struct sockaddr *)&address);
        } else if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
            ch_log(CH_LOG_ERROR, NULL, "http.accept_failed", CH_LI("errno", errno));
            accept_pause(server);
            return false;
        } else if (errno != EINTR && errno != ECONNABORTED) {
            return false; // EAGAIN: all taken; the others belong to a connection that is gone
        }
    }
    return true;
}

static void on_acceptable(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    (void)accept_batch(arg); // what is left makes the event fire again
}

static enum ch_err listen_on(struct ch_http_server *server, const struct ch_listen *where)
{
    enum ch_err err = ch_listen_open(where, ACCEPT_BACKLOG, &server->fd, &server->port);

    if (err)
        return err;
    if (event_assign(&server->accept_event, ch_loop_base(server->loop), server->fd, EV_READ | EV_PERSIST, on_acceptable,
                     server) ||
        evtimer_assign(&server->accept_again_event, ch_loop_base(server->loop), on_accept_again, server) ||
        event_add(&server->accept_event, NULL))
        return CH_ERR_NO_MEMORY;
    return CH_OK;
}

static void listen_end(struct ch_http_server *server)
{
    if (event_initialized(&server->accept_event))
        (void)event_del(&server->accept_event); // cannot fail for events that were assigned
    if (event_initialized(&server->accept_again_event))
        (void)event_del(&server->accept_again_event);
    if (server->fd >= 0)
        (void)close(server->fd);
    server->fd = -1;
}

// ---- life ----

enum ch_err ch_http_server_new(struct ch_loop *loop, const struct ch_listen *where, const struct ch_http_limits *limits,
                               ch_http_handler *handler, void *arg, struct ch_http_server **ret_server)
{
    static const struct ch_metric active = {
        .name = "http_server_active_connections", .type = CH_GAUGE, .help = "Open HTTP connections."};
    struct ch_http_server *server = calloc(1, sizeof(*server));
    enum ch_err err;

    if (!server)
        return CH_ERR_NO_MEMORY;
    server->loop = loop;
    server->limits = *limits;
    server->handler = handler;
    server->arg = arg;
    server->fd = -1;
    server->hook = (struct ch_hook){.fn = on_turn_end, .arg = server};
    server->active = ch_series_get(&active, NULL);
    ch_buf_init(&server->head, 2 * CH_HTTP_REPLY_HEAD_MAX); // and a small body
    ch_buf_init(&server->problem, PROBLEM_MAX);
    server->scratch = malloc(CH_HTTP_SCRATCH_BYTES);
    err = server->scratch ? ch_http_timers_init(server) : CH_ERR_NO_MEMORY;
    if (!err)
        err = listen_on(server, where);
    if (err) {
        const int reason = errno; // of ch_listen_open

        ch_http_server_free(server);
        errno = reason;
        return err;
    }
    *ret_server = server;
    return CH_OK;
}

int ch_http_server_port(const struct ch_http_server *server)
{
    return server->port;
}

size_t ch_http_server_connections(const struct ch_http_server *server)
{
    return __atomic_load_n(&server->conn_count, __ATOMIC_RELAXED);
}

void ch_http_server_leave(struct ch_http_server *server)
{
    server->is_leaving = true;
}

void ch_http_server_drain(struct ch_http_server *server)
{
    struct ch_http_conn *conn, *next;
    int rounds = 0;

    if (server->is_draining)
        return;
    while (rounds++ < DRAIN_ROUNDS && accept_batch(server))
        ; // whoever stands in the queue would be reset with it
    listen_end(server);
    server->is_draining = true;
    for (conn = server->conns; conn; conn = next) {
        next = conn->next;
        ch_http_conn_drain(conn);
    }
}

void ch_http_server_free(struct ch_http_server *server)
{
    if (!server)
        return;
    server->is_freed = true;
    listen_end(server);
    while (server->conns)
        ch_http_conn_close(server->conns);
    while (server->dead)
        ch_http_conn_free(server->dead);
    while (server->pool) {
        struct ch_http_request *req = server->pool;

        server->pool = req->next;
        request_free(req);
    }
    ch_http_timers_release(server);
    ch_buf_release(&server->head);
    ch_buf_release(&server->problem);
    free(server->scratch);
    if (!server->hook.is_armed) // else the loop still holds the hook
        free(server);
}
