// SPDX-License-Identifier: Apache-2.0
// Waits: wakes, deadlines in every order, descriptors, queues. Prints what they cost; asserts no time.
#include "../src/run/internal.h"
#include "loop_fixture.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* ---- wake and deadline ---- */

static void wake_first(void *arg)
{
    struct ch_wait wait = {0};

    (void)arg;
    ch_wake(&wait, CH_ERR_CONFLICT);
    ch_wake(&wait, CH_OK);
    assert_int_equal(ch_wait(&wait, 0), CH_ERR_CONFLICT);
}

static void test_wait__returns_at_once_when_woken_before(void **state)
{
    (void)state;
    loop_run_until_done(wake_first, NULL);
}

static void wake_arg(void *arg)
{
    ch_wake(arg, CH_ERR_DUPLICATE);
    ch_wake(arg, CH_OK);
}

static void wake_later(void *arg)
{
    struct ch_wait wait = {0};

    (void)arg;
    start(wake_arg, &wait);
    assert_int_equal(ch_wait(&wait, ch_now_ns() + MS(60000)), CH_ERR_DUPLICATE);
}

static void test_wait__keeps_the_first_wake(void **state)
{
    (void)state;
    loop_run_until_done(wake_later, NULL);
}

static void wait_past(void *arg)
{
    struct ch_wait wait = {0};

    (void)arg;
    assert_int_equal(ch_wait(&wait, ch_now_ns() - 1000000000), CH_ERR_DEADLINE);
    ch_wake(&wait, CH_OK);
    assert_int_equal(wait.result, CH_ERR_DEADLINE);
}

static void test_wait__does_not_park_after_the_deadline(void **state)
{
    (void)state;
    loop_run_until_done(wait_past, NULL);
}

/* One fiber's deadlines one after the other: its slot in the heap is earlier, later, the same or gone. */
static void wait_each(void *arg)
{
    static const int after_ms[] = {5, 1, 20, 2, 2, 9, 1};
    size_t i;

    (void)arg;
    for (i = 0; i < sizeof(after_ms) / sizeof(after_ms[0]); i++) {
        struct ch_wait woken = {0}, wait = {0};
        int64_t deadline_ns = ch_now_ns() + MS(after_ms[i]);

        start(wake_arg, &woken);
        assert_int_equal(ch_wait(&woken, deadline_ns + MS(3)), CH_ERR_DUPLICATE);
        assert_int_equal(ch_wait(&wait, deadline_ns), CH_ERR_DEADLINE);
        assert_true(ch_now_ns() >= deadline_ns);
    }
}

static void test_wait__ends_at_its_deadline_and_not_before(void **state)
{
    (void)state;
    loop_run_until_done(wait_each, NULL);
    assert_int_equal(loop->timers.count, 0);
}

/* ---- many sleepers ---- */

struct sleeper {
    struct ch_wait gate; /* so that all are there before the first falls asleep */
    int64_t until_ns;
    int place;
};

static struct sleeper sleepers[TEST_FIBERS];
static int woken[TEST_FIBERS];
static int gated_count, asleep_count, woken_count;

static void sleep_one(void *arg)
{
    struct sleeper *sleeper = arg;

    gated_count++;
    assert_int_equal(ch_wait(&sleeper->gate, CH_NO_DEADLINE), CH_OK);
    asleep_count++;
    assert_int_equal(ch_sleep_wait(sleeper->until_ns), CH_OK);
    woken[woken_count++] = sleeper->place;
}

/* False when the machine was too slow: not all slept before the first had to wake. */
static bool sleep_round(int64_t lead_ns)
{
    int64_t from_ns;
    bool is_valid;
    int i;

    gated_count = asleep_count = woken_count = 0;
    for (i = 0; i < TEST_FIBERS; i++) {
        sleepers[i] = (struct sleeper){0};
        start(sleep_one, &sleepers[i]);
    }
    while (gated_count < TEST_FIBERS)
        ch_fiber_yield();
    from_ns = ch_now_ns() + lead_ns;
    for (i = 0; i < TEST_FIBERS; i++) {
        sleepers[i].place = (int)((i * 7919L) % TEST_FIBERS); /* 7919 is prime: every place once, out of order */
        sleepers[i].until_ns = from_ns + sleepers[i].place * 10000L;
        ch_wake(&sleepers[i].gate, CH_OK);
    }
    while (asleep_count < TEST_FIBERS)
        ch_fiber_yield();
    is_valid = ch_now_ns() < from_ns;
    while (woken_count < TEST_FIBERS)
        assert_int_equal(ch_sleep_wait(ch_now_ns() + MS(5)), CH_OK);
    return is_valid;
}

static void sleep_many(void *arg)
{
    int64_t lead_ns = MS(50);
    int i;

    (void)arg;
    while (!sleep_round(lead_ns))
        lead_ns *= 2;
    for (i = 0; i < TEST_FIBERS; i++)
        assert_int_equal(woken[i], i);
}

