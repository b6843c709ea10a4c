// SPDX-License-Identifier: Apache-2.0
// Who gets the stock: first in, first out, each order as a whole, each order id once.
#include "cases.h"
#include "reserve.h"

enum { SKUS = 4, ORDERS_MAX = 8, LINES_MAX = 3, BUYERS = 2 };

static struct ch_arena *arena;

static int start(void **state)
{
    (void)state;
    arena = ch_arena_new(4 * 1024 * 1024);
    return arena ? 0 : -1;
}

static int end(void **state)
{
    (void)state;
    ch_arena_free(arena);
    return 0;
}

static struct ch_uuid id_of(uint8_t n)
{
    return (struct ch_uuid){{[15] = n}};
}

// What a decision knows of a shop without limits per buyer.
static struct reserve_facts facts_of(struct sku_snapshot *skus, const struct reserve_hold *holds, size_t hold_count)
{
    return (struct reserve_facts){
        .skus = skus, .sku_count = SKUS, .holds = (struct reserve_hold *)holds, .hold_count = hold_count};
}

// SKU 1: 10 boxes of 1000. SKU 2: 3 boxes of 2000, at most 2 an order, with a lot. SKU 3: not on sale. SKU 4: 5 boxes
// of 4000. SKU 9 does not exist.
static void shop(struct sku_snapshot skus[SKUS])
{
    for (uint8_t i = 0; i < SKUS; i++)
        skus[i] = (struct sku_snapshot){
            .sku_id = id_of((uint8_t)(i + 1)), .price_krw = (i + 1) * 1000, .per_order_limit = 99, .is_on_sale = true};
    skus[0].available = 10;
    skus[1].available = 3;
    skus[1].per_order_limit = 2;
    skus[1].lot_id = id_of(201);
    skus[2].available = 10;
    skus[2].is_on_sale = false;
    skus[3].available = 5;
}

struct wish {
    uint8_t order;
    struct {
        uint8_t sku;
        int32_t quantity;
        int64_t price;
    } lines[LINES_MAX];
    enum reserve_outcome want;
    bool is_new;
};

#define R  RESERVE_RESERVED
#define SS RESERVE_STOCK_SHORT
#define PC RESERVE_PRICE_CHANGED
#define SU RESERVE_SKU_UNAVAILABLE
#define LE RESERVE_LIMIT_EXCEEDED
#define OC RESERVE_ORDER_CLOSED

static const struct {
    const char *name;
    struct wish wishes[ORDERS_MAX]; // order 0 ends
    int32_t left[SKUS];
} cases[] = {
    {"one order", {{1, {{1, 4, 1000}}, R, true}}, {6, 3, 10, 5}},
    {"first in, first out",
     {{1, {{1, 8, 1000}}, R, true}, {2, {{1, 3, 1000}}, SS, false}, {3, {{1, 2, 1000}}, R, true}},
     {0, 3, 10, 5}},
    {"the last box", {{1, {{1, 10, 1000}}, R, true}, {2, {{1, 1, 1000}}, SS, false}}, {0, 3, 10, 5}},
    {"all or nothing", {{1, {{1, 5, 1000}, {4, 6, 4000}}, SS, false}, {2, {{1, 10, 1000}}, R, true}}, {0, 3, 10, 5}},
    {"two SKUs", {{1, {{1, 1, 1000}, {4, 2, 4000}}, R, true}}, {9, 3, 10, 3}},
    {"old price", {{1, {{1, 1, 900}}, PC, false}}, {10, 3, 10, 5}},
    {"above the limit", {{1, {{2, 3, 2000}}, LE, false}}, {10, 3, 10, 5}},
    {"paused", {{1, {{3, 1, 3000}}, SU, false}}, {10, 3, 10, 5}},
    {"unknown", {{1, {{9, 1, 1000}}, SU, false}}, {10, 3, 10, 5}},
    {"unavailable goes before price", {{1, {{1, 1, 1}, {9, 1, 1}}, SU, false}}, {10, 3, 10, 5}},
    {"limit goes before price", {{1, {{1, 1, 1}, {2, 3, 2000}}, LE, false}}, {10, 3, 10, 5}},
    {"price goes before stock", {{1, {{4, 9, 4000}, {1, 1, 1}}, PC, false}}, {10, 3, 10, 5}},
    {"the same order twice takes once", {{1, {{1, 4, 1000}}, R, true}, {1, {{1, 4, 1000}}, R, false}}, {6, 3, 10, 5}},
    {"and thrice, with others between",
     {{1, {{1, 4, 1000}}, R, true},
      {2, {{1, 6, 1000}}, R, true},
      {1, {{1, 4, 1000}}, R, false},
      {3, {{1, 1, 1000}}, SS, false},
      {1, {{1, 4, 1000}}, R, false}},
     {0, 3, 10, 5}},
    {"refused twice", {{1, {{1, 11, 1000}}, SS, false}, {1, {{1, 11, 1000}}, SS, false}}, {10, 3, 10, 5}},
    // holds: 101 holds SKU 1 and 2, 102 is closed, 103 never held anything and is closed
    {"a repeat gets its first answer", {{101, {{1, 2, 1000}, {2, 1, 2000}}, R, false}}, {10, 3, 10, 5}},
    {"even when the stock is gone", {{1, {{1, 10, 1000}}, R, true}, {101, {{1, 2, 1000}}, R, false}}, {0, 3, 10, 5}},
    {"even with another price", {{101, {{1, 2, 1}}, R, false}}, {10, 3, 10, 5}},
    {"released before", {{102, {{1, 1, 1000}}, OC, false}}, {10, 3, 10, 5}},
    {"closed before it came", {{103, {{1, 1, 1000}}, OC, false}, {1, {{1, 1, 1000}}, R, true}}, {9, 3, 10, 5}},
};

