// SPDX-License-Identifier: Apache-2.0
// Personal data of an order: what others see of it, and that what was answered comes back byte for byte.
#include "../order_personal.h"
#include "cases.h"
#include "ch/seal.h"

#include <stdlib.h>
#include <unistd.h>

static struct ch_arena *arena;

static int setup(void **state)
{
    static const char keys[] = "1 AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8\n";
    char path[] = "/tmp/test_order_personal.XXXXXX";
    const int fd = mkstemp(path);

    (void)state;
    if (fd < 0 || write(fd, keys, sizeof(keys) - 1) < 0)
        return -1;
    (void)close(fd);
    const enum ch_err err = ch_seal_keys_read(path, NULL);
    (void)unlink(path);
    arena = ch_arena_new(1 << 20);
    return err || !arena ? -1 : 0;
}

static int teardown(void **state)
{
    (void)state;
    ch_arena_free(arena);
    return 0;
}

static struct order order_to(const char *name, const char *address)
{
    return (struct order){
        .order_id = {{7}},
        .recipient = {.name = ch_str_of(name),
                      .phone = CH_STR("010-1234-5678"),
                      .postcode = CH_STR("06236"),
                      .address1 = ch_str_of(address),
                      .address2 = CH_STR("10층 \"1001호\""),
                      .door_note = CH_STR("문 앞 #1234*")},
        .gift_message = CH_STR("첫 줄\n둘째 줄"),
    };
}

static void test_mask__leaves_what_lets_one_recognise(void **state)
{
    static const struct {
        const char *name, *address, *want_name, *want_address;
    } cases[] = {
        {"홍길동", "서울 강남구 테헤란로 152", "홍*동", "서울 강남구 테헤란로 ***"},
        {"홍길", "서울 강남구 언주로30길 13", "홍*", "서울 강남구 언주로30길 ***"},
        {"홍", "경북 청송군 주왕산면 주왕산로 1", "*", "경북 청송군 주왕산면 ***"},
        {"남궁민수", "서울 강남구 역삼동 737", "남**수", "서울 강남구 역삼동 ***"},
        {"John Smith", "제주 서귀포시 어딘가", "J********h", "제주 서귀포시 ***"},
        {"김a이", "한마디", "김*이", "***"},
        {"홍길동", "세종로 1", "홍*동", "***"},
        {"홍길동", "  서울   종로 5", "홍*동", "  서울   종로 ***"},
        {"홍길동", "부산 해운대구", "홍*동", "***"},
    };

    (void)state;
    FOR_EACH(c, cases)
    {
        struct order order = order_to(c->name, c->address);

        CHECK(c->name, personal_mask(arena, &order) == CH_OK);
        CHECK(c->address, order.recipient.is_masked);
        CHECK_TEXT(c->address, ch_arena_strdup(arena, order.recipient.name), c->want_name);
        CHECK_TEXT(c->address, ch_arena_strdup(arena, order.recipient.address1), c->want_address);
        CHECK(c->name, ch_str_is(order.recipient.phone, "010-****-5678"));
        CHECK(c->name, ch_str_is(order.recipient.postcode, "06***"));
        CHECK(c->name, ch_str_is(order.recipient.address2, "***"));
        CHECK(c->name, ch_str_is(order.recipient.door_note, "***"));
        CHECK(c->name, ch_str_is(order.gift_message, "***"));
    }
}

static void test_mask__of_nothing_hides_nothing(void **state)
{
    struct order erased = {0}, plain = order_to("홍길동", "서울 강남구 테헤란로 152");

    (void)state;
    assert_int_equal(personal_mask(arena, &erased), CH_OK);
    assert_null(erased.recipient.name.data);
    plain.recipient.address2 = plain.recipient.door_note = plain.gift_message = CH_STR("");
    assert_int_equal(personal_mask(arena, &plain), CH_OK);
    assert_int_equal(plain.recipient.address2.len + plain.recipient.door_note.len + plain.gift_message.len, 0);
}

static void test_personal__comes_back_as_it_was(void **state)
{
    struct order order = order_to("홍\"길\\동", "서울 강남구 테헤란로 152"), back = {.order_id = order.order_id};
    struct ch_str sealed, json;

    (void)state;
    assert_int_equal(personal_encode(arena, &order), CH_OK);
    assert_int_equal(personal_seal(arena, &order, &sealed), CH_OK);
    assert_null(memmem(sealed.data, sealed.len, "010-1234", 8));
    assert_int_equal(personal_open(arena, order.order_id, sealed, &json), CH_OK);
    assert_true(ch_str_eq(json, order.personal));
    assert_int_equal(personal_decode(arena, json, &back), CH_OK);
    assert_true(ch_str_eq(back.recipient.name, order.recipient.name));
    assert_true(ch_str_eq(back.recipient.address2, order.recipient.address2));
    assert_true(ch_str_eq(back.gift_message, order.gift_message));
    assert_int_equal(personal_open(arena, (struct ch_uuid){{8}}, sealed, &json), CH_ERR_INTERNAL); // another's row
}

static void test_reply__is_whole_again(void **state)
{
    struct order order = order_to("홍길동", "서울 강남구 테헤란로 152");
    struct ch_str reply;

    (void)state;
    assert_int_equal(personal_encode(arena, &order), CH_OK);
    assert_int_equal(personal_fill_gap(arena, CH_STR("{\"a\":1,\x01,\"b\":2}"), order.personal, &reply), CH_OK);
    assert_string_equal(
        reply.data,
        "{\"a\":1,\"recipient\":{\"name\":\"홍길동\",\"phone\":\"010-1234-5678\",\"postcode\":\"06236\","
        "\"address1\":\"서울 강남구 테헤란로 152\",\"address2\":\"10층 \\\"1001호\\\"\",\"doorNote\":\"문 앞 "
        "#1234*\"},\"giftMessage\":\"첫 줄\\n둘째 줄\",\"b\":2}");
    assert_int_equal(personal_fill_gap(arena, CH_STR("{\"a\":1,\x01}"), (struct ch_str){0}, &reply), CH_OK);
    assert_string_equal(reply.data, "{\"a\":1,\"recipient\":null,\"giftMessage\":\"\"}");
    assert_int_equal(personal_fill_gap(arena, CH_STR("{}"), order.personal, &reply), CH_ERR_INTERNAL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_mask__leaves_what_lets_one_recognise),
        cmocka_unit_test(test_mask__of_nothing_hides_nothing),
        cmocka_unit_test(test_personal__comes_back_as_it_was),
        cmocka_unit_test(test_reply__is_whole_again),
    };

    return cmocka_run_group_tests_name("order_personal", tests, setup, teardown);
}
