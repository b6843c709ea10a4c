// SPDX-License-Identifier: Apache-2.0
// Every setting of DeliveryMock beyond the chassis's own. They are the simulation's first values: what an operator sets
// later is kept.
#include "config.h"

struct config config;

#define AT(member) offsetof(struct config, member)

const struct ch_config_row config_rows[] = {
    {"READY_MEAN_S", CH_CONFIG_INT, AT(ready_mean_s), "3600", 1, 604800,
     "mean simulated seconds from READY to ON_ROUTE, at the first start", 0},
    {"ROUTE_MEAN_S", CH_CONFIG_INT, AT(route_mean_s), "72000", 1, 604800,
     "mean simulated seconds from ON_ROUTE to DELIVERED, at the first start", 0},
    {"SIMULATION_SPEED", CH_CONFIG_DOUBLE, AT(speed), "1", 0.1, 1000,
     "simulated seconds in a real second, at the first start", 0},
    {0},
};
