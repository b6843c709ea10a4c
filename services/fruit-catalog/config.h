// SPDX-License-Identifier: Apache-2.0
/**
 * @file config.h
 * @brief FruitCatalog's own settings; config.c has one row for each. Read-only after the start.
 */
#ifndef CONFIG_H
#define CONFIG_H

#include "ch/app.h"

struct config {
    const char *orders_grpc;
    int64_t hold_ttl_s;
    int64_t low_stock_threshold;
    int64_t ledger_keep_months;
    int64_t cache_entries;
};
extern struct config config;
extern const struct ch_config_row config_rows[];

enum { PEER_ORDERS };
extern const struct ch_peer_row peers[];

#endif
