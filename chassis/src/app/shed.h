// SPDX-License-Identifier: Apache-2.0
/**
 * @file shed.h
 * @brief How much a loop takes on at once. What is over it is refused at once (CH_ERR_OVERLOADED), so that what was
 * taken on gets done.
 */
#ifndef CH_APP_SHED_H
#define CH_APP_SHED_H

#include "ch/base.h"

enum ch_shed_class {
    CH_SHED_NORMAL, /**< requests and calls */
    CH_SHED_CHEAP,  /**< shed last: may use a quarter more than the others */
    CH_SHED_STREAM, /**< long-lived: counted apart */
    CH_SHED_CLASSES
};

struct ch_shed {
    size_t in_flight[CH_SHED_CLASSES];
    size_t requests_max, streams_max;
};

void ch_shed_init(struct ch_shed *shed, size_t requests_max, size_t streams_max);
/** CH_OK: one more is in flight; give it back by ch_shed_leave. */
CH_MUST_CHECK enum ch_err ch_shed_enter(struct ch_shed *shed, enum ch_shed_class class);
void ch_shed_leave(struct ch_shed *shed, enum ch_shed_class class);

#endif
