// SPDX-License-Identifier: Apache-2.0
// What a buyer may send: contracts/openapi/order-manager.yaml, schema OrderPlace.
#include "order_input.h"

#include <stdio.h>

#define IN(type, member) offsetof(struct type, member)

static const struct ch_field line_fields[] = {
    {"skuId", CH_FIELD_UUID, IN(order_line, sku_id)},
    {"quantity", CH_FIELD_INT, IN(order_line, quantity), .min = 1, .max = 99},
    {"unitPriceKrw", CH_FIELD_INT, IN(order_line, unit_price_krw), .min = 100, .max = 10000000},
    {0},
};

static const struct ch_field recipient_fields[] = {
    {"name", CH_FIELD_STR, IN(recipient, name), .min = 1, .max = 50, .flags = CH_F_TRIM},
    {"phone", CH_FIELD_STR, IN(recipient, phone), .min = 11, .max = 13, .pattern = "010-?[0-9]{4}-?[0-9]{4}",
     .pattern_detail = "휴대전화 번호는 010-1234-5678 형식이어야 합니다"},
    {"postcode", CH_FIELD_STR, IN(recipient, postcode), .min = 5, .max = 5, .pattern = "[0-9]{5}",
     .pattern_detail = "우편번호는 숫자 5자리입니다"},
    {"address1", CH_FIELD_STR, IN(recipient, address1), .min = 2, .max = 200, .flags = CH_F_TRIM},
    {"address2", CH_FIELD_STR, IN(recipient, address2), .min = 0, .max = 200, .flags = CH_F_OPTIONAL | CH_F_TRIM},
    {"doorNote", CH_FIELD_STR, IN(recipient, door_note), .min = 0, .max = 200, .flags = CH_F_OPTIONAL | CH_F_TRIM},
    {0},
};

const struct ch_field order_input_fields[] = {
    {"paymentToken", CH_FIELD_STR, IN(order_input, payment_token), .min = 1, .max = 100,
     .pattern = "pay_[A-Za-z0-9]{24,64}", .pattern_detail = "pay_ 뒤에 영문자와 숫자 24~64자가 와야 합니다"},
    {"recipient", CH_FIELD_OBJECT, IN(order_input, recipient), .fields = recipient_fields},
    {"giftMessage", CH_FIELD_STR, IN(order_input, gift_message), .min = 0, .max = 200,
     .flags = CH_F_OPTIONAL | CH_F_TRIM | CH_F_MULTILINE},
    {"lines", CH_FIELD_ARRAY, IN(order_input, lines), .min = 1, .max = ORDER_LINES_MAX, .fields = line_fields,
     .elem_size = sizeof(struct order_line)},
    {0},
};

// 010-1234-5678, however it was typed.
static struct ch_str phone_with_hyphens(struct ch_arena *arena, struct ch_str typed)
{
    char digits[12];
    size_t n = 0;

    for (size_t i = 0; i < typed.len && n < 11; i++)
        if (typed.data[i] != '-')
            digits[n++] = typed.data[i];
    digits[n] = '\0';
    return ch_str_of(ch_arena_printf(arena, "%.3s-%.4s-%.4s", digits, digits + 3, digits + 7));
}

enum ch_err order_from_input(struct ch_ctx *ctx, const struct order_input *input, struct ch_str key,
                             struct order *ret_order)
{
    if (ch_uuid_is_nil(ctx->identity->id))
        return ch_fail(ctx, CH_ERR_FORBIDDEN, NULL, NULL, "구매자 계정으로만 주문할 수 있습니다");
    *ret_order = (struct order){
        .buyer_id = ctx->identity->id,
        .idempotency_key = key,
        .payment_token = input->payment_token,
        .recipient = input->recipient,
        .gift_message = input->gift_message,
        .lines = input->lines.items,
        .line_count = input->lines.count,
    };
    ret_order->recipient.phone = phone_with_hyphens(ctx->arena, input->recipient.phone);
    return ret_order->recipient.phone.data ? CH_OK : CH_ERR_NO_MEMORY;
}

enum ch_err order_cursor_read(struct ch_ctx *ctx, struct ch_str text, struct ch_uuid *ret_after)
{
    struct ch_cursor cursor;

    memset(ret_after, 0xff, sizeof(*ret_after));
    if (!text.data)
        return CH_OK;
    const enum ch_err err = ch_cursor_decode(ctx, text, &cursor);
    if (err)
        return err;
    if (cursor.count != 1 || ch_uuid_parse(cursor.values[0], ret_after))
        return ch_fail(ctx, CH_ERR_INVALID, "?cursor", "format", "앞 응답의 nextCursor를 그대로 보내야 합니다");
    return CH_OK;
}

const char *order_cursor_after(struct ch_ctx *ctx, const struct order *last)
{
    const struct ch_cursor cursor = {.values = {ch_str_of(ch_arena_uuid(ctx->arena, last->order_id))}, .count = 1};

    return ch_cursor_encode(ctx, &cursor);
}
