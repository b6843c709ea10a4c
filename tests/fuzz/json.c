// SPDX-License-Identifier: Apache-2.0
// JSON in, JSON out, and binding by a table. What was read, written and read again is the same; what is refused says
// why, with a code of the closed set; what was bound is within what its row allows.
#include "fuzz.h"

static const char *const syntax_codes[] = {"syntax", "depth", "encoding", "duplicate", "range", NULL};
static const char *const bind_codes[] = {"required", "unknown", "type", "range", "length",
                                         "count",    "format",  "enum", NULL};
static const char *const colours[] = {"red", "green", NULL};

struct inner {
    int64_t number;
};
struct outer {
    struct ch_str text, lines, code, day;
    int64_t number, at_us;
    double ratio;
    bool is_on;
    struct ch_uuid id;
    int colour;
    struct inner inner;
    struct ch_array inners, ids;
};

#define AT(member) offsetof(struct outer, member)

static const struct ch_field inner_fields[] = {
    {"n", CH_FIELD_INT, offsetof(struct inner, number), .min = -5, .max = 5},
    {0},
};
static const struct ch_field fields[] = {
    {"text", CH_FIELD_STR, AT(text), .min = 2, .max = 9, .flags = CH_F_OPTIONAL | CH_F_TRIM},
    {"lines", CH_FIELD_STR, AT(lines), .max = 40, .flags = CH_F_OPTIONAL | CH_F_NULLABLE | CH_F_MULTILINE},
    {"code", CH_FIELD_STR, AT(code), .max = 20, .flags = CH_F_OPTIONAL, .pattern = "[A-Z]{2}-[0-9]+",
     .pattern_detail = "AB-1"},
    {"n", CH_FIELD_INT, AT(number), .min = 1, .max = 99, .flags = CH_F_OPTIONAL},
    {"ratio", CH_FIELD_NUMBER, AT(ratio), .min = 0, .max = 1, .flags = CH_F_OPTIONAL},
    {"on", CH_FIELD_BOOL, AT(is_on), .flags = CH_F_OPTIONAL},
    {"id", CH_FIELD_UUID, AT(id), .flags = CH_F_OPTIONAL},
    {"colour", CH_FIELD_ENUM, AT(colour), .flags = CH_F_OPTIONAL, .names = colours},
    {"at", CH_FIELD_TIME, AT(at_us), .flags = CH_F_OPTIONAL},
    {"day", CH_FIELD_DATE, AT(day), .flags = CH_F_OPTIONAL},
    {"inner", CH_FIELD_OBJECT, AT(inner), .flags = CH_F_OPTIONAL | CH_F_NULLABLE, .fields = inner_fields},
    {"inners", CH_FIELD_ARRAY, AT(inners), .min = 1, .max = 4, .flags = CH_F_OPTIONAL, .fields = inner_fields,
     .elem_size = sizeof(struct inner)},
    {"ids", CH_FIELD_UUIDS, AT(ids), .max = 3, .flags = CH_F_OPTIONAL},
    {0},
};

// ---- reading and writing ----

static void write_value(struct ch_jw *jw, const json_t *json);

// The writer takes names that need no escape: any other name is written as a value, a pair an element.
static void write_members(struct ch_jw *jw, const json_t *json)
{
    const char *name;
    json_t *value;

    json_object_foreach((json_t *)json, name, value)
    {
        ch_jw_array(jw);
        ch_jw_cstr(jw, name);
        write_value(jw, value);
        ch_jw_array_end(jw);
    }
}

static void write_value(struct ch_jw *jw, const json_t *json)
{
    switch (json_typeof(json)) {
    case JSON_OBJECT:
        ch_jw_object(jw);
        ch_jw_key(jw, "members");
        ch_jw_array(jw);
        write_members(jw, json);
        ch_jw_array_end(jw);
        ch_jw_object_end(jw);
        break;
    case JSON_ARRAY:
        ch_jw_array(jw);
        for (size_t i = 0; i < json_array_size(json); i++)
            write_value(jw, json_array_get(json, i));
        ch_jw_array_end(jw);
        break;
    case JSON_STRING:
        ch_jw_str(jw, (struct ch_str){json_string_value(json), json_string_length(json)});
        break;
    case JSON_INTEGER:
        ch_jw_int(jw, json_integer_value(json));
        break;
    case JSON_REAL:
        ch_jw_double(jw, json_real_value(json));
        break;
    case JSON_NULL:
        ch_jw_null(jw);
        break;
    default:
        ch_jw_bool(jw, json_is_true(json));
    }
}

