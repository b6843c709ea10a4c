// SPDX-License-Identifier: Apache-2.0
/**
 * @file event.h
 * @brief What FruitCatalog tells the others: contracts/asyncapi.yaml, product.changed.v1 and stock.low.v1. No personal
 * data, only ids.
 */
#ifndef EVENT_H
#define EVENT_H

#include "product.h"

/** In the transaction of the change; call ch_outbox_wake after its commit. */
CH_MUST_CHECK enum ch_err event_product_changed(struct ch_tx *tx, const struct product *product);

/** A stock that fell to its threshold or below, and was above. */
struct stock_low {
    struct ch_uuid sku_id, product_id, farm_id;
    int64_t available, threshold;
};
bool stock_fell_low(int64_t before, int64_t after, int64_t threshold);
/** The event's data in the arena; data NULL at its limit. */
struct ch_str event_stock_low_data(struct ch_arena *arena, const struct stock_low *low);
CH_MUST_CHECK enum ch_err event_stock_low(struct ch_tx *tx, const struct stock_low *low);

#endif
