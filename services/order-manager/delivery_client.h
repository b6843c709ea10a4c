// SPDX-License-Identifier: Apache-2.0
/**
 * @file delivery_client.h
 * @brief DeliveryMock as OrderManager sees it: where the box is now, and whether it can still be stopped.
 */
#ifndef DELIVERY_CLIENT_H
#define DELIVERY_CLIENT_H

#include "order.h"

/** Asks with DELIVERY_TIMEOUT_MS. status.data NULL: it answered, and knows no delivery yet. */
CH_MUST_CHECK enum ch_err delivery_get_wait(struct ch_ctx *ctx, struct ch_uuid order_id,
                                            struct order_delivery *ret_delivery);

/** Stops the delivery, or keeps one from ever being made. Idempotent, and final either way: CH_ERR_BAD_TRANSITION is
 * that the box has left. `reason` has 2 to 200 characters and no personal data. */
CH_MUST_CHECK enum ch_err delivery_cancel_wait(struct ch_ctx *ctx, struct ch_uuid order_id, const char *reason);

#endif
