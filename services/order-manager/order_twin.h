// SPDX-License-Identifier: Apache-2.0
/**
 * @file order_twin.h
 * @brief Which keys are being placed just now, on all loops of the process. Exists because a key that is sent twice at
 * once reserves twice, and the second may find that the first has taken the last box, or all that the buyer may have.
 *
 * Any thread; a lock for a few comparisons, never across a wait. Other processes' placements are not known here.
 */
#ifndef ORDER_TWIN_H
#define ORDER_TWIN_H

#include "ch/base.h"

/** One placement in flight; lies on the stack of its fiber, which must end it. */
struct order_twin {
    struct ch_uuid buyer_id;
    struct ch_str key; /**< alive until the end */
    bool had_twin;     /**< another with the same buyer and key was in flight at some time */
    struct order_twin *next, **link;
};

void order_twin_begin(struct order_twin *twin, struct ch_uuid buyer_id, struct ch_str key);
/** Afterwards had_twin stays as it is. */
void order_twin_end(struct order_twin *twin);
bool order_twin_is_in_flight(struct ch_uuid buyer_id, struct ch_str key);

#endif
