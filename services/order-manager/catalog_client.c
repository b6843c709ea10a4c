// SPDX-License-Identifier: Apache-2.0
// Calls FruitCatalog, and says its refusals as the shop says them.
#include "catalog_client.h"

#include "catalog/v1/catalog.pb-c.h"
#include "config.h"
#include "tables.h"

enum { RELEASE_TIMEOUT_MS = 1000 };

static const struct ch_rpc rpc_reserve = CH_RPC_REPEATABLE("/catalog.v1.CatalogService/Reserve",
                                                           catalog__v1__reserve_request, catalog__v1__reserve_response);
static const struct ch_rpc rpc_release = CH_RPC_REPEATABLE("/catalog.v1.CatalogService/Release",
                                                           catalog__v1__release_request, catalog__v1__release_response);

// What each refusal means for the buyer: the error, the member of the line at fault, and what the line shows of it
// (NULL: it is not this line's fault).
typedef char *refusal_detail(struct ch_arena *arena, const Catalog__V1__ReservationLineResult *result,
                             const struct order_line *line);
static refusal_detail tell_stock, tell_price, tell_unavailable, tell_limit, tell_buyer_limit;

static const struct refusal {
    enum ch_err err;
    const char *member;
    refusal_detail *tell;
} refusals[] = {
    [CATALOG__V1__RESERVE_OUTCOME__RESERVE_OUTCOME_STOCK_SHORT] = {CH_ERR_STOCK_SHORT, "quantity", tell_stock},
    [CATALOG__V1__RESERVE_OUTCOME__RESERVE_OUTCOME_PRICE_CHANGED] = {CH_ERR_PRICE_CHANGED, "unitPriceKrw", tell_price},
    [CATALOG__V1__RESERVE_OUTCOME__RESERVE_OUTCOME_SKU_UNAVAILABLE] = {CH_ERR_SKU_UNAVAILABLE, "skuId",
                                                                       tell_unavailable},
    [CATALOG__V1__RESERVE_OUTCOME__RESERVE_OUTCOME_LIMIT_EXCEEDED] = {CH_ERR_LIMIT_EXCEEDED, "quantity", tell_limit},
    [CATALOG__V1__RESERVE_OUTCOME__RESERVE_OUTCOME_BUYER_LIMIT_EXCEEDED] = {CH_ERR_BUYER_LIMIT_EXCEEDED, "quantity",
                                                                            tell_buyer_limit},
    [CATALOG__V1__RESERVE_OUTCOME__RESERVE_OUTCOME_ORDER_CLOSED] = {CH_ERR_ORDER_CLOSED, NULL, NULL},
};

// The first that applies to a line is what it is told, as FruitCatalog decides of the whole order.
static const Catalog__V1__ReserveOutcome line_faults[] = {
    CATALOG__V1__RESERVE_OUTCOME__RESERVE_OUTCOME_SKU_UNAVAILABLE,
    CATALOG__V1__RESERVE_OUTCOME__RESERVE_OUTCOME_LIMIT_EXCEEDED,
    CATALOG__V1__RESERVE_OUTCOME__RESERVE_OUTCOME_BUYER_LIMIT_EXCEEDED,
    CATALOG__V1__RESERVE_OUTCOME__RESERVE_OUTCOME_PRICE_CHANGED,
    CATALOG__V1__RESERVE_OUTCOME__RESERVE_OUTCOME_STOCK_SHORT,
};

// ---- many orders, one call

