// SPDX-License-Identifier: Apache-2.0
/**
 * @file obs.h
 * @brief Logs, metrics and traces. Never blocks a loop: each hands a bounded queue to one telemetry thread and counts
 * what it drops.
 *
 * No personal data, token or secret may be passed to anything here.
 */
#ifndef CH_OBS_H
#define CH_OBS_H

#include "ch/base.h"

/** Who observes what; copied. */
struct ch_obs_options {
    const char *service; /**< service.name */
    const char *version;
    const char *instance;      /**< service.instance.id */
    const char *otlp_endpoint; /**< "http://host:4318"; NULL or "": spans are not exported */
    double sample_ratio;       /**< of traces that start here; a sampled parent is always followed */
};
CH_MUST_CHECK enum ch_err
ch_obs_start(const struct ch_obs_options *options); /**< starts the telemetry thread; once per process */
void ch_obs_stop(int64_t deadline_ns);              /**< flushes logs and spans, joins */

/* ---- logs: one JSON object a line on stdout --------------------------------------------------------------------- */

enum ch_log_level { CH_LOG_ERROR, CH_LOG_WARN, CH_LOG_INFO, CH_LOG_DEBUG, CH_LOG_LEVELS };
void ch_log_set_level(enum ch_log_level level); /**< any thread, at run time */
enum ch_log_level ch_log_level(void);
CH_MUST_CHECK enum ch_err ch_log_level_parse(struct ch_str name, enum ch_log_level *ret_level);
const char *ch_log_level_name(enum ch_log_level level);

enum ch_log_kind { CH_LOG_END, CH_LOG_STR, CH_LOG_INT, CH_LOG_BOOL, CH_LOG_UUID };
/** One member of a log line or attribute of a span; made by the macros below. */
struct ch_log_field {
    const char *name;
    enum ch_log_kind kind;
    struct ch_str str;
    int64_t number;
    struct ch_uuid uuid;
};
#define CH_LS(name_, cstr_)  ((struct ch_log_field){.name = (name_), .kind = CH_LOG_STR, .str = ch_str_of(cstr_)})
#define CH_LSTR(name_, str_) ((struct ch_log_field){.name = (name_), .kind = CH_LOG_STR, .str = (str_)})
#define CH_LI(name_, int_)   ((struct ch_log_field){.name = (name_), .kind = CH_LOG_INT, .number = (int_)})
#define CH_LB(name_, bool_)  ((struct ch_log_field){.name = (name_), .kind = CH_LOG_BOOL, .number = (bool_)})
#define CH_LU(name_, uuid_)  ((struct ch_log_field){.name = (name_), .kind = CH_LOG_UUID, .uuid = (uuid_)})

struct ch_trace;
/** Writes {"time","level","service","event","trace_id","span_id",fields...}. `trace` may be NULL. `fields` end with
 * kind CH_LOG_END. */
void ch_log_write(enum ch_log_level level, const struct ch_trace *trace, const char *event,
                  const struct ch_log_field *fields);
/** ch_log(CH_LOG_INFO, trace, "order.placed", CH_LU("order_id", id), CH_LI("lines", n)); fields are evaluated only when
 * the level is on. */
#define ch_log(level_, trace_, event_, ...)                                                                            \
    do {                                                                                                               \
        if ((level_) <= ch_log_level())                                                                                \
            ch_log_write((level_), (trace_), (event_),                                                                 \
                         (const struct ch_log_field[]){__VA_ARGS__ __VA_OPT__(, ){.name = NULL}});                     \
    } while (0)

/* ---- metrics: OpenTelemetry names, Prometheus text 0.0.4 on the admin port ----------------------------------------
 */

enum ch_metric_type { CH_COUNTER = 1, CH_GAUGE, CH_HISTOGRAM };
#define CH_METRIC_LABELS 4

/** One row a metric. `labels`: names, NULL-terminated; values come from small closed sets. A histogram whose name ends
 * in "_seconds" has buckets of time and is fed nanoseconds by ch_observe_ns; any other one has buckets of counts and is
 * fed by ch_observe. */
struct ch_metric {
    const char *name; /**< "http_server_request_duration_seconds" */
    enum ch_metric_type type;
    const char *help;
    const char *labels[CH_METRIC_LABELS + 1];
};

struct ch_series; /**< one metric with its label values; lives as long as the process */

/** Finds or creates the series; `values` are copied. Locks: look it up once and keep the pointer. Never NULL: past the
 * limit of 2,000 series it returns a shared overflow series and counts metric_series_dropped_total. */
struct ch_series *ch_series_get(const struct ch_metric *metric, const char *const *values);
void ch_count(struct ch_series *series, int64_t n);         /**< any thread */
void ch_gauge_set(struct ch_series *series, int64_t value); /**< any thread */
void ch_gauge_add(struct ch_series *series, int64_t n);     /**< any thread */
void ch_observe_ns(
    struct ch_series *series,
    int64_t duration_ns); /**< histogram in seconds; OTel's buckets 5 ms .. 10 s, and 0.5, 1, 2.5 ms below */
