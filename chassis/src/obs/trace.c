// SPDX-License-Identifier: Apache-2.0
// W3C Trace Context (Level 1, 2): reading and writing traceparent, ids, sampling, spans. A span that nobody will see
// costs a random number and two copies of 8 bytes: no clock is read, nothing is queued. Never trusts what came in the
// header beyond its syntax.

#include "obs_internal.h"

#define TRACEPARENT_LEN (CH_TRACEPARENT_TEXT - 1) // 00-<32>-<16>-<2>

/* ---- ids: xoshiro256** (Blackman, Vigna), one state a thread; unique, not secret ---- */

static uint64_t rotate(uint64_t x, int bits)
{
    return x << bits | x >> (64 - bits);
}

static uint64_t random_u64(void)
{
    static _Thread_local struct {
        uint64_t s[4];
        bool is_seeded;
    } state;
    uint64_t *s = state.s;
    if (__builtin_expect(!state.is_seeded, 0)) {
        ch_random(s, sizeof(state.s));
        s[0] |= 1; // all zero is the one state it never leaves
        state.is_seeded = true;
    }
    uint64_t result = rotate(s[1] * 5, 7) * 9, t = s[1] << 17;
    s[2] ^= s[0];
    s[3] ^= s[1];
    s[1] ^= s[2];
    s[0] ^= s[3];
    s[2] ^= t;
    s[3] = rotate(s[3], 45);
    return result;
}

static void new_span_id(uint8_t ret_id[8])
{
    uint64_t value = random_u64();
    value += value == 0;
    memcpy(ret_id, &value, 8);
}

static bool is_zero(const uint8_t *bytes, size_t len)
{
    uint8_t any = 0;
    for (size_t i = 0; i < len; i++)
        any |= bytes[i];
    return any == 0;
}

/* ---- traceparent ---- */

