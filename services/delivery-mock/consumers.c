// SPDX-License-Identifier: Apache-2.0
// What DeliveryMock hears: order.placed makes a delivery in READY, once an order; order.erased takes the buyer out of
// deliveries.
#include "delivery.h"
#include "delivery_store.h"
#include "queries.h"
#include "tables.h"

#define CARRIER "과수원택배"

struct placed_line {
    struct ch_uuid sku_id, product_id, farm_id, lot_id;
    int64_t quantity, unit_price_krw;
};
struct placed {
    struct ch_uuid order_id, buyer_id;
    struct ch_str order_no, region;
    int64_t total_krw, placed_at_us;
    struct ch_array lines; // of struct placed_line
};

#define LINE(member)   offsetof(struct placed_line, member)
#define PLACED(member) offsetof(struct placed, member)

// contracts/asyncapi.yaml, data of order.placed.v1
static const struct ch_field line_fields[] = {
    {"skuId", CH_FIELD_UUID, LINE(sku_id)},
    {"productId", CH_FIELD_UUID, LINE(product_id)},
    {"farmId", CH_FIELD_UUID, LINE(farm_id)},
    {"quantity", CH_FIELD_INT, LINE(quantity), .min = 1, .max = 99},
    {"unitPriceKrw", CH_FIELD_INT, LINE(unit_price_krw), .min = 0, .max = INT64_MAX},
    {"lotId", CH_FIELD_UUID, LINE(lot_id), .flags = CH_F_NULLABLE},
    {0},
};
static const struct ch_field placed_fields[] = {
    {"orderId", CH_FIELD_UUID, PLACED(order_id)},
    {"orderNo", CH_FIELD_STR, PLACED(order_no), .min = 1, .max = 32},
    {"buyerId", CH_FIELD_UUID, PLACED(buyer_id)},
    {"totalKrw", CH_FIELD_INT, PLACED(total_krw), .min = 0, .max = INT64_MAX},
    {"recipientRegion", CH_FIELD_STR, PLACED(region), .min = 2, .max = 2, .pattern = "[0-9]{2}",
     .pattern_detail = "숫자 두 자리"},
    {"placedAt", CH_FIELD_TIME, PLACED(placed_at_us)},
    {"lines", CH_FIELD_ARRAY, PLACED(lines), .min = 1, .max = 20, .fields = line_fields,
     .elem_size = sizeof(struct placed_line)},
    {0},
};

// "{uuid,uuid}": the farms of an order, as PostgreSQL writes an array.
static struct ch_str farms_of(struct ch_arena *arena, const struct placed *placed)
{
    const struct placed_line *lines = placed->lines.items;
    struct ch_buf text;
    char id[CH_UUID_TEXT];

    ch_buf_init(&text, 1024);
    ch_buf_append_char(&text, '{');
    for (size_t i = 0; i < placed->lines.count; i++) {
        ch_uuid_format(lines[i].farm_id, id);
        ch_buf_append_cstr(&text, i ? "," : "");
        ch_buf_append_cstr(&text, id);
    }
    ch_buf_append_char(&text, '}');
    return ch_buf_take(&text, arena);
}

static enum ch_err delivery_of(struct ch_ctx *ctx, const struct placed *placed, struct delivery *ret_delivery)
{
    uint8_t random[8];
    char invoice[13];

    ch_random(random, sizeof(random));
    invoice_number(random, invoice);
    *ret_delivery = (struct delivery){
        .order_id = placed->order_id,
        .delivery_id = ch_uuid_new(),
        .buyer_id = placed->buyer_id,
        .farm_ids = farms_of(ctx->arena, placed),
        .status = DELIVERY_READY,
        .last_event = TRACKING_CREATED,
        .sequence = 1,
        .carrier = CH_STR(CARRIER),
        .invoice_no = ch_str_of(ch_arena_strdup(ctx->arena, ch_str_of(invoice))),
        .region = placed->region,
        .created_at_us = ch_wall_us(),
        .updated_at_us = ch_wall_us(),
    };
    return ret_delivery->farm_ids.data && ret_delivery->invoice_no.data ? CH_OK : CH_ERR_NO_MEMORY;
}

static enum ch_err on_order_placed(struct ch_ctx *ctx, struct ch_tx *tx, const struct ch_event *events, size_t count)
{
    struct delivery *deliveries = ch_arena_array(ctx->arena, count, sizeof(*deliveries));
    struct ch_str *traceparents = ch_arena_array(ctx->arena, count, sizeof(*traceparents));
    double *waits_s = ch_arena_array(ctx->arena, count, sizeof(*waits_s));
    struct simulation simulation;
    enum ch_err err;

    if (!deliveries || !traceparents || !waits_s)
        return CH_ERR_NO_MEMORY;
    err = simulation_get_wait(ctx, &simulation);
    if (err == CH_ERR_NOT_FOUND)
        return CH_ERR_UNAVAILABLE; // the clock has not been set up yet: it will be at its first tick
    if (err)
        return err;
    for (size_t i = 0; i < count; i++) {
        struct placed placed = {0};

        err = ch_json_bind(events[i].data, placed_fields, "/data", &ctx->faults, &placed, NULL);
        if (err)
            return err;
        err = delivery_of(ctx, &placed, &deliveries[i]);
        if (err)
            return err;
        traceparents[i] = events[i].traceparent;
        waits_s[i] =
            step_wait_s(TRACKING_CREATED, &simulation, 0.5 + (double)(deliveries[i].delivery_id.bytes[15]) / 256);
    }
    return delivery_create_wait(tx, deliveries, traceparents, waits_s, count);
}

// ---- order.erased

enum { ERASED_MAX = 1000 };

// contracts/asyncapi.yaml, data of order.erased.v1: bound to a struct ch_array
static const struct ch_field erased_fields[] = {
    {"orderIds", CH_FIELD_UUIDS, 0, .min = 1, .max = ERASED_MAX},
    {0},
};

static enum ch_err on_order_erased(struct ch_ctx *ctx, struct ch_tx *tx, const struct ch_event *events, size_t count)
{
    enum ch_err err = CH_OK;

    for (size_t i = 0; i < count && !err; i++) {
        struct ch_array ids = {0};
        struct ch_pg_args args;

        err = ch_json_bind(events[i].data, erased_fields, "/data", &ctx->faults, &ids, NULL);
        if (err)
            return err;
        ch_pg_args_init(&args, ctx);
        ch_pg_uuid_array(&args, ids.items, ids.count);
        err = ch_tx_run_wait(tx, Q_DELIVERY_FORGET_BUYERS, &args, NULL);
    }
    return err;
}

const struct ch_consumer consumers[] = {
    {"delivery-mock.order-placed", "order.placed.v1", on_order_placed},
    {"delivery-mock.order-erased", "order.erased.v1", on_order_erased},
    {0},
};
