// SPDX-License-Identifier: Apache-2.0
// Small encodings of gRPC over HTTP/2. Both directions stand side by side, so that they cannot drift apart.
// Must never trust a length or a digit that came from outside.
#include "grpc_wire.h"

#include <stdio.h>

struct grpc_prefix grpc_prefix_read(const void *bytes)
{
    const uint8_t *b = bytes;

    return (struct grpc_prefix){
        .is_compressed = b[0] != 0,
        .len = (uint32_t)b[1] << 24 | (uint32_t)b[2] << 16 | (uint32_t)b[3] << 8 | b[4],
    };
}

void grpc_prefix_write(void *ret_bytes, size_t len)
{
    uint8_t *b = ret_bytes;

    b[0] = 0;
    b[1] = (uint8_t)(len >> 24);
    b[2] = (uint8_t)(len >> 16);
    b[3] = (uint8_t)(len >> 8);
    b[4] = (uint8_t)len;
}

/* ---- grpc-timeout ---- */

#define TIMEOUT_MAX_NS     (3600 * 1000000000ll)
#define TIMEOUT_DIGITS_MAX 8

static const struct {
    char unit;
    int64_t ns;
} units[] = {
    {'n', 1}, {'u', 1000}, {'m', 1000000}, {'S', 1000000000}, {'M', 60 * 1000000000ll}, {'H', 3600 * 1000000000ll},
};

bool grpc_timeout_parse(struct ch_str text, int64_t *ret_ns)
{
    int64_t value = 0;

    if (text.len < 2 || text.len > TIMEOUT_DIGITS_MAX + 1)
        return false;
    for (size_t i = 0; i + 1 < text.len; i++) {
        if (text.data[i] < '0' || text.data[i] > '9')
            return false;
        value = value * 10 + (text.data[i] - '0');
    }
    for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++)
        if (units[i].unit == text.data[text.len - 1]) {
            *ret_ns = value > TIMEOUT_MAX_NS / units[i].ns ? TIMEOUT_MAX_NS : value * units[i].ns;
            return true;
        }
    return false;
}

size_t grpc_timeout_format(int64_t timeout_ns, char ret_text[GRPC_TIMEOUT_TEXT])
{
    int64_t us = timeout_ns < 1000 ? 1 : timeout_ns / 1000;
    bool is_long = us > 99999999;

    if (timeout_ns > TIMEOUT_MAX_NS)
        us = TIMEOUT_MAX_NS / 1000;
    return (size_t)snprintf(ret_text, GRPC_TIMEOUT_TEXT, "%lld%c", (long long)(is_long ? us / 1000 : us),
                            is_long ? 'm' : 'u');
}

/* ---- grpc-message ---- */

static const char hex_digits[] = "0123456789ABCDEF";

void grpc_percent_encode(struct ch_buf *out, struct ch_str text)
{
    for (size_t i = 0; i < text.len; i++) {
        unsigned char c = (unsigned char)text.data[i];

        if (c >= 0x20 && c <= 0x7e && c != '%') {
            ch_buf_append_char(out, (char)c);
            continue;
        }
        ch_buf_append(out, (char[]){'%', hex_digits[c >> 4], hex_digits[c & 15]}, 3);
    }
}

static int hex_value(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

struct ch_str grpc_percent_decode(struct ch_arena *arena, struct ch_str text)
{
    char *out = ch_arena_strdup(arena, text);
    size_t len = 0;

    if (!out)
        return (struct ch_str){0};
    for (size_t i = 0; i < text.len; i++) {
        int high = -1, low = -1;

        if (text.data[i] == '%' && text.len - i > 2) {
            high = hex_value(text.data[i + 1]);
            low = hex_value(text.data[i + 2]);
        }
        if (high >= 0 && low >= 0)
            i += 2;
        out[len++] = high >= 0 && low >= 0 ? (char)(high << 4 | low) : text.data[i];
    }
    out[len] = '\0';
    return (struct ch_str){out, len};
}

/* ---- others ---- */

void grpc_base64(struct ch_buf *out, const void *data, size_t len)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const uint8_t *b = data;

    for (size_t i = 0; i < len; i += 3) {
        size_t left = len - i;
        uint32_t v = (uint32_t)b[i] << 16 | (left > 1 ? (uint32_t)b[i + 1] << 8 : 0) | (left > 2 ? b[i + 2] : 0);
        char text[4] = {digits[v >> 18], digits[v >> 12 & 63], digits[v >> 6 & 63], digits[v & 63]};

        ch_buf_append(out, text, left > 2 ? 4 : left + 1);
    }
}

bool grpc_is_content_type(struct ch_str value)
{
    static const struct ch_str want = {"application/grpc", 16};

    return value.len >= want.len && ch_str_ieq((struct ch_str){value.data, want.len}, want) &&
           (value.len == want.len || value.data[want.len] == '+' || value.data[want.len] == ';');
}
