// SPDX-License-Identifier: Apache-2.0
// What OrderManager hears: delivery.status-changed moves an order along. An event that is older than what the order
// knows changes nothing; one that runs ahead takes the order through the statuses between, so that the timeline is
// complete.
#include "order.h"
#include "queries.h"
#include "tables.h"

struct status_change {
    struct ch_uuid order_id, delivery_id;
    int status, previous;
    struct ch_str carrier, invoice_no, location;
    int64_t sequence, at_us;
    struct ch_str trace_id;
};

static const char *const delivery_names[] = {"READY", "ON_ROUTE", "DELIVERED", "CANCELLED", NULL};

// What a delivery's status makes of the order; a cancelled delivery follows the order, not the other way round.
static const enum order_status follows[] = {ORDER_PREPARING, ORDER_SHIPPING, ORDER_DELIVERED, ORDER_STATUS_COUNT};

#define AT(member) offsetof(struct status_change, member)

// contracts/asyncapi.yaml, data of delivery.status-changed.v1
static const struct ch_field change_fields[] = {
    {"orderId", CH_FIELD_UUID, AT(order_id)},
    {"deliveryId", CH_FIELD_UUID, AT(delivery_id)},
    {"status", CH_FIELD_ENUM, AT(status), .names = delivery_names},
    {"previous", CH_FIELD_ENUM, AT(previous), .flags = CH_F_OPTIONAL | CH_F_NULLABLE, .names = delivery_names},
    {"carrier", CH_FIELD_STR, AT(carrier), .flags = CH_F_OPTIONAL | CH_F_NULLABLE, .max = 50},
    {"invoiceNo", CH_FIELD_STR, AT(invoice_no), .flags = CH_F_OPTIONAL | CH_F_NULLABLE, .max = 20},
    {"sequence", CH_FIELD_INT, AT(sequence), .min = 1, .max = 1000000},
    {"at", CH_FIELD_TIME, AT(at_us)},
    {"location", CH_FIELD_STR, AT(location), .flags = CH_F_OPTIONAL | CH_F_NULLABLE, .max = 200},
    {0},
};

// One order of the batch as the database has it, and the newest change that counts.
struct followed_order {
    struct ch_uuid order_id;
    enum order_status status;
    int64_t sequence, timeline_seq;
    const struct status_change *last;
};

// Rows to be added to the timeline, one array a column.
struct timeline_rows {
    struct ch_uuid *order_id;
    int32_t *seq;
    struct ch_str *status, *trace_id;
    int64_t *at_us;
    size_t count, max;
};

static bool timeline_rows_alloc(struct ch_arena *arena, struct timeline_rows *rows, size_t max)
{
    rows->order_id = ch_arena_array(arena, max, sizeof(*rows->order_id));
    rows->seq = ch_arena_array(arena, max, sizeof(*rows->seq));
    rows->status = ch_arena_array(arena, max, sizeof(*rows->status));
    rows->trace_id = ch_arena_array(arena, max, sizeof(*rows->trace_id));
    rows->at_us = ch_arena_array(arena, max, sizeof(*rows->at_us));
    rows->max = max;
    return rows->order_id && rows->seq && rows->status && rows->trace_id && rows->at_us;
}

static enum ch_err read_changes(struct ch_ctx *ctx, const struct ch_event *events, size_t count,
                                struct status_change *ret_changes)
{
    for (size_t i = 0; i < count; i++) {
        ret_changes[i] = (struct status_change){0};
        enum ch_err err = ch_json_bind(events[i].data, change_fields, "/data", &ctx->faults, &ret_changes[i], NULL);
        if (err)
            return err;
        // The trace id stands between the first two hyphens of the traceparent.
        ret_changes[i].trace_id =
            events[i].traceparent.len >= 35 ? (struct ch_str){events[i].traceparent.data + 3, 32} : CH_STR("");
    }
    return CH_OK;
}

static enum ch_err lock_orders_wait(struct ch_ctx *ctx, struct ch_tx *tx, const struct status_change *changes,
                                    size_t count, struct followed_order **ret_orders, size_t *ret_count)
{
    struct ch_pg_rows *rows CH_PG_ROWS = NULL;
    struct ch_uuid *ids = ch_arena_array(ctx->arena, count, sizeof(*ids));
    struct ch_pg_args args;

    if (!ids)
        return CH_ERR_NO_MEMORY;
    for (size_t i = 0; i < count; i++)
        ids[i] = changes[i].order_id;
    ch_pg_args_init(&args, ctx);
    ch_pg_uuid_array(&args, ids, count);
    enum ch_err err = ch_tx_run_wait(tx, Q_ORDER_LOCK_BATCH, &args, &rows);
    if (err)
        return err;
    const size_t found = ch_pg_count(rows);
    struct followed_order *orders = ch_arena_array(ctx->arena, found, sizeof(*orders));
    if (found && !orders)
        return CH_ERR_NO_MEMORY;
    for (size_t i = 0; i < found; i++) {
        orders[i].order_id = ch_pg_get_uuid(rows, i, 0);
        orders[i].status = ORDER_CANCELLED;
        CH_IGNORE(order_status_parse(ch_pg_get_str(rows, i, 1), &orders[i].status)); // CHECK lets no other name in
        orders[i].sequence = ch_pg_get_int(rows, i, 2);
        orders[i].timeline_seq = ch_pg_get_int(rows, i, 3);
    }
    *ret_orders = orders;
    *ret_count = found;
    return CH_OK;
}

