// SPDX-License-Identifier: Apache-2.0
// The problem body: one object with the same members for every row of errors.def, with and without a context.
#include "cases.h"
#include "ch/http.h"

#include <stdio.h>

static json_t *problem(enum ch_err err, const struct ch_ctx *ctx)
{
    struct ch_buf buf;
    json_t *json;

    ch_buf_init(&buf, 65536);
    ch_problem_write(&buf, err, ctx);
    assert_false(buf.is_full);
    json = json_loadb(buf.data, buf.len, JSON_REJECT_DUPLICATES, NULL);
    assert_non_null(json);
    ch_buf_release(&buf);
    return json;
}

static const char *text_of(const json_t *json, const char *name)
{
    const char *text = json_string_value(json_object_get(json, name));

    return text ? text : "(none)";
}

static void test_problem__every_error_has_the_same_members(void **state)
{
    (void)state;
    for (int err = 1; err < CH_ERR_COUNT; err++) {
        const struct ch_err_row *row = ch_err_row((enum ch_err)err);
        json_t *json = problem((enum ch_err)err, NULL);
        char type[128];

        snprintf(type, sizeof(type), "https://gwasuwon.example/problems/%s", row->code);
        CHECK(row->id, json_object_size(json) == 7);
        CHECK_TEXT(row->id, text_of(json, "type"), type);
        CHECK_TEXT(row->id, text_of(json, "title"), row->title);
        CHECK_TEXT(row->id, text_of(json, "detail"), row->title);
        CHECK_TEXT(row->id, text_of(json, "code"), row->code);
        CHECK(row->id, json_integer_value(json_object_get(json, "status")) == row->http_status);
        CHECK(row->id, strlen(text_of(json, "traceId")) == 32 && strspn(text_of(json, "traceId"), "0") < 32);
        CHECK(row->id, json_is_array(json_object_get(json, "errors")));
        json_decref(json);
    }
}

static void test_problem__context_names_the_faults(void **state)
{
    struct ch_arena *arena = ch_arena_new(65536);
    struct ch_ctx ctx = {.arena = arena, .detail = "두 곳이 \"틀렸습니다\"", .trace = {.trace_id = {0xab, [15] = 1}}};
    json_t *json, *errors, *second;

    (void)state;
    ch_faults_init(&ctx.faults, arena);
    ch_faults_add(&ctx.faults, "/phone", "format", "전화번호 형식이 아닙니다");
    ch_faults_add(&ctx.faults, "?limit", "range", "1에서 %d까지입니다", 100);
    json = problem(CH_ERR_INVALID, &ctx);
    errors = json_object_get(json, "errors");
    second = json_array_get(errors, 1);
    assert_int_equal(json_array_size(errors), 2);
    assert_string_equal(text_of(json_array_get(errors, 0), "pointer"), "/phone");
    assert_string_equal(text_of(second, "pointer"), "?limit");
    assert_string_equal(text_of(second, "code"), "range");
    assert_string_equal(text_of(second, "detail"), "1에서 100까지입니다");
    assert_string_equal(text_of(json, "detail"), "두 곳이 \"틀렸습니다\"");
    assert_string_equal(text_of(json, "traceId"), "ab000000000000000000000000000001");
    json_decref(json);
    ch_arena_free(arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_problem__every_error_has_the_same_members),
        cmocka_unit_test(test_problem__context_names_the_faults),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
