// SPDX-License-Identifier: Apache-2.0
// Circuit breaker, bulkhead and retry budget, on a clock of the test's own.
#include "../src/io/guard.h"
#include "loop_fixture.h"

#define MS(count) ((int64_t)(count)*1000000)
#define START_NS  MS(1000000)

static struct ch_breaker breaker;

static int setup(void **state)
{
    (void)state;
    ch_breaker_init(&breaker, "test", "127.0.0.1:1");
    return 0;
}

// One call. False: it was not let through.
static bool one(enum ch_verdict verdict, int64_t now_ns)
{
    if (!ch_breaker_would_pass(&breaker, now_ns))
        return false;
    ch_breaker_report(&breaker, ch_breaker_pass(&breaker, now_ns), verdict, now_ns);
    return true;
}

static int many(int count, enum ch_verdict verdict, int64_t now_ns)
{
    int passed = 0;

    for (int i = 0; i < count; i++)
        passed += one(verdict, now_ns);
    return passed;
}

static void test_breaker__opens_when_half_of_enough_calls_fail(void **state)
{
    static const struct {
        const char *name;
        int good, bad;
        enum ch_breaker_state want;
    } cases[] = {
        {"too few say nothing", 0, 19, CH_BREAKER_CLOSED},
        {"all of enough", 0, 20, CH_BREAKER_OPEN},
        {"half of enough", 15, 15, CH_BREAKER_OPEN},
        {"less than half", 30, 29, CH_BREAKER_CLOSED},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        assert_int_equal(setup(state), 0);
        assert_int_equal(many(cases[i].good, CH_VERDICT_GOOD, START_NS), cases[i].good);
        (void)many(cases[i].bad, CH_VERDICT_BAD, START_NS);
        if (breaker.state != cases[i].want)
            fail_msg("%s: state %d", cases[i].name, breaker.state);
    }
}

static void test_breaker__forgets_what_is_ten_seconds_old(void **state)
{
    (void)state;
    assert_int_equal(many(19, CH_VERDICT_BAD, START_NS), 19);
    assert_int_equal(many(19, CH_VERDICT_BAD, START_NS + MS(12000)), 19);
    assert_int_equal(breaker.state, CH_BREAKER_CLOSED);
    assert_int_equal(many(1, CH_VERDICT_BAD, START_NS + MS(12001)), 1);
    assert_int_equal(breaker.state, CH_BREAKER_OPEN);
}

static void test_breaker__ignores_what_says_nothing(void **state)
{
    (void)state;
    assert_int_equal(many(100, CH_VERDICT_NONE, START_NS), 100);
    assert_int_equal(breaker.state, CH_BREAKER_CLOSED);
}

static void test_breaker__probes_one_at_a_time_and_closes_after_three(void **state)
{
    const int64_t probe_ns = START_NS + MS(500);
    uint32_t pass;

    (void)state;
    (void)many(20, CH_VERDICT_BAD, START_NS);
    assert_in_range(breaker.open_until_ns - START_NS, MS(250), MS(500));
    assert_false(one(CH_VERDICT_GOOD, START_NS + MS(249)));
    assert_true(ch_breaker_would_pass(&breaker, probe_ns));
    pass = ch_breaker_pass(&breaker, probe_ns);
    assert_int_equal(breaker.state, CH_BREAKER_HALF_OPEN);
    assert_false(ch_breaker_would_pass(&breaker, probe_ns)); // one is out
    ch_breaker_report(&breaker, pass, CH_VERDICT_NONE, probe_ns);
    assert_int_equal(many(2, CH_VERDICT_GOOD, probe_ns), 2);
    assert_int_equal(breaker.state, CH_BREAKER_HALF_OPEN);
    assert_true(one(CH_VERDICT_GOOD, probe_ns));
    assert_int_equal(breaker.state, CH_BREAKER_CLOSED);
    assert_int_equal(many(19, CH_VERDICT_BAD, probe_ns), 19); // and begins anew
    assert_int_equal(breaker.state, CH_BREAKER_CLOSED);
}

