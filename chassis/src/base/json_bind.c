// SPDX-License-Identifier: Apache-2.0
// Binds JSON objects to structs by a table of fields, so that no handler reads JSON by hand and every fault is reported
// with its pointer. It must never stop at the first fault (only at CH_FAULTS_MAX), convert between types, or keep a
// pointer into the JSON.
#include "ch/json.h"
#include "pattern.h"

#include <inttypes.h>
#include <stdio.h>

#define NAME_MAX_BYTES    128 // an unknown name longer than this is not repeated in the answer
#define POINTER_MAX_BYTES 4096

// Where we are: a chain on the stack, spelled out only when there is a fault.
struct place {
    const struct place *parent;
    const char *name; // NULL: an array's element
    size_t index;
};

struct binder {
    struct ch_faults *faults;
    const char *prefix;
    enum ch_err err;
};

typedef void bind_fn(struct binder *binder, const struct place *at, const struct ch_field *field, const json_t *json,
                     void *ret_member);

static bind_fn bind_str, bind_int, bind_bool, bind_number, bind_uuid, bind_enum, bind_time, bind_date, bind_nested,
    bind_array;

#define ACCEPTS(type) (1u << (type))

static const struct kind {
    unsigned accepts; // JSON types
    const char *type_detail;
    bind_fn *bind;
} kinds[] = {
    [CH_FIELD_STR] = {ACCEPTS(JSON_STRING), "문자열이어야 합니다", bind_str},
    [CH_FIELD_INT] = {ACCEPTS(JSON_INTEGER), "정수여야 합니다", bind_int},
    [CH_FIELD_BOOL] = {ACCEPTS(JSON_TRUE) | ACCEPTS(JSON_FALSE), "true 또는 false여야 합니다", bind_bool},
    [CH_FIELD_NUMBER] = {ACCEPTS(JSON_INTEGER) | ACCEPTS(JSON_REAL), "숫자여야 합니다", bind_number},
    [CH_FIELD_UUID] = {ACCEPTS(JSON_STRING), "UUID 문자열이어야 합니다", bind_uuid},
    [CH_FIELD_ENUM] = {ACCEPTS(JSON_STRING), "문자열이어야 합니다", bind_enum},
    [CH_FIELD_TIME] = {ACCEPTS(JSON_STRING), "RFC 3339 시각 문자열이어야 합니다", bind_time},
    [CH_FIELD_DATE] = {ACCEPTS(JSON_STRING), "YYYY-MM-DD 날짜 문자열이어야 합니다", bind_date},
    [CH_FIELD_OBJECT] = {ACCEPTS(JSON_OBJECT), "객체여야 합니다", bind_nested},
    [CH_FIELD_ARRAY] = {ACCEPTS(JSON_ARRAY), "배열이어야 합니다", bind_array},
    [CH_FIELD_UUIDS] = {ACCEPTS(JSON_ARRAY), "UUID 문자열의 배열이어야 합니다", bind_array},
};

/* ---- faults --------------------------------------------------------------------------------------------------- */

static void append_place(struct ch_buf *pointer, const struct place *at)
{
    if (!at)
        return;
    append_place(pointer, at->parent);
    ch_buf_append_char(pointer, '/');
    if (!at->name) {
        ch_buf_append_int64(pointer, (int64_t)at->index);
        return;
    }
    for (const char *p = at->name; *p; p++) { // RFC 6901 3: ~ is ~0, / is ~1
        if (*p == '~' || *p == '/')
            ch_buf_append(pointer, *p == '~' ? "~0" : "~1", 2);
        else
            ch_buf_append_char(pointer, *p);
    }
}

static void fault(struct binder *binder, const struct place *at, const char *code, const char *detail)
{
    struct ch_buf pointer;

    if (!binder->err)
        binder->err = CH_ERR_INVALID;
    ch_buf_init(&pointer, POINTER_MAX_BYTES);
    ch_buf_append_cstr(&pointer, binder->prefix);
    append_place(&pointer, at);
    ch_buf_append_char(&pointer, '\0');
    ch_faults_add(binder->faults, pointer.is_full ? binder->prefix : pointer.data, code, "%s", detail);
    ch_buf_release(&pointer);
}

