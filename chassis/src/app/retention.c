// SPDX-License-Identifier: Apache-2.0
// Forgets rows that have served their purpose, a few at a time: each statement is a short transaction of its own, a
// pause follows it, and a run ends after a bounded time. Instances do it side by side: the statements pass over rows
// that another holds. It must never forget an event that was not sent.
#include "retention.h"

#include "events_internal.h"
#include "jobs.h"
#include "loop_state.h"
#include "settings.h"
#include "src/app/events_queries.h" // generated

#define HOUR_S   3600
#define PAUSE_NS INT64_C(20000000)   // after each statement, and as much again by chance
#define TABLE_NS INT64_C(5000000000) // a run spends no longer on one table
#define RUN_MS   60000

static const struct ch_metric trimmed_metric = {
    "rows_trimmed_total", CH_COUNTER, "Rows forgotten because they were kept long enough", {"what", NULL}};

static const struct ch_service *the_service; // set before the jobs start

/** One thing to forget. */
struct trim {
    const char *name;
    int query;
    int64_t keep_s;
    const char *consumer; // of an inbox; NULL: the statement has no such parameter
};

static enum ch_err forget_some_wait(struct ch_ctx *ctx, const struct trim *trim, int64_t *ret_count)
{
    struct ch_pg_rows *rows CH_PG_ROWS = NULL;
    struct ch_pg_args args;

    ch_pg_args_init(&args, ctx);
    ch_pg_int8(&args, trim->keep_s);
    ch_pg_int4(&args, (int32_t)ch_settings.retention_rows);
    if (trim->consumer)
        ch_pg_text(&args, ch_str_of(trim->consumer));
    const enum ch_err err = ch_pg_run_wait(ctx, trim->query, &args, &rows);
    if (err)
        return err;
    *ret_count = ch_pg_get_int(rows, 0, 0);
    return CH_OK;
}

static enum ch_err pause_wait(void)
{
    uint32_t dice;

    ch_random(&dice, sizeof(dice));
    return ch_sleep_wait(ch_now_ns() + PAUSE_NS + (int64_t)(dice % PAUSE_NS));
}

// Until fewer are found than were asked for, the time is up, or the service stops.
static enum ch_err forget_wait(struct ch_ctx *ctx, const struct trim *trim)
{
    struct ch_series *trimmed = ch_series_get(&trimmed_metric, (const char *const[]){trim->name});
    const int64_t end_ns = ch_now_ns() + TABLE_NS;
    int64_t count = ch_settings.retention_rows;
    enum ch_err err = CH_OK;

    ctx->step = trim->name;
    while (count == ch_settings.retention_rows && ch_now_ns() < end_ns && !ch_jobs_are_stopping()) {
        err = forget_some_wait(ctx, trim, &count);
        if (err)
            return err;
        ch_count(trimmed, count);
        err = pause_wait();
        if (err)
            return err;
    }
    return CH_OK;
}

static int64_t keep_s_of(const struct ch_trim *trim)
{
    const int64_t keep = *(const int64_t *)((const char *)the_service->config + trim->keep_offset);

    return keep * (trim->unit_s ? trim->unit_s : HOUR_S);
}

// All are tried; the first failure is the run's.
static enum ch_err retention(struct ch_ctx *ctx)
{
    const int own_first = ch_own_query_first(ctx);
    const struct trim outbox = {"outbox", own_first + EVENTS_Q_OUTBOX_TRIM, ch_settings.outbox_keep_h * HOUR_S, NULL};
    enum ch_err err = forget_wait(ctx, &outbox);

    for (const struct ch_consumer *row = the_service->consumers; row && row->queue; row++) {
        const struct trim inbox = {"inbox", own_first + EVENTS_Q_INBOX_TRIM, ch_settings.inbox_keep_h * HOUR_S,
                                   row->queue};
        const enum ch_err inbox_err = forget_wait(ctx, &inbox);
        err = err ? err : inbox_err;
    }
    for (const struct ch_trim *row = the_service->trims; row && row->name; row++) {
        const struct trim own = {row->name, row->query, keep_s_of(row), NULL};
        const enum ch_err own_err = forget_wait(ctx, &own);
        err = err ? err : own_err;
    }
    return err;
}

const struct ch_job *ch_retention_job(const struct ch_service *service)
{
    static struct ch_job job = {.name = "retention", .timeout_ms = RUN_MS, .is_spread = true, .run = retention};

    if (!ch_service_needs_database(service))
        return NULL;
    the_service = service;
    job.interval_ms = ch_settings.retention_interval_s * 1000;
    return &job;
}
