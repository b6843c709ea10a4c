// SPDX-License-Identifier: Apache-2.0
// The bound on what one loop has in flight, and how it moves: a window of a tenth of a second ends with the mean
// stretch of its work (how many times as long as usual it took). Too much: the limit shrinks with it. All well, and the
// limit was in use: it grows. ch_shed_enter must stay cheaper than any work it refuses: no clock, no lock, no log.
#include "shed.h"

#include <assert.h>

#define WINDOW_NS      (100 * INT64_C(1000000))
#define RELIEF_NS      (2000 * INT64_C(1000000)) // so long without refusing: it is over
#define SAMPLES_MIN    10                        // fewer decide nothing: the window goes on
#define USUAL_MIN      5                         // of one route in a window
#define LIMIT_CALM     256
#define LIMIT_LEAST    16
#define STRETCH_MAX    9.0 // times the usual: see ADR 0010
#define SHRINK_MOST    0.7 // of the limit, in one window
#define GROWTH         16  // of the limit, in one window: a part
#define USUAL_DOWN     4   // a faster window counts a quarter
#define USUAL_UP       256 // a slower one, when quiet
#define USUAL_UP_FLOOR 16  // … and when hardly anything is let in

static const struct ch_metric refused_metric = {
    .name = "requests_shed_total",
    .type = CH_COUNTER,
    .help = "Requests and calls refused because too much was in flight",
    .labels = {"class"},
};

const char *const ch_shed_class_names[CH_SHED_CLASSES] = {
    [CH_SHED_NORMAL] = "normal",
    [CH_SHED_READ] = "read",
    [CH_SHED_CHEAP] = "cheap",
    [CH_SHED_STREAM] = "stream",
};

static size_t get(const _Atomic(size_t) *value)
{
    return atomic_load_explicit(value, memory_order_relaxed);
}

static void set(_Atomic(size_t) *value, size_t to)
{
    atomic_store_explicit(value, to, memory_order_relaxed); // only the loop writes
}

void ch_shed_init(struct ch_shed *shed, size_t requests_max, size_t streams_max)
{
    *shed = (struct ch_shed){.requests_max = requests_max, .streams_max = streams_max, .window = 1};
    shed->limit_calm = requests_max < LIMIT_CALM ? requests_max : LIMIT_CALM;
    set(&shed->limit, shed->limit_calm);
    for (int i = 0; i < CH_SHED_CLASSES; i++)
        shed->refused[i] = ch_series_get(&refused_metric, (const char *const[]){ch_shed_class_names[i], NULL});
}

static size_t requests_of(const struct ch_shed *shed)
{
    return get(&shed->in_flight[CH_SHED_NORMAL]) + get(&shed->in_flight[CH_SHED_READ]) +
           get(&shed->in_flight[CH_SHED_CHEAP]);
}

enum ch_err ch_shed_enter(struct ch_shed *shed, enum ch_shed_class class)
{
    const size_t requests = requests_of(shed), limit = get(&shed->limit);
    const bool is_full[CH_SHED_CLASSES] = {
        [CH_SHED_NORMAL] = requests >= limit,
        [CH_SHED_READ] = requests >= limit + limit / 4,
        [CH_SHED_CHEAP] = requests >= limit + limit / 2 + 1,
        [CH_SHED_STREAM] = get(&shed->in_flight[CH_SHED_STREAM]) >= shed->streams_max,
    };

    if (is_full[class]) {
        shed->has_shed = true;
        ch_count(shed->refused[class], 1);
        return CH_ERR_OVERLOADED;
    }
    set(&shed->in_flight[class], get(&shed->in_flight[class]) + 1);
    if (class != CH_SHED_STREAM && requests + 1 > shed->peak)
        shed->peak = requests + 1;
    return CH_OK;
}

void ch_shed_leave(struct ch_shed *shed, enum ch_shed_class class)
{
    assert(get(&shed->in_flight[class]) > 0);
    set(&shed->in_flight[class], get(&shed->in_flight[class]) - 1);
}