// Once the list is full only the first fault still matters, and that is known.
static bool can_go_on(const struct binder *binder)
{
    return binder->err == CH_OK || (binder->err == CH_ERR_INVALID && binder->faults->count < CH_FAULTS_MAX);
}

/* ---- limits --------------------------------------------------------------------------------------------------- */

static bool has_min(const struct ch_field *field, bool is_count)
{
    return is_count ? field->min > 0 : (field->min != 0 || field->max != 0) && field->min != INT64_MIN;
}

static bool has_max(const struct ch_field *field, bool is_count)
{
    return is_count ? field->max > 0 : (field->max != 0 || field->min < 0) && field->max != INT64_MAX;
}

static void fault_limits(struct binder *binder, const struct place *at, const char *code, const char *unit,
                         const struct ch_field *field, bool is_count)
{
    char low[48] = "", high[64] = "";
    char detail[160];

    if (has_min(field, is_count))
        (void)snprintf(low, sizeof(low), "%" PRId64 "%s 이상", field->min, unit);
    if (has_max(field, is_count))
        (void)snprintf(high, sizeof(high), "%s%" PRId64 "%s 이하", low[0] ? " " : "", field->max, unit);
    (void)snprintf(detail, sizeof(detail), "%s%s%s 합니다", low, high, high[0] ? "여야" : "이어야");
    fault(binder, at, code, detail);
}

static bool is_count_allowed(const struct ch_field *field, size_t count)
{
    return !(has_min(field, true) && count < (uint64_t)field->min) &&
           !(has_max(field, true) && count > (uint64_t)field->max);
}

/* ---- strings -------------------------------------------------------------------------------------------------- */

