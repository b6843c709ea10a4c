// SPDX-License-Identifier: Apache-2.0
/*
 * Lanes: deliveries wait in them in their order, and one batch at a time of each goes to loop 0 (inbox.c), so that the
 * order of a queue is kept while queues run side by side. Belongs to the consumers' thread; nothing but
 * events_consume.c and events_lanes.c may include this.
 */
#ifndef CH_EVENTS_LANES_H
#define CH_EVENTS_LANES_H

#include "events_internal.h"

#define CH_PREFETCH 128

enum ch_lane_phase {
    LANE_IDLE,    /* the batch is empty */
    LANE_RUNNING, /* the batch is loop 0's */
    LANE_PAUSED,  /* the batch holds what is tried again, or goes back, at resume_ns */
};

struct ch_lane {
    enum ch_lane_phase phase;
    struct ch_inbox_batch batch;
    int64_t generation; /* connection that the batch came by */
    int64_t resume_ns;
    int64_t paced_ns; /* not before; the first event after a rest goes at once */
    struct ch_backoff backoff;
    struct ch_amqp_delivery waiting[CH_PREFETCH]; /* ring: [head, head + waiting_count) */
    size_t head, waiting_count;
};

struct ch_lanes {
    struct ch_amqp *amqp; /* NULL: none */
    int64_t generation;   /* rises with each connection */
    bool is_cancelled;
    struct ch_lane *all; /* by row of the service's consumers */
    size_t count;
};

void ch_lane_drop_batch(struct ch_lane *lane);
void ch_lane_drop_waiting(struct ch_lane *lane);

bool ch_lanes_are_running(const struct ch_lanes *lanes);
CH_MUST_CHECK enum ch_err ch_lanes_settle(struct ch_lanes *lanes); /* answers batches that came back from their loop */
CH_MUST_CHECK enum ch_err ch_lanes_feed(struct ch_lanes *lanes);   /* posts what can be posted */
int64_t ch_lanes_next_resume(const struct ch_lanes *lanes); /* when to feed next, INT64_MAX: nothing waits for it */

#endif
