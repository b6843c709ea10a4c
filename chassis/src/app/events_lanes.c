// SPDX-License-Identifier: Apache-2.0
// The lanes between the broker and loop 0, one a queue: what waits becomes batches, and the verdicts that come back
// become acknowledgements. Everything here runs on the consumers' thread. It must never acknowledge what was not
// committed, and never send an event to the dead letters because something else than the event was at fault.
//
// Nothing is ever returned to its queue to be tried again: the broker would count each return, and it counts those of a
// process that died, too. Failures are counted here instead; a process that ends forgets them.
#include "events_lanes.h"
#include "ch/mutant.h"
#include "ch/point.h"

#include <assert.h>

#define PACE_NS   INT64_C(80000000) // between the starts of two batches of a lane; a full one is followed at once
#define TRIES_MAX 6                 // of an event that fails by itself, by failures that a second try may mend

static const struct ch_metric parked_metric = {
    "messaging_parked", CH_GAUGE, "Events that failed by themselves and wait for their next try", {"queue", NULL}};

/* ---- what is in a lane ---------------------------------------------------------------------------------------------
 */

void ch_lane_init(struct ch_lane *lane)
{
    lane->parked_gauge = ch_series_get(&parked_metric, (const char *[]){lane->batch.consumer->queue});
}

void ch_lane_push(struct ch_lane *lane, const struct ch_amqp_delivery *delivery)
{
    assert(lane->waiting_count < CH_PREFETCH); // the broker sends no more without an acknowledgement
    lane->waiting[(lane->head + lane->waiting_count++) % CH_PREFETCH] = *delivery;
}

static void push_front(struct ch_lane *lane, const struct ch_amqp_delivery *delivery)
{
    assert(lane->waiting_count < CH_PREFETCH);
    lane->head = (lane->head + CH_PREFETCH - 1) % CH_PREFETCH;
    lane->waiting[lane->head] = *delivery;
    lane->waiting_count++;
}

static struct ch_amqp_delivery take_waiting(struct ch_lane *lane)
{
    const struct ch_amqp_delivery delivery = lane->waiting[lane->head];

    lane->head = (lane->head + 1) % CH_PREFETCH;
    lane->waiting_count--;
    return delivery;
}

static struct ch_parked take_parked(struct ch_lane *lane, size_t at)
{
    const struct ch_parked parked = lane->parked[at];

    lane->parked[at] = lane->parked[--lane->parked_count];
    ch_gauge_set(lane->parked_gauge, (int64_t)lane->parked_count);
    return parked;
}

// The one whose turn comes first; parked_count when there is none.
static size_t next_parked(const struct ch_lane *lane)
{
    size_t next = 0;

    for (size_t i = 1; i < lane->parked_count; i++)
        if (lane->parked[i].due_ns < lane->parked[next].due_ns)
            next = i;
    return next;
}

static void release_item(struct ch_inbox_item *item)
{
    ch_amqp_delivery_release(&item->delivery);
    json_decref(item->root);
    *item = (struct ch_inbox_item){0};
}

void ch_lane_drop_batch(struct ch_lane *lane)
{
    for (size_t i = 0; i < lane->batch.count; i++)
        release_item(&lane->batch.items[i]);
    lane->batch.count = 0;
    lane->is_running = false;
}

static void drop_waiting(struct ch_lane *lane)
{
    while (lane->waiting_count > 0) {
        struct ch_amqp_delivery delivery = take_waiting(lane);
        ch_amqp_delivery_release(&delivery);
    }
    while (lane->parked_count > 0) {
        struct ch_parked parked = take_parked(lane, 0);
        ch_amqp_delivery_release(&parked.delivery);
    }
}

void ch_lanes_drop_waiting(struct ch_lanes *lanes)
{
    for (size_t i = 0; i < lanes->count; i++)
        drop_waiting(&lanes->all[i]);
}

bool ch_lanes_are_running(const struct ch_lanes *lanes)
{
    for (size_t i = 0; i < lanes->count; i++)
        if (lanes->all[i].is_running)
            return true;
    return false;
}

/* ---- answering -----------------------------------------------------------------------------------------------------
 */

