// SPDX-License-Identifier: Apache-2.0
/*
 * The pipeline of one connection (libpq's pipeline mode): statements go out without waiting, answers come back in the
 * same order and are matched first in, first out. Each expected answer has a slot; a fiber that leaves takes its name
 * off the slot and the answer is thrown away when it comes. Statements between two Syncs share an implicit transaction:
 * a failure aborts those after it, which here only happens to others' reads; they are sent once more, each with a Sync
 * of its own. Nothing here may close the connection: callers do, when told that it is of no use any more.
 */
#include "pg_internal.h"

#include <assert.h>

static struct ch_pg_slot *slot_at(struct ch_pg_conn *conn, uint64_t seq)
{
    return &conn->slots[seq & (conn->slots_max - 1)];
}

static size_t args_bytes(const struct ch_pg_args *args)
{
    size_t bytes = 0;

    for (int i = 0; args && i < args->count; i++)
        bytes += (size_t)args->lengths[i];
    return bytes;
}

/* Two more slots stay free: for this statement's Sync, and for one that sets a resent statement apart. */
bool ch_pg_pipe_has_room(const struct ch_pg_conn *conn, const struct ch_pg_args *args)
{
    return conn->in_flight < CH_PG_IN_FLIGHT_MAX && conn->tail - conn->head + 3 <= conn->slots_max &&
           (conn->in_flight == 0 || conn->bytes + args_bytes(args) <= CH_PG_BYTES_MAX);
}

static struct ch_pg_slot *slot_push(struct ch_pg_conn *conn, int kind, int query, struct ch_pg_call *call)
{
    struct ch_pg_slot *slot = slot_at(conn, conn->tail);

    assert(conn->tail - conn->head < conn->slots_max);
    *slot = (struct ch_pg_slot){.call = call, .query = query, .kind = kind};
    if (call) {
        call->conn = conn;
        call->last = conn->tail;
    }
    if (conn->head == conn->tail)
        ch_pg_conn_watch(conn);
    conn->tail++;
    return slot;
}

static struct ch_pg_slot *statement_push(struct ch_pg_conn *conn, int query, size_t bytes, struct ch_pg_call *call)
{
    struct ch_pg_slot *slot;

    if (call)
        call->first = conn->tail;
    slot = slot_push(conn, CH_PG_SLOT_STATEMENT, query, call);
    slot->bytes = (unsigned)bytes;
    slot->is_observed = false;
    conn->bytes += bytes;
    conn->in_flight++;
    conn->unsynced++;
    return slot;
}

bool ch_pg_pipe_send(struct ch_pg_conn *conn, int query, const struct ch_pg_args *args, struct ch_pg_call *call)
{
    const char *name = ch_pg_query_name(conn->pg, query);

    if (!PQsendQueryPrepared(conn->pq, name, args ? args->count : 0, args ? args->values : NULL,
                             args ? args->lengths : NULL, args ? args->formats : NULL, 1))
        return false;
    struct ch_pg_slot *slot = statement_push(conn, query, args_bytes(args), call);

    // Nobody waits for it and so nobody else will tell how long it took.
    slot->is_observed = !call && query >= 0;
    if (slot->is_observed)
        slot->start_ns = ch_now_ns();
    return true;
}

/* `query` names the slot: what a failed preparation is logged by. */
bool ch_pg_pipe_prepare(struct ch_pg_conn *conn, const char *name, const char *sql, int query)
{
    if (!PQsendPrepare(conn->pq, name, sql, 0, NULL))
        return false;
    (void)statement_push(conn, query, 0, NULL);
    return true;
}

bool ch_pg_pipe_configure(struct ch_pg_conn *conn, const char *const values[CH_PG_SETTINGS])
{
    const struct ch_query *setup = &ch_pg_own_queries[-1 - CH_PG_SETUP];

    if (!PQsendQueryParams(conn->pq, setup->sql, CH_PG_SETTINGS, NULL, values, NULL, NULL, 0))
        return false;
    (void)statement_push(conn, CH_PG_SETUP, 0, NULL);
    return true;
}

bool ch_pg_pipe_flush(struct ch_pg_conn *conn)
{
    int rest = PQflush(conn->pq);

    return rest == 0 || (rest > 0 && event_add(conn->writable, NULL) == 0);
}

bool ch_pg_pipe_sync(struct ch_pg_conn *conn, struct ch_pg_call *call)
{
    if (!PQpipelineSync(conn->pq))
        return false;
    (void)slot_push(conn, CH_PG_SLOT_SYNC, CH_PG_SETUP, call); /* its query is not looked at */
    conn->unsynced = 0;
    return ch_pg_pipe_flush(conn);
}

void ch_pg_pipe_forget(struct ch_pg_conn *conn, struct ch_pg_call *call)
{
    for (uint64_t seq = call->first < conn->head ? conn->head : call->first; seq <= call->last && seq < conn->tail;
         seq++)
        if (slot_at(conn, seq)->call == call)
            slot_at(conn, seq)->call = NULL;
    call->conn = NULL;
}

static void call_done(struct ch_pg_call *call)
{
    ch_wake(&call->wait, CH_OK); /* what came of it stands in call->err */
}

