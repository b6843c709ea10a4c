// SPDX-License-Identifier: Apache-2.0
// Query parameters by the same tables as JSON: the pairs become a JSON object whose values have the types that the
// table asks for, and ch_json_bind does the rest, so that both are checked by one set of rules. A parameter must never
// count twice.
#include "ch/app.h"

#include "route.h"

#include <stdlib.h>

#define PAIRS_MAX      64
#define NAME_SHOWN_MAX 64

struct reader {
    struct ch_ctx *ctx;
    const struct ch_field *fields;
    json_t *object;
    enum ch_err err;
};

static void fault(struct reader *reader, struct ch_str name, const char *code, const char *detail)
{
    const bool is_shown = name.len <= NAME_SHOWN_MAX && ch_utf8_is_valid(name);
    const char *pointer = is_shown ? ch_arena_printf(reader->ctx->arena, "?%.*s", CH_STR_ARG(name)) : "?";

    reader->err = ch_fail(reader->ctx, CH_ERR_INVALID, pointer ? pointer : "?", code, "%s", detail);
}

static const struct ch_field *field_of(const struct ch_field *fields, struct ch_str name)
{
    for (; fields->type != CH_FIELD_END; fields++)
        if (ch_str_is(name, fields->name))
            return fields;
    return NULL;
}

// What cannot be read as the field's type stays a string: the binding then says what it should have been.
static json_t *typed_value(const struct ch_field *field, struct ch_str text)
{
    int64_t number;

    if (field && field->type == CH_FIELD_INT && ch_str_to_int64(text, &number) == CH_OK)
        return json_integer(number);
    if (field && field->type == CH_FIELD_BOOL && ch_str_is(text, "true"))
        return json_true();
    if (field && field->type == CH_FIELD_BOOL && ch_str_is(text, "false"))
        return json_false();
    return json_stringn(text.data, text.len);
}

static void read_pair(struct reader *reader, struct ch_str pair)
{
    const char *equals = memchr(pair.data, '=', pair.len);
    struct ch_str name = {pair.data, equals ? (size_t)(equals - pair.data) : pair.len};
    struct ch_str value = {equals ? equals + 1 : "", equals ? pair.len - name.len - 1 : 0};
    const char *key;
    json_t *json;

    if (ch_percent_decode(name, true, reader->ctx->arena, &name) ||
        ch_percent_decode(value, true, reader->ctx->arena, &value)) {
        fault(reader, name, "encoding", "퍼센트 인코딩된 UTF-8이어야 합니다");
        return;
    }
    key = ch_arena_strdup(reader->ctx->arena, name);
    if (!key) {
        reader->err = CH_ERR_NO_MEMORY;
        return;
    }
    if (json_object_get(reader->object, key)) {
        fault(reader, name, "duplicate", "한 번만 보낼 수 있습니다");
        return;
    }
    json = typed_value(field_of(reader->fields, name), value);
    if (json_object_set_new_nocheck(reader->object, key, json)) // takes ownership either way
        reader->err = CH_ERR_NO_MEMORY;
}

static void read_pairs(struct reader *reader, struct ch_str query)
{
    int count = 0;

    while (query.len > 0 && reader->err != CH_ERR_NO_MEMORY) {
        const char *end = memchr(query.data, '&', query.len);
        const struct ch_str pair = {query.data, end ? (size_t)(end - query.data) : query.len};

        if (pair.len > 0 && ++count > PAIRS_MAX) {
            fault(reader, (struct ch_str){0}, "count", "쿼리 매개변수가 너무 많습니다");
            return;
        }
        if (pair.len > 0)
            read_pair(reader, pair);
        query = end ? (struct ch_str){end + 1, query.len - pair.len - 1} : (struct ch_str){0};
    }
}

// "?/limit", as the binding names it, is "?limit" outside; its escapes (RFC 6901 3) are undone.
static void rename_fault(struct ch_ctx *ctx, struct ch_fault *fault)
{
    char *name, *to;

    if (strncmp(fault->pointer, "?/", 2) != 0)
        return;
    name = to = ch_arena_strdup(ctx->arena, ch_str_of(fault->pointer + 1));
    if (!name)
        return;
    *to++ = '?';
    for (const char *from = fault->pointer + 2; *from; from++) {
        const bool is_escape = from[0] == '~' && (from[1] == '0' || from[1] == '1');

        *to++ = !is_escape ? *from : from[1] == '0' ? '~' : '/';
        from += is_escape;
    }
    *to = '\0';
    fault->pointer = name;
}

enum ch_err ch_query_bind(struct ch_request *req, const struct ch_field *fields, void *ret_object,
                          uint64_t *ret_present)
{
    struct reader reader = {.ctx = &req->ctx, .fields = fields, .object = json_object()};
    enum ch_err err;

    if (!reader.object)
        return CH_ERR_NO_MEMORY;
    read_pairs(&reader, req->http->query);
    err = reader.err == CH_ERR_NO_MEMORY
              ? reader.err
              : ch_json_bind(reader.object, fields, "?", &req->ctx.faults, ret_object, ret_present);
    json_decref(reader.object);
    for (struct ch_fault *at = req->ctx.faults.first; at; at = at->next)
        rename_fault(&req->ctx, at);
    return err ? err : reader.err;
}