static uint64_t lower(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

// The lowest tag that must not be acknowledged yet by whoever acknowledges all up to his own.
static uint64_t lowest_open_tag(const struct ch_lanes *lanes, const struct ch_lane *except)
{
    uint64_t lowest = UINT64_MAX;

    for (size_t i = 0; i < lanes->count; i++) {
        const struct ch_lane *lane = &lanes->all[i];
        if (lane->waiting_count > 0)
            lowest = lower(lowest, lane->waiting[lane->head].tag);
        for (size_t k = 0; k < lane->parked_count; k++)
            lowest = lower(lowest, lane->parked[k].delivery.tag);
        const bool is_open = lane != except && lane->generation == lanes->generation;
        for (size_t k = 0; is_open && k < lane->batch.count; k++)
            lowest = lower(lowest, lane->batch.items[k].delivery.tag);
    }
    return lowest;
}

static enum ch_err ack_whole_batch(struct ch_lanes *lanes, struct ch_lane *lane)
{
    const uint64_t last = lane->batch.items[lane->batch.count - 1].delivery.tag;
    enum ch_err err = CH_OK;

    // Once cancelled, deliveries have been dropped that must not be acknowledged with the others.
    if (!lanes->is_cancelled && last < lowest_open_tag(lanes, lane))
        return ch_amqp_ack(lanes->amqp, last, true);
    for (size_t i = 0; i < lane->batch.count && !err; i++)
        err = ch_amqp_ack(lanes->amqp, lane->batch.items[i].delivery.tag, false);
    return err;
}

static enum ch_err bury(struct ch_lanes *lanes, struct ch_lane *lane, uint64_t tag)
{
    ch_count(lane->batch.outcomes[CH_EVENT_DEAD], 1);
    return ch_amqp_nack(lanes->amqp, tag, true);
}

// False: there is no room, it has to stay where it is.
static bool park(struct ch_lane *lane, struct ch_inbox_item *item, int64_t due_ns)
{
    if (lane->parked_count == CH_PARKED_MAX)
        return false;
    lane->parked[lane->parked_count++] = (struct ch_parked){item->delivery, due_ns, item->failures, item->pauses};
    ch_gauge_set(lane->parked_gauge, (int64_t)lane->parked_count);
    item->delivery = (struct ch_amqp_delivery){0};
    return true;
}

static bool give_up(const struct ch_lane *lane, const struct ch_inbox_item *item)
{
    if (item->failures < TRIES_MAX)
        return false;
    ch_log(CH_LOG_WARN, NULL, "event.dead", CH_LS("queue", lane->batch.consumer->queue),
           CH_LU("event_id", item->event.id), CH_LI("tries", item->failures), CH_LS("error", "tries_used_up"));
    return true;
}

// Answers what is decided, or parks it; `*ret_is_open`: it has to be tried again, in its place.
static enum ch_err answer_item(struct ch_lanes *lanes, struct ch_lane *lane, struct ch_inbox_item *item,
                               bool *ret_is_open)
{
    const uint64_t tag = item->delivery.tag;

    *ret_is_open = false;
    switch (item->verdict) {
    case CH_VERDICT_ACK:
        return ch_amqp_ack(lanes->amqp, tag, false);
    case CH_VERDICT_DEAD:
        return bury(lanes, lane, tag);
    case CH_VERDICT_FAILED:
        item->failures++;
        if (give_up(lane, item))
            return bury(lanes, lane, tag);
        break;
    case CH_VERDICT_LATER:
        break;
    case CH_VERDICT_NONE:
        *ret_is_open = true;
        return CH_OK;
    }
    *ret_is_open = !park(lane, item, ch_now_ns() + ch_backoff_of(item->pauses++));
    ch_count(lane->batch.outcomes[CH_EVENT_RETRIED], 1);
    return CH_OK;
}

static enum ch_err answer_items(struct ch_lanes *lanes, struct ch_lane *lane, bool *ret_is_open)
{
    struct ch_inbox_batch *batch = &lane->batch;
    enum ch_err err = CH_OK;

    *ret_is_open = false;
    for (size_t i = 0; i < batch->count && !err; i++) {
        bool is_open;
        err = answer_item(lanes, lane, &batch->items[i], &is_open);
        batch->items[i].verdict = is_open ? CH_VERDICT_NONE : CH_VERDICT_ACK;
        *ret_is_open = *ret_is_open || is_open;
    }
    return err;
}

// What is open goes back to where it came from, the last one first, so that their order stays.
static void put_back(struct ch_lane *lane)
{
    struct ch_inbox_batch *batch = &lane->batch;

    for (size_t i = batch->count; i-- > 0;) {
        struct ch_inbox_item *item = &batch->items[i];
        if (item->verdict != CH_VERDICT_NONE || (lane->is_retry && park(lane, item, lane->resume_ns)))
            continue;
        push_front(lane, &item->delivery);
        item->delivery = (struct ch_amqp_delivery){0};
    }
}

static bool is_all_acked(const struct ch_inbox_batch *batch)
{
    for (size_t i = 0; i < batch->count; i++)
        if (batch->items[i].verdict != CH_VERDICT_ACK)
            return false;
    return true;
}

static enum ch_err answer_batch(struct ch_lanes *lanes, struct ch_lane *lane)
{
    bool is_open;

    if (is_all_acked(&lane->batch)) {
        lane->backoff.next_ns = lanes->starved_ns = 0;
        const enum ch_err ack_err = CH_MUTANT(ACK_BEFORE_COMMIT) ? CH_OK : ack_whole_batch(lanes, lane);
        return ack_err ? ack_err : CH_POINT(CONSUME_ACKED);
    }
    const enum ch_err err = answer_items(lanes, lane, &is_open);
    if (err || lanes->is_cancelled)
        return err; // what is open is left to the next connection, or the next process
    if (!is_open) {
        lane->backoff.next_ns = lanes->starved_ns = 0;
        return CH_OK;
    }
    lane->resume_ns = ch_now_ns() + ch_backoff_take(&lane->backoff);
    lanes->starved_ns = lanes->starved_ns ? lanes->starved_ns : ch_now_ns();
    put_back(lane);
    return CH_OK;
}

enum ch_err ch_lanes_settle(struct ch_lanes *lanes)
{
    enum ch_err err = CH_OK;

    for (size_t i = 0; i < lanes->count; i++) {
        struct ch_lane *lane = &lanes->all[i];
        if (!lane->is_running || !atomic_load(&lane->batch.is_ended))
            continue;
        const bool is_ours = lanes->amqp && lane->generation == lanes->generation;
        const enum ch_err lane_err = is_ours ? answer_batch(lanes, lane) : CH_OK;
        err = err ? err : lane_err;
        ch_lane_drop_batch(lane);
    }
    return err;
}

/* ---- batches -------------------------------------------------------------------------------------------------------
 */

// A malformed envelope is dead at once and keeps nobody waiting.
static enum ch_err refuse(struct ch_lanes *lanes, struct ch_lane *lane, struct ch_amqp_delivery *delivery,
                          enum ch_err why, const struct ch_faults *faults)
{
    ch_log(CH_LOG_WARN, NULL, "event.dead", CH_LS("queue", delivery->queue),
           CH_LSTR("message_id", delivery->message_id), CH_LS("error", ch_err_row(why)->code),
           CH_LS("pointer", faults->first ? faults->first->pointer : ""),
           CH_LS("fault", faults->first ? faults->first->code : ""));
    const enum ch_err err = bury(lanes, lane, delivery->tag);
    ch_amqp_delivery_release(delivery);
    return err;
}

static enum ch_err read_item(struct ch_inbox_batch *batch, const struct ch_amqp_delivery *delivery,
                             struct ch_faults *faults, struct ch_inbox_item *ret_item)
{
    const enum ch_err err = ch_envelope_read(delivery->body, batch->consumer->routing_key, batch->arena, faults,
                                             &ret_item->root, &ret_item->event);

    if (err)
        return err;
    ret_item->event.traceparent = ch_traceparent_check(ret_item->event.traceparent);
    if (!ret_item->event.traceparent.len)
        ret_item->event.traceparent = ch_traceparent_check(delivery->traceparent);
    ret_item->delivery = *delivery;
    return CH_OK;
}

static enum ch_err fill_batch(struct ch_lanes *lanes, struct ch_lane *lane)
{
    struct ch_inbox_batch *batch = &lane->batch;

    ch_arena_reset(batch->arena);
    lane->is_retry = false;
    while (lane->waiting_count > 0 && batch->count < CH_BATCH_MAX) {
        struct ch_faults faults;
        enum ch_err err = read_item(batch, &lane->waiting[lane->head], &faults, &batch->items[batch->count]);
        if (err == CH_ERR_NO_MEMORY) { // this one begins the next batch, or waits until there is memory
            lane->resume_ns = batch->count > 0 ? 0 : ch_now_ns() + ch_backoff_take(&lane->backoff);
            return CH_OK;
        }
        struct ch_amqp_delivery delivery = take_waiting(lane);
        if (err)
            err = refuse(lanes, lane, &delivery, err, &faults);
        else
            batch->count++;
        if (err)
            return err;
    }
    return CH_OK;
}

// One that failed by itself is tried by itself.
static void fill_retry(struct ch_lane *lane)
{
    struct ch_parked parked = take_parked(lane, next_parked(lane));
    struct ch_inbox_batch *batch = &lane->batch;
    struct ch_faults faults;

    ch_arena_reset(batch->arena);
    lane->is_retry = true;
    const enum ch_err err = read_item(batch, &parked.delivery, &faults, &batch->items[0]);
    if (err) { // it could be read before: memory is short
        parked.due_ns = ch_now_ns() + ch_backoff_of(parked.pauses);
        lane->parked[lane->parked_count++] = parked;
        return;
    }
    batch->items[0].failures = parked.failures;
    batch->items[0].pauses = parked.pauses;
    batch->count = 1;
}

// A full batch gains nothing by waiting.
static bool is_due(const struct ch_lane *lane, int64_t now_ns)
{
    return lane->waiting_count > 0 && (lane->waiting_count >= CH_BATCH_MAX || lane->paced_ns <= now_ns);
}

// In turns with the others: neither may keep the other waiting for long.
static bool is_retry_due(const struct ch_lane *lane, int64_t now_ns)
{
    return lane->parked_count > 0 && lane->parked[next_parked(lane)].due_ns <= now_ns &&
           !(lane->is_retry && is_due(lane, now_ns));
}

enum ch_err ch_lanes_feed(struct ch_lanes *lanes)
{
    for (size_t i = 0; i < lanes->count; i++) {
        struct ch_lane *lane = &lanes->all[i];
        const int64_t now_ns = ch_now_ns();
        enum ch_err err = CH_OK;

        if (lane->is_running || lane->resume_ns > now_ns)
            continue;
        if (is_retry_due(lane, now_ns))
            fill_retry(lane);
        else if (is_due(lane, now_ns))
            err = fill_batch(lanes, lane);
        if (err)
            return err;
        if (lane->batch.count == 0)
            continue;
        if (CH_MUTANT(ACK_BEFORE_COMMIT))
            CH_IGNORE(ack_whole_batch(lanes, lane)); // wrong on purpose
        lane->generation = lanes->generation;
        lane->is_running = true;
        lane->paced_ns = now_ns + PACE_NS;
        ch_inbox_post(&lane->batch);
    }
    return CH_OK;
}

int64_t ch_lanes_next_feed(const struct ch_lanes *lanes)
{
    int64_t next_ns = INT64_MAX;

    for (size_t i = 0; i < lanes->count; i++) {
        const struct ch_lane *lane = &lanes->all[i];
        int64_t lane_ns = lane->waiting_count > 0 ? lane->paced_ns : INT64_MAX;

        if (lane->is_running)
            continue; // its end wakes
        if (lane->parked_count > 0 && lane->parked[next_parked(lane)].due_ns < lane_ns)
            lane_ns = lane->parked[next_parked(lane)].due_ns;
        if (lane_ns < lane->resume_ns)
            lane_ns = lane->resume_ns;
        next_ns = lane_ns < next_ns ? lane_ns : next_ns;
    }
    return next_ns;
}
