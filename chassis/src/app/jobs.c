// SPDX-License-Identifier: Apache-2.0
// Jobs: each row is a fiber of loop 0 that runs, sleeps its interval and runs again. One run at a time; a run that
// fails is tried again after the interval, and only a change of outcome is logged. It must never keep the drain waiting
// by sleeping.
#include "jobs.h"

#include "loop_state.h"
#include "retention.h"

#define JOBS_MAX 32

static const struct ch_metric job_runs = {.name = "job_runs_total",
                                          .type = CH_COUNTER,
                                          .help = "Runs of the service's own jobs",
                                          .labels = {"job", "outcome"}};

static struct {
    struct ch_loop_state *state;
    struct job {
        const struct ch_job *row;
        struct ch_fiber *sleeper; // NULL while it runs
        enum ch_err last;
    } all[JOBS_MAX];
    size_t count, alive;
    bool is_stopping;
} jobs; // of loop 0

static void run_once(struct job *job)
{
    struct ch_ctx ctx;
    enum ch_err err = ch_ctx_open(&ctx, jobs.state->loop, job->row->name, job->row->timeout_ms, NULL);

    if (!err) {
        err = job->row->run(&ctx);
        if (err && err != job->last)
            ch_failure_settle(&ctx, "job.failed", err);
        else if (!err && job->last)
            ch_log(CH_LOG_INFO, &ctx.trace, "job.recovered", CH_LS("name", job->row->name));
        ch_ctx_close(&ctx, err);
    }
    job->last = err;
    ch_count(ch_series_get(&job_runs, (const char *const[]){job->row->name, ch_err_row(err)->code}), 1);
}

// Runs that are spread begin after a random part of their interval, so that instances that start together do not run
// together.
static int64_t pause_ns(const struct ch_job *row, bool is_first)
{
    const int64_t interval_ns = row->interval_ms * 1000000;
    uint32_t dice;

    if (!row->is_spread)
        return is_first ? 0 : interval_ns;
    ch_random(&dice, sizeof(dice));
    const int64_t part_ns = (int64_t)((double)interval_ns * dice / 4294967296.0);
    return is_first ? part_ns : interval_ns / 2 + part_ns;
}

static enum ch_err pause_wait(struct job *job, bool is_first)
{
    const int64_t rest_ns = pause_ns(job->row, is_first);

    if (rest_ns == 0)
        return CH_OK;
    job->sleeper = ch_fiber_current();
    const enum ch_err err = ch_sleep_wait(ch_now_ns() + rest_ns);
    job->sleeper = NULL;
    return err;
}

static void job_main(void *arg)
{
    struct job *job = arg;
    enum ch_err err = pause_wait(job, true);

    while (!err && !jobs.is_stopping) {
        run_once(job);
        if (!jobs.is_stopping)
            err = pause_wait(job, false); // cancelled: the service stops
    }
    jobs.alive--;
}

static enum ch_err start_job(const struct ch_job *row)
{
    if (jobs.count == JOBS_MAX)
        return CH_ERR_LIMIT;
    struct job *job = &jobs.all[jobs.count++];
    *job = (struct job){.row = row};
    jobs.alive++; // it may end before ch_fiber_start returns
    const enum ch_err err = ch_fiber_start(jobs.state->loop, job_main, job);
    if (err)
        jobs.alive--;
    return err;
}

enum ch_err ch_jobs_start(struct ch_loop_state *state, void *unused)
{
    const struct ch_service *service = state->process->service;
    const struct ch_job *retention = ch_retention_job(service);
    enum ch_err err = CH_OK;

    (void)unused; // the shape of ch_loop_state_call
    jobs.state = state;
    for (const struct ch_job *row = service->jobs; row && row->name && !err; row++)
        err = start_job(row);
    if (retention && !err)
        err = start_job(retention);
    return err;
}

bool ch_jobs_are_stopping(void)
{
    return jobs.is_stopping;
}

enum ch_err ch_jobs_stop(struct ch_loop_state *state, void *unused)
{
    (void)state; // jobs know it
    (void)unused;
    jobs.is_stopping = true;
    for (size_t i = 0; i < JOBS_MAX; i++)
        if (jobs.all[i].sleeper)
            ch_fiber_cancel(jobs.all[i].sleeper);
    return CH_OK;
}

size_t ch_jobs_alive(void)
{
    return jobs.alive;
}
