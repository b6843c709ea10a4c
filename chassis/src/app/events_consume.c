// SPDX-License-Identifier: Apache-2.0
// The consumers' thread: one connection for all queues of the service. Each queue is a lane: deliveries wait in it in
// their order, and one batch at a time goes to loop 0 (inbox.c), so that the order of a queue is kept while queues run
// side by side. What comes back are verdicts; this thread alone acknowledges. It must never acknowledge what was not
// committed.
//
// Deliveries of a lost connection cannot be acknowledged any more: the broker sends them again, and the inbox knows
// what was applied. While the database is away a batch waits here, unacknowledged; the prefetch bounds how many do.
#include "events_internal.h"

#include <assert.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define PREFETCH    128
#define CONNECT_NS  INT64_C(3000000000)
#define ARENA_BYTES (4 * 1024 * 1024)
#define PACE_NS     INT64_C(25000000) // between the starts of two batches of a lane; a full one is followed at once

enum lane_phase {
    LANE_IDLE,    // the batch is empty
    LANE_RUNNING, // the batch is loop 0's
    LANE_PAUSED,  // the batch holds what is tried again, or goes back, at resume_ns
};

struct lane {
    enum lane_phase phase;
    struct ch_inbox_batch batch;
    int64_t generation; // connection that the batch came by
    int64_t resume_ns;
    int64_t paced_ns; // not before; the first event after a rest goes at once
    struct ch_backoff backoff;
    struct ch_amqp_delivery waiting[PREFETCH]; // ring: [head, head + waiting_count)
    size_t head, waiting_count;
};

struct consumers {
    const char *service;
    const char *uri;
    const struct ch_consumer *rows;
    pthread_t thread;
    int stop_fd;
    atomic_bool is_stopping;

    struct ch_amqp *amqp;
    int64_t generation; // rises with each connection
    bool is_cancelled;
    struct ch_backoff backoff;
    struct lane *lanes; // by row
    size_t lane_count;
};

static struct consumers *the_consumers; // main thread: start and stop

// Set when a batch ended. Never closed: a loop may still be about to set it when all batches have been seen to have
// ended.
static int wake_fd = -1;

/* ---- lanes
 * ------------------------------------------------------------------------------------------------------------- */

static void release_item(struct ch_inbox_item *item)
{
    ch_amqp_delivery_release(&item->delivery);
    json_decref(item->root);
    *item = (struct ch_inbox_item){0};
}

static void drop_batch(struct lane *lane)
{
    for (size_t i = 0; i < lane->batch.count; i++)
        release_item(&lane->batch.items[i]);
    lane->batch.count = 0;
    lane->phase = LANE_IDLE;
}

static struct ch_amqp_delivery take_waiting(struct lane *lane)
{
    const struct ch_amqp_delivery delivery = lane->waiting[lane->head];

    lane->head = (lane->head + 1) % PREFETCH;
    lane->waiting_count--;
    return delivery;
}

static void drop_waiting(struct lane *lane)
{
    while (lane->waiting_count > 0) {
        struct ch_amqp_delivery delivery = take_waiting(lane);
        ch_amqp_delivery_release(&delivery);
    }
}

static bool is_any_running(const struct consumers *consumers)
{
    for (size_t i = 0; i < consumers->lane_count; i++)
        if (consumers->lanes[i].phase == LANE_RUNNING)
            return true;
    return false;
}

/* ---- acknowledging
 * ------------------------------------------------------------------------------------------------------ */

// The lowest tag that must not be acknowledged yet by whoever acknowledges all up to his own.
static uint64_t lowest_open_tag(const struct consumers *consumers, const struct lane *except)
{
    uint64_t lowest = UINT64_MAX;

    for (size_t i = 0; i < consumers->lane_count; i++) {
        const struct lane *lane = &consumers->lanes[i];
        if (lane->waiting_count > 0 && lane->waiting[lane->head].tag < lowest)
            lowest = lane->waiting[lane->head].tag;
        const bool is_open = lane != except && lane->batch.count > 0 && lane->generation == consumers->generation;
        for (size_t k = 0; is_open && k < lane->batch.count; k++)
            if (lane->batch.items[k].delivery.tag < lowest)
                lowest = lane->batch.items[k].delivery.tag;
    }
    return lowest;
}

static enum ch_err ack_whole_batch(struct consumers *consumers, struct lane *lane)
{
    const uint64_t last = lane->batch.items[lane->batch.count - 1].delivery.tag;
    enum ch_err err = CH_OK;

    // Once cancelled, deliveries have been dropped that must not be acknowledged with the others.
    if (!consumers->is_cancelled && last < lowest_open_tag(consumers, lane))
        return ch_amqp_ack(consumers->amqp, last, true);
    for (size_t i = 0; i < lane->batch.count && !err; i++)
        err = ch_amqp_ack(consumers->amqp, lane->batch.items[i].delivery.tag, false);
    return err;
}

