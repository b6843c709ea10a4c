// SPDX-License-Identifier: Apache-2.0
// Every setting of OrderManager beyond the chassis's own.
#include "config.h"

struct config config;

#define AT(member) offsetof(struct config, member)

const struct ch_config_row config_rows[] = {
    {"CATALOG_GRPC", CH_CONFIG_STR, AT(catalog_grpc), NULL, 3, 1024,
     "host:port of FruitCatalog's gRPC, or several with commas between", CH_CONFIG_REQUIRED},
    {"DELIVERY_GRPC", CH_CONFIG_STR, AT(delivery_grpc), NULL, 3, 1024,
     "host:port of DeliveryMock's gRPC, or several with commas between", CH_CONFIG_REQUIRED},
    {"SHIPPING_FEE_KRW", CH_CONFIG_INT, AT(shipping_fee_krw), "3500", 0, 100000, "delivery fee of an order", 0},
    {"FREE_SHIPPING_FROM_KRW", CH_CONFIG_INT, AT(free_shipping_from_krw), "50000", 0, 100000000,
     "sum of items from which delivery is free", 0},
    {"DELIVERY_TIMEOUT_MS", CH_CONFIG_INT, AT(delivery_timeout_ms), "300", 10, 5000,
     "how long an order's detail waits for DeliveryMock", 0},
    {"IDEMPOTENCY_KEEP_H", CH_CONFIG_INT, AT(idempotency_keep_h), "72", 1, 87600,
     "hours that an Idempotency-Key is known; later it places a new order", 0},
    {"PERSONAL_KEEP_DAYS", CH_CONFIG_INT, AT(personal_keep_days), "120", 1, 3650,
     "days after an order was placed that its personal data is erased; an order that is not over then, when it is", 0},
    {0},
};

const struct ch_peer_row peers[] = {
    [PEER_CATALOG] = {"fruit-catalog", AT(catalog_grpc)},
    [PEER_DELIVERY] = {"delivery-mock", AT(delivery_grpc)},
    {0},
};
