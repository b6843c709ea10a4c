// SPDX-License-Identifier: Apache-2.0
// Counts the passes of the named steps and strikes at the one that the environment asks for. Only in builds with
// -Dpoints=true. Must never strike twice in a process, nor without having said so: a test that sees no line was not
// hit.
#include "ch/point.h"

#include "ch/base.h"

#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <unistd.h>

enum action { DIE, STALL, FAIL, ACTION_COUNT };

static const char *const action_names[ACTION_COUNT] = {"die", "stall", "fail"};
static const char *const point_names[CH_POINT_COUNT] = {
#define CH_POINT_ROW(name, protocol, service, text) #name,
#include "ch/points.def"
#undef CH_POINT_ROW
};

// Written before there are threads.
static struct {
    bool is_set;
    enum ch_point point;
    enum action action;
    int64_t nth;
} order;
static _Atomic(int64_t) passes[CH_POINT_COUNT];

static int index_of(struct ch_str name, const char *const *names, int count)
{
    for (int i = 0; i < count; i++)
        if (ch_str_is(name, names[i]))
            return i;
    return -1;
}

// The text up to the next colon, which is taken with it.
static struct ch_str take_part(struct ch_str *rest)
{
    const char *colon = rest->len ? memchr(rest->data, ':', rest->len) : NULL;
    const size_t len = colon ? (size_t)(colon - rest->data) : rest->len;
    const struct ch_str part = {rest->data, len};

    rest->data += len + (colon != NULL);
    rest->len -= len + (colon != NULL);
    return part;
}

enum ch_err ch_point_setup(FILE *out)
{
    struct ch_str rest = ch_str_of(getenv("CH_POINT"));

    if (!rest.data || rest.len == 0)
        return CH_OK;
    const int point = index_of(take_part(&rest), point_names, CH_POINT_COUNT);
    const int action = index_of(take_part(&rest), action_names, ACTION_COUNT);
    int64_t nth = 0;
    if (point < 0 || action < 0 || ch_str_to_int64(rest, &nth) || nth < 1) {
        fprintf(out, "CH_POINT: must be NAME:die, stall or fail:N, with a name of points.def and N from 1\n");
        return CH_ERR_INVALID;
    }
    order.point = (enum ch_point)point;
    order.action = (enum action)action;
    order.nth = nth;
    order.is_set = true;
    return CH_OK;
}

// One write, and none after it in this process when it dies: no buffer, no other thread in between.
static void announce(void)
{
    char line[160];
    const int len =
        snprintf(line, sizeof(line), "{\"event\":\"point.hit\",\"point\":\"%s\",\"action\":\"%s\",\"pass\":%lld}\n",
                 point_names[order.point], action_names[order.action], (long long)order.nth);

    if (write(STDERR_FILENO, line, (size_t)len) < 0)
        abort(); // whoever asked for this must hear of it
}

enum ch_err ch_point_pass(enum ch_point point)
{
    const int64_t pass = atomic_fetch_add(&passes[point], 1) + 1;

    if (!order.is_set || point != order.point || pass != order.nth)
        return CH_OK;
    announce();
    switch (order.action) {
    case DIE: // raise() is this thread's signal: it does not get a single step further
        (void)raise(SIGKILL);
        abort();
    case STALL:
        (void)raise(SIGSTOP);
        return CH_OK;
    default:
        return CH_ERR_UNAVAILABLE;
    }
}
