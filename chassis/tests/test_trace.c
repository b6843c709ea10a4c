// SPDX-License-Identifier: Apache-2.0
// Traces: traceparent by the letter of W3C, spans nested and exported as OTLP/HTTP JSON to a small collector in this
// file whose every field is checked; a collector that fails or hangs costs spans that are counted and nothing else.
//

#include "collector.h"

static void start(const struct collector *collector, double ratio)
{
    char endpoint[64] = "";
    if (collector)
        (void)snprintf(endpoint, sizeof(endpoint), "http://127.0.0.1:%d/", collector->port);
    const struct ch_obs_options options = {.service = "order-manager",
                                           .version = "1.2.3",
                                           .instance = "i-1",
                                           .otlp_endpoint = endpoint,
                                           .sample_ratio = ratio};
    assert_int_equal(ch_obs_start(&options), CH_OK);
}

static void stop_in(int64_t ms)
{
    ch_obs_stop(ch_now_ns() + ms * 1000000);
}

static int64_t sample(const char *series)
{
    struct ch_buf text;
    char row[128];
    ch_buf_init(&text, 4 * 1024 * 1024);
    ch_metrics_write(&text);
    ch_buf_append_char(&text, '\0');
    (void)snprintf(row, sizeof(row), "\n%s ", series);
    const char *at = strstr(text.data, row);
    int64_t value = at ? atoll(at + strlen(row)) : 0;
    ch_buf_release(&text);
    return value;
}

static int64_t dropped_spans(void)
{
    return sample("telemetry_dropped_total{kind=\"span\"}");
}

/* ---- the content of a body ---- */

static const json_t *at_path(const json_t *json, const char *path)
{
    char copy[128], *rest = copy;
    (void)snprintf(copy, sizeof(copy), "%s", path);
    for (char *key; json && (key = strsep(&rest, "/"));)
        json = *key >= '0' && *key <= '9' ? json_array_get(json, strtoul(key, NULL, 10)) : json_object_get(json, key);
    return json;
}

static const json_t *spans_of(const json_t *body)
{
    const json_t *spans = at_path(body, "resourceSpans/0/scopeSpans/0/spans");
    assert_non_null(spans);
    return spans;
}

static const json_t *span_named(const json_t *body, const char *name)
{
    const json_t *spans = spans_of(body), *span;
    size_t i;
    json_array_foreach((json_t *)spans, i, span)
    {
        if (strcmp(json_string_value(json_object_get(span, "name")), name) == 0)
            return span;
    }
    fail_msg("no span %s", name);
    return NULL;
}

/** The attribute's value object, which must hold exactly the one key `type`. */
static const json_t *attr_of(const json_t *owner, const char *key, const char *type)
{
    const json_t *attr;
    size_t i;
    json_array_foreach(json_object_get(owner, "attributes"), i, attr)
    {
        if (strcmp(json_string_value(json_object_get(attr, "key")), key) == 0) {
            const json_t *value = json_object_get(attr, "value");
            assert_int_equal(json_object_size(value), 1);
            assert_non_null(json_object_get(value, type));
            return json_object_get(value, type);
        }
    }
    fail_msg("no attribute %s", key);
    return NULL;
}

static const char *text_at(const json_t *json, const char *path)
{
    const char *text = json_string_value(at_path(json, path));
    if (!text)
        fail_msg("no text %s", path);
    return text;
}

/* ---- traceparent ---- */

#define TRACE_ID "4bf92f3577b34da6a3ce929d0e0e4736"
#define SPAN_ID  "00f067aa0ba902b7"

