// SPDX-License-Identifier: Apache-2.0
/**
 * @file order_personal.h
 * @brief An order's personal data: how it is written, sealed, opened and masked. See docs/privacy.md and ADR 0016.
 *
 * It is stored once, as the JSON object {"recipient":{…},"giftMessage":"…"} exactly as it was answered; the stored
 * answer has a gap in its place, so that both together are the answer byte for byte.
 */
#ifndef ORDER_PERSONAL_H
#define ORDER_PERSONAL_H

#include "order.h"

/** The members recipient and giftMessage of the object that is being written; an erased recipient is null. */
void personal_write(struct ch_jw *jw, const struct recipient *to, struct ch_str gift_message);
/** The gap in an answer that is to be stored; a member in its place. */
void personal_write_gap(struct ch_jw *jw);

/** order->personal from recipient and gift message. */
CH_MUST_CHECK enum ch_err personal_encode(struct ch_arena *arena, struct order *order);
/** For the column orders.personal. */
CH_MUST_CHECK enum ch_err personal_seal(struct ch_arena *arena, const struct order *order, struct ch_str *ret_sealed);
/** What the column holds, as JSON; data NULL: erased. Failures are logged, with the order's id. */
CH_MUST_CHECK enum ch_err personal_open(struct ch_arena *arena, struct ch_uuid order_id, struct ch_str sealed,
                                        struct ch_str *ret_json);
/** Fills recipient and gift message from that JSON. */
CH_MUST_CHECK enum ch_err personal_decode(struct ch_arena *arena, struct ch_str json, struct order *order);
/** The answer as it was: `gapped` with `json` (data NULL: erased) in its gap. */
CH_MUST_CHECK enum ch_err personal_fill_gap(struct ch_arena *arena, struct ch_str gapped, struct ch_str json,
                                            struct ch_str *ret_reply);

/** Leaves of recipient and gift message what lets one recognise them: 홍*동, 010-****-5678, the road. */
CH_MUST_CHECK enum ch_err personal_mask(struct ch_arena *arena, struct order *order);

/** A cancellation's note, for the column cancellations.note and back; empty text is no value. */
CH_MUST_CHECK enum ch_err personal_seal_note(struct ch_arena *arena, struct ch_uuid order_id, struct ch_str note,
                                             struct ch_str *ret_sealed);
CH_MUST_CHECK enum ch_err personal_open_note(struct ch_arena *arena, struct ch_uuid order_id, struct ch_str sealed,
                                             struct ch_str *ret_note);

#endif
