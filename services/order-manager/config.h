// SPDX-License-Identifier: Apache-2.0
/**
 * @file config.h
 * @brief OrderManager's own settings; config.c has one row for each. Read-only after the start.
 */
#ifndef CONFIG_H
#define CONFIG_H

#include "ch/app.h"

/** One member a row of config_rows. */
struct config {
    const char *catalog_grpc;
    const char *delivery_grpc;
    int64_t shipping_fee_krw;
    int64_t free_shipping_from_krw;
    int64_t delivery_timeout_ms;
    int64_t idempotency_keep_h;
    int64_t personal_keep_days;
};
extern struct config config;
extern const struct ch_config_row config_rows[];

enum { PEER_CATALOG, PEER_DELIVERY };
extern const struct ch_peer_row peers[];

#endif
