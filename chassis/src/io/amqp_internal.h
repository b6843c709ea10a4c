// SPDX-License-Identifier: Apache-2.0
/*
 * What the amqp_*.c files share: the connection and how a failure of rabbitmq-c becomes one of ours. Nothing outside
 * them may include this. A connection belongs to one thread.
 */
#ifndef CH_AMQP_INTERNAL_H
#define CH_AMQP_INTERNAL_H

#include "ch/amqp.h"

#include <amqp.h>
#include <sys/time.h>

#define CH_AMQP_CHANNEL   1
#define CH_AMQP_HEARTBEAT 10 /* seconds; a peer that is silent for two of them is gone */
#define CH_AMQP_RPC_NS    INT64_C(5000000000)
#define CH_AMQP_CLOSE_NS  INT64_C(1000000000)

struct ch_amqp {
    amqp_connection_state_t conn;
    bool is_broken;    /* nothing but close may follow */
    uint64_t next_tag; /* of the next message published on the channel */
    const char *queues[CH_AMQP_QUEUES_MAX];
    int queue_count;
};

struct timeval ch_amqp_time_left(int64_t deadline_ns); /* zero when past */

/* Each marks the connection as broken on failure, logs `step` (a literal) with the reason, returns CH_ERR_UNAVAILABLE.
 */
CH_MUST_CHECK enum ch_err ch_amqp_reply(struct ch_amqp *amqp, const char *step, amqp_rpc_reply_t reply);
CH_MUST_CHECK enum ch_err ch_amqp_status(struct ch_amqp *amqp, const char *step, int status);
/* A frame nobody waited for: closes and cancels break the connection, the rest means nothing to us. */
CH_MUST_CHECK enum ch_err ch_amqp_stray(struct ch_amqp *amqp, const amqp_frame_t *frame);

#endif
