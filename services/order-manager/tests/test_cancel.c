// SPDX-License-Identifier: Apache-2.0
// Who may cancel with what reason, and that the reasons, their names and the stored states are what they say.
#include "../cancel.h"
#include "cases.h"

static const struct {
    const char *name;
    enum order_actor actor;
    int reason;
    const char *note;
    const char *pointer; // of the fault; NULL: accepted
    int want;            // the reason then
} cases[] = {
    {"a buyer need not say why", BY_BUYER, CANCEL_REASON_COUNT, "", NULL, CANCEL_CHANGED_MIND},
    {"a buyer's note stays without a reason", BY_BUYER, CANCEL_REASON_COUNT, "다음에 살게요", NULL,
     CANCEL_CHANGED_MIND},
    {"a buyer's reason", BY_BUYER, CANCEL_DELIVERY_DELAY, "", NULL, CANCEL_DELIVERY_DELAY},
    {"the shop's reason is not a buyer's", BY_BUYER, CANCEL_SOLD_OUT, "", "/reason", 0},
    {"the farm's reason is not a buyer's", BY_BUYER, CANCEL_FARM_REQUEST, "", "/reason", 0},
    {"other needs a note", BY_BUYER, CANCEL_OTHER, "", "/note", 0},
    {"other with a note", BY_BUYER, CANCEL_OTHER, "이사", NULL, CANCEL_OTHER},
    {"an operator must say why", BY_OPERATOR, CANCEL_REASON_COUNT, "", "/reason", 0},
    {"an operator's note is no reason", BY_OPERATOR, CANCEL_REASON_COUNT, "품절", "/reason", 0},
    {"an operator's reason", BY_OPERATOR, CANCEL_SOLD_OUT, "", NULL, CANCEL_SOLD_OUT},
    {"an operator for a buyer", BY_OPERATOR, CANCEL_ORDER_MISTAKE, "", NULL, CANCEL_ORDER_MISTAKE},
    {"an operator's other needs a note", BY_OPERATOR, CANCEL_OTHER, "", "/note", 0},
    {"nobody else", BY_FARM, CANCEL_CHANGED_MIND, "", "/reason", 0},
};

static void test_cancel__takes_a_reason_from_whom_it_becomes(void **state)
{
    (void)state;
    FOR_EACH(it, cases)
    {
        struct ch_arena *arena = ch_arena_new(64 * 1024);
        struct ch_ctx ctx = {.arena = arena};
        struct cancel_wish wish = {.reason = it->reason, .note = ch_str_of(it->note)};

        ch_faults_init(&ctx.faults, arena);
        const enum ch_err err = cancel_wish_check(&ctx, it->actor, &wish);
        CHECK(it->name, err == (it->pointer ? CH_ERR_INVALID : CH_OK));
        if (it->pointer)
            CHECK(it->name, ctx.faults.count == 1 && strcmp(ctx.faults.first->pointer, it->pointer) == 0);
        else
            CHECK(it->name, wish.reason == it->want && ch_str_is(wish.note, it->note));
        ch_arena_free(arena);
    }
}

static void test_cancel__every_reason_has_a_name_a_text_and_somebody(void **state)
{
    (void)state;
    for (int i = 0; i < CANCEL_REASON_COUNT; i++) {
        assert_non_null(cancel_reason_names[i]);
        // DeliveryMock takes 2 to 200 characters, and the timeline shows them.
        const size_t length = ch_utf8_length(ch_str_of(cancel_reason_rows[i].text));
        CHECK(cancel_reason_names[i], length >= 2 && length <= CANCEL_NOTE_MAX);
        CHECK(cancel_reason_names[i], (cancel_reason_rows[i].who & ~(unsigned)(BY_BUYER | BY_OPERATOR)) == 0);
        CHECK(cancel_reason_names[i], (cancel_reason_rows[i].who & BY_OPERATOR) != 0);
        for (int j = 0; j < i; j++)
            CHECK(cancel_reason_names[i], strcmp(cancel_reason_rows[i].text, cancel_reason_rows[j].text) != 0);
    }
    assert_null(cancel_reason_names[CANCEL_REASON_COUNT]);
    assert_null(cancel_state_names[CANCEL_STATE_COUNT]);
}

static void test_cancel__body_keeps_to_the_contract(void **state)
{
    static const struct {
        const char *name, *body, *pointer;
        int reason;
        const char *note;
    } bodies[] = {
        {"empty object", "{}", NULL, CANCEL_REASON_COUNT, ""},
        {"reason", "{\"reason\":\"ADDRESS_CHANGE\"}", NULL, CANCEL_ADDRESS_CHANGE, ""},
        {"note is trimmed", "{\"reason\":\"OTHER\",\"note\":\"  이사  \"}", NULL, CANCEL_OTHER, "이사"},
        {"note of spaces is none", "{\"note\":\"   \"}", NULL, CANCEL_REASON_COUNT, ""},
        {"unknown reason", "{\"reason\":\"BORED\"}", "/reason", 0, NULL},
        {"lower case", "{\"reason\":\"other\"}", "/reason", 0, NULL},
        {"null", "{\"reason\":null}", "/reason", 0, NULL},
        {"number", "{\"reason\":1}", "/reason", 0, NULL},
        {"unknown member", "{\"why\":\"OTHER\"}", "/why", 0, NULL},
        {"array", "[]", "", 0, NULL},
    };

    (void)state;
    FOR_EACH(it, bodies)
    {
        struct ch_arena *arena = ch_arena_new(64 * 1024);
        struct cancel_wish wish = CANCEL_WISH_INIT;
        struct ch_faults faults;
        json_t *json = NULL;

        ch_faults_init(&faults, arena);
        assert_int_equal(ch_json_parse(ch_str_of(it->body), &faults, &json), CH_OK);
        const enum ch_err err = ch_json_bind(json, cancel_wish_fields, "", &faults, &wish, NULL);
        CHECK(it->name, err == (it->pointer ? CH_ERR_INVALID : CH_OK));
        if (it->pointer)
            CHECK(it->name, faults.count == 1 && strcmp(faults.first->pointer, it->pointer) == 0);
        else
            CHECK(it->name, wish.reason == it->reason && ch_str_is(wish.note, it->note));
        json_decref(json);
        ch_arena_free(arena);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cancel__takes_a_reason_from_whom_it_becomes),
        cmocka_unit_test(test_cancel__every_reason_has_a_name_a_text_and_somebody),
        cmocka_unit_test(test_cancel__body_keeps_to_the_contract),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
