// SPDX-License-Identifier: Apache-2.0
/**
 * @file order_admit.h
 * @brief The first group commit of placing an order: was its key used before, and is there stock for it.
 */
#ifndef ORDER_ADMIT_H
#define ORDER_ADMIT_H

#include "order_store.h"

/** Joins the batch of admissions. Afterwards `ret_key` tells of the key; if the buyer has used it, nothing was reserved
 * and the result is CH_OK. Else the result is that of struct reservation, with a new order_id in the order. */
CH_MUST_CHECK enum ch_err order_admit_wait(struct ch_ctx *ctx, struct order *order, struct order_key *ret_key);

/** What the batch runs; see batches_start. */
void order_admit_commit(void *loop, struct ch_batch_item **items, size_t count);

#endif
