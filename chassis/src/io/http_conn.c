// SPDX-License-Identifier: Apache-2.0
// The life of a connection: opened, read, timed out, ended. Which bytes mean what is http_request.c's affair.
// The socket is read in every state, so that a peer that goes away is seen at once; what arrives while a request is
// handled is kept up to CH_HTTP_STASH_MAX. A connection on which a fiber works is never freed under it: it is marked
// broken.
#include "http_internal.h"

#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

static bool is_handled(const struct ch_http_conn *conn)
{
    return conn->state == CH_HTTP_HANDLING || conn->state == CH_HTTP_STREAMING;
}

static bool is_reading(const struct ch_http_conn *conn)
{
    return conn->state == CH_HTTP_IDLE || conn->state == CH_HTTP_HEAD || conn->state == CH_HTTP_BODY;
}

void ch_http_conn_account(struct ch_http_conn *conn)
{
    size_t held = conn->in.len + conn->out.len + (conn->req ? conn->req->body.len : 0);

    conn->server->held += held - conn->held;
    conn->held = held;
}

bool ch_http_is_over_budget(const struct ch_http_server *server)
{
    return server->held > server->limits.buffered_max;
}

// ---- open ----

static void on_readable(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    ch_http_conn_readable(arg);
}

static void on_writable(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    ch_http_writable(arg);
}

static void peer_name(const struct sockaddr *address, char ret_name[INET6_ADDRSTRLEN])
{
    const void *bytes = &((const struct sockaddr_in *)address)->sin_addr;

    if (address->sa_family == AF_INET6)
        bytes = &((const struct sockaddr_in6 *)address)->sin6_addr;
    if (!inet_ntop(address->sa_family, bytes, ret_name, INET6_ADDRSTRLEN))
        ret_name[0] = '\0';
}

static void link_conn(struct ch_http_conn **list, struct ch_http_conn *conn)
{
    conn->next = *list;
    conn->prev = list;
    if (conn->next)
        conn->next->prev = &conn->next;
    *list = conn;
}

static void unlink_conn(struct ch_http_conn *conn)
{
    *conn->prev = conn->next;
    if (conn->next)
        conn->next->prev = conn->prev;
}

void ch_http_conn_new(struct ch_http_server *server, int fd, const struct sockaddr *address, bool is_refused)
{
    struct event_base *base = ch_loop_base(server->loop);
    struct ch_http_conn *conn = calloc(1, sizeof(*conn));

    if (!conn || event_assign(&conn->read_event, base, fd, EV_READ | EV_PERSIST, on_readable, conn) ||
        event_assign(&conn->write_event, base, fd, EV_WRITE | EV_PERSIST, on_writable, conn) ||
        event_add(&conn->read_event, NULL)) {
        free(conn);
        (void)close(fd); // nobody to tell
        return;
    }
    conn->server = server;
    conn->fd = fd;
    conn->is_fresh = true;
    peer_name(address, conn->peer);
    ch_buf_init(&conn->in, server->limits.head_max + CH_HTTP_SCRATCH_BYTES + CH_HTTP_STASH_MAX);
    ch_buf_init(&conn->out, server->limits.buffered_max);
    link_conn(&server->conns, conn);
    __atomic_fetch_add(&server->conn_count, 1, __ATOMIC_RELAXED);
    ch_gauge_add(server->active, 1);
    if (is_refused)
        ch_http_conn_reject(conn, CH_ERR_OVERLOADED);
    else
        ch_http_timer_set(conn, CH_HTTP_T_IDLE);
}

// ---- close ----

