// SPDX-License-Identifier: Apache-2.0
// Metrics: the exposed text is compared byte for byte; values stay exact when threads count at once; the number of
// series is bounded.

#include "ch/obs.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

static char *scrape(void)
{
    struct ch_buf text;
    ch_buf_init(&text, 8 * 1024 * 1024);
    ch_metrics_write(&text);
    ch_buf_append_char(&text, '\0');
    assert_false(text.is_full);
    return text.data;
}

/** HELP, TYPE and samples of one name, as exposed. */
static void assert_family(const char *name, const char *want)
{
    char *text = scrape(), head[128];
    (void)snprintf(head, sizeof(head), "# HELP %s ", name);
    char *at = strstr(text, head);
    assert_non_null(at);
    assert_true(at == text || at[-1] == '\n');
    char *next = strstr(at + 1, "\n# HELP ");
    if (next)
        next[1] = '\0';
    assert_string_equal(at, want);
    assert_null(strstr(next ? next + 2 : "", head));
    free(text);
}

static double sample(const char *series)
{
    char *text = scrape(), row[256];
    (void)snprintf(row, sizeof(row), "\n%s ", series);
    char *at = strstr(text, row);
    if (!at)
        fail_msg("no %s", series);
    double value = atof(at + strlen(row));
    free(text);
    return value;
}

static void test_metrics__counter_text_is_exact(void **state)
{
    (void)state;
    static const struct ch_metric metric = {
        "test_orders_total", CH_COUNTER, "Orders \\ by\nroute.", {"route", "error"}};
    ch_count(ch_series_get(&metric, (const char *const[]){"/a", "ok"}), 3);
    ch_count(ch_series_get(&metric, (const char *const[]){"q\"\\\n한", NULL}), 1);
    ch_count(ch_series_get(&metric, (const char *const[]){"/a", "ok"}), 4);
    assert_family("test_orders_total", "# HELP test_orders_total Orders \\\\ by\\nroute.\n"
                                       "# TYPE test_orders_total counter\n"
                                       "test_orders_total{route=\"/a\",error=\"ok\"} 7\n"
                                       "test_orders_total{route=\"q\\\"\\\\\\n한\",error=\"\"} 1\n");
}

static void test_metrics__gauge_text_is_exact(void **state)
{
    (void)state;
    static const struct ch_metric metric = {"test_depth", CH_GAUGE, "Depth.", {NULL}};
    struct ch_series *series = ch_series_get(&metric, NULL);
    ch_gauge_set(series, 10);
    ch_gauge_add(series, -25);
    assert_family("test_depth", "# HELP test_depth Depth.\n# TYPE test_depth gauge\ntest_depth -15\n");
}

static void test_metrics__histogram_of_seconds_is_exact(void **state)
{
    (void)state;
    static const struct ch_metric metric = {"test_duration_seconds", CH_HISTOGRAM, "Took.", {"route"}};
    static const int64_t fed_ns[] = {-5, 500000, 500001, 3000000, 10000000000, 10000000001, 1};
    struct ch_series *series = ch_series_get(&metric, (const char *const[]){"/a"});
    for (size_t i = 0; i < sizeof(fed_ns) / sizeof(fed_ns[0]); i++)
        ch_observe_ns(series, fed_ns[i]);
#define ROW(le, count) "test_duration_seconds_bucket{route=\"/a\",le=\"" le "\"} " count "\n"
    assert_family("test_duration_seconds",
                  "# HELP test_duration_seconds Took.\n# TYPE test_duration_seconds histogram\n" ROW("0.0005", "3")
                      ROW("0.001", "4") ROW("0.0025", "4") ROW("0.005", "5") ROW("0.01", "5") ROW("0.025", "5")
                          ROW("0.05", "5") ROW("0.075", "5") ROW("0.1", "5") ROW("0.25", "5") ROW("0.5", "5")
                              ROW("0.75", "5") ROW("1", "5") ROW("2.5", "5") ROW("5", "5") ROW("7.5", "5")
                                  ROW("10", "6")
                                      ROW("+Inf", "7") "test_duration_seconds_sum{route=\"/a\"} 20.004000003\n"
                                                       "test_duration_seconds_count{route=\"/a\"} 7\n");
#undef ROW
}

