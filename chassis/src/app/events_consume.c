// SPDX-License-Identifier: Apache-2.0
// The consumers' thread: one connection for all queues of the service. What comes goes to the queues' lanes
// (events_lanes.c); this thread alone talks to the broker.
//
// Deliveries of a lost connection cannot be acknowledged any more: the broker sends them again, and the inbox knows
// what was applied. While the database is away events wait in their lanes, unacknowledged; the prefetch bounds how many
// do, and after minutes they are given back.
#include "ch/point.h"
#include "events_lanes.h"

#include "health.h"

#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define CONNECT_NS  INT64_C(3000000000)
#define LOOK_NS     INT64_C(100000000)
#define STARVED_NS  INT64_C(300000000000) // the broker's own patience is 1800 s
#define ARENA_BYTES (4 * 1024 * 1024)

struct consumers {
    const char *service;
    const char *uri;
    const struct ch_consumer *rows;
    pthread_t thread;
    int stop_fd;
    atomic_bool is_stopping;
    int64_t starved_max_ns;

    struct ch_lanes lanes;
    struct ch_backoff backoff;
};

static struct consumers *the_consumers; // main thread: start and stop

// Set when a batch ended. Never closed: a loop may still be about to set it when all batches have been seen to have
// ended.
static int wake_fd = -1;

/* ---- deliveries
 * ------------------------------------------------------------------------------------------------------------ */

static void queue_delivery(struct ch_lanes *lanes, struct ch_amqp_delivery *delivery)
{
    for (size_t i = 0; i < lanes->count && !lanes->is_cancelled; i++) {
        if (delivery->queue != lanes->all[i].batch.consumer->queue)
            continue;
        ch_lane_push(&lanes->all[i], delivery);
        return;
    }
    ch_amqp_delivery_release(delivery); // came after the cancel: goes back at the close
}

// Waits for one delivery, then takes what has come with it.
static enum ch_err receive(struct consumers *consumers)
{
    int64_t deadline_ns = ch_lanes_next_feed(&consumers->lanes);

    for (size_t taken = 0; taken < CH_PREFETCH; taken++) {
        struct ch_amqp_delivery delivery;
        enum ch_err err = ch_amqp_next(consumers->lanes.amqp, wake_fd, deadline_ns, &delivery);
        if (err == CH_ERR_CANCELLED)
            ch_signal_clear(wake_fd);
        if (err)
            return err == CH_ERR_CANCELLED || err == CH_ERR_DEADLINE ? CH_OK : err;
        queue_delivery(&consumers->lanes, &delivery);
        err = CH_POINT(CONSUME_RECEIVED);
        if (err)
            return err;
        deadline_ns = 0;
    }
    return CH_OK;
}

/* ---- a connection
 * ------------------------------------------------------------------------------------------------------------ */

static bool is_database_up(void)
{
    struct ch_health_row row;

    for (int i = 0; ch_health_at(i, &row); i++)
        if (strcmp(row.name, "postgres") == 0)
            return row.is_up;
    return true; // nobody watches it
}

// Without the database nothing can be applied. Who takes events all the same has to give them back some day, and the
// broker counts that.
static enum ch_err await_database(struct consumers *consumers)
{
    enum ch_err err = CH_OK;

    while (!err && !is_database_up() && !atomic_load(&consumers->is_stopping)) {
        (void)ch_signal_wait(consumers->stop_fd, ch_now_ns() + LOOK_NS); // a pause either way
        err = ch_amqp_tick(consumers->lanes.amqp);
    }
    return err;
}

static enum ch_err connect_queues(struct consumers *consumers)
{
    struct ch_lanes *lanes = &consumers->lanes;
    enum ch_err err = ch_amqp_open(consumers->uri, consumers->service, ch_now_ns() + CONNECT_NS, &lanes->amqp);

    if (err)
        return err;
    lanes->generation++;
    lanes->starved_ns = 0;
    ch_events_report(CH_EVENTS_CONSUMERS, true);
    err = await_database(consumers);
    for (size_t i = 0; i < lanes->count && !err && !atomic_load(&consumers->is_stopping); i++) {
        lanes->all[i].resume_ns = 0;
        err = ch_amqp_subscribe(lanes->amqp, consumers->rows[i].queue, consumers->rows[i].routing_key, CH_PREFETCH);
    }
    return err;
}

static void disconnect(struct consumers *consumers)
{
    ch_amqp_close(consumers->lanes.amqp);
    consumers->lanes.amqp = NULL;
    ch_lanes_drop_waiting(&consumers->lanes);
    ch_events_report(CH_EVENTS_CONSUMERS, false);
}

