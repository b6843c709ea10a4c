// SPDX-License-Identifier: Apache-2.0
// Circuit breaker, bulkhead, retry budget. The numbers stand here and are nobody's setting: they bound harm, and a
// wrong one would only show when all else has failed already. Must never turn a short fault into a long one: an open
// breaker probes again within seconds.
#include "guard.h"

#define SECOND_NS   INT64_C(1000000000)
#define CALLS_MIN   20              // fewer in the window say nothing
#define BAD_PERCENT 50              // so many of them: open
#define OPEN_MIN_NS (SECOND_NS / 2) // doubled each time a probe fails
#define OPEN_MAX_NS (2 * SECOND_NS)
#define PROBES_GOOD 3              // in a row: closed again
#define CALL_MILLI  100            // of a retry, a call
#define FILL_MILLI  INT64_C(10000) // of a retry, a second

static const struct ch_metric breakers_metric = {
    .name = "circuit_breakers",
    .type = CH_GAUGE,
    .help = "Circuit breakers by state, one a loop and address",
    .labels = {"dependency", "state"},
};
static const struct ch_metric inside_metric = {
    .name = "bulkhead_in_flight",
    .type = CH_GAUGE,
    .help = "Calls inside the bulkhead of a dependency",
    .labels = {"dependency"},
};
static const struct ch_metric refused_metric = {
    .name = "bulkhead_refused_total",
    .type = CH_COUNTER,
    .help = "Calls refused because too many were inside and waiting",
    .labels = {"dependency"},
};

/* ---- breaker ---- */

static const char *const state_names[CH_BREAKER_STATES] = {
    [CH_BREAKER_CLOSED] = "closed",
    [CH_BREAKER_OPEN] = "open",
    [CH_BREAKER_HALF_OPEN] = "half_open",
};

static void breaker_show(const struct ch_breaker *breaker, int64_t n)
{
    ch_gauge_add(
        ch_series_get(&breakers_metric, (const char *const[]){breaker->dependency, state_names[breaker->state], NULL}),
        n);
}

// The one place where the state changes.
static void breaker_set(struct ch_breaker *breaker, enum ch_breaker_state state)
{
    ch_log(state == CH_BREAKER_OPEN ? CH_LOG_WARN : CH_LOG_INFO, NULL, "breaker.changed",
           CH_LS("dependency", breaker->dependency), CH_LS("address", breaker->address),
           CH_LS("from", state_names[breaker->state]), CH_LS("to", state_names[state]));
    breaker_show(breaker, -1);
    breaker->state = state;
    breaker->generation++;
    breaker->probes_out = breaker->probes_good = 0;
    breaker_show(breaker, 1);
}

void ch_breaker_init(struct ch_breaker *breaker, const char *dependency, const char *address)
{
    *breaker = (struct ch_breaker){.dependency = dependency, .address = address};
    breaker_show(breaker, 1);
}

void ch_breaker_release(struct ch_breaker *breaker)
{
    if (breaker->dependency)
        breaker_show(breaker, -1);
    breaker->dependency = NULL;
}

// Half of the time is fixed, half by chance, so that many callers do not probe at once.
static void breaker_open(struct ch_breaker *breaker, int64_t now_ns)
{
    int64_t open_ns = OPEN_MIN_NS << (breaker->opened < 8 ? breaker->opened : 8);
    uint32_t chance;

    if (open_ns > OPEN_MAX_NS)
        open_ns = OPEN_MAX_NS;
    ch_random(&chance, sizeof(chance));
    breaker->opened++;
    breaker->open_until_ns = now_ns + open_ns / 2 + (int64_t)((double)open_ns / 2 * chance / UINT32_MAX);
    breaker_set(breaker, CH_BREAKER_OPEN);
}

static void breaker_close(struct ch_breaker *breaker)
{
    memset(breaker->slots, 0, sizeof(breaker->slots)); // what was before counts no more
    breaker->opened = 0;
    breaker_set(breaker, CH_BREAKER_CLOSED);
}

bool ch_breaker_would_pass(const struct ch_breaker *breaker, int64_t now_ns)
{
    switch (breaker->state) {
    case CH_BREAKER_OPEN:
        return now_ns >= breaker->open_until_ns;
    case CH_BREAKER_HALF_OPEN:
        return breaker->probes_out == 0;
    default:
        return true;
    }
}

uint32_t ch_breaker_pass(struct ch_breaker *breaker, int64_t now_ns)
{
    if (breaker->state == CH_BREAKER_OPEN && now_ns >= breaker->open_until_ns)
        breaker_set(breaker, CH_BREAKER_HALF_OPEN);
    if (breaker->state == CH_BREAKER_HALF_OPEN)
        breaker->probes_out++;
    return breaker->generation;
}

