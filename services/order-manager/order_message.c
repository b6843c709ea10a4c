// SPDX-License-Identifier: Apache-2.0
// Orders to and from protobuf: contracts/proto/orders/v1/orders.proto.
#include "order_message.h"

enum { KEY_MIN = 8, KEY_MAX = 128 };

static char *text(struct ch_ctx *ctx, struct ch_str s)
{
    return ch_arena_strdup(ctx->arena, s);
}

// ---- in: the message becomes the JSON that REST takes, so that one table holds the rules
// --------------------------------

static json_t *message_as_json(const Orders__V1__PlaceOrderRequest *request)
{
    const Orders__V1__Recipient *to = request->recipient;
    json_t *lines = json_array();
    bool is_whole = lines != NULL;

    // A line that found no memory must not become an order without it.
    for (size_t i = 0; i < request->n_lines && is_whole; i++)
        is_whole = !json_array_append_new(lines, json_pack("{s:s, s:i, s:I}", "skuId", request->lines[i]->sku_id,
                                                           "quantity", request->lines[i]->quantity, "unitPriceKrw",
                                                           (json_int_t)request->lines[i]->unit_price_krw));
    if (!is_whole) {
        json_decref(lines);
        return NULL;
    }
    json_t *json = json_pack("{s:s, s:s, s:o}", "paymentToken", request->payment_token, "giftMessage",
                             request->gift_message, "lines", lines);
    if (json && to)
        json_object_set_new(json, "recipient",
                            json_pack("{s:s, s:s, s:s, s:s, s:s, s:s}", "name", to->name, "phone", to->phone,
                                      "postcode", to->postcode, "address1", to->address1, "address2", to->address2,
                                      "doorNote", to->door_note));
    return json;
}

