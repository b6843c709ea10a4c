// SPDX-License-Identifier: Apache-2.0
/*
 * The connections of one loop and who gets which: readers are shared by all fibers, a writer belongs to one statement
 * or transaction at a time. Who waits is served in order, and no more wait than stated. While a group has no connection
 * its calls fail at once; only the very first connect is waited for. A writer is given on only when nothing is in
 * flight on it and it is outside any transaction.
 */
#include "pg_internal.h"

#include <assert.h>
#include <stdlib.h>

/* ---- waiting
 * ------------------------------------------------------------------------------------------------------------ */

static void waiter_remove(struct ch_pg_group *group, struct ch_pg_waiter *waiter)
{
    *waiter->link = waiter->next;
    if (waiter->next)
        waiter->next->link = waiter->link;
    else
        group->last = waiter->link;
    waiter->link = NULL;
    group->waiting--;
}

/* Ends the wait of the first who still waits; `conn` is its own then. False: nobody does. */
static bool waiter_wake(struct ch_pg_group *group, struct ch_pg_conn *conn, enum ch_err result)
{
    while (group->first) {
        struct ch_pg_waiter *waiter = group->first;

        waiter_remove(group, waiter);
        if (waiter->wait.is_done) /* its deadline came first; it just has not run since */
            continue;
        waiter->conn = conn;
        if (conn)
            conn->owner = &waiter->conn;
        ch_wake(&waiter->wait, result);
        return true;
    }
    return false;
}

static enum ch_err group_wait(struct ch_pg *pg, struct ch_pg_group *group, int64_t limit_ns,
                              struct ch_pg_conn **ret_conn)
{
    struct ch_pg_waiter waiter = {.link = group->last};
    int64_t first_limit_ns = ch_now_ns() + CH_PG_FIRST_WAIT_NS;
    bool is_first = group->ready == 0;
    enum ch_err err;

    if (is_first && !group->is_starting)
        return CH_ERR_UNAVAILABLE;
    if (group->waiting >= pg->options.waiting_max)
        return CH_ERR_OVERLOADED;
    *group->last = &waiter;
    group->last = &waiter.next;
    group->waiting++;
    ch_gauge_add(pg->pending, 1);
    err = ch_wait(&waiter.wait, is_first && first_limit_ns < limit_ns ? first_limit_ns : limit_ns);
    ch_gauge_add(pg->pending, -1);
    if (waiter.link)
        waiter_remove(group, &waiter);
    if (err == CH_ERR_DEADLINE && is_first && first_limit_ns < limit_ns)
        return CH_ERR_UNAVAILABLE;
    *ret_conn = waiter.conn;
    return err;
}

/* ---- readers
 * ------------------------------------------------------------------------------------------------------------ */

static struct ch_pg_conn *reader_pick(struct ch_pg_group *group)
{
    struct ch_pg_conn *best = NULL;

    for (size_t i = 0; i < group->count; i++)
        if (group->conns[i].state == CH_PG_READY && (!best || group->conns[i].in_flight < best->in_flight))
            best = &group->conns[i];
    return best;
}

enum ch_err ch_pg_reader_wait(struct ch_pg *pg, int64_t limit_ns, struct ch_pg_conn **ret_conn)
{
    struct ch_pg_conn *conn = reader_pick(&pg->readers);

    if (!conn) {
        enum ch_err err = group_wait(pg, &pg->readers, limit_ns, &conn);

        if (err)
            return err;
        conn = reader_pick(&pg->readers);
    }
    if (!conn) /* it came and went */
        return CH_ERR_UNAVAILABLE;
    *ret_conn = conn;
    return CH_OK;
}

/* ---- writers
 * ------------------------------------------------------------------------------------------------------------ */

static const enum ch_pg_gauge gauge_of[] = {
    [CH_PG_SHARED] = CH_PG_GAUGE_SHARED,
    [CH_PG_IDLE] = CH_PG_GAUGE_IDLE,
    [CH_PG_TAKEN] = CH_PG_GAUGE_USED,
    [CH_PG_DRAINING] = CH_PG_GAUGE_USED,
};

static void use_set(struct ch_pg_conn *conn, enum ch_pg_use use)
{
    ch_pg_gauge(conn->pg, gauge_of[conn->use], -1);
    conn->use = use;
    ch_pg_gauge(conn->pg, gauge_of[use], 1);
}