/* ---- learning ---- */

// What the window before said of this route. Faster is believed soon; slower only when little was in flight, or when so
// little is let in that what is seen is what the work takes.
static void usual_fold(const struct ch_shed *shed, struct ch_shed_usual *usual)
{
    int64_t mean_ns;

    usual->window = shed->window;
    if (usual->count < USUAL_MIN) // it goes on
        return;
    mean_ns = usual->sum_ns / usual->count;
    usual->sum_ns = 0;
    usual->count = 0;
    if (!usual->usual_ns)
        usual->usual_ns = mean_ns;
    else if (mean_ns < usual->usual_ns)
        usual->usual_ns -= (usual->usual_ns - mean_ns) / USUAL_DOWN;
    else if (get(&shed->limit) <= LIMIT_LEAST)
        usual->usual_ns += (mean_ns - usual->usual_ns) / USUAL_UP_FLOOR;
    else if (shed->is_quiet)
        usual->usual_ns += (mean_ns - usual->usual_ns) / USUAL_UP;
}

void ch_shed_learn(struct ch_shed *shed, struct ch_shed_usual *usual, int64_t took_ns, int64_t now_ns)
{
    if (usual->window != shed->window)
        usual_fold(shed, usual);
    usual->sum_ns += took_ns;
    usual->count++;
    shed->stretch += usual->usual_ns ? (double)took_ns / (double)usual->usual_ns : 1;
    shed->count++;
    if (now_ns - shed->window_ns >= WINDOW_NS)
        ch_shed_turn(shed, now_ns);
}

static void limit_move(struct ch_shed *shed)
{
    const double stretch = shed->stretch / shed->count;
    const size_t limit = get(&shed->limit);
    double next = (double)limit;

    if (stretch > STRETCH_MAX && shed->peak * 2 > limit)
        next *= STRETCH_MAX / stretch > SHRINK_MOST ? STRETCH_MAX / stretch : SHRINK_MOST;
    else if (stretch <= STRETCH_MAX && shed->peak >= limit)
        next += 1 + next / GROWTH;
    if (next < LIMIT_LEAST)
        next = LIMIT_LEAST;
    set(&shed->limit, next < (double)shed->requests_max ? (size_t)next : shed->requests_max);
}

static void tell(struct ch_shed *shed, int64_t now_ns)
{
    const bool was_shedding = shed->shed_ns > 0;

    if (shed->has_shed)
        shed->shed_ns = now_ns;
    else if (was_shedding && now_ns - shed->shed_ns >= RELIEF_NS)
        shed->shed_ns = 0;
    if (was_shedding == (shed->shed_ns > 0))
        return;
    ch_log(was_shedding ? CH_LOG_INFO : CH_LOG_WARN, NULL, was_shedding ? "shed.ended" : "shed.began",
           CH_LI("limit", (int64_t)get(&shed->limit)), CH_LI("in_flight", (int64_t)requests_of(shed)));
}

void ch_shed_turn(struct ch_shed *shed, int64_t now_ns)
{
    if (now_ns - shed->window_ns < WINDOW_NS)
        return;
    tell(shed, now_ns);
    shed->has_shed = false;
    if (shed->count < SAMPLES_MIN && now_ns - shed->window_ns < 10 * WINDOW_NS)
        return;
    shed->is_quiet = shed->peak <= LIMIT_LEAST;
    if (shed->peak * 2 <= get(&shed->limit) && get(&shed->limit) < shed->limit_calm)
        set(&shed->limit, get(&shed->limit) + 1 + (shed->limit_calm - get(&shed->limit)) / 4);
    else if (shed->count >= SAMPLES_MIN)
        limit_move(shed);
    shed->window++;
    shed->window_ns = now_ns;
    shed->stretch = 0;
    shed->count = 0;
    shed->peak = requests_of(shed);
}