static const struct reserve_hold *holds(void)
{
    static struct reserve_line lines[3];
    static struct reserve_hold holds[3];

    lines[0] = (struct reserve_line){
        .sku_id = id_of(1), .quantity = 2, .unit_price_krw = 1000, .available = 77, .is_ok = true};
    lines[1] = (struct reserve_line){.sku_id = id_of(2),
                                     .quantity = 1,
                                     .unit_price_krw = 2000,
                                     .available = 66,
                                     .is_ok = true,
                                     .lot_id = id_of(222)};
    lines[2] =
        (struct reserve_line){.sku_id = id_of(1), .quantity = 1, .unit_price_krw = 1000, .available = 5, .is_ok = true};
    holds[0] = (struct reserve_hold){.order_id = id_of(101), .lines = lines, .line_count = 2};
    holds[1] = (struct reserve_hold){.order_id = id_of(102), .is_closed = true, .lines = lines + 2, .line_count = 1};
    holds[2] = (struct reserve_hold){.order_id = id_of(103), .is_closed = true};
    return holds;
}

static size_t orders_make(const struct wish *wishes, struct reserve_order **ret_orders)
{
    size_t count = 0;

    for (; count < ORDERS_MAX && wishes[count].order; count++) {
        struct reserve_order *order = ch_arena_alloc(arena, sizeof(*order));

        order->order_id = id_of(wishes[count].order);
        order->lines = ch_arena_array(arena, LINES_MAX, sizeof(*order->lines));
        for (; order->line_count < LINES_MAX && wishes[count].lines[order->line_count].sku; order->line_count++)
            order->lines[order->line_count] = (struct reserve_line){
                .sku_id = id_of(wishes[count].lines[order->line_count].sku),
                .quantity = wishes[count].lines[order->line_count].quantity,
                .unit_price_krw = wishes[count].lines[order->line_count].price,
            };
        ret_orders[count] = order;
    }
    return count;
}

static void test_reserve__decides(void **state)
{
    (void)state;
    FOR_EACH(c, cases)
    {
        struct reserve_order *orders[ORDERS_MAX];
        struct sku_snapshot skus[SKUS];
        const size_t count = orders_make(c->wishes, orders);
        int32_t taken[SKUS] = {0};

        shop(skus);
        const struct reserve_facts facts = facts_of(skus, holds(), 3);
        CHECK(c->name, reserve_decide(arena, orders, count, &facts) == CH_OK);
        for (size_t i = 0; i < count; i++) {
            CHECK(c->name, orders[i]->outcome == c->wishes[i].want);
            CHECK(c->name, orders[i]->is_new == c->wishes[i].is_new);
            for (size_t j = 0; orders[i]->is_new && j < orders[i]->line_count; j++)
                taken[orders[i]->lines[j].sku - skus] += orders[i]->lines[j].quantity;
        }
        for (size_t i = 0; i < SKUS; i++) {
            CHECK(c->name, skus[i].available == c->left[i]);
            CHECK(c->name, skus[i].taken == taken[i]);
        }
    }
}

