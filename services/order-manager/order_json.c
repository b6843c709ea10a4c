// SPDX-License-Identifier: Apache-2.0
// How an order looks in JSON: contracts/openapi/order-manager.yaml, schemas Order, OrderDelivery, OrderCancellation and
// FarmOrder.
#include "cancel.h"
#include "order_personal.h"

static void write_lines(struct ch_jw *jw, const struct order *order)
{
    ch_jw_key(jw, "lines");
    ch_jw_array(jw);
    for (size_t i = 0; i < order->line_count; i++) {
        const struct order_line *line = &order->lines[i];

        ch_jw_object(jw);
        ch_jw_kuuid(jw, "skuId", line->sku_id);
        ch_jw_kuuid(jw, "productId", line->product_id);
        ch_jw_kuuid(jw, "farmId", line->farm_id);
        ch_jw_kstr(jw, "farmName", line->farm_name);
        ch_jw_kstr(jw, "title", line->title);
        ch_jw_kstr(jw, "grade", line->grade);
        ch_jw_kint(jw, "weightG", line->weight_g);
        ch_jw_kint(jw, "quantity", line->quantity);
        ch_jw_kint(jw, "unitPriceKrw", line->unit_price_krw);
        ch_jw_kint(jw, "lineKrw", line->quantity * line->unit_price_krw);
        ch_jw_kuuid_or_null(jw, "lotId", line->lot_id);
        ch_jw_object_end(jw);
    }
    ch_jw_array_end(jw);
}

static void write_head(struct ch_jw *jw, const struct order *order)
{
    ch_jw_kuuid(jw, "orderId", order->order_id);
    ch_jw_kcstr(jw, "orderNo", order->order_no);
    ch_jw_kcstr(jw, "status", order_status_names[order->status]);
    ch_jw_kstr(jw, "deliveryStatus", order->delivery.status);
}

static void write_sums(struct ch_jw *jw, const struct order *order)
{
    ch_jw_kint(jw, "totalKrw", order->total_krw);
    ch_jw_kint(jw, "itemsKrw", order->items_krw);
    ch_jw_kint(jw, "shippingFeeKrw", order->shipping_fee_krw);
}

static void write_tail(struct ch_jw *jw, const struct order *order)
{
    ch_jw_key(jw, "payment");
    ch_jw_object(jw);
    ch_jw_kstr(jw, "maskedToken", order->masked_payment_token);
    ch_jw_object_end(jw);
    write_lines(jw, order);
    ch_jw_ktime(jw, "createdAt", order->created_at_us);
}

void order_write(struct ch_jw *jw, const struct order *order)
{
    write_head(jw, order);
    write_sums(jw, order);
    personal_write(jw, &order->recipient, order->gift_message);
    write_tail(jw, order);
}

void order_write_gapped(struct ch_jw *jw, const struct order *order)
{
    write_head(jw, order);
    write_sums(jw, order);
    personal_write_gap(jw);
    write_tail(jw, order);
}

void order_write_farm_view(struct ch_jw *jw, const struct order *order)
{
    int64_t items_krw = 0;

    for (size_t i = 0; i < order->line_count; i++)
        items_krw += order->lines[i].quantity * order->lines[i].unit_price_krw;
    write_head(jw, order);
    ch_jw_kint(jw, "farmItemsKrw", items_krw);
    personal_write(jw, &order->recipient, order->gift_message);
    write_lines(jw, order);
    ch_jw_ktime(jw, "createdAt", order->created_at_us);
}

void order_write_timeline(struct ch_jw *jw, const struct timeline_entry *entries, size_t count)
{
    ch_jw_array(jw);
    for (size_t i = 0; i < count; i++) {
        ch_jw_object(jw);
        ch_jw_kstr(jw, "status", entries[i].status);
        ch_jw_ktime(jw, "at", entries[i].at_us);
        ch_jw_kstr(jw, "actor", entries[i].actor);
        ch_jw_kstr(jw, "reason", entries[i].reason.len ? entries[i].reason : (struct ch_str){0});
        ch_jw_kstr(jw, "traceId", entries[i].trace_id);
        ch_jw_object_end(jw);
    }
    ch_jw_array_end(jw);
}

void order_write_delivery(struct ch_jw *jw, const struct order_delivery *delivery)
{
    if (!delivery->status.data) {
        ch_jw_null(jw);
        return;
    }
    ch_jw_object(jw);
    ch_jw_kstr(jw, "status", delivery->status);
    ch_jw_kstr(jw, "carrier", delivery->carrier);
    ch_jw_kstr(jw, "invoiceNo", delivery->invoice_no);
    ch_jw_key(jw, "events");
    ch_jw_array(jw);
    for (size_t i = 0; i < delivery->event_count; i++) {
        ch_jw_object(jw);
        ch_jw_kint(jw, "sequence", delivery->events[i].sequence);
        ch_jw_kstr(jw, "type", delivery->events[i].type);
        ch_jw_kstr(jw, "status", delivery->events[i].status);
        ch_jw_kstr(jw, "location", delivery->events[i].location);
        ch_jw_kstr(jw, "message", delivery->events[i].message);
        ch_jw_ktime(jw, "at", delivery->events[i].at_us);
        ch_jw_object_end(jw);
    }
    ch_jw_array_end(jw);
    ch_jw_ktime(jw, "asOf", delivery->as_of_us);
    ch_jw_kbool(jw, "isLive", delivery->is_live);
    ch_jw_object_end(jw);
}

void order_write_cancellation(struct ch_jw *jw, const struct order_cancellation *cancellation)
{
    if (cancellation->state == CANCEL_NONE) {
        ch_jw_null(jw);
        return;
    }
    ch_jw_object(jw);
    ch_jw_kcstr(jw, "status", cancel_state_names[cancellation->state]);
    ch_jw_kcstr(jw, "reason", cancel_reason_names[cancellation->reason]);
    ch_jw_kcstr(jw, "reasonText", cancel_reason_rows[cancellation->reason].text);
    ch_jw_kstr(jw, "note", cancellation->note.data ? cancellation->note : CH_STR(""));
    ch_jw_kstr(jw, "actor", cancellation->actor);
    ch_jw_ktime(jw, "requestedAt", cancellation->requested_at_us);
    ch_jw_ktime_or_null(jw, "finishedAt", cancellation->finished_at_us);
    ch_jw_kint_or_null(jw, "refundKrw", cancellation->refund_krw, 0);
    ch_jw_object_end(jw);
}