static void test_trace__reads_traceparent_strictly(void **state)
{
    (void)state;
    static const struct {
        const char *name, *in;
        bool is_taken, is_sampled;
    } cases[] = {
        {"sampled", "00-" TRACE_ID "-" SPAN_ID "-01", true, true},
        {"not sampled", "00-" TRACE_ID "-" SPAN_ID "-00", true, false},
        {"unknown flags", "00-" TRACE_ID "-" SPAN_ID "-fe", true, false},
        {"unknown flags and sampled", "00-" TRACE_ID "-" SPAN_ID "-03", true, true},
        {"later version", "cc-" TRACE_ID "-" SPAN_ID "-01", true, true},
        {"later version, more fields", "cc-" TRACE_ID "-" SPAN_ID "-01-what", true, true},
        {"later version, glued", "cc-" TRACE_ID "-" SPAN_ID "-01what", false, false},
        {"version 00 with more", "00-" TRACE_ID "-" SPAN_ID "-01-what", false, false},
        {"version ff", "ff-" TRACE_ID "-" SPAN_ID "-01", false, false},
        {"zero trace id", "00-00000000000000000000000000000000-" SPAN_ID "-01", false, false},
        {"zero span id", "00-" TRACE_ID "-0000000000000000-01", false, false},
        {"upper case id", "00-4BF92F3577b34da6a3ce929d0e0e4736-" SPAN_ID "-01", false, false},
        {"upper case span id", "00-" TRACE_ID "-00F067aa0ba902b7-01", false, false},
        {"upper case flags", "00-" TRACE_ID "-" SPAN_ID "-0A", false, false},
        {"not hex", "00-" TRACE_ID "-00g067aa0ba902b7-01", false, false},
        {"wrong dash", "00-" TRACE_ID "_" SPAN_ID "-01", false, false},
        {"short", "00-" TRACE_ID "-" SPAN_ID "-0", false, false},
        {"space in front", " 00-" TRACE_ID "-" SPAN_ID "-01", false, false},
        {"space behind", "00-" TRACE_ID "-" SPAN_ID "-01 ", false, false},
        {"empty", "", false, false},
        {"absent", NULL, false, false},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct ch_trace trace;
        char id[33], text[CH_TRACEPARENT_TEXT];
        memset(&trace, 0xee, sizeof(trace));
        ch_trace_start(&trace, ch_str_of(cases[i].in));
        ch_trace_id_text(&trace, id);
        bool is_taken = strcmp(id, TRACE_ID) == 0;
        if (is_taken != cases[i].is_taken || trace.is_sampled != cases[i].is_sampled)
            fail_msg("%s: taken %d, sampled %d", cases[i].name, is_taken, trace.is_sampled);
        ch_trace_format(&trace, text);
        assert_int_equal(strlen(text), CH_TRACEPARENT_TEXT - 1);
        struct ch_trace again; // what we write, we read
        ch_trace_start(&again, ch_str_of(text));
        assert_memory_equal(again.trace_id, trace.trace_id, 16);
        assert_int_equal(again.is_sampled, trace.is_sampled);
        if (is_taken)
            assert_memory_equal(text + 36, SPAN_ID, 16);
    }
}

static void test_trace__samples_by_ratio(void **state)
{
    (void)state;
    static const struct {
        double ratio;
        int least, most;
    } cases[] = {{0, 0, 0}, {0.25, 2200, 2800}, {1, 10000, 10000}};
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        int sampled = 0;
        start(NULL, cases[i].ratio);
        for (int n = 0; n < 10000; n++) {
            struct ch_trace trace;
            ch_trace_start(&trace, (struct ch_str){0});
            sampled += trace.is_sampled;
            // Deterministic: the low 8 bytes decide, as in any other process with this ratio.
            uint64_t low = 0;
            for (int b = 8; b < 16; b++)
                low = low << 8 | trace.trace_id[b];
            assert_int_equal(trace.is_sampled, (double)(low >> 11) / 9007199254740992.0 < cases[i].ratio);
        }
        stop_in(1000);
        assert_in_range(sampled, cases[i].least, cases[i].most);
    }
}

/* ---- spans ---- */

static void test_span__nests_and_gives_the_parent_back(void **state)
{
    (void)state;
    static const uint8_t none[8];
    struct ch_trace trace;
    struct ch_span outer, inner;
    ch_trace_start(&trace, (struct ch_str){0});
    assert_memory_equal(trace.span_id, none, 8);
    ch_span_start(&outer, &trace, CH_SPAN_SERVER, "outer");
    assert_memory_not_equal(trace.span_id, none, 8);
    assert_memory_equal(trace.span_id, outer.span_id, 8);
    ch_span_start(&inner, &trace, CH_SPAN_CLIENT, "inner");
    assert_memory_equal(inner.parent_id, outer.span_id, 8);
    assert_memory_equal(trace.span_id, inner.span_id, 8);
    for (int i = 0; i < 20; i++)
        ch_span_attr(&inner, CH_LI("n", i));
    ch_span_end(&inner, CH_OK);
    assert_memory_equal(trace.span_id, outer.span_id, 8);
    ch_span_end(&outer, CH_ERR_INTERNAL);
    assert_memory_equal(trace.span_id, none, 8);
}

static void check_resource(const json_t *body)
{
    const json_t *resource = at_path(body, "resourceSpans/0/resource");
    assert_string_equal(json_string_value(attr_of(resource, "service.name", "stringValue")), "order-manager");
    assert_string_equal(json_string_value(attr_of(resource, "service.version", "stringValue")), "1.2.3");
    assert_string_equal(json_string_value(attr_of(resource, "service.instance.id", "stringValue")), "i-1");
    assert_string_equal(text_at(body, "resourceSpans/0/scopeSpans/0/scope/name"), "gwasuwon.chassis");
}

static void check_times(const json_t *span, int64_t before_us, int64_t after_us)
{
    int64_t start_ns = atoll(text_at(span, "startTimeUnixNano")), end_ns = atoll(text_at(span, "endTimeUnixNano"));
    assert_true(start_ns >= before_us * 1000 && start_ns <= after_us * 1000);
    assert_true(end_ns >= start_ns && end_ns <= after_us * 1000 + 1000000);
}

