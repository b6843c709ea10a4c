// SPDX-License-Identifier: Apache-2.0
// What DeliveryMock does by itself: its clock.
#include "config.h"
#include "delivery.h"
#include "delivery_store.h"
#include "tables.h"

static enum ch_err tick(struct ch_ctx *ctx)
{
    const enum ch_err err = delivery_clock_tick(ctx);

    if (err != CH_ERR_NOT_FOUND)
        return err;
    // The first start of all: no simulation stands in the database yet.
    const struct simulation first = {
        .speed = config.speed, .ready_mean_s = config.ready_mean_s, .route_mean_s = config.route_mean_s};
    return simulation_init_wait(ctx, &first);
}

const struct ch_job jobs[] = {
    {"delivery_clock", .interval_ms = 200, .timeout_ms = 3000, .run = tick},
    {0},
};
