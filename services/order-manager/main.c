// SPDX-License-Identifier: Apache-2.0
// OrderManager takes orders, keeps their status and tells the others what happened.
#include "config.h"
#include "queries.h"
#include "tables.h"

#define DAY_S 86400

static const struct ch_trim trims[] = {
    {"idempotency_keys", Q_ORDER_KEYS_FORGET, offsetof(struct config, idempotency_keep_h)},
    {"personal_data", Q_PERSONAL_ERASE_OLD, offsetof(struct config, personal_keep_days), DAY_S},
    {"personal_data_late", Q_PERSONAL_ERASE_LATE, offsetof(struct config, personal_keep_days), DAY_S},
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
        .has_personal_data = true,
        .loop_start = batches_start,
    };
    return ch_service_main(&service, argc, argv);
}
