// SPDX-License-Identifier: Apache-2.0
// The JSON writer: commas, escapes at every position of the eight-byte fast path, numbers that read back the same.
#include "cases.h"
#include "ch/json.h"

#include <math.h>
#include <stdlib.h>

static void test_json_write__places_commas(void **state)
{
    struct ch_buf buf;
    struct ch_jw jw;
    struct ch_uuid uuid;

    (void)state;
    assert_int_equal(ch_uuid_parse(CH_STR("018f0000-0000-7000-8000-0000000000b1"), &uuid), CH_OK);
    ch_buf_init(&buf, 4096);
    ch_jw_init(&jw, &buf);
    ch_jw_object(&jw);
    ch_jw_kuuid(&jw, "orderId", uuid);
    ch_jw_kint(&jw, "totalKrw", -12000);
    ch_jw_kstr(&jw, "title", CH_STR("사과"));
    ch_jw_kcstr(&jw, "note", NULL);
    ch_jw_kbool(&jw, "open", true);
    ch_jw_ktime(&jw, "createdAt", 0);
    ch_jw_kint_or_null(&jw, "refundKrw", -1, -1);
    ch_jw_kint_or_null(&jw, "fromPriceKrw", 7, 0);
    ch_jw_kuuid_or_null(&jw, "lotId", (struct ch_uuid){0});
    ch_jw_kuuid_or_null(&jw, "actorId", uuid);
    ch_jw_ktime_or_null(&jw, "finishedAt", 0);
    ch_jw_ktime_or_null(&jw, "requestedAt", 1000000);
    ch_jw_key(&jw, "empty");
    ch_jw_object(&jw);
    ch_jw_object_end(&jw);
    ch_jw_key(&jw, "lines");
    ch_jw_array(&jw);
    ch_jw_object(&jw);
    ch_jw_kint(&jw, "quantity", 1);
    ch_jw_object_end(&jw);
    ch_jw_null(&jw);
    ch_jw_array(&jw);
    ch_jw_array_end(&jw);
    ch_jw_raw(&jw, CH_STR("{\"raw\":1}"));
    ch_jw_raw(&jw, (struct ch_str){NULL, 0});
    ch_jw_bool(&jw, false);
    ch_jw_double(&jw, 1.5);
    ch_jw_str(&jw, (struct ch_str){NULL, 0});
    ch_jw_str(&jw, CH_STR(""));
    ch_jw_array_end(&jw);
    ch_jw_object_end(&jw);
    ch_buf_append_char(&buf, '\0');
    assert_string_equal(buf.data,
                        "{\"orderId\":\"018f0000-0000-7000-8000-0000000000b1\",\"totalKrw\":-12000,\"title\":\"사과\","
                        "\"note\":null,\"open\":true,\"createdAt\":\"1970-01-01T00:00:00.000Z\","
                        "\"refundKrw\":null,\"fromPriceKrw\":7,\"lotId\":null,"
                        "\"actorId\":\"018f0000-0000-7000-8000-0000000000b1\",\"finishedAt\":null,"
                        "\"requestedAt\":\"1970-01-01T00:00:01.000Z\",\"empty\":{},"
                        "\"lines\":[{\"quantity\":1},null,[],{\"raw\":1},null,false,1.5,null,\"\"]}");
    ch_buf_release(&buf);
}

static const struct {
    const char *name, *text, *want;
} escape_cases[] = {
    {"quote", "\"", "\\\""},
    {"backslash", "\\", "\\\\"},
    {"slash stays", "/", "/"},
    {"line end", "\n", "\\n"},
    {"tab", "\t", "\\t"},
    {"return", "\r", "\\r"},
    {"backspace", "\b", "\\b"},
    {"form feed", "\f", "\\f"},
    {"vertical tab", "\v", "\\u000b"},
    {"unit separator", "\x1F", "\\u001f"},
    {"start of heading", "\x01", "\\u0001"},
    {"DEL stays", "\x7F", "\x7F"},
    {"neighbours of the quote", "!#", "!#"},
    {"neighbours of the backslash", "[]", "[]"},
    {"korean", "과수원", "과수원"},
    {"emoji", "\xF0\x9F\x8D\x8E", "\xF0\x9F\x8D\x8E"},
    {"bad byte", "\xFF", "\xEF\xBF\xBD"},
    {"cut sequence", "\xEA\xB3", "\xEF\xBF\xBD\xEF\xBF\xBD"},
    {"surrogate", "\xED\xA0\x80", "\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD"},
    {"mixed", "가\"나\xC0", "가\\\"나\xEF\xBF\xBD"},
};

