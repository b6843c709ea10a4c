// SPDX-License-Identifier: Apache-2.0
/*
 * One statement from a fiber: a read joins the shared pipeline, a write takes a connection for itself and counts only
 * when its Sync is answered, for it commits there. The fiber may leave early (deadline, cancel); the statement then
 * runs to its end without it.
 */
#include "pg_internal.h"

#include <assert.h>

enum ch_err ch_pg_call_wait(struct ch_pg_op *op, struct ch_pg_call *call)
{
    enum ch_err err = ch_wait(&call->wait, op->limit_ns);

    if (!err)
        return call->err;
    if (call->conn)
        ch_pg_pipe_forget(call->conn, call);
    return err;
}

void ch_pg_call_give(struct ch_pg_call *call, enum ch_err err, struct ch_pg_rows **ret_rows)
{
    if (!err && ret_rows)
        *ret_rows = (struct ch_pg_rows *)call->result;
    else
        PQclear(call->result);
}

static enum ch_err read_run(struct ch_pg_op *op, struct ch_pg_call *call)
{
    struct ch_pg_conn *conn;
    enum ch_err err = ch_pg_reader_wait(op->pg, op->limit_ns, &conn);

    if (err)
        return err;
    if (!ch_pg_pipe_has_room(conn, call->args))
        return CH_ERR_OVERLOADED;
    if (!ch_pg_pipe_send(conn, call->query, call->args, call)) {
        ch_pg_conn_break(conn, "connection lost");
        return CH_ERR_UNAVAILABLE;
    }
    ch_loop_at_turn_end(op->pg->loop, &op->pg->flush);
    return ch_pg_call_wait(op, call);
}

static enum ch_err write_run(struct ch_pg_op *op, struct ch_pg_call *call)
{
    struct ch_pg_conn *conn; /* NULL when it breaks while this fiber waits */
    enum ch_err err = ch_pg_writer_wait(op->pg, op->limit_ns, &conn);

    if (err)
        return err;
    call->is_until_sync = true;
    if (!ch_pg_pipe_send(conn, call->query, call->args, call) || !ch_pg_pipe_sync(conn, call)) {
        ch_pg_conn_break(conn, "connection lost");
        return CH_ERR_UNAVAILABLE;
    }
    err = ch_pg_call_wait(op, call);
    if (conn)
        ch_pg_writer_give(conn);
    return err;
}

enum ch_err ch_pg_run_wait(struct ch_ctx *ctx, int query, const struct ch_pg_args *args, struct ch_pg_rows **ret_rows)
{
    struct ch_pg *pg = ctx->pg;
    struct ch_pg_call call = {.ctx = ctx, .query = query, .args = args};
    struct ch_pg_op op;
    enum ch_err err;

    assert(pg && query >= 0 && query < pg->query_count);
    if (args && args->is_broken)
        return CH_ERR_NO_MEMORY;
    ch_pg_op_begin(&op, pg, ctx, query);
    if (op.limit_ns <= op.start_ns)
        err = CH_ERR_DEADLINE;
    else if (pg->options.queries[query].is_write)
        err = write_run(&op, &call);
    else
        err = read_run(&op, &call);
    ch_pg_call_give(&call, err, ret_rows);
    return ch_pg_op_end(&op, err, call.sqlstate);
}
