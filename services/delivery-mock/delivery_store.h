// SPDX-License-Identifier: Apache-2.0
/**
 * @file delivery_store.h
 * @brief Deliveries in the database: rows to structs and back. Decides nothing. Strings are copied to the context's
 * arena.
 */
#ifndef DELIVERY_STORE_H
#define DELIVERY_STORE_H

#include "delivery.h"

/** Deliveries of these orders with their events; in no certain order. Tombstones are left out unless `with_tombstones`.
 */
CH_MUST_CHECK enum ch_err delivery_find_wait(struct ch_ctx *ctx, const struct ch_uuid *order_ids, size_t count,
                                             struct delivery **ret_deliveries, size_t *ret_count);
/** Events of one delivery after a sequence. */
CH_MUST_CHECK enum ch_err tracking_after_wait(struct ch_ctx *ctx, struct ch_uuid order_id, int64_t after,
                                              struct tracking_event **ret_events, size_t *ret_count);
/** Locks the row in `tx`; without events. CH_ERR_NOT_FOUND if there is none. */
CH_MUST_CHECK enum ch_err delivery_lock_wait(struct ch_tx *tx, struct ch_uuid order_id, struct delivery *ret_delivery);
CH_MUST_CHECK enum ch_err delivery_lock_due_wait(struct ch_tx *tx, size_t max, struct delivery **ret_deliveries,
                                                 size_t *ret_count);
CH_MUST_CHECK enum ch_err delivery_tombstone_wait(struct ch_tx *tx, struct ch_uuid order_id);

/** One step of one locked delivery. */
struct delivery_step {
    struct delivery *delivery; /**< its status, last_event, sequence and updated_at are already those after the step */
    bool is_status_changed;
    enum delivery_status previous;
    double wait_s; /**< simulated seconds until the clock's next step; negative: never */
};
/** Writes the steps, their tracking events and, where the status changed, the event for others. */
CH_MUST_CHECK enum ch_err delivery_apply_wait(struct ch_tx *tx, const struct delivery_step *steps, size_t count);
/** Creates deliveries in READY with their first tracking event; orders that have one or are tombstoned are passed over.
 */
CH_MUST_CHECK enum ch_err delivery_create_wait(struct ch_tx *tx, const struct delivery *deliveries,
                                               const struct ch_str *traceparents, const double *waits_s, size_t count);

CH_MUST_CHECK enum ch_err simulation_get_wait(struct ch_ctx *ctx, struct simulation *ret_simulation);
CH_MUST_CHECK enum ch_err simulation_set_wait(struct ch_ctx *ctx, const struct simulation *simulation);
CH_MUST_CHECK enum ch_err simulation_init_wait(struct ch_ctx *ctx, const struct simulation *simulation);

/** Where a tracking event of this delivery happens. */
struct ch_str tracking_place(enum tracking_type type, struct ch_str region);

#endif
