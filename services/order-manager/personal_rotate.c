// SPDX-License-Identifier: Apache-2.0
// Seals anew what older keys sealed. Page by page in the order of the ids, each a short transaction that also moves the
// mark, so it goes on where it was whoever dies. An order that was being placed under the old key in that moment may
// stand behind the mark: hence another pass, until one finds nothing. It must never write over a value that changed
// since it was read, least of all over one that was erased.
#include "personal_rotate.h"

#include "ch/seal.h"
#include "order_personal.h"
#include "queries.h"
#include "tables.h"

enum { PAGE_ROWS = 200 };

static const struct ch_metric resealed_metric = {
    .name = "personal_values_resealed_total",
    .type = CH_COUNTER,
    .help = "Values of personal data that were sealed anew under the current key.",
};

/** Where it stands; the locked row. */
struct rotation {
    int64_t key_id, resealed;
    struct ch_uuid up_to;
    bool is_done;
};

/** Values to be written: what was read, and the same under the current key. */
struct resealing {
    struct ch_uuid *order_id;
    struct ch_str *sealed, *resealed;
    size_t count;
};

static bool resealing_alloc(struct ch_arena *arena, struct resealing *all, size_t max)
{
    all->order_id = ch_arena_array(arena, max, sizeof(*all->order_id));
    all->sealed = ch_arena_array(arena, max, sizeof(*all->sealed));
    all->resealed = ch_arena_array(arena, max, sizeof(*all->resealed));
    return all->order_id && all->sealed && all->resealed;
}

typedef enum ch_err open_value(struct ch_arena *, struct ch_uuid, struct ch_str, struct ch_str *);
typedef enum ch_err seal_value(struct ch_arena *, struct ch_uuid, struct ch_str, struct ch_str *);

// Adds the value if another key than the current one sealed it. One that does not open was logged, and stays.
static enum ch_err add(struct ch_arena *arena, struct resealing *all, struct ch_uuid order_id, struct ch_str sealed,
                       open_value *open_it, seal_value *seal_it)
{
    struct ch_str plain;

    if (!sealed.data || ch_sealed_key_id(sealed) == ch_seal_key_id() || open_it(arena, order_id, sealed, &plain))
        return CH_OK;
    all->order_id[all->count] = order_id;
    all->sealed[all->count] = sealed;
    return seal_it(arena, order_id, plain, &all->resealed[all->count++]);
}

static enum ch_err seal_personal(struct ch_arena *arena, struct ch_uuid order_id, struct ch_str json,
                                 struct ch_str *ret_sealed)
{
    const struct order order = {.order_id = order_id, .personal = json};

    return personal_seal(arena, &order, ret_sealed);
}

static enum ch_err write_wait(struct ch_tx *tx, int query, const struct resealing *all)
{
    struct ch_pg_args args;

    if (all->count == 0)
        return CH_OK;
    ch_pg_args_init(&args, tx->ctx);
    ch_pg_uuid_array(&args, all->order_id, all->count);
    ch_pg_bytea_array(&args, all->sealed, all->count);
    ch_pg_bytea_array(&args, all->resealed, all->count);
    return ch_tx_run_wait(tx, query, &args, NULL);
}

// One page; *ret_is_end when there was none.
static enum ch_err page_wait(struct ch_tx *tx, struct rotation *rotation, bool *ret_is_end)
{
    struct ch_pg_rows *rows CH_PG_ROWS = NULL;
    struct ch_arena *arena = tx->ctx->arena;
    struct resealing orders = {0}, notes = {0};
    struct ch_pg_args args;
    enum ch_err err;