static enum ch_err answer_item(struct consumers *consumers, struct ch_inbox_batch *batch, struct ch_inbox_item *item)
{
    const uint64_t tag = item->delivery.tag;

    switch (item->verdict) {
    case CH_VERDICT_ACK:
        return ch_amqp_ack(consumers->amqp, tag, false);
    case CH_VERDICT_DEAD:
        ch_count(batch->outcomes[CH_EVENT_DEAD], 1);
        return ch_amqp_nack(consumers->amqp, tag, true);
    case CH_VERDICT_REQUEUE:
        ch_count(batch->outcomes[CH_EVENT_RETRIED], 1);
        return ch_amqp_nack(consumers->amqp, tag, false);
    default:
        return CH_OK;
    }
}

// Answers what has been decided and keeps the rest, in its order; what goes back to the queue goes after the pause.
static enum ch_err answer_items(struct consumers *consumers, struct lane *lane, bool is_requeue_due)
{
    struct ch_inbox_batch *batch = &lane->batch;
    enum ch_err err = CH_OK;
    size_t kept = 0;

    for (size_t i = 0; i < batch->count; i++) {
        struct ch_inbox_item *item = &batch->items[i];
        const bool is_kept =
            item->verdict == CH_VERDICT_NONE || (item->verdict == CH_VERDICT_REQUEUE && !is_requeue_due);
        if (is_kept) {
            const struct ch_inbox_item moved = *item;
            batch->items[kept++] = moved;
            continue;
        }
        if (!err)
            err = answer_item(consumers, batch, item);
        release_item(item);
    }
    batch->count = kept;
    return err;
}

static bool is_all_acked(const struct ch_inbox_batch *batch)
{
    for (size_t i = 0; i < batch->count; i++)
        if (batch->items[i].verdict != CH_VERDICT_ACK)
            return false;
    return true;
}

// A batch came back from its loop.
static enum ch_err settle_lane(struct consumers *consumers, struct lane *lane)
{
    enum ch_err err;

    if (!consumers->amqp || lane->generation != consumers->generation) {
        drop_batch(lane);
        return CH_OK;
    }
    if (is_all_acked(&lane->batch)) {
        err = ack_whole_batch(consumers, lane);
        drop_batch(lane);
        lane->backoff.next_ns = 0;
        return err;
    }
    err = answer_items(consumers, lane, false);
    lane->phase = lane->batch.count > 0 ? LANE_PAUSED : LANE_IDLE;
    if (lane->phase == LANE_PAUSED)
        lane->resume_ns = ch_now_ns() + ch_backoff_take(&lane->backoff);
    return err;
}

static enum ch_err settle_ended(struct consumers *consumers)
{
    enum ch_err err = CH_OK;

    for (size_t i = 0; i < consumers->lane_count; i++) {
        struct lane *lane = &consumers->lanes[i];
        if (lane->phase != LANE_RUNNING || !atomic_load(&lane->batch.is_ended))
            continue;
        const enum ch_err lane_err = settle_lane(consumers, lane);
        err = err ? err : lane_err;
    }
    return err;
}

/* ---- batches
 * ------------------------------------------------------------------------------------------------------------- */

// A malformed envelope is dead at once and keeps nobody waiting.
static enum ch_err refuse(struct consumers *consumers, struct lane *lane, struct ch_amqp_delivery *delivery,
                          enum ch_err why, const struct ch_faults *faults)
{
    ch_log(CH_LOG_WARN, NULL, "event.dead", CH_LS("queue", delivery->queue),
           CH_LSTR("message_id", delivery->message_id), CH_LS("error", ch_err_row(why)->code),
           CH_LS("pointer", faults->first ? faults->first->pointer : ""),
           CH_LS("fault", faults->first ? faults->first->code : ""));
    ch_count(lane->batch.outcomes[CH_EVENT_DEAD], 1);
    const enum ch_err err = ch_amqp_nack(consumers->amqp, delivery->tag, true);
    ch_amqp_delivery_release(delivery);
    return err;
}

static enum ch_err fill_batch(struct consumers *consumers, struct lane *lane)
{
    struct ch_inbox_batch *batch = &lane->batch;

    ch_arena_reset(batch->arena);
    lane->generation = consumers->generation;
    while (lane->waiting_count > 0 && batch->count < CH_BATCH_MAX) {
        struct ch_inbox_item *item = &batch->items[batch->count];
        struct ch_amqp_delivery *next = &lane->waiting[lane->head];
        struct ch_faults faults;
        enum ch_err err = ch_envelope_read(next->body, batch->consumer->routing_key, batch->arena, &faults, &item->root,
                                           &item->event);
        if (err == CH_ERR_NO_MEMORY && batch->count > 0)
            return CH_OK; // this one begins the next batch
        struct ch_amqp_delivery delivery = take_waiting(lane);
        if (err) {
            err = refuse(consumers, lane, &delivery, err, &faults);
            if (err)
                return err;
            continue;
        }
        if (!item->event.traceparent.len)
            item->event.traceparent = delivery.traceparent;
        item->delivery = delivery;
        batch->count++;
    }
    return CH_OK;
}

