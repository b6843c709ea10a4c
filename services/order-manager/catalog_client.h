// SPDX-License-Identifier: Apache-2.0
/**
 * @file catalog_client.h
 * @brief FruitCatalog as OrderManager sees it: stock taken and given back.
 */
#ifndef CATALOG_CLIENT_H
#define CATALOG_CLIENT_H

#include "order.h"

/** Joins the batch of reservations. On CH_OK the lines carry the catalogue's snapshot. A refusal names the lines:
 *  CH_ERR_STOCK_SHORT, CH_ERR_PRICE_CHANGED, CH_ERR_SKU_UNAVAILABLE, CH_ERR_LIMIT_EXCEEDED; CH_ERR_ORDER_CLOSED names
 * none. */
CH_MUST_CHECK enum ch_err catalog_reserve_wait(struct ch_ctx *ctx, struct order *order);
CH_MUST_CHECK enum ch_err catalog_release_wait(struct ch_ctx *ctx, struct ch_uuid order_id, const char *reason);

/** What the batch runs; see batches_start. */
void catalog_reserve_commit(void *loop, struct ch_batch_item **items, size_t count);

#endif
