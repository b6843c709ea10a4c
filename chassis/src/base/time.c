// SPDX-License-Identifier: Apache-2.0
// Clocks, RFC 3339 times and calendar dates, with calendar arithmetic of our own: no locale, no time zone files, no
// locks. It must never accept a day that does not exist.
#include "ch/base.h"

#include <time.h>

#define US_PER_SECOND 1000000
#define US_PER_DAY    (86400ll * US_PER_SECOND)
#define FIRST_DAY     (-719528) // 0000-01-01
#define LAST_DAY      2932896   // 9999-12-31
#define DAYS_PER_ERA  146097    // 400 years
#define EPOCH_SHIFT   719468    // days from 0000-03-01 to 1970-01-01

struct civil {
    int year, month, day;
};

static int64_t clock_read(clockid_t clock, int64_t per_second)
{
    struct timespec now;

    (void)clock_gettime(clock, &now); // cannot fail for these clocks
    return (int64_t)now.tv_sec * per_second + now.tv_nsec / (1000000000 / per_second);
}

int64_t ch_now_ns(void)
{
    return clock_read(CLOCK_MONOTONIC, 1000000000);
}

int64_t ch_wall_us(void)
{
    return clock_read(CLOCK_REALTIME, US_PER_SECOND);
}

// Years run from March here, so that the leap day is a year's last; one era more keeps every division positive.
static int32_t days_from_civil(struct civil date)
{
    int year = date.year + 400 - (date.month <= 2);
    int month = (date.month + 9) % 12;

    return 365 * year + year / 4 - year / 100 + year / 400 + (153 * month + 2) / 5 + date.day - 1 - EPOCH_SHIFT -
           DAYS_PER_ERA;
}

static struct civil civil_from_days(int32_t days)
{
    int shifted = days + EPOCH_SHIFT + DAYS_PER_ERA;
    int day_of_era = shifted % DAYS_PER_ERA;
    int year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146096) / 365;
    int day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    int month = (5 * day_of_year + 2) / 153;
    struct civil date;

    date.day = day_of_year - (153 * month + 2) / 5 + 1;
    date.month = month < 10 ? month + 3 : month - 9;
    date.year = year_of_era + (shifted / DAYS_PER_ERA - 1) * 400 + (date.month <= 2);
    return date;
}

