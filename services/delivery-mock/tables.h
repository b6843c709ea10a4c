// SPDX-License-Identifier: Apache-2.0
/**
 * @file tables.h
 * @brief The tables that make this program DeliveryMock; each stands in the file of its name.
 */
#ifndef TABLES_H
#define TABLES_H

#include "ch/app.h"

extern const struct ch_route routes[];
extern const struct ch_rpc rpcs[];
extern const struct ch_consumer consumers[];
extern const struct ch_job jobs[];

#endif
