// SPDX-License-Identifier: Apache-2.0
/**
 * @file delivery.h
 * @brief What a delivery is and how it moves. REST, gRPC, the clock and events all end here, so the rules stand once.
 *
 * No personal data: the mock carrier knows a region (the first two digits of the postcode) and nothing else of the
 * recipient.
 */
#ifndef DELIVERY_H
#define DELIVERY_H

#include "ch/app.h"

enum delivery_status {
    DELIVERY_READY,
    DELIVERY_ON_ROUTE,
    DELIVERY_DELIVERED,
    DELIVERY_CANCELLED,
    DELIVERY_STATUS_COUNT
};
extern const char *const delivery_status_names[]; /**< "READY" …, NULL at the end */

enum tracking_type {
    TRACKING_CREATED,
    TRACKING_PICKED_UP,
    TRACKING_AT_HUB,
    TRACKING_OUT_FOR_DELIVERY,
    TRACKING_ATTEMPT_FAILED,
    TRACKING_EXCEPTION,
    TRACKING_DELIVERED,
    TRACKING_CANCELLED,
    TRACKING_TYPE_COUNT,
};

/** One row a kind of tracking event; index is enum tracking_type. */
struct tracking_row {
    const char *name;
    int status;          /**< of the delivery after it; -1: as before */
    const char *place;   /**< where it happens; NULL: the region's own hub */
    const char *message; /**< for people */
};
extern const struct tracking_row tracking_rows[];

/** One entry of a box's history; sequences rise by one from 1. */
struct tracking_event {
    struct ch_uuid order_id;
    int64_t sequence, at_us;
    struct ch_str type, status, location, message;
};

/** A box on its way, or the tombstone that keeps one from being made. */
struct delivery {
    struct ch_uuid order_id, delivery_id, buyer_id; /**< delivery_id nil: a tombstone */
    struct ch_str farm_ids;                         /**< separated by spaces */
    enum delivery_status status;
    enum tracking_type last_event;
    int64_t sequence;
    struct ch_str carrier, invoice_no, region;
    int64_t created_at_us, updated_at_us;
    struct tracking_event *events;
    size_t event_count;
};

/** Means in simulated seconds and the speed of the simulated clock. */
struct simulation {
    bool is_paused;
    double speed;
    int64_t ready_mean_s, route_mean_s;
};

/* delivery.c: the rules */

bool delivery_may_see(const struct ch_identity *who, const struct delivery *delivery);
/** The delivery with its events, if the caller may see it; else CH_ERR_NOT_FOUND. */
CH_MUST_CHECK enum ch_err delivery_get_wait(struct ch_ctx *ctx, struct ch_uuid order_id, struct delivery *ret_delivery);
/** One step by hand. To where it is already changes nothing; a step that is not next is CH_ERR_BAD_TRANSITION. */
CH_MUST_CHECK enum ch_err delivery_advance_wait(struct ch_ctx *ctx, struct ch_uuid order_id, enum delivery_status to,
                                                struct delivery *ret_delivery);
/** Stops a delivery that has not left, or leaves a tombstone; idempotent. CH_ERR_BAD_TRANSITION once it has left. */
CH_MUST_CHECK enum ch_err delivery_cancel_wait(struct ch_ctx *ctx, struct ch_uuid order_id,
                                               struct delivery *ret_delivery);
/** Moves what is due; the clock's job. */
CH_MUST_CHECK enum ch_err delivery_clock_tick(struct ch_ctx *ctx);

/* steps.c: the table of what follows what, pure */

/** The event that the clock brings after `last`; `dice` in [0,100) decides mishaps. TRACKING_TYPE_COUNT: none, it has
 * ended. */
enum tracking_type step_after(enum tracking_type last, int dice_percent);
/** Simulated seconds to wait after `last` before the next event; negative: for ever. `jitter` in [0.5, 1.5). */
double step_wait_s(enum tracking_type last, const struct simulation *simulation, double jitter);
/** Eleven random digits and their check digit (the number modulo 7), as Korean carriers number their invoices. */
void invoice_number(const uint8_t random[8], char ret_text[13]);
/** Hub of a region given by the first two digits of a postcode. */
const char *region_hub(struct ch_str region);

#endif
