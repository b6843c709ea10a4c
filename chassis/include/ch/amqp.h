// SPDX-License-Identifier: Apache-2.0
/**
 * @file amqp.h
 * @brief RabbitMQ (AMQP 0-9-1, rabbitmq-c): a publisher with confirms and a consumer, each for a thread of its own that
 * may block.
 *
 * No function here may be called on a loop. Every blocking call has a deadline. Connections use heartbeats.
 */
#ifndef CH_AMQP_H
#define CH_AMQP_H

#include "ch/base.h"

#define CH_AMQP_EXCHANGE     "gwasuwon.events"
#define CH_AMQP_DEAD_LETTERS "gwasuwon.dlx"
#define CH_AMQP_DEAD_QUEUE   "gwasuwon.dead"

struct ch_amqp; /**< one connection, one channel; it publishes or consumes, never both: deliveries that come while
                   confirms are awaited would be lost */

/** CH_ERR_INVALID (logged, without the password): no amqp:// URI. amqps:// is refused too: between pods the mesh
 * encrypts. */
CH_MUST_CHECK enum ch_err ch_amqp_check_uri(const char *uri);
/** Connects, opens the channel, declares both exchanges and the dead-letter queue (idempotent). An empty virtual host
 * is "/". CH_ERR_UNAVAILABLE: not reached, or refused by the broker (logged with its reason, at most once in 10 s). */
CH_MUST_CHECK enum ch_err ch_amqp_open(const char *uri, const char *connection_name, int64_t deadline_ns,
                                       struct ch_amqp **ret_amqp);
void ch_amqp_close(struct ch_amqp *amqp); /**< accepts NULL and broken ones */
int ch_amqp_fd(const struct ch_amqp *amqp);
/** Call it at least every few seconds while nothing else is called: sends heartbeats, notices that the broker went
 * away. */
CH_MUST_CHECK enum ch_err ch_amqp_tick(struct ch_amqp *amqp);

/** Messages that wait in a queue. A queue that does not exist breaks the connection, as RabbitMQ wills it. */
CH_MUST_CHECK enum ch_err ch_amqp_depth(struct ch_amqp *amqp, const char *queue, int64_t *ret_count);

/* ---- publishing ---- */

struct ch_amqp_message {
    const char *routing_key;
    const char *message_id;
    const char *content_type;
    const char *traceparent; /**< header; NULL: none */
    struct ch_str body;
    bool is_confirmed; /**< out */
    bool is_returned;  /**< out: no queue is bound to its routing key; the broker confirms it all the same */
};
#define CH_AMQP_WINDOW 256 /**< messages without a confirm */
CH_MUST_CHECK enum ch_err ch_amqp_confirm_select(struct ch_amqp *amqp);
/** Publishes all (persistent, mandatory) and waits for their confirms. A nack leaves that message unconfirmed. A return
 * (nobody listens) is not a failure: is_returned is set besides is_confirmed, as long as the message has an id.
 *  CH_ERR_UNAVAILABLE: the connection is broken; CH_ERR_DEADLINE: confirms are missing. What was confirmed before is
 * marked. */
CH_MUST_CHECK enum ch_err ch_amqp_publish(struct ch_amqp *amqp, struct ch_amqp_message *messages, size_t count,
                                          int64_t deadline_ns);

/* ---- consuming ---- */

struct ch_amqp_delivery {
    uint64_t tag;
    const char *queue; /**< as subscribed: the pointer given to ch_amqp_subscribe */
    struct ch_str routing_key, message_id, traceparent, body; /**< valid until ch_amqp_delivery_release */
    bool is_redelivered;
    int64_t delivery_count; /**< x-delivery-count: how often it went back to the queue; 0 when absent */
    void *envelope;
};
#define CH_AMQP_QUEUES_MAX 32
/** The broker counts what comes back when a process or a connection ends, whoever is at fault: this is for events that
 * kill their consumer, and far above what crashes and restarts come to. Who consumes counts its own failures. */
#define CH_AMQP_DELIVERY_LIMIT 20
/** Declares the quorum queue with x-delivery-limit and dead-letter exchange (at least once: a dead letter leaves its
 * queue when gwasuwon.dead has it), binds the routing key, consumes with `prefetch`. `queue` lives as long as the
 * connection; at most CH_AMQP_QUEUES_MAX. */
CH_MUST_CHECK enum ch_err ch_amqp_subscribe(struct ch_amqp *amqp, const char *queue, const char *routing_key,
                                            int prefetch);
/** No new deliveries come; those that have come can still be acknowledged, the others go back to the queue at the
 * close. */
CH_MUST_CHECK enum ch_err ch_amqp_cancel(struct ch_amqp *amqp);
/** Next delivery, or CH_ERR_DEADLINE (a deadline in the past: only what is there). `wake_fd` (eventfd; -1: none)
 * readable: returns CH_ERR_CANCELLED at once so that the thread can acknowledge; the caller reads it.
 * CH_ERR_UNAVAILABLE: broken, or the broker cancelled the consumer. */
CH_MUST_CHECK enum ch_err ch_amqp_next(struct ch_amqp *amqp, int wake_fd, int64_t deadline_ns,
                                       struct ch_amqp_delivery *ret_delivery);
void ch_amqp_delivery_release(struct ch_amqp_delivery *delivery);
CH_MUST_CHECK enum ch_err ch_amqp_ack(struct ch_amqp *amqp, uint64_t tag, bool is_multiple);
/** Back to the queue (the broker counts it towards x-delivery-limit), or, with is_dead, to the dead-letter exchange at
 * once. */
CH_MUST_CHECK enum ch_err ch_amqp_nack(struct ch_amqp *amqp, uint64_t tag, bool is_dead);

#endif
