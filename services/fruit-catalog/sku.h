// SPDX-License-Identifier: Apache-2.0
/**
 * @file sku.h
 * @brief A SKU, the box one can buy, and its stock by hand: adjustments and the ledger. Stock taken by orders is
 * reserve.h's.
 */
#ifndef SKU_H
#define SKU_H

#include "ch/app.h"

enum {
    SKUS_MAX = 100,               /**< of one product */
    STOCK_MAX = 100 * 1000 * 1000 /**< boxes of one SKU */
};

extern const char *const grade_names[]; /**< 특, 상, 보통, 못난이 */

/** What a farmer writes. What may be null has a value that no real one has. */
struct sku_edit {
    int grade; /**< index into grade_names */
    int64_t weight_g, price_krw, per_order_limit;
    int64_t count_min, count_max; /**< 0: null */
    struct ch_str size_code;      /**< data NULL: null */
    int64_t brix_x10_min;         /**< -1: null */
    int64_t per_buyer_limit;      /**< 0: null */
    bool is_on_sale;
    int64_t stock; /**< boxes to begin with; only of a new one */
};
extern const struct ch_field sku_create_fields[], sku_patch_fields[];
enum {
    SKU_HAS_COUNT_MIN = 1,
    SKU_HAS_COUNT_MAX = 2,
    SKU_HAS_SIZE_CODE = 4,
    SKU_HAS_BRIX = 8,
    SKU_HAS_BUYER_LIMIT = 16,
    SKU_HAS_OTHER = 32
};

/** An edit before its JSON is read. */
struct sku_edit sku_edit_new(void);
/** Before a patch is bound to what was: a null in it clears. */
void sku_edit_clear(struct sku_edit *edit, uint64_t present);
/** 과수 come together, the smaller first. `present` says which came with the request. */
CH_MUST_CHECK enum ch_err sku_edit_check(struct ch_ctx *ctx, const struct sku_edit *edit, uint64_t present);

struct sku {
    struct ch_uuid sku_id, product_id;
    struct sku_edit edit;
    int64_t available, version, updated_at_us;
    /* only of a locked one */
    struct ch_uuid farm_id;
    struct ch_str product_status;
};
void sku_write(struct ch_jw *jw, const struct sku *sku); /**< an object */

/* ---- store ---- */

/** SKUs of many products, grouped by product, cheapest first. */
CH_MUST_CHECK enum ch_err skus_of_products_wait(struct ch_ctx *ctx, const struct ch_uuid *product_ids, size_t count,
                                                bool is_on_sale_only, struct sku **ret_skus, size_t *ret_count);
/** Locks the SKU, and with `with_product` its product. CH_ERR_NOT_FOUND: there is none, or it is not the caller's. */
CH_MUST_CHECK enum ch_err sku_lock_wait(struct ch_tx *tx, struct ch_uuid sku_id, bool with_product,
                                        struct sku *ret_sku);
CH_MUST_CHECK enum ch_err sku_count_wait(struct ch_tx *tx, struct ch_uuid product_id, int64_t *ret_count);
/** Inserts the SKU with its first ledger row, and what it means for the product's lowest price. */
CH_MUST_CHECK enum ch_err sku_insert(struct ch_tx *tx, const struct sku *sku);
/** Writes a locked SKU. `old_buyer_limit` is the limit per buyer it had: with the first one what each buyer has of it
 * is counted, with none it is forgotten. */
CH_MUST_CHECK enum ch_err sku_update(struct ch_tx *tx, const struct sku *sku, int64_t old_buyer_limit);

/** One row of the stock ledger. */
struct ledger_row {
    int64_t id;
    struct ch_uuid ledger_id, sku_id, actor_id, order_id; /**< nil: null */
    struct ch_str kind, reason, actor;
    int64_t delta, available_after, at_us;
};
/** Writes the stock and version that a locked SKU has now, with the ledger row that says why. */
CH_MUST_CHECK enum ch_err stock_set(struct ch_tx *tx, const struct sku *sku, const struct ledger_row *row);

CH_MUST_CHECK enum ch_err sku_farm_wait(struct ch_ctx *ctx, struct ch_uuid sku_id, struct ch_uuid *ret_farm_id);
/** Newest first, before the row with id `before`; reads up to `limit` + 1. */
CH_MUST_CHECK enum ch_err ledger_page_wait(struct ch_ctx *ctx, struct ch_uuid sku_id, int64_t before, int64_t limit,
                                           struct ledger_row **ret_rows, size_t *ret_count);

#endif