void ch_http_conn_close(struct ch_http_conn *conn)
{
    struct ch_http_server *server = conn->server;

    if (conn->state == CH_HTTP_CLOSED)
        return;
    conn->state = CH_HTTP_CLOSED;
    (void)event_del(&conn->read_event); // cannot fail for events that were assigned
    (void)event_del(&conn->write_event);
    ch_http_timer_clear(conn);
    (void)close(conn->fd);
    conn->fd = -1;
    ch_http_request_give(conn);
    server->held -= conn->held;
    conn->held = 0;
    unlink_conn(conn);
    link_conn(&server->dead, conn);
    __atomic_fetch_sub(&server->conn_count, 1, __ATOMIC_RELAXED);
    ch_gauge_add(server->active, -1);
    ch_http_at_turn_end(server);
}

void ch_http_conn_free(struct ch_http_conn *conn)
{
    unlink_conn(conn);
    ch_buf_release(&conn->in);
    ch_buf_release(&conn->out);
    free(conn);
}

// The client may still be sending. Closing now would make the kernel answer with a reset, and a reset may destroy our
// reply before the client has read it (RFC 9112, 9.6).
static void linger(struct ch_http_conn *conn)
{
    if (conn->is_eof || conn->is_broken || shutdown(conn->fd, SHUT_WR)) {
        ch_http_conn_close(conn);
        return;
    }
    conn->state = CH_HTTP_LINGER;
    ch_buf_release(&conn->in);
    ch_http_conn_account(conn);
    if (conn->is_read_paused)
        (void)event_add(&conn->read_event, NULL); // the timer closes it otherwise
    conn->is_read_paused = false;
    ch_http_timer_set(conn, CH_HTTP_T_GRACE);
}

static void resume_later(struct ch_http_conn *conn)
{
    conn->is_resuming = true;
    conn->resume_next = conn->server->resume;
    conn->server->resume = conn;
    ch_http_at_turn_end(conn->server);
}

void ch_http_conn_sent(struct ch_http_conn *conn)
{
    ch_http_timer_clear(conn);
    if (conn->is_broken || conn->is_last) {
        linger(conn);
        return;
    }
    conn->state = CH_HTTP_IDLE;
    conn->has_skipped_crlf = false;
    if (conn->in.len > 0)
        resume_later(conn);
    else if (conn->is_eof || conn->server->is_draining)
        ch_http_conn_close(conn);
    else
        ch_http_timer_set(conn, CH_HTTP_T_IDLE);
}

// ---- bytes in ----

static void stash(struct ch_http_conn *conn, const char *data, size_t len)
{
    ch_buf_append(&conn->in, data, len);
    ch_http_conn_account(conn);
    assert(!conn->in.is_full); // read_again saw to it
    if (conn->in.len >= CH_HTTP_STASH_MAX) {
        (void)event_del(&conn->read_event); // cannot fail for an event that was assigned
        conn->is_read_paused = true;
    }
}

// Reads what `data` holds, behind what was kept; keeps what is left over.
static void feed(struct ch_http_conn *conn, const char *data, size_t len)
{
    bool is_kept = conn->in.len > 0;
    size_t used;

    if (is_kept) {
        ch_buf_append(&conn->in, data, len);
        data = conn->in.data;
        len = conn->in.len;
    }
    used = ch_http_consume(conn, data, len);
    if (conn->state == CH_HTTP_CLOSED || conn->state == CH_HTTP_LINGER)
        return;
    if (is_kept)
        ch_buf_consume(&conn->in, used);
    else
        ch_buf_append(&conn->in, data + used, len - used);
    if (conn->in.len == 0)
        ch_buf_release(&conn->in);
    ch_http_conn_account(conn);
    if (!is_reading(conn) || conn->is_resuming)
        return;
    if (conn->state == CH_HTTP_IDLE && conn->in.len > 0)
        resume_later(conn); // the request was answered on the spot: no fiber was free
    else if (conn->is_eof)
        ch_http_conn_close(conn); // the rest of this request will never come
    else if (conn->in.is_full || ch_http_is_over_budget(conn->server))
        ch_http_conn_reject(conn, CH_ERR_OVERLOADED);
}