    ch_pg_args_init(&args, tx->ctx);
    ch_pg_uuid(&args, rotation->up_to);
    ch_pg_int4(&args, PAGE_ROWS);
    err = ch_tx_run_wait(tx, Q_PERSONAL_PAGE, &args, &rows);
    if (err)
        return err;
    const size_t count = ch_pg_count(rows);
    if (!resealing_alloc(arena, &orders, count + 1) || !resealing_alloc(arena, &notes, count + 1))
        return CH_ERR_NO_MEMORY;
    for (size_t i = 0; i < count && !err; i++) {
        rotation->up_to = ch_pg_get_uuid(rows, i, 0);
        err = add(arena, &orders, rotation->up_to, ch_pg_get_str(rows, i, 1), personal_open, seal_personal);
        if (!err)
            err =
                add(arena, &notes, rotation->up_to, ch_pg_get_str(rows, i, 2), personal_open_note, personal_seal_note);
    }
    if (!err)
        err = write_wait(tx, Q_PERSONAL_RESEAL, &orders);
    if (!err)
        err = write_wait(tx, Q_PERSONAL_RESEAL_NOTES, &notes);
    rotation->resealed += (int64_t)(orders.count + notes.count);
    ch_count(ch_series_get(&resealed_metric, (const char *const[]){NULL}), (int64_t)(orders.count + notes.count));
    *ret_is_end = count < PAGE_ROWS;
    return err;
}

static enum ch_err lock_wait(struct ch_tx *tx, struct rotation *ret_rotation, bool *ret_is_locked)
{
    struct ch_pg_rows *rows CH_PG_ROWS = NULL;

    const enum ch_err err = ch_tx_run_wait(tx, Q_PERSONAL_ROTATION_LOCK, NULL, &rows);
    if (err)
        return err;
    *ret_is_locked = ch_pg_count(rows) == 1;
    if (*ret_is_locked)
        *ret_rotation = (struct rotation){.key_id = ch_pg_get_int(rows, 0, 0),
                                          .up_to = ch_pg_get_uuid(rows, 0, 1),
                                          .resealed = ch_pg_get_int(rows, 0, 2),
                                          .is_done = ch_pg_get_bool(rows, 0, 3)};
    return CH_OK;
}

static enum ch_err store_wait(struct ch_tx *tx, const struct rotation *rotation)
{
    struct ch_pg_args args;

    ch_pg_args_init(&args, tx->ctx);
    ch_pg_int8(&args, rotation->key_id);
    ch_pg_uuid(&args, rotation->up_to);
    ch_pg_int8(&args, rotation->resealed);
    ch_pg_bool(&args, rotation->is_done);
    const enum ch_err err = ch_tx_run_wait(tx, Q_PERSONAL_ROTATION_SET, &args, NULL);
    return err ? err : ch_tx_commit_wait(tx);
}

// The end of a pass: done when it found nothing, else from the beginning, at the job's next run.
static void end_pass(struct ch_ctx *ctx, struct rotation *rotation)
{
    rotation->is_done = rotation->resealed == 0;
    if (rotation->is_done)
        ch_log(CH_LOG_INFO, &ctx->trace, "personal.rotated", CH_LI("key", rotation->key_id));
    rotation->resealed = 0;
    rotation->up_to = (struct ch_uuid){0};
}

// One short transaction; *ret_is_over when the run is: nothing to do, another instance is at it, the end of a pass.
static enum ch_err step_wait(struct ch_ctx *ctx, bool *ret_is_over)
{
    const int64_t current = ch_seal_key_id();
    struct ch_tx tx CH_TX = {0};
    struct rotation rotation;
    bool is_locked, is_end;
    enum ch_err err;

    *ret_is_over = true;
    err = ch_tx_begin_wait(ctx, &tx);
    if (err)
        return err;
    err = lock_wait(&tx, &rotation, &is_locked);
    if (err || !is_locked)
        return err;
    // A lower id: this instance has not heard of the new key yet.
    if (rotation.key_id > current || (rotation.key_id == current && rotation.is_done))
        return CH_OK;
    if (rotation.key_id != current)
        rotation = (struct rotation){.key_id = current};
    err = page_wait(&tx, &rotation, &is_end);
    if (err)
        return err;
    if (is_end)
        end_pass(ctx, &rotation);
    *ret_is_over = is_end;
    return store_wait(&tx, &rotation);
}

enum ch_err personal_rotate_wait(struct ch_ctx *ctx)
{
    return job_steps_wait(ctx, step_wait);
}
