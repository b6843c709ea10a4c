// SPDX-License-Identifier: Apache-2.0
// How much a loop takes on, and what it still takes when it is full.
#include "cases.h"

#include "../src/app/shed.h"

static size_t enter_until_full(struct ch_shed *shed, enum ch_shed_class class)
{
    size_t count = 0;

    while (ch_shed_enter(shed, class) == CH_OK)
        count++;
    return count;
}

static void test_shed__keeps_room_for_the_cheap(void **state)
{
    struct ch_shed shed;

    (void)state;
    ch_shed_init(&shed, 8, 3);
    assert_int_equal(enter_until_full(&shed, CH_SHED_NORMAL), 8);
    assert_int_equal(enter_until_full(&shed, CH_SHED_CHEAP), 3);
    assert_int_equal(enter_until_full(&shed, CH_SHED_STREAM), 3);
}

static void test_shed__takes_again_what_left(void **state)
{
    struct ch_shed shed;

    (void)state;
    ch_shed_init(&shed, 1, 1);
    assert_int_equal(ch_shed_enter(&shed, CH_SHED_NORMAL), CH_OK);
    assert_int_equal(ch_shed_enter(&shed, CH_SHED_NORMAL), CH_ERR_OVERLOADED);
    ch_shed_leave(&shed, CH_SHED_NORMAL);
    assert_int_equal(ch_shed_enter(&shed, CH_SHED_NORMAL), CH_OK);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_shed__keeps_room_for_the_cheap),
        cmocka_unit_test(test_shed__takes_again_what_left),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
