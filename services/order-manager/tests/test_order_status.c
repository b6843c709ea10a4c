// SPDX-License-Identifier: Apache-2.0
// Every pair of statuses and every actor against what the shop allows: what is not written here must be refused.
#include "../order.h"
#include "cases.h"

static const struct {
    enum order_status from, to;
    unsigned who;
} allowed[] = {
    {ORDER_PLACED, ORDER_PREPARING, BY_FARM | BY_DELIVERY | BY_SYSTEM},
    {ORDER_PREPARING, ORDER_SHIPPING, BY_DELIVERY},
    {ORDER_SHIPPING, ORDER_DELIVERED, BY_DELIVERY},
    {ORDER_DELIVERED, ORDER_CONFIRMED, BY_BUYER | BY_SYSTEM},
    {ORDER_PLACED, ORDER_CANCELLED, BY_BUYER | BY_OPERATOR},
    {ORDER_PREPARING, ORDER_CANCELLED, BY_BUYER | BY_OPERATOR},
};

static bool is_allowed(enum order_status from, enum order_status to, unsigned actor)
{
    FOR_EACH(row, allowed)
    if (row->from == from && row->to == to)
        return (row->who & actor) != 0;
    return false;
}

static void test_order_status__moves_only_as_allowed(void **state)
{
    (void)state;
    for (int from = 0; from < ORDER_STATUS_COUNT; from++)
        for (int to = 0; to < ORDER_STATUS_COUNT; to++)
            for (unsigned actor = BY_BUYER; actor <= BY_SYSTEM; actor <<= 1)
                if (order_may_move(from, to, actor) != is_allowed(from, to, actor))
                    fail_msg("%s -> %s by %s", order_status_names[from], order_status_names[to],
                             order_actor_name(actor));
}

static void test_order_status__steps_through_what_lies_between(void **state)
{
    static const struct {
        const char *name;
        enum order_status from, to, want;
        enum order_actor actor;
    } cases[] = {
        {"next", ORDER_PLACED, ORDER_PREPARING, ORDER_PREPARING, BY_DELIVERY},
        {"ahead by two", ORDER_PLACED, ORDER_SHIPPING, ORDER_PREPARING, BY_DELIVERY},
        {"ahead by three", ORDER_PREPARING, ORDER_DELIVERED, ORDER_SHIPPING, BY_DELIVERY},
        {"backwards stays", ORDER_DELIVERED, ORDER_SHIPPING, ORDER_DELIVERED, BY_DELIVERY},
        {"same stays", ORDER_SHIPPING, ORDER_SHIPPING, ORDER_SHIPPING, BY_DELIVERY},
        {"not this actor", ORDER_PREPARING, ORDER_SHIPPING, ORDER_PREPARING, BY_BUYER},
        {"cancel", ORDER_PLACED, ORDER_CANCELLED, ORDER_CANCELLED, BY_BUYER},
        {"cancelled stays", ORDER_CANCELLED, ORDER_SHIPPING, ORDER_CANCELLED, BY_DELIVERY},
        {"too late to cancel", ORDER_SHIPPING, ORDER_CANCELLED, ORDER_SHIPPING, BY_BUYER},
    };

    (void)state;
    FOR_EACH(it, cases)
    CHECK(it->name, order_step_towards(it->from, it->to, it->actor) == it->want);
}

static void test_order_status__is_parsed_by_its_own_name_only(void **state)
{
    enum order_status status;

    (void)state;
    for (int i = 0; i < ORDER_STATUS_COUNT; i++) {
        assert_int_equal(order_status_parse(ch_str_of(order_status_names[i]), &status), CH_OK);
        assert_int_equal(status, i);
    }
    assert_int_equal(order_status_parse(CH_STR("ABORTED"), &status), CH_ERR_INVALID);
    assert_int_equal(order_status_parse(CH_STR("placed"), &status), CH_ERR_INVALID);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_order_status__moves_only_as_allowed),
        cmocka_unit_test(test_order_status__steps_through_what_lies_between),
        cmocka_unit_test(test_order_status__is_parsed_by_its_own_name_only),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
