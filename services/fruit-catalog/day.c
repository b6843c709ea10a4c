// SPDX-License-Identifier: Apache-2.0
// Days in Seoul. catalog.is_in_season of the database is the same rule, for searching.
#include "day.h"

#define SEOUL_OFFSET_US (INT64_C(9) * 3600 * 1000000)
#define DAY_US          (INT64_C(24) * 3600 * 1000000)

struct day day_in_seoul(int64_t wall_us)
{
    struct day day;

    ch_date_format((int32_t)((wall_us + SEOUL_OFFSET_US) / DAY_US), day.text);
    return day;
}

struct ch_str day_str(const struct day *day)
{
    return ch_str_of(day->text);
}

static int compare(struct ch_str month_day, const char *today)
{
    return memcmp(today, month_day.data, month_day.len < 5 ? month_day.len : 5);
}

bool day_is_in_season(const struct day *day, struct ch_str season_from, struct ch_str season_to)
{
    const char *today = day->text + 5;
    const bool has_begun = compare(season_from, today) >= 0, has_not_ended = compare(season_to, today) <= 0;
    const bool is_over_new_year = memcmp(season_from.data, season_to.data, 5) > 0;

    return is_over_new_year ? has_begun || has_not_ended : has_begun && has_not_ended;
}
