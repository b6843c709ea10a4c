// SPDX-License-Identifier: Apache-2.0
/**
 * @file tables.h
 * @brief The tables that make this program FruitCatalog; each stands in the file of its name.
 */
#ifndef TABLES_H
#define TABLES_H

#include "ch/app.h"

extern const struct ch_route routes[];
extern const struct ch_rpc rpcs[];
extern const struct ch_consumer consumers[];
extern const struct ch_job jobs[];

/** What each loop has: the group commit of reservations. */
struct catalog_state {
    struct ch_batch reserve;
};
CH_MUST_CHECK enum ch_err catalog_start(struct ch_ctx *ctx, void **ret_state);

/* The handlers, by operationId; each stands in <noun>_routes.c. */
ch_handler farm_list, farm_detail, farm_put;
ch_handler product_search, product_detail, product_create, product_patch;
ch_handler sku_create, sku_patch, stock_adjust, stock_ledger;
ch_handler image_upload, image_get;

#endif
