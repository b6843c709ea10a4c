// SPDX-License-Identifier: Apache-2.0
// OTLP/HTTP export of spans in JSON (opentelemetry-proto 1.x, "JSON Protobuf Encoding"), by libcurl's multi interface
// on the telemetry thread. One request in flight, at most 512 spans or the spans of one second. A failed batch is sent
// again with growing pauses while new spans gather in their bounded ring; after the last try it is dropped and counted.
// Never blocks, never follows redirects, never uses a proxy (the collector is a neighbour).

#include "obs_internal.h"

#include <curl/curl.h>
#include <stdio.h>

#define SECOND_NS    ((int64_t)1000 * 1000 * 1000)
#define TIMEOUT_MS   2000L
#define TRIES_MAX    5
#define PAUSE_MAX_NS (30 * SECOND_NS)
#define BODY_SOFT_MAX                                                                                                  \
    ((size_t)2 * 1024 * 1024) // a batch ends before it; one span is far smaller than the rest up to BODY_MAX
#define BODY_MAX ((size_t)2 * 1024 * 1024 + 64 * 1024)

static struct {
    CURLM *multi;
    CURL *easy;
    struct curl_slist *headers;
    struct ch_buf body;
    size_t batch; // spans in `body`, not yet delivered; 0: no batch
    bool is_flying;
    int tries;
    int64_t next_try_ns, batch_due_ns;
} otlp;

static const struct ch_metric exports_metric = {
    "otlp_exports_total", CH_COUNTER, "Requests to the trace collector, by outcome.", {"outcome"}};
static const char *const outcome_ok[] = {"ok"}, *const outcome_failed[] = {"failed"};
static struct ch_series *exports_ok, *exports_failed;

/* ---- encoding ---- */

static const int kind_codes[] = {
    [CH_SPAN_INTERNAL] = 1, [CH_SPAN_SERVER] = 2, [CH_SPAN_CLIENT] = 3, [CH_SPAN_PRODUCER] = 4, [CH_SPAN_CONSUMER] = 5};

static void write_str_attr(struct ch_jw *jw, const char *key, struct ch_str value)
{
    ch_jw_object(jw);
    ch_jw_kcstr(jw, "key", key);
    ch_jw_key(jw, "value");
    ch_jw_object(jw);
    ch_jw_kstr(jw, "stringValue", value);
    ch_jw_object_end(jw);
    ch_jw_object_end(jw);
}

/** 64-bit integers are decimal strings in protobuf's JSON. */
static void write_int64_text(struct ch_jw *jw, const char *key, int64_t value)
{
    char text[24];
    (void)snprintf(text, sizeof(text), "%lld", (long long)value);
    ch_jw_kcstr(jw, key, text);
}

static void write_attr(struct ch_jw *jw, const struct ch_log_field *attr)
{
    char text[CH_UUID_TEXT];
    if (attr->kind == CH_LOG_STR) {
        write_str_attr(jw, attr->name, attr->str);
        return;
    }
    if (attr->kind == CH_LOG_UUID) {
        ch_uuid_format(attr->uuid, text);
        write_str_attr(jw, attr->name, ch_str_of(text));
        return;
    }
    ch_jw_object(jw);
    ch_jw_kcstr(jw, "key", attr->name);
    ch_jw_key(jw, "value");
    ch_jw_object(jw);
    if (attr->kind == CH_LOG_INT)
        write_int64_text(jw, "intValue", attr->number);
    else if (attr->kind == CH_LOG_BOOL)
        ch_jw_kbool(jw, "boolValue", attr->number != 0);
    ch_jw_object_end(jw);
    ch_jw_object_end(jw);
}

/** A server's span fails only by the server's fault (OpenTelemetry, HTTP spans, "Status"). */
static bool is_failure(const struct obs_span *span)
{
    return span->err != CH_OK && (span->kind != CH_SPAN_SERVER || ch_err_row(span->err)->http_status >= 500);
}

static void write_id(struct ch_jw *jw, const char *key, const uint8_t *id, size_t len)
{
    char text[33];
    ch_hex_encode(id, len, text);
    ch_jw_kcstr(jw, key, text);
}

static void write_span(struct ch_jw *jw, const struct obs_span *span)
{
    static const uint8_t none[8];
    int64_t start_ns = span->start_wall_us * 1000;
    ch_jw_object(jw);
    write_id(jw, "traceId", span->trace_id, 16);
    write_id(jw, "spanId", span->span_id, 8);
    if (memcmp(span->parent_id, none, sizeof(none)) != 0)
        write_id(jw, "parentSpanId", span->parent_id, 8);
    ch_jw_kcstr(jw, "name", span->name);
    ch_jw_kint(jw, "kind", kind_codes[span->kind]);
    write_int64_text(jw, "startTimeUnixNano", start_ns);
    write_int64_text(jw, "endTimeUnixNano", start_ns + span->duration_ns);
    ch_jw_key(jw, "attributes");
    ch_jw_array(jw);
    for (int i = 0; i < span->attr_count; i++)
        write_attr(jw, &span->attrs[i]);
    if (span->err)
        write_str_attr(jw, "error.type", ch_str_of(ch_err_row(span->err)->code));
    ch_jw_array_end(jw);
    ch_jw_key(jw, "status");
    ch_jw_object(jw);
    if (is_failure(span)) {
        ch_jw_kint(jw, "code", 2);
        ch_jw_kcstr(jw, "message", ch_err_row(span->err)->code);
    }
    ch_jw_object_end(jw);
    ch_jw_object_end(jw);
}

