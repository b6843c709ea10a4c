// SPDX-License-Identifier: Apache-2.0
// Registry of metric series and their Prometheus text (exposition format 0.0.4). Values are relaxed atomics, so
// counting never waits; the lock guards only the finding and making of series. The scrape takes no lock: lists grow at
// their end and never shrink.

#include "process.h"

#include <assert.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#define SERIES_MAX    2000
#define TABLE_SIZE    4096 // > 2 * SERIES_MAX
#define BOUNDS_MAX    17
#define LABELS_MAX    1024 // bytes of rendered labels
#define VALUE_MAX     100  // bytes of one label value
#define CALLBACKS_MAX 32

struct bound {
    int64_t at;
    const char *le;
};

static const struct bound second_bounds[] = {
    {500000, "0.0005"},  {1000000, "0.001"},  {2500000, "0.0025"}, {5000000, "0.005"},  {10000000, "0.01"},
    {25000000, "0.025"}, {50000000, "0.05"},  {75000000, "0.075"}, {100000000, "0.1"},  {250000000, "0.25"},
    {500000000, "0.5"},  {750000000, "0.75"}, {1000000000, "1"},   {2500000000, "2.5"}, {5000000000, "5"},
    {7500000000, "7.5"}, {10000000000, "10"},
};
static const struct bound count_bounds[] = {
    {1, "1"},   {2, "2"},     {4, "4"},     {8, "8"},     {16, "16"},     {32, "32"},
    {64, "64"}, {128, "128"}, {256, "256"}, {512, "512"}, {1024, "1024"},
};
#define COUNT_OF(array) (sizeof(array) / sizeof((array)[0]))

static const char *const type_names[] = {[CH_COUNTER] = "counter", [CH_GAUGE] = "gauge", [CH_HISTOGRAM] = "histogram"};

/** All series of one name. */
struct family {
    const struct ch_metric *metric;
    const struct bound *bounds;
    size_t bound_count;
    bool is_seconds;
    _Atomic(struct ch_series *) first;
    struct ch_series *last;
    _Atomic(struct family *) next;
};

struct ch_series {
    struct family *family;
    char *labels; // route="/x",status="200"
    uint64_t hash;
    _Atomic int64_t value; // of a histogram: the sum
    _Atomic int64_t buckets[BOUNDS_MAX + 1];
    _Atomic(struct ch_series *) next;
};

static struct {
    pthread_mutex_t lock;
    struct ch_series *table[TABLE_SIZE]; // open addressing
    size_t series_count;
    _Atomic(struct family *) first;
    struct family *last;
    struct {
        void (*fn)(void *arg);
        void *arg;
    } callbacks[CALLBACKS_MAX];
    size_t callback_count;
    _Atomic int64_t dropped;
} registry = {.lock = PTHREAD_MUTEX_INITIALIZER};

/** Takes what found no place; shown nowhere. */
static struct family overflow_family = {.bounds = second_bounds, .bound_count = COUNT_OF(second_bounds)};
static struct ch_series overflow = {.family = &overflow_family};

/* ---- labels ---- */

static char *put_escaped(char *to, const char *value)
{
    for (size_t i = 0; value && value[i] && i < VALUE_MAX; i++) {
        char c = value[i];
        if (c == '\\' || c == '"' || c == '\n')
            *to++ = '\\';
        *to++ = c == '\n' ? 'n' : c;
    }
    return to;
}

/** Names are the programmer's and short; values are cut, so the text fits. */
static size_t render_labels(const struct ch_metric *metric, const char *const *values, char ret_text[LABELS_MAX])
{
    char *to = ret_text;
    for (int i = 0; i < CH_METRIC_LABELS && metric->labels[i]; i++) {
        size_t len = strlen(metric->labels[i]);
        assert(len < LABELS_MAX / CH_METRIC_LABELS - 2 * VALUE_MAX - 4);
        if (i > 0)
            *to++ = ',';
        memcpy(to, metric->labels[i], len);
        to += len;
        *to++ = '=';
        *to++ = '"';
        to = put_escaped(to, values ? values[i] : NULL);
        *to++ = '"';
    }
    *to = '\0';
    return (size_t)(to - ret_text);
}

static uint64_t hash_of(const char *name, const char *labels) // FNV-1a
{
    uint64_t hash = 14695981039346656037u;
    for (const char *p = name; *p; p++)
        hash = (hash ^ (unsigned char)*p) * 1099511628211u;
    hash = (hash ^ '{') * 1099511628211u;
    for (const char *p = labels; *p; p++)
        hash = (hash ^ (unsigned char)*p) * 1099511628211u;
    return hash ^ hash >> 32;
}

/* ---- finding and making, under the lock ---- */

static bool ends_in_seconds(const char *name)
{
    static const char suffix[] = "_seconds";
    size_t len = strlen(name);
    return len >= sizeof(suffix) - 1 && strcmp(name + len - (sizeof(suffix) - 1), suffix) == 0;
}

