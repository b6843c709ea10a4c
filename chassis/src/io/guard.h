// SPDX-License-Identifier: Apache-2.0
/**
 * @file guard.h
 * @brief How a caller protects itself and whom it calls: circuit breaker, bulkhead, retry budget.
 *
 * Each is a few counters of one loop. Time is handed in, so that tests have their own clock. What they decide is
 * counted and each change of state is logged; they never wait but where it says `_wait`, and allocate nothing.
 *
 *   breaker       an address whose calls mostly fail is left alone for a while, then probed
 *   bulkhead      one dependency's slowness may hold only so many fibers
 *   retry budget  retries stay a small share of the calls, so that they cannot become the load
 */
#ifndef CH_IO_GUARD_H
#define CH_IO_GUARD_H

#include "ch/obs.h"
#include "ch/run.h"

/* ---- circuit breaker (M. Nygard, "Release It!"; share of failures in a sliding window as in resilience4j) ---- */

enum ch_breaker_state {
    CH_BREAKER_CLOSED,    /**< all pass */
    CH_BREAKER_OPEN,      /**< none passes until `open_until_ns` */
    CH_BREAKER_HALF_OPEN, /**< one at a time passes, as a probe */
    CH_BREAKER_STATES
};

enum ch_verdict {
    CH_VERDICT_GOOD,
    CH_VERDICT_BAD,
    CH_VERDICT_NONE, /**< says nothing of the address: cancelled, or the connection broke, which has its own backoff */
};

#define CH_BREAKER_SLOTS 10

struct ch_breaker {
    const char *dependency; /**< metrics label */
    const char *address;    /**< for the log */
    enum ch_breaker_state state;
    uint32_t generation; /**< one a state: a late report on an earlier one is ignored */
    struct {
        int64_t second;
        uint32_t calls, bad;
    } slots[CH_BREAKER_SLOTS]; /**< ring of seconds */
    int64_t open_until_ns;
    int opened; /**< in a row, for the backoff */
    int probes_out, probes_good;
};

/** Both strings must outlive the breaker. */
void ch_breaker_init(struct ch_breaker *breaker, const char *dependency, const char *address);
bool ch_breaker_would_pass(const struct ch_breaker *breaker, int64_t now_ns);
/** Only after ch_breaker_would_pass; each pass is reported once. */
uint32_t ch_breaker_pass(struct ch_breaker *breaker, int64_t now_ns);
void ch_breaker_report(struct ch_breaker *breaker, uint32_t pass, enum ch_verdict verdict, int64_t now_ns);
void ch_breaker_release(struct ch_breaker *breaker); /**< takes it out of the metrics */

/* ---- bulkhead ---- */

struct ch_bulkhead {
    const char *dependency;
    size_t inside, max;
    struct ch_queue waiting;
    bool is_full; /**< someone was refused, and it has not been half empty since */
    struct ch_series *inside_gauge, *refused_count;
};

/** `dependency` must outlive it, and it may not move afterwards. */
void ch_bulkhead_init(struct ch_bulkhead *bulkhead, const char *dependency, size_t max, size_t waiting_max);
/** CH_ERR_OVERLOADED at once when as many as allowed wait already; else as ch_wait. After CH_OK: ch_bulkhead_leave. */
CH_MUST_CHECK enum ch_err ch_bulkhead_enter_wait(struct ch_bulkhead *bulkhead, int64_t deadline_ns);
void ch_bulkhead_leave(struct ch_bulkhead *bulkhead);

/* ---- retry budget (Finagle's RetryBudget; SRE book, "Handling Overload") ---- */

struct ch_retry_budget {
    int64_t milli, max_milli; /**< a thousand are one retry */
    int64_t filled_ns;
};

/** Full at first; holds `burst` retries. */
void ch_retry_budget_init(struct ch_retry_budget *budget, size_t burst, int64_t now_ns);
void ch_retry_budget_on_call(struct ch_retry_budget *budget); /**< a first attempt: a tenth of a retry more */
/** One retry, if there is one; 10 a second come by themselves. */
bool ch_retry_budget_take(struct ch_retry_budget *budget, int64_t now_ns);

#endif
