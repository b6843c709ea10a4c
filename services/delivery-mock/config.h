// SPDX-License-Identifier: Apache-2.0
/**
 * @file config.h
 * @brief DeliveryMock's own settings; config.c has one row for each. Read-only after the start.
 */
#ifndef CONFIG_H
#define CONFIG_H

#include "ch/app.h"

/** One member a row of config_rows. */
struct config {
    int64_t ready_mean_s;
    int64_t route_mean_s;
    double speed;
};
extern struct config config;
extern const struct ch_config_row config_rows[];

#endif
