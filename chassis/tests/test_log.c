// SPDX-License-Identifier: Apache-2.0
// Logging: every line is one valid JSON object, whole, of bounded length; nothing a reader of stdout does stops the
// process or the callers; what is lost is counted. Prints what one call costs.

#include "ch/obs.h"

#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#define LINE_MAX_BYTES 4096

/* ---- stdout taken away for a while ---- */

struct capture {
    int saved_fd, read_fd;
    pthread_t reader;
    char *text;
    size_t len;
};

static void *capture_read(void *arg)
{
    struct capture *capture = arg;
    size_t cap = 0;
    for (;;) {
        if (capture->len + 65536 > cap)
            capture->text = realloc(capture->text, cap = cap * 2 + 131072);
        ssize_t n = read(capture->read_fd, capture->text + capture->len, 65536);
        if (n <= 0)
            return NULL;
        capture->len += (size_t)n;
    }
}

static void redirect(struct capture *capture, int fd)
{
    fflush(stdout);
    capture->saved_fd = dup(STDOUT_FILENO);
    assert_int_equal(dup2(fd, STDOUT_FILENO), STDOUT_FILENO);
    close(fd);
}

static void restore(struct capture *capture)
{
    dup2(capture->saved_fd, STDOUT_FILENO);
    close(capture->saved_fd);
}

static void capture_start(struct capture *capture)
{
    int fds[2];
    *capture = (struct capture){0};
    assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
    capture->read_fd = fds[0];
    redirect(capture, fds[1]);
    assert_int_equal(pthread_create(&capture->reader, NULL, capture_read, capture), 0);
}

static void capture_end(struct capture *capture)
{
    restore(capture);
    pthread_join(capture->reader, NULL);
    close(capture->read_fd);
}

/** Next line as JSON; NULL at the end. Fails the test on anything that is not one whole object. */
static json_t *next_line(const char **at, const char *end)
{
    if (*at == end)
        return NULL;
    const char *newline = memchr(*at, '\n', (size_t)(end - *at));
    assert_non_null(newline);
    assert_true(newline + 1 - *at <= LINE_MAX_BYTES);
    json_error_t error;
    json_t *line = json_loadb(*at, (size_t)(newline - *at), JSON_REJECT_DUPLICATES, &error);
    if (!line)
        fail_msg("%s: %.*s", error.text, (int)(newline - *at), *at);
    *at = newline + 1;
    return line;
}

static json_t *only_line(const struct capture *capture)
{
    const char *at = capture->text;
    json_t *line = next_line(&at, capture->text + capture->len);
    assert_non_null(line);
    assert_ptr_equal(at, capture->text + capture->len);
    return line;
}

static int64_t dropped_lines(void)
{
    static const char row[] = "\ntelemetry_dropped_total{kind=\"log\"} ";
    struct ch_buf text;
    ch_buf_init(&text, 4 * 1024 * 1024);
    ch_metrics_write(&text);
    ch_buf_append_char(&text, '\0');
    const char *at = strstr(text.data, row);
    int64_t value = at ? atoll(at + sizeof(row) - 1) : 0;
    ch_buf_release(&text);
    return value;
}

static void start(void)
{
    const struct ch_obs_options options = {.service = "fruit \"catalog\"", .version = "1.2.3", .instance = "i-1"};
    assert_int_equal(ch_obs_start(&options), CH_OK);
}

static void stop_in(int64_t ms)
{
    ch_obs_stop(ch_now_ns() + ms * 1000000);
}

static const char *text_of(const json_t *line, const char *name)
{
    const char *text = json_string_value(json_object_get(line, name));
    assert_non_null(text);
    return text;
}

/* ---- tests ---- */

