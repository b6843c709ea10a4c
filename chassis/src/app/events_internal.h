// SPDX-License-Identifier: Apache-2.0
/*
 * What the parts of the event machinery share. Nothing outside of events*.c, outbox.c and inbox.c may include this.
 *
 *   outbox.c          ch_outbox_add, ch_outbox_wake
 *   events_relay.c    the relay's thread: outbox -> broker
 *   events_unheard.c  types of event that no queue takes, for the relay
 *   events_consume.c  the consumers' thread: broker -> lanes
 *   events_lanes.c    lanes, one a queue: waiting events -> batches -> acknowledgements
 *   inbox.c           on loop 0: a lane's batch in one transaction with its inbox rows
 *   events_envelope.c CloudEvents, written and read
 *   events.c          start, stop, what they share
 */
#ifndef CH_EVENTS_INTERNAL_H
#define CH_EVENTS_INTERNAL_H

#include "events.h"

#include "ch/amqp.h"

#include <pthread.h>
#include <stdatomic.h>

/* ---- signals: an eventfd that one thread waits for ----------------------------------------------------------------
 */

void ch_signal_set(int fd);
void ch_signal_clear(int fd);
bool ch_signal_wait(int fd, int64_t deadline_ns); /* true: set; stays set */

/* ---- backoff: 100 ms to 2 s, half of it by chance, so that services do not come back all at once -------------------
 */

struct ch_backoff {
    int64_t next_ns; /* 0: starts anew */
};
int64_t ch_backoff_take(struct ch_backoff *backoff); /* how long to wait now */
/* Of one event that has had `pauses` before this one: 200 ms to 10 s, half of it by chance. */
int64_t ch_backoff_of(int pauses);

/* ---- envelope --------------------------------------------------------------------------------------------------- */

#define CH_EVENT_DATA_MAX (1024 * 1024)
#define CH_EVENT_BODY_MAX (CH_EVENT_DATA_MAX + 64 * 1024)
#define CH_EVENT_CONTENT  "application/cloudevents+json"

/* `data` is put in as it is. */
void ch_envelope_write(struct ch_buf *out, const char *service, const struct ch_event *event, struct ch_str data);
/* Strings live in `arena`, event->data in *ret_root (json_decref). Failures: CH_ERR_INVALID, CH_ERR_BAD_SYNTAX,
 * CH_ERR_TOO_LARGE: not to be mended by a second try; CH_ERR_NO_MEMORY. `faults` may have none. */
CH_MUST_CHECK enum ch_err ch_envelope_read(struct ch_str body, const char *type, struct ch_arena *arena,
                                           struct ch_faults *faults, json_t **ret_root, struct ch_event *ret_event);

/* ---- inbox ------------------------------------------------------------------------------------------------------- */

#define CH_BATCH_MAX 64

enum ch_verdict {
    CH_VERDICT_NONE,   /* not decided: the world was at fault; is tried again in its place, all wait for it */
    CH_VERDICT_ACK,    /* applied, or a duplicate */
    CH_VERDICT_DEAD,   /* no second try would mend it */
    CH_VERDICT_LATER,  /* what this one event needs is not there yet: is tried again by itself, as often as it takes */
    CH_VERDICT_FAILED, /* the handler failed on it: is tried again by itself, a few times */
};

struct ch_inbox_item {
    struct ch_amqp_delivery delivery;
    struct ch_event event;
    json_t *root;
    enum ch_verdict verdict;
    int failures; /* CH_VERDICT_FAILED so far */
    int pauses;   /* tries that ended in a pause of its own so far */
};

enum ch_event_outcome { CH_EVENT_APPLIED, CH_EVENT_DUPLICATE, CH_EVENT_DEAD, CH_EVENT_RETRIED, CH_EVENT_OUTCOMES };

/* Belongs to the consumers' thread; between ch_inbox_post and is_ended to loop 0. */
struct ch_inbox_batch {
    const struct ch_consumer *consumer;
    struct ch_loop *loop;
    int wake_fd; /* set when it ended */
    struct ch_mail mail;
    struct ch_arena *arena;
    struct ch_inbox_item items[CH_BATCH_MAX];
    size_t count;
    atomic_bool is_ended;
    struct ch_series *outcomes[CH_EVENT_OUTCOMES];
    struct ch_series *duration_ok;
};
void ch_inbox_init(struct ch_inbox_batch *batch, const struct ch_consumer *consumer, struct ch_loop *loop, int wake_fd);
void ch_inbox_post(struct ch_inbox_batch *batch); /* `batch->items` have verdicts once is_ended */

/* ---- threads ----------------------------------------------------------------------------------------------------- */

/* Both connections must be up for "rabbitmq" to be up. */
enum ch_events_part { CH_EVENTS_RELAY = 1, CH_EVENTS_CONSUMERS = 2 };
void ch_events_report(enum ch_events_part part, bool is_up);

/* Joins until the deadline. False: it still runs, and what it uses must stay. */
bool ch_events_join(pthread_t thread, int64_t deadline_ns);

CH_MUST_CHECK enum ch_err ch_relay_start(const struct ch_service *service, const struct ch_events_options *options);
void ch_relay_stop(int64_t deadline_ns); /* accepts one that was not started */

CH_MUST_CHECK enum ch_err ch_consumers_start(const struct ch_service *service, const struct ch_events_options *options);
void ch_consumers_cancel(void);
void ch_consumers_stop(int64_t deadline_ns);

int ch_outbox_wake_fd(void); /* set by ch_outbox_wake; stays open until the process ends */
/* Before looking into the outbox: later wakes set the descriptor again. True: somebody called ch_outbox_wake since. */
bool ch_outbox_wake_take(void);

#endif
