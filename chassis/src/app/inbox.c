// SPDX-License-Identifier: Apache-2.0
// Applies a batch of one queue on its loop: inbox rows and effect in one transaction, so that an event has one effect
// however often it comes. A batch that fails is tried one by one, so that a poisoned event is alone. It must never
// acknowledge: it only judges.
#include "ch/mutant.h"
#include "ch/point.h"
#include "events_internal.h"

#include "loop_state.h"
#include "src/app/events_queries.h" // generated

#define TIMEOUT_MS 30000 // longer than any statement may take
#define WAITS_MAX  4 // events of a batch that may each use up the time of a statement before the lane is asked again

static const char *const outcome_names[CH_EVENT_OUTCOMES] = {"applied", "duplicate", "dead", "retried"};

static const struct ch_metric events_metric = {"messaging_events_total",
                                               CH_COUNTER,
                                               "Events taken from a queue, by what became of them",
                                               {"queue", "outcome", NULL}};
static const struct ch_metric duration_metric = {"messaging_process_duration_seconds",
                                                 CH_HISTOGRAM,
                                                 "Time to apply a batch of events, by the result",
                                                 {"queue", "outcome", NULL}};

void ch_inbox_init(struct ch_inbox_batch *batch, const struct ch_consumer *consumer, struct ch_loop *loop, int wake_fd)
{
    batch->consumer = consumer;
    batch->loop = loop;
    batch->wake_fd = wake_fd;
    for (int i = 0; i < CH_EVENT_OUTCOMES; i++)
        batch->outcomes[i] = ch_series_get(&events_metric, (const char *[]){consumer->queue, outcome_names[i]});
    batch->duration_ok = ch_series_get(&duration_metric, (const char *[]){consumer->queue, ch_err_row(CH_OK)->code});
}

/* ---- one transaction ------------------------------------------------------------------------------------------------
 */

/** Part of a batch that is tried together. */
struct attempt {
    struct ch_inbox_batch *batch;
    struct ch_inbox_item *items;
    size_t count;
    struct ch_event *fresh; // not seen before
    size_t fresh_count;
    bool is_noted; // their inbox rows were written: the database works
};

static void pick_fresh(struct attempt *attempt, const struct ch_pg_rows *rows)
{
    for (size_t row = 0; row < ch_pg_count(rows); row++) {
        const struct ch_uuid id = ch_pg_get_uuid(rows, row, 0);
        // The first that has this id: the others of the batch are its repetitions.
        for (size_t i = 0; i < attempt->count; i++) {
            if (!ch_uuid_eq(attempt->items[i].event.id, id))
                continue;
            attempt->fresh[i] = attempt->items[i].event;
            break;
        }
    }
    // In the order in which they came.
    for (size_t i = 0; i < attempt->count; i++)
        if (attempt->fresh[i].data)
            attempt->fresh[attempt->fresh_count++] = attempt->fresh[i];
}

static enum ch_err note_events_wait(struct ch_ctx *ctx, struct ch_tx *tx, struct attempt *attempt)
{
    struct ch_pg_rows *rows CH_PG_ROWS = NULL;
    struct ch_uuid *ids = ch_arena_array(ctx->arena, attempt->count, sizeof(*ids));
    struct ch_pg_args args;

    attempt->fresh = ch_arena_array(ctx->arena, attempt->count, sizeof(*attempt->fresh));
    if (!ids || !attempt->fresh)
        return CH_ERR_NO_MEMORY;
    for (size_t i = 0; i < attempt->count; i++)
        ids[i] = attempt->items[i].event.id;
    ch_pg_args_init(&args, ctx);
    ch_pg_text(&args, ch_str_of(attempt->batch->consumer->queue));
    ch_pg_uuid_array(&args, ids, attempt->count);
    enum ch_err err = ch_tx_run_wait(tx, ch_own_query_first(ctx) + EVENTS_Q_INBOX_INSERT, &args, &rows);
    if (err)
        return err;
    attempt->is_noted = true;
    pick_fresh(attempt, rows);
    return CH_OK;
}

static enum ch_err apply_wait(struct ch_ctx *ctx, struct attempt *attempt)
{
    struct ch_tx tx CH_TX = {0};
    enum ch_err err = ch_tx_begin_wait(ctx, &tx);

