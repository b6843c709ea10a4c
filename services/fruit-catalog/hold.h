// SPDX-License-Identifier: Apache-2.0
/**
 * @file hold.h
 * @brief What becomes of stock that orders hold: sold, or given back. Each order once, however often it is asked for.
 */
#ifndef HOLD_H
#define HOLD_H

#include "ch/app.h"

/** In the ledger: the stock came back because its order was cancelled. */
#define REASON_CANCELLED "order_cancelled"

/** Gives back what the orders hold or bought, and closes those never seen, in one commit. `ids` may have duplicates and
 * are sorted. */
CH_MUST_CHECK enum ch_err hold_release_wait(struct ch_ctx *ctx, struct ch_uuid *ids, size_t count,
                                            struct ch_str reason);
/** The same inside of a transaction of the caller's, and no more than once tried: CH_ERR_CONFLICT is that one of the
 * orders was just being reserved, and then the transaction must not be kept. */
CH_MUST_CHECK enum ch_err hold_release_in_wait(struct ch_tx *tx, struct ch_uuid *ids, size_t count,
                                               struct ch_str reason);
/** Nobody knows any more whose the orders were, nor what their buyers have of SKUs with a limit; stock and states stay.
 * For accounts that order nothing any more. In a transaction of the caller's; `ids` as above. */
CH_MUST_CHECK enum ch_err hold_forget_buyers_in_wait(struct ch_tx *tx, struct ch_uuid *ids, size_t count);
/** The hold is a sale; what is no hold any more stays as it is. */
CH_MUST_CHECK enum ch_err hold_sold_wait(struct ch_ctx *ctx, const struct ch_uuid *ids, size_t count);
/** Up to `limit` orders whose holds nobody spoke of for their time to live. */
CH_MUST_CHECK enum ch_err hold_expired_wait(struct ch_ctx *ctx, int32_t limit, struct ch_uuid **ret_ids,
                                            size_t *ret_count);

/** SKUs whose stock is not what their ledger says: always none. */
CH_MUST_CHECK enum ch_err stock_violations_wait(struct ch_ctx *ctx, int64_t *ret_count);
/** Makes the stock ledger's months to come; drops those that were kept long enough. */
CH_MUST_CHECK enum ch_err ledger_turn_wait(struct ch_ctx *ctx, int64_t keep_months, int64_t *ret_dropped);

#endif
