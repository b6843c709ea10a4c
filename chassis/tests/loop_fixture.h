// SPDX-License-Identifier: Apache-2.0
/*
 * What the tests of run/ share: a loop on the test's own thread. `loop_run_until_done` starts one fiber and runs the
 * loop until that fiber has ended; a test ends all others first, for a loop with living fibers cannot be freed. The
 * counts are smaller under TSan, for which a fiber is as dear as a thread.
 */
#ifndef CH_LOOP_FIXTURE_H
#define CH_LOOP_FIXTURE_H

#include "ch/run.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#if defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define TEST_TSAN 1
#endif
#endif
#if defined(__SANITIZE_THREAD__) || defined(TEST_TSAN)
#define TEST_FIBERS 1000
#define TEST_ROUNDS 2000
#else
#define TEST_FIBERS 10000
#define TEST_ROUNDS 300000
#endif

/* Some tests start more fibers than a connection takes statements, whatever TEST_FIBERS is. */
#define LOOP_FIBERS ((TEST_FIBERS < 2000 ? 2000 : TEST_FIBERS) + 10)

#define MS(count) ((int64_t)(count)*1000000)

static struct ch_loop *loop;

static inline int loop_setup(void **state)
{
    static const struct ch_loop_options options = {.name = "test", .index = 3, .fibers_max = LOOP_FIBERS};

    (void)state;
    loop = ch_loop_new(&options);
    return loop ? 0 : -1;
}

static inline int loop_teardown(void **state)
{
    (void)state;
    if (ch_loop_fibers(loop) > 0) /* an assertion failed on a fiber: let cmocka say so */
        return -1;
    ch_loop_free(loop);
    loop = NULL;
    return 0;
}

static inline void start(ch_fiber_fn *fn, void *arg)
{
    assert_int_equal(ch_fiber_start(loop, fn, arg), CH_OK);
}

struct loop_main {
    ch_fiber_fn *fn;
    void *arg;
};

static inline void loop_main_run(void *arg)
{
    struct loop_main *main = arg;

    main->fn(main->arg);
    ch_loop_stop(ch_loop_current());
}

static inline void loop_run_until_done(ch_fiber_fn *fn, void *arg)
{
    struct loop_main main = {fn, arg};

    start(loop_main_run, &main);
    ch_loop_run(loop);
}

#define LOOP_TEST(name) cmocka_unit_test_setup_teardown(name, loop_setup, loop_teardown)

#endif