static void test_sleep__wakes_thousands_in_order(void **state)
{
    (void)state;
    loop_run_until_done(sleep_many, NULL);
}

/* The heap against a sorted list, with removals from the middle and deadlines that move both ways. */
static void test_timers__expire_the_earliest_first(void **state)
{
    enum { COUNT = 500, ROUNDS = 20 };
    static struct ch_fiber fibers[COUNT];
    static struct ch_wait waits[COUNT];
    unsigned seed = 1;
    int round, i;

    (void)state;
    for (round = 0; round < ROUNDS; round++) {
        int64_t last_ns = 0;
        struct ch_fiber *fiber;
        int removed = 0;

        for (i = 0; i < COUNT; i++) {
            waits[i] = (struct ch_wait){.fiber = &fibers[i]};
            fibers[i] = (struct ch_fiber){.loop = loop, .wait = &waits[i], .deadline_ns = 1 + rand_r(&seed) % 1000};
            ch_timers_ensure(&loop->timers, &fibers[i]);
        }
        for (i = 0; i < COUNT; i += 3) {
            fibers[i].deadline_ns = 1 + rand_r(&seed) % 1000;
            ch_timers_ensure(&loop->timers, &fibers[i]);
        }
        for (i = 1; i < COUNT; i += 5, removed++)
            ch_timers_remove(&loop->timers, &fibers[i]);
        for (i = 0; i <= 1000; i++) {
            ch_timers_expire(&loop->timers, i);
            while ((fiber = ch_fiber_list_pop(&loop->ready))) {
                assert_int_equal(waits[fiber - fibers].result, CH_ERR_DEADLINE);
                assert_true(i >= last_ns);
                last_ns = i;
                removed++;
            }
        }
        assert_int_equal(removed, COUNT);
        assert_int_equal(loop->timers.count, 0);
    }
}

/* ---- descriptors ---- */

static void write_byte(void *arg)
{
    assert_int_equal(write(*(int *)arg, "x", 1), 1);
}

static void wait_pipe(void *arg)
{
    int fds[2];

    (void)arg;
    assert_int_equal(pipe(fds), 0);
    assert_int_equal(ch_fd_wait(fds[1], EV_WRITE, ch_now_ns() + MS(10000)), CH_OK);
    assert_int_equal(ch_fd_wait(fds[0], EV_READ, ch_now_ns() + MS(2)), CH_ERR_DEADLINE);
    start(write_byte, &fds[1]);
    assert_int_equal(ch_fd_wait(fds[0], EV_READ, ch_now_ns() + MS(10000)), CH_OK);
    assert_int_equal(ch_fd_wait(fds[0], EV_READ, ch_now_ns() + MS(10000)), CH_OK);
    ch_fiber_cancel(ch_fiber_current());
    assert_int_equal(ch_fd_wait(fds[0], EV_READ, ch_now_ns() + MS(10000)), CH_ERR_CANCELLED);
    close(fds[0]);
    close(fds[1]);
}

static void test_fd__waits_for_a_pipe(void **state)
{
    (void)state;
    loop_run_until_done(wait_pipe, NULL);
}

/* ---- queue ---- */

struct joiner {
    struct ch_queue *queue;
    struct ch_fiber *fiber;
    int64_t deadline_ns;
    enum ch_err err;
    int place; /* 1.. in the order of coming back */
};

static int places;

static void queue_join(void *arg)
{
    struct joiner *joiner = arg;

    joiner->fiber = ch_fiber_current();
    joiner->err = ch_queue_wait(joiner->queue, joiner->deadline_ns);
    joiner->place = ++places;
}

static void joiners_start(struct joiner *joiners, int count, struct ch_queue *queue)
{
    int i;

    places = 0;
    for (i = 0; i < count; i++) {
        joiners[i] = (struct joiner){.queue = queue, .deadline_ns = ch_now_ns() + MS(60000)};
        start(queue_join, &joiners[i]);
    }
}

static void queue_is_fifo_and_bounded(void *arg)
{
    struct joiner joiners[5];
    struct ch_queue queue;

    (void)arg;
    ch_queue_init(&queue, 4);
    assert_false(ch_queue_wake_one(&queue, CH_OK));
    joiners_start(joiners, 5, &queue);
    ch_fiber_yield();
    assert_int_equal(queue.count, 4);
    assert_int_equal(joiners[4].err, CH_ERR_OVERLOADED);
    assert_true(ch_queue_wake_one(&queue, CH_OK));
    ch_fiber_yield();
    assert_int_equal(joiners[0].place, 2);
    ch_queue_wake_all(&queue, CH_ERR_UNAVAILABLE);
    ch_fiber_yield();
    assert_int_equal(queue.count, 0);
    assert_int_equal(joiners[0].err, CH_OK);
    assert_int_equal(joiners[1].place, 3);
    assert_int_equal(joiners[3].place, 5);
    assert_int_equal(joiners[3].err, CH_ERR_UNAVAILABLE);
    assert_false(ch_queue_wake_one(&queue, CH_OK));
}

