// SPDX-License-Identifier: Apache-2.0
// Deliveries in the database: reading and locking. Writing stands in delivery_write.c.
#include "delivery_store.h"

#include "ch/audit.h"
#include "queries.h"

#include <inttypes.h>

static enum tracking_type tracking_from(struct ch_str name)
{
    for (int i = 0; i < TRACKING_TYPE_COUNT; i++)
        if (ch_str_is(name, tracking_rows[i].name))
            return (enum tracking_type)i;
    return TRACKING_CANCELLED;
}

// Columns of delivery_find_batch and the two locks, in their order.
enum {
    COL_ORDER_ID,
    COL_DELIVERY_ID,
    COL_BUYER_ID,
    COL_FARM_IDS,
    COL_STATUS,
    COL_LAST_EVENT,
    COL_SEQUENCE,
    COL_CARRIER,
    COL_INVOICE_NO,
    COL_REGION,
    COL_CREATED,
    COL_UPDATED
};

static void delivery_from_row(struct ch_arena *arena, const struct ch_pg_rows *rows, size_t row,
                              struct delivery *delivery)
{
    *delivery = (struct delivery){
        .order_id = ch_pg_get_uuid(rows, row, COL_ORDER_ID),
        .delivery_id = ch_pg_get_uuid(rows, row, COL_DELIVERY_ID),
        .buyer_id = ch_pg_get_uuid(rows, row, COL_BUYER_ID),
        .farm_ids = ch_pg_copy_str(rows, row, COL_FARM_IDS, arena),
        .status = (enum delivery_status)ch_pg_get_name(rows, row, COL_STATUS, delivery_status_names),
        .last_event = tracking_from(ch_pg_get_str(rows, row, COL_LAST_EVENT)),
        .sequence = ch_pg_get_int(rows, row, COL_SEQUENCE),
        .carrier = ch_pg_copy_str(rows, row, COL_CARRIER, arena),
        .invoice_no = ch_pg_copy_str(rows, row, COL_INVOICE_NO, arena),
        .region = ch_pg_copy_str(rows, row, COL_REGION, arena),
        .created_at_us = ch_pg_get_time(rows, row, COL_CREATED),
        .updated_at_us = ch_pg_get_time(rows, row, COL_UPDATED),
    };
}

static enum ch_err deliveries_from_rows(struct ch_arena *arena, const struct ch_pg_rows *rows,
                                        struct delivery **ret_deliveries, size_t *ret_count)
{
    const size_t count = ch_pg_count(rows);
    struct delivery *deliveries = ch_arena_array(arena, count, sizeof(*deliveries));

    if (count && !deliveries)
        return CH_ERR_NO_MEMORY;
    for (size_t i = 0; i < count; i++)
        delivery_from_row(arena, rows, i, &deliveries[i]);
    *ret_deliveries = deliveries;
    *ret_count = count;
    return CH_OK;
}

// Events of many deliveries after a sequence, ordered by order and sequence.
static enum ch_err load_events_wait(struct ch_ctx *ctx, const struct ch_uuid *ids, size_t count, int64_t after,
                                    struct tracking_event **ret_events, size_t *ret_count)
{
    struct ch_pg_rows *rows CH_PG_ROWS = NULL;
    struct ch_pg_args args;

    ch_pg_args_init(&args, ctx);
    ch_pg_uuid_array(&args, ids, count);
    ch_pg_int4(&args, (int32_t)after);
    enum ch_err err = ch_pg_run_wait(ctx, Q_TRACKING_EVENTS_OF, &args, &rows);
    if (err)
        return err;
    const size_t found = ch_pg_count(rows);
    struct tracking_event *events = ch_arena_array(ctx->arena, found, sizeof(*events));
    if (found && !events)
        return CH_ERR_NO_MEMORY;
    for (size_t i = 0; i < found; i++)
        events[i] = (struct tracking_event){
            .order_id = ch_pg_get_uuid(rows, i, 0),
            .sequence = ch_pg_get_int(rows, i, 1),
            .type = ch_pg_copy_str(rows, i, 2, ctx->arena),
            .status = ch_pg_copy_str(rows, i, 3, ctx->arena),
            .location = ch_pg_copy_str(rows, i, 4, ctx->arena),
            .message = ch_pg_copy_str(rows, i, 5, ctx->arena),
            .at_us = ch_pg_get_time(rows, i, 6),
        };
    *ret_events = events;
    *ret_count = found;
    return CH_OK;
}

enum ch_err delivery_find_wait(struct ch_ctx *ctx, const struct ch_uuid *order_ids, size_t count,
                               struct delivery **ret_deliveries, size_t *ret_count)
{
    struct ch_pg_rows *rows CH_PG_ROWS = NULL;
    struct tracking_event *events;
    struct delivery *deliveries;
    struct ch_pg_args args;
    size_t found, event_count;

