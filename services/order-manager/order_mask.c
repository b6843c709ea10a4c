// SPDX-License-Identifier: Apache-2.0
// What of a recipient others than the buyer and the farm that ships may see: enough to recognise it on the phone, not
// enough to use it. Works on characters, not bytes. It must never let a door note or a message through: people write
// the codes of their doors there.
#include "order_personal.h"

#define HIDDEN "***"

// Bytes of the UTF-8 character at s; the text is valid.
static size_t char_size(const char *s)
{
    const unsigned char c = (unsigned char)*s;

    return c < 0x80 ? 1 : c < 0xe0 ? 2 : c < 0xf0 ? 3 : 4;
}

// 홍길동 -> 홍*동, 홍길 -> 홍*, 남궁민수 -> 남**수: first and last stay.
static struct ch_str mask_name(struct ch_arena *arena, struct ch_str name)
{
    const size_t length = ch_utf8_length(name);
    char *masked = ch_arena_alloc(arena, name.len + 1), *to = masked;
    size_t at = 0;

    if (!masked)
        return (struct ch_str){0};
    for (size_t i = 0; i < length; i++) {
        const size_t size = char_size(name.data + at);

        if (i == 0 ? length > 1 : i == length - 1 && length > 2) {
            memcpy(to, name.data + at, size);
            to += size;
        } else {
            *to++ = '*';
        }
        at += size;
    }
    return (struct ch_str){masked, (size_t)(to - masked)};
}

static bool ends_with(struct ch_str word, struct ch_str end)
{
    return word.len > end.len && memcmp(word.data + word.len - end.len, end.data, end.len) == 0;
}

// 테헤란로, 언주로30길, 역삼동, 청운면: what an address of either kind names last before numbers.
static bool is_street(struct ch_str word)
{
    static const struct ch_str ends[] = {CH_STR("로"), CH_STR("길"), CH_STR("동"),
                                         CH_STR("읍"), CH_STR("면"), CH_STR("리")};

    for (size_t i = 0; i < sizeof(ends) / sizeof(ends[0]); i++)
        if (ends_with(word, ends[i]))
            return true;
    return false;
}

// "서울 강남구 테헤란로 152" -> "서울 강남구 테헤란로 ***". Where no street is found two words stay, of one word none.
static struct ch_str mask_address(struct ch_arena *arena, struct ch_str address)
{
    size_t keep = 0, words = 0, second = 0;

    for (size_t at = 0; at < address.len && !keep;) {
        size_t end = at;

        while (end < address.len && address.data[end] != ' ')
            end++;
        words += end > at;
        if (words == 2 && !second)
            second = end;
        if (words > 1 && is_street((struct ch_str){address.data + at, end - at}))
            keep = end;
        at = end + 1;
    }
    if (!keep)
        keep = second < address.len ? second : 0;
    return ch_str_of(ch_arena_printf(arena, "%.*s%s" HIDDEN, (int)keep, address.data, keep ? " " : ""));
}

static struct ch_str mask_text(struct ch_str text)
{
    return text.len ? CH_STR(HIDDEN) : CH_STR("");
}

enum ch_err personal_mask(struct ch_arena *arena, struct order *order)
{
    const struct recipient *to = &order->recipient;

    if (!to->name.data || to->is_masked)
        return CH_OK;
    // The phone is 010-1234-5678 and the postcode five digits: order_input.c saw to it.
    const struct recipient masked = {
        .name = mask_name(arena, to->name),
        .phone = ch_str_of(ch_arena_printf(arena, "%.4s****%.5s", to->phone.data, to->phone.data + 8)),
        .postcode = ch_str_of(ch_arena_printf(arena, "%.2s***", to->postcode.data)),
        .address1 = mask_address(arena, to->address1),
        .address2 = mask_text(to->address2),
        .door_note = mask_text(to->door_note),
        .is_masked = true,
    };
    if (!masked.name.data || !masked.phone.data || !masked.postcode.data || !masked.address1.data)
        return CH_ERR_NO_MEMORY;
    order->recipient = masked;
    order->gift_message = mask_text(order->gift_message);
    return CH_OK;
}
