// SPDX-License-Identifier: Apache-2.0
// The lanes between the broker and loop 0, one a queue: what waits becomes batches, and the verdicts that come back
// become acknowledgements. Everything here runs on the consumers' thread. It must never acknowledge what was not
// committed.
#include "events_lanes.h"
#include "ch/mutant.h"
#include "ch/point.h"

#define PACE_NS INT64_C(80000000) // between the starts of two batches of a lane; a full one is followed at once

/* ---- lanes
 * ------------------------------------------------------------------------------------------------------------- */

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
    lane->phase = LANE_IDLE;
}

static struct ch_amqp_delivery take_waiting(struct ch_lane *lane)
{
    const struct ch_amqp_delivery delivery = lane->waiting[lane->head];

    lane->head = (lane->head + 1) % CH_PREFETCH;
    lane->waiting_count--;
    return delivery;
}

void ch_lane_drop_waiting(struct ch_lane *lane)
{
    while (lane->waiting_count > 0) {
        struct ch_amqp_delivery delivery = take_waiting(lane);
        ch_amqp_delivery_release(&delivery);
    }
}

bool ch_lanes_are_running(const struct ch_lanes *lanes)
{
    for (size_t i = 0; i < lanes->count; i++)
        if (lanes->all[i].phase == LANE_RUNNING)
            return true;
    return false;
}

/* ---- acknowledging
 * ------------------------------------------------------------------------------------------------------ */

