// SPDX-License-Identifier: Apache-2.0
// Every setting of FruitCatalog beyond the chassis's own.
#include "config.h"

struct config config;

#define AT(member) offsetof(struct config, member)

const struct ch_config_row config_rows[] = {
    {"ORDERS_GRPC", CH_CONFIG_STR, AT(orders_grpc), NULL, 3, 1024,
     "host:port of OrderManager's gRPC, or several with commas between", CH_CONFIG_REQUIRED},
    {"HOLD_TTL_S", CH_CONFIG_INT, AT(hold_ttl_s), "120", 1, 86400,
     "after how many seconds OrderManager is asked what became of a hold", 0},
    {"LOW_STOCK_THRESHOLD", CH_CONFIG_INT, AT(low_stock_threshold), "5", 0, 100000,
     "boxes at which a falling stock is announced by stock.low.v1", 0},
    {"LEDGER_KEEP_MONTHS", CH_CONFIG_INT, AT(ledger_keep_months), "24", 1, 1200,
     "whole months, before the running one, that the stock ledger is kept", 0},
    {"CACHE_ENTRIES", CH_CONFIG_INT, AT(cache_entries), "4096", 64, 1000000,
     "product pages kept in memory for up to a second", 0},
    {0},
};

const struct ch_peer_row peers[] = {
    [PEER_ORDERS] = {"order-manager", AT(orders_grpc)},
    {0},
};
