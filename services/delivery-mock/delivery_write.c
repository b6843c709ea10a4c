// SPDX-License-Identifier: Apache-2.0
// Writes deliveries: many in one statement, each with its tracking event and the event that tells others.
#include "delivery_store.h"

#include "queries.h"

#include <stdio.h>

enum { EVENT_DATA_MAX = 2048 };

struct ch_str tracking_place(enum tracking_type type, struct ch_str region)
{
    const char *place = tracking_rows[type].place;

    return ch_str_of(place ? place : region_hub(region));
}

// contracts/asyncapi.yaml, data of delivery.status-changed.v1
static struct ch_str status_changed_data(struct ch_arena *arena, const struct delivery *delivery, const char *previous)
{
    struct ch_buf text;
    struct ch_jw jw;

    ch_buf_init(&text, EVENT_DATA_MAX);
    ch_jw_init(&jw, &text);
    ch_jw_object(&jw);
    ch_jw_kuuid(&jw, "orderId", delivery->order_id);
    ch_jw_kuuid(&jw, "deliveryId", delivery->delivery_id);
    ch_jw_kcstr(&jw, "status", delivery_status_names[delivery->status]);
    ch_jw_kcstr(&jw, "previous", previous);
    ch_jw_kstr(&jw, "carrier", delivery->carrier);
    ch_jw_kstr(&jw, "invoiceNo", delivery->invoice_no);
    ch_jw_kint(&jw, "sequence", delivery->sequence);
    ch_jw_ktime(&jw, "at", delivery->updated_at_us);
    ch_jw_kstr(&jw, "location", tracking_place(delivery->last_event, delivery->region));
    ch_jw_object_end(&jw);
    return ch_buf_take(&text, arena);
}

#define COLUMN(type, name) type *name = ch_arena_array(arena, count, sizeof(*name))

enum ch_err delivery_apply_wait(struct ch_tx *tx, const struct delivery_step *steps, size_t count)
{
    struct ch_arena *arena = tx->ctx->arena;
    char traceparent[CH_TRACEPARENT_TEXT];
    COLUMN(struct ch_uuid, ids);
    COLUMN(struct ch_uuid, event_ids);
    COLUMN(int32_t, sequences);
    COLUMN(struct ch_str, types);
    COLUMN(struct ch_str, statuses);
    COLUMN(struct ch_str, places);
    COLUMN(struct ch_str, messages);
    COLUMN(struct ch_str, data);
    COLUMN(struct ch_str, traceparents);
    COLUMN(int64_t, times);
    COLUMN(double, waits);
    struct ch_pg_args args;

    if (!ids || !event_ids || !sequences || !types || !statuses || !places || !messages || !data || !traceparents ||
        !times || !waits)
        return CH_ERR_NO_MEMORY;
    ch_trace_format(&tx->ctx->trace, traceparent);
    for (size_t i = 0; i < count; i++) {
        const struct delivery *delivery = steps[i].delivery;
        const struct tracking_row *row = &tracking_rows[delivery->last_event];

        ids[i] = delivery->order_id;
        event_ids[i] = ch_uuid_new();
        sequences[i] = (int32_t)delivery->sequence;
        types[i] = ch_str_of(row->name);
        statuses[i] = ch_str_of(delivery_status_names[delivery->status]);
        places[i] = tracking_place(delivery->last_event, delivery->region);
        messages[i] = ch_str_of(row->message);
        times[i] = delivery->updated_at_us;
        waits[i] = steps[i].wait_s;
        traceparents[i] = ch_str_of(traceparent);
        if (!steps[i].is_status_changed)
            continue;
        data[i] = status_changed_data(arena, delivery, delivery_status_names[steps[i].previous]);
        if (!data[i].data)
            return CH_ERR_NO_MEMORY;
    }
    ch_pg_args_init(&args, tx->ctx);
    ch_pg_uuid_array(&args, ids, count);
    ch_pg_int4_array(&args, sequences, count);
    ch_pg_text_array(&args, types, count);
    ch_pg_text_array(&args, statuses, count);
    ch_pg_text_array(&args, places, count);
    ch_pg_text_array(&args, messages, count);
    ch_pg_time_array(&args, times, count);
    ch_pg_double_array(&args, waits, count);
    ch_pg_uuid_array(&args, event_ids, count);
    ch_pg_text_array(&args, data, count);
    ch_pg_text_array(&args, traceparents, count);
    return ch_tx_run_wait(tx, Q_DELIVERY_APPLY_BATCH, &args, NULL);
}

enum ch_err delivery_create_wait(struct ch_tx *tx, const struct delivery *deliveries, const struct ch_str *traceparents,
                                 const double *waits_s, size_t count)
{
    struct ch_arena *arena = tx->ctx->arena;
    const struct tracking_row *row = &tracking_rows[TRACKING_CREATED];
    COLUMN(struct ch_uuid, order_ids);
    COLUMN(struct ch_uuid, delivery_ids);
    COLUMN(struct ch_uuid, buyer_ids);
    COLUMN(struct ch_uuid, event_ids);
    COLUMN(struct ch_str, farm_ids);
    COLUMN(struct ch_str, carriers);
    COLUMN(struct ch_str, invoices);
    COLUMN(struct ch_str, regions);
    COLUMN(struct ch_str, places);
    COLUMN(struct ch_str, messages);
    COLUMN(struct ch_str, data);
    COLUMN(int64_t, times);
    struct ch_pg_args args;

    if (!order_ids || !delivery_ids || !buyer_ids || !event_ids || !farm_ids || !carriers || !invoices || !regions ||
        !places || !messages || !data || !times)
        return CH_ERR_NO_MEMORY;
    for (size_t i = 0; i < count; i++) {
        order_ids[i] = deliveries[i].order_id;
        delivery_ids[i] = deliveries[i].delivery_id;
        buyer_ids[i] = deliveries[i].buyer_id;
        event_ids[i] = ch_uuid_new();
        farm_ids[i] = deliveries[i].farm_ids;
        carriers[i] = deliveries[i].carrier;
        invoices[i] = deliveries[i].invoice_no;
        regions[i] = deliveries[i].region;
        places[i] = tracking_place(TRACKING_CREATED, deliveries[i].region);
        messages[i] = ch_str_of(row->message);
        times[i] = deliveries[i].updated_at_us;
        data[i] = status_changed_data(arena, &deliveries[i], NULL);
        if (!data[i].data)
            return CH_ERR_NO_MEMORY;
    }
    ch_pg_args_init(&args, tx->ctx);
    ch_pg_uuid_array(&args, order_ids, count);
    ch_pg_uuid_array(&args, delivery_ids, count);
    ch_pg_uuid_array(&args, buyer_ids, count);
    ch_pg_text_array(&args, farm_ids, count);
    ch_pg_text_array(&args, carriers, count);
    ch_pg_text_array(&args, invoices, count);
    ch_pg_text_array(&args, regions, count);
    ch_pg_double_array(&args, waits_s, count);
    ch_pg_time_array(&args, times, count);
    ch_pg_text_array(&args, places, count);
    ch_pg_text_array(&args, messages, count);
    ch_pg_uuid_array(&args, event_ids, count);
    ch_pg_text_array(&args, data, count);
    ch_pg_text_array(&args, traceparents, count);
    return ch_tx_run_wait(tx, Q_DELIVERY_CREATE_BATCH, &args, NULL);
}
