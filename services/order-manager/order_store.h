// SPDX-License-Identifier: Apache-2.0
/**
 * @file order_store.h
 * @brief Orders in the database: reading (order_store.c), storing in batches and fencing (order_insert.c). No rules of
 * the shop. Strings are copied to the context's arena.
 */
#ifndef ORDER_STORE_H
#define ORDER_STORE_H

#include "order.h"

/** Joins the batch of inserts. *ret_is_placed false: the id is fenced, the buyer has an order with this
 * key, or the database has crashed since order->cluster_run was read. */
CH_MUST_CHECK enum ch_err order_insert_wait(struct ch_ctx *ctx, struct order *order, bool *ret_is_placed);
/** What the batch of inserts runs; see batches_start. */
void order_insert_commit(void *loop, struct ch_batch_item **items, size_t count);

/** What a buyer's key stands for: the order that asks, then what was found. */
struct order_key {
    const struct order *order; /**< its buyer_id and idempotency_key are looked up */
    struct ch_arena *arena;    /**< what is found is copied here */
    struct ch_str cluster_run; /**< out: the database that stores orders, and since when it has not crashed */
    bool is_erased;            /**< out: the buyer's account was erased: no order is taken */
    bool is_used;              /**< out: the buyer has an order with this key, and what follows is of that one */
    struct ch_uuid order_id;
    uint8_t request_hash[ORDER_HASH_SIZE];
    struct ch_str reply;
    enum ch_err opened; /**< why there is no reply; CH_OK: there is */
};
/** Looks up many keys in one round trip. */
CH_MUST_CHECK enum ch_err order_by_keys_wait(struct ch_ctx *ctx, struct order_key *keys, size_t count);
CH_MUST_CHECK enum ch_err order_find_wait(struct ch_ctx *ctx, struct ch_uuid order_id, struct order *ret_order);
CH_MUST_CHECK enum ch_err order_timeline_wait(struct ch_ctx *ctx, struct ch_uuid order_id,
                                              struct timeline_entry **ret_entries, size_t *ret_count);

/** A page of orders: what is asked for, then what was found. */
struct order_page {
    struct ch_uuid after; /**< all ones: from the newest */
    struct ch_str status; /**< data NULL: all */
    int64_t limit;
    struct order *orders; /**< out, with lines */
    size_t count;
    bool has_more;
};
CH_MUST_CHECK enum ch_err order_page_by_buyer_wait(struct ch_ctx *ctx, struct ch_uuid buyer_id,
                                                   struct order_page *page);
CH_MUST_CHECK enum ch_err order_page_by_farm_wait(struct ch_ctx *ctx, struct ch_uuid farm_id, struct order_page *page);

/** Decides the fate of ids for good: one that is no order is fenced first. `ret_fates[i]` is "ABORTED" or a status. */
CH_MUST_CHECK enum ch_err order_resolve_wait(struct ch_ctx *ctx, const struct ch_uuid *ids, size_t count,
                                             struct ch_str *ret_fates);

#endif
