// SPDX-License-Identifier: Apache-2.0
// Makes one JSON object of each log call, in a buffer on the stack, and hands it to the telemetry thread. Costs the
// caller well under 2 us: so no locale, no printf, no allocation. Never writes a line that is not valid JSON, however
// long or broken its fields are.

#include "obs_internal.h"

#include <stdatomic.h>
#include <stdio.h>

static const char *const level_names[CH_LOG_LEVELS] = {"error", "warn", "info", "debug"};
static atomic_int level_now = CH_LOG_INFO;

static const char tail_cut[] = ",\"truncated\":true}\n";
static const char tail_whole[] = "}\n";

/** Room is kept behind `end` for the closing quote and the tail, so closing never fails. */
struct line {
    char *at;
    const char *end;
    bool is_cut;
};

/** ,"service":"...","event":" : the same in every line of the process. */
static char fixed_part[OBS_LINE_MAX / 4];
static size_t fixed_len;

void ch_log_set_level(enum ch_log_level level)
{
    if ((int)level >= 0 && level < CH_LOG_LEVELS)
        atomic_store_explicit(&level_now, level, memory_order_relaxed);
}

enum ch_log_level ch_log_level(void)
{
    return (enum ch_log_level)atomic_load_explicit(&level_now, memory_order_relaxed);
}

enum ch_err ch_log_level_parse(struct ch_str name, enum ch_log_level *ret_level)
{
    for (int i = 0; i < CH_LOG_LEVELS; i++) {
        if (ch_str_is(name, level_names[i])) {
            *ret_level = (enum ch_log_level)i;
            return CH_OK;
        }
    }
    return CH_ERR_INVALID;
}

const char *ch_log_level_name(enum ch_log_level level)
{
    return (int)level >= 0 && level < CH_LOG_LEVELS ? level_names[level] : "unknown";
}

/* ---- parts of a line ---- */

/** `at` may be one past `end`: the closing quote's place. */
static size_t room(const struct line *line)
{
    return line->at < line->end ? (size_t)(line->end - line->at) : 0;
}

static void put(struct line *line, const char *data, size_t len)
{
    if (line->is_cut || room(line) < len) {
        line->is_cut = true;
        return;
    }
    memcpy(line->at, data, len);
    line->at += len;
}

#define PUT(line, literal) put((line), (literal), sizeof(literal) - 1)

static void put_int(struct line *line, int64_t value)
{
    char text[20];
    char *p = text + sizeof(text);
    uint64_t rest = value < 0 ? -(uint64_t)value : (uint64_t)value;
    do {
        *--p = (char)('0' + rest % 10);
        rest /= 10;
    } while (rest);
    if (value < 0)
        *--p = '-';
    put(line, p, (size_t)(text + sizeof(text) - p));
}

static bool is_plain(unsigned char c)
{
    return c >= 0x20 && c < 0x80 && c != '"' && c != '\\';
}

/** One character that is not plain: escape, valid sequence or replacement. Returns the bytes read. */
static size_t put_special(struct line *line, const unsigned char *p, size_t len)
{
    static const char short_escapes[] = "\"\"\\\\\bb\ff\nn\rr\tt";
    for (const char *e = short_escapes; *e; e += 2) {
        if ((char)*p == *e) {
            put(line, (char[]){'\\', e[1]}, 2);
            return 1;
        }
    }
    if (*p < 0x20) {
        static const char hex[] = "0123456789abcdef";
        put(line, (char[]){'\\', 'u', '0', '0', hex[*p >> 4], hex[*p & 15]}, 6);
        return 1;
    }
    size_t sequence = obs_utf8_sequence(p, len);
    if (sequence == 0) {
        PUT(line, "\xef\xbf\xbd"); // U+FFFD
        return 1;
    }
    put(line, (const char *)p, sequence);
    return sequence;
}

/** What fits of the string's inside, cut between characters. */
static void put_escaped(struct line *line, struct ch_str s)
{
    const unsigned char *p = (const unsigned char *)s.data, *end = p + s.len;
    while (p < end && !line->is_cut) {
        const unsigned char *run = p;
        while (p < end && is_plain(*p))
            p++;
        size_t len = (size_t)(p - run), space = room(line);
        put(line, (const char *)run, len < space ? len : space);
        if (len > space)
            line->is_cut = true;
        else if (p < end)
            p += put_special(line, p, (size_t)(end - p));
    }
}

