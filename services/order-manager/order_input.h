// SPDX-License-Identifier: Apache-2.0
/**
 * @file order_input.h
 * @brief What a buyer may send, as one table: REST binds its JSON by it, gRPC checks its message by the same rows.
 */
#ifndef ORDER_INPUT_H
#define ORDER_INPUT_H

#include "order.h"

/** The body of POST /api/v1/orders, bound and within its limits. */
struct order_input {
    struct ch_str payment_token;
    struct recipient recipient;
    struct ch_str gift_message;
    struct ch_array lines; /**< of struct order_line */
};
extern const struct ch_field order_input_fields[];

/** Turns checked input into an order of this buyer. */
CH_MUST_CHECK enum ch_err order_from_input(struct ch_ctx *ctx, const struct order_input *input, struct ch_str key,
                                           struct order *ret_order);

/** The bound `cursor` of a list of orders as the id to go on after; all ones, from the newest, when its data is NULL.
 */
CH_MUST_CHECK enum ch_err order_cursor_read(struct ch_ctx *ctx, struct ch_str cursor, struct ch_uuid *ret_after);
/** What the next page is asked for with; NULL at the arena's limit. */
const char *order_cursor_after(struct ch_ctx *ctx, const struct order *last);

#endif
