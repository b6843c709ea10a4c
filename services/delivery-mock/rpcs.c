// SPDX-License-Identifier: Apache-2.0
// DeliveryMock over gRPC: contracts/proto/delivery/v1/delivery.proto. The rules are delivery.c's, the same as for REST.
#include "delivery.h"
#include "delivery_store.h"
#include "stream.h"
#include "tables.h"

#include "delivery/v1/delivery.pb-c.h"

enum { IDS_MAX = 500, REASON_MIN = 2, REASON_MAX = 200 };
#define WATCH_STEP_NS INT64_C(10000000000)

// ---- messages: everything lies in the arena
// -----------------------------------------------------------------------------

static Delivery__V1__DeliveryStatus status_to_message(enum delivery_status status)
{
    return (Delivery__V1__DeliveryStatus)(DELIVERY__V1__DELIVERY_STATUS__DELIVERY_STATUS_READY +
                                          (int)status); // both lists have the same order
}

static bool event_to_message(struct ch_arena *arena, const struct tracking_event *event,
                             Delivery__V1__DeliveryEvent *message)
{
    delivery__v1__delivery_event__init(message);
    for (int i = 0; i < TRACKING_TYPE_COUNT; i++)
        if (ch_str_is(event->type, tracking_rows[i].name))
            message->type = (Delivery__V1__DeliveryEventType)(i + 1);
    for (int i = 0; i < DELIVERY_STATUS_COUNT; i++)
        if (ch_str_is(event->status, delivery_status_names[i]))
            message->status = status_to_message((enum delivery_status)i);
    message->order_id = ch_arena_uuid(arena, event->order_id);
    message->sequence = (int32_t)event->sequence;
    message->location = ch_arena_strdup(arena, event->location);
    message->message = ch_arena_strdup(arena, event->message);
    message->at = ch_arena_time(arena, event->at_us);
    return message->order_id && message->location && message->message && message->at;
}

static Delivery__V1__Delivery *delivery_to_message(struct ch_arena *arena, const struct delivery *delivery)
{
    Delivery__V1__Delivery *message = ch_arena_alloc(arena, sizeof(*message));
    Delivery__V1__DeliveryEvent *events = ch_arena_array(arena, delivery->event_count, sizeof(*events));

    if (!message || (delivery->event_count && !events))
        return NULL;
    delivery__v1__delivery__init(message);
    message->delivery_id = ch_arena_uuid(arena, delivery->delivery_id);
    message->order_id = ch_arena_uuid(arena, delivery->order_id);
    message->status = status_to_message(delivery->status);
    message->carrier = ch_arena_strdup(arena, delivery->carrier);
    message->invoice_no = ch_arena_strdup(arena, delivery->invoice_no);
    message->created_at = ch_arena_time(arena, delivery->created_at_us);
    message->updated_at = ch_arena_time(arena, delivery->updated_at_us);
    message->events = ch_arena_array(arena, delivery->event_count, sizeof(message->events[0]));
    message->n_events = delivery->event_count;
    if (!message->delivery_id || !message->order_id || !message->carrier || !message->invoice_no ||
        !message->created_at || !message->updated_at || (delivery->event_count && !message->events))
        return NULL;
    for (size_t i = 0; i < delivery->event_count; i++) {
        message->events[i] = &events[i];
        if (!event_to_message(arena, &delivery->events[i], &events[i]))
            return NULL;
    }
    return message;
}

// ---- the calls
// -----------------------------------------------------------------------------------------------------------

static enum ch_err rpc_get_deliveries(struct ch_call *call, const void *in, void *out)
{
    const Delivery__V1__GetDeliveriesRequest *request = in;
    Delivery__V1__GetDeliveriesResponse *response = out;
    struct ch_ctx *ctx = &call->ctx;
    const size_t count = request->n_order_ids;
    struct delivery *found;
    size_t found_count;
    enum ch_err err;

    if (count < 1 || count > IDS_MAX)
        return ch_fail(ctx, CH_ERR_INVALID, "/order_ids", "range", "1개에서 %d개까지 보낼 수 있습니다", IDS_MAX);
    struct ch_uuid *ids = ch_arena_array(ctx->arena, count, sizeof(*ids));
    response->deliveries = ch_arena_array(ctx->arena, count, sizeof(response->deliveries[0]));
    if (!ids || !response->deliveries)
        return CH_ERR_NO_MEMORY;
    for (size_t i = 0; i < count; i++) {
        err = ch_check_uuid(ctx, ch_arena_printf(ctx->arena, "/order_ids/%zu", i), request->order_ids[i], &ids[i]);
        if (err)
            return err;
    }
    err = delivery_find_wait(ctx, ids, count, &found, &found_count);
    if (err)
        return err;
    for (size_t i = 0; i < count; i++)
        for (size_t j = 0; j < found_count; j++) {
            if (!ch_uuid_eq(found[j].order_id, ids[i]) || ch_uuid_is_nil(found[j].delivery_id) ||
                !delivery_may_see(ctx->identity, &found[j]))
                continue;
            Delivery__V1__Delivery *message = delivery_to_message(ctx->arena, &found[j]);
            if (!message)
                return CH_ERR_NO_MEMORY;
            response->deliveries[response->n_deliveries++] = message;
            break;
        }
    return CH_OK;
}

