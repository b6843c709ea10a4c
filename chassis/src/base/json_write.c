// SPDX-License-Identifier: Apache-2.0
// The JSON writer: straight into a buffer, because building a tree first costs ten times as much.
// Whatever bytes it is given, what it writes must be valid JSON in valid UTF-8.
#include "ch/json.h"
#include "utf8.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#define ONES  0x0101010101010101u
#define HIGHS 0x8080808080808080u

// One byte without a call: half of what a small object needs.
static inline void put(struct ch_buf *buf, char c)
{
    if (buf->len < buf->cap && !buf->is_full)
        buf->data[buf->len++] = c;
    else
        ch_buf_append_char(buf, c);
}

static void comma(struct ch_jw *jw)
{
    if (jw->needs_comma)
        put(jw->buf, ',');
    jw->needs_comma = true;
}

static void literal(struct ch_jw *jw, const char *text, size_t len)
{
    comma(jw);
    ch_buf_append(jw->buf, text, len);
}

static void open_with(struct ch_jw *jw, char c)
{
    comma(jw);
    put(jw->buf, c);
    jw->needs_comma = false;
}

static void close_with(struct ch_jw *jw, char c)
{
    put(jw->buf, c);
    jw->needs_comma = true;
}

void ch_jw_object(struct ch_jw *jw)
{
    open_with(jw, '{');
}

void ch_jw_object_end(struct ch_jw *jw)
{
    close_with(jw, '}');
}

void ch_jw_array(struct ch_jw *jw)
{
    open_with(jw, '[');
}

void ch_jw_array_end(struct ch_jw *jw)
{
    close_with(jw, ']');
}

void ch_jw_key(struct ch_jw *jw, const char *name)
{
    size_t name_len = strlen(name);
    size_t len = name_len + 3 + jw->needs_comma;
    char *p = ch_buf_reserve(jw->buf, len);

    if (!p)
        return;
    if (jw->needs_comma)
        *p++ = ',';
    *p++ = '"';
    memcpy(p, name, name_len);
    p += name_len;
    *p++ = '"';
    *p = ':';
    jw->buf->len += len;
    jw->needs_comma = false;
}

/* ---- strings -------------------------------------------------------------------------------------------------- */

// What stands for a byte: 0 the byte itself, 'u' a \u00XX form, otherwise the letter behind the backslash.
static const char escapes[128] = {
    [0x00 ... 0x07] = 'u', ['\b'] = 'b', ['\t'] = 't',          ['\n'] = 'n', [0x0B] = 'u',
    ['\f'] = 'f',          ['\r'] = 'r', [0x0E ... 0x1F] = 'u', ['"'] = '"',  ['\\'] = '\\',
};

// Is any of eight bytes not plain, that is a control character, a quote, a backslash or not ASCII?
// Each subtraction sets the high bit where a byte is below 0x20 or equals the mask; a false alarm only costs time.
static bool has_special(uint64_t word)
{
    uint64_t quote = word ^ ('"' * ONES);
    uint64_t backslash = word ^ ('\\' * ONES);

    return ((word | (word - 0x20 * ONES) | (quote - ONES) | (backslash - ONES)) & HIGHS) != 0;
}

// Length of what can be copied as it is.
static size_t plain_run(const uint8_t *p, size_t len)
{
    size_t i = 0;

    while (i < len) {
        uint64_t word;

        while (len - i >= sizeof(word)) {
            memcpy(&word, p + i, sizeof(word));
            if (has_special(word))
                break;
            i += sizeof(word);
        }
        while (i < len && p[i] < 0x80 && !escapes[p[i]])
            i++;
        while (i < len && p[i] >= 0x80) {
            size_t sequence = ch_utf8_sequence(p + i, len - i);

            if (sequence == 0)
                return i;
            i += sequence;
        }
        if (i < len && p[i] < 0x80 && escapes[p[i]])
            return i;
    }
    return i;
}

static void append_escaped(struct ch_buf *buf, uint8_t c)
{
    static const char digits[] = "0123456789abcdef";

    if (c >= 0x80)
        ch_buf_append(buf, "\xEF\xBF\xBD", 3); // U+FFFD, the replacement character
    else if (escapes[c] == 'u')
        ch_buf_append(buf, (const char[]){'\\', 'u', '0', '0', digits[c >> 4], digits[c & 15]}, 6);
    else
        ch_buf_append(buf, (const char[]){'\\', escapes[c]}, 2);
}

