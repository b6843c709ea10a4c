// SPDX-License-Identifier: Apache-2.0
// FruitCatalog over gRPC: contracts/proto/catalog/v1/catalog.proto. Messages to structs and back; the rules are
// reserve.c's and the store's.
#include "ch/point.h"
#include "hold.h"
#include "reserve.h"
#include "tables.h"

#include "catalog/v1/catalog.pb-c.h"

enum {
    GET_SKUS_MAX = 500,
    RESERVE_ORDERS_MAX = 256,
    RESERVE_LINES_MAX = 20,
    QUANTITY_MAX = 99,
    RELEASE_MAX = 500,
    REASON_MIN = 2,
    REASON_MAX = 200,
};

// ---- reading

static enum ch_err check_count(struct ch_ctx *ctx, const char *pointer, size_t count, size_t max)
{
    if (count >= 1 && count <= max)
        return CH_OK;
    return ch_fail(ctx, CH_ERR_INVALID, pointer, "count", "1개 이상 %zu개 이하여야 합니다", max);
}

static enum ch_err read_uuids(struct ch_ctx *ctx, const char *pointer, char *const *texts, size_t count, size_t max,
                              struct ch_uuid **ret_ids)
{
    enum ch_err err = check_count(ctx, pointer, count, max);
    struct ch_uuid *ids;

    if (err)
        return err;
    ids = ch_arena_array(ctx->arena, count, sizeof(*ids));
    if (!ids)
        return CH_ERR_NO_MEMORY;
    for (size_t i = 0; i < count; i++)
        if (ch_uuid_parse(ch_str_of(texts[i]), &ids[i]))
            return ch_check_uuid(ctx, ch_arena_printf(ctx->arena, "%s/%zu", pointer, i), texts[i], &ids[i]);
    *ret_ids = ids;
    return CH_OK;
}

// ---- snapshots

// Strings of a snapshot lie in the call's arena and end with NUL; protobuf-c's fields are not const but only read.
static char *text_of(struct ch_str str)
{
    return (char *)(str.data ? str.data : "");
}

static Catalog__V1__SkuSnapshot *snapshot_message(struct ch_arena *arena, const struct sku_snapshot *sku)
{
    Catalog__V1__SkuSnapshot *message = ch_arena_alloc(arena, sizeof(*message));

    if (!message)
        return NULL;
    catalog__v1__sku_snapshot__init(message);
    message->sku_id = ch_arena_uuid(arena, sku->sku_id);
    message->product_id = ch_arena_uuid(arena, sku->product_id);
    message->farm_id = ch_arena_uuid(arena, sku->farm_id);
    message->farm_name = text_of(sku->farm_name);
    message->title = text_of(sku->title);
    message->fruit = text_of(sku->fruit);
    message->variety = text_of(sku->variety);
    message->grade = text_of(sku->grade);
    message->weight_g = sku->weight_g;
    message->price_krw = sku->price_krw;
    message->available = sku->available;
    message->per_order_limit = sku->per_order_limit;
    message->per_buyer_limit = sku->per_buyer_limit;
    message->on_sale = sku->is_on_sale;
    message->ship_cutoff = text_of(sku->ship_cutoff);
    return message->sku_id && message->product_id && message->farm_id ? message : NULL;
}

// ---- GetSkus

// The answer stands in the order asked, so ids seen before are left out by hand.
static bool is_seen(const struct ch_uuid *ids, size_t count, struct ch_uuid id)
{
    for (size_t i = 0; i < count; i++)
        if (ch_uuid_eq(ids[i], id))
            return true;
    return false;
}

static enum ch_err rpc_get_skus(struct ch_call *call, const void *in, void *out)
{
    const Catalog__V1__GetSkusRequest *request = in;
    Catalog__V1__GetSkusResponse *response = out;
    struct ch_ctx *ctx = &call->ctx;
    struct reserve_facts facts;
    struct ch_uuid *ids;
    enum ch_err err;

    err = read_uuids(ctx, "/sku_ids", request->sku_ids, request->n_sku_ids, GET_SKUS_MAX, &ids);
    if (err)
        return err;
    const struct reserve_asked asked = {.sku_ids = ids, .sku_count = request->n_sku_ids};
    err = reserve_read_wait(ctx, NULL, &asked, &facts);
    if (err)
        return err;
    response->skus = ch_arena_array(ctx->arena, request->n_sku_ids, sizeof(response->skus[0]));
    if (!response->skus)
        return CH_ERR_NO_MEMORY;
    for (size_t i = 0; i < request->n_sku_ids; i++) {
        const struct sku_snapshot *sku = sku_snapshot_find(facts.skus, facts.sku_count, ids[i]);

        if (!sku || is_seen(ids, i, ids[i]))
            continue;
        response->skus[response->n_skus] = snapshot_message(ctx->arena, sku);
        if (!response->skus[response->n_skus++])
            return CH_ERR_NO_MEMORY;
    }
    return CH_OK;
}