static enum ch_err rpc_cancel_delivery(struct ch_call *call, const void *in, void *out)
{
    const Delivery__V1__CancelDeliveryRequest *request = in;
    Delivery__V1__CancelDeliveryResponse *response = out;
    struct ch_ctx *ctx = &call->ctx;
    const size_t reason_length = ch_utf8_length(ch_str_of(request->reason));
    struct delivery delivery = {0};
    struct ch_uuid order_id;
    enum ch_err err;

    err = ch_check_uuid(ctx, "/order_id", request->order_id, &order_id);
    if (err)
        return err;
    if (reason_length < REASON_MIN || reason_length > REASON_MAX)
        return ch_fail(ctx, CH_ERR_INVALID, "/reason", "length", "%d자에서 %d자 사이여야 합니다", REASON_MIN,
                       REASON_MAX);
    err = delivery_cancel_wait(ctx, order_id, &delivery);
    if (err)
        return err;
    response->delivery = delivery_to_message(ctx->arena, &delivery);
    return response->delivery ? CH_OK : CH_ERR_NO_MEMORY;
}

static enum ch_err rpc_advance_delivery(struct ch_call *call, const void *in, void *out)
{
    const Delivery__V1__AdvanceDeliveryRequest *request = in;
    Delivery__V1__AdvanceDeliveryResponse *response = out;
    struct ch_ctx *ctx = &call->ctx;
    struct delivery delivery;
    struct ch_uuid order_id;
    enum ch_err err;

    err = ch_check_uuid(ctx, "/order_id", request->order_id, &order_id);
    if (err)
        return err;
    if (request->to != DELIVERY__V1__DELIVERY_STATUS__DELIVERY_STATUS_ON_ROUTE &&
        request->to != DELIVERY__V1__DELIVERY_STATUS__DELIVERY_STATUS_DELIVERED)
        return ch_fail(ctx, CH_ERR_INVALID, "/to", "enum", "ON_ROUTE, DELIVERED 중 하나여야 합니다");
    const enum delivery_status to =
        (enum delivery_status)((int)request->to - DELIVERY__V1__DELIVERY_STATUS__DELIVERY_STATUS_READY);
    err = delivery_advance_wait(ctx, order_id, to, &delivery);
    if (err)
        return err;
    response->delivery = delivery_to_message(ctx->arena, &delivery);
    return response->delivery ? CH_OK : CH_ERR_NO_MEMORY;
}

static enum ch_err send_message(void *arg, const struct tracking_event *event)
{
    struct ch_call *call = arg;
    Delivery__V1__WatchDeliveryResponse response = DELIVERY__V1__WATCH_DELIVERY_RESPONSE__INIT;
    Delivery__V1__DeliveryEvent message;
    struct ch_arena *arena = ch_arena_new(4096);
    enum ch_err err = CH_ERR_NO_MEMORY;

    if (arena && event_to_message(arena, event, &message)) {
        response.event = &message;
        err = ch_call_send_wait(call, &response.base);
    }
    ch_arena_free(arena);
    return err;
}

static enum ch_err rpc_watch_delivery(struct ch_call *call, const void *in, void *out)
{
    const Delivery__V1__WatchDeliveryRequest *request = in;
    struct ch_ctx *ctx = &call->ctx;
    struct follower follower = {.loop = ctx->loop, .trace = ctx->trace, .sequence = request->after_sequence};
    struct delivery delivery;
    enum ch_err err;

    (void)out; // a stream: messages leave one by one
    err = ch_check_uuid(ctx, "/order_id", request->order_id, &follower.order_id);
    if (err)
        return err;
    err = delivery_get_wait(ctx, follower.order_id, &delivery);
    if (err)
        return err;
    if (delivery.status >= DELIVERY_DELIVERED && follower.sequence >= delivery.sequence)
        return CH_OK;
    while (!err && !follower.is_ended) {
        if (ch_now_ns() >= ctx->deadline_ns)
            return CH_ERR_DEADLINE;
        if (ch_has_run_out(ctx->identity))
            return CH_ERR_UNAUTHENTICATED;
        err = follow_wait(
            &follower, ch_now_ns() + WATCH_STEP_NS < ctx->deadline_ns ? ch_now_ns() + WATCH_STEP_NS : ctx->deadline_ns,
            send_message, call);
    }
    return err;
}

const struct ch_rpc rpcs[] = {
    CH_RPC_BY("/delivery.v1.DeliveryService/GetDeliveries", "order-manager", CH_ORDERS_READ | CH_DELIVERIES_WRITE,
              rpc_get_deliveries, delivery__v1__get_deliveries_request, delivery__v1__get_deliveries_response),
    CH_RPC_BY("/delivery.v1.DeliveryService/CancelDelivery", "order-manager", 0, rpc_cancel_delivery,
              delivery__v1__cancel_delivery_request, delivery__v1__cancel_delivery_response),
    CH_RPC("/delivery.v1.DeliveryService/AdvanceDelivery", CH_DELIVERIES_WRITE, rpc_advance_delivery,
           delivery__v1__advance_delivery_request, delivery__v1__advance_delivery_response),
    CH_RPC_STREAM("/delivery.v1.DeliveryService/WatchDelivery", CH_ORDERS_READ | CH_DELIVERIES_WRITE,
                  rpc_watch_delivery, delivery__v1__watch_delivery_request, delivery__v1__watch_delivery_response),
    {0},
};
