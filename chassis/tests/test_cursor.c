// SPDX-License-Identifier: Apache-2.0
// Cursors come back as they went out, and no other text is taken for one.
#include "request_fixture.h"

static void test_cursor__comes_back(void **state)
{
    const struct ch_cursor sent = {.values = {CH_STR("2026-11-23"), {0}, CH_STR(""), CH_STR("사과\x01")}, .count = 4};
    struct request_fixture fixture;
    struct ch_cursor got;
    const char *text;

    (void)state;
    request_open(&fixture, "", NULL, NULL);
    text = ch_cursor_encode(&fixture.req.ctx, &sent);
    assert_non_null(text);
    assert_int_equal(strspn(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-"), strlen(text));
    assert_int_equal(ch_cursor_decode(&fixture.req.ctx, ch_str_of(text), &got), CH_OK);
    assert_int_equal(got.count, 4);
    for (int i = 0; i < 4; i++)
        assert_true(ch_str_eq(got.values[i], sent.values[i]));
    assert_null(got.values[1].data);
    request_close(&fixture);
}

static void test_cursor__is_bounded(void **state)
{
    char long_value[600];
    struct request_fixture fixture;
    const struct ch_cursor cursor = {.values = {{long_value, sizeof(long_value)}}, .count = 1};

    (void)state;
    memset(long_value, 'x', sizeof(long_value));
    request_open(&fixture, "", NULL, NULL);
    assert_null(ch_cursor_encode(&fixture.req.ctx, &cursor));
    request_close(&fixture);
}

static void check_refused(const char *name, const char *text)
{
    struct request_fixture fixture;
    struct ch_cursor got;

    request_open(&fixture, "", NULL, NULL);
    CHECK(name, ch_cursor_decode(&fixture.req.ctx, ch_str_of(text), &got) == CH_ERR_INVALID);
    CHECK_TEXT(name, faults_text(&fixture.req.ctx), "?cursor format");
    request_close(&fixture);
}

static const struct {
    const char *name, *text;
} refused[] = {
    {"empty", ""},
    {"short", "AQ"},
    {"no base64url", "a+b/"},
    {"padding", "AQEAAA=="},
    {"noise", "AAAAAAAAAAAAAAAAAAAAAAAA"},
    {"text", "not-a-cursor"},
};

static void test_cursor__refuses_other_texts(void **state)
{
    char past_the_limit[600];

    (void)state;
    FOR_EACH(it, refused) check_refused(it->name, it->text);
    memset(past_the_limit, 'A', sizeof(past_the_limit) - 1);
    past_the_limit[sizeof(past_the_limit) - 1] = '\0';
    check_refused("too long", past_the_limit);
}

static void test_cursor__refuses_every_changed_character(void **state)
{
    const struct ch_cursor sent = {.values = {CH_STR("12345"), CH_STR("abc")}, .count = 2};
    struct request_fixture fixture;
    char *text;

    (void)state;
    request_open(&fixture, "", NULL, NULL);
    text = ch_arena_strdup(fixture.req.ctx.arena, ch_str_of(ch_cursor_encode(&fixture.req.ctx, &sent)));
    for (size_t i = 0; i < strlen(text); i++) {
        const char was = text[i];

        text[i] = was == 'A' ? 'B' : 'A';
        check_refused("changed", text);
        text[i] = was;
    }
    request_close(&fixture);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cursor__comes_back),
        cmocka_unit_test(test_cursor__is_bounded),
        cmocka_unit_test(test_cursor__refuses_other_texts),
        cmocka_unit_test(test_cursor__refuses_every_changed_character),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