static void test_json_write__escapes_at_every_offset(void **state)
{
    char padding[18];

    (void)state;
    memset(padding, 'x', sizeof(padding));
    FOR_EACH(c, escape_cases)
    {
        for (size_t before = 0; before < sizeof(padding); before++) {
            for (size_t after = 0; after < sizeof(padding); after++) {
                size_t len = strlen(c->text), total = before + len + after;
                char *text = malloc(total); // exact, so that a sanitizer sees one byte too far
                struct ch_buf got, want;
                struct ch_jw jw;

                assert_non_null(text);
                memset(text, 'x', total);
                memcpy(text + before, c->text, len);
                ch_buf_init(&got, 4096);
                ch_jw_init(&jw, &got);
                ch_jw_str(&jw, (struct ch_str){text, total});
                ch_buf_init(&want, 4096);
                ch_buf_printf(&want, "\"%.*s%s%.*s\"", (int)before, padding, c->want, (int)after, padding);
                CHECK(c->name, ch_str_eq(ch_buf_str(&got), ch_buf_str(&want)));
                ch_buf_release(&got);
                ch_buf_release(&want);
                free(text);
            }
        }
    }
}

static void test_json_write__reads_back_what_it_wrote(void **state)
{
    char text[255];
    struct ch_buf buf;
    struct ch_jw jw;
    json_t *json;

    (void)state;
    for (size_t i = 0; i < 127; i++)
        text[i] = (char)(i + 1);
    for (size_t i = 127; i + 1 < sizeof(text); i += 2) { // U+0080 to U+00BF
        text[i] = '\xC2';
        text[i + 1] = (char)(0x80 + (i - 127) / 2);
    }
    text[sizeof(text) - 2] = '\xC2';
    text[sizeof(text) - 1] = '\x80';
    ch_buf_init(&buf, 4096);
    ch_jw_init(&jw, &buf);
    ch_jw_str(&jw, (struct ch_str){text, sizeof(text)});
    assert_int_equal(ch_json_parse(ch_buf_str(&buf), NULL, &json), CH_OK);
    assert_int_equal(json_string_length(json), sizeof(text));
    assert_memory_equal(json_string_value(json), text, sizeof(text));
    json_decref(json);
    ch_buf_release(&buf);
}

static void test_json_write__doubles(void **state)
{
    static const struct {
        double value;
        const char *want;
    } numbers[] = {
        {0.0, "0"},
        {-0.0, "-0"},
        {3.0, "3"},
        {0.1, "0.1"},
        {13.5, "13.5"},
        {-2.25, "-2.25"},
        {1e21, "1e+21"},
        {1.0 / 3, "0.3333333333333333"},
        {0.1 + 0.2, "0.30000000000000004"},
        {1.7976931348623157e308, "1.7976931348623157e+308"},
        {INFINITY, "null"},
        {-INFINITY, "null"},
        {NAN, "null"},
    };

    (void)state;
    FOR_EACH(c, numbers)
    {
        struct ch_buf buf;
        struct ch_jw jw;

        ch_buf_init(&buf, 100);
        ch_jw_init(&jw, &buf);
        ch_jw_double(&jw, c->value);
        CHECK(c->want, ch_str_is(ch_buf_str(&buf), c->want));
        ch_buf_append_char(&buf, '\0');
        if (isfinite(c->value))
            CHECK(c->want, strtod(buf.data, NULL) == c->value);
        ch_buf_release(&buf);
    }
}

static void test_json_write__stops_at_the_maximum(void **state)
{
    (void)state;
    for (size_t max = 0; max < 60; max++) {
        struct ch_buf buf;
        struct ch_jw jw;

        ch_buf_init(&buf, max);
        ch_jw_init(&jw, &buf);
        ch_jw_object(&jw);
        ch_jw_kint(&jw, "quantity", 12345);
        ch_jw_kcstr(&jw, "note", "a\nb");
        ch_jw_object_end(&jw);
        // {"quantity":12345,"note":"a\nb"} has 32 bytes
        assert_int_equal(buf.is_full, max < 32);
        assert_int_equal(strncmp("{\"quantity\":12345,\"note\":\"a\\nb\"}", buf.len ? buf.data : "", buf.len), 0);
        ch_buf_release(&buf);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_json_write__places_commas),
        cmocka_unit_test(test_json_write__escapes_at_every_offset),
        cmocka_unit_test(test_json_write__reads_back_what_it_wrote),
        cmocka_unit_test(test_json_write__doubles),
        cmocka_unit_test(test_json_write__stops_at_the_maximum),
    };

    return cmocka_run_group_tests_name("json_write", tests, NULL, NULL);
}
