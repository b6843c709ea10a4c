// SPDX-License-Identifier: Apache-2.0
/**
 * @file cancel_store.h
 * @brief Cancellations in the database. No rules of the shop; strings are copied to the context's arena.
 */
#ifndef CANCEL_STORE_H
#define CANCEL_STORE_H

#include "cancel.h"

/** A wish as it is first stored. */
struct cancel_request {
    struct ch_uuid order_id, actor_id;
    enum order_actor actor;
    struct cancel_wish wish;
    double first_retry_s; /**< until the reconciler takes it up, if the caller's own attempt comes to nothing */
};
/** Stores the wish, once an order: an earlier one stays as it is. */
CH_MUST_CHECK enum ch_err cancellation_request_wait(struct ch_ctx *ctx, const struct cancel_request *request);
/** state CANCEL_NONE: nobody asked. */
CH_MUST_CHECK enum ch_err cancellation_find_wait(struct ch_ctx *ctx, struct ch_uuid order_id,
                                                 struct order_cancellation *ret_cancellation);

/** An order and the wish to cancel it, both locked. */
struct cancel_facts {
    struct ch_uuid order_id;
    enum order_status status;
    enum cancel_state state;
    enum order_actor actor;
    int reason;
    struct ch_str order_no, traceparent;
    int64_t total_krw;
};
/** CH_ERR_NOT_FOUND: there is no such wish. */
CH_MUST_CHECK enum ch_err cancellation_lock_wait(struct ch_tx *tx, struct ch_uuid order_id,
                                                 struct cancel_facts *ret_facts);
/** CANCELLED, with timeline entry, refund and event; the wish is DONE. */
CH_MUST_CHECK enum ch_err cancellation_finish_wait(struct ch_tx *tx, const struct cancel_facts *facts);
/** The box has left: the wish is REFUSED, for good. What is not REQUESTED stays as it is. */
CH_MUST_CHECK enum ch_err cancellation_refuse_wait(struct ch_ctx *ctx, struct ch_uuid order_id);

/** One wish that was left half done. */
struct cancel_claim {
    struct ch_uuid order_id;
    int reason;
    int64_t attempts;
};
/** Takes up to `limit` whose time has come, and puts the next attempt off, longer each time and by chance; other
 * instances pass over them. */
CH_MUST_CHECK enum ch_err cancellation_claim_wait(struct ch_ctx *ctx, int32_t limit, struct cancel_claim **ret_claims,
                                                  size_t *ret_count);
/** How many are half done, and the age of the oldest. */
CH_MUST_CHECK enum ch_err cancellation_backlog_wait(struct ch_ctx *ctx, int64_t *ret_count, int64_t *ret_oldest_s);

#endif
