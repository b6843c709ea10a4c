// SPDX-License-Identifier: Apache-2.0
// The connection to one peer: made at once, kept alive, remade. What follows from each way in which it can fail stands
// here and nowhere else:
//   never came up        next address, then backoff; known down
//   lost or GOAWAY       another at once if it had been good for a while, else backoff
//   silent               PING, then lost
// It must never make a caller wait for a peer that is known to be down, and never hammer one that refuses.
#include "grpc_peer.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#define MS_NS          1000000ll
#define LOOKUP_NS      (5000 * MS_NS)
#define CONNECT_NS     (1000 * MS_NS)
#define PING_AFTER_NS  (10000 * MS_NS)
#define PING_WAIT_NS   (2000 * MS_NS)
#define BACKOFF_MIN_NS (50 * MS_NS)
#define BACKOFF_MAX_NS (1000 * MS_NS)
#define GOOD_AFTER_NS  (1000 * MS_NS) // so long up: the next loss is not a loop

static const struct ch_metric up_metric = {
    .name = "rpc_client_connections",
    .type = CH_GAUGE,
    .help = "Connections to gRPC peers that take calls",
    .labels = {"peer"},
};

static void connect_next(struct ch_peer *peer);

/* ---- states ---- */

static void set_timer(struct event *timer, int64_t in_ns)
{
    struct timeval when = {.tv_sec = in_ns / 1000000000, .tv_usec = in_ns % 1000000000 / 1000};

    (void)event_add(timer, &when); // for a timer: fails only when memory is short
}

// The one place where the state changes.
static void set_state(struct ch_peer *peer, enum peer_state state, const char *reason)
{
    enum peer_state before = peer->state;

    peer->state = state;
    if (state == before)
        return;
    ch_gauge_add(peer->up_gauge, (state == PEER_UP) - (before == PEER_UP));
    if (state == PEER_UP) {
        ch_log(CH_LOG_INFO, NULL, "grpc.peer_up", CH_LS("peer", peer->name));
        ch_queue_wake_all(&peer->waiting, CH_OK);
    }
    if (state == PEER_DOWN) {
        ch_log(CH_LOG_WARN, NULL, "grpc.peer_down", CH_LS("peer", peer->name), CH_LS("reason", reason));
        ch_queue_wake_all(&peer->waiting, CH_ERR_UNAVAILABLE);
    }
}

static void on_resolved(void *arg, enum ch_err err, const struct ch_addresses *addresses);

static void connect_anew(struct ch_peer *peer)
{
    if (peer->is_freed)
        return;
    peer->is_resolving = true;
    set_timer(peer->retry, LOOKUP_NS);
    ch_resolve_start(peer->resolver, peer->host, peer->port, on_resolved, peer);
}

// Half of the delay is fixed, half by chance, so that many clients do not come back at once.
static void connect_later(struct ch_peer *peer, const char *reason)
{
    int64_t next = peer->backoff_ns * 2;
    uint32_t chance;

    if (peer->is_freed)
        return;
    set_state(peer, PEER_DOWN, reason);
    next = next < BACKOFF_MIN_NS ? BACKOFF_MIN_NS : next > BACKOFF_MAX_NS ? BACKOFF_MAX_NS : next;
    peer->backoff_ns = next;
    ch_random(&chance, sizeof(chance));
    set_timer(peer->retry, next / 2 + (int64_t)((double)next / 2 * chance / UINT32_MAX));
}

// The backoff has passed, or the lookup has lasted too long.
static void on_retry(evutil_socket_t fd, short events, void *arg)
{
    struct ch_peer *peer = arg;

    (void)fd;
    (void)events;
    if (!peer->is_resolving) {
        connect_anew(peer);
        return;
    }
    peer->is_resolving = false;
    connect_later(peer, "no answer from DNS");
}

static void on_resolved(void *arg, enum ch_err err, const struct ch_addresses *addresses)
{
    struct ch_peer *peer = arg;

    if (!peer->is_resolving) // too late
        return;
    peer->is_resolving = false;
    (void)event_del(peer->retry);
    if (err) {
        connect_later(peer, "name not resolved");
        return;
    }
    peer->addresses = *addresses;
    peer->address_at = 0;
    connect_next(peer);
}

/* ---- a connection ---- */

// The current connection takes no more calls, because it ended or was retired.
static void replace(struct ch_peer *peer, const struct peer_conn *conn, const char *reason)
{
    peer->conn = NULL;
    if (!conn->up_ns && peer->address_at < peer->addresses.count) {
        connect_next(peer);
    } else if (conn->up_ns && ch_now_ns() - conn->up_ns >= GOOD_AFTER_NS) {
        peer->backoff_ns = 0;
        set_state(peer, PEER_CONNECTING, reason);
        connect_anew(peer);
    } else {
        connect_later(peer, reason);
    }
}

