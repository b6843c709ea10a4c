// SPDX-License-Identifier: Apache-2.0
/*
 * Transactions: a writer of one's own from begin to commit. BEGIN leaves with the first statement and COMMIT with
 * whatever was sent before it, so that send, send, commit is one round trip. After a failure the transaction only
 * answers with that failure; its cleanup starts the roll back and never waits for it: the connection goes back to the
 * pool when it is done.
 */
#include "pg_internal.h"

#include <assert.h>

enum ch_err ch_tx_begin_wait(struct ch_ctx *ctx, struct ch_tx *tx)
{
    struct ch_pg *pg = ctx->pg;
    struct ch_pg_op op;
    enum ch_err err;

    assert(pg && !tx->conn);
    ch_pg_op_begin(&op, pg, ctx, CH_PG_BEGIN);
    err = op.limit_ns <= op.start_ns ? CH_ERR_DEADLINE : ch_pg_writer_wait(pg, op.limit_ns, &tx->conn);
    tx->ctx = ctx;
    tx->is_failed = err != CH_OK;
    if (!err)
        tx->conn->tx = tx;
    return ch_pg_op_end(&op, err, NULL);
}

/* Why nothing more may be sent. */
static enum ch_err tx_check(struct ch_tx *tx)
{
    if (!tx->conn) { /* lost, or ended already: that is a mistake of the caller, but a harmless one */
        tx->is_failed = true;
        return CH_ERR_UNAVAILABLE;
    }
    if (tx->is_failed || tx->conn->tx_err) {
        tx->is_failed = true;
        return tx->conn->tx_err ? tx->conn->tx_err : CH_ERR_INTERNAL;
    }
    return CH_OK;
}

/* What stands in the way of one more statement. A Sync and the COMMIT always have room. */
static enum ch_err tx_check_statement(struct ch_tx *tx, const struct ch_pg_args *args)
{
    enum ch_err err = tx_check(tx);

    if (err)
        return err;
    if (args && args->is_broken)
        return CH_ERR_NO_MEMORY;
    if (!ch_pg_pipe_has_room(tx->conn, args))
        return CH_ERR_OVERLOADED;
    return CH_OK;
}

/* Remembers the first failure: nothing more is sent, and commit answers with it. */
static enum ch_err tx_fail(struct ch_tx *tx, enum ch_err err)
{
    tx->is_failed = true;
    if (tx->conn && !tx->conn->tx_err)
        tx->conn->tx_err = err;
    return err;
}

static bool tx_send(struct ch_pg_conn *conn, int query, const struct ch_pg_args *args, struct ch_pg_call *call)
{
    if (!conn->has_begun) {
        if (!ch_pg_pipe_send(conn, CH_PG_BEGIN, NULL, NULL))
            return false;
        conn->has_begun = true;
    }
    return ch_pg_pipe_send(conn, query, args, call);
}

enum ch_err ch_tx_send(struct ch_tx *tx, int query, const struct ch_pg_args *args)
{
    struct ch_pg_conn *conn = tx->conn;
    enum ch_err err = tx_check_statement(tx, args);

    if (err)
        return tx_fail(tx, err);
    assert(query >= 0 && query < conn->pg->query_count);
    if (!tx_send(conn, query, args, NULL)) {
        ch_pg_conn_break(conn, "connection lost");
        return CH_ERR_UNAVAILABLE;
    }
    ch_loop_at_turn_end(conn->pg->loop, &conn->pg->flush); /* the server may begin; the Sync comes with a wait */
    return CH_OK;
}

/* Sends with a Sync and waits. A fiber that leaves early leaves a failed transaction behind. */
static enum ch_err tx_wait(struct ch_tx *tx, struct ch_pg_op *op, struct ch_pg_call *call)
{
    struct ch_pg_conn *conn = tx->conn;

    if (op->limit_ns <= op->start_ns)
        return CH_ERR_DEADLINE;
    if (!tx_send(conn, call->query, call->args, call) || !ch_pg_pipe_sync(conn, call->is_until_sync ? call : NULL)) {
        ch_pg_conn_break(conn, "connection lost");
        return CH_ERR_UNAVAILABLE;
    }
    return ch_pg_call_wait(op, call);
}

enum ch_err ch_tx_run_wait(struct ch_tx *tx, int query, const struct ch_pg_args *args, struct ch_pg_rows **ret_rows)
{
    struct ch_pg_call call = {.ctx = tx->ctx, .query = query, .args = args};
    enum ch_err err = tx_check_statement(tx, args);
    struct ch_pg_op op;

    if (err)
        return tx_fail(tx, err);
    assert(query >= 0 && query < tx->conn->pg->query_count);
    ch_pg_op_begin(&op, tx->conn->pg, tx->ctx, query);
    err = tx_wait(tx, &op, &call);
    ch_pg_call_give(&call, err, ret_rows);
    err = ch_pg_op_end(&op, err, call.sqlstate);
    return err ? tx_fail(tx, err) : CH_OK;
}

enum ch_err ch_tx_commit_wait(struct ch_tx *tx)
{
    struct ch_pg_call call = {.ctx = tx->ctx, .query = CH_PG_COMMIT, .is_until_sync = true};
    enum ch_err err = tx_check(tx);
    struct ch_pg_op op;

    if (err)
        return tx_fail(tx, err);
    if (!tx->conn->has_begun) { /* nothing was asked for */
        ch_tx_cleanup(tx);
        return CH_OK;
    }
    ch_pg_op_begin(&op, tx->conn->pg, tx->ctx, CH_PG_COMMIT);
    err = tx_wait(tx, &op, &call);
    /* A transaction that had failed answers COMMIT with ROLLBACK, and no error. */
    if (!err && strcmp(PQcmdStatus(call.result), "COMMIT") != 0)
        err = tx->conn && tx->conn->tx_err ? tx->conn->tx_err : CH_ERR_INTERNAL;
    ch_pg_call_give(&call, err, NULL);
    err = ch_pg_op_end(&op, err, call.sqlstate);
    if (err)
        return tx_fail(tx, err);
    ch_tx_cleanup(tx);
    return CH_OK;
}

void ch_tx_cleanup(struct ch_tx *tx)
{
    struct ch_pg_conn *conn = tx->conn;

    tx->conn = NULL;
    if (!conn)
        return;
    ch_pg_writer_give(conn); /* rolls back what is still open */
}
