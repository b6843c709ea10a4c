// SPDX-License-Identifier: Apache-2.0
// The loop's turn: hooks, fairness to descriptors, stopping, several loops side by side.
#include "loop_fixture.h"

#include <pthread.h>
#include <stdio.h>
#include <unistd.h>

/* ---- hooks ---- */

struct counting_hook {
    struct ch_hook hook;
    struct ch_wait *wakes;
    int count, seen;
};

static int steps;

static void hook_count(void *arg)
{
    struct counting_hook *counting = arg;

    assert_null(ch_fiber_current());
    assert_false(counting->hook.is_armed);
    counting->count++;
    counting->seen = steps;
    if (counting->wakes)
        ch_wake(counting->wakes, CH_OK);
}

static void add_step(void *arg)
{
    (void)arg;
    steps++;
}

static void arm_twice(void *arg)
{
    struct counting_hook counting = {.hook.fn = hook_count};
    struct ch_wait wait = {0};

    (void)arg;
    steps = 0;
    counting.hook.arg = &counting;
    counting.wakes = &wait;
    start(add_step, NULL);
    ch_loop_at_turn_end(loop, &counting.hook);
    ch_loop_at_turn_end(loop, &counting.hook);
    start(add_step, NULL);
    assert_int_equal(ch_wait(&wait, ch_now_ns() + MS(10000)), CH_OK);
    assert_int_equal(counting.count, 1);
    assert_int_equal(counting.seen, 2); /* after all that was ready */
    ch_loop_at_turn_end(loop, &counting.hook);
    counting.wakes = NULL;
    ch_fiber_yield();
    assert_int_equal(counting.count, 2);
}

static void test_hook__runs_once_after_all_that_was_ready(void **state)
{
    (void)state;
    loop_run_until_done(arm_twice, NULL);
}

/* ---- fairness ---- */

struct busy {
    struct ch_hook hook;
    int fds[2];
    int runs, hook_runs;
    bool is_over;
};

static void hook_again(void *arg)
{
    struct busy *busy = arg;

    busy->hook_runs++;
    if (!busy->is_over)
        ch_loop_at_turn_end(loop, &busy->hook);
}

static void start_again(void *arg)
{
    struct busy *busy = arg;

    busy->runs++;
    if (!busy->is_over)
        start(start_again, busy); /* something is ready at every moment */
}

static void stay_responsive(void *arg)
{
    struct busy busy = {.hook = {.fn = hook_again, .arg = &busy}};

    (void)arg;
    assert_int_equal(pipe(busy.fds), 0);
    ch_loop_at_turn_end(loop, &busy.hook);
    start(start_again, &busy);
    assert_int_equal(write(busy.fds[1], "x", 1), 1);
    assert_int_equal(ch_fd_wait(busy.fds[0], EV_READ, ch_now_ns() + MS(10000)), CH_OK);
    assert_true(busy.runs < 1000);
    assert_int_equal(ch_sleep_wait(ch_now_ns() + MS(2)), CH_OK);
    busy.is_over = true;
    ch_fiber_yield();
    ch_fiber_yield();
    assert_true(busy.runs > 0 && busy.hook_runs > 0);
    close(busy.fds[0]);
    close(busy.fds[1]);
}

static void test_loop__serves_descriptors_and_deadlines_while_busy(void **state)
{
    (void)state;
    loop_run_until_done(stay_responsive, NULL);
}

static void on_timer(evutil_socket_t fd, short events, void *arg)
{
    (void)fd;
    (void)events;
    assert_null(ch_fiber_current());
    ch_wake(arg, CH_OK);
}

static void wait_for_libevent(void *arg)
{
    static const struct timeval soon = {.tv_usec = 2000};
    struct ch_wait wait = {0};

    (void)arg;
    assert_int_equal(event_base_once(ch_loop_base(loop), -1, EV_TIMEOUT, on_timer, &wait, &soon), 0);
    assert_int_equal(ch_wait(&wait, ch_now_ns() + MS(10000)), CH_OK);
}

