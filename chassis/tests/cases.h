// SPDX-License-Identifier: Apache-2.0
// What every unit test includes: cmocka with its prerequisites, and the loop over a table of cases.
// It must never hold anything of one test alone.
#ifndef CH_TESTS_CASES_H
#define CH_TESTS_CASES_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
// cmocka wants the four above first
#include <cmocka.h>

#define COUNT_OF(array)     (sizeof(array) / sizeof((array)[0]))
#define FOR_EACH(it, array) for (__typeof__(&(array)[0]) it = (array); it < (array) + COUNT_OF(array); it++)

/** A failure prints the case's name. */
#define CHECK(name, condition)                                                                                         \
    do {                                                                                                               \
        if (!(condition))                                                                                              \
            fail_msg("case \"%s\": %s", (name), #condition);                                                           \
    } while (0)

#define CHECK_TEXT(name, got, want)                                                                                    \
    do {                                                                                                               \
        if (strcmp((got), (want)) != 0)                                                                                \
            fail_msg("case \"%s\": got %s, want %s", (name), (got), (want));                                           \
    } while (0)

#endif