// A full batch gains nothing by waiting.
static bool is_due(const struct lane *lane)
{
    return lane->waiting_count >= CH_BATCH_MAX || lane->paced_ns <= ch_now_ns();
}

static void post_batch(struct lane *lane)
{
    lane->phase = LANE_RUNNING;
    lane->paced_ns = ch_now_ns() + PACE_NS;
    ch_inbox_post(&lane->batch);
}

// Posts what can be posted.
static enum ch_err feed_lanes(struct consumers *consumers)
{
    for (size_t i = 0; i < consumers->lane_count; i++) {
        struct lane *lane = &consumers->lanes[i];
        enum ch_err err = CH_OK;
        if (lane->phase == LANE_PAUSED && lane->resume_ns <= ch_now_ns()) {
            err = answer_items(consumers, lane, true);
            lane->phase = LANE_IDLE;
        }
        if (!err && lane->phase == LANE_IDLE && lane->batch.count == 0 && lane->waiting_count > 0 && is_due(lane))
            err = fill_batch(consumers, lane);
        if (err)
            return err;
        if (lane->phase == LANE_IDLE && lane->batch.count > 0)
            post_batch(lane);
    }
    return CH_OK;
}

static int64_t next_resume(const struct consumers *consumers)
{
    int64_t next = INT64_MAX;

    for (size_t i = 0; i < consumers->lane_count; i++) {
        const struct lane *lane = &consumers->lanes[i];
        if (lane->phase == LANE_PAUSED && lane->resume_ns < next)
            next = lane->resume_ns;
        if (lane->phase == LANE_IDLE && lane->waiting_count > 0 && lane->paced_ns < next)
            next = lane->paced_ns;
    }
    return next;
}

/* ---- deliveries
 * ------------------------------------------------------------------------------------------------------------ */

static void queue_delivery(struct consumers *consumers, struct ch_amqp_delivery *delivery)
{
    for (size_t i = 0; i < consumers->lane_count; i++) {
        struct lane *lane = &consumers->lanes[i];
        if (consumers->is_cancelled || delivery->queue != lane->batch.consumer->queue)
            continue;
        assert(lane->waiting_count < PREFETCH); // the broker sends no more without an acknowledgement
        lane->waiting[(lane->head + lane->waiting_count++) % PREFETCH] = *delivery;
        return;
    }
    ch_amqp_delivery_release(delivery); // came after the cancel: goes back at the close
}

// Waits for one delivery, then takes what has come with it.
static enum ch_err receive(struct consumers *consumers)
{
    int64_t deadline_ns = next_resume(consumers);

    for (size_t taken = 0; taken < PREFETCH; taken++) {
        struct ch_amqp_delivery delivery;
        const enum ch_err err = ch_amqp_next(consumers->amqp, wake_fd, deadline_ns, &delivery);
        if (err == CH_ERR_CANCELLED)
            ch_signal_clear(wake_fd);
        if (err)
            return err == CH_ERR_CANCELLED || err == CH_ERR_DEADLINE ? CH_OK : err;
        queue_delivery(consumers, &delivery);
        deadline_ns = 0;
    }
    return CH_OK;
}

/* ---- a connection
 * ------------------------------------------------------------------------------------------------------------ */

static enum ch_err connect_queues(struct consumers *consumers)
{
    enum ch_err err = ch_amqp_open(consumers->uri, consumers->service, ch_now_ns() + CONNECT_NS, &consumers->amqp);

    if (err)
        return err;
    consumers->generation++;
    for (size_t i = 0; i < consumers->lane_count && !err; i++)
        err = ch_amqp_subscribe(consumers->amqp, consumers->rows[i].queue, consumers->rows[i].routing_key, PREFETCH);
    return err;
}

static void disconnect(struct consumers *consumers)
{
    ch_amqp_close(consumers->amqp);
    consumers->amqp = NULL;
    for (size_t i = 0; i < consumers->lane_count; i++) {
        drop_waiting(&consumers->lanes[i]);
        if (consumers->lanes[i].phase == LANE_PAUSED)
            drop_batch(&consumers->lanes[i]);
    }
    ch_events_report(CH_EVENTS_CONSUMERS, false);
}

static enum ch_err cancel_queues(struct consumers *consumers)
{
    const enum ch_err err = ch_amqp_cancel(consumers->amqp);

