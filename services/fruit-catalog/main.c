// SPDX-License-Identifier: Apache-2.0
// FruitCatalog keeps farms, their products and pictures, and is the only one that decides about stock.
#include "config.h"
#include "queries.h"
#include "tables.h"

// Told to whoever wants to know; no service of the shop needs it.
static const char *const may_be_unheard[] = {"stock.low.v1", "product.changed.v1", NULL};

int main(int argc, char **argv)
{
    static const struct ch_service service = {
        .name = "fruit-catalog",
        .summary = "keeps farms, products, pictures and stock",
        .config = &config,
        .config_rows = config_rows,
        .routes = routes,
        .rpcs = rpcs,
        .consumers = consumers,
        .may_be_unheard = may_be_unheard,
        .jobs = jobs,
        .queries = queries,
        .peers = peers,
        .loop_start = catalog_start,
    };
    return ch_service_main(&service, argc, argv);
}