static enum ch_err cancel_queues(struct consumers *consumers)
{
    const enum ch_err err = ch_amqp_cancel(consumers->lanes.amqp);

    consumers->lanes.is_cancelled = true;
    ch_lanes_drop_waiting(&consumers->lanes); // what has to be tried again is left to the next process
    return err;
}

// The broker takes back what is held for half an hour and counts it. In a long absence of the database everything is
// given back once, and nothing is taken until it is there again: an absence, however long, counts one.
static bool is_starved(const struct consumers *consumers)
{
    const struct ch_lanes *lanes = &consumers->lanes;

    return lanes->starved_ns && ch_now_ns() - lanes->starved_ns > consumers->starved_max_ns && !is_database_up() &&
           !ch_lanes_are_running(lanes);
}

// Until the connection breaks, or everything in flight has been acknowledged after a stop.
static enum ch_err serve(struct consumers *consumers)
{
    struct ch_lanes *lanes = &consumers->lanes;
    enum ch_err err = CH_OK;

    while (!err && !is_starved(consumers)) {
        err = ch_lanes_settle(lanes);
        if (!err && atomic_load(&consumers->is_stopping) && !lanes->is_cancelled)
            err = cancel_queues(consumers);
        if (!err && lanes->is_cancelled && !ch_lanes_are_running(lanes))
            return CH_OK;
        if (!err)
            err = ch_lanes_feed(lanes);
        if (!err)
            err = receive(consumers);
    }
    return err;
}

static void *consumers_main(void *arg)
{
    struct consumers *consumers = arg;

    (void)pthread_setname_np(pthread_self(), "consumers"); // a name only
    while (!atomic_load(&consumers->is_stopping)) {
        enum ch_err err = connect_queues(consumers);
        if (!err) {
            consumers->backoff.next_ns = 0;
            err = serve(consumers);
        }
        disconnect(consumers);
        if (err)
            (void)ch_signal_wait(consumers->stop_fd,
                                 ch_now_ns() + ch_backoff_take(&consumers->backoff)); // a pause either way
    }
    // Without a connection nothing can be acknowledged, but what runs is let run: its memory is ours.
    for (;;) {
        CH_IGNORE(ch_lanes_settle(&consumers->lanes)); // it answers nobody any more
        if (!ch_lanes_are_running(&consumers->lanes))
            return NULL;
        if (ch_signal_wait(wake_fd, INT64_MAX))
            ch_signal_clear(wake_fd);
    }
}

/* ---- start and stop
 * ---------------------------------------------------------------------------------------------------------- */

static void consumers_free(struct consumers *consumers)
{
    ch_lanes_drop_waiting(&consumers->lanes);
    for (size_t i = 0; i < consumers->lanes.count; i++) {
        ch_lane_drop_batch(&consumers->lanes.all[i]);
        ch_arena_free(consumers->lanes.all[i].batch.arena);
    }
    if (consumers->stop_fd >= 0)
        (void)close(consumers->stop_fd); // an eventfd has nothing to lose
    free(consumers->lanes.all);
    free(consumers);
}

static bool lanes_init(struct consumers *consumers, struct ch_loop *loop)
{
    while (consumers->rows[consumers->lanes.count].queue)
        consumers->lanes.count++;
    consumers->lanes.all = calloc(consumers->lanes.count, sizeof(*consumers->lanes.all));
    if (!consumers->lanes.all) {
        consumers->lanes.count = 0;
        return false;
    }
    for (size_t i = 0; i < consumers->lanes.count; i++) {
        struct ch_inbox_batch *batch = &consumers->lanes.all[i].batch;
        ch_inbox_init(batch, &consumers->rows[i], loop, wake_fd);
        ch_lane_init(&consumers->lanes.all[i]);
        batch->arena = ch_arena_new(ARENA_BYTES);
        if (!batch->arena)
            return false;
    }
    return consumers->lanes.count <= CH_AMQP_QUEUES_MAX;
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
    consumers->starved_max_ns = options->starved_max_ns ? options->starved_max_ns : STARVED_NS;
    consumers->stop_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (wake_fd < 0 || consumers->stop_fd < 0 || !lanes_init(consumers, options->loops[0]) ||
        pthread_create(&consumers->thread, NULL, consumers_main, consumers) != 0) {
        consumers_free(consumers);
        return CH_ERR_LIMIT;
    }
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