static struct family *family_get(const struct ch_metric *metric)
{
    for (struct family *family = registry.first; family; family = family->next) {
        if (strcmp(family->metric->name, metric->name) == 0)
            return family->metric->type == metric->type ? family : NULL; // two meanings of one name: our bug
    }
    struct family *family = calloc(1, sizeof(*family));
    if (!family)
        return NULL;
    family->metric = metric;
    if (metric->type == CH_HISTOGRAM) {
        family->is_seconds = ends_in_seconds(metric->name);
        family->bounds = family->is_seconds ? second_bounds : count_bounds;
        family->bound_count = family->is_seconds ? COUNT_OF(second_bounds) : COUNT_OF(count_bounds);
    }
    if (registry.last)
        atomic_store_explicit(&registry.last->next, family, memory_order_release);
    else
        atomic_store_explicit(&registry.first, family, memory_order_release);
    registry.last = family;
    return family;
}

static struct ch_series *series_make(const struct ch_metric *metric, const char *labels, uint64_t hash)
{
    struct family *family = registry.series_count < SERIES_MAX ? family_get(metric) : NULL;
    struct ch_series *series = family ? calloc(1, sizeof(*series)) : NULL;
    if (!series)
        return NULL;
    series->labels = strdup(labels);
    if (!series->labels) {
        free(series);
        return NULL;
    }
    series->family = family;
    series->hash = hash;
    registry.series_count++;
    if (family->last)
        atomic_store_explicit(&family->last->next, series, memory_order_release);
    else
        atomic_store_explicit(&family->first, series, memory_order_release);
    family->last = series;
    return series;
}

struct ch_series *ch_series_get(const struct ch_metric *metric, const char *const *values)
{
    char labels[LABELS_MAX];
    size_t len = render_labels(metric, values, labels) + 1;
    uint64_t hash = hash_of(metric->name, labels);
    struct ch_series *found;

    pthread_mutex_lock(&registry.lock);
    size_t slot = hash % TABLE_SIZE;
    for (; (found = registry.table[slot]); slot = (slot + 1) % TABLE_SIZE) {
        const struct ch_metric *other = found->family->metric;
        if (found->hash == hash && other->type == metric->type && strcmp(other->name, metric->name) == 0 &&
            memcmp(found->labels, labels, len) == 0)
            break;
    }
    if (!found)
        found = registry.table[slot] = series_make(metric, labels, hash);
    pthread_mutex_unlock(&registry.lock);
    if (found)
        return found;
    atomic_fetch_add_explicit(&registry.dropped, 1, memory_order_relaxed);
    return &overflow;
}

/* ---- values: any thread ---- */

void ch_count(struct ch_series *series, int64_t n)
{
    atomic_fetch_add_explicit(&series->value, n, memory_order_relaxed);
}

void ch_gauge_set(struct ch_series *series, int64_t value)
{
    atomic_store_explicit(&series->value, value, memory_order_relaxed);
}

void ch_gauge_add(struct ch_series *series, int64_t n)
{
    atomic_fetch_add_explicit(&series->value, n, memory_order_relaxed);
}

void ch_observe(struct ch_series *series, int64_t value)
{
    const struct family *family = series->family;
    if (value < 0)
        value = 0;
    size_t i = 0;
    while (i < family->bound_count && value > family->bounds[i].at)
        i++;
    atomic_fetch_add_explicit(&series->buckets[i], 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&series->value, value, memory_order_relaxed);
}

void ch_observe_ns(struct ch_series *series, int64_t duration_ns)
{
    assert(series->family->is_seconds || series == &overflow);
    ch_observe(series, duration_ns);
}

void ch_metrics_on_scrape(void (*fn)(void *arg), void *arg)
{
    pthread_mutex_lock(&registry.lock);
    assert(registry.callback_count < CALLBACKS_MAX);
    if (registry.callback_count < CALLBACKS_MAX) {
        registry.callbacks[registry.callback_count].fn = fn;
        registry.callbacks[registry.callback_count++].arg = arg;
    }
    pthread_mutex_unlock(&registry.lock);
}

/* ---- text ---- */

/** Exact: nanoseconds with the point moved, no zeros behind. */
static void write_seconds(struct ch_buf *out, int64_t ns)
{
    char text[40];
    int len = snprintf(text, sizeof(text), "%s%lld.%09lld", ns < 0 ? "-" : "", llabs(ns / 1000000000),
                       llabs(ns % 1000000000));
    while (text[len - 1] == '0')
        len--;
    if (text[len - 1] == '.')
        len--;
    ch_buf_append(out, text, (size_t)len);
}

static void write_value(struct ch_buf *out, int64_t value, bool is_seconds)
{
    if (is_seconds)
        write_seconds(out, value);
    else
        ch_buf_append_int64(out, value);
    ch_buf_append_char(out, '\n');
}

