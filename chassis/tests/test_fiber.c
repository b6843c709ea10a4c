// SPDX-License-Identifier: Apache-2.0
// Fibers and their stacks: order, limits, cancellation, reuse, overflow. Prints what a switch costs; asserts no time.
#include "../src/run/internal.h"
#include "loop_fixture.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

static char trail[64];

static void trail_add(const char *step)
{
    strncat(trail, step, sizeof(trail) - strlen(trail) - 1);
}

static int fiber_setup(void **state)
{
    trail[0] = 0;
    return loop_setup(state);
}

#define FIBER_TEST(name) cmocka_unit_test_setup_teardown(name, fiber_setup, loop_teardown)

static void add_arg(void *arg)
{
    assert_non_null(ch_fiber_current());
    trail_add(arg);
}

static void nothing(void *arg)
{
    (void)arg;
}

static void test_fiber__runs_in_the_order_of_starting(void **state)
{
    (void)state;
    start(add_arg, "a");
    start(add_arg, "b");
    start(add_arg, "c");
    assert_null(ch_fiber_current());
    assert_int_equal(ch_loop_fibers(loop), 3);
    loop_run_until_done(add_arg, "d");
    assert_string_equal(trail, "abcd");
    assert_int_equal(ch_loop_fibers(loop), 0);
}

static void yielding(void *arg)
{
    int i;

    for (i = 0; i < 3; i++) {
        trail_add(arg);
        ch_fiber_yield();
    }
}

static void test_fiber__yield_gives_way(void **state)
{
    (void)state;
    start(yielding, "a");
    loop_run_until_done(yielding, "b");
    assert_string_equal(trail, "ababab");
}

/* ---- limit ---- */

static int alive_now;

static void hold(void *arg)
{
    alive_now++;
    assert_int_equal(ch_wait(arg, CH_NO_DEADLINE), CH_OK);
    alive_now--;
}

static void fill_and_release(void *arg)
{
    size_t max = LOOP_FIBERS, count = max - ch_loop_fibers(loop), i;
    struct ch_wait *waits = calloc(count, sizeof(*waits));

    (void)arg;
    assert_non_null(waits);
    for (i = 0; i < count; i++)
        start(hold, &waits[i]);
    assert_int_equal(ch_loop_fibers(loop), max);
    assert_int_equal(ch_fiber_start(loop, nothing, NULL), CH_ERR_LIMIT);
    assert_int_equal(ch_fiber_start_reserved(loop, nothing, NULL), CH_OK);
    while (alive_now < (int)count)
        ch_fiber_yield();
    for (i = 0; i < count; i++)
        ch_wake(&waits[i], CH_OK);
    while (ch_loop_fibers(loop) > 1)
        ch_fiber_yield();
    assert_int_equal(alive_now, 0);
    start(nothing, NULL);
    free(waits);
}

static void test_fiber__refuses_more_than_fibers_max(void **state)
{
    (void)state;
    loop_run_until_done(fill_and_release, NULL);
}

/* ---- cancel ---- */

struct canceller {
    struct ch_fiber *fiber;
    enum ch_err first, second;
};

static void wait_twice(void *arg)
{
    struct canceller *canceller = arg;

    canceller->fiber = ch_fiber_current();
    canceller->first = ch_sleep_wait(ch_now_ns() + MS(60000));
    canceller->second = ch_sleep_wait(ch_now_ns() + MS(1));
    canceller->fiber = NULL;
}

static void cancel_parked(void *arg)
{
    struct canceller canceller = {0};

    (void)arg;
    start(wait_twice, &canceller);
    ch_fiber_yield();
    assert_non_null(canceller.fiber);
    ch_fiber_cancel(canceller.fiber);
    while (canceller.fiber)
        ch_fiber_yield();
    assert_int_equal(canceller.first, CH_ERR_CANCELLED);
    assert_int_equal(canceller.second, CH_OK);
}

