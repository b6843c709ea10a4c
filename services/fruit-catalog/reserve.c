// SPDX-License-Identifier: Apache-2.0
// The decision who gets the stock. No database, no clock, no wait: the same facts give the same answers.
#include "reserve.h"

#include <stdlib.h>

// The first that applies to any line is the order's outcome.
static const enum reserve_outcome precedence[] = {RESERVE_SKU_UNAVAILABLE, RESERVE_LIMIT_EXCEEDED,
                                                  RESERVE_BUYER_LIMIT_EXCEEDED, RESERVE_PRICE_CHANGED,
                                                  RESERVE_STOCK_SHORT};

static int compare_ids(struct ch_uuid a, struct ch_uuid b)
{
    return memcmp(a.bytes, b.bytes, sizeof(a.bytes));
}

static int compare_sku(const void *key, const void *member)
{
    return compare_ids(*(const struct ch_uuid *)key, ((const struct sku_snapshot *)member)->sku_id);
}

static int compare_hold(const void *key, const void *member)
{
    return compare_ids(*(const struct ch_uuid *)key, ((const struct reserve_hold *)member)->order_id);
}

const struct sku_snapshot *sku_snapshot_find(const struct sku_snapshot *skus, size_t count, struct ch_uuid sku_id)
{
    return count ? bsearch(&sku_id, skus, count, sizeof(*skus), compare_sku) : NULL;
}

static int compare_share(const void *key, const void *member)
{
    const struct buyer_share *want = key, *share = member;
    const int by_sku = compare_ids(want->sku_id, share->sku_id);

    return by_sku ? by_sku : compare_ids(want->buyer_id, share->buyer_id);
}

// NULL: the SKU has no limit per buyer, or does not exist.
static struct buyer_share *share_of(const struct reserve_facts *facts, struct ch_uuid buyer_id,
                                    const struct sku_snapshot *sku)
{
    if (!sku || !sku->per_buyer_limit || !facts->share_count)
        return NULL;
    const struct buyer_share want = {.buyer_id = buyer_id, .sku_id = sku->sku_id};
    return bsearch(&want, facts->shares, facts->share_count, sizeof(*facts->shares), compare_share);
}

// ---- one order

static enum reserve_outcome line_fault(const struct reserve_line *line)
{
    if (!line->sku || !line->sku->is_on_sale)
        return RESERVE_SKU_UNAVAILABLE;
    if (line->quantity > line->sku->per_order_limit)
        return RESERVE_LIMIT_EXCEEDED;
    if (line->sku->per_buyer_limit && line->quantity > line->buyer_left)
        return RESERVE_BUYER_LIMIT_EXCEEDED;
    if (line->unit_price_krw != line->sku->price_krw)
        return RESERVE_PRICE_CHANGED;
    if (line->quantity > line->sku->available)
        return RESERVE_STOCK_SHORT;
    return RESERVE_RESERVED;
}

// A limit may have been lowered below what the buyer has. Whose share nobody read may have nothing.
static int32_t left_for_buyer(const struct buyer_share *share, const struct sku_snapshot *sku)
{
    return share && share->quantity < sku->per_buyer_limit ? sku->per_buyer_limit - share->quantity : 0;
}

static enum reserve_outcome look_at_lines(struct reserve_order *order, const struct reserve_facts *facts)
{
    unsigned faults = 0;

    for (size_t i = 0; i < order->line_count; i++) {
        struct reserve_line *line = &order->lines[i];

        line->sku = sku_snapshot_find(facts->skus, facts->sku_count, line->sku_id);
        line->available = line->sku ? line->sku->available : 0;
        line->buyer_left = left_for_buyer(share_of(facts, order->buyer_id, line->sku), line->sku);
        line->lot_id = (struct ch_uuid){{0}};
        const enum reserve_outcome fault = line_fault(line);
        line->is_ok = fault == RESERVE_RESERVED;
        faults |= 1u << fault;
    }
    for (size_t i = 0; i < sizeof(precedence) / sizeof(precedence[0]); i++)
        if (faults & (1u << precedence[i]))
            return precedence[i];
    return RESERVE_RESERVED;
}

