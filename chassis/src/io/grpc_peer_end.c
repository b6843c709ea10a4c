// SPDX-License-Identifier: Apache-2.0
// The connection to one address of a peer: made at once, kept alive, remade. What follows from each way in which it can
// fail stands here and nowhere else:
//   never came up        backoff; known down
//   lost or GOAWAY       another at once if it had been good for a while, else backoff; when no other address takes
//                        calls, those in backoff are tried at once: one of them may have come back meanwhile
//   silent               PING, then lost
// It must never make a caller wait for an address that is known to be down, and never hammer one that refuses.
#include "grpc_peer.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#define MS_NS          1000000ll
#define CONNECT_NS     (1000 * MS_NS)
#define PING_AFTER_NS  (10000 * MS_NS)
#define PING_WAIT_NS   (2000 * MS_NS)
#define BACKOFF_MIN_NS (50 * MS_NS)
#define BACKOFF_MAX_NS (1000 * MS_NS)
#define GOOD_AFTER_NS  (1000 * MS_NS) // so long up: the next loss is not a loop

static void end_connect(struct peer_end *end);

/* ---- states ---- */

static void set_timer(struct event *timer, int64_t in_ns)
{
    struct timeval when = {.tv_sec = in_ns / 1000000000, .tv_usec = in_ns % 1000000000 / 1000};

    (void)event_add(timer, &when); // for a timer: fails only when memory is short
}

// The one place where the state changes.
static void set_state(struct peer_end *end, enum peer_state state, const char *reason)
{
    enum peer_state before = end->state;

    end->state = state;
    if (state == before)
        return;
    ch_gauge_add(end->peer->up_gauge, (state == PEER_UP) - (before == PEER_UP));
    if (state == PEER_UP)
        ch_log(CH_LOG_INFO, NULL, "grpc.peer_up", CH_LS("peer", end->peer->name), CH_LS("address", end->text));
    if (state == PEER_DOWN)
        ch_log(CH_LOG_WARN, NULL, "grpc.peer_down", CH_LS("peer", end->peer->name), CH_LS("address", end->text),
               CH_LS("reason", reason));
    peer_changed(end->peer);
}

// Half of the delay is fixed, half by chance, so that many clients do not come back at once.
static void connect_later(struct peer_end *end, const char *reason)
{
    int64_t next = end->backoff_ns * 2;
    uint32_t chance;

    if (end->is_gone)
        return;
    next = next < BACKOFF_MIN_NS ? BACKOFF_MIN_NS : next > BACKOFF_MAX_NS ? BACKOFF_MAX_NS : next;
    end->backoff_ns = next;
    ch_random(&chance, sizeof(chance));
    set_timer(end->retry, next / 2 + (int64_t)((double)next / 2 * chance / UINT32_MAX));
    set_state(end, PEER_DOWN, reason);
}

// The backoff has passed.
static void on_retry(evutil_socket_t fd, short events, void *arg)
{
    (void)fd;
    (void)events;
    end_connect(arg);
}

/* ---- a connection ---- */

// The current connection takes no more calls, because it ended or was retired.
static void replace(struct peer_end *end, const struct peer_conn *conn, const char *reason)
{
    end->conn = NULL;
    if (end->is_gone)
        return;
    if (conn->up_ns)
        peer_hurry(end->peer, end);
    if (conn->up_ns && ch_now_ns() - conn->up_ns >= GOOD_AFTER_NS) {
        end->backoff_ns = 0;
        set_state(end, PEER_CONNECTING, reason);
        end_connect(end);
    } else {
        connect_later(end, reason);
    }
    peer_name_look(end->name);
}

static void on_conn_end(struct h2_conn *h2, const char *reason)
{
    struct peer_conn *conn = (struct peer_conn *)h2;
    struct peer_end *end = conn->end;

    while (conn->calls)
        peer_call_lost(conn->calls);
    if (conn->is_retired) {
        *conn->prev = conn->next;
        if (conn->next)
            conn->next->prev = conn->prev;
    } else {
        replace(end, conn, reason);
    }
    event_free(conn->timer);
    conn->timer = NULL;
    h2_conn_free(h2);
    peer_end_unref(end);
}