static void test_reserve__each_line_says_what_it_found(void **state)
{
    static const struct wish wishes[] = {
        {1, {{1, 4, 1000}}, R, true},
        {2, {{1, 5, 1000}, {2, 1, 2000}, {4, 1, 1}}, PC, false},
        {3, {{2, 2, 2000}, {9, 1, 1}}, SU, false},
        {4, {{2, 2, 2000}}, R, true},
        {0},
    };
    struct reserve_order *orders[ORDERS_MAX];
    struct sku_snapshot skus[SKUS];

    (void)state;
    shop(skus);
    const struct reserve_facts facts = facts_of(skus, NULL, 0);
    assert_int_equal(reserve_decide(arena, orders, orders_make(wishes, orders), &facts), CH_OK);
    assert_int_equal(orders[0]->lines[0].available, 10);
    assert_int_equal(orders[1]->lines[0].available, 6);
    assert_true(orders[1]->lines[0].is_ok);
    assert_true(orders[1]->lines[1].is_ok);
    assert_false(orders[1]->lines[2].is_ok);
    assert_true(ch_uuid_is_nil(orders[1]->lines[1].lot_id)); // not reserved, so from no lot
    assert_null(orders[2]->lines[1].sku);
    assert_int_equal(orders[2]->lines[1].available, 0);
    assert_false(orders[2]->lines[1].is_ok);
    assert_int_equal(orders[3]->lines[0].available, 3);
    assert_true(ch_uuid_eq(orders[3]->lines[0].lot_id, id_of(201)));
}

static void test_reserve__a_repeat_gets_the_lines_of_then(void **state)
{
    static const struct wish wishes[] = {{101, {{4, 1, 4000}}, R, false}, {102, {{1, 1, 1000}}, OC, false}, {0}};
    struct reserve_order *orders[ORDERS_MAX];
    struct sku_snapshot skus[SKUS];

    (void)state;
    shop(skus);
    const struct reserve_facts facts = facts_of(skus, holds(), 3);
    assert_int_equal(reserve_decide(arena, orders, orders_make(wishes, orders), &facts), CH_OK);
    assert_int_equal(orders[0]->line_count, 2);
    assert_int_equal(orders[0]->lines[0].available, 77);
    assert_int_equal(orders[0]->lines[1].available, 66);
    assert_true(ch_uuid_eq(orders[0]->lines[1].lot_id, id_of(222)));
    assert_ptr_equal(orders[0]->lines[1].sku, &skus[1]);
    assert_int_equal(orders[1]->line_count, 0);
}

static void test_reserve__decides_the_same_again(void **state)
{
    static const struct wish wishes[] = {
        {1, {{1, 8, 1000}}, R, true}, {1, {{1, 8, 1000}}, R, false}, {2, {{1, 8, 1000}}, SS, false}, {0}};
    struct reserve_order *orders[ORDERS_MAX];
    struct sku_snapshot skus[SKUS];
    const size_t count = orders_make(wishes, orders);
    const struct reserve_facts facts = facts_of(skus, NULL, 0);

    (void)state;
    for (int attempt = 0; attempt < 2; attempt++) { // a batch that lost against another starts again with fresh facts
        shop(skus);
        assert_int_equal(reserve_decide(arena, orders, count, &facts), CH_OK);
        assert_true(orders[0]->is_new);
        assert_false(orders[1]->is_new);
        assert_int_equal(orders[1]->outcome, R);
        assert_int_equal(orders[2]->outcome, SS);
        assert_int_equal(skus[0].taken, 8);
    }
}

static void test_reserve__never_oversells(void **state)
{
    struct reserve_order *orders[200];
    struct sku_snapshot skus[SKUS];
    int reserved = 0;

    (void)state;
    shop(skus);
    skus[0].available = 100;
    for (size_t i = 0; i < COUNT_OF(orders); i++) {
        orders[i] = ch_arena_alloc(arena, sizeof(*orders[i]));
        orders[i]->lines = ch_arena_array(arena, 1, sizeof(*orders[i]->lines));
        *orders[i]->lines = (struct reserve_line){.sku_id = id_of(1), .quantity = 1, .unit_price_krw = 1000};
        orders[i]->line_count = 1;
        orders[i]->order_id = ch_uuid_new();
    }
    const struct reserve_facts facts = facts_of(skus, NULL, 0);
    assert_int_equal(reserve_decide(arena, orders, COUNT_OF(orders), &facts), CH_OK);
    for (size_t i = 0; i < COUNT_OF(orders); i++) {
        reserved += orders[i]->is_new;
        assert_int_equal(orders[i]->outcome, i < 100 ? R : SS);
    }
    assert_int_equal(reserved, 100);
    assert_int_equal(skus[0].available, 0);
}

// ---- limits per buyer

// Of SKU 1 a buyer may have 5, of SKU 2 one. Buyer 1 has 2 and nothing, buyer 2 has 6 and nothing: the limit was 9.
static struct reserve_facts limited_shop(struct sku_snapshot skus[SKUS], struct buyer_share shares[BUYERS * 2])
{
    struct reserve_facts facts;

    shop(skus);
    skus[0].per_buyer_limit = 5;
    skus[1].per_buyer_limit = 1;
    for (uint8_t i = 0; i < BUYERS * 2; i++)
        shares[i] =
            (struct buyer_share){.buyer_id = id_of((uint8_t)(i % 2 + 1)), .sku_id = id_of((uint8_t)(i / 2 + 1))};
    shares[0].quantity = 2;
    shares[1].quantity = 6;
    facts = facts_of(skus, holds(), 3);
    facts.shares = shares;
    facts.share_count = BUYERS * 2;
    return facts;
}

