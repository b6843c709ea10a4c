// SPDX-License-Identifier: Apache-2.0
// 과수 come together, and a null in a patch clears what was there.
#include "cases.h"
#include "event.h"

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

// As the handler does: first onto a probe, then onto what was there.
static enum ch_err patch(const char *text, struct sku_edit *edit, const char **ret_pointer)
{
    struct ch_ctx ctx = {.arena = arena};
    struct sku_edit probe = sku_edit_new();
    uint64_t present = 0;
    json_t *json;
    enum ch_err err;

    ch_faults_init(&ctx.faults, arena);
    err = ch_json_parse(ch_str_of(text), &ctx.faults, &json);
    assert_int_equal(err, CH_OK);
    err = ch_json_bind(json, sku_patch_fields, "", &ctx.faults, &probe, &present);
    if (!err)
        err = sku_edit_check(&ctx, &probe, present);
    if (!err) {
        sku_edit_clear(edit, present);
        err = ch_json_bind(json, sku_patch_fields, "", &ctx.faults, edit, NULL);
    }
    *ret_pointer = ctx.faults.first ? ctx.faults.first->pointer : "";
    json_decref(json);
    return err;
}

static const struct {
    const char *name, *json;
    enum ch_err want;
    const char *pointer;
    int64_t count_min, count_max, brix_x10_min, price_krw, per_buyer_limit; // 0: as it was
} cases[] = {
    {"price alone", "{\"priceKrw\":29900}", CH_OK, "", 14, 16, 140, 29900},
    {"both counts", "{\"countMin\":10,\"countMax\":12}", CH_OK, "", 10, 12, 140, 32900},
    {"equal counts", "{\"countMin\":10,\"countMax\":10}", CH_OK, "", 10, 10, 140, 32900},
    {"clear counts", "{\"countMin\":null,\"countMax\":null}", CH_OK, "", 0, 0, 140, 32900},
    {"clear sweetness", "{\"brixX10Min\":null}", CH_OK, "", 14, 16, -1, 32900},
    {"no sweetness at all", "{\"brixX10Min\":0}", CH_OK, "", 14, 16, 0, 32900},
    {"min alone", "{\"countMin\":10}", CH_ERR_INVALID, "/countMax", 0, 0, 0, 0},
    {"max alone", "{\"countMax\":10}", CH_ERR_INVALID, "/countMin", 0, 0, 0, 0},
    {"min with no max", "{\"countMin\":10,\"countMax\":null}", CH_ERR_INVALID, "/countMax", 0, 0, 0, 0},
    {"max with no min", "{\"countMin\":null,\"countMax\":10}", CH_ERR_INVALID, "/countMin", 0, 0, 0, 0},
    {"upside down", "{\"countMin\":12,\"countMax\":10}", CH_ERR_INVALID, "/countMin", 0, 0, 0, 0},
    {"price null", "{\"priceKrw\":null}", CH_ERR_INVALID, "/priceKrw", 0, 0, 0, 0},
    {"price low", "{\"priceKrw\":99}", CH_ERR_INVALID, "/priceKrw", 0, 0, 0, 0},
    {"stock is no edit", "{\"stock\":5}", CH_ERR_INVALID, "/stock", 0, 0, 0, 0},
    {"a limit per buyer", "{\"perBuyerLimit\":999}", CH_OK, "", 14, 16, 140, 32900, 999},
    {"clear the limit per buyer", "{\"perBuyerLimit\":null}", CH_OK, "", 14, 16, 140, 32900, -1},
    {"limit per buyer 0", "{\"perBuyerLimit\":0}", CH_ERR_INVALID, "/perBuyerLimit", 0, 0, 0, 0},
    {"limit per buyer 1000", "{\"perBuyerLimit\":1000}", CH_ERR_INVALID, "/perBuyerLimit", 0, 0, 0, 0},
    {"limit per buyer in quotes", "{\"perBuyerLimit\":\"5\"}", CH_ERR_INVALID, "/perBuyerLimit", 0, 0, 0, 0},
    {"unknown grade", "{\"grade\":\"최상\"}", CH_ERR_INVALID, "/grade", 0, 0, 0, 0},
};

static void test_sku_patch__changes_what_was_sent(void **state)
{
    (void)state;
    FOR_EACH(c, cases)
    {
        struct sku_edit edit = sku_edit_new();
        const char *pointer;

        edit.count_min = 14;
        edit.count_max = 16;
        edit.brix_x10_min = 140;
        edit.price_krw = 32900;
        edit.per_buyer_limit = 7;
        CHECK(c->name, patch(c->json, &edit, &pointer) == c->want);
        CHECK_TEXT(c->name, pointer, c->pointer);
        if (c->want)
            continue;
        CHECK(c->name, edit.count_min == c->count_min && edit.count_max == c->count_max);
        CHECK(c->name, edit.brix_x10_min == c->brix_x10_min);
        CHECK(c->name, edit.price_krw == c->price_krw);
        const int64_t want_limit = c->per_buyer_limit ? c->per_buyer_limit : 7;
        CHECK(c->name, edit.per_buyer_limit == (want_limit < 0 ? 0 : want_limit));
    }
}

static const struct {
    const char *name;
    int64_t before, after;
    bool want;
} low_cases[] = {
    {"to the threshold", 6, 5, true}, {"below it at once", 9, 2, true}, {"to nothing", 6, 0, true},
    {"still above", 9, 6, false},     {"was low already", 5, 4, false}, {"rises through it", 5, 6, false},
    {"rises below it", 1, 5, false},
};

static void test_stock_low__once_until_it_rises_above(void **state)
{
    (void)state;
    FOR_EACH(c, low_cases)
    CHECK(c->name, stock_fell_low(c->before, c->after, 5) == c->want);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sku_patch__changes_what_was_sent),
        cmocka_unit_test(test_stock_low__once_until_it_rises_above),
    };
    return cmocka_run_group_tests(tests, start, end);
}