// ---- Reserve

static enum ch_err read_line(struct ch_ctx *ctx, const char *pointer, const Catalog__V1__ReservationLine *in,
                             struct reserve_line *ret_line)
{
    *ret_line = (struct reserve_line){.quantity = in->quantity, .unit_price_krw = in->unit_price_krw};
    if (in->quantity < 1 || in->quantity > QUANTITY_MAX)
        return ch_fail(ctx, CH_ERR_INVALID, pointer, "range", "quantity는 1 이상 %d 이하여야 합니다", QUANTITY_MAX);
    return ch_check_uuid(ctx, pointer, in->sku_id, &ret_line->sku_id);
}

static enum ch_err read_order(struct ch_ctx *ctx, size_t index, const Catalog__V1__OrderReservation *in,
                              struct reserve_order *ret_order)
{
    const char *pointer = ch_arena_printf(ctx->arena, "/orders/%zu", index);
    struct reserve_line *lines;
    enum ch_err err;

    err = check_count(ctx, pointer, in->n_lines, RESERVE_LINES_MAX);
    if (err)
        return err;
    lines = ch_arena_array(ctx->arena, in->n_lines, sizeof(*lines));
    if (!lines || !pointer)
        return CH_ERR_NO_MEMORY;
    *ret_order = (struct reserve_order){.lines = lines, .line_count = in->n_lines};
    err = ch_check_uuid(ctx, pointer, in->order_id, &ret_order->order_id);
    if (!err)
        err = ch_check_uuid(ctx, pointer, in->buyer_id, &ret_order->buyer_id);
    for (size_t i = 0; i < in->n_lines && !err; i++) {
        err = read_line(ctx, pointer, in->lines[i], &lines[i]);
        for (size_t j = 0; j < i && !err; j++)
            if (ch_uuid_eq(lines[j].sku_id, lines[i].sku_id))
                err = ch_fail(ctx, CH_ERR_INVALID, pointer, "duplicate", "같은 SKU가 두 번 있습니다");
    }
    return err;
}

static enum ch_err read_orders(struct ch_ctx *ctx, const Catalog__V1__ReserveRequest *request,
                               struct reserve_order **ret_orders)
{
    struct reserve_order *orders;
    enum ch_err err;

    err = check_count(ctx, "/orders", request->n_orders, RESERVE_ORDERS_MAX);
    if (err)
        return err;
    orders = ch_arena_array(ctx->arena, request->n_orders, sizeof(*orders));
    if (!orders)
        return CH_ERR_NO_MEMORY;
    for (size_t i = 0; i < request->n_orders; i++) {
        err = read_order(ctx, i, request->orders[i], &orders[i]);
        if (err)
            return err;
        for (size_t j = 0; j < i; j++)
            if (ch_uuid_eq(orders[j].order_id, orders[i].order_id))
                return ch_fail(ctx, CH_ERR_INVALID, "/orders", "duplicate", "같은 주문이 두 번 있습니다");
    }
    *ret_orders = orders;
    return CH_OK;
}

// Lines of one call share the snapshot of a SKU, so its message is made once.
struct snapshot_messages {
    const struct sku_snapshot **skus;
    Catalog__V1__SkuSnapshot **messages;
    size_t count;
};

static Catalog__V1__SkuSnapshot *shared_message(struct ch_arena *arena, struct snapshot_messages *made,
                                                const struct reserve_line *line)
{
    const struct sku_snapshot unknown = {.sku_id = line->sku_id};

    if (!line->sku)
        return snapshot_message(arena, &unknown);
    for (size_t i = 0; i < made->count; i++)
        if (made->skus[i] == line->sku)
            return made->messages[i];
    made->skus[made->count] = line->sku;
    made->messages[made->count] = snapshot_message(arena, line->sku);
    return made->messages[made->count++];
}

static enum ch_err write_line(struct ch_arena *arena, struct snapshot_messages *made, const struct reserve_line *line,
                              Catalog__V1__ReservationLineResult *result)
{
    catalog__v1__reservation_line_result__init(result);
    result->sku = shared_message(arena, made, line);
    if (!result->sku)
        return CH_ERR_NO_MEMORY;
    if (!line->sku) { // only sku_id is said of what does not exist
        result->sku->product_id = text_of(CH_STR(""));
        result->sku->farm_id = text_of(CH_STR(""));
    }
    result->available = line->available;
    result->buyer_left = line->buyer_left;
    result->ok = line->is_ok;
    if (!ch_uuid_is_nil(line->lot_id))
        result->lot_id = ch_arena_uuid(arena, line->lot_id);
    return result->lot_id ? CH_OK : CH_ERR_NO_MEMORY;
}

