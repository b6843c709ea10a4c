// SPDX-License-Identifier: Apache-2.0
/**
 * @file catalog_client.h
 * @brief FruitCatalog as OrderManager sees it: stock taken and given back.
 */
#ifndef CATALOG_CLIENT_H
#define CATALOG_CLIENT_H

#include "order.h"

/** One order of a call: what it became, and to whom the reasons of a refusal are told. */
struct reservation {
    struct ch_ctx *ctx; /**< of the order's request: takes the snapshot's texts and the faults */
    struct order *order;
    enum ch_err result; /**< CH_OK: the lines carry the catalogue's snapshot. A refusal names the lines:
                         * CH_ERR_STOCK_SHORT, CH_ERR_PRICE_CHANGED, CH_ERR_SKU_UNAVAILABLE, CH_ERR_LIMIT_EXCEEDED,
                         * CH_ERR_BUYER_LIMIT_EXCEEDED; CH_ERR_ORDER_CLOSED names none. */
};

/** Reserves for many orders in one call: each as a whole, in their order. An error is the call's, and then no result is
 * set. */
CH_MUST_CHECK enum ch_err catalog_reserve_wait(struct ch_ctx *ctx, struct reservation *reservations, size_t count);
CH_MUST_CHECK enum ch_err catalog_release_wait(struct ch_ctx *ctx, struct ch_uuid order_id, const char *reason);

#endif