static void test_breaker__waits_longer_each_time_but_never_long(void **state)
{
    static const struct {
        int64_t least_ms, most_ms;
    } waits[] = {{250, 500}, {500, 1000}, {1000, 2000}, {1000, 2000}, {1000, 2000}};
    int64_t now_ns = START_NS;

    (void)state;
    (void)many(20, CH_VERDICT_BAD, now_ns);
    for (size_t i = 0; i < sizeof(waits) / sizeof(waits[0]); i++) {
        assert_in_range(breaker.open_until_ns - now_ns, MS(waits[i].least_ms), MS(waits[i].most_ms));
        now_ns = breaker.open_until_ns;
        assert_true(one(CH_VERDICT_BAD, now_ns)); // the probe
        assert_int_equal(breaker.state, CH_BREAKER_OPEN);
    }
}

static void test_breaker__ignores_late_reports_of_an_earlier_state(void **state)
{
    uint32_t early = ch_breaker_pass(&breaker, START_NS);

    (void)state;
    (void)many(20, CH_VERDICT_BAD, START_NS);
    (void)ch_breaker_pass(&breaker, START_NS + MS(500));
    ch_breaker_report(&breaker, early, CH_VERDICT_BAD, START_NS + MS(500));
    assert_int_equal(breaker.state, CH_BREAKER_HALF_OPEN);
    assert_int_equal(breaker.probes_out, 1);
}

/* ---- retry budget ---- */

static int take_all(struct ch_retry_budget *budget, int64_t now_ns)
{
    int taken = 0;

    while (ch_retry_budget_take(budget, now_ns))
        taken++;
    return taken;
}

static void test_retry_budget__is_a_tenth_of_the_calls_and_ten_a_second(void **state)
{
    struct ch_retry_budget budget;

    (void)state;
    ch_retry_budget_init(&budget, 50, START_NS);
    assert_int_equal(take_all(&budget, START_NS), 50); // the burst
    for (int i = 0; i < 200; i++)
        ch_retry_budget_on_call(&budget);
    assert_int_equal(take_all(&budget, START_NS), 20);
    assert_int_equal(take_all(&budget, START_NS + MS(1000)), 10);
    assert_int_equal(take_all(&budget, START_NS + MS(3600000)), 50); // never more than the burst
}

/* ---- bulkhead ---- */

static struct ch_bulkhead bulkhead;
static int inside_most, counts[CH_ERR_COUNT], left;

static void stay_inside(void *arg)
{
    enum ch_err err = ch_bulkhead_enter_wait(&bulkhead, ch_now_ns() + MS(5000));

    (void)arg;
    counts[err]++;
    if (!err) {
        if ((int)bulkhead.inside > inside_most)
            inside_most = (int)bulkhead.inside;
        assert_int_equal(ch_sleep_wait(ch_now_ns() + MS(5)), CH_OK);
        ch_bulkhead_leave(&bulkhead);
    }
    left--;
}

static void crowd(void *arg)
{
    int64_t end_ns = ch_now_ns() + MS(5000);

    (void)arg;
    ch_bulkhead_init(&bulkhead, "test", 2, 3);
    left = 10;
    for (int i = 0; i < 10; i++)
        assert_int_equal(ch_fiber_start(loop, stay_inside, NULL), CH_OK);
    while (left > 0 && ch_now_ns() < end_ns)
        assert_int_equal(ch_sleep_wait(ch_now_ns() + MS(1)), CH_OK);
    assert_int_equal(counts[CH_OK], 5);
    assert_int_equal(counts[CH_ERR_OVERLOADED], 5);
    assert_int_equal(inside_most, 2);
    assert_int_equal(bulkhead.inside, 0);
    assert_false(bulkhead.is_full);
}

static void test_bulkhead__lets_in_so_many_and_so_many_wait(void **state)
{
    (void)state;
    loop_run_until_done(crowd, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_breaker__opens_when_half_of_enough_calls_fail),
        cmocka_unit_test_setup(test_breaker__forgets_what_is_ten_seconds_old, setup),
        cmocka_unit_test_setup(test_breaker__ignores_what_says_nothing, setup),
        cmocka_unit_test_setup(test_breaker__probes_one_at_a_time_and_closes_after_three, setup),
        cmocka_unit_test_setup(test_breaker__waits_longer_each_time_but_never_long, setup),
        cmocka_unit_test_setup(test_breaker__ignores_late_reports_of_an_earlier_state, setup),
        cmocka_unit_test(test_retry_budget__is_a_tenth_of_the_calls_and_ten_a_second),
        cmocka_unit_test_setup_teardown(test_bulkhead__lets_in_so_many_and_so_many_wait, loop_setup, loop_teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