static void on_conn_end(struct h2_conn *h2, const char *reason)
{
    struct peer_conn *conn = (struct peer_conn *)h2;
    struct ch_peer *peer = conn->peer;

    while (conn->calls)
        peer_call_lost(conn->calls);
    if (conn->is_retired) {
        *conn->prev = conn->next;
        if (conn->next)
            conn->next->prev = conn->prev;
    } else if (!peer->is_freed) {
        replace(peer, conn, reason);
    } else {
        peer->conn = NULL;
    }
    event_free(conn->timer);
    conn->timer = NULL;
    h2_conn_free(h2);
}

static void conn_release(struct h2_conn *h2)
{
    free(h2);
}

void peer_conn_retire(struct peer_conn *conn)
{
    struct ch_peer *peer = conn->peer;

    if (conn->is_retired)
        return;
    conn->is_retired = true;
    conn->next = peer->retired;
    conn->prev = &peer->retired;
    if (conn->next)
        conn->next->prev = &conn->next;
    peer->retired = conn;
    (void)nghttp2_submit_goaway(conn->h2.session, NGHTTP2_FLAG_NONE, 0, NGHTTP2_NO_ERROR, NULL,
                                0); // else it ends by the peer
    h2_conn_flush_later(&conn->h2);
    replace(peer, conn, "retired by peer");
}

void peer_conn_on_settings(struct peer_conn *conn)
{
    struct ch_peer *peer = conn->peer;

    if (conn->up_ns || conn->is_retired)
        return;
    conn->up_ns = ch_now_ns();
    set_state(peer, PEER_UP, NULL);
    set_timer(conn->timer, PING_AFTER_NS);
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

static enum ch_err conn_open(struct ch_peer *peer, int fd)
{
    struct peer_conn *conn = calloc(1, sizeof(*conn));
    nghttp2_session *session = NULL;

    if (!conn) {
        (void)close(fd);
        return CH_ERR_NO_MEMORY;
    }
    conn->peer = peer;
    conn->h2 = (struct h2_conn){.fd = fd, .on_end = on_conn_end, .release = conn_release};
    conn->timer = event_new(ch_loop_base(peer->loop), -1, 0, on_conn_timer, conn);
    if (!conn->timer || session_new(conn, &session) || h2_conn_open(&conn->h2, peer->loop, fd, session)) {
        if (conn->timer)
            event_free(conn->timer);
        h2_conn_free(&conn->h2);
        return CH_ERR_NO_MEMORY;
    }
    peer->conn = conn;
    set_timer(conn->timer, CONNECT_NS);
    h2_conn_flush_later(&conn->h2); // the preface waits until the socket is connected
    return CH_OK;
}

static void connect_next(struct ch_peer *peer)
{
    while (peer->address_at < peer->addresses.count) {
        int fd = socket_to(&peer->addresses.list[peer->address_at++]);

        if (fd >= 0 && conn_open(peer, fd) == CH_OK)
            return;
    }
    connect_later(peer, "connection failed");
}

/* ---- life ---- */

static void peer_release(struct ch_peer *peer)
{
    ch_resolver_free(peer->resolver);
    if (peer->retry)
        event_free(peer->retry);
    free(peer->series);
    free(peer->name);
    free(peer->authority);
    free(peer);
}

void peer_leave(struct ch_peer *peer)
{
    peer->in_flight--;
    if (peer->is_freed && peer->in_flight == 0)
        peer_release(peer);
}

struct ch_peer *ch_peer_new(struct ch_loop *loop, const struct ch_peer_options *options)
{
    struct ch_peer *peer = calloc(1, sizeof(*peer));

    if (!peer)
        return NULL;
    peer->loop = loop;
    peer->name = strdup(options->name);
    peer->authority = strdup(options->address);
    peer->bearer = options->bearer;
    peer->in_flight_max = options->in_flight_max;
    peer->resolver = ch_resolver_new(loop);
    peer->retry = event_new(ch_loop_base(loop), -1, 0, on_retry, peer);
    ch_queue_init(&peer->waiting, options->in_flight_max);
    if (!peer->name || !peer->authority || !peer->resolver || !peer->retry ||
        ch_address_split(ch_str_of(options->address), peer->host, &peer->port)) {
        peer_release(peer);
        return NULL;
    }
    peer->up_gauge = ch_series_get(&up_metric, (const char *const[]){peer->name, NULL});
    connect_anew(peer);
    return peer;
}

bool ch_peer_is_up(const struct ch_peer *peer)
{
    return peer->state == PEER_UP;
}

void ch_peer_free(struct ch_peer *peer)
{
    if (!peer)
        return;
    peer->is_freed = true;
    peer->in_flight++; // until all is taken down
    ch_resolver_free(peer->resolver);
    peer->resolver = NULL;
    (void)event_del(peer->retry);
    if (peer->conn)
        h2_conn_end(&peer->conn->h2, "client stops");
    while (peer->retired)
        h2_conn_end(&peer->retired->h2, "client stops");
    if (peer->state == PEER_UP)
        ch_gauge_add(peer->up_gauge, -1);
    peer->state = PEER_DOWN;
    ch_queue_wake_all(&peer->waiting, CH_ERR_UNAVAILABLE);
    peer_leave(peer);
}
