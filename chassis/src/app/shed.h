// SPDX-License-Identifier: Apache-2.0
/**
 * @file shed.h
 * @brief How much a loop takes on at once. What is over it is refused at once (CH_ERR_OVERLOADED), so that what was
 * taken on gets done in time.
 *
 * The limit finds itself (docs/adr/0010): work that takes several times as long as it usually does is waiting, and more
 * of it would only wait longer. "Usually" is learned for each route and method, so that a change of the mix is not
 * taken for load. Time is handed in.
 */
#ifndef CH_APP_SHED_H
#define CH_APP_SHED_H

#include "ch/obs.h"

#include <stdatomic.h>

/** What is shed first stands first. Health, metrics and the admin port are never shed: they do not pass here. */
enum ch_shed_class {
    CH_SHED_NORMAL, /**< writes, and calls of other services */
    CH_SHED_READ,   /**< may use a quarter more than the limit */
    CH_SHED_CHEAP,  /**< half more */
    CH_SHED_STREAM, /**< long-lived: counted apart, against a fixed bound */
    CH_SHED_CLASSES
};
extern const char *const ch_shed_class_names[CH_SHED_CLASSES];

/** What one route or method usually takes; zeroed at first. */
struct ch_shed_usual {
    int64_t usual_ns; /**< 0: not known yet */
    int64_t sum_ns;   /**< since it was last folded in */
    uint32_t count, window;
};

struct ch_shed {
    _Atomic(size_t) in_flight[CH_SHED_CLASSES]; /**< written by the loop, shown to others */
    _Atomic(size_t) limit;
    size_t requests_max, streams_max;
    size_t limit_calm; /**< where it begins, and goes back to when little comes: room for a burst */
    struct ch_series *refused[CH_SHED_CLASSES];
    /* the window now running */
    uint32_t window;
    int64_t window_ns; /**< its begin */
    double stretch;    /**< sum over its work: how many times as long as usual */
    uint32_t count;
    size_t peak;
    bool has_shed;
    /* what the last one said */
    bool is_quiet;   /**< so little was in flight that nothing waited */
    int64_t shed_ns; /**< when a window last refused something; 0: all is well */
};

void ch_shed_init(struct ch_shed *shed, size_t requests_max, size_t streams_max);
/** CH_OK: one more is in flight; give it back by ch_shed_leave. */
CH_MUST_CHECK enum ch_err ch_shed_enter(struct ch_shed *shed, enum ch_shed_class class);
void ch_shed_leave(struct ch_shed *shed, enum ch_shed_class class);
/** Work that went well took so long. What was refused or failed says nothing of load. */
void ch_shed_learn(struct ch_shed *shed, struct ch_shed_usual *usual, int64_t took_ns, int64_t now_ns);
/** Ends the window when it is time: now and then, also when nothing comes. */
void ch_shed_turn(struct ch_shed *shed, int64_t now_ns);

#endif