// Applies one change to the order it names; an unknown order is not ours to judge and is left alone.
static void follow(struct followed_order *orders, size_t order_count, const struct status_change *change,
                   struct timeline_rows *timeline)
{
    struct followed_order *order = NULL;

    for (size_t i = 0; i < order_count; i++)
        if (ch_uuid_eq(orders[i].order_id, change->order_id))
            order = &orders[i];
    if (!order || change->sequence <= order->sequence)
        return;
    order->sequence = change->sequence;
    order->last = change;

    const enum order_status target = follows[change->status];
    while (target != ORDER_STATUS_COUNT && timeline->count < timeline->max) {
        const enum order_status next = order_step_towards(order->status, target, BY_DELIVERY);
        if (next == order->status)
            break;
        const size_t at = timeline->count++;
        order->status = next;
        timeline->order_id[at] = order->order_id;
        timeline->seq[at] = (int32_t)++order->timeline_seq;
        timeline->status[at] = ch_str_of(order_status_names[next]);
        timeline->at_us[at] = change->at_us;
        timeline->trace_id[at] = change->trace_id;
    }
}

static void add_timeline(struct ch_pg_args *args, const struct timeline_rows *rows)
{
    ch_pg_uuid_array(args, rows->order_id, rows->count);
    ch_pg_int4_array(args, rows->seq, rows->count);
    ch_pg_text_array(args, rows->status, rows->count);
    ch_pg_time_array(args, rows->at_us, rows->count);
    ch_pg_text_array(args, rows->trace_id, rows->count);
    ch_pg_text(args, ch_str_of(order_actor_name(BY_DELIVERY)));
}

static enum ch_err write_orders(struct ch_ctx *ctx, struct ch_tx *tx, const struct followed_order *orders, size_t count,
                                const struct timeline_rows *timeline)
{
    struct ch_uuid *ids = ch_arena_array(ctx->arena, count, sizeof(*ids));
    struct ch_str *texts = ch_arena_array(ctx->arena, count * 4, sizeof(*texts));
    int32_t *numbers = ch_arena_array(ctx->arena, count * 2, sizeof(*numbers));
    int64_t *times = ch_arena_array(ctx->arena, count, sizeof(*times));
    struct ch_pg_args args;
    size_t n = 0;

    if (!ids || !texts || !numbers || !times)
        return CH_ERR_NO_MEMORY;
    struct ch_str *status = texts, *delivery = texts + count, *carrier = texts + 2 * count,
                  *invoice = texts + 3 * count;
    int32_t *sequence = numbers, *timeline_seq = numbers + count;
    for (size_t i = 0; i < count; i++) {
        if (!orders[i].last)
            continue;
        ids[n] = orders[i].order_id;
        status[n] = ch_str_of(order_status_names[orders[i].status]);
        delivery[n] = ch_str_of(delivery_names[orders[i].last->status]);
        carrier[n] = orders[i].last->carrier;
        invoice[n] = orders[i].last->invoice_no;
        sequence[n] = (int32_t)orders[i].sequence;
        timeline_seq[n] = (int32_t)orders[i].timeline_seq;
        times[n] = orders[i].last->at_us;
        n++;
    }
    if (n == 0)
        return CH_OK;
    ch_pg_args_init(&args, ctx);
    ch_pg_uuid_array(&args, ids, n);
    ch_pg_text_array(&args, status, n);
    ch_pg_text_array(&args, delivery, n);
    ch_pg_text_array(&args, carrier, n);
    ch_pg_text_array(&args, invoice, n);
    ch_pg_int4_array(&args, sequence, n);
    ch_pg_int4_array(&args, timeline_seq, n);
    ch_pg_time_array(&args, times, n);
    add_timeline(&args, timeline);
    return ch_tx_run_wait(tx, Q_ORDER_FOLLOW_BATCH, &args, NULL);
}

static enum ch_err on_delivery_status_changed(struct ch_ctx *ctx, struct ch_tx *tx, const struct ch_event *events,
                                              size_t count)
{
    struct status_change *changes = ch_arena_array(ctx->arena, count, sizeof(*changes));
    struct timeline_rows timeline = {0};
    struct followed_order *orders;
    size_t order_count;
    enum ch_err err;

    if (!changes || !timeline_rows_alloc(ctx->arena, &timeline, count * ORDER_STATUS_COUNT))
        return CH_ERR_NO_MEMORY;
    err = read_changes(ctx, events, count, changes);
    if (err)
        return err;
    err = lock_orders_wait(ctx, tx, changes, count, &orders, &order_count);
    if (err)
        return err;
    for (size_t i = 0; i < count; i++)
        follow(orders, order_count, &changes[i], &timeline);
    return write_orders(ctx, tx, orders, order_count, &timeline);
}

const struct ch_consumer consumers[] = {
    {"order-manager.delivery-status-changed", "delivery.status-changed.v1", on_delivery_status_changed},
    {0},
};