static void test_log__writes_every_kind_of_field(void **state)
{
    (void)state;
    struct capture capture;
    struct ch_trace trace = {.trace_id = {0x0a, [15] = 0xff}, .span_id = {0x01, [7] = 0xee}};
    struct ch_uuid id;
    assert_int_equal(ch_uuid_parse(CH_STR("018f0000-0000-7000-8000-0000000000b1"), &id), CH_OK);
    capture_start(&capture);
    start();
    int64_t before_us = ch_wall_us();
    ch_log(CH_LOG_WARN, &trace, "order.placed", CH_LU("order_id", id), CH_LI("lines", -42), CH_LI("least", INT64_MIN),
           CH_LB("is_new", true), CH_LB("is_old", false), CH_LS("none", NULL), CH_LS("route", "/a"));
    stop_in(1000);
    capture_end(&capture);

    json_t *line = only_line(&capture);
    int64_t time_us;
    assert_int_equal(ch_time_parse(ch_str_of(text_of(line, "time")), &time_us), CH_OK);
    assert_int_equal(strlen(text_of(line, "time")), strlen("2026-11-23T05:40:00.123Z"));
    assert_in_range(time_us, before_us / 1000 * 1000, before_us + 1000000);
    assert_string_equal(text_of(line, "level"), "warn");
    assert_string_equal(text_of(line, "service"), "fruit \"catalog\"");
    assert_string_equal(text_of(line, "event"), "order.placed");
    assert_string_equal(text_of(line, "trace_id"), "0a0000000000000000000000000000ff");
    assert_string_equal(text_of(line, "span_id"), "01000000000000ee");
    assert_string_equal(text_of(line, "order_id"), "018f0000-0000-7000-8000-0000000000b1");
    assert_string_equal(text_of(line, "route"), "/a");
    assert_int_equal(json_integer_value(json_object_get(line, "lines")), -42);
    assert_int_equal(json_integer_value(json_object_get(line, "least")), INT64_MIN);
    assert_true(json_is_true(json_object_get(line, "is_new")));
    assert_true(json_is_false(json_object_get(line, "is_old")));
    assert_true(json_is_null(json_object_get(line, "none")));
    assert_int_equal(json_object_size(line), 13);
    json_decref(line);
    free(capture.text);
}

static void test_log__escapes_any_bytes(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        struct ch_str in;
        const char *want;
    } cases[] = {
        {"quotes", CH_STR("a\"b\\c"), "a\"b\\c"},
        {"controls", CH_STR("\b\f\n\r\t\x01\x1f\x7f"), "\b\f\n\r\t\x01\x1f\x7f"},
        {"Korean", CH_STR("사과 한 상자"), "사과 한 상자"},
        {"four bytes", CH_STR("\xf0\x9f\x8d\x8e"), "\xf0\x9f\x8d\x8e"},
        {"lone byte",
         CH_STR("a\xff"
                "b"),
         "a\xef\xbf\xbd"
         "b"},
        {"overlong", CH_STR("\xc0\xaf"), "\xef\xbf\xbd\xef\xbf\xbd"},
        {"surrogate", CH_STR("\xed\xa0\x80"), "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd"},
        {"cut sequence", CH_STR("\xea\xb0"), "\xef\xbf\xbd\xef\xbf\xbd"},
        {"past the last", CH_STR("\xf4\x90\x80\x80"), "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd"},
        {"empty", CH_STR(""), ""},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct capture capture;
        capture_start(&capture);
        ch_log(CH_LOG_INFO, NULL, "x", CH_LSTR("s", cases[i].in)); // no thread runs: written directly
        capture_end(&capture);
        json_t *line = only_line(&capture);
        if (strcmp(text_of(line, "s"), cases[i].want) != 0)
            fail_msg("%s: got %s", cases[i].name, text_of(line, "s"));
        json_decref(line);
        free(capture.text);
    }
}