static void test_cancel__ends_the_wait_of_a_parked_fiber_once(void **state)
{
    (void)state;
    loop_run_until_done(cancel_parked, NULL);
}

static void cancel_running(void *arg)
{
    struct canceller canceller = {0};

    (void)arg;
    ch_fiber_cancel(ch_fiber_current());
    ch_fiber_yield();
    wait_twice(&canceller);
    assert_int_equal(canceller.first, CH_ERR_CANCELLED);
    assert_int_equal(canceller.second, CH_OK);
}

static void test_cancel__ends_the_next_wait_of_a_running_fiber(void **state)
{
    (void)state;
    loop_run_until_done(cancel_running, NULL);
}

static void cancel_woken(void *arg)
{
    struct ch_wait wait = {0}, next = {0};

    (void)arg;
    ch_wake(&wait, CH_ERR_CONFLICT);
    ch_fiber_cancel(ch_fiber_current());
    assert_int_equal(ch_wait(&wait, CH_NO_DEADLINE), CH_ERR_CONFLICT);
    assert_int_equal(ch_wait(&next, CH_NO_DEADLINE), CH_ERR_CANCELLED);
}

static void test_cancel__does_not_take_a_result_that_came_first(void **state)
{
    (void)state;
    loop_run_until_done(cancel_woken, NULL);
}

/* ---- stacks ---- */

static uintptr_t here;

static void note_stack(void *arg)
{
    (void)arg;
    here = (uintptr_t)ch_fiber_current();
}

static void test_stacks__are_used_again(void **state)
{
    uintptr_t first;

    (void)state;
    loop_run_until_done(note_stack, NULL);
    first = here;
    loop_run_until_done(note_stack, NULL);
    assert_true(first == here);
    assert_int_equal(loop->stacks.count, 1);
}

#define BURST 600

static size_t stacks_written(void **taken, size_t stack_bytes)
{
    size_t count = 0, i;

    for (i = 0; i < BURST; i++)
        count += ((char *)taken[i])[stack_bytes / 2] == 'x';
    return count;
}

static void test_stacks__give_memory_back_after_a_burst(void **state)
{
    struct ch_stacks stacks;
    void *taken[BURST];
    size_t i;

    (void)state;
    assert_int_equal(ch_stacks_init(&stacks, BURST, 0), CH_OK);
    for (i = 0; i < BURST; i++) {
        taken[i] = ch_stacks_take(&stacks);
        assert_non_null(taken[i]);
        ((char *)taken[i])[stacks.stack_bytes / 2] = 'x';
    }
    for (i = 0; i < BURST; i++)
        ch_stacks_give(&stacks, taken[i]);
    assert_true(ch_stacks_is_warm(&stacks));
    ch_stacks_trim(&stacks); /* they were in use since the last trim: nothing cools yet */
    assert_int_equal(stacks_written(taken, stacks.stack_bytes), BURST);
    ch_stacks_trim(&stacks);
    assert_int_equal(stacks_written(taken, stacks.stack_bytes), BURST - CH_STACKS_TRIM_MAX);
    while (ch_stacks_is_warm(&stacks))
        ch_stacks_trim(&stacks);
    assert_int_equal(stacks_written(taken, stacks.stack_bytes), CH_STACKS_WARM_MIN);
    for (i = 0; i < BURST; i++)
        assert_non_null(ch_stacks_take(&stacks));
    for (i = 0; i < BURST; i++)
        ch_stacks_give(&stacks, taken[i]);
    ch_stacks_release(&stacks);
}

static void start_burst(void *arg)
{
    int i;

    (void)arg;
    for (i = 0; i < 4 * CH_STACKS_WARM_MIN; i++)
        start(nothing, NULL);
    ch_fiber_yield();
    assert_true(loop->is_trimming);
    while (loop->is_trimming) /* ends by the loop's own timer */
        assert_int_equal(ch_sleep_wait(ch_now_ns() + MS(1)), CH_OK);
    assert_false(ch_stacks_is_warm(&loop->stacks));
}