    if (err)
        return err;
    err = note_events_wait(ctx, &tx, attempt);
    if (CH_MUTANT(INBOX_OUTSIDE_TRANSACTION) && !err && !(err = ch_tx_commit_wait(&tx)))
        err = ch_tx_begin_wait(ctx, &tx);
    if (!err)
        err = CH_POINT(CONSUME_INBOX_INSERTED);
    if (!err && attempt->fresh_count > 0)
        err = attempt->batch->consumer->consume(ctx, &tx, attempt->fresh, attempt->fresh_count);
    if (!err)
        err = CH_POINT(CONSUME_EFFECT_DONE);
    if (!err)
        err = ch_tx_commit_wait(&tx);
    return err ? err : CH_POINT(CONSUME_COMMITTED);
}

/* ---- judging
 * ---------------------------------------------------------------------------------------------------------- */

// What a failure means for an event that is tried alone; what is not named is the handler's failure on it.
static const struct {
    enum ch_err err;
    enum ch_verdict verdict;
} verdicts[] = {
    {CH_OK, CH_VERDICT_ACK},
    // The event itself is wrong.
    {CH_ERR_INVALID, CH_VERDICT_DEAD},
    {CH_ERR_BAD_SYNTAX, CH_VERDICT_DEAD},
    // What it needs is away, or somebody holds it: that never counts against the event.
    {CH_ERR_UNAVAILABLE, CH_VERDICT_LATER},
    {CH_ERR_DEADLINE, CH_VERDICT_LATER},
    {CH_ERR_OVERLOADED, CH_VERDICT_LATER},
    {CH_ERR_NO_MEMORY, CH_VERDICT_LATER},
    {CH_ERR_LIMIT, CH_VERDICT_LATER},
    {CH_ERR_CANCELLED, CH_VERDICT_NONE}, // the process ends
};

// Whatever an event's own fault may be, it shows only while the database works.
static enum ch_verdict judge(enum ch_err err, bool is_noted, bool is_database_up)
{
    enum ch_verdict verdict = CH_VERDICT_FAILED;

    for (size_t i = 0; i < sizeof(verdicts) / sizeof(verdicts[0]); i++)
        if (verdicts[i].err == err)
            verdict = verdicts[i].verdict;
    if (verdict == CH_VERDICT_LATER)
        return is_noted && is_database_up ? CH_VERDICT_LATER : CH_VERDICT_NONE;
    return verdict == CH_VERDICT_FAILED && !is_database_up ? CH_VERDICT_NONE : verdict;
}

static void log_failure(struct ch_ctx *ctx, const struct attempt *attempt, enum ch_err err, enum ch_verdict verdict)
{
    static const char *const names[] = {[CH_VERDICT_NONE] = "event.waits",
                                        [CH_VERDICT_LATER] = "event.waits",
                                        [CH_VERDICT_DEAD] = "event.dead",
                                        [CH_VERDICT_FAILED] = "event.failed"};
    const struct ch_fault *fault = ctx->faults.first;

    ch_log(verdict == CH_VERDICT_NONE ? CH_LOG_DEBUG : CH_LOG_WARN, &ctx->trace, names[verdict],
           CH_LS("queue", attempt->batch->consumer->queue), CH_LU("event_id", attempt->items[0].event.id),
           CH_LI("pauses", attempt->items[0].pauses), CH_LS("error", ch_err_row(err)->code),
           CH_LS("pointer", fault ? fault->pointer : ""), CH_LS("fault", fault ? fault->code : ""));
}

static void observe(const struct attempt *attempt, enum ch_err err, int64_t start_ns)
{
    struct ch_inbox_batch *batch = attempt->batch;
    struct ch_series *duration = batch->duration_ok;

    if (err)
        duration = ch_series_get(&duration_metric, (const char *[]){batch->consumer->queue, ch_err_row(err)->code});
    ch_observe_ns(duration, ch_now_ns() - start_ns);
    if (err)
        return;
    ch_count(batch->outcomes[CH_EVENT_APPLIED], (int64_t)attempt->fresh_count);
    ch_count(batch->outcomes[CH_EVENT_DUPLICATE], (int64_t)(attempt->count - attempt->fresh_count));
}