static int hex_digit(char c)
{
    return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static bool hex_read(const char *text, size_t count, uint8_t *ret_bytes)
{
    for (size_t i = 0; i < count; i++) {
        int high = hex_digit(text[2 * i]), low = hex_digit(text[2 * i + 1]);
        if (high < 0 || low < 0)
            return false;
        ret_bytes[i] = (uint8_t)(high << 4 | low);
    }
    return true;
}

static bool traceparent_read(struct ch_str text, struct ch_trace *ret_trace)
{
    uint8_t version, flags;
    struct ch_trace trace;
    if (text.len < TRACEPARENT_LEN || !hex_read(text.data, 1, &version) || version == 0xff)
        return false;
    if (text.len > TRACEPARENT_LEN && (version == 0 || text.data[TRACEPARENT_LEN] != '-'))
        return false; // only a later version may be longer, by further fields
    if (text.data[2] != '-' || text.data[35] != '-' || text.data[52] != '-')
        return false;
    if (!hex_read(text.data + 3, 16, trace.trace_id) || !hex_read(text.data + 36, 8, trace.span_id) ||
        !hex_read(text.data + 53, 1, &flags))
        return false;
    if (is_zero(trace.trace_id, 16) || is_zero(trace.span_id, 8))
        return false;
    trace.is_sampled = flags & 1;
    *ret_trace = trace;
    return true;
}

struct ch_str ch_traceparent_check(struct ch_str traceparent)
{
    struct ch_trace trace;

    const bool is_ours = traceparent.len == TRACEPARENT_LEN && memcmp(traceparent.data, "00", 2) == 0 &&
                         traceparent_read(traceparent, &trace);
    return is_ours ? traceparent : (struct ch_str){0};
}

/** The same answer for the same trace id wherever it is asked. */
static bool is_chosen(const uint8_t trace_id[16], double ratio)
{
    uint64_t low = 0;
    for (int i = 8; i < 16; i++)
        low = low << 8 | trace_id[i];
    return ratio >= 1 || (ratio > 0 && (double)(low >> 11) < ratio * 9007199254740992.0 /* 2^53 */);
}

void ch_trace_start(struct ch_trace *ret_trace, struct ch_str traceparent)
{
    if (traceparent_read(traceparent, ret_trace))
        return;
    uint64_t high = random_u64(), low = random_u64();
    low += low == 0;
    memcpy(ret_trace->trace_id, &high, 8);
    memcpy(ret_trace->trace_id + 8, &low, 8);
    memset(ret_trace->span_id, 0, sizeof(ret_trace->span_id));
    ret_trace->is_sampled = is_chosen(ret_trace->trace_id, obs_identity()->sample_ratio);
}

void ch_trace_format(const struct ch_trace *trace, char ret_text[CH_TRACEPARENT_TEXT])
{
    uint8_t span_id[8];
    memcpy(span_id, trace->span_id, sizeof(span_id));
    if (is_zero(span_id, sizeof(span_id)))
        new_span_id(span_id); // outside any span: zeros would make the receiver throw the trace away
    memcpy(ret_text, "00-", 3);
    ch_hex_encode(trace->trace_id, 16, ret_text + 3);
    ret_text[35] = '-';
    ch_hex_encode(span_id, 8, ret_text + 36);
    memcpy(ret_text + 52, trace->is_sampled ? "-01" : "-00", 4);
}

void ch_trace_id_text(const struct ch_trace *trace, char ret_text[33])
{
    ch_hex_encode(trace->trace_id, 16, ret_text);
}

/* ---- spans ---- */

void ch_span_start(struct ch_span *span, struct ch_trace *trace, enum ch_span_kind kind, const char *name)
{
    span->trace = trace;
    memcpy(span->parent_id, trace->span_id, 8);
    new_span_id(span->span_id);
    memcpy(trace->span_id, span->span_id, 8);
    span->name = name;
    span->kind = kind;
    span->attr_count = 0;
    span->start_ns = 0;
    if (!trace->is_sampled || !obs_spans_are_on())
        return;
    span->start_wall_us = ch_wall_us();
    span->start_ns = ch_now_ns();
}

void ch_span_attr(struct ch_span *span, struct ch_log_field attr)
{
    if (span->start_ns != 0 && span->attr_count < CH_SPAN_ATTRS)
        span->attrs[span->attr_count++] = attr;
}

/** Copies what fits, well-formed: a malformed byte becomes '?'. */
static struct ch_str copy_text(struct obs_span *record, struct ch_str s)
{
    char *to = record->text + record->text_len;
    size_t room = OBS_SPAN_TEXT - record->text_len, used = 0;
    for (size_t i = 0; i < s.len;) {
        size_t sequence = obs_utf8_sequence((const unsigned char *)s.data + i, s.len - i);
        size_t len = sequence ? sequence : 1;
        if (used + len > room)
            break;
        if (sequence)
            memcpy(to + used, s.data + i, len);
        else
            to[used] = '?';
        used += len;
        i += len;
    }
    record->text_len += used;
    return (struct ch_str){to, used};
}

static void span_queue(const struct ch_span *span, enum ch_err err)
{
    int64_t duration_ns = ch_now_ns() - span->start_ns;
    struct obs_span *record = obs_span_claim();
    if (!record)
        return;
    memcpy(record->trace_id, span->trace->trace_id, 16);
    memcpy(record->span_id, span->span_id, 8);
    memcpy(record->parent_id, span->parent_id, 8);
    record->name = span->name;
    record->kind = span->kind;
    record->err = err;
    record->start_wall_us = span->start_wall_us;
    record->duration_ns = duration_ns;
    record->attr_count = span->attr_count;
    record->text_len = 0;
    for (int i = 0; i < span->attr_count; i++) {
        record->attrs[i] = span->attrs[i];
        if (span->attrs[i].kind == CH_LOG_STR)
            record->attrs[i].str = copy_text(record, span->attrs[i].str);
    }
    obs_span_commit();
}

void ch_span_end(struct ch_span *span, enum ch_err err)
{
    if (span->start_ns != 0)
        span_queue(span, err);
    memcpy(span->trace->span_id, span->parent_id, 8);
}
