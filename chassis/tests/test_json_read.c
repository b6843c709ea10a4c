// SPDX-License-Identifier: Apache-2.0
// Strict JSON reading: what is refused and with which code and place, and that a fiber's stack is enough for the
// deepest text.
#include "cases.h"
#include "ch/json.h"

#include <pthread.h>
#include <stdio.h>

static const struct {
    const char *name, *text;
    const char *code; // NULL: accepted
} cases[] = {
    {"object", "{\"a\":1}", NULL},
    {"array", " [1,2]\n", NULL},
    {"string on top", "\"사과\"", NULL},
    {"number on top", "12", NULL},
    {"null on top", "null", NULL},
    {"largest integer", "9223372036854775807", NULL},
    {"smallest integer", "-9223372036854775808", NULL},
    {"real", "1.5e3", NULL},
    {"escapes", "\"\\u00e9\\n\\ud83c\\udf4e\"", NULL},
    {"brackets in a string", "\"[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[\"", NULL},
    {"escaped quote before brackets", "\"\\\"[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[\"", NULL},
    {"same name in two objects", "[{\"a\":1},{\"a\":1}]", NULL},
    {"empty", "", "syntax"},
    {"spaces only", "  ", "syntax"},
    {"cut", "{\"a\":", "syntax"},
    {"cut in a string", "\"abc", "syntax"},
    {"garbage behind", "{} x", "syntax"},
    {"two values", "1 2", "syntax"},
    {"trailing comma", "[1,]", "syntax"},
    {"single quotes", "{'a':1}", "syntax"},
    {"bare name", "{a:1}", "syntax"},
    {"comment", "{} // no", "syntax"},
    {"leading zero", "[012]", "syntax"},
    {"plus", "[+1]", "syntax"},
    {"NaN", "[NaN]", "syntax"},
    {"bad escape", "\"\\x\"", "syntax"},
    {"line end in a string", "\"a\nb\"", "syntax"},
    {"byte order mark", "\xEF\xBB\xBF{}", "syntax"},
    {"integer too large", "{\"a\":9223372036854775808}", "range"},
    {"integer too small", "-9223372036854775809", "range"},
    {"real too large", "1e400", "range"},
    {"duplicate name", "{\"a\":1,\"b\":2,\"a\":3}", "duplicate"},
    {"duplicate, spelt apart", "{\"a\":1,\"\\u0061\":3}", "duplicate"},
    {"duplicate, nested", "[{\"x\":{\"a\":1,\"a\":1}}]", "duplicate"},
    {"not UTF-8", "{\"a\":\"\xFF\"}", "encoding"},
    {"overlong", "\"\xC0\xAF\"", "encoding"},
    {"surrogate alone", "\"\\ud83c\"", "syntax"},
    {"escaped NUL", "\"a\\u0000b\"", "encoding"},
    {"escaped NUL in a name", "{\"a\\u0000b\":1}", "encoding"},
};

static void test_json_read__is_strict(void **state)
{
    (void)state;
    FOR_EACH(c, cases)
    {
        struct ch_arena *arena = ch_arena_new(4096);
        struct ch_faults faults;
        json_t *json = NULL;
        enum ch_err err;

        ch_faults_init(&faults, arena);
        err = ch_json_parse(ch_str_of(c->text), &faults, &json);
        if (c->code) {
            CHECK(c->name, err == CH_ERR_BAD_SYNTAX && !json);
            CHECK(c->name, faults.count == 1 && !faults.first->next);
            CHECK_TEXT(c->name, faults.first->pointer, "");
            CHECK_TEXT(c->name, faults.first->code, c->code);
            CHECK(c->name, strstr(faults.first->detail, "번째 줄") != NULL);
        } else {
            CHECK(c->name, err == CH_OK && json && faults.count == 0);
        }
        json_decref(json);
        CHECK(c->name, ch_json_parse(ch_str_of(c->text), NULL, &json) == err); // nobody wants to know
        if (!err)
            json_decref(json);
        ch_arena_free(arena);
    }
}

static void test_json_read__refuses_a_raw_nul(void **state)
{
    json_t *json;

    (void)state;
    assert_int_equal(ch_json_parse((struct ch_str){"{}\0", 3}, NULL, &json), CH_ERR_BAD_SYNTAX);
    assert_int_equal(ch_json_parse((struct ch_str){NULL, 0}, NULL, &json), CH_ERR_BAD_SYNTAX);
}