// The lowest tag that must not be acknowledged yet by whoever acknowledges all up to his own.
static uint64_t lowest_open_tag(const struct ch_lanes *lanes, const struct ch_lane *except)
{
    uint64_t lowest = UINT64_MAX;

    for (size_t i = 0; i < lanes->count; i++) {
        const struct ch_lane *lane = &lanes->all[i];
        if (lane->waiting_count > 0 && lane->waiting[lane->head].tag < lowest)
            lowest = lane->waiting[lane->head].tag;
        const bool is_open = lane != except && lane->batch.count > 0 && lane->generation == lanes->generation;
        for (size_t k = 0; is_open && k < lane->batch.count; k++)
            if (lane->batch.items[k].delivery.tag < lowest)
                lowest = lane->batch.items[k].delivery.tag;
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

static enum ch_err answer_item(struct ch_lanes *lanes, struct ch_inbox_batch *batch, struct ch_inbox_item *item)
{
    const uint64_t tag = item->delivery.tag;

    switch (item->verdict) {
    case CH_VERDICT_ACK:
        return ch_amqp_ack(lanes->amqp, tag, false);
    case CH_VERDICT_DEAD:
        ch_count(batch->outcomes[CH_EVENT_DEAD], 1);
        return ch_amqp_nack(lanes->amqp, tag, true);
    case CH_VERDICT_REQUEUE:
        ch_count(batch->outcomes[CH_EVENT_RETRIED], 1);
        return ch_amqp_nack(lanes->amqp, tag, false);
    default:
        return CH_OK;
    }
}

// Answers what has been decided and keeps the rest, in its order; what goes back to the queue goes after the pause.
static enum ch_err answer_items(struct ch_lanes *lanes, struct ch_lane *lane, bool is_requeue_due)
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
            err = answer_item(lanes, batch, item);
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
static enum ch_err settle_lane(struct ch_lanes *lanes, struct ch_lane *lane)
{
    enum ch_err err;

    if (!lanes->amqp || lane->generation != lanes->generation) {
        ch_lane_drop_batch(lane);
        return CH_OK;
    }
    if (is_all_acked(&lane->batch)) {
        err = CH_MUTANT(ACK_BEFORE_COMMIT) ? CH_OK : ack_whole_batch(lanes, lane);
        ch_lane_drop_batch(lane);
        lane->backoff.next_ns = 0;
        return err ? err : CH_POINT(CONSUME_ACKED);
    }
    err = answer_items(lanes, lane, false);
    lane->phase = lane->batch.count > 0 ? LANE_PAUSED : LANE_IDLE;
    if (lane->phase == LANE_PAUSED)
        lane->resume_ns = ch_now_ns() + ch_backoff_take(&lane->backoff);
    return err;
}

enum ch_err ch_lanes_settle(struct ch_lanes *lanes)
{
    enum ch_err err = CH_OK;

    for (size_t i = 0; i < lanes->count; i++) {
        struct ch_lane *lane = &lanes->all[i];
        if (lane->phase != LANE_RUNNING || !atomic_load(&lane->batch.is_ended))
            continue;
        const enum ch_err lane_err = settle_lane(lanes, lane);
        err = err ? err : lane_err;
    }
    return err;
}

/* ---- batches
 * ------------------------------------------------------------------------------------------------------------- */

// A malformed envelope is dead at once and keeps nobody waiting.
static enum ch_err refuse(struct ch_lanes *lanes, struct ch_lane *lane, struct ch_amqp_delivery *delivery,
                          enum ch_err why, const struct ch_faults *faults)
{
    ch_log(CH_LOG_WARN, NULL, "event.dead", CH_LS("queue", delivery->queue),
           CH_LSTR("message_id", delivery->message_id), CH_LS("error", ch_err_row(why)->code),
           CH_LS("pointer", faults->first ? faults->first->pointer : ""),
           CH_LS("fault", faults->first ? faults->first->code : ""));
    ch_count(lane->batch.outcomes[CH_EVENT_DEAD], 1);
    const enum ch_err err = ch_amqp_nack(lanes->amqp, delivery->tag, true);
    ch_amqp_delivery_release(delivery);
    return err;
}

static enum ch_err fill_batch(struct ch_lanes *lanes, struct ch_lane *lane)
{
    struct ch_inbox_batch *batch = &lane->batch;

    ch_arena_reset(batch->arena);
    lane->generation = lanes->generation;
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
            err = refuse(lanes, lane, &delivery, err, &faults);
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
static bool is_due(const struct ch_lane *lane)
{
    return lane->waiting_count >= CH_BATCH_MAX || lane->paced_ns <= ch_now_ns();
}

static void post_batch(struct ch_lane *lane)
{
    lane->phase = LANE_RUNNING;
    lane->paced_ns = ch_now_ns() + PACE_NS;
    ch_inbox_post(&lane->batch);
}

// Posts what can be posted.
enum ch_err ch_lanes_feed(struct ch_lanes *lanes)
{
    for (size_t i = 0; i < lanes->count; i++) {
        struct ch_lane *lane = &lanes->all[i];
        enum ch_err err = CH_OK;
        if (lane->phase == LANE_PAUSED && lane->resume_ns <= ch_now_ns()) {
            err = answer_items(lanes, lane, true);
            lane->phase = LANE_IDLE;
        }
        if (!err && lane->phase == LANE_IDLE && lane->batch.count == 0 && lane->waiting_count > 0 && is_due(lane))
            err = fill_batch(lanes, lane);
        if (err)
            return err;
        if (lane->phase != LANE_IDLE || lane->batch.count == 0)
            continue;
        if (CH_MUTANT(ACK_BEFORE_COMMIT))
            err = ack_whole_batch(lanes, lane);
        post_batch(lane);
    }
    return CH_OK;
}

int64_t ch_lanes_next_resume(const struct ch_lanes *lanes)
{
    int64_t next = INT64_MAX;

    for (size_t i = 0; i < lanes->count; i++) {
        const struct ch_lane *lane = &lanes->all[i];
        if (lane->phase == LANE_PAUSED && lane->resume_ns < next)
            next = lane->resume_ns;
        if (lane->phase == LANE_IDLE && lane->waiting_count > 0 && lane->paced_ns < next)
            next = lane->paced_ns;
    }
    return next;
}