static void test_span__is_exported_field_by_field(void **state)
{
    (void)state;
    struct collector collector = {0};
    struct ch_trace trace;
    struct ch_span server, client;
    struct ch_uuid id;
    char span_id[17];
    assert_int_equal(ch_uuid_parse(CH_STR("018f0000-0000-7000-8000-0000000000b1"), &id), CH_OK);
    collector_start(&collector);
    start(&collector, 0);
    int64_t before_us = ch_wall_us(), dropped = dropped_spans();
    ch_trace_start(&trace, CH_STR("00-" TRACE_ID "-" SPAN_ID "-01"));
    ch_span_start(&server, &trace, CH_SPAN_SERVER, "POST /api/v1/orders");
    ch_span_attr(&server, CH_LI("http.response.status_code", 409));
    ch_span_start(&client, &trace, CH_SPAN_CLIENT, "catalog.v1.CatalogService/Reserve");
    char text[] = "사과 \"\xff\"";
    ch_span_attr(&client, CH_LS("text", text));
    ch_span_attr(&client, CH_LI("least", INT64_MIN));
    ch_span_attr(&client, CH_LB("is_new", true));
    ch_span_attr(&client, CH_LU("order_id", id));
    ch_span_end(&client, CH_ERR_STOCK_SHORT);
    memset(text, 'z', sizeof(text) - 1); // it was copied
    ch_span_end(&server, CH_ERR_STOCK_SHORT);
    int64_t after_us = ch_wall_us();
    collector_wait(&collector, 1); // by itself, within a second
    stop_in(1000);

    const json_t *body = collector.bodies[0];
    assert_non_null(body);
    assert_non_null(strstr(collector.head, "POST /v1/traces HTTP/1.1\r\n"));
    assert_non_null(strcasestr(collector.head, "\r\nContent-Type: application/json\r\n"));
    check_resource(body);
    assert_int_equal(json_array_size(spans_of(body)), 2);

    const json_t *span = span_named(body, "POST /api/v1/orders");
    ch_hex_encode(server.span_id, 8, span_id);
    assert_string_equal(text_at(span, "traceId"), TRACE_ID);
    assert_string_equal(text_at(span, "spanId"), span_id);
    assert_string_equal(text_at(span, "parentSpanId"), SPAN_ID);
    assert_int_equal(json_integer_value(at_path(span, "kind")), 2);
    check_times(span, before_us, after_us);
    assert_string_equal(json_string_value(attr_of(span, "http.response.status_code", "intValue")), "409");
    assert_string_equal(json_string_value(attr_of(span, "error.type", "stringValue")), "stock_short");
    assert_int_equal(json_object_size(at_path(span, "status")), 0); // the caller's fault: unset

    span = span_named(body, "catalog.v1.CatalogService/Reserve");
    assert_string_equal(text_at(span, "parentSpanId"), span_id);
    assert_int_equal(json_integer_value(at_path(span, "kind")), 3);
    check_times(span, before_us, after_us);
    assert_string_equal(json_string_value(attr_of(span, "text", "stringValue")), "사과 \"?\"");
    assert_string_equal(json_string_value(attr_of(span, "least", "intValue")), "-9223372036854775808");
    assert_true(json_is_true(attr_of(span, "is_new", "boolValue")));
    assert_string_equal(json_string_value(attr_of(span, "order_id", "stringValue")),
                        "018f0000-0000-7000-8000-0000000000b1");
    assert_int_equal(json_integer_value(at_path(span, "status/code")), 2);
    assert_string_equal(text_at(span, "status/message"), "stock_short");
    assert_int_equal(dropped_spans() - dropped, 0);
    collector_stop(&collector);
}

static void make_spans(int count)
{
    char big[600]; // its own: several threads run this

    memset(big, 'x', sizeof(big));
    for (int i = 0; i < count; i++) {
        struct ch_trace trace;
        struct ch_span span;
        ch_trace_start(&trace, (struct ch_str){0});
        ch_span_start(&span, &trace, CH_SPAN_INTERNAL, "many");
        ch_span_attr(&span, CH_LSTR("big", ((struct ch_str){big, (size_t)i % sizeof(big)})));
        ch_span_attr(&span, CH_LI("i", i));
        ch_span_end(&span, CH_OK);
    }
}

static int64_t collected_spans(const struct collector *collector, size_t most_a_body)
{
    int64_t total = 0;
    for (int i = 0; i < collector->count; i++) {
        assert_in_range(json_array_size(spans_of(collector->bodies[i])), 1, most_a_body);
        total += (int64_t)json_array_size(spans_of(collector->bodies[i]));
    }
    return total;
}

