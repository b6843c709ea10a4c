// SPDX-License-Identifier: Apache-2.0
// The way down, on the main thread: not ready -> still serving for a while, but closing each connection with its reply,
// so that whoever routes here notices -> no new connections, deliveries or job runs -> what runs ends, or is cancelled
// when the time is up -> what the outbox holds is published. It must never free anything that a fiber may still use:
// then the process ends without freeing.
#include "loop_state.h"

#include "events.h"
#include "health.h"

#include <time.h>

#define LOOK_EVERY_NS  (5 * INT64_C(1000000))
#define CANCEL_WAIT_NS (2 * INT64_C(1000000000))
#define OUTBOX_WAIT_NS (1 * INT64_C(1000000000)) /**< for the outbox at least, however long the rest took */

static void sleep_ns(int64_t duration_ns)
{
    struct timespec time = {.tv_sec = duration_ns / 1000000000, .tv_nsec = duration_ns % 1000000000};

    while (nanosleep(&time, &time)) // on a signal: the rest
        ;
}

static enum ch_err tell_not_serving(struct ch_loop_state *state, void *unused)
{
    (void)unused; // the shape of ch_loop_state_call
    ch_http_server_leave(state->http);
    ch_grpc_server_set_serving(state->grpc, false);
    return CH_OK;
}

static enum ch_err stop_accepting(struct ch_loop_state *state, void *unused)
{
    (void)unused;
    ch_http_server_drain(state->http);
    ch_grpc_server_drain(state->grpc);
    return CH_OK;
}

static enum ch_err count_left(struct ch_loop_state *state, void *ret_count)
{
    size_t left =
        state->in_flight_count + ch_http_server_connections(state->http) + ch_grpc_server_streams(state->grpc);

    if (state->index == 0)
        left += ch_jobs_alive();
    *(size_t *)ret_count = left;
    return CH_OK;
}

static enum ch_err cancel_all(struct ch_loop_state *state, void *unused)
{
    (void)unused;
    for (struct ch_ctx *ctx = state->in_flight; ctx; ctx = ctx->next) {
        ch_log(CH_LOG_WARN, &ctx->trace, "drain.cancelled", CH_LS("name", ctx->name), CH_LS("step", ctx->step),
               CH_LI("age_ms", (ch_now_ns() - ctx->start_ns) / 1000000));
        if (ctx->fiber)
            ch_fiber_cancel(ctx->fiber);
    }
    return CH_OK;
}

static enum ch_err count_running(struct ch_loop_state *state, void *ret_count)
{
    *(size_t *)ret_count = state->in_flight_count + (state->index == 0 ? ch_jobs_alive() : 0);
    return CH_OK;
}

static void call_all(struct ch_process *process, enum ch_err (*fn)(struct ch_loop_state *state, void *arg))
{
    for (int i = 0; i < process->loop_count; i++)
        (void)ch_loop_state_call(&process->loops[i], fn, NULL); // none of these fails
}

static size_t sum_all(struct ch_process *process, enum ch_err (*fn)(struct ch_loop_state *state, void *ret_count))
{
    size_t sum = 0;

    for (int i = 0; i < process->loop_count; i++) {
        size_t count = 0;

        (void)ch_loop_state_call(&process->loops[i], fn, &count); // a count cannot fail
        sum += count;
    }
    return sum;
}

static bool wait_for_none(struct ch_process *process, enum ch_err (*fn)(struct ch_loop_state *state, void *ret_count),
                          int64_t deadline_ns)
{
    while (sum_all(process, fn) > 0) {
        if (ch_now_ns() >= deadline_ns)
            return false;
        sleep_ns(LOOK_EVERY_NS);
    }
    return true;
}

static enum ch_err stop_accepting_admin(struct ch_loop_state *state, void *unused)
{
    (void)unused;
    if (state->http)
        ch_http_server_drain(state->http);
    return CH_OK;
}

bool ch_drain_admin(struct ch_process *process)
{
    const int64_t deadline_ns = ch_now_ns() + CANCEL_WAIT_NS;
    size_t left = 1;

    if (!process->admin || !process->admin->loop)
        return true;
    (void)ch_loop_state_call(process->admin, stop_accepting_admin, NULL); // cannot fail
    for (;;) {
        (void)ch_loop_state_call(process->admin, count_running, &left); // a count cannot fail
        if (left == 0 || ch_now_ns() >= deadline_ns)
            return left == 0;
        sleep_ns(LOOK_EVERY_NS);
    }
}

bool ch_drain(struct ch_process *process)
{
    ch_log(CH_LOG_INFO, NULL, "drain.started");
    ch_health_set_draining();
    call_all(process, tell_not_serving);
    sleep_ns(ch_settings.drain_wait_ms * 1000000);

    const int64_t deadline_ns = ch_now_ns() + ch_settings.drain_timeout_ms * 1000000;
    ch_events_stop_consuming();
    (void)ch_loop_state_call(&process->loops[0], ch_jobs_stop, NULL); // cannot fail
    call_all(process, stop_accepting);
    if (!wait_for_none(process, count_left, deadline_ns)) {
        call_all(process, cancel_all);
        if (!wait_for_none(process, count_running, ch_now_ns() + CANCEL_WAIT_NS)) {
            ch_log(CH_LOG_ERROR, NULL, "drain.stuck");
            return false;
        }
    }
    const int64_t least_ns = ch_now_ns() + OUTBOX_WAIT_NS;
    ch_events_stop(deadline_ns > least_ns ? deadline_ns : least_ns);
    ch_log(CH_LOG_INFO, NULL, "drain.done");
    return true;
}
