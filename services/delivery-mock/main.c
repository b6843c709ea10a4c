// SPDX-License-Identifier: Apache-2.0
// DeliveryMock is the carrier: it makes a delivery of each order, moves it by a simulated clock and tells where the box
// is.
#include "config.h"
#include "queries.h"
#include "tables.h"

int main(int argc, char **argv)
{
    static const struct ch_service service = {
        .name = "delivery-mock",
        .summary = "makes a delivery of each order, moves it by a simulated clock and tells where the box is",
        .config = &config,
        .config_rows = config_rows,
        .routes = routes,
        .rpcs = rpcs,
        .consumers = consumers,
        .jobs = jobs,
        .queries = queries,
    };
    return ch_service_main(&service, argc, argv);
}