static void *make_spans_in_thread(void *arg)
{
    make_spans((int)(intptr_t)arg);
    return NULL;
}

static void test_export__batches_are_bounded_and_stop_flushes(void **state)
{
    (void)state;
    struct collector collector = {0};
    pthread_t threads[4];
    int64_t dropped = dropped_spans();
    collector_start(&collector);
    start(&collector, 1);
    for (int i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, make_spans_in_thread, (void *)(intptr_t)700), 0);
    for (int i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    stop_in(5000);
    assert_int_equal(collected_spans(&collector, 512) + dropped_spans() - dropped, 2800);
    assert_int_equal(dropped_spans() - dropped, 0);
    collector_stop(&collector);
}

static void test_export__tries_again_after_503(void **state)
{
    (void)state;
    struct collector collector = {.failures = 1};
    int64_t failed = sample("otlp_exports_total{outcome=\"failed\"}"),
            ok = sample("otlp_exports_total{outcome=\"ok\"}"), dropped = dropped_spans();
    collector_start(&collector);
    start(&collector, 1);
    make_spans(3);
    collector_wait(&collector, 2);
    stop_in(1000);
    assert_int_equal(collector.count, 2);
    assert_true(json_equal(collector.bodies[0], collector.bodies[1]));
    assert_int_equal(sample("otlp_exports_total{outcome=\"failed\"}") - failed, 1);
    assert_int_equal(sample("otlp_exports_total{outcome=\"ok\"}") - ok, 1);
    assert_int_equal(dropped_spans() - dropped, 0);
    collector_stop(&collector);
}

static void test_export__drops_what_is_refused(void **state)
{
    (void)state;
    struct collector collector = {.bad_status = 400};
    int64_t dropped = dropped_spans();
    collector_start(&collector);
    start(&collector, 1);
    make_spans(512); // leaves at once
    collector_wait(&collector, 1);
    stop_in(1000);
    assert_int_equal(collector.count, 1);
    assert_int_equal(dropped_spans() - dropped, 512);
    collector_stop(&collector);
}

static void test_export__a_hanging_collector_costs_counted_spans_only(void **state)
{
    (void)state;
    struct collector collector = {.is_hanging = true};
    int64_t dropped = dropped_spans(), at_once;
    collector_start(&collector);
    start(&collector, 1);
    make_spans(512);
    collector_wait(&collector, 1); // the first batch is with it now
    make_spans(6000);              // more than the ring holds
    at_once = dropped_spans() - dropped;
    assert_int_equal(at_once, 6000 - 4096);
    int64_t before_ns = ch_now_ns();
    stop_in(100);
    assert_in_range(ch_now_ns() - before_ns, 0, 1000000000);
    assert_int_equal(dropped_spans() - dropped, 6512);
    collector_stop(&collector);
}

static void test_export__nobody_listens(void **state)
{
    (void)state;
    struct collector collector = {0};
    int64_t dropped = dropped_spans();
    collector_start(&collector);
    shutdown(collector.listen_fd, SHUT_RDWR); // the port is free again: connections are refused
    start(&collector, 1);
    make_spans(1000);
    stop_in(2000);
    assert_int_equal(dropped_spans() - dropped, 1000);
    collector_stop(&collector);
}

static void test_span__cost_when_not_sampled(void **state)
{
    (void)state;
    enum { SPANS = 100000 };
    struct ch_trace trace;
    struct ch_span span;
    int64_t best_ns = INT64_MAX;
    ch_trace_start(&trace, CH_STR("00-" TRACE_ID "-" SPAN_ID "-00"));
    for (int round = 0; round < 10; round++) {
        int64_t before_ns = ch_now_ns();
        for (int i = 0; i < SPANS; i++) {
            ch_span_start(&span, &trace, CH_SPAN_INTERNAL, "cheap");
            ch_span_end(&span, CH_OK);
        }
        int64_t took_ns = ch_now_ns() - before_ns;
        best_ns = took_ns < best_ns ? took_ns : best_ns;
    }
    print_message("span not sampled: %.1f ns for start and end\n", (double)best_ns / SPANS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_trace__reads_traceparent_strictly),
        cmocka_unit_test(test_trace__samples_by_ratio),
        cmocka_unit_test(test_span__nests_and_gives_the_parent_back),
        cmocka_unit_test(test_span__is_exported_field_by_field),
        cmocka_unit_test(test_export__batches_are_bounded_and_stop_flushes),
        cmocka_unit_test(test_export__tries_again_after_503),
        cmocka_unit_test(test_export__drops_what_is_refused),
        cmocka_unit_test(test_export__a_hanging_collector_costs_counted_spans_only),
        cmocka_unit_test(test_export__nobody_listens),
        cmocka_unit_test(test_span__cost_when_not_sampled),
    };
    return cmocka_run_group_tests_name("trace", tests, NULL, NULL);
}