static void test_json_read__says_where(void **state)
{
    static const struct {
        const char *name, *text, *want;
    } places[] = {
        {"syntax", "{\n  \"a\": x\n}", "2번째 줄"},
        {"encoding", "{\n\"사과\": \"\xFF\"}", "2번째 줄 8번째 글자"},
        {"depth", "\n[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[", "2번째 줄 33번째 글자"},
    };

    (void)state;
    FOR_EACH(c, places)
    {
        struct ch_arena *arena = ch_arena_new(4096);
        struct ch_faults faults;
        json_t *json;

        ch_faults_init(&faults, arena);
        CHECK(c->name, ch_json_parse(ch_str_of(c->text), &faults, &json) == CH_ERR_BAD_SYNTAX);
        CHECK(faults.first->detail, strstr(faults.first->detail, c->want) != NULL);
        ch_arena_free(arena);
    }
}

static size_t nest(char *text, size_t levels, bool is_objects)
{
    size_t len = 0;

    for (size_t i = 0; i < levels; i++)
        len += (size_t)sprintf(text + len, "%s", is_objects ? "{\"a\":" : "[");
    len += (size_t)sprintf(text + len, "1");
    for (size_t i = 0; i < levels; i++)
        text[len++] = is_objects ? '}' : ']';
    return len;
}

static void *parse_on_small_stack(void *arg)
{
    json_t *json;
    char text[512];

    (void)arg;
    for (int is_objects = 0; is_objects <= 1; is_objects++) {
        size_t len = nest(text, CH_JSON_MAX_DEPTH, is_objects);

        if (ch_json_parse((struct ch_str){text, len}, NULL, &json))
            return "refused";
        json_decref(json);
    }
    return NULL;
}

static void test_json_read__limits_depth(void **state)
{
    static char deep[200000];
    struct ch_arena *arena = ch_arena_new(4096);
    struct ch_faults faults;
    pthread_attr_t attr;
    pthread_t thread;
    void *failure;
    json_t *json;

    (void)state;
    for (int is_objects = 0; is_objects <= 1; is_objects++) {
        static const size_t too_many[] = {CH_JSON_MAX_DEPTH + 1, 2049, 20000};

        FOR_EACH(levels, too_many)
        {
            size_t len = nest(deep, *levels, is_objects);

            ch_faults_init(&faults, arena);
            assert_int_equal(ch_json_parse((struct ch_str){deep, len}, &faults, &json), CH_ERR_BAD_SYNTAX);
            assert_string_equal(faults.first->code, "depth");
        }
    }
    ch_arena_free(arena);

    // The deepest text that passes, on the stack of a fiber.
    assert_int_equal(pthread_attr_init(&attr), 0);
    assert_int_equal(pthread_attr_setstacksize(&attr, 64 * 1024), 0);
    assert_int_equal(pthread_create(&thread, &attr, parse_on_small_stack, NULL), 0);
    assert_int_equal(pthread_join(thread, &failure), 0);
    assert_null(failure);
    assert_int_equal(pthread_attr_destroy(&attr), 0);
}

static void test_json_read__faults_stop_at_their_limits(void **state)
{
    struct ch_arena *arena = ch_arena_new(64 * 1024), *tiny = ch_arena_new(16);
    struct ch_faults faults;
    char wide[700] = "";
    int seen = 0;

    (void)state;
    ch_faults_init(&faults, arena);
    while (strlen(wide) < 690)
        strcat(wide, "가");
    for (int i = 0; i < CH_FAULTS_MAX + 5; i++)
        ch_faults_add(&faults, "/a", "format", "%s", wide);
    for (struct ch_fault *fault = faults.first; fault; fault = fault->next, seen++)
        assert_true(ch_utf8_is_valid(ch_str_of(fault->detail))); // cut between characters
    assert_int_equal(seen, CH_FAULTS_MAX);
    assert_int_equal(faults.count, CH_FAULTS_MAX);

    ch_faults_init(&faults, tiny);
    ch_faults_add(&faults, "/a", "format", "x");
    assert_int_equal(faults.count, 0);
    ch_faults_add(NULL, "/a", "format", "x");
    ch_arena_free(arena);
    ch_arena_free(tiny);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_json_read__is_strict),
        cmocka_unit_test(test_json_read__refuses_a_raw_nul),
        cmocka_unit_test(test_json_read__says_where),
        cmocka_unit_test(test_json_read__limits_depth),
        cmocka_unit_test(test_json_read__faults_stop_at_their_limits),
    };

    return cmocka_run_group_tests_name("json_read", tests, NULL, NULL);
}