static bool is_same(const json_t *read, const json_t *again)
{
    const json_t *members = json_object_get(again, "members");
    const char *name;
    json_t *value;
    size_t i = 0;

    if (json_is_array(read)) {
        for (i = 0; i < json_array_size(read); i++)
            if (!is_same(json_array_get(read, i), json_array_get(again, i)))
                return false;
        return json_array_size(again) == i;
    }
    if (!json_is_object(read)) // a real without a fraction is written as an integer
        return json_is_number(read) ? json_is_number(again) && json_number_value(read) == json_number_value(again) &&
                                          (!json_is_integer(read) || json_equal(read, again))
                                    : json_equal(read, again);
    json_object_foreach((json_t *)read, name, value)
    {
        const json_t *pair = json_array_get(members, i++);

        if (strcmp(json_string_value(json_array_get(pair, 0)), name) != 0 || !is_same(value, json_array_get(pair, 1)))
            return false;
    }
    return json_array_size(members) == i;
}

// Pairs nest deeper than their objects: the reader's own bound is no part of this check.
static void check_written(const json_t *json)
{
    struct ch_buf text;
    struct ch_jw jw;

    ch_buf_init(&text, 16 * 1024 * 1024);
    ch_jw_init(&jw, &text);
    write_value(&jw, json);
    MUST(!text.is_full && ch_utf8_is_valid(ch_buf_str(&text)));
    json_t *again = json_loadb(text.data, text.len, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, NULL);
    MUST(again && is_same(json, again));
    json_decref(again);
    ch_buf_release(&text);
}

// ---- binding ----

static void check_text(struct ch_str text, size_t min, size_t max)
{
    if (!text.data)
        return;
    MUST(ch_utf8_is_valid(text) && text.data[text.len] == '\0');
    MUST(ch_utf8_length(text) >= min && ch_utf8_length(text) <= max);
}

static void check_bound(const struct outer *outer)
{
    const struct inner *inners = outer->inners.items;
    const struct ch_uuid *ids = outer->ids.items;
    char text[CH_UUID_TEXT];
    int32_t days;

    check_text(outer->text, 2, 9);
    check_text(outer->lines, 0, 40);
    check_text(outer->code, 4, 20);
    MUST(outer->text.len == 0 || (outer->text.data[0] != ' ' && outer->text.data[outer->text.len - 1] != ' '));
    MUST(outer->number >= 0 && outer->number <= 99 && outer->ratio >= 0 && outer->ratio <= 1);
    MUST(outer->colour >= 0 && outer->colour < 2);
    MUST(!outer->day.data || ch_date_parse(outer->day, &days) == CH_OK);
    MUST(outer->inner.number >= -5 && outer->inner.number <= 5 && outer->inners.count <= 4 && outer->ids.count <= 3);
    for (size_t i = 0; i < outer->inners.count; i++)
        MUST(inners[i].number >= -5 && inners[i].number <= 5);
    for (size_t i = 0; i < outer->ids.count; i++)
        ch_uuid_format(ids[i], text); // every byte is there
}

static void check_bind(struct ch_ctx *ctx, const json_t *json)
{
    struct outer outer = {0};
    const enum ch_err err = ch_json_bind(json, fields, "", &ctx->faults, &outer, NULL);

    fuzz_check_faults(&ctx->faults);
    MUST((err == CH_OK && ctx->faults.count == 0) || (err == CH_ERR_INVALID && ctx->faults.count > 0));
    for (const struct ch_fault *at = ctx->faults.first; at; at = at->next)
        MUST(fuzz_is_one_of(at->code, bind_codes) && (at->pointer[0] == '\0' || at->pointer[0] == '/'));
    if (!err)
        check_bound(&outer);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct fuzz_work work = {0};
    struct ch_ctx *ctx = fuzz_open(&work);
    json_t *json = NULL;
    const enum ch_err err = ch_json_parse((struct ch_str){(const char *)data, len}, &ctx->faults, &json);

    fuzz_check_faults(&ctx->faults);
    if (err) {
        MUST(err == CH_ERR_BAD_SYNTAX && ctx->faults.count == 1 && !json);
        MUST(fuzz_is_one_of(ctx->faults.first->code, syntax_codes) && ctx->faults.first->pointer[0] == '\0');
    } else {
        check_written(json);
        check_bind(ctx, json);
    }
    json_decref(json);
    fuzz_close(&work);
    return 0;
}
