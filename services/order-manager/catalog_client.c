// SPDX-License-Identifier: Apache-2.0
// Calls FruitCatalog. All orders that arrive while a Reserve is in flight share the next one.
#include "catalog_client.h"

#include "catalog/v1/catalog.pb-c.h"
#include "config.h"
#include "tables.h"

enum { RESERVE_TIMEOUT_MS = 3000, RELEASE_TIMEOUT_MS = 1000 };

static const struct ch_rpc rpc_reserve =
    CH_RPC("/catalog.v1.CatalogService/Reserve", 0, NULL, catalog__v1__reserve_request, catalog__v1__reserve_response);
static const struct ch_rpc rpc_release =
    CH_RPC("/catalog.v1.CatalogService/Release", 0, NULL, catalog__v1__release_request, catalog__v1__release_response);

struct reservation {
    struct ch_batch_item item; // first: the batch hands items back
    struct ch_ctx *ctx;
    struct order *order;
};

// What each refusal means for the buyer.
static const struct {
    enum ch_err err;
    const char *code, *detail;
} refusals[] = {
    [CATALOG__V1__RESERVE_OUTCOME__RESERVE_OUTCOME_STOCK_SHORT] = {CH_ERR_STOCK_SHORT, "stock_short",
                                                                   "남은 수량은 %lld개입니다"},
    [CATALOG__V1__RESERVE_OUTCOME__RESERVE_OUTCOME_PRICE_CHANGED] = {CH_ERR_PRICE_CHANGED, "price_changed",
                                                                     "현재 가격은 %lld원입니다"},
    [CATALOG__V1__RESERVE_OUTCOME__RESERVE_OUTCOME_SKU_UNAVAILABLE] = {CH_ERR_SKU_UNAVAILABLE, "sku_unavailable",
                                                                       "판매 중이 아닙니다"},
    [CATALOG__V1__RESERVE_OUTCOME__RESERVE_OUTCOME_LIMIT_EXCEEDED] = {CH_ERR_LIMIT_EXCEEDED, "order_limit_exceeded",
                                                                      "한 번에 %lld개까지 주문할 수 있습니다"},
    [CATALOG__V1__RESERVE_OUTCOME__RESERVE_OUTCOME_ORDER_CLOSED] = {CH_ERR_ORDER_CLOSED, "order_closed",
                                                                    "다시 주문해 주세요"},
};

static char *uuid_text(struct ch_arena *arena, struct ch_uuid uuid)
{
    char *text = ch_arena_alloc(arena, CH_UUID_TEXT);

    if (text)
        ch_uuid_format(uuid, text);
    return text;
}

// ---- the batch: many orders, one call
// --------------------------------------------------------------------------------

static Catalog__V1__OrderReservation *reservation_message(struct ch_arena *arena, const struct order *order)
{
    Catalog__V1__OrderReservation *message = ch_arena_alloc(arena, sizeof(*message));
    Catalog__V1__ReservationLine *lines = ch_arena_array(arena, order->line_count, sizeof(*lines));
    Catalog__V1__ReservationLine **pointers = ch_arena_array(arena, order->line_count, sizeof(*pointers));

    if (!message || !lines || !pointers)
        return NULL;
    catalog__v1__order_reservation__init(message);
    message->order_id = uuid_text(arena, order->order_id);
    message->buyer_id = uuid_text(arena, order->buyer_id);
    message->n_lines = order->line_count;
    message->lines = pointers;
    for (size_t i = 0; i < order->line_count; i++) {
        pointers[i] = &lines[i];
        catalog__v1__reservation_line__init(&lines[i]);
        lines[i].sku_id = uuid_text(arena, order->lines[i].sku_id);
        lines[i].quantity = (int32_t)order->lines[i].quantity;
        lines[i].unit_price_krw = order->lines[i].unit_price_krw;
        if (!lines[i].sku_id)
            return NULL;
    }
    return message->order_id && message->buyer_id ? message : NULL;
}

static struct ch_str copy(struct ch_arena *arena, const char *text)
{
    return ch_str_of(ch_arena_strdup(arena, ch_str_of(text)));
}

static enum ch_err line_take_snapshot(struct ch_ctx *ctx, struct order_line *line,
                                      const Catalog__V1__ReservationLineResult *result)
{
    const Catalog__V1__SkuSnapshot *sku = result->sku;

    if (!sku || ch_uuid_parse(ch_str_of(sku->product_id), &line->product_id) ||
        ch_uuid_parse(ch_str_of(sku->farm_id), &line->farm_id))
        return CH_ERR_INTERNAL;
    if (result->lot_id[0] && ch_uuid_parse(ch_str_of(result->lot_id), &line->lot_id))
        return CH_ERR_INTERNAL;
    line->farm_name = copy(ctx->arena, sku->farm_name);
    line->title = copy(ctx->arena, sku->title);
    line->grade = copy(ctx->arena, sku->grade);
    line->weight_g = sku->weight_g;
    return line->farm_name.data && line->title.data && line->grade.data ? CH_OK : CH_ERR_NO_MEMORY;
}

