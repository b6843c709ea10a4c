// SPDX-License-Identifier: Apache-2.0
// Holds in the database after they were made: given back or sold.
#include "ch/point.h"
#include "hold.h"
#include "ids.h"
#include "product_cache.h"
#include "queries.h"

enum { ATTEMPTS = 4 };

// One round trip. CH_ERR_CONFLICT: one of the orders was just being reserved; look again.
static enum ch_err release_write_wait(struct ch_tx *tx, const struct ch_uuid *ids, size_t count, struct ch_str reason,
                                      struct ch_pg_rows **ret_rows)
{
    struct ch_pg_args args;
    enum ch_err err;

    ch_pg_args_init(&args, tx->ctx);
    ch_pg_uuid_array(&args, ids, count);
    err = ch_tx_send(tx, Q_RELEASE_LOCK, &args);
    if (err)
        return err;
    ch_pg_text(&args, reason);
    err = ch_tx_run_wait(tx, Q_RELEASE_WRITE, &args, ret_rows);
    if (err)
        return err;
    return ch_pg_get_int(*ret_rows, 0, 0) == (int64_t)count ? CH_OK : CH_ERR_CONFLICT;
}

static void drop_pages(const struct ch_pg_rows *rows)
{
    for (size_t i = 0; i < ch_pg_count(rows); i++)
        if (!ch_pg_is_null(rows, i, 1))
            product_cache_drop(ch_pg_get_uuid(rows, i, 1));
}

static enum ch_err release_once_wait(struct ch_ctx *ctx, const struct ch_uuid *ids, size_t count, struct ch_str reason)
{
    struct ch_pg_rows *rows CH_PG_ROWS = NULL;
    struct ch_tx tx CH_TX = {0};
    enum ch_err err;

    err = ch_tx_begin_wait(ctx, &tx);
    if (err)
        return err;
    err = release_write_wait(&tx, ids, count, reason, &rows);
    if (err)
        return err;
    err = CH_POINT(RELEASE_BEFORE_COMMIT);
    if (err)
        return err;
    err = ch_tx_commit_wait(&tx);
    drop_pages(rows); // also after a failure: the commit may have happened
    return err ? err : CH_POINT(RELEASE_COMMITTED);
}

enum ch_err hold_release_in_wait(struct ch_tx *tx, struct ch_uuid *ids, size_t count, struct ch_str reason)
{
    struct ch_pg_rows *rows CH_PG_ROWS = NULL;

    tx->ctx->step = "give stock back";
    count = ids_sort_unique(ids, count);
    const enum ch_err err = release_write_wait(tx, ids, count, reason, &rows);
    if (!err)
        drop_pages(rows); // before the caller's commit: who reads between the two keeps the old page for its second
    return err;
}

enum ch_err hold_release_wait(struct ch_ctx *ctx, struct ch_uuid *ids, size_t count, struct ch_str reason)
{
    enum ch_err err = CH_ERR_CONFLICT;

    count = ids_sort_unique(ids, count);
    ctx->step = "give stock back";
    for (int attempt = 0; attempt < ATTEMPTS && (err == CH_ERR_CONFLICT || err == CH_ERR_DUPLICATE); attempt++)
        err = release_once_wait(ctx, ids, count, reason);
    return err;
}

enum ch_err hold_forget_buyers_in_wait(struct ch_tx *tx, struct ch_uuid *ids, size_t count)
{
    struct ch_pg_args args;
    enum ch_err err;

    tx->ctx->step = "forget buyers";
    count = ids_sort_unique(ids, count);
    ch_pg_args_init(&args, tx->ctx);
    ch_pg_uuid_array(&args, ids, count);
    err = ch_tx_send(tx, Q_RELEASE_LOCK, &args);
    return err ? err : ch_tx_run_wait(tx, Q_HOLDS_FORGET_BUYERS, &args, NULL);
}

enum ch_err hold_sold_wait(struct ch_ctx *ctx, const struct ch_uuid *ids, size_t count)
{
    struct ch_pg_args args;

    ch_pg_args_init(&args, ctx);
    ch_pg_uuid_array(&args, ids, count);
    enum ch_err err = CH_POINT(RESOLVE_BEFORE_SOLD);
    if (!err)
        err = ch_pg_run_wait(ctx, Q_HOLDS_SOLD, &args, NULL);
    return err ? err : CH_POINT(RESOLVE_SOLD);
}

enum ch_err hold_expired_wait(struct ch_ctx *ctx, int32_t limit, struct ch_uuid **ret_ids, size_t *ret_count)
{
    struct ch_pg_rows *rows CH_PG_ROWS = NULL;
    struct ch_pg_args args;

    ch_pg_args_init(&args, ctx);
    ch_pg_int4(&args, limit);
    enum ch_err err = ch_pg_run_wait(ctx, Q_HOLDS_EXPIRED, &args, &rows);
    if (err)
        return err;
    const size_t count = ch_pg_count(rows);
    struct ch_uuid *ids = ch_arena_array(ctx->arena, count, sizeof(*ids));
    if (count && !ids)
        return CH_ERR_NO_MEMORY;
    for (size_t i = 0; i < count; i++)
        ids[i] = ch_pg_get_uuid(rows, i, 0);
    *ret_ids = ids;
    *ret_count = count;
    return CH_OK;
}

enum ch_err stock_violations_wait(struct ch_ctx *ctx, int64_t *ret_count)
{
    struct ch_pg_rows *rows CH_PG_ROWS = NULL;
    struct ch_pg_args args;

    ch_pg_args_init(&args, ctx);
    enum ch_err err = ch_pg_run_wait(ctx, Q_STOCK_VIOLATIONS, &args, &rows);
    if (err)
        return err;
    *ret_count = ch_pg_get_int(rows, 0, 0);
    return CH_OK;
}

enum ch_err ledger_turn_wait(struct ch_ctx *ctx, int64_t keep_months, int64_t *ret_dropped)
{
    struct ch_pg_rows *rows CH_PG_ROWS = NULL;
    struct ch_pg_args args;

    ch_pg_args_init(&args, ctx);
    ch_pg_int4(&args, (int32_t)keep_months);
    enum ch_err err = ch_pg_run_wait(ctx, Q_LEDGER_TURN, &args, &rows);
    if (err)
        return err;
    *ret_dropped = ch_pg_get_int(rows, 0, 0);
    return CH_OK;
}
