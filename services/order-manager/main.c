// SPDX-License-Identifier: Apache-2.0
// OrderManager takes orders, keeps their status and tells the others what happened.
#include "config.h"
#include "queries.h"
#include "tables.h"

static const struct ch_trim trims[] = {
    {"idempotency_keys", Q_ORDER_KEYS_FORGET, offsetof(struct config, idempotency_keep_h)},
    {0},
};

int main(int argc, char **argv)
{
    static const struct ch_service service = {
        .name = "order-manager",
        .summary = "takes orders, keeps their status and tells the others what happened",
        .config = &config,
        .config_rows = config_rows,
        .routes = routes,
        .rpcs = rpcs,
        .consumers = consumers,
        .jobs = jobs,
        .trims = trims,
        .queries = queries,
        .peers = peers,
        .loop_start = batches_start,
    };
    return ch_service_main(&service, argc, argv);
}
