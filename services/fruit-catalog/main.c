// SPDX-License-Identifier: Apache-2.0
// FruitCatalog keeps farms, their products and pictures, and is the only one that decides about stock.
#include "config.h"
#include "queries.h"
#include "tables.h"

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
        .jobs = jobs,
        .queries = queries,
        .peers = peers,
        .loop_start = catalog_start,
    };
    return ch_service_main(&service, argc, argv);
}