#define BL RESERVE_BUYER_LIMIT_EXCEEDED

static const struct {
    const char *name;
    uint8_t buyers[ORDERS_MAX];
    struct wish wishes[ORDERS_MAX];
    int32_t has[BUYERS * 2], left[2]; // left: to the buyer by the first order's lines
} limited_cases[] = {
    {"up to the limit", {1}, {{1, {{1, 3, 1000}}, R, true}}, {5, 6, 0, 0}, {3}},
    {"one above it", {1}, {{1, {{1, 4, 1000}}, BL, false}}, {2, 6, 0, 0}, {3}},
    {"several orders of one batch",
     {1, 1, 1},
     {{1, {{1, 2, 1000}}, R, true}, {2, {{1, 2, 1000}}, BL, false}, {3, {{1, 1, 1000}}, R, true}},
     {5, 6, 0, 0},
     {3}},
    {"who has more than a lowered limit", {2}, {{1, {{1, 1, 1000}}, BL, false}}, {2, 6, 0, 0}, {0}},
    {"another buyer's share", {1, 2}, {{1, {{2, 1, 2000}}, R, true}, {2, {{2, 1, 2000}}, R, true}}, {2, 6, 1, 1}, {1}},
    {"a SKU without a limit", {2}, {{1, {{4, 5, 4000}}, R, true}}, {2, 6, 0, 0}, {0}},
    {"all or nothing", {1}, {{1, {{1, 1, 1000}, {2, 2, 2000}}, BL, false}}, {2, 6, 0, 0}, {3, 1}},
    {"the limit of an order goes before it", {2}, {{1, {{2, 3, 2000}, {1, 1, 1000}}, LE, false}}, {2, 6, 0, 0}, {1}},
    {"it goes before the price", {2}, {{1, {{1, 1, 1}}, BL, false}}, {2, 6, 0, 0}, {0}},
    {"it goes before the stock", {1}, {{1, {{1, 50, 1000}, {4, 50, 4000}}, BL, false}}, {2, 6, 0, 0}, {3}},
    {"the same order twice counts once",
     {1, 1},
     {{1, {{1, 3, 1000}}, R, true}, {1, {{1, 3, 1000}}, R, false}},
     {5, 6, 0, 0},
     {3}},
    {"a repeat of before counts nothing", {1}, {{101, {{1, 99, 1000}}, R, false}}, {2, 6, 0, 0}, {0}},
    {"a refused order counts nothing", {1}, {{1, {{1, 3, 1000}, {4, 9, 4000}}, SS, false}}, {2, 6, 0, 0}, {3}},
    {"a buyer nobody asked about", {3}, {{1, {{1, 1, 1000}}, BL, false}}, {2, 6, 0, 0}, {0}},
};

static void test_reserve__keeps_the_limit_of_each_buyer(void **state)
{
    (void)state;
    FOR_EACH(c, limited_cases)
    {
        struct buyer_share shares[BUYERS * 2];
        struct reserve_order *orders[ORDERS_MAX];
        struct sku_snapshot skus[SKUS];
        const size_t count = orders_make(c->wishes, orders);
        static const int32_t had[BUYERS * 2] = {2, 6, 0, 0};

        const struct reserve_facts facts = limited_shop(skus, shares);

        for (size_t i = 0; i < count; i++)
            orders[i]->buyer_id = id_of(c->buyers[i]);
        CHECK(c->name, reserve_decide(arena, orders, count, &facts) == CH_OK);
        for (size_t i = 0; i < count; i++)
            CHECK(c->name, orders[i]->outcome == c->wishes[i].want && orders[i]->is_new == c->wishes[i].is_new);
        for (size_t i = 0; i < BUYERS * 2; i++)
            CHECK(c->name, shares[i].quantity == c->has[i] && shares[i].taken == c->has[i] - had[i]);
        for (size_t i = 0; i < orders[0]->line_count && i < COUNT_OF(c->left); i++)
            CHECK(c->name, orders[0]->lines[i].buyer_left == c->left[i]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_reserve__decides),
        cmocka_unit_test(test_reserve__each_line_says_what_it_found),
        cmocka_unit_test(test_reserve__a_repeat_gets_the_lines_of_then),
        cmocka_unit_test(test_reserve__decides_the_same_again),
        cmocka_unit_test(test_reserve__never_oversells),
        cmocka_unit_test(test_reserve__keeps_the_limit_of_each_buyer),
    };
    return cmocka_run_group_tests(tests, start, end);
}