static bool window_is_bad(struct ch_breaker *breaker, bool is_bad, int64_t now_ns)
{
    const int64_t second = now_ns / SECOND_NS;
    const size_t at = (size_t)(second % CH_BREAKER_SLOTS);
    uint32_t calls = 0, bad = 0;

    if (breaker->slots[at].second != second) {
        breaker->slots[at].second = second;
        breaker->slots[at].calls = breaker->slots[at].bad = 0;
    }
    breaker->slots[at].calls++;
    breaker->slots[at].bad += is_bad;
    if (!is_bad) // a good one opens nothing
        return false;
    for (size_t i = 0; i < CH_BREAKER_SLOTS; i++) {
        if (breaker->slots[i].second <= second - CH_BREAKER_SLOTS)
            continue;
        calls += breaker->slots[i].calls;
        bad += breaker->slots[i].bad;
    }
    return calls >= CALLS_MIN && (uint64_t)bad * 100 >= (uint64_t)calls * BAD_PERCENT;
}

void ch_breaker_report(struct ch_breaker *breaker, uint32_t pass, enum ch_verdict verdict, int64_t now_ns)
{
    if (pass != breaker->generation)
        return;
    if (breaker->state == CH_BREAKER_CLOSED) {
        if (verdict != CH_VERDICT_NONE && window_is_bad(breaker, verdict == CH_VERDICT_BAD, now_ns))
            breaker_open(breaker, now_ns);
        return;
    }
    breaker->probes_out--;
    if (verdict == CH_VERDICT_BAD)
        breaker_open(breaker, now_ns);
    else if (verdict == CH_VERDICT_GOOD && ++breaker->probes_good >= PROBES_GOOD)
        breaker_close(breaker);
}

/* ---- bulkhead ---- */

void ch_bulkhead_init(struct ch_bulkhead *bulkhead, const char *dependency, size_t max, size_t waiting_max)
{
    const char *const labels[] = {dependency, NULL};

    *bulkhead = (struct ch_bulkhead){.dependency = dependency, .max = max};
    bulkhead->inside_gauge = ch_series_get(&inside_metric, labels);
    bulkhead->refused_count = ch_series_get(&refused_metric, labels);
    ch_queue_init(&bulkhead->waiting, waiting_max);
}

enum ch_err ch_bulkhead_enter_wait(struct ch_bulkhead *bulkhead, int64_t deadline_ns)
{
    enum ch_err err;

    if (bulkhead->inside < bulkhead->max) {
        bulkhead->inside++;
        ch_gauge_add(bulkhead->inside_gauge, 1);
        return CH_OK;
    }
    err = ch_queue_wait(&bulkhead->waiting, deadline_ns); // whoever leaves hands its place over
    if (err != CH_ERR_OVERLOADED)
        return err;
    ch_count(bulkhead->refused_count, 1);
    if (!bulkhead->is_full)
        ch_log(CH_LOG_WARN, NULL, "bulkhead.full", CH_LS("dependency", bulkhead->dependency),
               CH_LI("max", (int64_t)bulkhead->max));
    bulkhead->is_full = true;
    return err;
}

void ch_bulkhead_leave(struct ch_bulkhead *bulkhead)
{
    if (ch_queue_wake_one(&bulkhead->waiting, CH_OK))
        return;
    bulkhead->inside--;
    ch_gauge_add(bulkhead->inside_gauge, -1);
    if (!bulkhead->is_full || bulkhead->inside > bulkhead->max / 2)
        return;
    bulkhead->is_full = false;
    ch_log(CH_LOG_INFO, NULL, "bulkhead.relieved", CH_LS("dependency", bulkhead->dependency));
}

/* ---- retry budget ---- */

void ch_retry_budget_init(struct ch_retry_budget *budget, size_t burst, int64_t now_ns)
{
    *budget = (struct ch_retry_budget){(int64_t)burst * 1000, (int64_t)burst * 1000, now_ns};
}

static void budget_add(struct ch_retry_budget *budget, int64_t milli)
{
    budget->milli = budget->max_milli - budget->milli < milli ? budget->max_milli : budget->milli + milli;
}

void ch_retry_budget_on_call(struct ch_retry_budget *budget)
{
    budget_add(budget, CALL_MILLI);
}

bool ch_retry_budget_take(struct ch_retry_budget *budget, int64_t now_ns)
{
    const int64_t passed_ms = (now_ns - budget->filled_ns) / 1000000;

    if (passed_ms > 0) {
        budget_add(budget, passed_ms < 60000 ? passed_ms * FILL_MILLI / 1000 : budget->max_milli);
        budget->filled_ns = now_ns;
    }
    if (budget->milli < 1000)
        return false;
    budget->milli -= 1000;
    return true;
}
