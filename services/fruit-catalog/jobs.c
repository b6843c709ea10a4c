// SPDX-License-Identifier: Apache-2.0
// Work that no request starts. The sweeper asks OrderManager what became of holds that nobody spoke of; only its answer
// decides, never the clock: while OrderManager is away nothing changes. The auditor counts SKUs whose stock is not what
// their ledger says. Another job makes the ledger's months to come and drops the oldest.
#include "ch/point.h"
#include "config.h"
#include "hold.h"
#include "tables.h"

#include "orders/v1/orders.pb-c.h"

enum { SWEEP_BATCH = 256, RESOLVE_TIMEOUT_MS = 3000 };

static const struct ch_rpc rpc_resolve = CH_RPC_REPEATABLE(
    "/orders.v1.OrderService/ResolveOrders", orders__v1__resolve_orders_request, orders__v1__resolve_orders_response);

// ---- the sweeper

struct fates {
    struct ch_uuid *sold, *cancelled, *aborted;
    size_t sold_count, cancelled_count, aborted_count;
};

static enum ch_err ask_wait(struct ch_ctx *ctx, const struct ch_uuid *ids, size_t count,
                            const Orders__V1__ResolveOrdersResponse **ret_response)
{
    Orders__V1__ResolveOrdersRequest request = ORDERS__V1__RESOLVE_ORDERS_REQUEST__INIT;
    char *texts = ch_arena_array(ctx->arena, count, CH_UUID_TEXT);
    void *reply;

    request.n_order_ids = count;
    request.order_ids = ch_arena_array(ctx->arena, count, sizeof(request.order_ids[0]));
    if (!texts || !request.order_ids)
        return CH_ERR_NO_MEMORY;
    for (size_t i = 0; i < count; i++) {
        request.order_ids[i] = texts + i * CH_UUID_TEXT;
        ch_uuid_format(ids[i], request.order_ids[i]);
    }
    ctx->step = "ask what became of orders";
    const enum ch_err err = ch_peer_call_wait(ch_peer_at(ctx, PEER_ORDERS), ctx, &rpc_resolve, &request.base,
                                              ch_now_ns() + RESOLVE_TIMEOUT_MS * INT64_C(1000000), &reply);
    if (!err)
        *ret_response = reply;
    return err;
}

// Ids come from the answer, but only those that were asked count.
static enum ch_err sort_fates(struct ch_ctx *ctx, const struct ch_uuid *ids, size_t count,
                              const Orders__V1__ResolveOrdersResponse *response, struct fates *ret_fates)
{
    struct fates fates = {.sold = ch_arena_array(ctx->arena, count, sizeof(*fates.sold)),
                          .cancelled = ch_arena_array(ctx->arena, count, sizeof(*fates.cancelled)),
                          .aborted = ch_arena_array(ctx->arena, count, sizeof(*fates.aborted))};

    if (!fates.sold || !fates.cancelled || !fates.aborted)
        return CH_ERR_NO_MEMORY;
    if (response->n_resolutions != count)
        return CH_ERR_INTERNAL;
    for (size_t i = 0; i < count; i++) {
        const Orders__V1__OrderResolution *resolution = response->resolutions[i];
        struct ch_uuid id;

        if (ch_uuid_parse(ch_str_of(resolution->order_id), &id) || !ch_uuid_eq(id, ids[i]))
            return CH_ERR_INTERNAL;
        if (resolution->fate == ORDERS__V1__ORDER_FATE__ORDER_FATE_PLACED)
            fates.sold[fates.sold_count++] = id;
        else if (resolution->fate == ORDERS__V1__ORDER_FATE__ORDER_FATE_CANCELLED)
            fates.cancelled[fates.cancelled_count++] = id; // its event does the same; whoever comes first
        else if (resolution->fate == ORDERS__V1__ORDER_FATE__ORDER_FATE_ABORTED)
            fates.aborted[fates.aborted_count++] = id;
    }
    *ret_fates = fates;
    return CH_OK;
}