static void take(struct reserve_order *order, const struct reserve_facts *facts)
{
    for (size_t i = 0; i < order->line_count; i++) {
        struct reserve_line *line = &order->lines[i];
        struct sku_snapshot *sku = &facts->skus[line->sku - facts->skus];
        struct buyer_share *share = share_of(facts, order->buyer_id, sku);

        if (share) {
            share->quantity += line->quantity;
            share->taken += line->quantity;
        }
        line->lot_id = sku->lot_id;
        sku->available -= line->quantity;
        sku->taken += line->quantity;
    }
}

// The first answer again, with what the SKUs are now.
static void repeat(struct reserve_order *order, struct reserve_line *lines, size_t line_count,
                   const struct reserve_facts *facts)
{
    order->outcome = RESERVE_RESERVED;
    order->lines = lines;
    order->line_count = line_count;
    for (size_t i = 0; i < line_count; i++)
        lines[i].sku = sku_snapshot_find(facts->skus, facts->sku_count, lines[i].sku_id);
}

static void decide_one(struct reserve_order *order, const struct reserve_facts *facts, const struct reserve_hold *hold)
{
    const struct reserve_order *earlier = order->earlier;

    if (hold && hold->is_closed) {
        order->outcome = RESERVE_ORDER_CLOSED;
        order->line_count = 0;
    } else if (hold) {
        repeat(order, hold->lines, hold->line_count, facts);
    } else if (earlier && earlier->outcome == RESERVE_RESERVED) {
        repeat(order, earlier->lines, earlier->line_count, facts);
    } else {
        order->outcome = look_at_lines(order, facts);
        order->is_new = order->outcome == RESERVE_RESERVED;
        if (order->is_new)
            take(order, facts);
    }
}

// ---- all of them

static int compare_orders(const void *a, const void *b)
{
    const struct reserve_order *left = *(struct reserve_order *const *)a, *right = *(struct reserve_order *const *)b;
    const int by_id = compare_ids(left->order_id, right->order_id);

    return by_id ? by_id : (left->arrival > right->arrival) - (left->arrival < right->arrival);
}

// The same order twice in one batch: a caller that lost patience asks again. Each finds the one before it.
static enum ch_err link_repeats(struct ch_arena *arena, struct reserve_order *const *orders, size_t count)
{
    struct reserve_order **sorted = ch_arena_array(arena, count, sizeof(struct reserve_order *));

    if (count && !sorted)
        return CH_ERR_NO_MEMORY;
    for (size_t i = 0; i < count; i++) {
        sorted[i] = orders[i];
        sorted[i]->arrival = i;
        sorted[i]->earlier = NULL;
        sorted[i]->outcome = RESERVE_UNDECIDED;
        sorted[i]->is_new = false;
    }
    if (count)
        qsort(sorted, count, sizeof(struct reserve_order *), compare_orders);
    for (size_t i = 1; i < count; i++)
        if (ch_uuid_eq(sorted[i]->order_id, sorted[i - 1]->order_id))
            sorted[i]->earlier = sorted[i - 1];
    return CH_OK;
}

enum ch_err reserve_decide(struct ch_arena *arena, struct reserve_order *const *orders, size_t order_count,
                           const struct reserve_facts *facts)
{
    const enum ch_err err = link_repeats(arena, orders, order_count);

    if (err)
        return err;
    for (size_t i = 0; i < order_count; i++) {
        const struct reserve_hold *hold =
            facts->hold_count
                ? bsearch(&orders[i]->order_id, facts->holds, facts->hold_count, sizeof(*facts->holds), compare_hold)
                : NULL;

        decide_one(orders[i], facts, hold);
    }
    return CH_OK;
}
