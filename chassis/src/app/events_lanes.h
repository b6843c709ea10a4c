// SPDX-License-Identifier: Apache-2.0
/*
 * Lanes: deliveries wait in them in their order, and one batch at a time of each goes to loop 0 (inbox.c), so that the
 * order of a queue is kept while queues run side by side. An event that fails by itself is parked: it waits for its
 * next try beside the lane, unacknowledged, and those behind it go on. Belongs to the consumers' thread; nothing but
 * events_consume.c and events_lanes.c may include this.
 */
#ifndef CH_EVENTS_LANES_H
#define CH_EVENTS_LANES_H

#include "events_internal.h"

#define CH_PREFETCH   128
#define CH_PARKED_MAX 64 /* below the prefetch: the others must have room */

struct ch_parked {
    struct ch_amqp_delivery delivery;
    int64_t due_ns;
    int failures, pauses; /* as in ch_inbox_item */
};

struct ch_lane {
    bool is_running; /* the batch is loop 0's; otherwise it is empty */
    bool is_retry;   /* the batch is, or was last, one parked event */
    struct ch_inbox_batch batch;
    int64_t generation; /* connection that the batch came by */
    int64_t resume_ns;  /* the whole lane rests until then: what all its events need is away */
    int64_t paced_ns;   /* not before; the first event after a rest goes at once */
    struct ch_backoff backoff;
    struct ch_amqp_delivery waiting[CH_PREFETCH]; /* ring: [head, head + waiting_count), by their tags */
    size_t head, waiting_count;
    struct ch_parked parked[CH_PARKED_MAX];
    size_t parked_count;
    struct ch_series *parked_gauge;
};

struct ch_lanes {
    struct ch_amqp *amqp; /* NULL: none */
    int64_t generation;   /* rises with each connection */
    bool is_cancelled;
    int64_t starved_ns;  /* since then no batch came through; 0: the last one did */
    struct ch_lane *all; /* by row of the service's consumers */
    size_t count;
};

void ch_lane_init(struct ch_lane *lane);            /* its batch is set up already */
void ch_lane_drop_batch(struct ch_lane *lane);      /* not while it runs */
void ch_lanes_drop_waiting(struct ch_lanes *lanes); /* and what is parked: goes back to the queue at the close */
/* Takes ownership; must have room, and its tag is the highest yet. */
void ch_lane_push(struct ch_lane *lane, const struct ch_amqp_delivery *delivery);

bool ch_lanes_are_running(const struct ch_lanes *lanes);
CH_MUST_CHECK enum ch_err ch_lanes_settle(struct ch_lanes *lanes); /* answers batches that came back from their loop */
CH_MUST_CHECK enum ch_err ch_lanes_feed(struct ch_lanes *lanes);   /* posts what can be posted */
int64_t ch_lanes_next_feed(const struct ch_lanes *lanes); /* when to feed next; INT64_MAX: nothing waits for it */

#endif