static enum ch_err settle_wait(struct ch_ctx *ctx, const struct fates *fates)
{
    enum ch_err err = CH_OK;

    if (fates->sold_count)
        err = hold_sold_wait(ctx, fates->sold, fates->sold_count);
    if (!err && fates->cancelled_count)
        err = hold_release_wait(ctx, fates->cancelled, fates->cancelled_count, CH_STR(REASON_CANCELLED));
    if (!err && fates->aborted_count)
        err = hold_release_wait(ctx, fates->aborted, fates->aborted_count, CH_STR("hold_expired"));
    if (!err)
        ch_log(CH_LOG_INFO, &ctx->trace, "holds.swept", CH_LI("sold", (int64_t)fates->sold_count),
               CH_LI("cancelled", (int64_t)fates->cancelled_count), CH_LI("aborted", (int64_t)fates->aborted_count));
    return err;
}

static enum ch_err hold_sweeper(struct ch_ctx *ctx)
{
    const Orders__V1__ResolveOrdersResponse *response;
    struct fates fates;
    struct ch_uuid *ids;
    size_t count;
    enum ch_err err;

    do {
        err = hold_expired_wait(ctx, SWEEP_BATCH, &ids, &count);
        if (err || count == 0)
            return err;
        if (!ch_peer_is_up(ch_peer_at(ctx, PEER_ORDERS)))
            return CH_OK; // its absence shows in the peer's own metrics; the holds wait
        err = CH_POINT(RESOLVE_HOLDS_FOUND);
        if (!err)
            err = ask_wait(ctx, ids, count, &response);
        if (!err)
            err = CH_POINT(RESOLVE_ANSWERED);
        if (!err)
            err = sort_fates(ctx, ids, count, response, &fates);
        if (!err)
            err = settle_wait(ctx, &fates);
        if (err)
            return err;
    } while (count == SWEEP_BATCH && fates.sold_count + fates.cancelled_count + fates.aborted_count > 0);
    return CH_OK;
}

// ---- the auditor

static const struct ch_metric violations_metric = {
    .name = "stock_invariant_violations",
    .type = CH_GAUGE,
    .help = "SKUs whose stock is not what the last row of their ledger says; always 0.",
};

static enum ch_err stock_auditor(struct ch_ctx *ctx)
{
    int64_t count;

    const enum ch_err err = stock_violations_wait(ctx, &count);
    if (err)
        return err;
    ch_gauge_set(ch_series_get(&violations_metric, (const char *const[]){NULL}), count);
    if (count)
        ch_log(CH_LOG_ERROR, &ctx->trace, "stock.invariant_broken", CH_LI("skus", count));
    return CH_OK;
}

// ---- the ledger's months

static const struct ch_metric months_metric = {
    .name = "stock_ledger_months_dropped_total",
    .type = CH_COUNTER,
    .help = "Months of the stock ledger that were dropped because they were kept long enough",
};

static enum ch_err ledger_turn(struct ch_ctx *ctx)
{
    int64_t dropped;

    const enum ch_err err = ledger_turn_wait(ctx, config.ledger_keep_months, &dropped);
    if (err || dropped == 0)
        return err;
    ch_count(ch_series_get(&months_metric, (const char *const[]){NULL}), dropped);
    ch_log(CH_LOG_INFO, &ctx->trace, "ledger.months_dropped", CH_LI("months", dropped));
    return CH_OK;
}

const struct ch_job jobs[] = {
    {.name = "hold_sweeper", .interval_ms = 1000, .timeout_ms = 10000, .run = hold_sweeper},
    {.name = "stock_auditor", .interval_ms = 30000, .timeout_ms = 10000, .run = stock_auditor},
    {.name = "ledger_turn", .interval_ms = 10000, .timeout_ms = 10000, .run = ledger_turn},
    {0},
};