static void test_loop__runs_libevents_own_timers(void **state)
{
    (void)state;
    loop_run_until_done(wait_for_libevent, NULL);
}

/* ---- which loop, stop ---- */

static void look_around(void *arg)
{
    (void)arg;
    assert_true(ch_loop_current() == loop);
    assert_int_equal(ch_loop_index(loop), 3);
    assert_int_equal(ch_loop_fibers(loop), 1);
    assert_ptr_equal(ch_loop_user(loop), &steps);
}

static void test_loop__is_known_to_its_thread_only_while_it_runs(void **state)
{
    (void)state;
    assert_null(ch_loop_current());
    assert_null(ch_loop_user(loop));
    ch_loop_set_user(loop, &steps);
    loop_run_until_done(look_around, NULL);
    assert_null(ch_loop_current());
    assert_null(ch_fiber_current());
}

static void *stop_run(void *arg)
{
    ch_loop_stop(arg);
    return NULL;
}

static void test_loop__stops_and_runs_again(void **state)
{
    pthread_t thread;
    int i;

    (void)state;
    for (i = 0; i < 20; i++) {
        steps = 0;
        start(add_step, NULL);
        assert_int_equal(pthread_create(&thread, NULL, stop_run, loop), 0);
        ch_loop_run(loop);
        assert_int_equal(steps, 1);
        assert_int_equal(pthread_join(thread, NULL), 0);
    }
}

static void test_loop__free_accepts_null(void **state)
{
    (void)state;
    ch_loop_free(NULL);
}

/* ---- several ---- */

#define LOOPS  4
#define FIBERS 300

struct worker {
    struct ch_loop *loop;
    int ended;
};

static void work(void *arg)
{
    struct worker *worker = arg;
    int i;

    for (i = 0; i < 20; i++) {
        if (ch_loop_current() != worker->loop)
            return;
        if (i % 5 == 4) {
            if (ch_sleep_wait(ch_now_ns() + MS(1)))
                return;
        } else {
            ch_fiber_yield();
        }
    }
    if (++worker->ended == FIBERS)
        ch_loop_stop(worker->loop);
}

static void *worker_run(void *arg)
{
    struct worker *worker = arg;
    int i;

    for (i = 0; i < FIBERS; i++) {
        if (ch_fiber_start(worker->loop, work, worker))
            return NULL;
    }
    ch_loop_run(worker->loop);
    return NULL;
}

static void test_loop__several_run_side_by_side(void **state)
{
    struct worker workers[LOOPS] = {0};
    pthread_t threads[LOOPS];
    int i;

    (void)state;
    for (i = 0; i < LOOPS; i++) {
        const struct ch_loop_options options = {
            .name = "a name too long for a thread", .index = i, .fibers_max = FIBERS};

        workers[i].loop = ch_loop_new(&options);
        assert_non_null(workers[i].loop);
        assert_int_equal(pthread_create(&threads[i], NULL, worker_run, &workers[i]), 0);
    }
    for (i = 0; i < LOOPS; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
        assert_int_equal(workers[i].ended, FIBERS);
        assert_int_equal(ch_loop_fibers(workers[i].loop), 0);
        ch_loop_free(workers[i].loop);
    }
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        LOOP_TEST(test_hook__runs_once_after_all_that_was_ready),
        LOOP_TEST(test_loop__serves_descriptors_and_deadlines_while_busy),
        LOOP_TEST(test_loop__runs_libevents_own_timers),
        LOOP_TEST(test_loop__is_known_to_its_thread_only_while_it_runs),
        LOOP_TEST(test_loop__stops_and_runs_again),
        LOOP_TEST(test_loop__free_accepts_null),
        LOOP_TEST(test_loop__several_run_side_by_side),
    };

    return cmocka_run_group_tests_name("loop", tests, NULL, NULL);
}