static void test_log__cuts_long_lines_and_says_so(void **state)
{
    (void)state;
    static char letters[5000], syllables[5001];
    memset(letters, 'x', sizeof(letters));
    for (size_t i = 0; i + 3 <= sizeof(syllables); i += 3)
        memcpy(syllables + i, "과", 3);
    struct capture capture;
    int cut = 0, whole = 0;
    capture_start(&capture);
    start();
    for (size_t len = 3900; len <= 4200; len++) {
        const char *data = len % 2 ? letters : syllables;
        size_t fed = len % 2 ? len : len / 3 * 3;
        ch_log(CH_LOG_INFO, NULL, "long", CH_LI("fed", (int64_t)fed), CH_LSTR("s", ((struct ch_str){data, fed})));
        ch_log(CH_LOG_INFO, NULL, "long", CH_LI("fed", (int64_t)fed), CH_LSTR("s", ((struct ch_str){data, fed})),
               CH_LI("after", 12345));
    }
    stop_in(2000);
    capture_end(&capture);

    const char *at = capture.text, *end = at + capture.len;
    for (json_t *line; (line = next_line(&at, end)); json_decref(line)) {
        bool is_marked = json_is_true(json_object_get(line, "truncated"));
        bool is_short =
            (int64_t)json_string_length(json_object_get(line, "s")) < json_integer_value(json_object_get(line, "fed"));
        bool has_after = json_object_get(line, "after") != NULL;
        assert_true(!is_short || is_marked);
        assert_true(!has_after || !is_marked);
        cut += is_marked;
        whole += !is_marked;
    }
    assert_true(cut > 100 && whole > 100);
    assert_int_equal(cut + whole, 602);
    free(capture.text);
}

static int64_t evaluations;
static int64_t evaluated(void)
{
    return ++evaluations;
}

static void test_log__level_decides_before_fields_are_evaluated(void **state)
{
    (void)state;
    struct capture capture;
    enum ch_log_level level = CH_LOG_ERROR;
    assert_int_equal(ch_log_level(), CH_LOG_INFO);
    assert_int_equal(ch_log_level_parse(CH_STR("debug"), &level), CH_OK);
    assert_int_equal(level, CH_LOG_DEBUG);
    assert_int_equal(ch_log_level_parse(CH_STR("DEBUG"), &level), CH_ERR_INVALID);
    assert_int_equal(ch_log_level_parse(CH_STR(""), &level), CH_ERR_INVALID);
    assert_int_equal(level, CH_LOG_DEBUG);
    assert_string_equal(ch_log_level_name(CH_LOG_ERROR), "error");
    capture_start(&capture);
    ch_log(CH_LOG_DEBUG, NULL, "off", CH_LI("n", evaluated()));
    assert_int_equal(evaluations, 0);
    ch_log_set_level(CH_LOG_DEBUG);
    ch_log(CH_LOG_DEBUG, NULL, "on", CH_LI("n", evaluated()));
    ch_log_set_level(CH_LOG_INFO);
    capture_end(&capture);
    json_t *line = only_line(&capture);
    assert_string_equal(text_of(line, "event"), "on");
    assert_int_equal(evaluations, 1);
    json_decref(line);
    free(capture.text);
}

#define WRITERS      4
#define WRITER_LINES 5000

static void *write_many(void *arg)
{
    int64_t writer = (int64_t)(intptr_t)arg;
    for (int64_t i = 0; i < WRITER_LINES; i++)
        ch_log(CH_LOG_INFO, NULL, "many", CH_LI("writer", writer), CH_LI("i", i),
               CH_LSTR("pad", ((struct ch_str){"0123456789abcdef", (size_t)i % 17})));
    return NULL;
}

static void test_log__threads_write_whole_lines_in_their_order(void **state)
{
    (void)state;
    struct capture capture;
    pthread_t writers[WRITERS];
    int64_t last[WRITERS] = {-1, -1, -1, -1}, count = 0, dropped = dropped_lines();
    capture_start(&capture);
    start();
    for (int64_t i = 0; i < WRITERS; i++)
        assert_int_equal(pthread_create(&writers[i], NULL, write_many, (void *)(intptr_t)i), 0);
    for (int i = 0; i < WRITERS; i++)
        pthread_join(writers[i], NULL);
    stop_in(5000);
    capture_end(&capture);

    const char *at = capture.text, *end = at + capture.len;
    for (json_t *line; (line = next_line(&at, end)); json_decref(line), count++) {
        int64_t writer = json_integer_value(json_object_get(line, "writer")),
                i = json_integer_value(json_object_get(line, "i"));
        assert_in_range(writer, 0, WRITERS - 1);
        assert_true(i > last[writer]);
        last[writer] = i;
    }
    assert_int_equal(count + dropped_lines() - dropped, WRITERS * WRITER_LINES);
    free(capture.text);
}