static Catalog__V1__OrderReservation *reservation_message(struct ch_arena *arena, const struct order *order)
{
    Catalog__V1__OrderReservation *message = ch_arena_alloc(arena, sizeof(*message));
    Catalog__V1__ReservationLine *lines = ch_arena_array(arena, order->line_count, sizeof(*lines));
    Catalog__V1__ReservationLine **pointers = ch_arena_array(arena, order->line_count, sizeof(*pointers));

    if (!message || !lines || !pointers)
        return NULL;
    catalog__v1__order_reservation__init(message);
    message->order_id = ch_arena_uuid(arena, order->order_id);
    message->buyer_id = ch_arena_uuid(arena, order->buyer_id);
    message->n_lines = order->line_count;
    message->lines = pointers;
    for (size_t i = 0; i < order->line_count; i++) {
        pointers[i] = &lines[i];
        catalog__v1__reservation_line__init(&lines[i]);
        lines[i].sku_id = ch_arena_uuid(arena, order->lines[i].sku_id);
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

static char *tell_stock(struct ch_arena *arena, const Catalog__V1__ReservationLineResult *result,
                        const struct order_line *line)
{
    if (!result->sku || result->available >= line->quantity)
        return NULL;
    return ch_arena_printf(arena, "%s: %s %s, 남은 수량 %d", result->sku->sku_id, result->sku->title,
                           result->sku->grade, result->available);
}

static char *tell_price(struct ch_arena *arena, const Catalog__V1__ReservationLineResult *result,
                        const struct order_line *line)
{
    if (!result->sku || result->sku->price_krw == line->unit_price_krw)
        return NULL;
    return ch_arena_printf(arena, "%s: 현재 가격 %lld원", result->sku->sku_id, (long long)result->sku->price_krw);
}

static char *tell_unavailable(struct ch_arena *arena, const Catalog__V1__ReservationLineResult *result,
                              const struct order_line *line)
{
    char sku_id[CH_UUID_TEXT];

    if (result->sku && result->sku->on_sale)
        return NULL;
    ch_uuid_format(line->sku_id, sku_id);
    return ch_arena_printf(arena, "%s: 판매 중이 아닙니다", sku_id);
}

static char *tell_limit(struct ch_arena *arena, const Catalog__V1__ReservationLineResult *result,
                        const struct order_line *line)
{
    if (!result->sku || line->quantity <= result->sku->per_order_limit)
        return NULL;
    return ch_arena_printf(arena, "%s: 최대 %d상자", result->sku->sku_id, result->sku->per_order_limit);
}

static char *tell_buyer_limit(struct ch_arena *arena, const Catalog__V1__ReservationLineResult *result,
                              const struct order_line *line)
{
    const Catalog__V1__SkuSnapshot *sku = result->sku;

    if (!sku || !sku->per_buyer_limit || line->quantity <= result->buyer_left)
        return NULL;
    return ch_arena_printf(arena, "%s: 1인당 최대 %d상자, 더 주문할 수 있는 수량 %d", sku->sku_id, sku->per_buyer_limit,
                           result->buyer_left);
}

static void tell_line(struct ch_ctx *ctx, size_t index, const Catalog__V1__ReservationLineResult *result,
                      const struct order_line *line)
{
    const struct refusal *refusal = NULL;
    const char *detail = NULL;

    for (size_t i = 0; i < sizeof(line_faults) / sizeof(line_faults[0]) && !detail; i++) {
        refusal = &refusals[line_faults[i]];
        detail = refusal->tell(ctx->arena, result, line);
    }
    if (detail)
        ch_faults_add(&ctx->faults, ch_arena_printf(ctx->arena, "/lines/%zu/%s", index, refusal->member),
                      ch_err_row(refusal->err)->code, "%s", detail);
}

static enum ch_err reservation_refused(struct reservation *reservation,
                                       const Catalog__V1__OrderReservationResult *result)
{
    const size_t outcome = (size_t)result->outcome;
    struct ch_ctx *ctx = reservation->ctx;

    if (outcome >= sizeof(refusals) / sizeof(refusals[0]) || !refusals[outcome].err ||
        result->n_lines > reservation->order->line_count)
        return CH_ERR_INTERNAL;
    for (size_t i = 0; i < result->n_lines; i++)
        if (!result->lines[i]->ok)
            tell_line(ctx, i, result->lines[i], &reservation->order->lines[i]);
    return refusals[outcome].err;
}

static enum ch_err reservation_settle(struct reservation *reservation,
                                      const Catalog__V1__OrderReservationResult *result)
{
    struct order *order = reservation->order;
    enum ch_err err = CH_OK;

    if (result->outcome != CATALOG__V1__RESERVE_OUTCOME__RESERVE_OUTCOME_RESERVED)
        return reservation_refused(reservation, result);
    if (result->n_lines != order->line_count)
        return CH_ERR_INTERNAL;
    for (size_t i = 0; i < order->line_count && !err; i++)
        err = line_take_snapshot(reservation->ctx, &order->lines[i], result->lines[i]);
    return err;
}

// A call that failed as a whole was OrderManager's call: that its token was refused, or that FruitCatalog ended it,
// says nothing of the buyers, who wait for their orders. What is not named is a mistake of ours.
static const struct {
    enum ch_err said, told;
} call_failures[] = {
    {CH_ERR_UNAVAILABLE, CH_ERR_UNAVAILABLE},
    {CH_ERR_OVERLOADED, CH_ERR_OVERLOADED},
    {CH_ERR_DEADLINE, CH_ERR_DEADLINE},
    {CH_ERR_NO_MEMORY, CH_ERR_NO_MEMORY},
    {CH_ERR_LIMIT, CH_ERR_LIMIT},
    {CH_ERR_CANCELLED, CH_ERR_UNAVAILABLE},
    {CH_ERR_CONFLICT, CH_ERR_UNAVAILABLE},
    {CH_ERR_DUPLICATE, CH_ERR_UNAVAILABLE},
    {CH_ERR_FORBIDDEN, CH_ERR_UNAVAILABLE},
    {CH_ERR_UNAUTHENTICATED, CH_ERR_UNAVAILABLE},
};

static enum ch_err call_failure(const struct ch_ctx *ctx, enum ch_err said)
{
    enum ch_err told = CH_ERR_INTERNAL;

    for (size_t i = 0; i < sizeof(call_failures) / sizeof(call_failures[0]); i++)
        if (call_failures[i].said == said)
            told = call_failures[i].told;
    if (told != said)
        ch_log(CH_LOG_WARN, &ctx->trace, "reserve.refused", CH_LS("error", ch_err_row(said)->code));
    return told;
}

enum ch_err catalog_reserve_wait(struct ch_ctx *ctx, struct reservation *reservations, size_t count)
{
    Catalog__V1__ReserveRequest request = CATALOG__V1__RESERVE_REQUEST__INIT;
    const struct ch_str cluster_run = reservations[0].order->cluster_run;
    bool is_one_cluster = cluster_run.data != NULL;
    void *reply;

    request.n_orders = count;
    request.orders = ch_arena_array(ctx->arena, count, sizeof(request.orders[0]));
    if (!request.orders)
        return CH_ERR_NO_MEMORY;
    for (size_t i = 0; i < count; i++) {
        const struct order *order = reservations[i].order;
        request.orders[i] = reservation_message(ctx->arena, order);
        if (!request.orders[i])
            return CH_ERR_NO_MEMORY;
        is_one_cluster = is_one_cluster && ch_str_eq(order->cluster_run, cluster_run);
    }
    if (is_one_cluster)
        request.cluster_run = (char *)cluster_run.data; // only read; NUL-terminated by the arena

    enum ch_err err =
        ch_peer_call_wait(ch_peer_at(ctx, PEER_CATALOG), ctx, &rpc_reserve, &request.base, ctx->deadline_ns, &reply);
    if (err)
        return call_failure(ctx, err);
    const Catalog__V1__ReserveResponse *response = reply;
    if (response->n_results != count)
        return CH_ERR_INTERNAL;
    for (size_t i = 0; i < count; i++)
        reservations[i].result = reservation_settle(&reservations[i], response->results[i]);
    return CH_OK;
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