void ch_jw_str(struct ch_jw *jw, struct ch_str value)
{
    const uint8_t *p = (const uint8_t *)value.data;
    size_t i = 0;

    if (!p) {
        ch_jw_null(jw);
        return;
    }
    comma(jw);
    put(jw->buf, '"');
    while (i < value.len) {
        size_t run = plain_run(p + i, value.len - i);

        ch_buf_append(jw->buf, p + i, run);
        i += run;
        if (i < value.len)
            append_escaped(jw->buf, p[i++]);
    }
    put(jw->buf, '"');
}

void ch_jw_cstr(struct ch_jw *jw, const char *value)
{
    ch_jw_str(jw, ch_str_of(value));
}

/* ---- the other values ----------------------------------------------------------------------------------------- */

void ch_jw_int(struct ch_jw *jw, int64_t value)
{
    comma(jw);
    ch_buf_append_int64(jw->buf, value);
}

void ch_jw_double(struct ch_jw *jw, double value)
{
    char text[40];
    int len = 0;

    if (!isfinite(value)) {
        ch_jw_null(jw);
        return;
    }
    // 17 digits always read back the same; most numbers that people write do so with 15.
    for (int digits = 15; digits <= 17; digits++) {
        len = snprintf(text, sizeof(text), "%.*g", digits, value);
        if (strtod(text, NULL) == value)
            break;
    }
    for (int i = 0; i < len; i++)
        if (text[i] == ',')
            text[i] = '.'; // a locale's decimal comma
    literal(jw, text, (size_t)len);
}

void ch_jw_bool(struct ch_jw *jw, bool value)
{
    literal(jw, value ? "true" : "false", value ? 4 : 5);
}

void ch_jw_null(struct ch_jw *jw)
{
    literal(jw, "null", 4);
}

void ch_jw_uuid(struct ch_jw *jw, struct ch_uuid value)
{
    char text[1 + CH_UUID_TEXT];

    text[0] = '"';
    ch_uuid_format(value, text + 1);
    text[CH_UUID_TEXT] = '"';
    literal(jw, text, sizeof(text));
}

void ch_jw_time(struct ch_jw *jw, int64_t wall_us)
{
    char text[1 + CH_TIME_TEXT];

    text[0] = '"';
    ch_time_format(wall_us, text + 1);
    text[CH_TIME_TEXT] = '"';
    literal(jw, text, sizeof(text));
}

void ch_jw_raw(struct ch_jw *jw, struct ch_str json)
{
    if (json.len == 0)
        ch_jw_null(jw);
    else
        literal(jw, json.data, json.len);
}

void ch_jw_kstr(struct ch_jw *jw, const char *name, struct ch_str value)
{
    ch_jw_key(jw, name);
    ch_jw_str(jw, value);
}

void ch_jw_kcstr(struct ch_jw *jw, const char *name, const char *value)
{
    ch_jw_key(jw, name);
    ch_jw_cstr(jw, value);
}

void ch_jw_kint(struct ch_jw *jw, const char *name, int64_t value)
{
    ch_jw_key(jw, name);
    ch_jw_int(jw, value);
}

void ch_jw_kbool(struct ch_jw *jw, const char *name, bool value)
{
    ch_jw_key(jw, name);
    ch_jw_bool(jw, value);
}

void ch_jw_kuuid(struct ch_jw *jw, const char *name, struct ch_uuid value)
{
    ch_jw_key(jw, name);
    ch_jw_uuid(jw, value);
}

void ch_jw_ktime(struct ch_jw *jw, const char *name, int64_t wall_us)
{
    ch_jw_key(jw, name);
    ch_jw_time(jw, wall_us);
}

void ch_jw_kint_or_null(struct ch_jw *jw, const char *name, int64_t value, int64_t null_value)
{
    ch_jw_key(jw, name);
    if (value == null_value)
        ch_jw_null(jw);
    else
        ch_jw_int(jw, value);
}

void ch_jw_kuuid_or_null(struct ch_jw *jw, const char *name, struct ch_uuid value)
{
    ch_jw_key(jw, name);
    if (ch_uuid_is_nil(value))
        ch_jw_null(jw);
    else
        ch_jw_uuid(jw, value);
}

void ch_jw_ktime_or_null(struct ch_jw *jw, const char *name, int64_t wall_us)
{
    ch_jw_key(jw, name);
    if (!wall_us)
        ch_jw_null(jw);
    else
        ch_jw_time(jw, wall_us);
}