static void test_log__survives_a_reader_that_went_away(void **state)
{
    (void)state;
    for (int is_started = 0; is_started < 2; is_started++) {
        struct capture capture = {0};
        int fds[2];
        int64_t dropped = dropped_lines();
        assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
        close(fds[0]);
        redirect(&capture, fds[1]);
        if (is_started)
            start();
        for (int i = 0; i < 100; i++)
            ch_log(CH_LOG_INFO, NULL, "unread", CH_LI("i", i));
        if (is_started)
            stop_in(1000);
        restore(&capture);
        assert_int_equal(dropped_lines() - dropped, 100);
    }
}

static void test_log__never_waits_for_a_stuck_reader(void **state)
{
    (void)state;
    struct capture capture = {0};
    static char pad[500];
    const int64_t total = 12000; // 7 MB: more than pipe and queues hold
    int fds[2];
    int64_t dropped = dropped_lines(), count = 0;
    memset(pad, 'x', sizeof(pad));
    assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
    redirect(&capture, fds[1]);
    start();
    for (int64_t i = 0; i < total; i++)
        ch_log(CH_LOG_INFO, NULL, "stuck", CH_LI("i", i), CH_LSTR("pad", ((struct ch_str){pad, sizeof(pad)})));
    int64_t before_ns = ch_now_ns();
    stop_in(100);
    assert_in_range(ch_now_ns() - before_ns, 0, 1000000000);
    restore(&capture);

    capture.read_fd = fds[0];
    capture_read(&capture); // what the pipe held
    close(fds[0]);
    const char *at = capture.text, *end = at + capture.len;
    for (json_t *line; (line = next_line(&at, end)); json_decref(line))
        count++;
    assert_true(count > 0);
    assert_int_equal(count + dropped_lines() - dropped, total);
    free(capture.text);
}

static void test_log__starts_once_and_again_after_stop(void **state)
{
    (void)state;
    const struct ch_obs_options options = {.service = "x"}, bad = {.service = "x", .otlp_endpoint = "ftp://collector"};
    start();
    assert_int_equal(ch_obs_start(&options), CH_ERR_CONFLICT);
    stop_in(1000);
    stop_in(1000);
    assert_int_equal(ch_obs_start(&bad), CH_ERR_INVALID);
    start();
    stop_in(1000);
}

static void test_log__cost_of_an_access_line(void **state)
{
    (void)state;
    struct capture capture = {0};
    enum { LINES = 2000 };
    int64_t best_ns = INT64_MAX;
    struct ch_trace trace;
    ch_trace_start(&trace, (struct ch_str){0});
    redirect(&capture, open("/dev/null", O_WRONLY | O_CLOEXEC));
    for (int round = 0; round < 10; round++) {
        start();
        int64_t before_ns = ch_now_ns();
        for (int i = 0; i < LINES; i++)
            ch_log(CH_LOG_INFO, &trace, "http.request", CH_LS("method", "GET"),
                   CH_LS("route", "/api/v1/products/{productId}"), CH_LI("status", 200), CH_LI("duration_us", 1234),
                   CH_LI("bytes", 5120), CH_LS("peer", "127.0.0.1"), CH_LS("error", "ok"));
        int64_t took_ns = ch_now_ns() - before_ns;
        best_ns = took_ns < best_ns ? took_ns : best_ns;
        stop_in(1000);
    }
    restore(&capture);
    print_message("ch_log, access line: %lld ns a call\n", (long long)(best_ns / LINES));
}

int main(void)
{
    signal(SIGPIPE, SIG_DFL); // that it never kills is what is tested
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_log__writes_every_kind_of_field),
        cmocka_unit_test(test_log__escapes_any_bytes),
        cmocka_unit_test(test_log__cuts_long_lines_and_says_so),
        cmocka_unit_test(test_log__level_decides_before_fields_are_evaluated),
        cmocka_unit_test(test_log__threads_write_whole_lines_in_their_order),
        cmocka_unit_test(test_log__survives_a_reader_that_went_away),
        cmocka_unit_test(test_log__never_waits_for_a_stuck_reader),
        cmocka_unit_test(test_log__starts_once_and_again_after_stop),
        cmocka_unit_test(test_log__cost_of_an_access_line),
    };
    return cmocka_run_group_tests_name("log", tests, NULL, NULL);
}