static void test_queue__is_fifo_and_bounded(void **state)
{
    (void)state;
    loop_run_until_done(queue_is_fifo_and_bounded, NULL);
}

static void queue_leave(void *arg)
{
    struct joiner joiners[4];
    struct ch_queue queue;

    (void)arg;
    ch_queue_init(&queue, 10);
    joiners_start(joiners, 4, &queue);
    joiners[1].deadline_ns = ch_now_ns() + MS(2);
    joiners[3].deadline_ns = ch_now_ns() + MS(1);
    while (places < 2)
        ch_fiber_yield();
    assert_int_equal(joiners[3].err, CH_ERR_DEADLINE);
    assert_int_equal(joiners[1].err, CH_ERR_DEADLINE);
    assert_int_equal(queue.count, 2);
    /* The first is cancelled but has not run since: what is handed over must reach the other. */
    ch_fiber_cancel(joiners[0].fiber);
    assert_true(ch_queue_wake_one(&queue, CH_OK));
    assert_false(ch_queue_wake_one(&queue, CH_OK));
    ch_fiber_yield();
    assert_int_equal(joiners[0].err, CH_ERR_CANCELLED);
    assert_int_equal(joiners[2].err, CH_OK);
    assert_int_equal(queue.count, 0);
}

static void test_queue__passes_over_who_has_given_up(void **state)
{
    (void)state;
    loop_run_until_done(queue_leave, NULL);
}

/* ---- cost ---- */

static struct ch_wait *sides[2];
static int64_t side_deadline_ns;

static void play(void *arg)
{
    int side = *(int *)arg, i;

    for (i = 0; i < TEST_ROUNDS; i++) {
        struct ch_wait wait = {0};

        sides[side] = &wait;
        if (sides[!side])
            ch_wake(sides[!side], CH_OK);
        assert_true(!ch_wait(&wait, side_deadline_ns));
        if (side_deadline_ns != CH_NO_DEADLINE)
            side_deadline_ns += 1000;
    }
    sides[side] = NULL;
    if (sides[!side])
        ch_wake(sides[!side], CH_OK);
}

static void cost_of_wait(const char *what, int64_t deadline_ns)
{
    static int side[2] = {0, 1};
    int64_t from_ns;

    side_deadline_ns = deadline_ns;
    start(play, &side[1]);
    from_ns = ch_now_ns();
    loop_run_until_done(play, &side[0]);
    printf("%s: %.1f ns\n", what, (double)(ch_now_ns() - from_ns) / TEST_ROUNDS / 2);
}

static void test_wait__costs_are_printed(void **state)
{
    enum { OTHERS = 1000 };
    static struct ch_fiber fibers[OTHERS];
    int64_t base_ns = ch_now_ns() + MS(60000), from_ns;
    int i;

    (void)state;
    cost_of_wait("wait and wake (two switches), no deadline", CH_NO_DEADLINE);
    cost_of_wait("wait and wake (two switches), a deadline each", base_ns);
    for (i = 0; i < OTHERS; i++) {
        fibers[i] = (struct ch_fiber){.deadline_ns = base_ns + i};
        ch_timers_ensure(&loop->timers, &fibers[i]);
    }
    from_ns = ch_now_ns();
    for (i = 0; i < TEST_ROUNDS; i++) {
        struct ch_fiber *fiber = &fibers[i % OTHERS];

        ch_timers_remove(&loop->timers, fiber);
        fiber->deadline_ns = base_ns + OTHERS + i;
        ch_timers_ensure(&loop->timers, fiber);
    }
    printf("deadline into and out of a heap of 1000: %.1f ns\n", (double)(ch_now_ns() - from_ns) / TEST_ROUNDS);
    from_ns = ch_now_ns();
    for (i = 0; i < TEST_ROUNDS; i++) {
        fibers[i % OTHERS].deadline_ns++;
        ch_timers_ensure(&loop->timers, &fibers[i % OTHERS]);
    }
    printf("deadline of the same fiber's next wait: %.1f ns\n", (double)(ch_now_ns() - from_ns) / TEST_ROUNDS);
    for (i = 0; i < OTHERS; i++)
        ch_timers_remove(&loop->timers, &fibers[i]);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        LOOP_TEST(test_wait__returns_at_once_when_woken_before),
        LOOP_TEST(test_wait__keeps_the_first_wake),
        LOOP_TEST(test_wait__does_not_park_after_the_deadline),
        LOOP_TEST(test_wait__ends_at_its_deadline_and_not_before),
        LOOP_TEST(test_sleep__wakes_thousands_in_order),
        LOOP_TEST(test_timers__expire_the_earliest_first),
        LOOP_TEST(test_fd__waits_for_a_pipe),
        LOOP_TEST(test_queue__is_fifo_and_bounded),
        LOOP_TEST(test_queue__passes_over_who_has_given_up),
        LOOP_TEST(test_wait__costs_are_printed),
    };

    return cmocka_run_group_tests_name("wait", tests, NULL, NULL);
}
