// SPDX-License-Identifier: Apache-2.0
/**
 * @file events.h
 * @brief What the service's start and drain call of the outbox relay and the event consumers. Everything they do runs
 * on threads of their own; work on the database goes to the loops by mail.
 */
#ifndef CH_APP_EVENTS_H
#define CH_APP_EVENTS_H

#include "ch/app.h"

struct ch_events_options {
    const char *postgres_uri;     /**< for the relay's own connection; lives as long as the process */
    const char *rabbitmq_uri;     /**< lives as long as the process */
    struct ch_loop *const *loops; /**< all are running; they live until ch_events_stop returned */
    int loop_count;
    int64_t statement_timeout_ns;
    int64_t starved_max_ns; /**< how long events are held while the database is away; 0: five minutes */
};

/** Statements of outbox and inbox that the loops' pools must prepare besides the service's own; ends with a NULL name.
 * Entry i has the index ch_own_query_first(ctx) + i (loop_state.h). Called once, before any loop exists. */
const struct ch_query *ch_events_queries(const struct ch_service *service);

/** Starts the relay and the consumers. Does not wait for RabbitMQ: reports by ch_health_set("rabbitmq", …). Only called
 * for a service with a database. */
CH_MUST_CHECK enum ch_err ch_events_start(const struct ch_service *service, const struct ch_events_options *options);
/** First half of the stop: no new delivery is taken; what is being worked on goes on. Does not block. */
void ch_events_stop_consuming(void);
/** Second half, when no request runs any more: ends the consumers, publishes what the outbox still holds as far as time
 * allows, joins the threads. The loops still run. May be called without a start. */
void ch_events_stop(int64_t deadline_ns);

#endif
