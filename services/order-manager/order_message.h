// SPDX-License-Identifier: Apache-2.0
/**
 * @file order_message.h
 * @brief Orders as protobuf messages. Everything made here lies in the context's arena.
 */
#ifndef ORDER_MESSAGE_H
#define ORDER_MESSAGE_H

#include "cancel.h"
#include "order_input.h"

#include "orders/v1/orders.pb-c.h"

/** Checks the message by the same table as REST's JSON (the pointers in faults name REST's fields) and reads it. */
CH_MUST_CHECK enum ch_err order_input_from_message(struct ch_ctx *ctx, const Orders__V1__PlaceOrderRequest *request,
                                                   struct order_input *ret_input, struct ch_str *ret_key);
/** The same for a cancellation, with the pointers of REST's body. */
CH_MUST_CHECK enum ch_err cancel_wish_from_message(struct ch_ctx *ctx, const Orders__V1__CancelOrderRequest *request,
                                                   struct cancel_wish *ret_wish);
/** NULL when memory is short. */
Orders__V1__Order *order_to_message(struct ch_ctx *ctx, const struct order *order);
/** Adds delivery, timeline and cancellation; false when memory is short. */
bool order_message_add_detail(struct ch_ctx *ctx, Orders__V1__Order *message, const struct order *order,
                              const struct timeline_entry *timeline, size_t timeline_count);

#endif
