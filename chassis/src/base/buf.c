// SPDX-License-Identifier: Apache-2.0
// Growing bytes with a stated maximum: what is read from a socket and what is written to one.
// A writer checks is_full once at its end, so nothing may be appended after a refusal: the content is always a prefix
// of what was meant. One byte more than `cap` is kept for the NUL that vsnprintf writes.
#include "ch/base.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#define SMALLEST_CAP 256u

void ch_buf_init(struct ch_buf *buf, size_t max_bytes)
{
    *buf = (struct ch_buf){.max = max_bytes};
}

void ch_buf_release(struct ch_buf *buf)
{
    free(buf->data);
    ch_buf_init(buf, buf->max);
}

void ch_buf_reset(struct ch_buf *buf)
{
    buf->len = 0;
    buf->is_full = false;
}

static bool grow(struct ch_buf *buf, size_t need)
{
    size_t cap = buf->cap < SMALLEST_CAP / 2 ? SMALLEST_CAP : buf->cap > buf->max / 2 ? buf->max : buf->cap * 2;
    char *data;

    if (cap < need)
        cap = need;
    if (cap > buf->max)
        cap = buf->max;
    data = cap < SIZE_MAX ? realloc(buf->data, cap + 1) : NULL;
    if (!data)
        return false;
    buf->data = data;
    buf->cap = cap;
    return true;
}

char *ch_buf_reserve(struct ch_buf *buf, size_t len)
{
    if (buf->is_full)
        return NULL;
    if (len > buf->cap - buf->len || !buf->data) {
        if (len > buf->max - buf->len || !grow(buf, buf->len + len)) {
            buf->is_full = true;
            return NULL;
        }
    }
    return buf->data + buf->len;
}

void ch_buf_append(struct ch_buf *buf, const void *data, size_t len)
{
    char *room;

    if (len == 0)
        return;
    room = ch_buf_reserve(buf, len);
    if (!room)
        return;
    memcpy(room, data, len);
    buf->len += len;
}

void ch_buf_append_str(struct ch_buf *buf, struct ch_str s)
{
    ch_buf_append(buf, s.data, s.len);
}

void ch_buf_append_cstr(struct ch_buf *buf, const char *s)
{
    ch_buf_append(buf, s, strlen(s));
}

void ch_buf_append_char(struct ch_buf *buf, char c)
{
    ch_buf_append(buf, &c, 1);
}

void ch_buf_append_int64(struct ch_buf *buf, int64_t value)
{
    static const char pairs[] = "00010203040506070809101112131415161718192021222324252627282930313233343536373839"
                                "40414243444546474849505152535455565758596061626364656667686970717273747576777879"
                                "8081828384858687888990919293949596979899";
    char text[20];
    char *p = text + sizeof(text);
    uint64_t rest = value < 0 ? -(uint64_t)value : (uint64_t)value;

    while (rest >= 100) {
        p -= 2;
        memcpy(p, pairs + rest % 100 * 2, 2);
        rest /= 100;
    }
    if (rest >= 10) {
        p -= 2;
        memcpy(p, pairs + rest * 2, 2);
    } else {
        *--p = (char)('0' + rest);
    }
    if (value < 0)
        *--p = '-';
    ch_buf_append(buf, p, (size_t)(text + sizeof(text) - p));
}

void ch_buf_printf(struct ch_buf *buf, const char *format, ...)
{
    size_t room = buf->cap - buf->len;
    va_list args;
    int len;

    if (buf->is_full)
        return;
    va_start(args, format);
    len = buf->data ? vsnprintf(buf->data + buf->len, room + 1, format, args) : vsnprintf(NULL, 0, format, args);
    va_end(args);
    if (len < 0) {
        buf->is_full = true;
        return;
    }
    if (!buf->data || (size_t)len > room) {
        char *place = ch_buf_reserve(buf, (size_t)len);

        if (!place)
            return;
        va_start(args, format);
        (void)vsnprintf(place, (size_t)len + 1, format, args); // its length is known
        va_end(args);
    }
    buf->len += (size_t)len;
}

void ch_buf_consume(struct ch_buf *buf, size_t len)
{
    assert(len <= buf->len);
    if (len == 0)
        return;
    buf->len -= len;
    if (buf->len > 0)
        memmove(buf->data, buf->data + len, buf->len);
}

struct ch_str ch_buf_str(const struct ch_buf *buf)
{
    return (struct ch_str){buf->data, buf->len};
}

struct ch_str ch_buf_take(struct ch_buf *buf, struct ch_arena *arena)
{
    struct ch_str text = {.data = buf->is_full ? NULL : ch_arena_strdup(arena, ch_buf_str(buf))};

    text.len = text.data ? buf->len : 0;
    ch_buf_release(buf);
    return text;
}