static void conn_release(struct h2_conn *h2)
{
    free(h2);
}

void peer_conn_retire(struct peer_conn *conn)
{
    struct peer_end *end = conn->end;

    if (conn->is_retired)
        return;
    conn->is_retired = true;
    conn->next = end->retired;
    conn->prev = &end->retired;
    if (conn->next)
        conn->next->prev = &conn->next;
    end->retired = conn;
    (void)nghttp2_submit_goaway(conn->h2.session, NGHTTP2_FLAG_NONE, 0, NGHTTP2_NO_ERROR, NULL,
                                0); // else it ends by the peer
    h2_conn_flush_later(&conn->h2);
    replace(end, conn, "retired by peer");
}

void peer_conn_on_settings(struct peer_conn *conn)
{
    if (conn->up_ns || conn->is_retired)
        return;
    conn->up_ns = ch_now_ns();
    set_timer(conn->timer, PING_AFTER_NS);
    set_state(conn->end, PEER_UP, NULL);
}

/* ---- keeping alive ---- */

static void ping(struct peer_conn *conn)
{
    conn->ping_ns = ch_now_ns();
    (void)nghttp2_submit_ping(conn->h2.session, NGHTTP2_FLAG_NONE, NULL); // unsent is as unanswered
    h2_conn_flush_later(&conn->h2);
    set_timer(conn->timer, PING_WAIT_NS);
}

static void on_conn_timer(evutil_socket_t fd, short events, void *arg)
{
    struct peer_conn *conn = arg;
    int64_t silent_ns = ch_now_ns() - conn->h2.read_ns;
    bool is_asked = conn->ping_ns > conn->h2.read_ns;

    (void)fd;
    (void)events;
    if (!conn->up_ns)
        h2_conn_end(&conn->h2, "connect timeout");
    else if (is_asked)
        h2_conn_end(&conn->h2, "no answer to ping");
    else if (silent_ns >= PING_AFTER_NS)
        ping(conn);
    else
        set_timer(conn->timer, PING_AFTER_NS - silent_ns);
}

void peer_conn_probe(struct peer_conn *conn, int64_t since_ns)
{
    if (conn->h2.read_ns < since_ns && conn->ping_ns <= conn->h2.read_ns)
        ping(conn);
}

/* ---- connecting ---- */

static enum ch_err session_new(struct peer_conn *conn, nghttp2_session **ret_session)
{
    static const nghttp2_settings_entry settings[] = {
        {NGHTTP2_SETTINGS_ENABLE_PUSH, 0},
        {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, 1024 * 1024},
        {NGHTTP2_SETTINGS_NO_RFC7540_PRIORITIES, 1},
    };
    nghttp2_session_callbacks *callbacks = peer_callbacks_new();
    nghttp2_session *session = NULL;

    if (!callbacks || nghttp2_session_client_new(&session, callbacks, conn))
        session = NULL;
    nghttp2_session_callbacks_del(callbacks);
    if (!session)
        return CH_ERR_NO_MEMORY;
    if (nghttp2_submit_settings(session, NGHTTP2_FLAG_NONE, settings, sizeof(settings) / sizeof(settings[0])) ||
        nghttp2_session_set_local_window_size(session, NGHTTP2_FLAG_NONE, 0, 4 * 1024 * 1024)) {
        nghttp2_session_del(session);
        return CH_ERR_NO_MEMORY;
    }
    *ret_session = session;
    return CH_OK;
}

// -1: this address cannot be reached.
static int socket_to(const struct ch_address *address)
{
    int fd = socket(address->storage.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    if (fd < 0)
        return -1;
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int)); // only slower without
    if (connect(fd, (const struct sockaddr *)&address->storage, address->len) == 0 || errno == EINPROGRESS)
        return fd;
    (void)close(fd);
    return -1;
}

static enum ch_err conn_open(struct peer_end *end, int fd)
{
    struct ch_loop *loop = end->peer->loop;
    struct peer_conn *conn = calloc(1, sizeof(*conn));
    nghttp2_session *session = NULL;

