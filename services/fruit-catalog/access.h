// SPDX-License-Identifier: Apache-2.0
/**
 * @file access.h
 * @brief Who may change what: a farmer what is of the own farm, an operator everything. What is another's answers
 * CH_ERR_NOT_FOUND, so that nobody learns that it exists.
 */
#ifndef ACCESS_H
#define ACCESS_H

#include "ch/auth.h"

static inline bool access_may_edit(const struct ch_identity *who, struct ch_uuid farm_id)
{
    return ch_may(who, CH_ADMIN) || ch_is_farm(who, farm_id);
}

/** How the stock ledger names who did it. */
static inline struct ch_str access_actor(const struct ch_identity *who)
{
    return ch_may(who, CH_ADMIN) ? CH_STR("operator") : CH_STR("farm");
}

#endif
