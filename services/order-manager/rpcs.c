// SPDX-License-Identifier: Apache-2.0
// OrderManager over gRPC: contracts/proto/orders/v1/orders.proto. The rules are order.c's, the same as for REST.
#include "cancel.h"
#include "ch/point.h"
#include "order_input.h"
#include "order_message.h"
#include "order_store.h"
#include "tables.h"

enum { RESOLVE_MAX = 500 };

static enum ch_err rpc_place_order(struct ch_call *call, const void *in, void *out)
{
    Orders__V1__PlaceOrderResponse *response = out;
    struct ch_ctx *ctx = &call->ctx;
    struct order_input input = {0};
    struct ch_str key;
    struct order order;
    enum ch_err err;

    err = order_input_from_message(ctx, in, &input, &key);
    if (err)
        return err;
    err = order_from_input(ctx, &input, key, &order);
    if (err)
        return err;
    err = order_place_wait(ctx, &order);
    if (err)
        return err;
    if (!order.created_at_us) { // an earlier order of this key: only its id and REST answer are at hand
        err = order_get_wait(ctx, order.order_id, &order);
        if (err)
            return err;
    }
    response->order = order_to_message(ctx, &order);
    return response->order ? CH_OK : CH_ERR_NO_MEMORY;
}

// The whole order, as GetOrder and CancelOrder answer it.
static enum ch_err detail_message_wait(struct ch_ctx *ctx, struct ch_uuid order_id, Orders__V1__Order **ret_message)
{
    struct timeline_entry *timeline;
    struct order order;
    size_t count;

    const enum ch_err err = order_detail_wait(ctx, order_id, (struct ch_str){0}, &order, &timeline, &count);
    if (err)
        return err;
    Orders__V1__Order *message = order_to_message(ctx, &order);
    if (!message || !order_message_add_detail(ctx, message, &order, timeline, count))
        return CH_ERR_NO_MEMORY;
    *ret_message = message;
    return CH_OK;
}

static enum ch_err rpc_get_order(struct ch_call *call, const void *in, void *out)
{
    const Orders__V1__GetOrderRequest *request = in;
    Orders__V1__GetOrderResponse *response = out;
    struct ch_uuid order_id;

    const enum ch_err err = ch_check_uuid(&call->ctx, "/order_id", request->order_id, &order_id);
    return err ? err : detail_message_wait(&call->ctx, order_id, &response->order);
}

static enum ch_err rpc_cancel_order(struct ch_call *call, const void *in, void *out)
{
    const Orders__V1__CancelOrderRequest *request = in;
    Orders__V1__CancelOrderResponse *response = out;
    struct ch_ctx *ctx = &call->ctx;
    struct cancel_wish wish;
    struct ch_uuid order_id;
    enum ch_err err;

    err = ch_check_uuid(ctx, "/order_id", request->order_id, &order_id);
    if (err)
        return err;
    err = cancel_wish_from_message(ctx, request, &wish);
    if (err)
        return err;
    err = order_cancel_wait(ctx, order_id, &wish);
    return err ? err : detail_message_wait(ctx, order_id, &response->order);
}

static Orders__V1__OrderFate fate_from(struct ch_str status)
{
    if (ch_str_is(status, "ABORTED"))
        return ORDERS__V1__ORDER_FATE__ORDER_FATE_ABORTED;
    if (ch_str_is(status, "CANCELLED"))
        return ORDERS__V1__ORDER_FATE__ORDER_FATE_CANCELLED;
    return ORDERS__V1__ORDER_FATE__ORDER_FATE_PLACED;
}

static enum ch_err rpc_resolve_orders(struct ch_call *call, const void *in, void *out)
{
    const Orders__V1__ResolveOrdersRequest *request = in;
    Orders__V1__ResolveOrdersResponse *response = out;
    struct ch_ctx *ctx = &call->ctx;
    const size_t count = request->n_order_ids;
    enum ch_err err;

    if (count < 1 || count > RESOLVE_MAX)
        return ch_fail(ctx, CH_ERR_INVALID, "/order_ids", "range", "1개에서 %d개까지 보낼 수 있습니다", RESOLVE_MAX);
    struct ch_uuid *ids = ch_arena_array(ctx->arena, count, sizeof(*ids));
    struct ch_str *fates = ch_arena_array(ctx->arena, count, sizeof(*fates));
    Orders__V1__OrderResolution *resolutions = ch_arena_array(ctx->arena, count, sizeof(*resolutions));
    response->resolutions = ch_arena_array(ctx->arena, count, sizeof(response->resolutions[0]));
    if (!ids || !fates || !resolutions || !response->resolutions)
        return CH_ERR_NO_MEMORY;
    for (size_t i = 0; i < count; i++) {
        err = ch_check_uuid(ctx, ch_arena_printf(ctx->arena, "/order_ids/%zu", i), request->order_ids[i], &ids[i]);
        if (err)
            return err;
    }
    err = order_resolve_wait(ctx, ids, count, fates);
    if (err)
        return err;

    response->n_resolutions = count;
    for (size_t i = 0; i < count; i++) {
        orders__v1__order_resolution__init(&resolutions[i]);
        resolutions[i].order_id = request->order_ids[i];
        resolutions[i].fate = fate_from(fates[i]);
        response->resolutions[i] = &resolutions[i];
    }
    return CH_POINT(RESOLVE_BEFORE_REPLY);
}

const struct ch_rpc rpcs[] = {
    CH_RPC("/orders.v1.OrderService/PlaceOrder", CH_ORDERS_WRITE, rpc_place_order, orders__v1__place_order_request,
           orders__v1__place_order_response),
    CH_RPC("/orders.v1.OrderService/GetOrder", CH_ORDERS_READ, rpc_get_order, orders__v1__get_order_request,
           orders__v1__get_order_response),
    CH_RPC("/orders.v1.OrderService/CancelOrder", CH_ORDERS_WRITE, rpc_cancel_order, orders__v1__cancel_order_request,
           orders__v1__cancel_order_response),
    CH_RPC_BY("/orders.v1.OrderService/ResolveOrders", "fruit-catalog", 0, rpc_resolve_orders,
              orders__v1__resolve_orders_request, orders__v1__resolve_orders_response),
    {0},
};