    if (!conn) {
        (void)close(fd);
        return CH_ERR_NO_MEMORY;
    }
    conn->end = end;
    conn->h2 = (struct h2_conn){.fd = fd, .on_end = on_conn_end, .release = conn_release};
    conn->timer = event_new(ch_loop_base(loop), -1, 0, on_conn_timer, conn);
    if (!conn->timer || session_new(conn, &session) || h2_conn_open(&conn->h2, loop, fd, session)) {
        if (conn->timer)
            event_free(conn->timer);
        h2_conn_free(&conn->h2);
        return CH_ERR_NO_MEMORY;
    }
    end->conn = conn;
    end->refs++;
    set_timer(conn->timer, CONNECT_NS);
    h2_conn_flush_later(&conn->h2); // the preface waits until the socket is connected
    return CH_OK;
}

static void end_connect(struct peer_end *end)
{
    int fd = end->is_gone ? -1 : socket_to(&end->address);

    if (fd < 0 || conn_open(end, fd))
        connect_later(end, "connection failed");
}

void peer_end_hurry(struct peer_end *end)
{
    if (end->state != PEER_DOWN || end->conn || end->is_gone)
        return;
    (void)event_del(end->retry);
    set_state(end, PEER_CONNECTING, NULL);
    end_connect(end);
}

/* ---- life ---- */

static void text_of(const struct ch_address *address, char *ret_text, size_t size)
{
    char host[INET6_ADDRSTRLEN] = "";
    const struct sockaddr_in *v4 = (const struct sockaddr_in *)&address->storage;
    const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)&address->storage;
    const bool is_v6 = address->storage.ss_family == AF_INET6;

    (void)inet_ntop(address->storage.ss_family, is_v6 ? (const void *)&v6->sin6_addr : (const void *)&v4->sin_addr,
                    host,
                    sizeof(host)); // fits
    (void)snprintf(ret_text, size, is_v6 ? "[%s]:%d" : "%s:%d", host, ntohs(is_v6 ? v6->sin6_port : v4->sin_port));
}

bool peer_end_is_at(const struct peer_end *end, const struct ch_address *address)
{
    char text[sizeof(end->text)];

    text_of(address, text, sizeof(text));
    return strcmp(end->text, text) == 0;
}

struct peer_end *peer_end_new(struct peer_name *name, const struct ch_address *address)
{
    struct peer_end *end = calloc(1, sizeof(*end));

    if (!end)
        return NULL;
    end->peer = name->peer;
    end->name = name;
    end->id = ++name->peer->last_id;
    end->address = *address;
    end->refs = 1;
    text_of(address, end->text, sizeof(end->text));
    end->retry = event_new(ch_loop_base(name->peer->loop), -1, 0, on_retry, end);
    if (!end->retry) {
        free(end);
        return NULL;
    }
    ch_breaker_init(&end->breaker, end->peer->name, end->text);
    end_connect(end);
    return end;
}

static void end_free(struct peer_end *end)
{
    event_free(end->retry);
    free(end);
}

void peer_end_unref(struct peer_end *end)
{
    end->refs--;
    if (end->refs == 1 && end->is_gone && end->is_listed)
        peer_forget(end); // comes back here
    else if (end->refs == 0)
        end_free(end);
}

static void end_leave(struct peer_end *end)
{
    end->is_gone = true;
    (void)event_del(end->retry);
    ch_breaker_release(&end->breaker);
    if (end->state == PEER_UP)
        ch_gauge_add(end->peer->up_gauge, -1);
    end->state = PEER_DOWN;
}

void peer_end_drop(struct peer_end *end)
{
    struct peer_conn *conn = end->conn;

    end->refs++; // until this is done
    ch_log(CH_LOG_INFO, NULL, "grpc.peer_gone", CH_LS("peer", end->peer->name), CH_LS("address", end->text));
    end_leave(end);
    if (conn && conn->up_ns)
        peer_conn_retire(conn);
    else if (conn)
        h2_conn_end(&conn->h2, "address is gone");
    peer_end_unref(end);
}

void peer_end_stop(struct peer_end *end)
{
    end->refs++; // as above
    if (!end->is_gone)
        end_leave(end);
    peer_forget(end);
    if (end->conn)
        h2_conn_end(&end->conn->h2, "client stops");
    while (end->retired)
        h2_conn_end(&end->retired->h2, "client stops");
    peer_end_unref(end);
}