static void test_metrics__histogram_of_counts_is_exact(void **state)
{
    (void)state;
    static const struct ch_metric metric = {"test_batch_size", CH_HISTOGRAM, "Items.", {NULL}};
    struct ch_series *series = ch_series_get(&metric, NULL);
    ch_observe(series, 1);
    ch_observe(series, 3);
    ch_observe(series, 1024);
    ch_observe(series, 5000);
#define ROW(le, count) "test_batch_size_bucket{le=\"" le "\"} " count "\n"
    assert_family("test_batch_size",
                  "# HELP test_batch_size Items.\n# TYPE test_batch_size histogram\n" ROW("1", "1") ROW("2", "1")
                      ROW("4", "2") ROW("8", "2") ROW("16", "2") ROW("32", "2") ROW("64", "2") ROW("128", "2")
                          ROW("256", "2") ROW("512", "2") ROW("1024", "3")
                              ROW("+Inf", "4") "test_batch_size_sum 6028\ntest_batch_size_count 4\n");
#undef ROW
}

static void test_metrics__one_series_for_one_name_and_values(void **state)
{
    (void)state;
    static const struct ch_metric here = {"test_same_total", CH_COUNTER, "Same.", {"a", "b"}};
    static const struct ch_metric there = {"test_same_total", CH_COUNTER, "Same.", {"a", "b"}};
    static const struct ch_metric other_type = {"test_same_total", CH_GAUGE, "Same.", {"a", "b"}};
    char values[2][4] = {"x", "y"};
    struct ch_series *first = ch_series_get(&here, (const char *const[]){values[0], values[1]});
    values[0][0] = 'z'; // values were copied
    assert_ptr_equal(ch_series_get(&there, (const char *const[]){"x", "y"}), first);
    assert_ptr_not_equal(ch_series_get(&here, (const char *const[]){"y", "x"}), first);
    double dropped = sample("metric_series_dropped_total");
    struct ch_series *refused = ch_series_get(&other_type, (const char *const[]){"x", "y"});
    assert_non_null(refused);
    assert_ptr_not_equal(refused, first);
    assert_true(sample("metric_series_dropped_total") == dropped + 1);
    assert_true(sample("test_same_total{a=\"x\",b=\"y\"}") == 0);
}

static void set_pulled(void *arg)
{
    static const struct ch_metric metric = {"test_pulled", CH_GAUGE, "Pulled.", {NULL}};
    ch_gauge_set(ch_series_get(&metric, NULL), ++*(int *)arg);
}

static void test_metrics__callbacks_run_before_each_scrape(void **state)
{
    (void)state;
    static int calls;
    ch_metrics_on_scrape(set_pulled, &calls);
    assert_true(sample("test_pulled") == 1);
    assert_true(sample("test_pulled") == 2);
}

static void test_metrics__tells_about_the_process(void **state)
{
    (void)state;
    const struct ch_obs_options options = {.service = "fruit-catalog", .version = "1.2.3", .instance = "i"};
    double now_s = (double)ch_wall_us() / 1e6;
    assert_int_equal(ch_obs_start(&options), CH_OK);
    assert_true(sample("build_info{version=\"1.2.3\",service=\"fruit-catalog\"}") == 1);
    assert_true(sample("process_resident_memory_bytes") > 100000);
    assert_true(sample("process_cpu_seconds_total") > 0);
    double fds = sample("process_open_fds"), started_s = sample("process_start_time_seconds");
    int fd = dup(STDERR_FILENO);
    assert_true(sample("process_open_fds") == fds + 1);
    close(fd);
    assert_true(started_s > now_s - 60 && started_s <= now_s + 1);
    assert_true(sample("process_start_time_seconds") == started_s);
    assert_true(sample("telemetry_dropped_total{kind=\"log\"}") == 0);
    ch_obs_stop(ch_now_ns() + 1000000000);
}