void ch_pg_pipe_fail(struct ch_pg_conn *conn)
{
    for (uint64_t seq = conn->head; seq < conn->tail; seq++) {
        struct ch_pg_slot *slot = slot_at(conn, seq);

        if (!slot->call)
            continue;
        slot->call->err = CH_ERR_UNAVAILABLE;
        slot->call->conn = NULL;
        call_done(slot->call);
    }
    conn->head = conn->tail = 0;
    conn->in_flight = conn->unsynced = conn->bytes = 0;
}

/* ---- answers --------------------------------------------------------------------------------------------------------
 */

static void take_failure(struct ch_pg_conn *conn, struct ch_pg_slot *slot, const PGresult *result)
{
    struct ch_pg_call *call = slot->call;
    struct ch_ctx *ctx = call ? call->ctx : conn->tx ? conn->tx->ctx : NULL;
    int query = slot->kind == CH_PG_SLOT_SYNC && call ? call->query : slot->query;
    char sqlstate[6];
    enum ch_err err;

    if (conn->state == CH_PG_PREPARING) {
        conn->is_setup_failed = true;
        if (conn->pg->is_failure_logged) /* each connection would say it again with each attempt */
            return;
    }
    err = ch_pg_error_take(result, ch_pg_query_name(conn->pg, query), ctx, sqlstate);
    if (conn->tx && !conn->tx_err)
        conn->tx_err = err;
    if (slot->is_observed)
        ch_pg_observe(conn->pg, slot->query, err, ch_now_ns() - slot->start_ns);
    if (!call)
        return;
    call->err = err;
    memcpy(call->sqlstate, sqlstate, sizeof(sqlstate));
}

static void take_success(struct ch_pg_conn *conn, struct ch_pg_slot *slot, PGresult *result)
{
    if (slot->is_observed)
        ch_pg_observe(conn->pg, slot->query, CH_OK, ch_now_ns() - slot->start_ns);
    if (slot->call && !slot->call->result)
        slot->call->result = result;
    else
        PQclear(result);
}

static void statement_pop(struct ch_pg_conn *conn)
{
    conn->bytes -= slot_at(conn, conn->head)->bytes;
    conn->in_flight--;
    conn->head++;
}

/* A read that fell with its neighbour's failure goes out again, apart from all others. */
static bool resend(struct ch_pg_conn *conn, struct ch_pg_call *call)
{
    call->is_resent = true;
    if ((!conn->unsynced || ch_pg_pipe_sync(conn, NULL)) && ch_pg_pipe_send(conn, call->query, call->args, call))
        return ch_pg_pipe_sync(conn, NULL);
    call->err = CH_ERR_UNAVAILABLE; /* it has no slot: nobody else would wake it */
    call->conn = NULL;
    call_done(call);
    return false;
}

/* The head statement has its answer. */
static bool statement_end(struct ch_pg_conn *conn)
{
    struct ch_pg_slot slot = *slot_at(conn, conn->head);
    struct ch_pg_call *call = slot.call;

    statement_pop(conn);
    if (!call)
        return true;
    if (slot.is_aborted && conn->use == CH_PG_SHARED && !call->is_resent)
        return resend(conn, call);
    if (slot.is_aborted && !call->err)
        call->err = conn->tx_err ? conn->tx_err : CH_ERR_INTERNAL;
    if (!call->is_until_sync)
        call_done(call);
    return true;
}

static void sync_end(struct ch_pg_conn *conn)
{
    struct ch_pg_call *call = slot_at(conn, conn->head)->call;

    conn->head++;
    if (call)
        call_done(call);
}

/* One result that libpq has parsed. NULL ends a statement's results, and follows an error that came with a Sync. */
static bool take(struct ch_pg_conn *conn, PGresult *result)
{
    struct ch_pg_slot *slot = slot_at(conn, conn->head);

    if (!result)
        return slot->kind != CH_PG_SLOT_STATEMENT || !slot->has_result || statement_end(conn);
    conn->progress_ns = 0; /* set again by the caller, once for all that came together */
    slot->has_result = true;
    switch (PQresultStatus(result)) {
    case PGRES_TUPLES_OK:
    case PGRES_COMMAND_OK:
    case PGRES_EMPTY_QUERY:
        take_success(conn, slot, result);
        return slot->kind == CH_PG_SLOT_STATEMENT;
    case PGRES_PIPELINE_ABORTED:
        slot->is_aborted = true;
        break;
    case PGRES_PIPELINE_SYNC:
        PQclear(result);
        if (slot->kind != CH_PG_SLOT_SYNC)
            return false;
        sync_end(conn);
        return true;
    case PGRES_FATAL_ERROR:
        take_failure(conn, slot, result);
        break;
    default: /* COPY and single rows are never asked for */
        PQclear(result);
        return false;
    }
    PQclear(result);
    return true;
}

bool ch_pg_pipe_drain(struct ch_pg_conn *conn)
{
    int nothing = 0; /* NULLs in a row: more than two, and libpq and we disagree on what is owed */

    while (conn->head < conn->tail && nothing < 3 && !PQisBusy(conn->pq)) {
        PGresult *result = PQgetResult(conn->pq);

        nothing = result ? 0 : nothing + 1;
        if (!take(conn, result))
            return false;
    }
    if (conn->progress_ns == 0)
        conn->progress_ns = ch_now_ns();
    return nothing < 3 && !conn->is_setup_failed;
}
