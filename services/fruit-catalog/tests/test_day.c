// SPDX-License-Identifier: Apache-2.0
// Days in Seoul and seasons, also those that go over the new year.
#include "cases.h"
#include "day.h"

static const struct {
    const char *name, *utc, *want;
} day_cases[] = {
    {"morning", "2026-11-23T05:40:00Z", "2026-11-23"},
    {"just before midnight", "2026-11-23T14:59:59.999Z", "2026-11-23"},
    {"midnight in Seoul", "2026-11-23T15:00:00Z", "2026-11-24"},
    {"new year", "2026-12-31T15:00:00Z", "2027-01-01"},
};

static void test_day__turns_at_midnight_in_seoul(void **state)
{
    (void)state;
    FOR_EACH(c, day_cases)
    {
        int64_t wall_us = 0;

        CHECK(c->name, ch_time_parse(ch_str_of(c->utc), &wall_us) == CH_OK);
        const struct day day = day_in_seoul(wall_us);
        CHECK_TEXT(c->name, day.text, c->want);
    }
}

static const struct {
    const char *name, *day, *from, *to;
    bool want;
} season_cases[] = {
    {"inside", "2026-11-23", "10-20", "12-31", true},
    {"first day", "2026-10-20", "10-20", "12-31", true},
    {"day before", "2026-10-19", "10-20", "12-31", false},
    {"last day", "2026-12-31", "10-20", "12-31", true},
    {"after", "2026-01-01", "10-20", "12-31", false},
    {"over the new year, before it", "2026-11-23", "10-20", "03-31", true},
    {"over the new year, after it", "2027-02-01", "10-20", "03-31", true},
    {"over the new year, last day", "2027-03-31", "10-20", "03-31", true},
    {"over the new year, out", "2027-04-01", "10-20", "03-31", false},
    {"over the new year, day before", "2026-10-19", "10-20", "03-31", false},
    {"one day", "2026-05-05", "05-05", "05-05", true},
    {"not that day", "2026-05-06", "05-05", "05-05", false},
};

static void test_season__includes_both_ends(void **state)
{
    (void)state;
    FOR_EACH(c, season_cases)
    {
        struct day day;

        memcpy(day.text, c->day, sizeof(day.text));
        CHECK(c->name, day_is_in_season(&day, ch_str_of(c->from), ch_str_of(c->to)) == c->want);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_day__turns_at_midnight_in_seoul),
        cmocka_unit_test(test_season__includes_both_ends),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
