// SPDX-License-Identifier: Apache-2.0
// A box's life by the tables: what follows what, how long it takes, and numbers that carriers would accept.
#include "../delivery.h"
#include "cases.h"

#include <stdlib.h>

static const struct simulation simulation = {.speed = 1, .ready_mean_s = 100, .route_mean_s = 1000};

static void test_step__leads_from_created_to_delivered(void **state)
{
    static const enum tracking_type way[] = {TRACKING_CREATED, TRACKING_PICKED_UP, TRACKING_AT_HUB,
                                             TRACKING_OUT_FOR_DELIVERY, TRACKING_DELIVERED};
    double route_s = 0;

    (void)state;
    for (size_t i = 0; i + 1 < COUNT_OF(way); i++) {
        assert_int_equal(step_after(way[i], 99), way[i + 1]);
        if (i > 0)
            route_s += step_wait_s(way[i], &simulation, 1);
    }
    assert_int_equal(step_after(TRACKING_DELIVERED, 99), TRACKING_TYPE_COUNT);
    assert_int_equal(step_after(TRACKING_CANCELLED, 0), TRACKING_TYPE_COUNT);
    assert_true(step_wait_s(TRACKING_CREATED, &simulation, 1) == 100);
    assert_true(route_s == 1000);
    assert_true(step_wait_s(TRACKING_DELIVERED, &simulation, 1) < 0);
}

static void test_step__comes_back_from_every_mishap(void **state)
{
    (void)state;
    assert_int_equal(step_after(TRACKING_OUT_FOR_DELIVERY, 0), TRACKING_ATTEMPT_FAILED);
    assert_int_equal(step_after(TRACKING_AT_HUB, 0), TRACKING_EXCEPTION);
    assert_int_equal(step_after(TRACKING_ATTEMPT_FAILED, 0), TRACKING_OUT_FOR_DELIVERY);
    assert_int_equal(step_after(TRACKING_EXCEPTION, 0), TRACKING_OUT_FOR_DELIVERY);
    assert_true(step_wait_s(TRACKING_ATTEMPT_FAILED, &simulation, 0.5) > 0);
}

static void test_invoice_number__has_a_valid_check_digit(void **state)
{
    (void)state;
    for (int i = 0; i < 1000; i++) {
        uint8_t random[8];
        char text[13];

        ch_random(random, sizeof(random));
        invoice_number(random, text);
        assert_int_equal(strlen(text), 12);
        const long long number = atoll(text) / 10;
        assert_int_equal(number % 7, text[11] - '0');
        assert_true(text[0] != '0');
    }
}

static void test_region_hub__knows_the_country(void **state)
{
    static const struct {
        const char *name, *hub;
    } cases[] = {{"06", "서울 동부터미널"}, {"13", "경기 군포터미널"}, {"48", "부산터미널"},
                 {"63", "제주터미널"},      {"99", "배송터미널"},      {"x", "배송터미널"}};

    (void)state;
    FOR_EACH(it, cases)
    CHECK_TEXT(it->name, region_hub(ch_str_of(it->name)), it->hub);
}

static void test_delivery_may_see__only_those_it_concerns(void **state)
{
    static const struct ch_uuid buyer = {{1}}, farm = {{2}}, other = {{3}};
    const struct delivery delivery = {
        .buyer_id = buyer,
        .farm_ids = CH_STR("02000000-0000-0000-0000-000000000000 04000000-0000-0000-0000-000000000000")};
    const struct {
        const char *name;
        struct ch_identity who;
        bool want;
    } cases[] = {
        {"buyer", {.id = buyer, .scopes = CH_ORDERS_READ}, true},
        {"other buyer", {.id = other, .scopes = CH_ORDERS_READ}, false},
        {"its farm", {.id = other, .is_farmer = true, .farm_id = farm}, true},
        {"other farm", {.id = other, .is_farmer = true, .farm_id = other}, false},
        {"farm id without the role", {.id = other, .farm_id = farm}, false},
        {"operator", {.id = other, .scopes = CH_ADMIN}, true},
        {"service", {.scopes = CH_INTERNAL}, true},
    };

    (void)state;
    FOR_EACH(it, cases)
    CHECK(it->name, delivery_may_see(&it->who, &delivery) == it->want);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_step__leads_from_created_to_delivered),
        cmocka_unit_test(test_step__comes_back_from_every_mishap),
        cmocka_unit_test(test_invoice_number__has_a_valid_check_digit),
        cmocka_unit_test(test_region_hub__knows_the_country),
        cmocka_unit_test(test_delivery_may_see__only_those_it_concerns),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