static enum ch_err write_order(struct ch_arena *arena, struct snapshot_messages *made,
                               const struct reserve_order *order, Catalog__V1__OrderReservationResult *result)
{
    Catalog__V1__ReservationLineResult *lines = ch_arena_array(arena, order->line_count, sizeof(*lines));
    enum ch_err err = CH_OK;

    catalog__v1__order_reservation_result__init(result);
    result->order_id = ch_arena_uuid(arena, order->order_id);
    result->outcome = (Catalog__V1__ReserveOutcome)order->outcome;
    result->lines = ch_arena_array(arena, order->line_count, sizeof(result->lines[0]));
    if (!result->order_id || (order->line_count && (!lines || !result->lines)))
        return CH_ERR_NO_MEMORY;
    result->n_lines = order->line_count;
    for (size_t i = 0; i < order->line_count && !err; i++) {
        result->lines[i] = &lines[i];
        err = write_line(arena, made, &order->lines[i], &lines[i]);
    }
    return err;
}

static enum ch_err rpc_reserve(struct ch_call *call, const void *in, void *out)
{
    const Catalog__V1__ReserveRequest *request = in;
    Catalog__V1__ReserveResponse *response = out;
    struct ch_ctx *ctx = &call->ctx;
    struct ch_arena *arena = ctx->arena;
    const size_t count = request->n_orders;
    struct reserve_order *orders = NULL;
    size_t lines = 0;
    enum ch_err err;

    err = read_orders(ctx, request, &orders);
    if (err)
        return err;
    err = reserve_wait(ctx, orders, count, ch_str_of(request->cluster_run));
    if (err)
        return err;

    for (size_t i = 0; i < count; i++)
        lines += orders[i].line_count;
    struct snapshot_messages made = {.skus = ch_arena_array(arena, lines, sizeof(made.skus[0])),
                                     .messages = ch_arena_array(arena, lines, sizeof(made.messages[0]))};
    Catalog__V1__OrderReservationResult *results = ch_arena_array(arena, count, sizeof(*results));
    response->results = ch_arena_array(arena, count, sizeof(response->results[0]));
    if (!results || !response->results || (lines && (!made.skus || !made.messages)))
        return CH_ERR_NO_MEMORY;
    response->n_results = count;
    for (size_t i = 0; i < count && !err; i++) {
        response->results[i] = &results[i];
        err = write_order(arena, &made, &orders[i], &results[i]);
    }
    return err ? err : CH_POINT(RESERVE_BEFORE_REPLY);
}

// ---- Release

static enum ch_err rpc_release(struct ch_call *call, const void *in, void *out)
{
    const Catalog__V1__ReleaseRequest *request = in;
    Catalog__V1__ReleaseResponse *response = out;
    const struct ch_str reason = ch_str_of(request->reason);
    struct ch_ctx *ctx = &call->ctx;
    struct ch_uuid *ids;
    enum ch_err err;

    if (!ch_utf8_is_valid(reason) || ch_utf8_length(reason) < REASON_MIN || ch_utf8_length(reason) > REASON_MAX)
        return ch_fail(ctx, CH_ERR_INVALID, "/reason", "length", "%d자 이상 %d자 이하여야 합니다", REASON_MIN,
                       REASON_MAX);
    err = read_uuids(ctx, "/order_ids", request->order_ids, request->n_order_ids, RELEASE_MAX, &ids);
    if (err)
        return err;
    err = hold_release_wait(ctx, ids, request->n_order_ids, reason);
    if (err)
        return err;
    response->released_order_ids = request->order_ids; // all of them, as they were asked
    response->n_released_order_ids = request->n_order_ids;
    return CH_OK;
}

const struct ch_rpc rpcs[] = {
    CH_RPC_BY("/catalog.v1.CatalogService/GetSkus", "order-manager", 0, rpc_get_skus, catalog__v1__get_skus_request,
              catalog__v1__get_skus_response),
    CH_RPC_BY("/catalog.v1.CatalogService/Reserve", "order-manager", 0, rpc_reserve, catalog__v1__reserve_request,
              catalog__v1__reserve_response),
    CH_RPC_BY("/catalog.v1.CatalogService/Release", "order-manager", 0, rpc_release, catalog__v1__release_request,
              catalog__v1__release_response),
    {0},
};
