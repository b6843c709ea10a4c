// SPDX-License-Identifier: Apache-2.0
/**
 * @file point.h
 * @brief Named steps at which a test can kill, stop or fail the process: the rows of points.def.
 *
 * `CH_POINT(NAME)` stands between two steps of a protocol and is looked at like any other result:
 *
 *     err = CH_POINT(PLACE_RESERVED);
 *     if (err)
 *         return err;
 *
 * In an ordinary build it is the constant CH_OK, and nothing of it is in the binary. Built with -Dpoints=true it counts
 * its passes, and the one that the environment names does something, once, after saying so on stderr:
 *
 *     CH_POINT=PLACE_RESERVED:die:1      SIGKILLs its own process
 *     CH_POINT=PLACE_RESERVED:stall:2    SIGSTOPs it at the second pass; after SIGCONT it goes on as if nothing were
 *     CH_POINT=PLACE_RESERVED:fail:1     returns CH_ERR_UNAVAILABLE
 *
 * A point must stand where its row says, once in the code. Any thread may pass it.
 */
#ifndef CH_POINT_H
#define CH_POINT_H

#include "ch/err.h"

#ifdef CH_POINTS

#include <stdio.h>

enum ch_point {
#define CH_POINT_ROW(name, protocol, service, text) CH_POINT_##name,
#include "ch/points.def"
#undef CH_POINT_ROW
    CH_POINT_COUNT
};

#define CH_POINT(name) ch_point_pass(CH_POINT_##name)

/** Main thread, before any other: reads CH_POINT. CH_ERR_INVALID: it is wrong; the rule stands on `out`. */
CH_MUST_CHECK enum ch_err ch_point_setup(FILE *out);

CH_MUST_CHECK enum ch_err ch_point_pass(enum ch_point point);

#else

#define CH_POINT(name) CH_OK

#endif
#endif