static void put_uuid(struct line *line, struct ch_uuid uuid)
{
    char text[CH_UUID_TEXT + 1];
    text[0] = '"';
    ch_uuid_format(uuid, text + 1);
    text[CH_UUID_TEXT] = '"';
    put(line, text, sizeof(text));
}

static void put_field(struct line *line, const struct ch_log_field *field)
{
    char *before = line->at;
    PUT(line, ",\"");
    put(line, field->name, strlen(field->name));
    PUT(line, "\":");
    bool is_text = field->kind == CH_LOG_STR && field->str.data;
    if (is_text) {
        PUT(line, "\"");
    } else if (field->kind == CH_LOG_INT) {
        put_int(line, field->number);
    } else if (field->kind == CH_LOG_UUID) {
        put_uuid(line, field->uuid);
    } else if (field->kind == CH_LOG_BOOL && field->number) {
        PUT(line, "true");
    } else if (field->kind == CH_LOG_BOOL) {
        PUT(line, "false");
    } else {
        PUT(line, "null");
    }
    if (line->is_cut) {
        line->at = before; // not even a part of it
        return;
    }
    if (!is_text)
        return;
    put_escaped(line, field->str);
    *line->at++ = '"'; // kept free behind `end`
}

static void put_time(struct line *line)
{
    static _Thread_local struct {
        int64_t second;
        char text[CH_TIME_TEXT];
    } last = {.second = -1};
    int64_t wall_us = ch_wall_us();
    int64_t second = wall_us / 1000000;
    if (second != last.second) {
        ch_time_format(wall_us, last.text);
        last.second = second;
    }
    int ms = (int)(wall_us / 1000 % 1000);
    last.text[20] = (char)('0' + ms / 100);
    last.text[21] = (char)('0' + ms / 10 % 10);
    last.text[22] = (char)('0' + ms % 10);
    put(line, last.text, CH_TIME_TEXT - 1);
}

static void put_trace(struct line *line, const struct ch_trace *trace)
{
    static const uint8_t none[16];
    char text[33];
    if (!trace || memcmp(trace->trace_id, none, sizeof(trace->trace_id)) == 0)
        return;
    ch_hex_encode(trace->trace_id, sizeof(trace->trace_id), text);
    PUT(line, ",\"trace_id\":\"");
    put(line, text, 32);
    PUT(line, "\"");
    if (memcmp(trace->span_id, none, sizeof(trace->span_id)) == 0)
        return;
    ch_hex_encode(trace->span_id, sizeof(trace->span_id), text);
    PUT(line, ",\"span_id\":\"");
    put(line, text, 16);
    PUT(line, "\"");
}

void obs_log_identity_changed(void)
{
    struct line line = {.at = fixed_part, .end = fixed_part + sizeof(fixed_part) - 32};
    PUT(&line, ",\"service\":\"");
    put_escaped(&line, ch_str_of(obs_identity()->service));
    PUT(&line, "\",\"event\":\"");
    fixed_len = (size_t)(line.at - fixed_part);
}

__attribute__((constructor)) static void identity_at_load(void)
{
    obs_log_identity_changed();
}

void ch_log_write(enum ch_log_level level, const struct ch_trace *trace, const char *event,
                  const struct ch_log_field *fields)
{
    char text[OBS_LINE_MAX];
    struct line line = {.at = text, .end = text + sizeof(text) - sizeof(tail_cut) - 1};
    const char *level_name = ch_log_level_name(level);

    PUT(&line, "{\"time\":\"");
    put_time(&line);
    PUT(&line, "\",\"level\":\"");
    put(&line, level_name, strlen(level_name));
    PUT(&line, "\"");
    put(&line, fixed_part, fixed_len);
    put_escaped(&line, ch_str_of(event));
    *line.at++ = '"';
    put_trace(&line, trace);
    for (const struct ch_log_field *field = fields; field && field->kind != CH_LOG_END && !line.is_cut; field++)
        put_field(&line, field);

    struct ch_str tail = line.is_cut ? CH_STR(tail_cut) : CH_STR(tail_whole);
    memcpy(line.at, tail.data, tail.len);
    line.at += tail.len;
    obs_log_put(text, (size_t)(line.at - text));
}
