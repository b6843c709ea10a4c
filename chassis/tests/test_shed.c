// SPDX-License-Identifier: Apache-2.0
// How much a loop takes on: by class, and how the limit finds itself. The clock is the test's, and so is the service:
// it takes `base_ns` for a request while no more than `capacity` are in flight, and proportionally longer above.
#include "cases.h"

#include "../src/app/shed.h"

#define MS(count) ((int64_t)(count)*1000000)

static struct ch_shed shed;
static struct ch_shed_usual usual;
static int64_t now_ns;

static int setup(void **state)
{
    (void)state;
    ch_shed_init(&shed, 1000, 10);
    usual = (struct ch_shed_usual){0};
    now_ns = MS(1000000);
    return 0;
}

static size_t enter_until_full(enum ch_shed_class class)
{
    size_t count = 0;

    while (ch_shed_enter(&shed, class) == CH_OK)
        count++;
    return count;
}

struct model {
    size_t capacity;
    int64_t base_ns;
};

// A second: `wanted` clients, each in flight all the time if it is let in. Returns what one request took in the end.
static int64_t run_s(int seconds, size_t wanted, struct model model, struct ch_shed_usual *of)
{
    const int64_t end_ns = now_ns + MS(1000) * seconds;
    int64_t took_ns = 0;

    while (now_ns < end_ns) {
        size_t inside = 0;

        while (inside < wanted && ch_shed_enter(&shed, CH_SHED_NORMAL) == CH_OK)
            inside++;
        took_ns = inside > model.capacity ? model.base_ns * (int64_t)inside / (int64_t)model.capacity : model.base_ns;
        now_ns += took_ns;
        for (size_t i = 0; i < inside; i++) {
            ch_shed_leave(&shed, CH_SHED_NORMAL);
            ch_shed_learn(&shed, of, took_ns, now_ns);
        }
    }
    return took_ns;
}

static void test_shed__refuses_writes_first_and_the_cheap_last(void **state)
{
    (void)state;
    ch_shed_init(&shed, 8, 3);
    assert_int_equal(enter_until_full(CH_SHED_NORMAL), 8);
    assert_int_equal(enter_until_full(CH_SHED_READ), 2);
    assert_int_equal(enter_until_full(CH_SHED_CHEAP), 3);
    assert_int_equal(enter_until_full(CH_SHED_STREAM), 3);
    ch_shed_leave(&shed, CH_SHED_NORMAL);
    assert_int_equal(ch_shed_enter(&shed, CH_SHED_NORMAL), CH_ERR_OVERLOADED); // still over its share
    assert_int_equal(ch_shed_enter(&shed, CH_SHED_CHEAP), CH_OK);
}

static void test_shed__takes_again_what_left(void **state)
{
    (void)state;
    ch_shed_init(&shed, 1, 1);
    assert_int_equal(ch_shed_enter(&shed, CH_SHED_NORMAL), CH_OK);
    assert_int_equal(ch_shed_enter(&shed, CH_SHED_NORMAL), CH_ERR_OVERLOADED);
    ch_shed_leave(&shed, CH_SHED_NORMAL);
    assert_int_equal(ch_shed_enter(&shed, CH_SHED_NORMAL), CH_OK);
}

static void test_shed__keeps_work_within_a_few_times_its_usual_time(void **state)
{
    const struct model service = {8, MS(10)};
    int64_t took_ns;

    (void)state;
    (void)run_s(5, 4, service, &usual); // a usual day
    assert_in_range(usual.usual_ns, MS(9), MS(11));
    took_ns = run_s(5, 500, service, &usual); // a flood
    assert_in_range(took_ns, MS(75), MS(125));
    assert_in_range(shed.limit, 60, 100);
    took_ns = run_s(300, 500, service, &usual); // that lasts: nothing drifts
    assert_in_range(took_ns, MS(75), MS(125));
    assert_in_range(usual.usual_ns, MS(9), MS(11));
}

static void test_shed__takes_more_while_nothing_waits(void **state)
{
    (void)state;
    (void)run_s(2, 4, (struct model){10000, MS(10)}, &usual);
    (void)run_s(10, 5000, (struct model){10000, MS(10)}, &usual);
    assert_int_equal(shed.limit, 1000);
}

static void test_shed__keeps_its_limit_while_it_is_not_used(void **state)
{
    size_t limit;

    (void)state;
    (void)run_s(2, 4, (struct model){100, MS(10)}, &usual);
    limit = shed.limit;
    (void)run_s(3, 4, (struct model){100, MS(200)}, &usual); // slow, but not for load
    assert_int_equal(shed.limit, limit);
    (void)run_s(10, 4, (struct model){100, MS(10)}, &usual); // nor is it raised by what does not need it
    assert_int_equal(shed.limit, limit);
}

static void test_shed__learns_that_work_takes_longer_now(void **state)
{
    (void)state;
    (void)run_s(5, 4, (struct model){1000, MS(10)}, &usual);
    (void)run_s(3, 500, (struct model){1000, MS(300)}, &usual); // thirty times as long whatever is let in
    assert_in_range(shed.limit, 16, 48);
    (void)run_s(120, 500, (struct model){1000, MS(300)}, &usual);
    assert_in_range(shed.limit, 400, 1000);
}

static void test_shed__forgets_a_flood_when_little_comes(void **state)
{
    (void)state;
    (void)run_s(5, 4, (struct model){8, MS(10)}, &usual);
    (void)run_s(5, 500, (struct model){8, MS(10)}, &usual);
    assert_in_range(shed.limit, 60, 100);
    (void)run_s(3, 4, (struct model){8, MS(10)}, &usual);
    assert_int_equal(shed.limit, 256); // room for a burst again
}

static void test_shed__does_not_take_another_mix_for_load(void **state)
{
    struct ch_shed_usual slow = {0};
    size_t limit;

    (void)state;
    (void)run_s(2, 4, (struct model){1000, MS(2)}, &usual);
    (void)run_s(2, 4, (struct model){1000, MS(50)}, &slow);
    limit = shed.limit;
    (void)run_s(2, limit, (struct model){1000, MS(2)}, &usual);
    (void)run_s(5, limit, (struct model){1000, MS(50)}, &slow); // 25 times as long: but that is what it takes
    assert_true(shed.limit >= limit);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_shed__refuses_writes_first_and_the_cheap_last),
        cmocka_unit_test(test_shed__takes_again_what_left),
        cmocka_unit_test_setup(test_shed__keeps_work_within_a_few_times_its_usual_time, setup),
        cmocka_unit_test_setup(test_shed__takes_more_while_nothing_waits, setup),
        cmocka_unit_test_setup(test_shed__keeps_its_limit_while_it_is_not_used, setup),
        cmocka_unit_test_setup(test_shed__learns_that_work_takes_longer_now, setup),
        cmocka_unit_test_setup(test_shed__forgets_a_flood_when_little_comes, setup),
        cmocka_unit_test_setup(test_shed__does_not_take_another_mix_for_load, setup),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