    ch_pg_args_init(&args, ctx);
    ch_pg_uuid_array(&args, order_ids, count);
    enum ch_err err = ch_pg_run_wait(ctx, Q_DELIVERY_FIND_BATCH, &args, &rows);
    if (err)
        return err;
    err = deliveries_from_rows(ctx->arena, rows, &deliveries, &found);
    if (err)
        return err;
    err = load_events_wait(ctx, order_ids, count, 0, &events, &event_count);
    if (err)
        return err;
    for (size_t i = 0; i < found; i++) {
        size_t first = 0;
        while (first < event_count && !ch_uuid_eq(events[first].order_id, deliveries[i].order_id))
            first++;
        deliveries[i].events = events + first;
        while (first < event_count && ch_uuid_eq(events[first].order_id, deliveries[i].order_id)) {
            deliveries[i].event_count++;
            first++;
        }
    }
    *ret_deliveries = deliveries;
    *ret_count = found;
    return CH_OK;
}

enum ch_err tracking_after_wait(struct ch_ctx *ctx, struct ch_uuid order_id, int64_t after,
                                struct tracking_event **ret_events, size_t *ret_count)
{
    return load_events_wait(ctx, &order_id, 1, after, ret_events, ret_count);
}

enum ch_err delivery_lock_wait(struct ch_tx *tx, struct ch_uuid order_id, struct delivery *ret_delivery)
{
    struct ch_pg_rows *rows CH_PG_ROWS = NULL;
    struct ch_pg_args args;

    ch_pg_args_init(&args, tx->ctx);
    ch_pg_uuid(&args, order_id);
    enum ch_err err = ch_tx_run_wait(tx, Q_DELIVERY_LOCK, &args, &rows);
    if (err)
        return err;
    if (ch_pg_count(rows) == 0)
        return CH_ERR_NOT_FOUND;
    delivery_from_row(tx->ctx->arena, rows, 0, ret_delivery);
    return CH_OK;
}

enum ch_err delivery_lock_due_wait(struct ch_tx *tx, size_t max, struct delivery **ret_deliveries, size_t *ret_count)
{
    struct ch_pg_rows *rows CH_PG_ROWS = NULL;
    struct ch_pg_args args;

    ch_pg_args_init(&args, tx->ctx);
    ch_pg_int4(&args, (int32_t)max);
    enum ch_err err = ch_tx_run_wait(tx, Q_DELIVERY_LOCK_DUE, &args, &rows);
    if (err)
        return err;
    return deliveries_from_rows(tx->ctx->arena, rows, ret_deliveries, ret_count);
}

enum ch_err delivery_tombstone_wait(struct ch_tx *tx, struct ch_uuid order_id)
{
    struct ch_pg_args args;

    ch_pg_args_init(&args, tx->ctx);
    ch_pg_uuid(&args, order_id);
    return ch_tx_run_wait(tx, Q_DELIVERY_TOMBSTONE, &args, NULL);
}

// ---- the simulated clock
// -----------------------------------------------------------------------------------------------

enum ch_err simulation_get_wait(struct ch_ctx *ctx, struct simulation *ret_simulation)
{
    struct ch_pg_rows *rows CH_PG_ROWS = NULL;
    struct ch_pg_args args;

    ch_pg_args_init(&args, ctx);
    enum ch_err err = ch_pg_run_wait(ctx, Q_SIMULATION_GET, &args, &rows);
    if (err)
        return err;
    if (ch_pg_count(rows) == 0)
        return CH_ERR_NOT_FOUND;
    *ret_simulation = (struct simulation){
        .is_paused = ch_pg_get_bool(rows, 0, 0),
        .speed = ch_pg_get_double(rows, 0, 1),
        .ready_mean_s = ch_pg_get_int(rows, 0, 2),
        .route_mean_s = ch_pg_get_int(rows, 0, 3),
    };
    return CH_OK;
}

enum ch_err simulation_set_wait(struct ch_ctx *ctx, const struct simulation *simulation)
{
    struct ch_tx tx CH_TX = {0};
    struct ch_pg_args args;
    enum ch_err err;

    ch_pg_args_init(&args, ctx);
    ch_pg_bool(&args, simulation->is_paused);
    ch_pg_double(&args, simulation->speed);
    ch_pg_int4(&args, (int32_t)simulation->ready_mean_s);
    ch_pg_int4(&args, (int32_t)simulation->route_mean_s);
    const struct ch_audit entry = {
        .action = "simulation.set",
        .subject = CH_STR("simulation"),
        .detail = ch_str_of(ch_arena_printf(ctx->arena, "paused=%d speed=%g readyMeanS=%" PRId64 " routeMeanS=%" PRId64,
                                            simulation->is_paused, simulation->speed, simulation->ready_mean_s,
                                            simulation->route_mean_s)),
    };
    err = ch_tx_begin_wait(ctx, &tx);
    if (!err)
        err = ch_tx_send(&tx, Q_SIMULATION_SET, &args);
    if (!err)
        err = ch_audit_add(&tx, Q_AUDIT_INSERT, &entry);
    return err ? err : ch_tx_commit_wait(&tx);
}

enum ch_err simulation_init_wait(struct ch_ctx *ctx, const struct simulation *simulation)
{
    struct ch_pg_args args;

    ch_pg_args_init(&args, ctx);
    ch_pg_double(&args, simulation->speed);
    ch_pg_int4(&args, (int32_t)simulation->ready_mean_s);
    ch_pg_int4(&args, (int32_t)simulation->route_mean_s);
    return ch_pg_run_wait(ctx, Q_SIMULATION_INIT, &args, NULL);
}