static void write_resource(struct ch_jw *jw)
{
    const struct obs_identity *self = obs_identity();
    ch_jw_key(jw, "resource");
    ch_jw_object(jw);
    ch_jw_key(jw, "attributes");
    ch_jw_array(jw);
    write_str_attr(jw, "service.name", ch_str_of(self->service));
    write_str_attr(jw, "service.version", ch_str_of(self->version));
    write_str_attr(jw, "service.instance.id", ch_str_of(self->instance));
    ch_jw_array_end(jw);
    ch_jw_object_end(jw);
}

/** Takes the next spans off the ring into `body`. */
static void encode_batch(size_t waiting)
{
    struct ch_jw jw;
    size_t max = waiting < OBS_BATCH_SPANS ? waiting : OBS_BATCH_SPANS, taken = 0;
    ch_buf_reset(&otlp.body);
    ch_jw_init(&jw, &otlp.body);
    ch_jw_object(&jw);
    ch_jw_key(&jw, "resourceSpans");
    ch_jw_array(&jw);
    ch_jw_object(&jw);
    write_resource(&jw);
    ch_jw_key(&jw, "scopeSpans");
    ch_jw_array(&jw);
    ch_jw_object(&jw);
    ch_jw_key(&jw, "scope");
    ch_jw_object(&jw);
    ch_jw_kcstr(&jw, "name", "gwasuwon.chassis");
    ch_jw_object_end(&jw);
    ch_jw_key(&jw, "spans");
    ch_jw_array(&jw);
    while (taken < max && otlp.body.len < BODY_SOFT_MAX)
        write_span(&jw, obs_span_peek(taken++));
    ch_jw_array_end(&jw);
    ch_jw_object_end(&jw);
    ch_jw_array_end(&jw);
    ch_jw_object_end(&jw);
    ch_jw_array_end(&jw);
    ch_jw_object_end(&jw);
    obs_spans_release(taken);
    otlp.batch = taken;
    otlp.tries = 0;
    otlp.next_try_ns = 0;
}

/* ---- sending ---- */

static void drop_batch(void)
{
    obs_dropped(OBS_DROP_SPAN, (int64_t)otlp.batch);
    otlp.batch = 0;
}

static void fly(void)
{
    curl_easy_setopt(otlp.easy, CURLOPT_POSTFIELDS, otlp.body.data);
    curl_easy_setopt(otlp.easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)otlp.body.len);
    otlp.is_flying = curl_multi_add_handle(otlp.multi, otlp.easy) == CURLM_OK;
    if (!otlp.is_flying)
        drop_batch();
}

/** Statuses after which the specification lets a client try again (OTLP/HTTP, "Retryable Response Codes"). */
static bool is_retryable(CURLcode result, long status)
{
    return result != CURLE_OK || status == 429 || status == 502 || status == 503 || status == 504;
}

static void settle(CURLcode result, int64_t now_ns, bool is_stopping)
{
    long status = 0;
    curl_easy_getinfo(otlp.easy, CURLINFO_RESPONSE_CODE, &status);
    curl_multi_remove_handle(otlp.multi, otlp.easy);
    otlp.is_flying = false;
    if (result == CURLE_OK && status >= 200 && status < 300) {
        ch_count(exports_ok, 1);
        otlp.batch = 0;
        return;
    }
    ch_count(exports_failed, 1);
    otlp.tries++;
    if (is_stopping) {
        otlp_give_up(); // no time to be patient
        return;
    }
    if (!is_retryable(result, status) || otlp.tries == TRIES_MAX) {
        drop_batch();
        otlp.batch_due_ns = now_ns + SECOND_NS;
        return;
    }
    int64_t pause_ns = SECOND_NS << (otlp.tries - 1);
    otlp.next_try_ns = now_ns + (pause_ns < PAUSE_MAX_NS ? pause_ns : PAUSE_MAX_NS);
}

static void drive(int64_t now_ns, bool is_stopping)
{
    int running, left;
    curl_multi_perform(otlp.multi, &running);
    for (CURLMsg *message; (message = curl_multi_info_read(otlp.multi, &left));) {
        if (message->msg == CURLMSG_DONE)
            settle(message->data.result, now_ns, is_stopping);
    }
}

/** Encodes when 512 spans wait or the oldest waited a second. */
static void gather(int64_t now_ns, bool is_stopping)
{
    size_t waiting = obs_spans_waiting();
    if (waiting == 0) {
        otlp.batch_due_ns = 0;
        return;
    }
    if (otlp.batch_due_ns == 0)
        otlp.batch_due_ns = now_ns + SECOND_NS;
    if (is_stopping || waiting >= OBS_BATCH_SPANS || now_ns >= otlp.batch_due_ns) {
        encode_batch(waiting);
        otlp.batch_due_ns = 0;
    }
}

