// SPDX-License-Identifier: Apache-2.0
/**
 * @file reserve.h
 * @brief Taking stock for orders: the decision, which is plain C on values, and the group commit around it.
 *
 * Orders are decided first in, first out, each as a whole or not at all, while the SKUs they name are locked. An order
 * id is decided once: as long as its hold lives it gets its first answer again, and after that ORDER_CLOSED for ever.
 */
#ifndef RESERVE_H
#define RESERVE_H

#include "ch/app.h"

/** catalog.v1.ReserveOutcome, number by number. */
enum reserve_outcome {
    RESERVE_UNDECIDED,
    RESERVE_RESERVED,
    RESERVE_STOCK_SHORT,
    RESERVE_PRICE_CHANGED,
    RESERVE_SKU_UNAVAILABLE,
    RESERVE_LIMIT_EXCEEDED,
    RESERVE_ORDER_CLOSED,
    RESERVE_BUYER_LIMIT_EXCEEDED,
};

/** A SKU with what an order line copies of it. */
struct sku_snapshot {
    struct ch_uuid sku_id, product_id, farm_id, lot_id; /**< lot_id nil: its stock has no lots */
    struct ch_str farm_name, title, fruit, variety, grade, ship_cutoff;
    int64_t price_krw;
    int32_t weight_g, per_order_limit;
    int32_t per_buyer_limit; /**< 0: none */
    int32_t available;       /**< falls while orders are decided */
    int32_t taken;           /**< by them */
    bool is_on_sale;
};

struct reserve_line {
    struct ch_uuid sku_id;
    int32_t quantity;
    int64_t unit_price_krw;
    /* the answer */
    const struct sku_snapshot *sku; /**< NULL: no such SKU */
    int32_t available;              /**< for this order, before it took any */
    int32_t buyer_left;             /**< what the buyer might have, before it took any; 0 without a limit per buyer */
    struct ch_uuid lot_id;
    bool is_ok;
};

struct reserve_order {
    struct ch_uuid order_id, buyer_id;
    struct reserve_line *lines; /**< a repeated order gets those of its first answer */
    size_t line_count;
    /* the answer */
    enum reserve_outcome outcome;
    bool is_new;                   /**< takes stock now */
    struct reserve_order *earlier; /**< the one before it with the same id in this batch */
    size_t arrival;
};

/** What an order got earlier. */
struct reserve_hold {
    struct ch_uuid order_id;
    bool is_closed;             /**< holds nothing any more */
    struct reserve_line *lines; /**< as answered then */
    size_t line_count;
};

/** What one buyer has of one SKU that has a limit per buyer. */
struct buyer_share {
    struct ch_uuid buyer_id, sku_id;
    int32_t quantity; /**< rises while orders are decided */
    int32_t taken;    /**< by them */
};

/** What a decision needs to know, as it is while the SKUs are locked. SKUs and holds stand in the order of their ids,
 * shares by SKU and buyer: one for each SKU with a limit and each buyer who asks for it. */
struct reserve_facts {
    struct sku_snapshot *skus;
    size_t sku_count;
    struct reserve_hold *holds;
    size_t hold_count;
    struct buyer_share *shares;
    size_t share_count;
};

/** Decides the orders in their order, takes from facts->skus[].available and adds to facts->shares[].quantity. Decides
 * again from scratch when called again with fresh facts. CH_ERR_NO_MEMORY is all that can fail. */
CH_MUST_CHECK enum ch_err reserve_decide(struct ch_arena *arena, struct reserve_order *const *orders,
                                         size_t order_count, const struct reserve_facts *facts);
const struct sku_snapshot *sku_snapshot_find(const struct sku_snapshot *skus, size_t count, struct ch_uuid sku_id);

/* ---- store ---- */

/** Whose facts are wanted. */
struct reserve_asked {
    struct ch_uuid *sku_ids, *order_ids;
    size_t sku_count, order_count;
    struct ch_uuid *line_buyers, *line_skus; /**< of each line of the orders: who wants what */
    size_t line_count;
};
/** Reads the SKUs, the holds of the orders and the shares of the buyers; with `tx` in it, else by themselves. */
CH_MUST_CHECK enum ch_err reserve_read_wait(struct ch_ctx *ctx, struct ch_tx *tx, const struct reserve_asked *asked,
                                            struct reserve_facts *ret_facts);
/** Locks SKUs in the order of their ids; sent, not awaited. */
CH_MUST_CHECK enum ch_err reserve_lock(struct ch_tx *tx, const struct ch_uuid *sku_ids, size_t count);
/** Sends all that the new ones of the decided orders change. `cluster_run` names the database that stores the
 * orders and since when it has not crashed (data NULL: unknown); when it is this one the commit leaves the disk to
 * theirs. */
CH_MUST_CHECK enum ch_err reserve_write(struct ch_tx *tx, struct reserve_order *const *orders, size_t order_count,
                                        const struct reserve_facts *facts, struct ch_str cluster_run);

/* ---- the batch ---- */

/** Decides the orders of one call together with those of others that arrive meanwhile, in one commit. All that the
 * answers point to lies in ctx's arena. */
CH_MUST_CHECK enum ch_err reserve_wait(struct ch_ctx *ctx, struct reserve_order *orders, size_t count,
                                       struct ch_str cluster_run);
/** Of struct catalog_state. */
void reserve_commit(void *loop, struct ch_batch_item **items, size_t count);

#endif
