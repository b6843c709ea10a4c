// SPDX-License-Identifier: Apache-2.0
// What FruitCatalog hears: order.cancelled gives the order's stock back. Once, whether the hold was HELD still or SOLD
// already, and whether the event, the sweeper or both come: only a hold that is not RELEASED yet gives anything. Must
// never be asked about a live order: OrderManager says CANCELLED only after DeliveryMock has stopped the box.
// order.erased takes the buyer out of holds, and what he has of SKUs with a limit.
#include "ch/point.h"
#include "hold.h"
#include "tables.h"

struct cancelled {
    struct ch_uuid order_id;
    struct ch_str order_no, actor, reason;
    int64_t refund_krw, cancelled_at_us;
};

#define AT(member) offsetof(struct cancelled, member)

// contracts/asyncapi.yaml, data of order.cancelled.v1
static const struct ch_field cancelled_fields[] = {
    {"orderId", CH_FIELD_UUID, AT(order_id)},
    {"orderNo", CH_FIELD_STR, AT(order_no), .min = 1, .max = 32},
    {"actor", CH_FIELD_STR, AT(actor), .min = 1, .max = 32},
    {"reason", CH_FIELD_STR, AT(reason), .min = 1, .max = 64},
    {"refundKrw", CH_FIELD_INT, AT(refund_krw), .min = 0, .max = INT64_MAX},
    {"cancelledAt", CH_FIELD_TIME, AT(cancelled_at_us)},
    {0},
};

static enum ch_err on_order_cancelled(struct ch_ctx *ctx, struct ch_tx *tx, const struct ch_event *events, size_t count)
{
    struct ch_uuid *ids = ch_arena_array(ctx->arena, count, sizeof(*ids));

    if (!ids)
        return CH_ERR_NO_MEMORY;
    for (size_t i = 0; i < count; i++) {
        struct cancelled cancelled = {0};

        const enum ch_err err = ch_json_bind(events[i].data, cancelled_fields, "/data", &ctx->faults, &cancelled, NULL);
        if (err)
            return err;
        ids[i] = cancelled.order_id;
    }
    const enum ch_err err = hold_release_in_wait(tx, ids, count, CH_STR(REASON_CANCELLED));
    return err ? err : CH_POINT(CANCEL_STOCK_RETURNED);
}

// ---- order.erased

enum { ERASED_MAX = 1000 };

// contracts/asyncapi.yaml, data of order.erased.v1: bound to a struct ch_array
static const struct ch_field erased_fields[] = {
    {"orderIds", CH_FIELD_UUIDS, 0, .min = 1, .max = ERASED_MAX},
    {0},
};

// All events at once, for SKUs are locked in one order.
static enum ch_err on_order_erased(struct ch_ctx *ctx, struct ch_tx *tx, const struct ch_event *events, size_t count)
{
    struct ch_array *erased = ch_arena_array(ctx->arena, count, sizeof(*erased));
    size_t id_count = 0, n = 0;

    if (!erased)
        return CH_ERR_NO_MEMORY;
    for (size_t i = 0; i < count; i++) {
        const enum ch_err err = ch_json_bind(events[i].data, erased_fields, "/data", &ctx->faults, &erased[i], NULL);
        if (err)
            return err;
        id_count += erased[i].count;
    }
    struct ch_uuid *ids = ch_arena_array(ctx->arena, id_count, sizeof(*ids));
    if (!ids)
        return CH_ERR_NO_MEMORY;
    for (size_t i = 0; i < count; n += erased[i++].count)
        memcpy(ids + n, erased[i].items, erased[i].count * sizeof(*ids));
    return hold_forget_buyers_in_wait(tx, ids, id_count);
}

const struct ch_consumer consumers[] = {
    {"fruit-catalog.order-cancelled", "order.cancelled.v1", on_order_cancelled},
    {"fruit-catalog.order-erased", "order.erased.v1", on_order_erased},
    {0},
};