static void write_head(struct ch_buf *out, const char *name, const char *help, enum ch_metric_type type)
{
    ch_buf_append_cstr(out, "# HELP ");
    ch_buf_append_cstr(out, name);
    ch_buf_append_char(out, ' ');
    for (const char *p = help ? help : ""; *p; p++) {
        if (*p == '\\' || *p == '\n')
            ch_buf_append_char(out, '\\');
        ch_buf_append_char(out, *p == '\n' ? 'n' : *p);
    }
    ch_buf_append_cstr(out, "\n# TYPE ");
    ch_buf_append_cstr(out, name);
    ch_buf_append_char(out, ' ');
    ch_buf_append_cstr(out, type_names[type]);
    ch_buf_append_char(out, '\n');
}

/** name_suffix{labels,le="…"} and a space. */
static void write_name(struct ch_buf *out, const struct ch_series *series, const char *suffix, const char *le)
{
    ch_buf_append_cstr(out, series->family->metric->name);
    ch_buf_append_cstr(out, suffix);
    if (*series->labels || le) {
        ch_buf_append_char(out, '{');
        ch_buf_append_cstr(out, series->labels);
        if (le) {
            ch_buf_append_cstr(out, *series->labels ? ",le=\"" : "le=\"");
            ch_buf_append_cstr(out, le);
            ch_buf_append_char(out, '"');
        }
        ch_buf_append_char(out, '}');
    }
    ch_buf_append_char(out, ' ');
}

/** _count is the sum of the buckets read here, so that it always equals the bucket +Inf. */
static void write_histogram(struct ch_buf *out, struct ch_series *series)
{
    const struct family *family = series->family;
    int64_t count = 0;
    for (size_t i = 0; i <= family->bound_count; i++) {
        count += atomic_load_explicit(&series->buckets[i], memory_order_relaxed);
        write_name(out, series, "_bucket", i < family->bound_count ? family->bounds[i].le : "+Inf");
        write_value(out, count, false);
    }
    write_name(out, series, "_sum", NULL);
    write_value(out, atomic_load_explicit(&series->value, memory_order_relaxed), family->is_seconds);
    write_name(out, series, "_count", NULL);
    write_value(out, count, false);
}

static void write_family(struct ch_buf *out, struct family *family)
{
    const struct ch_metric *metric = family->metric;
    struct ch_series *series = atomic_load_explicit(&family->first, memory_order_acquire);
    if (!series)
        return;
    write_head(out, metric->name, metric->help, metric->type);
    for (; series; series = atomic_load_explicit(&series->next, memory_order_acquire)) {
        if (metric->type == CH_HISTOGRAM) {
            write_histogram(out, series);
            continue;
        }
        write_name(out, series, "", NULL);
        write_value(out, atomic_load_explicit(&series->value, memory_order_relaxed), false);
    }
}

static int64_t series_dropped(void)
{
    return atomic_load_explicit(&registry.dropped, memory_order_relaxed);
}

/** What is asked of the kernel at each scrape. */
static const struct {
    const char *name;
    enum ch_metric_type type;
    bool is_seconds; // given in nanoseconds
    int64_t (*read)(void);
    const char *help;
} own_rows[] = {
    {"metric_series_dropped_total", CH_COUNTER, false, series_dropped, "Requests for series past the limit of 2000."},
    {"process_cpu_seconds_total", CH_COUNTER, true, process_cpu_ns, "User and system CPU time."},
    {"process_resident_memory_bytes", CH_GAUGE, false, process_resident_bytes, "Resident memory."},
    {"process_open_fds", CH_GAUGE, false, process_open_fds, "Open file descriptors."},
    {"process_max_fds", CH_GAUGE, false, process_max_fds, "Limit of open file descriptors."},
    {"process_start_time_seconds", CH_GAUGE, true, process_start_ns, "Start of the process, Unix time."},
};

static void write_own(struct ch_buf *out)
{
    for (size_t i = 0; i < COUNT_OF(own_rows); i++) {
        write_head(out, own_rows[i].name, own_rows[i].help, own_rows[i].type);
        ch_buf_append_cstr(out, own_rows[i].name);
        ch_buf_append_char(out, ' ');
        write_value(out, own_rows[i].read(), own_rows[i].is_seconds);
    }
    static const struct ch_metric build = {"build_info", CH_GAUGE, "Version and service.", {"version", "service"}};
    char labels[LABELS_MAX];
    const char *const values[] = {obs_identity()->version, obs_identity()->service};
    render_labels(&build, values, labels);
    write_head(out, build.name, build.help, build.type);
    ch_buf_printf(out, "build_info{%s} 1\n", labels);
}

void ch_metrics_write(struct ch_buf *out)
{
    pthread_mutex_lock(&registry.lock);
    size_t count = registry.callback_count; // rows below it never change
    pthread_mutex_unlock(&registry.lock);
    for (size_t i = 0; i < count; i++)
        registry.callbacks[i].fn(registry.callbacks[i].arg);
    for (struct family *family = atomic_load_explicit(&registry.first, memory_order_acquire); family;
         family = atomic_load_explicit(&family->next, memory_order_acquire))
        write_family(out, family);
    write_own(out);
}