void ch_observe(struct ch_series *series,
                int64_t value); /**< histogram of counts (batch sizes): buckets 1, 2, 4 .. 1024 */
/** Called before each scrape to set pulled gauges; at most 32 callbacks. */
void ch_metrics_on_scrape(void (*fn)(void *arg), void *arg);
void ch_metrics_write(struct ch_buf *out); /**< also process_* (RSS, CPU, fds) and build_info */

/* ---- traces: W3C trace context, OTLP/HTTP JSON --------------------------------------------------------------------
 */

/** Where in a trace the work stands (W3C trace context). */
struct ch_trace {
    uint8_t trace_id[16];
    uint8_t span_id[8]; /**< of the current span */
    bool is_sampled;
};
#define CH_TRACEPARENT_TEXT 56
/** Continues `traceparent` (W3C) or, when it is empty or malformed, starts a new trace with the configured ratio.
 * span_id becomes the parent's or zero. */
void ch_trace_start(struct ch_trace *ret_trace, struct ch_str traceparent);
/** `traceparent` itself when it is one of version 00 as W3C wants it, else an empty string: for what is stored and sent
 * on as it came. */
struct ch_str ch_traceparent_check(struct ch_str traceparent);
void ch_trace_format(const struct ch_trace *trace, char ret_text[CH_TRACEPARENT_TEXT]);
void ch_trace_id_text(const struct ch_trace *trace, char ret_text[33]);

enum ch_span_kind { CH_SPAN_INTERNAL = 1, CH_SPAN_SERVER, CH_SPAN_CLIENT, CH_SPAN_PRODUCER, CH_SPAN_CONSUMER };
#define CH_SPAN_ATTRS 8

/** Lives where the work lives (a fiber's stack). Names and keys are literals; string values are copied when the span
 * ends. */
struct ch_span {
    struct ch_trace *trace; /**< its span_id is this span until the end */
    uint8_t span_id[8], parent_id[8];
    const char *name;
    enum ch_span_kind kind;
    int64_t start_wall_us, start_ns;
    struct ch_log_field attrs[CH_SPAN_ATTRS];
    int attr_count;
};
void ch_span_start(struct ch_span *span, struct ch_trace *trace, enum ch_span_kind kind, const char *name);
void ch_span_attr(struct ch_span *span, struct ch_log_field attr); /**< more than CH_SPAN_ATTRS are dropped */
void ch_span_end(struct ch_span *span,
                 enum ch_err err); /**< gives the trace its parent span back; queues for export when sampled */

/* ---- what a piece of work carries ----------------------------------------------------------------------------------
 */

#include "ch/json.h"

struct ch_loop;
struct ch_fiber;
struct ch_pg;
struct ch_identity;

/** The operation in progress: a REST request, a gRPC call, an event, a job. Everything that waits takes it: so the
 * deadline, the caller's identity and the trace travel by themselves. Owned by whoever started the work; one fiber at a
 * time. */
struct ch_ctx {
    struct ch_loop *loop;
    struct ch_arena *arena;
    struct ch_pg *pg; /**< this loop's pool; NULL in a program without a database */
    int64_t deadline_ns;
    const struct ch_identity *identity; /**< who asks; NULL: anonymous */
    struct ch_trace trace;
    struct ch_faults faults; /**< what is wrong with the input, named */
    const char *detail;      /**< sentence for the caller, arena or literal; NULL: the error's title */
    const char
        *constraint;  /**< name of the database constraint that the last failed statement violated; NULL if none */
    const char *step; /**< literal; what it does now, for the list of work in flight */
    const char *name; /**< route or method or event: literal */
    int64_t start_ns;
    struct ch_span *span;        /**< of the whole piece of work, for attributes; NULL: none */
    struct ch_fiber *fiber;      /**< runs it; the end of a drain cancels it */
    struct ch_ctx *next, **prev; /**< the loop's list of work in flight */
};

/** Adds a fault (pointer/code/detail, NULL pointer: none) and returns `err`: `return ch_fail(ctx, CH_ERR_INVALID,
 * "/phone", "format", "…");` */
CH_MUST_CHECK enum ch_err ch_fail(struct ch_ctx *ctx, enum ch_err err, const char *pointer, const char *code,
                                  const char *detail_format, ...) __attribute__((format(printf, 5, 6)));
/** An id as a message carries it: CH_ERR_INVALID with a fault at `pointer` when the text is none. */
CH_MUST_CHECK enum ch_err ch_check_uuid(struct ch_ctx *ctx, const char *pointer, const char *text,
                                        struct ch_uuid *ret_uuid);

#endif