/* ---- on the loop
 * ------------------------------------------------------------------------------------------------------- */

// A lone event continues its sender's trace; a batch has no one sender.
static enum ch_err open_context(struct ch_ctx *ctx, const struct attempt *attempt)
{
    struct ch_inbox_batch *batch = attempt->batch;
    const struct ch_str traceparent = attempt->items[0].event.traceparent;
    const bool has_parent = attempt->count == 1 && traceparent.len > 0;
    struct ch_trace parent;

    if (has_parent)
        ch_trace_start(&parent, traceparent);
    const enum ch_err err =
        ch_ctx_open(ctx, batch->loop, batch->consumer->queue, TIMEOUT_MS, has_parent ? &parent : NULL);
    if (err)
        return err;
    ctx->span->kind = CH_SPAN_CONSUMER;
    ch_span_attr(ctx->span, CH_LS("messaging.system", "rabbitmq"));
    ch_span_attr(ctx->span, CH_LS("messaging.operation.type", "process"));
    ch_span_attr(ctx->span, CH_LS("messaging.destination.name", batch->consumer->queue));
    ch_span_attr(ctx->span, CH_LI("messaging.batch.message_count", (int64_t)attempt->count));
    if (attempt->count == 1)
        ch_span_attr(ctx->span, CH_LU("messaging.message.id", attempt->items[0].event.id));
    return CH_OK;
}

// Tries items [first, first + count) together; all get the verdict.
static enum ch_verdict try_wait(struct ch_inbox_batch *batch, size_t first, size_t count)
{
    struct attempt attempt = {.batch = batch, .items = &batch->items[first], .count = count};
    struct ch_ctx ctx;

    if (open_context(&ctx, &attempt))
        return CH_VERDICT_NONE;
    const enum ch_err err = apply_wait(&ctx, &attempt);
    const enum ch_verdict verdict = judge(err, attempt.is_noted, ch_pg_is_up(ctx.pg));
    observe(&attempt, err, ctx.start_ns);
    if (err && (count == 1 || verdict == CH_VERDICT_NONE))
        log_failure(&ctx, &attempt, err, verdict);
    ch_ctx_close(&ctx, err);
    if (!err)
        ch_outbox_wake(); // the handler may have added events
    for (size_t i = first; i < first + count; i++)
        batch->items[i].verdict = verdict;
    return verdict;
}

// One by one, so that each event gets the verdict that is its own. What is not tried keeps none.
static void try_each_wait(struct ch_inbox_batch *batch)
{
    int waits = 0;

    for (size_t i = 0; i < batch->count; i++)
        batch->items[i].verdict = CH_VERDICT_NONE;
    for (size_t i = 0; i < batch->count && waits < WAITS_MAX; i++) {
        const enum ch_verdict verdict = try_wait(batch, i, 1);
        if (verdict == CH_VERDICT_NONE)
            return; // it keeps those behind it waiting: their order stays
        waits += verdict == CH_VERDICT_LATER;
    }
}

static void run_batch(void *arg)
{
    struct ch_inbox_batch *batch = arg;
    const int wake_fd = batch->wake_fd;
    const enum ch_verdict verdict = try_wait(batch, 0, batch->count);

    if (batch->count > 1 && verdict != CH_VERDICT_ACK && verdict != CH_VERDICT_NONE)
        try_each_wait(batch);
    atomic_store(&batch->is_ended, true); // from here on the batch is the thread's
    ch_signal_set(wake_fd);
}

static void start_batch(struct ch_loop *loop, void *arg)
{
    struct ch_inbox_batch *batch = arg;
    const int wake_fd = batch->wake_fd;

    if (ch_fiber_start(loop, run_batch, batch) == CH_OK)
        return;
    atomic_store(&batch->is_ended, true); // no fiber is free: without verdicts the thread tries again
    ch_signal_set(wake_fd);
}

void ch_inbox_post(struct ch_inbox_batch *batch)
{
    for (size_t i = 0; i < batch->count; i++)
        batch->items[i].verdict = CH_VERDICT_NONE;
    atomic_store(&batch->is_ended, false);
    batch->mail = (struct ch_mail){.fn = start_batch, .arg = batch};
    ch_loop_post(batch->loop, &batch->mail);
}
