// SPDX-License-Identifier: Apache-2.0
// Every move of a product's status, and every field of the disclosure that the law asks for.
#include "cases.h"
#include "product.h"

static struct ch_arena *arena;

static int start(void **state)
{
    (void)state;
    arena = ch_arena_new(1024 * 1024);
    return arena ? 0 : -1;
}

static int end(void **state)
{
    (void)state;
    ch_arena_free(arena);
    return 0;
}

// ch_fail makes the list of faults when the first one comes.
static struct ch_ctx context(void)
{
    return (struct ch_ctx){.arena = arena};
}

static void test_status__moves_only_as_the_contract_says(void **state)
{
    // from (down) and to: DRAFT, ON_SALE, PAUSED, ENDED
    static const bool allowed[PRODUCT_STATUS_COUNT][PRODUCT_STATUS_COUNT] = {
        {true, true, false, true},
        {false, true, true, true},
        {false, true, true, true},
        {false, false, false, true},
    };

    (void)state;
    for (int from = 0; from < PRODUCT_STATUS_COUNT; from++)
        for (int to = 0; to < PRODUCT_STATUS_COUNT; to++) {
            struct ch_ctx ctx = context();
            const enum ch_err err = product_check_move(&ctx, (enum product_status)from, (enum product_status)to);

            CHECK(product_status_names[from], err == (allowed[from][to] ? CH_OK : CH_ERR_BAD_TRANSITION));
            CHECK(product_status_names[from], ctx.faults.count == (allowed[from][to] ? 0 : 1));
        }
}

static struct disclosure whole(void)
{
    return (struct disclosure){
        .item_name = CH_STR("사과(부사)"),
        .weight = CH_STR("5kg"),
        .quantity = CH_STR("14~16과"),
        .size = CH_STR("대과"),
        .producer = CH_STR("햇살농원"),
        .origin = CH_STR("국산"),
        .packed_on = CH_STR("2026-11-20"),
        .produced_on = CH_STR("2026-11-05"),
        .composition = CH_STR("1상자"),
        .storage = CH_STR("냉장"),
        .caution = CH_STR("씻어 드세요"),
        .customer_phone = CH_STR("054-870-1234"),
    };
}

static void test_disclosure__names_each_missing_field(void **state)
{
    static const struct {
        size_t offset;
        const char *pointer;
    } cases[] = {
        {offsetof(struct disclosure, item_name), "/disclosure/itemName"},
        {offsetof(struct disclosure, weight), "/disclosure/weight"},
        {offsetof(struct disclosure, quantity), "/disclosure/quantity"},
        {offsetof(struct disclosure, size), "/disclosure/size"},
        {offsetof(struct disclosure, producer), "/disclosure/producer"},
        {offsetof(struct disclosure, origin), "/disclosure/origin"},
        {offsetof(struct disclosure, composition), "/disclosure/composition"},
        {offsetof(struct disclosure, storage), "/disclosure/storage"},
        {offsetof(struct disclosure, caution), "/disclosure/caution"},
        {offsetof(struct disclosure, customer_phone), "/disclosure/customerPhone"},
    };

    (void)state;
    FOR_EACH(c, cases)
    {
        struct disclosure disclosure = whole();
        struct ch_ctx ctx = context();

        *(struct ch_str *)(void *)((char *)&disclosure + c->offset) = (struct ch_str){0};
        CHECK(c->pointer, product_check_disclosure(&ctx, &disclosure) == CH_ERR_DISCLOSURE_MISSING);
        CHECK(c->pointer, ctx.faults.count == 1);
        CHECK_TEXT(c->pointer, ctx.faults.first->pointer, c->pointer);
    }
}

static void test_disclosure__one_date_is_enough(void **state)
{
    struct disclosure disclosure = whole();
    struct ch_ctx ctx = context();

    (void)state;
    assert_int_equal(product_check_disclosure(&ctx, &disclosure), CH_OK); // labelling is never asked for
    disclosure.packed_on = (struct ch_str){0};
    assert_int_equal(product_check_disclosure(&ctx, &disclosure), CH_OK);
    disclosure.packed_on = disclosure.produced_on;
    disclosure.produced_on = (struct ch_str){0};
    assert_int_equal(product_check_disclosure(&ctx, &disclosure), CH_OK);
    disclosure.packed_on = (struct ch_str){0};
    assert_int_equal(product_check_disclosure(&ctx, &disclosure), CH_ERR_DISCLOSURE_MISSING);
    assert_string_equal(ctx.faults.first->pointer, "/disclosure/packedOn");
}

static void test_disclosure__an_empty_one_names_all(void **state)
{
    const struct disclosure disclosure = {0};
    struct ch_ctx ctx = context();

    (void)state;
    assert_int_equal(product_check_disclosure(&ctx, &disclosure), CH_ERR_DISCLOSURE_MISSING);
    assert_int_equal(ctx.faults.count, 11);
}

static void test_disclosure__is_read_as_written(void **state)
{
    const struct disclosure disclosure = whole();
    struct ch_ctx ctx = context();
    struct disclosure got = {0};
    struct ch_buf json;
    struct ch_jw jw;

    (void)state;
    ch_buf_init(&json, 64 * 1024);
    ch_jw_init(&jw, &json);
    disclosure_write(&jw, &disclosure);
    assert_int_equal(disclosure_read(&ctx, ch_buf_str(&json), &got), CH_OK);
    assert_true(ch_str_eq(got.producer, disclosure.producer));
    assert_true(ch_str_eq(got.produced_on, disclosure.produced_on));
    assert_null(got.labelling.data); // null stays null
    ch_buf_release(&json);

    assert_int_equal(disclosure_read(&ctx, CH_STR("{}"), &got), CH_OK);
    assert_null(got.producer.data);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_status__moves_only_as_the_contract_says),
        cmocka_unit_test(test_disclosure__names_each_missing_field),
        cmocka_unit_test(test_disclosure__one_date_is_enough),
        cmocka_unit_test(test_disclosure__an_empty_one_names_all),
        cmocka_unit_test(test_disclosure__is_read_as_written),
    };
    return cmocka_run_group_tests(tests, start, end);
}