/* The next owner finds it as after connecting. */
static void writer_offer(struct ch_pg_conn *conn)
{
    struct ch_pg_group *group = conn->group;

    conn->tx_err = CH_OK;
    conn->has_begun = false;
    conn->rollbacks = 0;
    use_set(conn, CH_PG_TAKEN);
    if (waiter_wake(group, conn, CH_OK))
        return;
    use_set(conn, CH_PG_IDLE);
    conn->next_idle = group->idle;
    group->idle = conn;
}

static void idle_remove(struct ch_pg_conn *conn)
{
    struct ch_pg_conn **link = &conn->group->idle;

    while (*link && *link != conn)
        link = &(*link)->next_idle;
    if (*link)
        *link = conn->next_idle;
}

enum ch_err ch_pg_writer_wait(struct ch_pg *pg, int64_t limit_ns, struct ch_pg_conn **ret_conn)
{
    struct ch_pg_group *group = &pg->writers;
    struct ch_pg_conn *conn = group->idle;
    enum ch_err err;

    if (conn) {
        group->idle = conn->next_idle;
        use_set(conn, CH_PG_TAKEN);
    } else {
        err = group_wait(pg, group, limit_ns, &conn);
        if (err)
            return err;
        if (!conn) /* it broke between the hand-over and this fiber's turn */
            return CH_ERR_UNAVAILABLE;
    }
    *ret_conn = conn;
    conn->owner = ret_conn;
    return CH_OK;
}

/* False: it cannot leave its transaction. */
static bool writer_settle(struct ch_pg_conn *conn)
{
    if (PQtransactionStatus(conn->pq) == PQTRANS_IDLE && conn->unsynced == 0) {
        writer_offer(conn);
        return true;
    }
    use_set(conn, CH_PG_DRAINING);
    if (conn->rollbacks++ >= 2)
        return false;
    return ch_pg_pipe_send(conn, CH_PG_ROLLBACK, NULL, NULL) && ch_pg_pipe_sync(conn, NULL);
}

void ch_pg_writer_give(struct ch_pg_conn *conn)
{
    assert(conn->use == CH_PG_TAKEN && conn->state == CH_PG_READY);
    conn->tx = NULL;
    conn->owner = NULL;
    if (conn->unsynced && !ch_pg_pipe_sync(conn, NULL)) {
        ch_pg_conn_break(conn, "connection lost");
        return;
    }
    use_set(conn, CH_PG_DRAINING);
    if (ch_pg_pipe_is_empty(conn) && !writer_settle(conn))
        ch_pg_conn_break(conn, "roll back failed");
}

bool ch_pg_pool_on_settled(struct ch_pg_conn *conn)
{
    return conn->use != CH_PG_DRAINING || writer_settle(conn);
}

/* ---- up and down
 * -------------------------------------------------------------------------------------------------------- */

bool ch_pg_is_up(const struct ch_pg *pg)
{
    return (pg->readers.ready || !pg->readers.count) && (pg->writers.ready || !pg->writers.count);
}

void ch_pg_pool_on_ready(struct ch_pg_conn *conn)
{
    struct ch_pg *pg = conn->pg;
    struct ch_pg_group *group = conn->group;

    group->ready++;
    group->is_starting = false;
    ch_pg_gauge(pg, CH_PG_GAUGE_CONNECTING, -1);
    ch_pg_gauge(pg, group->is_shared ? CH_PG_GAUGE_SHARED : CH_PG_GAUGE_IDLE, 1);
    if (pg->is_failure_logged && ch_pg_is_up(pg)) {
        pg->is_failure_logged = false;
        ch_log(CH_LOG_INFO, NULL, "pg.up", CH_LI("loop", ch_loop_index(pg->loop)));
    }
    if (!group->is_shared) {
        writer_offer(conn);
        return;
    }
    while (waiter_wake(group, NULL, CH_OK))
        ;
}

void ch_pg_pool_on_down(struct ch_pg_conn *conn, bool was_ready)
{
    struct ch_pg_group *group = conn->group;

    if (was_ready) {
        idle_remove(conn);
        if (!group->is_shared)
            use_set(conn, CH_PG_IDLE);
        ch_pg_gauge(conn->pg, group->is_shared ? CH_PG_GAUGE_SHARED : CH_PG_GAUGE_IDLE, -1);
        ch_pg_gauge(conn->pg, CH_PG_GAUGE_CONNECTING, 1);
        group->ready--;
    }
    group->is_starting = false;
    while (group->ready == 0 && waiter_wake(group, NULL, CH_ERR_UNAVAILABLE))
        ;
}