int64_t otlp_step(int64_t now_ns, bool is_stopping)
{
    if (!otlp.multi)
        return INT64_MAX;
    if (otlp.is_flying)
        drive(now_ns, is_stopping);
    if (otlp.batch == 0)
        gather(now_ns, is_stopping);
    if (otlp.batch && !otlp.is_flying && (is_stopping || now_ns >= otlp.next_try_ns)) {
        fly();
        drive(now_ns, is_stopping);
    }
    if (otlp.is_flying)
        return INT64_MAX; // curl_multi_poll knows
    if (otlp.batch)
        return otlp.next_try_ns;
    return otlp.batch_due_ns ? otlp.batch_due_ns : obs_spans_waiting() ? now_ns : INT64_MAX;
}

bool otlp_is_idle(void)
{
    return !otlp.multi || (!otlp.is_flying && otlp.batch == 0 && obs_spans_waiting() == 0);
}

void otlp_give_up(void)
{
    if (!otlp.multi)
        return;
    if (otlp.is_flying)
        curl_multi_remove_handle(otlp.multi, otlp.easy);
    otlp.is_flying = false;
    if (otlp.batch)
        drop_batch();
    size_t waiting = obs_spans_waiting();
    if (waiting) {
        obs_spans_release(waiting);
        obs_dropped(OBS_DROP_SPAN, (int64_t)waiting);
    }
}

void otlp_poll(struct pollfd *fds, unsigned count, int timeout_ms)
{
    if (!otlp.multi) {
        (void)poll(fds, count, timeout_ms); // the caller looks at what is ready, if anything
        return;
    }
    struct curl_waitfd waits[4];
    for (unsigned i = 0; i < count; i++) {
        short events = fds[i].events & POLLOUT ? CURL_WAIT_POLLOUT : CURL_WAIT_POLLIN;
        waits[i] = (struct curl_waitfd){.fd = fds[i].fd, .events = events};
    }
    curl_multi_poll(otlp.multi, waits, count, timeout_ms, NULL);
    for (unsigned i = 0; i < count; i++)
        fds[i].revents = waits[i].revents & (CURL_WAIT_POLLIN | CURL_WAIT_POLLOUT) ? fds[i].events : 0;
}

/* ---- open and close ---- */

static size_t ignore_body(char *data, size_t size, size_t count, void *arg)
{
    (void)data;
    (void)arg;
    return size * count;
}

static void set_up_easy(const char *url)
{
    otlp.headers = curl_slist_append(otlp.headers, "Content-Type: application/json");
    otlp.headers = curl_slist_append(otlp.headers, "Expect:");
    curl_easy_setopt(otlp.easy, CURLOPT_URL, url);
    curl_easy_setopt(otlp.easy, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(otlp.easy, CURLOPT_PROXY, "");
    curl_easy_setopt(otlp.easy, CURLOPT_POST, 1L);
    curl_easy_setopt(otlp.easy, CURLOPT_HTTPHEADER, otlp.headers);
    curl_easy_setopt(otlp.easy, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(otlp.easy, CURLOPT_TIMEOUT_MS, TIMEOUT_MS);
    curl_easy_setopt(otlp.easy, CURLOPT_QUICK_EXIT, 1L); // do not wait for a resolver that hangs
    curl_easy_setopt(otlp.easy, CURLOPT_WRITEFUNCTION, ignore_body);
}

enum ch_err otlp_open(const char *endpoint)
{
    char url[512];
    if (!endpoint || !*endpoint)
        return CH_OK;
    size_t len = strlen(endpoint);
    while (len > 0 && endpoint[len - 1] == '/')
        len--;
    if (strncmp(endpoint, "http://", 7) != 0 && strncmp(endpoint, "https://", 8) != 0)
        return CH_ERR_INVALID;
    if ((size_t)snprintf(url, sizeof(url), "%.*s/v1/traces", (int)len, endpoint) >= sizeof(url))
        return CH_ERR_INVALID;
    if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
        return CH_ERR_NO_MEMORY;
    otlp.multi = curl_multi_init();
    otlp.easy = curl_easy_init();
    if (!otlp.multi || !otlp.easy) {
        otlp_close();
        return CH_ERR_NO_MEMORY;
    }
    ch_buf_init(&otlp.body, BODY_MAX);
    set_up_easy(url);
    exports_ok = ch_series_get(&exports_metric, outcome_ok);
    exports_failed = ch_series_get(&exports_metric, outcome_failed);
    return CH_OK;
}

void otlp_close(void)
{
    bool was_open = otlp.multi || otlp.easy;
    curl_easy_cleanup(otlp.easy);
    curl_multi_cleanup(otlp.multi);
    curl_slist_free_all(otlp.headers);
    ch_buf_release(&otlp.body);
    memset(&otlp, 0, sizeof(otlp));
    if (was_open)
        curl_global_cleanup();
}

bool otlp_is_on(void)
{
    return otlp.multi != NULL;
}
