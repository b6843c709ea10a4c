// SPDX-License-Identifier: Apache-2.0
/*
 * The life of one connection, driven by events of its loop:
 *
 *   DOWN -> (RESOLVING) -> CONNECTING -> PREPARING -> READY
 *     ^--------------- ch_pg_conn_break -------------'   pause of 50 ms .. 1 s with jitter, then again
 *
 * Whatever goes wrong ends in ch_pg_conn_break, the only place that closes. Nothing here blocks; libpq is given
 * addresses, never names. A connection whose oldest statement gets no answer within the cap is closed: its server
 * hangs.
 */
#include "pg_internal.h"

#include <stdlib.h>

static void timer_set(struct ch_pg_conn *conn, int64_t delay_ns)
{
    struct timeval delay = {.tv_sec = delay_ns / 1000000000, .tv_usec = delay_ns % 1000000000 / 1000};

    (void)event_add(conn->timer, &delay); /* the base exists and evtimers need no descriptor */
}

static void event_drop(struct event **event)
{
    if (*event)
        event_free(*event);
    *event = NULL;
}

/* ---- ready: results and room to write
 * ---------------------------------------------------------------------------------- */

static void on_setup_done(struct ch_pg_conn *conn)
{
    conn->state = CH_PG_READY;
    conn->attempt = 0;
    (void)event_del(conn->timer); /* of connecting */
    ch_pg_pool_on_ready(conn);
}

static void on_readable(evutil_socket_t fd, short events, void *arg)
{
    struct ch_pg_conn *conn = arg;
    bool is_alive = PQconsumeInput(conn->pq);

    (void)fd;
    (void)events;
    if (!ch_pg_pipe_drain(conn) || !is_alive || PQstatus(conn->pq) != CONNECTION_OK) {
        ch_pg_conn_break(conn, conn->is_setup_failed ? "setup failed" : "connection lost");
        return;
    }
    if (!ch_pg_pipe_is_empty(conn))
        return;
    if (conn->state == CH_PG_PREPARING)
        on_setup_done(conn);
    else if (!ch_pg_pool_on_settled(conn))
        ch_pg_conn_break(conn, "roll back failed");
}

static void on_writable(evutil_socket_t fd, short events, void *arg)
{
    struct ch_pg_conn *conn = arg;

    (void)fd;
    (void)events;
    if (!ch_pg_pipe_flush(conn))
        ch_pg_conn_break(conn, "connection lost");
}

void ch_pg_conn_watch(struct ch_pg_conn *conn)
{
    conn->progress_ns = ch_now_ns();
    if (conn->state == CH_PG_READY && !evtimer_pending(conn->timer, NULL))
        timer_set(conn, conn->pg->options.statement_timeout_ns);
}

static void on_watch(struct ch_pg_conn *conn)
{
    int64_t left_ns = conn->progress_ns + conn->pg->options.statement_timeout_ns - ch_now_ns();

    if (ch_pg_pipe_is_empty(conn))
        return;
    if (left_ns > 0)
        timer_set(conn, left_ns);
    else
        ch_pg_conn_break(conn, "no answer in time");
}

/* ---- connecting
 * --------------------------------------------------------------------------------------------------------- */

static bool setup_send(struct ch_pg_conn *conn)
{
    const struct ch_query *queries = conn->pg->options.queries;
    char timeout_text[CH_PG_TIMEOUT_TEXT];
    const char *values[CH_PG_SETTINGS];

    ch_pg_settings(conn->group->is_shared, conn->pg->options.statement_timeout_ns, timeout_text, values);
    if (!ch_pg_pipe_configure(conn, values))
        return false;
    for (int own = CH_PG_BEGIN; own > CH_PG_SETUP; own--)
        if (!ch_pg_pipe_prepare(conn, ch_pg_own_queries[-1 - own].name, ch_pg_own_queries[-1 - own].sql, own))
            return false;
    for (int query = 0; query < conn->pg->query_count; query++)
        if (!ch_pg_pipe_prepare(conn, queries[query].name, queries[query].sql, query))
            return false;
    return ch_pg_pipe_sync(conn, NULL);
}

static void on_connected(struct ch_pg_conn *conn)
{
    struct event_base *base = ch_loop_base(conn->pg->loop);
    int fd = PQsocket(conn->pq);

    conn->state = CH_PG_PREPARING;
    conn->is_setup_failed = false;
    conn->readable = event_new(base, fd, EV_READ | EV_PERSIST, on_readable, conn);
    conn->writable = event_new(base, fd, EV_WRITE, on_writable, conn);
    if (!conn->readable || !conn->writable || event_add(conn->readable, NULL) || PQsetnonblocking(conn->pq, 1) ||
        !PQenterPipelineMode(conn->pq) || !setup_send(conn))
        ch_pg_conn_break(conn, "setup failed");
}

static void on_connecting(evutil_socket_t fd, short events, void *arg);

/* libpq may have changed the socket: the event is made anew for every step. */
static void connecting_step(struct ch_pg_conn *conn, PostgresPollingStatusType step)
{
    short events = step == PGRES_POLLING_READING ? EV_READ : EV_WRITE;

    if (step == PGRES_POLLING_OK) {
        on_connected(conn);
        return;
    }
    if (step == PGRES_POLLING_FAILED) {
        ch_pg_conn_break(conn, "connect failed");
        return;
    }
    conn->connecting = event_new(ch_loop_base(conn->pg->loop), PQsocket(conn->pq), events, on_connecting, conn);
    if (!conn->connecting || event_add(conn->connecting, NULL))
        ch_pg_conn_break(conn, "connect failed");
}