// Only when another read still fits behind what is kept, or when the request cannot go on without it.
static void read_again(struct ch_http_conn *conn)
{
    if (!conn->is_read_paused || conn->is_eof || conn->state == CH_HTTP_CLOSED || conn->state == CH_HTTP_LINGER)
        return;
    if (conn->in.len >= CH_HTTP_STASH_MAX && (conn->is_resuming || !is_reading(conn)))
        return;
    conn->is_read_paused = event_add(&conn->read_event, NULL) != 0; // if it stays so, a timeout ends the connection
}

void ch_http_conn_resume(struct ch_http_conn *conn)
{
    conn->is_resuming = false;
    if (conn->state != CH_HTTP_IDLE)
        return;
    ch_http_timer_set(conn, CH_HTTP_T_IDLE);
    feed(conn, "", 0);
    read_again(conn);
}

static void received(struct ch_http_conn *conn, const char *data, size_t len)
{
    if (conn->state == CH_HTTP_LINGER) {
        conn->lingered += len;
        if (conn->lingered > CH_HTTP_LINGER_BYTES)
            ch_http_conn_close(conn);
    } else if (is_reading(conn) && !conn->is_resuming) {
        feed(conn, data, len);
    } else {
        stash(conn, data, len);
    }
}

// A write goes on: an order must not be torn because a phone lost its connection, and a client may shut its side while
// it waits for the reply. A read whose connection was reset is cancelled, and a stream ends: nobody listens.
static void ended(struct ch_http_conn *conn, bool is_broken)
{
    conn->is_eof = true;
    conn->is_broken |= is_broken;
    (void)event_del(&conn->read_event); // cannot fail for an event that was assigned
    conn->is_read_paused = true;
    if (conn->state == CH_HTTP_HANDLING && is_broken) {
        conn->req->x.is_gone = true;
        if (conn->fiber && (conn->req->x.method == CH_GET || conn->req->x.method == CH_HEAD))
            ch_fiber_cancel(conn->fiber);
    }
    if (conn->state == CH_HTTP_STREAMING) {
        if (conn->writer)
            ch_wake(conn->writer, CH_ERR_CANCELLED);
        else
            ch_fiber_cancel(conn->fiber);
    } else if (!is_handled(conn) && (is_broken || !(conn->state == CH_HTTP_WRITING || conn->is_resuming))) {
        ch_http_conn_close(conn);
    }
}

void ch_http_conn_readable(struct ch_http_conn *conn)
{
    struct ch_http_server *server = conn->server;
    ssize_t n;

    if (conn->state == CH_HTTP_CLOSED)
        return;
    n = recv(conn->fd, server->scratch, CH_HTTP_SCRATCH_BYTES, MSG_DONTWAIT);
    if (n > 0)
        received(conn, server->scratch, (size_t)n);
    else if (n == 0)
        ended(conn, false);
    else if (errno != EAGAIN && errno != EINTR)
        ended(conn, true);
}

void ch_http_conn_timeout(struct ch_http_conn *conn, enum ch_http_timeout kind)
{
    if (kind == CH_HTTP_T_HEAD || kind == CH_HTTP_T_BODY)
        ch_http_conn_reject(conn, CH_ERR_REQUEST_TIMEOUT);
    else
        ch_http_conn_close(conn);
}

// Idle ones close; one that has just come gets a moment to say what it wants; streams end; the others are answered and
// then close.
void ch_http_conn_drain(struct ch_http_conn *conn)
{
    if (conn->state == CH_HTTP_IDLE && !conn->is_resuming)
        ch_http_conn_readable(conn); // its next request may be here already
    if (conn->state == CH_HTTP_STREAMING) {
        conn->is_cancelled = true;
        ch_fiber_cancel(conn->fiber);
    } else if (conn->state == CH_HTTP_IDLE && !conn->is_resuming) {
        if (conn->is_fresh)
            ch_http_timer_set(conn, CH_HTTP_T_GRACE);
        else
            ch_http_conn_close(conn);
    }
}
