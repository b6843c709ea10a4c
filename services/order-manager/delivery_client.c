// SPDX-License-Identifier: Apache-2.0
// Asks DeliveryMock where a box is, and stops it before it leaves. Reading never waits long: an order must stay
// readable while DeliveryMock is away.
#include "delivery_client.h"

#include "config.h"
#include "delivery/v1/delivery.pb-c.h"

enum { CANCEL_TIMEOUT_MS = 2000 };

static const struct ch_rpc rpc_cancel_delivery =
    CH_RPC_REPEATABLE("/delivery.v1.DeliveryService/CancelDelivery", delivery__v1__cancel_delivery_request,
                      delivery__v1__cancel_delivery_response);
static const struct ch_rpc rpc_get_deliveries =
    CH_RPC_REPEATABLE("/delivery.v1.DeliveryService/GetDeliveries", delivery__v1__get_deliveries_request,
                      delivery__v1__get_deliveries_response);

// The contract's names without their prefix, as REST shows them.
static struct ch_str short_name(const ProtobufCEnumDescriptor *names, int value, size_t prefix_len)
{
    const ProtobufCEnumValue *name = protobuf_c_enum_descriptor_get_value(names, value);

    return name && strlen(name->name) > prefix_len ? ch_str_of(name->name + prefix_len) : (struct ch_str){0};
}

static struct ch_str status_name(Delivery__V1__DeliveryStatus status)
{
    return short_name(&delivery__v1__delivery_status__descriptor, (int)status, strlen("DELIVERY_STATUS_"));
}

static enum ch_err delivery_from_message(struct ch_ctx *ctx, const Delivery__V1__Delivery *message,
                                         struct order_delivery *ret_delivery)
{
    struct order_delivery_event *events = ch_arena_array(ctx->arena, message->n_events, sizeof(*events));

    if (message->n_events && !events)
        return CH_ERR_NO_MEMORY;
    for (size_t i = 0; i < message->n_events; i++) {
        const Delivery__V1__DeliveryEvent *event = message->events[i];

        events[i] = (struct order_delivery_event){
            .sequence = event->sequence,
            .type = short_name(&delivery__v1__delivery_event_type__descriptor, (int)event->type,
                               strlen("DELIVERY_EVENT_TYPE_")),
            .status = status_name(event->status),
            .location = ch_str_of(event->location),
            .message = ch_str_of(event->message),
        };
        if (ch_time_parse(ch_str_of(event->at), &events[i].at_us))
            return CH_ERR_INTERNAL;
    }
    *ret_delivery = (struct order_delivery){
        .status = status_name(message->status),
        .carrier = ch_str_of(message->carrier),
        .invoice_no = ch_str_of(message->invoice_no),
        .as_of_us = ch_wall_us(),
        .is_live = true,
        .events = events,
        .event_count = message->n_events,
    };
    return CH_OK;
}

enum ch_err delivery_get_wait(struct ch_ctx *ctx, struct ch_uuid order_id, struct order_delivery *ret_delivery)
{
    Delivery__V1__GetDeliveriesRequest request = DELIVERY__V1__GET_DELIVERIES_REQUEST__INIT;
    char text[CH_UUID_TEXT], *ids[] = {text};
    void *reply;

    ch_uuid_format(order_id, text);
    request.n_order_ids = 1;
    request.order_ids = ids;
    ctx->step = "ask delivery";
    enum ch_err err = ch_peer_call_wait(ch_peer_at(ctx, PEER_DELIVERY), ctx, &rpc_get_deliveries, &request.base,
                                        ch_now_ns() + config.delivery_timeout_ms * 1000000, &reply);
    if (err)
        return err;
    const Delivery__V1__GetDeliveriesResponse *response = reply;
    if (response->n_deliveries == 0) {
        *ret_delivery = (struct order_delivery){.is_live = true};
        return CH_OK;
    }
    return delivery_from_message(ctx, response->deliveries[0], ret_delivery);
}

enum ch_err delivery_cancel_wait(struct ch_ctx *ctx, struct ch_uuid order_id, const char *reason)
{
    Delivery__V1__CancelDeliveryRequest request = DELIVERY__V1__CANCEL_DELIVERY_REQUEST__INIT;
    char text[CH_UUID_TEXT];
    void *reply;

    ch_uuid_format(order_id, text);
    request.order_id = text;
    request.reason = (char *)reason; // protobuf-c's fields are not const; it is only read
    ctx->step = "stop the delivery";
    return ch_peer_call_wait(ch_peer_at(ctx, PEER_DELIVERY), ctx, &rpc_cancel_delivery, &request.base,
                             ch_now_ns() + CANCEL_TIMEOUT_MS * INT64_C(1000000), &reply);
}
