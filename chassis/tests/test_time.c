// SPDX-License-Identifier: Apache-2.0
// Times and dates: strict reading, exact writing, and every day of the calendar against the C library.
#include "cases.h"
#include "ch/base.h"

#include <stdio.h>
#include <time.h>

static const struct {
    const char *text;
    enum ch_err want;
    int64_t wall_us;
} time_cases[] = {
    {"1970-01-01T00:00:00Z", CH_OK, 0},
    {"1970-01-01T00:00:00.5Z", CH_OK, 500000},
    {"1969-12-31T23:59:59.999999Z", CH_OK, -1},
    {"2026-11-23T05:40:00.123Z", CH_OK, 1795412400123000},
    {"2026-11-23T14:40:00.123+09:00", CH_OK, 1795412400123000},
    {"2026-11-22T20:10:00.123-09:30", CH_OK, 1795412400123000},
    {"2026-11-23t05:40:00.123z", CH_OK, 1795412400123000},
    {"2026-11-23T05:40:00.123456789Z", CH_OK, 1795412400123456},
    {"2026-11-23T05:40:00-00:00", CH_OK, 1795412400000000},
    {"2024-02-29T00:00:00Z", CH_OK, 1709164800000000},
    {"2000-02-29T00:00:00Z", CH_OK, 951782400000000},
    {"0000-01-01T00:00:00Z", CH_OK, -62167219200000000},
    {"9999-12-31T23:59:59.999Z", CH_OK, 253402300799999000},
    {"1998-12-31T23:59:60Z", CH_OK, 915148800000000},
    {"1990-12-31T15:59:60-08:00", CH_OK, 662688000000000},
    {"2015-06-30T23:59:60Z", CH_OK, 1435708800000000},
    {"1998-12-31T22:59:60Z", CH_ERR_INVALID, 0},
    {"1998-11-30T23:59:60Z", CH_ERR_INVALID, 0},
    {"1998-12-31T23:59:60+09:00", CH_ERR_INVALID, 0},
    {"2026-11-23T05:40:61Z", CH_ERR_INVALID, 0},
    {"2025-02-29T00:00:00Z", CH_ERR_INVALID, 0},
    {"1900-02-29T00:00:00Z", CH_ERR_INVALID, 0},
    {"2026-13-01T00:00:00Z", CH_ERR_INVALID, 0},
    {"2026-00-01T00:00:00Z", CH_ERR_INVALID, 0},
    {"2026-04-31T00:00:00Z", CH_ERR_INVALID, 0},
    {"2026-04-00T00:00:00Z", CH_ERR_INVALID, 0},
    {"2026-11-23T24:00:00Z", CH_ERR_INVALID, 0},
    {"2026-11-23T23:60:00Z", CH_ERR_INVALID, 0},
    {"2026-11-23T05:40:00+24:00", CH_ERR_INVALID, 0},
    {"2026-11-23T05:40:00+09:60", CH_ERR_INVALID, 0},
    {"2026-11-23T05:40:00+0900", CH_ERR_INVALID, 0},
    {"2026-11-23T05:40:00+09", CH_ERR_INVALID, 0},
    {"2026-11-23T05:40:00", CH_ERR_INVALID, 0},
    {"2026-11-23 05:40:00Z", CH_ERR_INVALID, 0},
    {"2026-11-23T05:40Z", CH_ERR_INVALID, 0},
    {"2026-11-23T05:40:00.Z", CH_ERR_INVALID, 0},
    {"2026-11-23T05:40:00,5Z", CH_ERR_INVALID, 0},
    {"2026-11-23T05:40:00Z ", CH_ERR_INVALID, 0},
    {" 2026-11-23T05:40:00Z", CH_ERR_INVALID, 0},
    {"2026-11-23T05:40:00ZZ", CH_ERR_INVALID, 0},
    {"26-11-23T05:40:00Z", CH_ERR_INVALID, 0},
    {"+2026-11-23T05:40:00Z", CH_ERR_INVALID, 0},
    {"2026-1-23T05:40:00Z", CH_ERR_INVALID, 0},
    {"2026-11-23", CH_ERR_INVALID, 0},
    {"2026-11-2/T05:40:00Z", CH_ERR_INVALID, 0},
    {"0000-01-01T00:00:00+00:01", CH_ERR_INVALID, 0},
    {"9999-12-31T23:59:59-00:01", CH_ERR_INVALID, 0},
    {"", CH_ERR_INVALID, 0},
};

