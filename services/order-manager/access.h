// SPDX-License-Identifier: Apache-2.0
/**
 * @file access.h
 * @brief Who may see an order: its buyer and an operator; and the list of a farm's orders: that farm and an operator.
 * What is another's answers CH_ERR_NOT_FOUND, so that nobody learns that it exists.
 */
#ifndef ACCESS_H
#define ACCESS_H

#include "ch/auth.h"

static inline bool access_may_see_order(const struct ch_identity *who, struct ch_uuid buyer_id)
{
    return ch_may(who, CH_ADMIN) || ch_is_person(who, buyer_id);
}

static inline bool access_may_see_farm(const struct ch_identity *who, struct ch_uuid farm_id)
{
    return ch_may(who, CH_ADMIN) || ch_is_farm(who, farm_id);
}

#endif