static bool key_is_valid(struct ch_str key)
{
    static const char allowed[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_.:-";

    return key.len >= KEY_MIN && key.len <= KEY_MAX && strspn(key.data, allowed) == key.len;
}

enum ch_err order_input_from_message(struct ch_ctx *ctx, const Orders__V1__PlaceOrderRequest *request,
                                     struct order_input *ret_input, struct ch_str *ret_key)
{
    const struct ch_str key = ch_str_of(request->idempotency_key);

    if (!key_is_valid(key))
        return ch_fail(ctx, CH_ERR_INVALID, "/idempotency_key", "format", "영문자, 숫자, _ . : - 로 %d~%d자여야 합니다",
                       KEY_MIN, KEY_MAX);
    json_t *json = message_as_json(request);
    if (!json)
        return CH_ERR_NO_MEMORY;
    const enum ch_err err = ch_json_bind(json, order_input_fields, "", &ctx->faults, ret_input, NULL);
    json_decref(json);
    if (!err)
        *ret_key = key;
    return err;
}

enum ch_err cancel_wish_from_message(struct ch_ctx *ctx, const Orders__V1__CancelOrderRequest *request,
                                     struct cancel_wish *ret_wish)
{
    struct cancel_wish wish = CANCEL_WISH_INIT;
    const int reason = (int)request->reason - ORDERS__V1__CANCEL_REASON__CANCEL_REASON_CHANGED_MIND;

    if (reason < -1 || reason >= CANCEL_REASON_COUNT)
        return ch_fail(ctx, CH_ERR_INVALID, "/reason", "enum", "CancelReason의 값이어야 합니다");
    json_t *json = json_pack("{s:s}", "note", request->note);
    if (json && reason >= 0) // both lists have the same order
        json_object_set_new(json, "reason", json_string(cancel_reason_names[reason]));
    if (!json || (reason >= 0 && !json_object_get(json, "reason"))) {
        json_decref(json);
        return CH_ERR_NO_MEMORY;
    }
    const enum ch_err err = ch_json_bind(json, cancel_wish_fields, "", &ctx->faults, &wish, NULL);
    json_decref(json);
    if (!err)
        *ret_wish = wish;
    return err;
}

// ---- out
// ---------------------------------------------------------------------------------------------------------------

static Orders__V1__Recipient *recipient_to_message(struct ch_ctx *ctx, const struct recipient *to)
{
    Orders__V1__Recipient *message = ch_arena_alloc(ctx->arena, sizeof(*message));

    if (!message)
        return NULL;
    orders__v1__recipient__init(message);
    message->masked = to->is_masked;
    message->name = text(ctx, to->name);
    message->phone = text(ctx, to->phone);
    message->postcode = text(ctx, to->postcode);
    message->address1 = text(ctx, to->address1);
    message->address2 = text(ctx, to->address2);
    message->door_note = text(ctx, to->door_note);
    return message->name && message->phone && message->postcode && message->address1 && message->address2 &&
                   message->door_note
               ? message
               : NULL;
}

static bool line_to_message(struct ch_ctx *ctx, const struct order_line *line, Orders__V1__OrderLine *message)
{
    orders__v1__order_line__init(message);
    message->sku_id = ch_arena_uuid(ctx->arena, line->sku_id);
    message->product_id = ch_arena_uuid(ctx->arena, line->product_id);
    message->farm_id = ch_arena_uuid(ctx->arena, line->farm_id);
    message->farm_name = text(ctx, line->farm_name);
    message->title = text(ctx, line->title);
    message->grade = text(ctx, line->grade);
    message->weight_g = (int32_t)line->weight_g;
    message->quantity = (int32_t)line->quantity;
    message->unit_price_krw = line->unit_price_krw;
    message->line_krw = line->quantity * line->unit_price_krw;
    message->lot_id = ch_arena_uuid(ctx->arena, line->lot_id);
    return message->sku_id && message->product_id && message->farm_id && message->farm_name && message->title &&
           message->grade && message->lot_id;
}

static Orders__V1__OrderStatus status_to_message(enum order_status status)
{
    return (Orders__V1__OrderStatus)(ORDERS__V1__ORDER_STATUS__ORDER_STATUS_PLACED +
                                     (int)status); // both lists have the same order
}

Orders__V1__Order *order_to_message(struct ch_ctx *ctx, const struct order *order)
{
    Orders__V1__Order *message = ch_arena_alloc(ctx->arena, sizeof(*message));
    Orders__V1__OrderLine *lines = ch_arena_array(ctx->arena, order->line_count, sizeof(*lines));

    if (!message || !lines)
        return NULL;
    orders__v1__order__init(message);
    message->order_id = ch_arena_uuid(ctx->arena, order->order_id);
    message->order_no = text(ctx, ch_str_of(order->order_no));
    message->status = status_to_message(order->status);
    message->delivery_status = text(ctx, order->delivery.status);
    message->total_krw = order->total_krw;
    message->items_krw = order->items_krw;
    message->shipping_fee_krw = order->shipping_fee_krw;
    message->recipient = order->recipient.name.data ? recipient_to_message(ctx, &order->recipient) : NULL;
    message->gift_message = text(ctx, order->gift_message);
    message->masked_payment_token = text(ctx, order->masked_payment_token);
    message->created_at = ch_arena_time(ctx->arena, order->created_at_us);
    message->n_lines = order->line_count;
    message->lines = ch_arena_array(ctx->arena, order->line_count, sizeof(message->lines[0]));
    if (!message->order_id || !message->order_no || !message->delivery_status ||
        (order->recipient.name.data && !message->recipient) || !message->gift_message ||
        !message->masked_payment_token || !message->created_at || !message->lines)
        return NULL;
    for (size_t i = 0; i < order->line_count; i++) {
        message->lines[i] = &lines[i];
        if (!line_to_message(ctx, &order->lines[i], &lines[i]))
            return NULL;
    }
    return message;
}

static Orders__V1__OrderDelivery *delivery_to_message(struct ch_ctx *ctx, const struct order_delivery *delivery)
{
    Orders__V1__OrderDelivery *message = ch_arena_alloc(ctx->arena, sizeof(*message));
    Orders__V1__OrderDeliveryEvent *events = ch_arena_array(ctx->arena, delivery->event_count, sizeof(*events));

    if (!message || (delivery->event_count && !events))
        return NULL;
    orders__v1__order_delivery__init(message);
    message->status = text(ctx, delivery->status);
    message->carrier = text(ctx, delivery->carrier);
    message->invoice_no = text(ctx, delivery->invoice_no);
    message->as_of = ch_arena_time(ctx->arena, delivery->as_of_us);
    message->is_live = delivery->is_live;
    message->n_events = delivery->event_count;
    message->events = ch_arena_array(ctx->arena, delivery->event_count, sizeof(message->events[0]));
    if (!message->status || !message->carrier || !message->invoice_no || !message->as_of ||
        (delivery->event_count && !message->events))
        return NULL;
    for (size_t i = 0; i < delivery->event_count; i++) {
        orders__v1__order_delivery_event__init(&events[i]);
        events[i].sequence = (int32_t)delivery->events[i].sequence;
        events[i].type = text(ctx, delivery->events[i].type);
        events[i].location = text(ctx, delivery->events[i].location);
        events[i].message = text(ctx, delivery->events[i].message);
        events[i].at = ch_arena_time(ctx->arena, delivery->events[i].at_us);
        message->events[i] = &events[i];
        if (!events[i].type || !events[i].location || !events[i].message || !events[i].at)
            return NULL;
    }
    return message;
}

static Orders__V1__OrderStatus status_from_name(struct ch_str name)
{
    enum order_status status;

    return order_status_parse(name, &status) ? ORDERS__V1__ORDER_STATUS__ORDER_STATUS_UNSPECIFIED
                                             : status_to_message(status);
}

static Orders__V1__OrderCancellation *cancellation_to_message(struct ch_ctx *ctx,
                                                              const struct order_cancellation *cancellation)
{
    Orders__V1__OrderCancellation *message = ch_arena_alloc(ctx->arena, sizeof(*message));

    if (!message)
        return NULL;
    orders__v1__order_cancellation__init(message);
    message->status = (Orders__V1__CancellationStatus)cancellation->state; // both lists have the same order
    message->reason =
        (Orders__V1__CancelReason)(ORDERS__V1__CANCEL_REASON__CANCEL_REASON_CHANGED_MIND + cancellation->reason);
    message->reason_text = text(ctx, ch_str_of(cancel_reason_rows[cancellation->reason].text));
    message->note = text(ctx, cancellation->note);
    message->actor = text(ctx, cancellation->actor);
    message->requested_at = ch_arena_time(ctx->arena, cancellation->requested_at_us);
    message->finished_at =
        cancellation->finished_at_us ? ch_arena_time(ctx->arena, cancellation->finished_at_us) : text(ctx, CH_STR(""));
    message->refund_krw = cancellation->refund_krw;
    return message->reason_text && message->note && message->actor && message->requested_at && message->finished_at
               ? message
               : NULL;
}

bool order_message_add_detail(struct ch_ctx *ctx, Orders__V1__Order *message, const struct order *order,
                              const struct timeline_entry *timeline, size_t timeline_count)
{
    Orders__V1__TimelineEntry *entries = ch_arena_array(ctx->arena, timeline_count, sizeof(*entries));

    message->timeline = ch_arena_array(ctx->arena, timeline_count, sizeof(message->timeline[0]));
    if (timeline_count && (!entries || !message->timeline))
        return false;
    if (order->delivery.status.data) {
        message->delivery = delivery_to_message(ctx, &order->delivery);
        if (!message->delivery)
            return false;
    }
    if (order->cancellation.state != CANCEL_NONE) {
        message->cancellation = cancellation_to_message(ctx, &order->cancellation);
        if (!message->cancellation)
            return false;
    }
    message->n_timeline = timeline_count;
    for (size_t i = 0; i < timeline_count; i++) {
        orders__v1__timeline_entry__init(&entries[i]);
        entries[i].status = status_from_name(timeline[i].status);
        entries[i].at = ch_arena_time(ctx->arena, timeline[i].at_us);
        entries[i].actor = text(ctx, timeline[i].actor);
        entries[i].reason = text(ctx, timeline[i].reason);
        entries[i].trace_id = text(ctx, timeline[i].trace_id);
        message->timeline[i] = &entries[i];
        if (!entries[i].at || !entries[i].actor || !entries[i].reason || !entries[i].trace_id)
            return false;
    }
    return true;
}