/* ---- birth and end
 * ------------------------------------------------------------------------------------------------------ */

/* End of the turn: what this turn's fibers asked for leaves with one Sync; what transactions sent ahead leaves too. */
static void on_turn_end(void *arg)
{
    struct ch_pg *pg = arg;

    if (pg->is_freed) {
        free(pg);
        return;
    }
    for (size_t i = 0; i < pg->readers.count; i++) {
        struct ch_pg_conn *conn = &pg->readers.conns[i];

        if (conn->unsynced && conn->state == CH_PG_READY && !ch_pg_pipe_sync(conn, NULL))
            ch_pg_conn_break(conn, "connection lost");
    }
    for (size_t i = 0; i < pg->writers.count; i++) {
        struct ch_pg_conn *conn = &pg->writers.conns[i];

        if (conn->unsynced && conn->state == CH_PG_READY && !ch_pg_pipe_flush(conn))
            ch_pg_conn_break(conn, "connection lost");
    }
}

static bool group_init(struct ch_pg_group *group, struct ch_pg *pg, size_t count, bool is_shared)
{
    group->last = &group->first;
    group->is_shared = is_shared;
    group->is_starting = true;
    group->conns = calloc(count ? count : 1, sizeof(*group->conns));
    if (!group->conns)
        return false;
    for (group->count = 0; group->count < count;)
        if (!ch_pg_conn_init(&group->conns[group->count++], pg, group)) /* counted first: release finds it */
            return false;
    return true;
}

static void group_start(struct ch_pg *pg, struct ch_pg_group *group)
{
    group->is_started = true;
    ch_pg_gauge(pg, CH_PG_GAUGE_CONNECTING, (int)group->count);
    for (size_t i = 0; i < group->count; i++)
        ch_pg_conn_start(&group->conns[i]);
}

static bool options_copy(struct ch_pg *pg, const struct ch_pg_options *options)
{
    pg->options = *options;
    pg->options.uri = strdup(options->uri);
    pg->options.application_name = options->application_name ? strdup(options->application_name) : NULL;
    while (options->queries[pg->query_count].name)
        pg->query_count++;
    return pg->options.uri && (pg->options.application_name || !options->application_name);
}

static bool pg_init(struct ch_pg *pg, const struct ch_pg_options *options)
{
    const char *why = "memory is short";

    pg->flush.fn = on_turn_end;
    pg->flush.arg = pg;
    if (options_copy(pg, options) && ch_pg_uri_hosts(options->uri, pg->hosts, &pg->host_count, &why) &&
        ch_pg_stats_init(pg) && group_init(&pg->readers, pg, options->readers, true) &&
        group_init(&pg->writers, pg, options->writers, false))
        return true;
    ch_log(CH_LOG_ERROR, NULL, "pg.bad_options", CH_LS("why", why));
    return false;
}

struct ch_pg *ch_pg_new(struct ch_loop *loop, const struct ch_pg_options *options)
{
    struct ch_pg *pg = calloc(1, sizeof(*pg));

    if (!pg)
        return NULL;
    pg->loop = loop;
    if (!pg_init(pg, options)) {
        ch_pg_free(pg);
        return NULL;
    }
    group_start(pg, &pg->readers);
    group_start(pg, &pg->writers);
    return pg;
}

static void group_release(struct ch_pg_group *group)
{
    for (size_t i = 0; group->conns && i < group->count; i++) {
        struct ch_pg_conn *conn = &group->conns[i];

        if (group->is_started)
            ch_pg_gauge(conn->pg, conn->state == CH_PG_READY ? gauge_of[conn->use] : CH_PG_GAUGE_CONNECTING, -1);
        ch_pg_conn_release(conn);
    }
    free(group->conns);
}

void ch_pg_free(struct ch_pg *pg)
{
    if (!pg)
        return;
    assert(!pg->readers.first && !pg->writers.first);
    group_release(&pg->readers);
    group_release(&pg->writers);
    for (int i = 0; i < CH_PG_HOSTS_MAX; i++)
        free(pg->hosts[i]);
    free((char *)pg->options.uri);
    free((char *)pg->options.application_name);
    free(pg->series);
    pg->is_freed = true;
    if (!pg->flush.is_armed)
        free(pg);
}
