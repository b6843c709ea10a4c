// SPDX-License-Identifier: Apache-2.0
// Slices of text: comparing, numbers, UTF-8. Everything from outside passes the UTF-8 check, so ASCII goes eight bytes
// at a time. Nothing here may read past a slice's end or depend on the locale.
#include "utf8.h"

#define ONES  0x0101010101010101u
#define HIGHS 0x8080808080808080u

static uint8_t lower(char c)
{
    return (uint8_t)(c >= 'A' && c <= 'Z' ? c + ('a' - 'A') : c);
}

bool ch_str_ieq(struct ch_str a, struct ch_str b)
{
    if (a.len != b.len)
        return false;
    for (size_t i = 0; i < a.len; i++)
        if (lower(a.data[i]) != lower(b.data[i]))
            return false;
    return true;
}

enum ch_err ch_str_to_int64(struct ch_str s, int64_t *ret_value)
{
    bool is_negative = s.len > 0 && s.data[0] == '-';
    size_t i = is_negative ? 1 : 0;
    int64_t value = 0; // built below zero: the negative side holds one more

    if (i == s.len)
        return CH_ERR_INVALID;
    for (; i < s.len; i++) {
        if (s.data[i] < '0' || s.data[i] > '9')
            return CH_ERR_INVALID;
        if (__builtin_mul_overflow(value, 10, &value) || __builtin_sub_overflow(value, s.data[i] - '0', &value))
            return CH_ERR_INVALID;
    }
    if (!is_negative && value == INT64_MIN)
        return CH_ERR_INVALID;
    *ret_value = is_negative ? value : -value;
    return CH_OK;
}

size_t ch_utf8_span(struct ch_str s)
{
    const uint8_t *p = (const uint8_t *)s.data;
    size_t i = 0;

    while (i < s.len) {
        if (p[i] < 0x80) {
            uint64_t word;

            // A byte with its high bit set shows itself; a zero byte borrows into it.
            while (s.len - i >= sizeof(word)) {
                memcpy(&word, p + i, sizeof(word));
                if (((word | (word - ONES)) & HIGHS) != 0)
                    break;
                i += sizeof(word);
            }
            while (i < s.len && p[i] != 0 && p[i] < 0x80)
                i++;
            if (i < s.len && p[i] == 0)
                return i;
        } else {
            size_t len = ch_utf8_sequence(p + i, s.len - i);

            if (len == 0)
                return i;
            i += len;
        }
    }
    return i;
}

bool ch_utf8_is_valid(struct ch_str s)
{
    return ch_utf8_span(s) == s.len;
}

size_t ch_utf8_length(struct ch_str s)
{
    size_t count = 0;

    for (size_t i = 0; i < s.len; i++)
        count += ((uint8_t)s.data[i] & 0xC0) != 0x80;
    return count;
}
