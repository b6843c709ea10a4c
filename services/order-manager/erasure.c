// SPDX-License-Identifier: Apache-2.0
// Takes a person out of the orders. The wish is a row that is committed first and stays; the work is done in short
// transactions by whoever comes: the request itself, then a job. Each transaction tells the others which orders lost
// their person, and names nobody. It must never touch an order whose box has not arrived.
#include "erasure.h"

#include "ch/audit.h"
#include "queries.h"
#include "tables.h"

enum { STEP_ORDERS = 200, EVENT_DATA_MAX = 16 * 1024 };

static enum ch_err audit_add(struct ch_tx *tx, const char *action, struct ch_uuid account_id)
{
    const struct ch_audit entry = {.action = action, .subject = ch_str_of(ch_arena_uuid(tx->ctx->arena, account_id))};

    return ch_audit_add(tx, Q_AUDIT_INSERT, &entry);
}

static void account_argument(struct ch_pg_args *args, struct ch_ctx *ctx, struct ch_uuid account_id)
{
    ch_pg_args_init(args, ctx);
    ch_pg_uuid(args, account_id);
}

static void erasure_from_row(struct ch_arena *arena, const struct ch_pg_rows *rows, struct erasure *ret_erasure)
{
    *ret_erasure = (struct erasure){0};
    if (ch_pg_count(rows) == 0)
        return;
    *ret_erasure = (struct erasure){.state = ch_pg_copy_str(rows, 0, 0, arena),
                                    .requested_at_us = ch_pg_get_time(rows, 0, 1),
                                    .finished_at_us = ch_pg_get_time(rows, 0, 2),
                                    .orders = ch_pg_get_int(rows, 0, 3)};
}

enum ch_err erasure_find_wait(struct ch_ctx *ctx, struct ch_uuid account_id, struct erasure *ret_erasure)
{
    struct ch_pg_rows *rows CH_PG_ROWS = NULL;
    struct ch_pg_args args;

    account_argument(&args, ctx, account_id);
    const enum ch_err err = ch_pg_run_wait(ctx, Q_ERASURE_FIND, &args, &rows);
    if (!err)
        erasure_from_row(ctx->arena, rows, ret_erasure);
    return err;
}

// ---- the wish

// Each open order by its number: the buyer's own, and what he has to wait for or cancel.
static enum ch_err check_open_wait(struct ch_tx *tx, const struct ch_pg_args *args)
{
    struct ch_pg_rows *rows CH_PG_ROWS = NULL;
    enum ch_err err = ch_tx_run_wait(tx, Q_ERASURE_OPEN_ORDERS, args, &rows);

    if (err)
        return err;
    for (size_t i = 0; i < ch_pg_count(rows); i++)
        err = ch_fail(tx->ctx, CH_ERR_ORDERS_OPEN, "", "order_open", "주문 %.*s이(가) 아직 끝나지 않았습니다",
                      CH_STR_ARG(ch_pg_get_str(rows, i, 0)));
    return err;
}

static enum ch_err store_wish_wait(struct ch_ctx *ctx, struct ch_uuid account_id)
{
    struct ch_tx tx CH_TX = {0};
    struct ch_pg_args args;
    enum ch_err err;

    account_argument(&args, ctx, account_id);
    err = ch_tx_begin_wait(ctx, &tx);
    if (!err)
        err = check_open_wait(&tx, &args);
    if (!err)
        err = ch_tx_send(&tx, Q_ERASURE_REQUEST, &args);
    if (!err)
        err = audit_add(&tx, "account.erasure_requested", account_id);
    return err ? err : ch_tx_commit_wait(&tx);
}

enum ch_err erasure_request_wait(struct ch_ctx *ctx, struct erasure *ret_erasure)
{
    const struct ch_uuid account_id = ctx->identity->id;
    enum ch_err err = erasure_find_wait(ctx, account_id, ret_erasure);

    if (err || ret_erasure->state.data)
        return err;
    err = store_wish_wait(ctx, account_id);
    if (err)
        return err;
    CH_IGNORE(erasure_work_wait(ctx)); // what is left, or fails, is the job's
    return erasure_find_wait(ctx, account_id, ret_erasure);
}

// ---- the work

// contracts/asyncapi.yaml, data of order.erased.v1
static enum ch_err tell(struct ch_tx *tx, const struct ch_pg_rows *orders)
{
    struct ch_arena *arena = tx->ctx->arena;
    struct ch_buf text;
    struct ch_jw jw;

    ch_buf_init(&text, EVENT_DATA_MAX);
    ch_jw_init(&jw, &text);
    ch_jw_object(&jw);
    ch_jw_key(&jw, "orderIds");
    ch_jw_array(&jw);
    for (size_t i = 0; i < ch_pg_count(orders); i++)
        ch_jw_uuid(&jw, ch_pg_get_uuid(orders, i, 0));
    ch_jw_array_end(&jw);
    ch_jw_object_end(&jw);
    return ch_outbox_add(tx, "order.erased.v1", ch_str_of(ch_arena_uuid(arena, ch_pg_get_uuid(orders, 0, 0))),
                         ch_buf_take(&text, arena));
}

// Some orders of the account; the last step is the end of it.
static enum ch_err step_account_wait(struct ch_tx *tx, struct ch_uuid account_id)
{
    struct ch_pg_rows *rows CH_PG_ROWS = NULL;
    struct ch_pg_args args;
    enum ch_err err;

    account_argument(&args, tx->ctx, account_id);
    ch_pg_int4(&args, STEP_ORDERS);
    err = ch_tx_run_wait(tx, Q_ERASURE_STEP, &args, &rows);
    if (!err && ch_pg_count(rows) > 0)
        err = tell(tx, rows);
    if (err || ch_pg_count(rows) == STEP_ORDERS)
        return err;
    account_argument(&args, tx->ctx, account_id);
    err = ch_tx_send(tx, Q_ERASURE_FINISH, &args);
    return err ? err : audit_add(tx, "account.erased", account_id);
}

static enum ch_err step_wait(struct ch_ctx *ctx, bool *ret_is_over)
{
    struct ch_pg_rows *rows CH_PG_ROWS = NULL;
    struct ch_tx tx CH_TX = {0};
    enum ch_err err = ch_tx_begin_wait(ctx, &tx);

    *ret_is_over = true;
    if (!err)
        err = ch_tx_run_wait(&tx, Q_ERASURE_NEXT, NULL, &rows);
    if (err || ch_pg_count(rows) == 0)
        return err;
    err = step_account_wait(&tx, ch_pg_get_uuid(rows, 0, 0));
    if (!err)
        err = ch_tx_commit_wait(&tx);
    if (err)
        return err;
    ch_outbox_wake();
    *ret_is_over = false;
    return CH_OK;
}

enum ch_err erasure_work_wait(struct ch_ctx *ctx)
{
    return job_steps_wait(ctx, step_wait);
}

enum ch_err erasure_reopen_wait(struct ch_ctx *ctx)
{
    return ch_pg_run_wait(ctx, Q_ERASURE_REOPEN, NULL, NULL);
}
