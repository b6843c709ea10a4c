// SPDX-License-Identifier: Apache-2.0
/**
 * @file day.h
 * @brief Days as people in Korea count them: seasons and certificates begin and end at midnight in Seoul, whose offset
 * is always +09:00.
 */
#ifndef DAY_H
#define DAY_H

#include "ch/base.h"

struct day {
    char text[CH_DATE_TEXT]; /**< "2026-11-23" */
};

struct day day_in_seoul(int64_t wall_us);
struct ch_str day_str(const struct day *day);

/** Both ends are "MM-DD" and belong to the season; one that begins later in the year than it ends goes over the new
 * year. */
bool day_is_in_season(const struct day *day, struct ch_str season_from, struct ch_str season_to);

#endif
