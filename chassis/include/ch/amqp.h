// SPDX-License-Identifier: Apache-2.0
/**
 * @file amqp.h
 * @brief RabbitMQ (AMQP 0-9-1, rabbitmq-c): a publisher with confirms and a consumer, each for a thread of its own that may block.
 *
 * No function here may be called on a loop. Every blocking call has a deadline. Connections use heartbeats.
 */
#ifndef CH_AMQP_H
#define CH_AMQP_H

#include "ch/base.h"

#define CH_AMQP_EXCHANGE     "gwasuwon.events"
#define CH_AMQP_DEAD_LETTERS "gwasuwon.dlx"
#define CH_AMQP_DEAD_QUEUE   "gwasuwon.dead"

struct ch_amqp; /**< one connection, one channel */

/** Connects, opens the channel, declares both exchanges and the dead-letter queue (idempotent). */
CH_MUST_CHECK enum ch_err ch_amqp_open(const char *uri, const char *connection_name, int64_t deadline_ns, struct ch_amqp **ret_amqp);
void ch_amqp_close(struct ch_amqp *amqp); /**< accepts NULL and broken ones */
int ch_amqp_fd(const struct ch_amqp *amqp);

/* ---- publishing ---- */

struct ch_amqp_message {
    const char *routing_key;
    const char *message_id;
    const char *content_type;
    const char *traceparent; /**< header; NULL: none */
    struct ch_str body;
    bool is_confirmed;       /**< out */
};
CH_MUST_CHECK enum ch_err ch_amqp_confirm_select(struct ch_amqp *amqp);
/** Publishes all (persistent, mandatory) and waits for their confirms. A nack or a return (no queue bound) leaves that message unconfirmed.
 *  CH_ERR_UNAVAILABLE: the connection is broken; what was confirmed before is marked. */
CH_MUST_CHECK enum ch_err ch_amqp_publish(struct ch_amqp *amqp, struct ch_amqp_message *messages, size_t count, int64_t deadline_ns);

/* ---- consuming ---- */

struct ch_amqp_delivery {
    uint64_t tag;
    const char *queue;       /**< as subscribed: the pointer given to ch_amqp_subscribe */
    struct ch_str routing_key, message_id, traceparent, body; /**< valid until ch_amqp_delivery_release */
    bool is_redelivered;
    int64_t delivery_count;  /**< x-delivery-count; 0 when absent */
    void *envelope;
};
/** Declares the quorum queue with x-delivery-limit and dead-letter exchange, binds the routing key, consumes with `prefetch`. */
CH_MUST_CHECK enum ch_err ch_amqp_subscribe(struct ch_amqp *amqp, const char *queue, const char *routing_key, int prefetch);
/** Next delivery, or CH_ERR_DEADLINE. `wake_fd` (eventfd) readable: returns CH_ERR_CANCELLED at once so that the thread can acknowledge. */
CH_MUST_CHECK enum ch_err ch_amqp_next(struct ch_amqp *amqp, int wake_fd, int64_t deadline_ns, struct ch_amqp_delivery *ret_delivery);
void ch_amqp_delivery_release(struct ch_amqp_delivery *delivery);
CH_MUST_CHECK enum ch_err ch_amqp_ack(struct ch_amqp *amqp, uint64_t tag, bool is_multiple);
/** Back to the queue (counts towards x-delivery-limit), or, with is_dead, to the dead-letter exchange at once. */
CH_MUST_CHECK enum ch_err ch_amqp_nack(struct ch_amqp *amqp, uint64_t tag, bool is_dead);

#endif
