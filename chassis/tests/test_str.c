// SPDX-License-Identifier: Apache-2.0
// Slices: comparing, numbers, and UTF-8 against a plain decoder, at every position of the eight-byte fast path.
#include "cases.h"
#include "ch/base.h"

#include <stdlib.h>

static void test_str__compares(void **state)
{
    static const struct {
        const char *a, *b;
        bool eq, ieq;
    } cases[] = {
        {"", "", true, true},
        {"Content-Length", "Content-Length", true, true},
        {"Content-Length", "content-LENGTH", false, true},
        {"@[`{", "`{@[", false, false},
        {"a", "ab", false, false},
        {"사과", "사과", true, true},
        {"\xC3\x84", "\xC3\xA4", false, false},
    };

    (void)state;
    FOR_EACH(c, cases)
    {
        CHECK(c->a, ch_str_is(ch_str_of(c->a), c->b) == c->eq);
        CHECK(c->a, ch_str_ieq(ch_str_of(c->a), ch_str_of(c->b)) == c->ieq);
    }
    assert_true(ch_str_eq((struct ch_str){NULL, 0}, CH_STR("")));
}

static void test_str__reads_int64(void **state)
{
    static const struct {
        const char *text;
        enum ch_err want;
        int64_t value;
    } cases[] = {
        {"0", CH_OK, 0},
        {"-0", CH_OK, 0},
        {"007", CH_OK, 7},
        {"12000", CH_OK, 12000},
        {"9223372036854775807", CH_OK, INT64_MAX},
        {"-9223372036854775808", CH_OK, INT64_MIN},
        {"9223372036854775808", CH_ERR_INVALID, 0},
        {"-9223372036854775809", CH_ERR_INVALID, 0},
        {"99999999999999999999999", CH_ERR_INVALID, 0},
        {"", CH_ERR_INVALID, 0},
        {"-", CH_ERR_INVALID, 0},
        {"+1", CH_ERR_INVALID, 0},
        {"--1", CH_ERR_INVALID, 0},
        {" 1", CH_ERR_INVALID, 0},
        {"1 ", CH_ERR_INVALID, 0},
        {"1.0", CH_ERR_INVALID, 0},
        {"0x10", CH_ERR_INVALID, 0},
        {"1e3", CH_ERR_INVALID, 0},
    };

    (void)state;
    FOR_EACH(c, cases)
    {
        int64_t value = 42;

        CHECK(c->text, ch_str_to_int64(ch_str_of(c->text), &value) == c->want);
        CHECK(c->text, value == (c->want ? 42 : c->value));
    }
}

static const struct {
    const char *name, *text;
    bool is_valid;
    size_t length;
} utf8_cases[] = {
    {"empty", "", true, 0},
    {"ascii", "Gwasuwon", true, 8},
    {"DEL", "\x7F", true, 1},
    {"two bytes, first", "\xC2\x80", true, 1},
    {"two bytes, last", "\xDF\xBF", true, 1},
    {"korean", "과수원", true, 3},
    {"three bytes, first", "\xE0\xA0\x80", true, 1},
    {"before surrogates", "\xED\x9F\xBF", true, 1},
    {"after surrogates", "\xEE\x80\x80", true, 1},
    {"four bytes, first", "\xF0\x90\x80\x80", true, 1},
    {"emoji", "\xF0\x9F\x8D\x8E", true, 1},
    {"last code point", "\xF4\x8F\xBF\xBF", true, 1},
    {"lone continuation", "\x80", false, 0},
    {"overlong slash", "\xC0\xAF", false, 0},
    {"overlong C1", "\xC1\xBF", false, 0},
    {"overlong three", "\xE0\x9F\xBF", false, 0},
    {"overlong four", "\xF0\x8F\xBF\xBF", false, 0},
    {"surrogate, first", "\xED\xA0\x80", false, 0},
    {"surrogate, last", "\xED\xBF\xBF", false, 0},
    {"past the last", "\xF4\x90\x80\x80", false, 0},
    {"F5", "\xF5\x80\x80\x80", false, 0},
    {"FF", "\xFF", false, 0},
    {"cut after one", "\xEA", false, 0},
    {"cut after two", "\xEA\xB3", false, 0},
    {"cut after three", "\xF0\x9F\x8D", false, 0},
    {"second byte bad", "\xEA\x41\x80", false, 0},
    {"third byte bad", "\xEA\xB3\x41", false, 0},
    {"fourth byte bad", "\xF0\x9F\x8D\xC0", false, 0},
};

static void test_str__checks_utf8_at_every_offset(void **state)
{
    (void)state;
    FOR_EACH(c, utf8_cases)
    {
        size_t len = strlen(c->text);

        for (size_t before = 0; before <= 17; before++) {
            for (size_t after = 0; after <= 17; after++) {
                size_t total = before + len + after;
                char *text = malloc(total + 1); // exact, so that a sanitizer sees one byte too far

                memset(text, 'a', total);
                memcpy(text + before, c->text, len);
                CHECK(c->name, ch_utf8_is_valid((struct ch_str){text, total}) == c->is_valid);
                if (c->is_valid)
                    CHECK(c->name, ch_utf8_length((struct ch_str){text, total}) == before + c->length + after);
                free(text);
            }
        }
    }
}

static void test_str__refuses_nul_everywhere(void **state)
{
    char text[24];

    (void)state;
    for (size_t i = 0; i < sizeof(text); i++) {
        memset(text, '\x01', sizeof(text));
        assert_true(ch_utf8_is_valid((struct ch_str){text, sizeof(text)}));
        text[i] = '\0';
        assert_false(ch_utf8_is_valid((struct ch_str){text, sizeof(text)}));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_str__compares),
        cmocka_unit_test(test_str__reads_int64),
        cmocka_unit_test(test_str__checks_utf8_at_every_offset),
        cmocka_unit_test(test_str__refuses_nul_everywhere),
    };

    return cmocka_run_group_tests_name("str", tests, NULL, NULL);
}