static void test_stacks__of_a_loop_are_trimmed_by_themselves(void **state)
{
    (void)state;
    loop_run_until_done(start_burst, NULL);
}

static int overflow(int depth)
{
    volatile char block[1024];

    block[0] = (char)depth;
    return depth > 0 ? overflow(depth - 1) + block[0] : block[0];
}

static void overflow_run(void *arg)
{
    *(int *)arg = overflow(100000);
}

static void test_stacks__overflow_ends_the_process(void **state)
{
    static const struct rlimit no_core = {0, 0};
    int status, sum = 0;
    pid_t child;

    (void)state;
    (void)fflush(NULL);
    child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        (void)setrlimit(RLIMIT_CORE, &no_core);
        (void)signal(SIGSEGV, SIG_DFL); /* not cmocka's */
        (void)!freopen("/dev/null", "w", stderr);
        loop_run_until_done(overflow_run, &sum);
        _exit(0);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    if (WIFSIGNALED(status))
        assert_int_equal(WTERMSIG(status), SIGSEGV);
    else
        assert_int_not_equal(WEXITSTATUS(status), 0); /* a sanitizer's report */
}

/* ---- cost ---- */

static void raw_park(void *arg)
{
    int i;

    (void)arg;
    for (i = 0; i < TEST_ROUNDS; i++)
        ch_fiber_park(loop->running);
}

static void cost_of_yield(void *arg)
{
    int64_t from_ns = ch_now_ns();
    int i;

    (void)arg;
    for (i = 0; i < TEST_ROUNDS; i++)
        ch_fiber_yield();
    printf("yield, with a turn of the loop: %.1f ns\n", (double)(ch_now_ns() - from_ns) / TEST_ROUNDS);
}

static void cost_of_start(void *arg)
{
    int64_t from_ns = ch_now_ns();
    int i;

    (void)arg;
    for (i = 0; i < TEST_ROUNDS; i++) {
        start(nothing, NULL);
        if (i % 64 == 63)
            ch_fiber_yield();
    }
    printf("fiber start, run and end: %.1f ns\n", (double)(ch_now_ns() - from_ns) / TEST_ROUNDS);
}

static void test_fiber__costs_are_printed(void **state)
{
    struct ch_fiber *fiber;
    int64_t from_ns;
    int i;

    (void)state;
    start(raw_park, NULL);
    fiber = ch_fiber_list_pop(&loop->ready);
    from_ns = ch_now_ns();
    for (i = 0; i <= TEST_ROUNDS; i++)
        ch_fiber_resume(fiber);
    printf("one switch: %.1f ns\n", (double)(ch_now_ns() - from_ns) / TEST_ROUNDS / 2);
    assert_int_equal(ch_loop_fibers(loop), 0);
    loop_run_until_done(cost_of_yield, NULL);
    loop_run_until_done(cost_of_start, NULL);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        FIBER_TEST(test_fiber__runs_in_the_order_of_starting),
        FIBER_TEST(test_fiber__yield_gives_way),
        FIBER_TEST(test_fiber__refuses_more_than_fibers_max),
        FIBER_TEST(test_cancel__ends_the_wait_of_a_parked_fiber_once),
        FIBER_TEST(test_cancel__ends_the_next_wait_of_a_running_fiber),
        FIBER_TEST(test_cancel__does_not_take_a_result_that_came_first),
        FIBER_TEST(test_stacks__are_used_again),
        FIBER_TEST(test_stacks__give_memory_back_after_a_burst),
        FIBER_TEST(test_stacks__of_a_loop_are_trimmed_by_themselves),
        FIBER_TEST(test_stacks__overflow_ends_the_process),
        FIBER_TEST(test_fiber__costs_are_printed),
    };

    return cmocka_run_group_tests_name("fiber", tests, NULL, NULL);
}