    consumers->is_cancelled = true;
    for (size_t i = 0; i < consumers->lane_count; i++) {
        drop_waiting(&consumers->lanes[i]);
        if (consumers->lanes[i].phase == LANE_PAUSED)
            drop_batch(&consumers->lanes[i]);
    }
    return err;
}

// Until the connection breaks, or everything in flight has been acknowledged after a stop.
static enum ch_err serve(struct consumers *consumers)
{
    enum ch_err err = CH_OK;

    while (!err) {
        err = settle_ended(consumers);
        if (!err && atomic_load(&consumers->is_stopping) && !consumers->is_cancelled)
            err = cancel_queues(consumers);
        if (!err && consumers->is_cancelled) {
            // A batch that has to be tried again is left to the next process.
            for (size_t i = 0; i < consumers->lane_count; i++)
                if (consumers->lanes[i].phase == LANE_PAUSED)
                    drop_batch(&consumers->lanes[i]);
            if (!is_any_running(consumers))
                return CH_OK;
        }
        if (!err)
            err = feed_lanes(consumers);
        if (!err)
            err = receive(consumers);
    }
    return err;
}

static void *consumers_main(void *arg)
{
    struct consumers *consumers = arg;

    while (!atomic_load(&consumers->is_stopping)) {
        enum ch_err err = connect_queues(consumers);
        if (!err) {
            ch_events_report(CH_EVENTS_CONSUMERS, true);
            consumers->backoff.next_ns = 0;
            err = serve(consumers);
        }
        disconnect(consumers);
        if (err)
            (void)ch_signal_wait(consumers->stop_fd,
                                 ch_now_ns() + ch_backoff_take(&consumers->backoff)); // a pause either way
    }
    // Without a connection nothing can be acknowledged, but what runs is let run: its memory is ours.
    while ((void)settle_ended(consumers), is_any_running(consumers))
        if (ch_signal_wait(wake_fd, INT64_MAX))
            ch_signal_clear(wake_fd);
    return NULL;
}

/* ---- start and stop
 * ---------------------------------------------------------------------------------------------------------- */

static void consumers_free(struct consumers *consumers)
{
    for (size_t i = 0; i < consumers->lane_count; i++) {
        drop_batch(&consumers->lanes[i]);
        drop_waiting(&consumers->lanes[i]);
        ch_arena_free(consumers->lanes[i].batch.arena);
    }
    if (consumers->stop_fd >= 0)
        (void)close(consumers->stop_fd); // an eventfd has nothing to lose
    free(consumers->lanes);
    free(consumers);
}

static bool lanes_init(struct consumers *consumers, struct ch_loop *loop)
{
    while (consumers->rows[consumers->lane_count].queue)
        consumers->lane_count++;
    consumers->lanes = calloc(consumers->lane_count, sizeof(*consumers->lanes));
    if (!consumers->lanes) {
        consumers->lane_count = 0;
        return false;
    }
    for (size_t i = 0; i < consumers->lane_count; i++) {
        struct ch_inbox_batch *batch = &consumers->lanes[i].batch;
        ch_inbox_init(batch, &consumers->rows[i], loop, wake_fd);
        batch->arena = ch_arena_new(ARENA_BYTES);
        if (!batch->arena)
            return false;
    }
    return consumers->lane_count <= CH_AMQP_QUEUES_MAX;
}

enum ch_err ch_consumers_start(const struct ch_service *service, const struct ch_events_options *options)
{
    struct consumers *consumers = calloc(1, sizeof(*consumers));

    if (!consumers)
        return CH_ERR_NO_MEMORY;
    if (wake_fd < 0)
        wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    consumers->service = service->name;
    consumers->uri = options->rabbitmq_uri;
    consumers->rows = service->consumers;
    consumers->stop_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (wake_fd < 0 || consumers->stop_fd < 0 || !lanes_init(consumers, options->loops[0]) ||
        pthread_create(&consumers->thread, NULL, consumers_main, consumers) != 0) {
        consumers_free(consumers);
        return CH_ERR_LIMIT;
    }
    (void)pthread_setname_np(consumers->thread, "consumers"); // a name only
    the_consumers = consumers;
    return CH_OK;
}

void ch_consumers_cancel(void)
{
    if (!the_consumers || atomic_exchange(&the_consumers->is_stopping, true))
        return;
    ch_signal_set(the_consumers->stop_fd);
    ch_signal_set(wake_fd);
}

void ch_consumers_stop(int64_t deadline_ns)
{
    struct consumers *consumers = the_consumers;

    if (!consumers)
        return;
    the_consumers = NULL;
    if (ch_events_join(consumers->thread, deadline_ns))
        consumers_free(consumers);
    else
        ch_log(CH_LOG_WARN, NULL, "events.abandoned",
               CH_LS("thread", "consumers")); // unacknowledged, the broker sends it again
}