static void on_connecting(evutil_socket_t fd, short events, void *arg)
{
    struct ch_pg_conn *conn = arg;

    (void)fd;
    (void)events;
    event_drop(&conn->connecting);
    connecting_step(conn, PQconnectPoll(conn->pq));
}

void ch_pg_conn_connect(struct ch_pg_conn *conn, const char *host, const char *hostaddr)
{
    const struct ch_pg_options *options = &conn->pg->options;

    conn->state = CH_PG_CONNECTING;
    conn->pq =
        ch_pg_connect_start(options->uri, options->application_name, host, hostaddr, options->statement_timeout_ns);
    if (!conn->pq || PQstatus(conn->pq) == CONNECTION_BAD)
        ch_pg_conn_break(conn, "connect failed");
    else
        connecting_step(conn, PGRES_POLLING_WRITING);
}

void ch_pg_conn_start(struct ch_pg_conn *conn)
{
    timer_set(conn, CH_PG_CONNECT_NS);
    if (conn->pg->host_count == 0) {
        ch_pg_conn_connect(conn, NULL, NULL);
        return;
    }
    conn->state = CH_PG_RESOLVING;
    if (ch_pg_lookup_start(conn))
        ch_pg_conn_break(conn, "lookup failed");
}

/* ---- down
 * --------------------------------------------------------------------------------------------------------------- */

static void conn_close(struct ch_pg_conn *conn)
{
    conn->state = CH_PG_DOWN;
    ch_pg_lookup_forget(conn);
    event_drop(&conn->connecting);
    event_drop(&conn->readable);
    event_drop(&conn->writable);
    ch_pg_pipe_fail(conn);
    if (conn->tx)
        conn->tx->is_failed = true;
    if (conn->owner) /* finds out at its next step */
        *conn->owner = NULL;
    conn->tx = NULL;
    conn->owner = NULL;
    PQfinish(conn->pq);
    conn->pq = NULL;
}

static int64_t pause_ns(struct ch_pg_conn *conn)
{
    int64_t most_ns = CH_PG_BACKOFF_MIN_NS << (conn->attempt < 5 ? conn->attempt : 5);
    uint32_t random;

    conn->attempt++;
    if (most_ns > CH_PG_BACKOFF_MAX_NS)
        most_ns = CH_PG_BACKOFF_MAX_NS;
    ch_random(&random, sizeof(random));
    return most_ns / 2 + most_ns / 2 * (random % 1024) / 1024;
}

/* Once for the pool, until it is up again: each connection of each loop would say the same every second. */
static void failure_log(struct ch_pg_conn *conn, const char *why, bool was_ready)
{
    bool is_new = was_ready || !conn->pg->is_failure_logged;

    conn->pg->is_failure_logged = true;
    if (is_new)
        ch_log(CH_LOG_WARN, NULL, was_ready ? "pg.connection_lost" : "pg.connect_failed", CH_LS("why", why),
               CH_LI("loop", ch_loop_index(conn->pg->loop)), CH_LB("shared", conn->group->is_shared),
               CH_LS("detail", was_ready || !conn->pq ? "" : PQerrorMessage(conn->pq)));
}

void ch_pg_conn_break(struct ch_pg_conn *conn, const char *why)
{
    bool was_ready = conn->state == CH_PG_READY;

    failure_log(conn, why, was_ready);
    conn_close(conn);
    timer_set(conn, pause_ns(conn));
    ch_pg_pool_on_down(conn, was_ready);
}

static void on_timer(evutil_socket_t fd, short events, void *arg)
{
    struct ch_pg_conn *conn = arg;

    (void)fd;
    (void)events;
    switch (conn->state) {
    case CH_PG_DOWN:
        ch_pg_conn_start(conn);
        break;
    case CH_PG_READY:
        on_watch(conn);
        break;
    case CH_PG_RESOLVING:
    case CH_PG_CONNECTING:
    case CH_PG_PREPARING:
        ch_pg_conn_break(conn, "connect took too long");
        break;
    }
}

/* ---- birth and end
 * ---------------------------------------------------------------------------------------------------- */

bool ch_pg_conn_init(struct ch_pg_conn *conn, struct ch_pg *pg, struct ch_pg_group *group)
{
    size_t least = (size_t)pg->query_count + CH_PG_OWN_COUNT + 2; /* the setup must fit */

    conn->pg = pg;
    conn->group = group;
    conn->use = group->is_shared ? CH_PG_SHARED : CH_PG_IDLE;
    for (conn->slots_max = group->is_shared ? 2 * CH_PG_IN_FLIGHT_MAX : 512; conn->slots_max < least;)
        conn->slots_max *= 2;
    conn->slots = calloc(conn->slots_max, sizeof(*conn->slots));
    conn->timer = evtimer_new(ch_loop_base(pg->loop), on_timer, conn);
    return conn->slots && conn->timer;
}

void ch_pg_conn_release(struct ch_pg_conn *conn)
{
    if (conn->pg)
        conn_close(conn);
    event_drop(&conn->timer);
    free(conn->slots);
    conn->slots = NULL;
}
