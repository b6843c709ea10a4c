// SPDX-License-Identifier: Apache-2.0
/**
 * @file health.h
 * @brief What the process needs from others and whether it is there: the one source of /readyz and of grpc.health.v1.
 *
 * Names are registered before any other thread starts; afterwards every function may be called on any thread and never
 * blocks.
 */
#ifndef CH_APP_HEALTH_H
#define CH_APP_HEALTH_H

#include "ch/base.h"

#define CH_HEALTH_MAX 16 /**< dependencies */

/** `name` is a literal; it begins down. Without a required one the service is not ready; without another it is degraded
 * but ready. */
void ch_health_register(const char *name, bool is_required);
/** Notes what its owner sees; a change is logged. A name that was not registered is ignored: this service does not use
 * it. */
void ch_health_set(const char *dependency, bool is_up);
void ch_health_set_serving(bool is_serving); /**< listeners are open; false at first */
void ch_health_set_draining(void);           /**< for good */

bool ch_health_is_ready(void);
bool ch_health_are_required_up(void);         /**< all that readiness asks of others */
bool ch_health_is_up(const char *dependency); /**< true for one that was not registered: nobody misses it */
const char *ch_health_status(void);           /**< literal: starting, ready, degraded, not_ready, draining */

/** One row a dependency for who reports; false past the last. */
struct ch_health_row {
    const char *name;
    bool is_required, is_up;
};
bool ch_health_at(int index, struct ch_health_row *ret_row);

#endif
