// SPDX-License-Identifier: Apache-2.0
// Jobs: each row is a fiber of loop 0 that runs, sleeps its interval and runs again. One run at a time; a run that
// fails is tried again after the interval, and only a change of outcome is logged. It must never keep the drain waiting
// by sleeping.
#include "loop_state.h"

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
    size_t alive;
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

static void job_main(void *arg)
{
    struct job *job = arg;

    while (!jobs.is_stopping) {
        run_once(job);
        if (jobs.is_stopping)
            break;
        job->sleeper = ch_fiber_current();
        const enum ch_err err = ch_sleep_wait(ch_now_ns() + job->row->interval_ms * 1000000);
        job->sleeper = NULL;
        if (err) // cancelled: the service stops
            break;
    }
    jobs.alive--;
}

enum ch_err ch_jobs_start(struct ch_loop_state *state, void *unused)
{
    const struct ch_job *row = state->process->service->jobs;

    (void)unused; // the shape of ch_loop_state_call
    jobs.state = state;
    for (size_t i = 0; row && row->name; row++, i++) {
        enum ch_err err;

        if (i == JOBS_MAX)
            return CH_ERR_LIMIT;
        jobs.all[i] = (struct job){.row = row};
        err = ch_fiber_start(state->loop, job_main, &jobs.all[i]);
        if (err)
            return err;
        jobs.alive++;
    }
    return CH_OK;
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