static bool is_space(char c)
{
    return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

static struct ch_str trim(struct ch_str s)
{
    while (s.len > 0 && is_space(s.data[0])) {
        s.data++;
        s.len--;
    }
    while (s.len > 0 && is_space(s.data[s.len - 1]))
        s.len--;
    return s;
}

// C0, DEL and C1 (which is C2 80 to C2 9F in UTF-8).
static bool has_control(struct ch_str s, bool is_multiline)
{
    for (size_t i = 0; i < s.len; i++) {
        uint8_t c = (uint8_t)s.data[i];

        if ((c < 0x20 && !(c == '\n' && is_multiline)) || c == 0x7F)
            return true;
        if (c == 0xC2 && i + 1 < s.len && (uint8_t)s.data[i + 1] < 0xA0)
            return true;
    }
    return false;
}

static struct ch_str copy_str(struct binder *binder, struct ch_str s)
{
    const char *copy = ch_arena_strdup(binder->faults->arena, s);

    if (!copy)
        binder->err = CH_ERR_NO_MEMORY;
    return (struct ch_str){copy, s.len};
}

static struct ch_str json_str(const json_t *json)
{
    return (struct ch_str){json_string_value(json), json_string_length(json)};
}

// Everything a string must hold but its length. Sets *ret_str only when all is well.
static void bind_text(struct binder *binder, const struct place *at, const struct ch_field *field, struct ch_str text,
                      struct ch_str *ret_str)
{
    bool is_match = true;
    struct ch_str copy;
    enum ch_err err;

    if (has_control(text, field->flags & CH_F_MULTILINE)) {
        fault(binder, at, "format", "제어 문자를 쓸 수 없습니다");
        return;
    }
    copy = copy_str(binder, text);
    if (!copy.data)
        return;
    if (field->pattern) {
        err = ch_pattern_match(field->pattern, copy.data, &is_match);
        if (err) {
            binder->err = err;
            return;
        }
    }
    if (!is_match)
        fault(binder, at, "format", field->pattern_detail ? field->pattern_detail : "형식이 올바르지 않습니다");
    else
        *ret_str = copy;
}

static void bind_str(struct binder *binder, const struct place *at, const struct ch_field *field, const json_t *json,
                     void *ret_member)
{
    struct ch_str text = field->flags & CH_F_TRIM ? trim(json_str(json)) : json_str(json);

    if (is_count_allowed(field, ch_utf8_length(text)))
        bind_text(binder, at, field, text, ret_member);
    else if (text.len == 0)
        fault(binder, at, "length", "비워 둘 수 없습니다");
    else
        fault_limits(binder, at, "length", "자", field, true);
}

/* ---- single values -------------------------------------------------------------------------------------------- */

static void bind_int(struct binder *binder, const struct place *at, const struct ch_field *field, const json_t *json,
                     void *ret_member)
{
    int64_t value = json_integer_value(json);

    if ((has_min(field, false) && value < field->min) || (has_max(field, false) && value > field->max))
        fault_limits(binder, at, "range", "", field, false);
    else
        *(int64_t *)ret_member = value;
}

static void bind_number(struct binder *binder, const struct place *at, const struct ch_field *field, const json_t *json,
                        void *ret_member)
{
    double value = json_number_value(json);

    if ((has_min(field, false) && value < (double)field->min) || (has_max(field, false) && value > (double)field->max))
        fault_limits(binder, at, "range", "", field, false);
    else
        *(double *)ret_member = value;
}

static void bind_bool(struct binder *binder, const struct place *at, const struct ch_field *field, const json_t *json,
                      void *ret_member)
{
    (void)binder, (void)at, (void)field; // the type was all there is to check
    *(bool *)ret_member = json_is_true(json);
}

static void bind_uuid(struct binder *binder, const struct place *at, const struct ch_field *field, const json_t *json,
                      void *ret_member)
{
    (void)field; // has no limits
    if (ch_uuid_parse(json_str(json), ret_member))
        fault(binder, at, "format", "UUID 형식이어야 합니다");
}

static void bind_time(struct binder *binder, const struct place *at, const struct ch_field *field, const json_t *json,
                      void *ret_member)
{
    (void)field; // has no limits
    if (ch_time_parse(json_str(json), ret_member))
        fault(binder, at, "format", "RFC 3339 시각이어야 합니다 (예: 2026-11-23T05:40:00.123Z)");
}

static void bind_date(struct binder *binder, const struct place *at, const struct ch_field *field, const json_t *json,
                      void *ret_member)
{
    int32_t days;

    (void)field; // has no limits
    if (ch_date_parse(json_str(json), &days))
        fault(binder, at, "format", "실제로 있는 날짜를 YYYY-MM-DD로 적어야 합니다");
    else
        *(struct ch_str *)ret_member = copy_str(binder, json_str(json));
}

static void bind_enum(struct binder *binder, const struct place *at, const struct ch_field *field, const json_t *json,
                      void *ret_member)
{
    char detail[400];
    size_t len = 0;

    for (int i = 0; field->names[i]; i++) {
        if (ch_str_is(json_str(json), field->names[i])) {
            *(int *)ret_member = i;
            return;
        }
    }
    detail[0] = '\0';
    for (int i = 0; field->names[i] && len < sizeof(detail); i++)
        len += (size_t)snprintf(detail + len, sizeof(detail) - len, "%s%s", i > 0 ? ", " : "", field->names[i]);
    if (len + sizeof(" 중 하나여야 합니다") > sizeof(detail))
        fault(binder, at, "enum", "허용된 값이 아닙니다");
    else
        fault(binder, at, "enum", strcat(detail, " 중 하나여야 합니다"));
}

/* ---- objects and arrays --------------------------------------------------------------------------------------- */

static void bind_field(struct binder *binder, const struct place *at, const struct ch_field *field, const json_t *json,
                       void *object)
{
    const struct kind *kind = &kinds[field->type];

    if (json_is_null(json) && (field->flags & CH_F_NULLABLE))
        return;
    if (!(kind->accepts & ACCEPTS(json_typeof(json))))
        fault(binder, at, "type", kind->type_detail);
    else
        kind->bind(binder, at, field, json, (char *)object + field->offset);
}

static bool is_known(const struct ch_field *fields, const char *name)
{
    for (; fields->type != CH_FIELD_END; fields++)
        if (strcmp(fields->name, name) == 0)
            return true;
    return false;
}

static void fault_unknown(struct binder *binder, const struct place *at, const struct ch_field *fields,
                          const json_t *json)
{
    // The iterator takes a json_t that may be changed; nothing here does.
    json_t *object = (json_t *)(uintptr_t)json;

    for (void *i = json_object_iter(object); i && can_go_on(binder); i = json_object_iter_next(object, i)) {
        const char *name = json_object_iter_key(i);
        struct place here = {at, name, 0};

        if (is_known(fields, name))
            continue;
        if (strlen(name) > NAME_MAX_BYTES)
            fault(binder, at, "unknown", "알 수 없는 항목이 있습니다 (이름이 너무 길어 표시하지 않습니다)");
        else
            fault(binder, &here, "unknown", "알 수 없는 항목입니다");
    }
}

static uint64_t bind_object(struct binder *binder, const struct place *at, const struct ch_field *fields,
                            const json_t *json, void *ret_object)
{
    uint64_t present = 0;
    size_t known = 0;

    for (const struct ch_field *field = fields; field->type != CH_FIELD_END && can_go_on(binder); field++) {
        const json_t *value = json_object_get(json, field->name);
        struct place here = {at, field->name, 0};

        if (value) {
            known++;
            present |= field->present_bit;
            bind_field(binder, &here, field, value, ret_object);
        } else if (!(field->flags & CH_F_OPTIONAL)) {
            fault(binder, &here, "required", "필수 항목입니다");
        }
    }
    if (known < json_object_size(json))
        fault_unknown(binder, at, fields, json);
    return present;
}

static void bind_nested(struct binder *binder, const struct place *at, const struct ch_field *field, const json_t *json,
                        void *ret_member)
{
    (void)bind_object(binder, at, field->fields, json, ret_member); // presence is the top level's
}

static void bind_array(struct binder *binder, const struct place *at, const struct ch_field *field, const json_t *json,
                       void *ret_member)
{
    const bool is_ids = field->type == CH_FIELD_UUIDS;
    const struct kind *kind = &kinds[is_ids ? CH_FIELD_UUID : CH_FIELD_OBJECT];
    const size_t elem_size = is_ids ? sizeof(struct ch_uuid) : field->elem_size;
    struct ch_array array = {NULL, json_array_size(json)};

    if (!is_count_allowed(field, array.count)) {
        fault_limits(binder, at, "count", "개", field, true);
        return;
    }
    array.items = ch_arena_array(binder->faults->arena, array.count, elem_size);
    if (!array.items) {
        binder->err = CH_ERR_NO_MEMORY;
        return;
    }
    for (size_t i = 0; i < array.count && can_go_on(binder); i++) {
        const json_t *element = json_array_get(json, i);
        struct place here = {at, NULL, i};

        if (!(kind->accepts & ACCEPTS(json_typeof(element))))
            fault(binder, &here, "type", kind->type_detail);
        else
            kind->bind(binder, &here, field, element, (char *)array.items + i * elem_size);
    }
    *(struct ch_array *)ret_member = array;
}

enum ch_err ch_json_bind(const json_t *json, const struct ch_field *fields, const char *pointer_prefix,
                         struct ch_faults *faults, void *ret_object, uint64_t *ret_present)
{
    struct binder binder = {faults, pointer_prefix, CH_OK};
    uint64_t present = 0;

    if (json_is_object(json))
        present = bind_object(&binder, NULL, fields, json, ret_object);
    else
        fault(&binder, NULL, "type", kinds[CH_FIELD_OBJECT].type_detail);
    if (binder.err)
        return binder.err;
    if (ret_present)
        *ret_present = present;
    return CH_OK;
}