static int days_in_month(int year, int month)
{
    static const int8_t days[] = {0, 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    bool is_leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;

    return days[month] + (month == 2 && is_leap);
}

static char *put_digits(char *p, int value, int count)
{
    for (int i = count - 1; i >= 0; i--) {
        p[i] = (char)('0' + value % 10);
        value /= 10;
    }
    return p + count;
}

static char *put_date(char *p, int32_t days)
{
    struct civil date = civil_from_days(days);

    p = put_digits(p, date.year, 4);
    *p++ = '-';
    p = put_digits(p, date.month, 2);
    *p++ = '-';
    return put_digits(p, date.day, 2);
}

void ch_time_format(int64_t wall_us, char ret_text[CH_TIME_TEXT])
{
    int64_t days;
    int ms; // of the day
    char *p;

    if (wall_us < FIRST_DAY * US_PER_DAY)
        wall_us = FIRST_DAY * US_PER_DAY;
    if (wall_us >= (LAST_DAY + 1) * US_PER_DAY)
        wall_us = (LAST_DAY + 1) * US_PER_DAY - 1;
    days = wall_us / US_PER_DAY - (wall_us % US_PER_DAY < 0);
    ms = (int)((wall_us - days * US_PER_DAY) / 1000);

    p = put_date(ret_text, (int32_t)days);
    *p++ = 'T';
    p = put_digits(p, ms / 3600000, 2);
    *p++ = ':';
    p = put_digits(p, ms / 60000 % 60, 2);
    *p++ = ':';
    p = put_digits(p, ms / 1000 % 60, 2);
    *p++ = '.';
    p = put_digits(p, ms % 1000, 3);
    *p++ = 'Z';
    *p = '\0';
}

void ch_date_format(int32_t days, char ret_text[CH_DATE_TEXT])
{
    *put_date(ret_text, days < FIRST_DAY ? FIRST_DAY : days > LAST_DAY ? LAST_DAY : days) = '\0';
}

/* ---- reading: a cursor that turns bad once and stays so ------------------------------------------------------- */

struct cursor {
    const char *p, *end;
    bool is_bad;
};

static int take_digits(struct cursor *in, int count, int min, int max)
{
    int value = 0;

    if (in->is_bad || in->end - in->p < count) {
        in->is_bad = true;
        return min;
    }
    for (int i = 0; i < count; i++) {
        char c = *in->p++;

        in->is_bad |= c < '0' || c > '9';
        value = value * 10 + (c - '0');
    }
    if (in->is_bad || value < min || value > max) {
        in->is_bad = true;
        return min;
    }
    return value;
}

static bool take_one_of(struct cursor *in, char a, char b)
{
    if (in->is_bad || in->p == in->end || (*in->p != a && *in->p != b))
        return false;
    in->p++;
    return true;
}

static void expect(struct cursor *in, char a, char b)
{
    in->is_bad |= !take_one_of(in, a, b);
}

static int32_t take_date(struct cursor *in)
{
    struct civil date;

    date.year = take_digits(in, 4, 0, 9999);
    expect(in, '-', '-');
    date.month = take_digits(in, 2, 1, 12);
    expect(in, '-', '-');
    date.day = take_digits(in, 2, 1, days_in_month(date.year, date.month));
    return days_from_civil(date);
}

static int64_t take_fraction_us(struct cursor *in)
{
    int64_t us = 0, unit = US_PER_SECOND / 10;

    if (!take_one_of(in, '.', '.'))
        return 0;
    us += unit * take_digits(in, 1, 0, 9);
    while (in->p < in->end && *in->p >= '0' && *in->p <= '9') {
        unit /= 10;
        us += unit * (*in->p++ - '0');
    }
    return us;
}

static int64_t take_offset_s(struct cursor *in)
{
    int sign = 1, hours;

    if (take_one_of(in, 'Z', 'z'))
        return 0;
    if (in->p < in->end && *in->p == '-')
        sign = -1;
    expect(in, '+', '-');
    hours = take_digits(in, 2, 0, 23);
    expect(in, ':', ':');
    return sign * (hours * 3600 + take_digits(in, 2, 0, 59) * 60);
}

// RFC 3339 5.7: second 60 stands only at the end of a June or December, counted in UTC.
static bool follows_leap_second(int64_t utc_s)
{
    struct civil date;

    if (utc_s % 86400 != 0)
        return false;
    date = civil_from_days((int32_t)(utc_s / 86400));
    return date.day == 1 && (date.month == 1 || date.month == 7);
}

enum ch_err ch_time_parse(struct ch_str text, int64_t *ret_wall_us)
{
    struct cursor in = {text.data, text.data + text.len, text.len == 0};
    int64_t utc_s, fraction_us;
    int second;

    if (in.is_bad)
        return CH_ERR_INVALID;
    utc_s = take_date(&in) * 86400ll;
    expect(&in, 'T', 't');
    utc_s += take_digits(&in, 2, 0, 23) * 3600;
    expect(&in, ':', ':');
    utc_s += take_digits(&in, 2, 0, 59) * 60;
    expect(&in, ':', ':');
    second = take_digits(&in, 2, 0, 60);
    fraction_us = take_fraction_us(&in);
    utc_s += second - take_offset_s(&in);

    if (in.is_bad || in.p != in.end)
        return CH_ERR_INVALID;
    if (second == 60 && !follows_leap_second(utc_s))
        return CH_ERR_INVALID;
    if (utc_s < FIRST_DAY * 86400ll || utc_s >= (LAST_DAY + 1) * 86400ll)
        return CH_ERR_INVALID; // the offset leads out of the years that can be written
    *ret_wall_us = utc_s * US_PER_SECOND + fraction_us;
    return CH_OK;
}

enum ch_err ch_date_parse(struct ch_str text, int32_t *ret_days)
{
    struct cursor in = {text.data, text.data + text.len, text.len != CH_DATE_TEXT - 1};
    int32_t days;

    if (in.is_bad)
        return CH_ERR_INVALID;
    days = take_date(&in);
    if (in.is_bad)
        return CH_ERR_INVALID;
    *ret_days = days;
    return CH_OK;
}
