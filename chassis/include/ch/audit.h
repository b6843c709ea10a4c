// SPDX-License-Identifier: Apache-2.0
/**
 * @file audit.h
 * @brief Privileged actions on record: who, what, on what, when, in which trace, with which outcome. A row of the table
 * `audit` in the service's schema, which the service's role can only add to; each row carries a digest of itself and
 * of the row before.
 *
 * A service that uses it has chassis/sql/audit.sql among its .sql files and passes Q_AUDIT_INSERT. No personal data in
 * subject or detail: ids and words of closed sets.
 */
#ifndef CH_AUDIT_H
#define CH_AUDIT_H

#include "ch/pg.h"

/** One action. The rest (who, trace) is the context's. */
struct ch_audit {
    const char *action;    /**< literal: "stock.adjust" */
    struct ch_str subject; /**< id of what it was done to; data NULL: CH_ERR_NO_MEMORY, an arena had no room for it */
    struct ch_str detail;  /**< "ON_ROUTE", "delta=-3"; data NULL: nothing more to say */
    enum ch_err result;    /**< CH_OK: done; else it was refused, and this says why */
};

/** In the transaction of the action itself: both are there, or neither. */
CH_MUST_CHECK enum ch_err ch_audit_add(struct ch_tx *tx, int query, const struct ch_audit *entry);
/** For what writes nothing itself (a look at somebody's data, a refusal): committed when it returns. */
CH_MUST_CHECK enum ch_err ch_audit_wait(struct ch_ctx *ctx, int query, const struct ch_audit *entry);

#endif
