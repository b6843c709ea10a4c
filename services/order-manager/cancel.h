// SPDX-License-Identifier: Apache-2.0
/**
 * @file cancel.h
 * @brief Cancelling an order before its box leaves: why, by whom, and how it is brought to its end whatever dies on the
 * way. See "Cancelling an order" in ARCHITECTURE.
 *
 * The note is free text and so personal data: it goes to the database and to who may see the order, never to a log, a
 * metric or an event.
 */
#ifndef CANCEL_H
#define CANCEL_H

#include "order.h"

#define CANCEL_NOTE_MAX 200

/** One row a reason; index is enum cancel_reason. */
struct cancel_reason_row {
    const char *text; /**< Korean */
    unsigned who;     /**< enum order_actor */
};
extern const struct cancel_reason_row cancel_reason_rows[];
extern const char *const cancel_reason_names[]; /**< "CHANGED_MIND" …, NULL at the end */
extern const char *const cancel_state_names[];  /**< index is enum cancel_state; "" is CANCEL_NONE */

/** What the caller says with a cancellation: the body of POST …/cancel. */
struct cancel_wish {
    int reason; /**< enum cancel_reason; CANCEL_REASON_COUNT: not said */
    struct ch_str note;
};
#define CANCEL_WISH_INIT ((struct cancel_wish){.reason = CANCEL_REASON_COUNT, .note = CH_STR("")})
extern const struct ch_field cancel_wish_fields[];

/** May `actor` say this? A buyer who says nothing changed the mind; an operator must say why; OTHER needs a note. */
CH_MUST_CHECK enum ch_err cancel_wish_check(struct ch_ctx *ctx, enum order_actor actor, struct cancel_wish *wish);

/** Cancels for its buyer, or for an operator. CH_OK: it is CANCELLED, by this call or an earlier one.
 * CH_ERR_NOT_CANCELLABLE: the box has left. CH_ERR_UNAVAILABLE: not yet known; if the wish was stored, it will be
 * brought to its end without the caller. */
CH_MUST_CHECK enum ch_err order_cancel_wait(struct ch_ctx *ctx, struct ch_uuid order_id, struct cancel_wish *wish);
/** Finishes what was left half done, a bounded number a call; several instances share the work. The job's function. */
CH_MUST_CHECK enum ch_err cancel_reconcile_wait(struct ch_ctx *ctx);

#endif
