// SPDX-License-Identifier: Apache-2.0
// What a buyer may send: each rule of the contract with a value that keeps it and one that breaks it.
#include "../order_input.h"
#include "cases.h"

#include <stdio.h>

#define TOKEN "pay_Ab12Cd34Ef56Gh78Ij90KlYz"
#define SKU   "0190b2a0-5c00-7a10-8000-000000000101"
#define LINE  "{\"skuId\":\"" SKU "\",\"quantity\":1,\"unitPriceKrw\":1000}"
#define TO(phone, postcode)                                                                                            \
    "{\"name\":\"가나다\",\"phone\":\"" phone "\",\"postcode\":\"" postcode                                            \
    "\",\"address1\":\"서울 강남구 테헤란로 152\"}"
#define BODY(token, to, lines) "{\"paymentToken\":\"" token "\",\"recipient\":" to ",\"lines\":[" lines "]}"

static const struct {
    const char *name, *body, *pointer; // pointer NULL: accepted
} cases[] = {
    {"good", BODY(TOKEN, TO("010-1234-5678", "06236"), LINE), NULL},
    {"phone without hyphens", BODY(TOKEN, TO("01012345678", "06236"), LINE), NULL},
    {"landline", BODY(TOKEN, TO("02-123-45678", "06236"), LINE), "/recipient/phone"},
    {"letters in phone", BODY(TOKEN, TO("010-ABCD-5678", "06236"), LINE), "/recipient/phone"},
    {"postcode of six", BODY(TOKEN, TO("010-1234-5678", "062366"), LINE), "/recipient/postcode"},
    {"token of 23", BODY("pay_Ab12Cd34Ef56Gh78Ij90KlY", TO("010-1234-5678", "06236"), LINE), "/paymentToken"},
    {"token with a dash", BODY("pay_Ab12Cd34Ef56Gh78Ij90Kl-Y", TO("010-1234-5678", "06236"), LINE), "/paymentToken"},
    {"token of another kind", BODY("tok_Ab12Cd34Ef56Gh78Ij90KlYz", TO("010-1234-5678", "06236"), LINE),
     "/paymentToken"},
    {"no lines", BODY(TOKEN, TO("010-1234-5678", "06236"), ""), "/lines"},
    {"quantity 0",
     BODY(TOKEN, TO("010-1234-5678", "06236"), "{\"skuId\":\"" SKU "\",\"quantity\":0,\"unitPriceKrw\":1000}"),
     "/lines/0/quantity"},
    {"quantity 100",
     BODY(TOKEN, TO("010-1234-5678", "06236"), "{\"skuId\":\"" SKU "\",\"quantity\":100,\"unitPriceKrw\":1000}"),
     "/lines/0/quantity"},
    {"quantity 1.0",
     BODY(TOKEN, TO("010-1234-5678", "06236"), "{\"skuId\":\"" SKU "\",\"quantity\":1.0,\"unitPriceKrw\":1000}"),
     "/lines/0/quantity"},
    {"price as text",
     BODY(TOKEN, TO("010-1234-5678", "06236"), "{\"skuId\":\"" SKU "\",\"quantity\":1,\"unitPriceKrw\":\"1\"}"),
     "/lines/0/unitPriceKrw"},
    {"sku no UUID", BODY(TOKEN, TO("010-1234-5678", "06236"), "{\"skuId\":\"x\",\"quantity\":1,\"unitPriceKrw\":1000}"),
     "/lines/0/skuId"},
    {"unknown field",
     "{\"coupon\":1,\"paymentToken\":\"" TOKEN "\",\"recipient\":" TO("010-1234-5678", "06236") ",\"lines\":[" LINE
                                                                                                "]}",
     "/coupon"},
    {"no recipient", "{\"paymentToken\":\"" TOKEN "\",\"lines\":[" LINE "]}", "/recipient"},
};

static void test_order_input__keeps_each_rule_of_the_contract(void **state)
{
    (void)state;
    FOR_EACH(it, cases)
    {
        struct ch_arena *arena = ch_arena_new(64 * 1024);
        struct order_input input = {0};
        struct ch_faults faults;
        json_t *json = NULL;

        ch_faults_init(&faults, arena);
        CHECK(it->name, ch_json_parse(ch_str_of(it->body), &faults, &json) == CH_OK);
        const enum ch_err err = ch_json_bind(json, order_input_fields, "", &faults, &input, NULL);
        if (it->pointer) {
            CHECK(it->name, err == CH_ERR_INVALID && faults.count == 1);
            CHECK_TEXT(it->name, faults.first->pointer, it->pointer);
        } else {
            CHECK(it->name, err == CH_OK);
        }
        json_decref(json);
        ch_arena_free(arena);
    }
}

static void test_order_from_input__writes_the_phone_with_hyphens(void **state)
{
    const struct ch_identity buyer = {.id = {{1}}};
    struct ch_ctx ctx = {.arena = ch_arena_new(4096), .identity = &buyer};
    const struct order_input input = {.recipient = {.phone = CH_STR("01012345678")}};
    struct order order;

    (void)state;
    ch_faults_init(&ctx.faults, ctx.arena);
    assert_int_equal(order_from_input(&ctx, &input, CH_STR("key-12345"), &order), CH_OK);
    assert_true(ch_str_is(order.recipient.phone, "010-1234-5678"));
    ch_arena_free(ctx.arena);
}

static void test_order_from_input__refuses_who_is_no_buyer(void **state)
{
    const struct ch_identity machine = {.sub = "machine"};
    struct ch_ctx ctx = {.arena = ch_arena_new(4096), .identity = &machine};
    const struct order_input input = {0};
    struct order order;

    (void)state;
    ch_faults_init(&ctx.faults, ctx.arena);
    assert_int_equal(order_from_input(&ctx, &input, CH_STR("key-12345"), &order), CH_ERR_FORBIDDEN);
    ch_arena_free(ctx.arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_order_input__keeps_each_rule_of_the_contract),
        cmocka_unit_test(test_order_from_input__writes_the_phone_with_hyphens),
        cmocka_unit_test(test_order_from_input__refuses_who_is_no_buyer),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
