// SPDX-License-Identifier: Apache-2.0
/**
 * @file erasure.h
 * @brief Erasing an account's data: its orders stay, the person does not. See docs/privacy.md.
 */
#ifndef ERASURE_H
#define ERASURE_H

#include "ch/app.h"

/** What is known of an account's wish to be forgotten. */
struct erasure {
    struct ch_str state; /**< REQUESTED or DONE; data NULL: nobody asked */
    int64_t requested_at_us, finished_at_us;
    int64_t orders; /**< that lost their person */
};

/** Asks for the caller's own account, and begins. CH_ERR_ORDERS_OPEN: a box has not arrived yet; nothing was changed,
 * the orders are named. Asked again: what was asked stands. */
CH_MUST_CHECK enum ch_err erasure_request_wait(struct ch_ctx *ctx, struct erasure *ret_erasure);
/** state.data NULL: nobody asked. */
CH_MUST_CHECK enum ch_err erasure_find_wait(struct ch_ctx *ctx, struct ch_uuid account_id, struct erasure *ret_erasure);

/** Carries on with what was asked for, a bounded number of orders a transaction; instances share the work. */
CH_MUST_CHECK enum ch_err erasure_work_wait(struct ch_ctx *ctx);
/** Takes up what slipped in while its account was being erased. */
CH_MUST_CHECK enum ch_err erasure_reopen_wait(struct ch_ctx *ctx);

#endif