// The figure that helps the buyer: boxes left, the price now, or the limit.
static long long refusal_figure(enum ch_err err, const Catalog__V1__ReservationLineResult *line)
{
    if (err == CH_ERR_PRICE_CHANGED)
        return line->sku ? line->sku->price_krw : 0;
    if (err == CH_ERR_LIMIT_EXCEEDED)
        return line->sku ? line->sku->per_order_limit : 0;
    return line->available;
}

static enum ch_err reservation_refused(struct ch_ctx *ctx, const Catalog__V1__OrderReservationResult *result)
{
    const size_t outcome = (size_t)result->outcome;

    if (outcome >= sizeof(refusals) / sizeof(refusals[0]) || !refusals[outcome].err)
        return CH_ERR_INTERNAL;
    const enum ch_err err = refusals[outcome].err;
    for (size_t i = 0; i < result->n_lines; i++) {
        char detail[128];

        if (result->lines[i]->ok)
            continue;
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral" // formats stand in the table above
#pragma GCC diagnostic ignored "-Wformat-extra-args"
        snprintf(detail, sizeof(detail), refusals[outcome].detail, refusal_figure(err, result->lines[i]));
#pragma GCC diagnostic pop
        CH_IGNORE(ch_fail(ctx, err, ch_arena_printf(ctx->arena, "/lines/%zu/skuId", i), refusals[outcome].code, "%s",
                      detail));
    }
    return err;
}

static enum ch_err reservation_settle(struct reservation *reservation,
                                      const Catalog__V1__OrderReservationResult *result)
{
    struct order *order = reservation->order;
    enum ch_err err = CH_OK;

    if (result->outcome != CATALOG__V1__RESERVE_OUTCOME__RESERVE_OUTCOME_RESERVED)
        return reservation_refused(reservation->ctx, result);
    if (result->n_lines != order->line_count)
        return CH_ERR_INTERNAL;
    for (size_t i = 0; i < order->line_count && !err; i++)
        err = line_take_snapshot(reservation->ctx, &order->lines[i], result->lines[i]);
    return err;
}

static enum ch_err reserve_all(struct ch_ctx *ctx, struct ch_batch_item **items, size_t count)
{
    Catalog__V1__ReserveRequest request = CATALOG__V1__RESERVE_REQUEST__INIT;
    void *reply;

    request.n_orders = count;
    request.orders = ch_arena_array(ctx->arena, count, sizeof(request.orders[0]));
    if (!request.orders)
        return CH_ERR_NO_MEMORY;
    for (size_t i = 0; i < count; i++) {
        request.orders[i] = reservation_message(ctx->arena, ((struct reservation *)items[i])->order);
        if (!request.orders[i])
            return CH_ERR_NO_MEMORY;
    }

    enum ch_err err =
        ch_peer_call_wait(ch_peer_at(ctx, PEER_CATALOG), ctx, &rpc_reserve, &request.base, ctx->deadline_ns, &reply);
    if (err)
        return err;
    const Catalog__V1__ReserveResponse *response = reply;
    if (response->n_results != count)
        return CH_ERR_INTERNAL;
    for (size_t i = 0; i < count; i++)
        items[i]->result = reservation_settle((struct reservation *)items[i], response->results[i]);
    return CH_OK;
}

void catalog_reserve_commit(void *loop, struct ch_batch_item **items, size_t count)
{
    const struct reservation *first = (const struct reservation *)items[0];
    struct ch_ctx ctx;

    enum ch_err err = ch_ctx_open(&ctx, loop, "catalog.reserve", RESERVE_TIMEOUT_MS, &first->ctx->trace);
    if (!err) {
        err = reserve_all(&ctx, items, count);
        ch_ctx_close(&ctx, err);
    }
    for (size_t i = 0; i < count && err; i++)
        items[i]->result = err;
}

// ---- what the rules call
// ---------------------------------------------------------------------------------------------

enum ch_err catalog_reserve_wait(struct ch_ctx *ctx, struct order *order)
{
    struct batches *batches = ch_loop_state(ctx);
    struct reservation reservation = {.ctx = ctx, .order = order};

    ctx->step = "reserve stock";
    return ch_batch_join_wait(&batches->reserve, &reservation.item, ctx->deadline_ns);
}

enum ch_err catalog_release_wait(struct ch_ctx *ctx, struct ch_uuid order_id, const char *reason)
{
    Catalog__V1__ReleaseRequest request = CATALOG__V1__RELEASE_REQUEST__INIT;
    char text[CH_UUID_TEXT], *ids[] = {text};
    void *reply;

    ch_uuid_format(order_id, text);
    request.n_order_ids = 1;
    request.order_ids = ids;
    request.reason = (char *)reason; // protobuf-c's fields are not const; it is only read
    return ch_peer_call_wait(ch_peer_at(ctx, PEER_CATALOG), ctx, &rpc_release, &request.base,
                             ch_now_ns() + RELEASE_TIMEOUT_MS * INT64_C(1000000), &reply);
}