#define COUNTERS 4
#define ROUNDS   20000

static void *count_many(void *arg)
{
    static const struct ch_metric shared = {"test_shared_total", CH_COUNTER, "Shared.", {"kind"}};
    static const struct ch_metric took = {"test_shared_seconds", CH_HISTOGRAM, "Shared.", {NULL}};
    static const char *const kinds[] = {"a", "b", "c"};
    (void)arg;
    for (int i = 0; i < ROUNDS; i++) {
        ch_count(ch_series_get(&shared, &kinds[i % 3]), 1);
        ch_observe_ns(ch_series_get(&took, NULL), 1000000);
    }
    return NULL;
}

static void test_metrics__counts_are_exact_among_threads(void **state)
{
    (void)state;
    pthread_t threads[COUNTERS];
    for (int i = 0; i < COUNTERS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, count_many, NULL), 0);
    for (int i = 0; i < 50; i++)
        free(scrape()); // reads while they make and count
    for (int i = 0; i < COUNTERS; i++)
        pthread_join(threads[i], NULL);
    double sum = sample("test_shared_total{kind=\"a\"}") + sample("test_shared_total{kind=\"b\"}") +
                 sample("test_shared_total{kind=\"c\"}");
    assert_true(sum == COUNTERS * ROUNDS);
    assert_true(sample("test_shared_seconds_count") == COUNTERS * ROUNDS);
    assert_true(sample("test_shared_seconds_sum") == COUNTERS * ROUNDS / 1000.0);
}

static void test_metrics__a_small_buffer_says_so(void **state)
{
    (void)state;
    struct ch_buf text;
    ch_buf_init(&text, 300);
    ch_metrics_write(&text);
    assert_true(text.is_full);
    assert_true(text.len <= 300);
    ch_buf_release(&text);
}

/** Last: afterwards no series can be made in this process. */
static void test_metrics__number_of_series_is_bounded(void **state)
{
    (void)state;
    static const struct ch_metric metric = {"test_flood_total", CH_COUNTER, "Flood.", {"id"}};
    static const struct ch_metric late = {"test_late_seconds", CH_HISTOGRAM, "Late.", {NULL}};
    struct ch_series *first = ch_series_get(&metric, (const char *const[]){"0"});
    double dropped = sample("metric_series_dropped_total");
    int made = 0;
    struct ch_series *last = NULL;
    for (int i = 1; i < 2500; i++) {
        char id[16];
        (void)snprintf(id, sizeof(id), "%d", i);
        struct ch_series *series = ch_series_get(&metric, (const char *const[]){id});
        ch_count(series, 1);
        made += series != last;
        last = series;
    }
    assert_in_range(made, 1900, 2001);
    assert_true(sample("metric_series_dropped_total") > dropped + 400);
    assert_ptr_equal(ch_series_get(&metric, (const char *const[]){"0"}), first); // what exists is still found
    struct ch_series *refused = ch_series_get(&late, NULL);
    assert_ptr_equal(refused, last);
    ch_observe_ns(refused, 5); // harmless
    ch_observe(refused, INT64_MAX);
    ch_gauge_set(refused, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_metrics__counter_text_is_exact),
        cmocka_unit_test(test_metrics__gauge_text_is_exact),
        cmocka_unit_test(test_metrics__histogram_of_seconds_is_exact),
        cmocka_unit_test(test_metrics__histogram_of_counts_is_exact),
        cmocka_unit_test(test_metrics__one_series_for_one_name_and_values),
        cmocka_unit_test(test_metrics__callbacks_run_before_each_scrape),
        cmocka_unit_test(test_metrics__tells_about_the_process),
        cmocka_unit_test(test_metrics__counts_are_exact_among_threads),
        cmocka_unit_test(test_metrics__a_small_buffer_says_so),
        cmocka_unit_test(test_metrics__number_of_series_is_bounded),
    };
    return cmocka_run_group_tests_name("metrics", tests, NULL, NULL);
}