static void test_time__parses_strictly(void **state)
{
    (void)state;
    FOR_EACH(c, time_cases)
    {
        int64_t wall_us = 42;

        CHECK(c->text, ch_time_parse(ch_str_of(c->text), &wall_us) == c->want);
        CHECK(c->text, wall_us == (c->want ? 42 : c->wall_us));
    }
}

static void test_time__refuses_every_cut(void **state)
{
    static const char whole[] = "2026-11-23T14:40:00.123+09:00";
    int64_t wall_us;

    (void)state;
    for (size_t len = 0; len < sizeof(whole) - 1; len++)
        CHECK(whole + len, ch_time_parse((struct ch_str){whole, len}, &wall_us) == CH_ERR_INVALID);
}

static void test_time__formats(void **state)
{
    static const struct {
        int64_t wall_us;
        const char *want;
    } cases[] = {
        {0, "1970-01-01T00:00:00.000Z"},
        {-1, "1969-12-31T23:59:59.999Z"},
        {999, "1970-01-01T00:00:00.000Z"},
        {1795412400123999, "2026-11-23T05:40:00.123Z"},
        {951782399999999, "2000-02-28T23:59:59.999Z"},
        {951782400000000, "2000-02-29T00:00:00.000Z"},
        {-62167219200000000, "0000-01-01T00:00:00.000Z"},
        {INT64_MIN, "0000-01-01T00:00:00.000Z"},
        {INT64_MAX, "9999-12-31T23:59:59.999Z"},
    };

    (void)state;
    FOR_EACH(c, cases)
    {
        char text[CH_TIME_TEXT];

        ch_time_format(c->wall_us, text);
        CHECK_TEXT(c->want, text, c->want);
    }
}

static void test_time__knows_every_day(void **state)
{
    (void)state;
    for (int32_t days = -719528; days <= 2932896; days += 1 + (days < -100000 || days > 100000) * 6) {
        time_t seconds = (time_t)days * 86400;
        char want[64], text[CH_DATE_TEXT];
        struct tm tm;
        int32_t back;

        assert_non_null(gmtime_r(&seconds, &tm));
        (void)snprintf(want, sizeof(want), "%04d-%02d-%02d", tm.tm_year + 1900, tm.tm_mon + 1, tm.tm_mday);
        ch_date_format(days, text);
        CHECK_TEXT(want, text, want);
        CHECK(want, ch_date_parse(ch_str_of(text), &back) == CH_OK && back == days);
        CHECK(want, ((days + 4) % 7 + 7) % 7 == tm.tm_wday);
    }
}

static void test_time__date_is_real(void **state)
{
    static const struct {
        const char *text;
        enum ch_err want;
    } cases[] = {
        {"2026-11-23", CH_OK},          {"2024-02-29", CH_OK},          {"2026-02-29", CH_ERR_INVALID},
        {"2026-06-31", CH_ERR_INVALID}, {"2026-6-01", CH_ERR_INVALID},  {"2026-11-23Z", CH_ERR_INVALID},
        {"2026/11/23", CH_ERR_INVALID}, {"20261123", CH_ERR_INVALID},   {"", CH_ERR_INVALID},
        {"2026-11-2x", CH_ERR_INVALID}, {"-026-11-23", CH_ERR_INVALID}, {"2026-11-00", CH_ERR_INVALID},
    };
    int32_t days;

    (void)state;
    FOR_EACH(c, cases)
    CHECK(c->text, ch_date_parse(ch_str_of(c->text), &days) == c->want);
}

static void test_time__clocks_run(void **state)
{
    int64_t before_ns = ch_now_ns();
    int64_t wall_s = ch_wall_us() / 1000000;

    (void)state;
    assert_true(ch_now_ns() >= before_ns);
    assert_in_range(wall_s - time(NULL) + 2, 0, 4);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_time__parses_strictly), cmocka_unit_test(test_time__refuses_every_cut),
        cmocka_unit_test(test_time__formats),         cmocka_unit_test(test_time__knows_every_day),
        cmocka_unit_test(test_time__date_is_real),    cmocka_unit_test(test_time__clocks_run),
    };

    return cmocka_run_group_tests_name("time", tests, NULL, NULL);
}
