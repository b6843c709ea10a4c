// SPDX-License-Identifier: Apache-2.0
// Small texts and bytes from outside, one kind an input; its first byte says which. What was read and written again is
// what it was; what is refused leaves its output alone.
#include "fuzz.h"

#include "../../chassis/src/io/grpc_wire.h"

static void check_traceparent(struct ch_str text)
{
    const struct ch_str checked = ch_traceparent_check(text);
    struct ch_trace trace = {0};
    char again[CH_TRACEPARENT_TEXT];

    ch_trace_start(&trace, text);
    ch_trace_format(&trace, again);
    MUST(strlen(again) == CH_TRACEPARENT_TEXT - 1);
    if (checked.len > 0) // only the flag "sampled" is known
        MUST(checked.data == text.data && checked.len == text.len && memcmp(again, text.data, 53) == 0);
}

static void check_grpc_timeout(struct ch_str text)
{
    char written[GRPC_TIMEOUT_TEXT];
    int64_t ns = -1, again = -1;

    if (!grpc_timeout_parse(text, &ns)) {
        MUST(ns == -1);
        return;
    }
    MUST(ns >= 0 && ns <= INT64_C(3600000000000));
    const size_t len = grpc_timeout_format(ns, written);
    MUST(len >= 2 && len <= 9 && grpc_timeout_parse((struct ch_str){written, len}, &again));
    MUST(again <= ns || ns < 1000); // never longer than the caller said
    MUST(ns - again < 1000000);
}

static void check_grpc_message(struct ch_str text)
{
    struct ch_arena *arena = ch_arena_new(1024 * 1024);
    struct ch_buf out;

    ch_buf_init(&out, 3 * text.len + 1);
    grpc_percent_encode(&out, text);
    for (size_t i = 0; i < out.len; i++)
        MUST(out.data[i] >= 0x20 && out.data[i] <= 0x7e);
    MUST(!out.is_full && ch_str_eq(grpc_percent_decode(arena, ch_buf_str(&out)), text));
    MUST(grpc_percent_decode(arena, text).len <= text.len);
    ch_buf_release(&out);
    ch_arena_free(arena);
}

static void check_base64(struct ch_str text)
{
    struct ch_buf bytes, again;

    ch_buf_init(&bytes, text.len + 1);
    ch_buf_init(&again, 2 * text.len + 4);
    if (ch_base64url_decode(text, &bytes) == CH_OK) { // one text for each value
        ch_base64url_encode(&again, bytes.data, bytes.len);
        MUST(ch_str_eq(ch_buf_str(&again), text));
    }
    ch_buf_reset(&again);
    ch_buf_reset(&bytes);
    ch_base64url_encode(&again, text.data, text.len);
    MUST(ch_base64url_decode(ch_buf_str(&again), &bytes) == CH_OK && ch_str_eq(ch_buf_str(&bytes), text));
    ch_buf_release(&bytes);
    ch_buf_release(&again);
}

static void check_time(struct ch_str text)
{
    int64_t wall_us = INT64_MIN, again;
    char written[CH_TIME_TEXT], twice[CH_TIME_TEXT];

    if (ch_time_parse(text, &wall_us)) {
        MUST(wall_us == INT64_MIN);
        return;
    }
    ch_time_format(wall_us, written);
    MUST(ch_time_parse(ch_str_of(written), &again) == CH_OK);
    ch_time_format(again, twice);
    MUST(strcmp(written, twice) == 0);
    if (wall_us >= INT64_C(-62167219200000000) && wall_us < INT64_C(253402300800000000)) // years 0000 to 9999
        MUST(wall_us - again >= 0 && wall_us - again < 1000);
}

static void check_date(struct ch_str text)
{
    int32_t days = INT32_MIN;
    char written[CH_DATE_TEXT];

    if (ch_date_parse(text, &days)) {
        MUST(days == INT32_MIN);
        return;
    }
    ch_date_format(days, written);
    MUST(ch_str_is(text, written));
}

static void check_uuid(struct ch_str text)
{
    struct ch_uuid uuid;
    char written[CH_UUID_TEXT];

    if (ch_uuid_parse(text, &uuid))
        return;
    ch_uuid_format(uuid, written);
    MUST(ch_str_ieq(text, ch_str_of(written)));
}

static void check_integer(struct ch_str text)
{
    int64_t value = 42;
    struct ch_buf written;

    if (ch_str_to_int64(text, &value)) {
        MUST(value == 42);
        return;
    }
    ch_buf_init(&written, 32);
    ch_buf_append_int64(&written, value);
    MUST(strtoll(written.data, NULL, 10) == value && written.len <= text.len);
    ch_buf_release(&written);
}

static void check_prefix(struct ch_str bytes)
{
    uint8_t again[GRPC_PREFIX];

    if (bytes.len < GRPC_PREFIX)
        return;
    const struct grpc_prefix prefix = grpc_prefix_read(bytes.data);
    grpc_prefix_write(again, prefix.len);
    MUST(memcmp(again + 1, bytes.data + 1, 4) == 0 && prefix.is_compressed == (bytes.data[0] != 0));
    (void)grpc_is_content_type(bytes);
    (void)grpc_code_to_err(bytes);
}

static void check_utf8(struct ch_str text)
{
    struct ch_buf out;
    struct ch_jw jw;

    if (ch_utf8_is_valid(text))
        MUST(ch_utf8_length(text) <= text.len && !memchr(text.len ? text.data : "", 0, text.len));
    // Whatever the bytes are: what is written is JSON.
    ch_buf_init(&out, 8 * text.len + 16);
    ch_jw_init(&jw, &out);
    ch_jw_str(&jw, (struct ch_str){text.data ? text.data : "", text.len});
    json_t *json = json_loadb(out.data, out.len, JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL);
    MUST(!out.is_full && json_is_string(json));
    MUST(!ch_utf8_is_valid(text) ||
         ch_str_eq(text, (struct ch_str){json_string_value(json), json_string_length(json)}));
    json_decref(json);
    ch_buf_release(&out);
}

static const struct {
    char kind;
    void (*check)(struct ch_str bytes);
} checks[] = {
    {'t', check_traceparent}, {'g', check_grpc_timeout}, {'m', check_grpc_message}, {'b', check_base64},
    {'T', check_time},        {'d', check_date},         {'u', check_uuid},         {'i', check_integer},
    {'p', check_prefix},      {'8', check_utf8},
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    for (size_t i = 0; len > 0 && i < sizeof(checks) / sizeof(checks[0]); i++)
        if (data[0] == (uint8_t)checks[i].kind)
            checks[i].check((struct ch_str){(const char *)data + 1, len - 1});
    return 0;
}
