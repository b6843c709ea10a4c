// SPDX-License-Identifier: Apache-2.0
/**
 * @file stream.h
 * @brief Tracking events as they happen: Server-Sent Events for REST, a server stream for gRPC, both from one follower.
 */
#ifndef STREAM_H
#define STREAM_H

#include "delivery.h"

/** Follows one delivery by asking the database; each poll has a short context of its own, so that a long stream holds
 * no memory. */
struct follower {
    struct ch_loop *loop;
    struct ch_trace trace;
    struct ch_uuid order_id;
    int64_t sequence; /**< last one seen */
    bool is_ended;    /**< the last status was seen */
};

/** Waits for events after follower->sequence and hands each to `send` in order. Returns CH_OK when the delivery has
 * ended, at the time `until_ns` (is_ended false), or what `send` or the wait failed with. A database that is away is
 * waited for. */
CH_MUST_CHECK enum ch_err follow_wait(struct follower *follower, int64_t until_ns,
                                      enum ch_err (*send)(void *arg, const struct tracking_event *event), void *arg);

/** One DeliveryEvent as a JSON object. */
void tracking_event_write(struct ch_jw *jw, const struct tracking_event *event);

/** GET /deliveries/{orderId}/events */
enum ch_err delivery_events(struct ch_request *req);

#endif
