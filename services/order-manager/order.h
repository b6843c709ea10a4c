// SPDX-License-Identifier: Apache-2.0
/**
 * @file order.h
 * @brief What an order is, and what may be done with one. REST (routes.c) and gRPC (rpcs.c) both end here, so the rules
 * stand once.
 *
 * Strings lie in the context's arena. Recipient, gift message and payment token are personal data: they go sealed to
 * the database, whole to the buyer and to the farm that ships, masked to others who may see the order, and never to a
 * log, a metric or an event. See docs/privacy.md.
 */
#ifndef ORDER_H
#define ORDER_H

#include "ch/app.h"

#define ORDER_LINES_MAX 20
#define ORDER_NO_TEXT   16 /**< "20261123-7K3M9Q" and NUL */

/** Position in order_status_names and in the table of transitions. */
enum order_status {
    ORDER_PLACED,
    ORDER_PREPARING,
    ORDER_SHIPPING,
    ORDER_DELIVERED,
    ORDER_CONFIRMED,
    ORDER_CANCELLED,
    ORDER_STATUS_COUNT
};
extern const char *const order_status_names[]; /**< "PLACED" …, NULL at the end */
/** The status of that name; CH_ERR_INVALID for any other text. */
CH_MUST_CHECK enum ch_err order_status_parse(struct ch_str name, enum order_status *ret_status);

/** One SKU of an order: what the buyer asked for, then what the catalogue answered. */
struct order_line {
    struct ch_uuid sku_id;
    int64_t quantity;
    int64_t unit_price_krw;
    /* what the catalogue said when the stock was reserved */
    struct ch_uuid product_id, farm_id, lot_id; /**< lot_id nil: the stock has no lots */
    struct ch_str farm_name, title, grade;
    int64_t weight_g;
};

#define ORDER_HASH_SIZE 36 /**< id of a key, and the HMAC under it */

/** Who gets the box. Personal data; name.data NULL: erased. */
struct recipient {
    struct ch_str name, phone, postcode, address1, address2, door_note;
    bool is_masked; /**< only what lets one recognise it */
};

/** What is known of an order's delivery, and since when. */
struct order_delivery {
    struct ch_str status; /**< data NULL: no delivery yet */
    struct ch_str carrier, invoice_no;
    int64_t as_of_us;
    bool is_live; /**< asked just now; false: what the last event said */
    const struct order_delivery_event {
        int64_t sequence, at_us;
        struct ch_str type, status, location, message;
    } * events;
    size_t event_count;
};

/** How far the wish to cancel an order has come. */
enum cancel_state { CANCEL_NONE, CANCEL_REQUESTED, CANCEL_DONE, CANCEL_REFUSED, CANCEL_STATE_COUNT };

/** Why an order is cancelled; the rows stand in cancel_reasons.def. */
enum cancel_reason {
#define CANCEL_REASON(id, text, who) CANCEL_##id,
#include "cancel_reasons.def"
#undef CANCEL_REASON
    CANCEL_REASON_COUNT
};

/** What is known of the wish to cancel an order. */
struct order_cancellation {
    enum cancel_state state; /**< CANCEL_NONE: nobody asked, and nothing else is set */
    int reason;              /**< enum cancel_reason */
    struct ch_str actor, note;
    int64_t requested_at_us, finished_at_us; /**< finished_at_us 0: it is not */
    int64_t refund_krw;                      /**< 0 until it is given back */
};

/** An order, on its way in or as stored; which members are set depends on who filled it. */
struct order {
    struct ch_uuid order_id, buyer_id;
    char order_no[ORDER_NO_TEXT];
    enum order_status status;
    struct ch_str idempotency_key;
    struct ch_str cluster_run; /**< of the database that will store it; only while it is being placed */
    uint8_t request_hash[ORDER_HASH_SIZE];
    struct ch_str payment_token;        /**< only while it is being placed */
    struct ch_str masked_payment_token; /**< what is stored and shown */
    struct recipient recipient;
    struct ch_str gift_message;
    struct ch_str personal; /**< both as JSON, order_personal.h; only while it is being placed */
    struct order_line *lines;
    size_t line_count;
    int64_t items_krw, shipping_fee_krw, total_krw;
    struct order_delivery delivery;
    struct order_cancellation cancellation; /**< only where the whole order is told: order_detail_wait */
    int64_t created_at_us, updated_at_us;
    struct ch_str reply;        /**< JSON of the order as first answered */
    struct ch_str stored_reply; /**< the same without the personal data; only while it is being placed */
};

/** One change of status: when, by whom, in which trace. */
struct timeline_entry {
    struct ch_str status, actor, reason, trace_id;
    int64_t at_us;
};

/* order.c: the rules */

/** Reserves the stock, then stores order, lines, timeline and event in one commit. With a key that the buyer used
 * before: the same content answers the earlier order, of which only order->order_id and order->reply are set, and
 * created_at_us is 0; other content is CH_ERR_KEY_REUSED. Two requests with one key at once end in one order; what the
 * loser reserved is released. */
CH_MUST_CHECK enum ch_err order_place_wait(struct ch_ctx *ctx, struct order *order);
/** The order with lines, if the caller may see it; else CH_ERR_NOT_FOUND. Who is not its buyer gets the recipient
 * masked. */
CH_MUST_CHECK enum ch_err order_get_wait(struct ch_ctx *ctx, struct ch_uuid order_id, struct order *ret_order);
/** The order with all that is known of it: lines, timeline, cancellation, and its delivery asked just now; if the
 * caller may see it. `reveal_for` (data NULL: no) is why an operator needs the recipient as it is; that is put on
 * record. */
CH_MUST_CHECK enum ch_err order_detail_wait(struct ch_ctx *ctx, struct ch_uuid order_id, struct ch_str reveal_for,
                                            struct order *ret_order, struct timeline_entry **ret_timeline,
                                            size_t *ret_count);
/** What a farm may see of the recipient: all while it has to ship the box or the box is on its way, masked after.
 * Others than the farm see it masked. */
CH_MUST_CHECK enum ch_err order_hide_from_farm(struct ch_ctx *ctx, bool is_own_farm, struct order *order);
/** Asks DeliveryMock with a short deadline; keeps what the events last said when it does not answer. */
void order_ask_delivery_wait(struct ch_ctx *ctx, struct order *order);

/* order_status.c: the table of transitions */

enum order_actor { BY_BUYER = 1, BY_FARM = 2, BY_OPERATOR = 4, BY_DELIVERY = 8, BY_SYSTEM = 16 };
const char *order_actor_name(enum order_actor actor);
enum order_actor order_actor_parse(struct ch_str name); /**< BY_SYSTEM for any name it does not know */
bool order_may_move(enum order_status from, enum order_status to, enum order_actor actor);
/** The next status on the way from `from` to `to` that `actor` may take; `from` itself when there is no way. */
enum order_status order_step_towards(enum order_status from, enum order_status to, enum order_actor actor);

/* order_json.c: how an order looks on the wire */

void order_write(struct ch_jw *jw, const struct order *order); /**< the members of the object, without braces */
/** The same with a gap (order_personal.h) in place of the personal data. */
void order_write_gapped(struct ch_jw *jw, const struct order *order);
void order_write_delivery(struct ch_jw *jw, const struct order_delivery *delivery);
void order_write_cancellation(struct ch_jw *jw, const struct order_cancellation *cancellation);
void order_write_timeline(struct ch_jw *jw, const struct timeline_entry *entries, size_t count);
void order_write_farm_view(struct ch_jw *jw, const struct order *order);

#endif
