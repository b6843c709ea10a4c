// SPDX-License-Identifier: Apache-2.0
// Buffers: growth up to the stated maximum, and that a full one stays a prefix of what was meant.
#include "cases.h"
#include "ch/base.h"

#include <inttypes.h>
#include <stdio.h>

static void test_buf__grows_to_its_maximum(void **state)
{
    static const size_t maxima[] = {1, 2, 255, 256, 257, 1000, 70000};

    (void)state;
    FOR_EACH(max, maxima)
    {
        struct ch_buf buf;

        ch_buf_init(&buf, *max);
        for (size_t i = 0; i < *max; i++)
            ch_buf_append_char(&buf, (char)('a' + i % 26));
        assert_false(buf.is_full);
        assert_int_equal(buf.len, *max);
        for (size_t i = 0; i < *max; i++)
            assert_int_equal(buf.data[i], 'a' + i % 26);
        ch_buf_append_char(&buf, '!');
        assert_true(buf.is_full);
        assert_int_equal(buf.len, *max);
        ch_buf_release(&buf);
    }
}

static void test_buf__ignores_what_comes_after_a_refusal(void **state)
{
    struct ch_buf buf;

    (void)state;
    ch_buf_init(&buf, 10);
    ch_buf_append_cstr(&buf, "12345");
    ch_buf_append_cstr(&buf, "678901");
    ch_buf_append_char(&buf, 'x');
    ch_buf_append_int64(&buf, 1);
    ch_buf_printf(&buf, "%d", 1);
    assert_null(ch_buf_reserve(&buf, 1));
    assert_true(buf.is_full);
    assert_true(ch_str_is(ch_buf_str(&buf), "12345"));
    ch_buf_reset(&buf);
    ch_buf_append_cstr(&buf, "1234567890");
    assert_false(buf.is_full);
    ch_buf_release(&buf);
    assert_int_equal(buf.max, 10);
    assert_null(buf.data);
}

static void test_buf__accepts_a_zeroed_struct(void **state)
{
    struct ch_buf buf = {0};

    (void)state;
    ch_buf_append(&buf, NULL, 0);
    assert_false(buf.is_full);
    assert_int_equal(ch_buf_str(&buf).len, 0);
    ch_buf_append_char(&buf, 'x');
    assert_true(buf.is_full);
    ch_buf_release(&buf);
    ch_buf_release(&buf);
}

static void test_buf__prints_exactly_to_the_end(void **state)
{
    struct ch_buf buf;

    (void)state;
    ch_buf_init(&buf, 300);
    ch_buf_printf(&buf, "%s", "");
    ch_buf_printf(&buf, "%0250d", 7);
    ch_buf_printf(&buf, "%050d", 8);
    assert_false(buf.is_full);
    assert_int_equal(buf.len, 300);
    assert_int_equal(buf.data[249], '7');
    assert_int_equal(buf.data[299], '8');
    ch_buf_printf(&buf, "%s", "x");
    assert_true(buf.is_full);
    assert_int_equal(buf.len, 300);
    ch_buf_release(&buf);
}

static void test_buf__writes_int64(void **state)
{
    static const int64_t values[] = {0,   7,    -1,   10,    99,      100,       -100,      101,
                                     999, 1000, 9999, 10000, 1234567, INT64_MAX, INT64_MIN, -1234567890123};

    (void)state;
    FOR_EACH(value, values)
    {
        struct ch_buf buf;
        char want[32];

        ch_buf_init(&buf, 64);
        ch_buf_append_int64(&buf, *value);
        (void)snprintf(want, sizeof(want), "%" PRId64, *value);
        CHECK(want, ch_str_is(ch_buf_str(&buf), want));
        ch_buf_release(&buf);
    }
}

static void test_buf__consumes_and_reserves(void **state)
{
    struct ch_buf buf;
    char *room;

    (void)state;
    ch_buf_init(&buf, 100);
    ch_buf_append_str(&buf, CH_STR("headbody"));
    ch_buf_consume(&buf, 4);
    assert_true(ch_str_is(ch_buf_str(&buf), "body"));
    room = ch_buf_reserve(&buf, 96);
    assert_non_null(room);
    memset(room, 'z', 96);
    buf.len += 96;
    assert_null(ch_buf_reserve(&buf, 1));
    ch_buf_consume(&buf, 100);
    ch_buf_consume(&buf, 0);
    assert_int_equal(buf.len, 0);
    ch_buf_release(&buf);
}

static void test_buf__moves_into_an_arena(void **state)
{
    static const struct {
        const char *name, *text;
        size_t buf_max, arena_max;
        bool is_moved;
    } cases[] = {
        {"nothing written", "", 10, 1000, true},
        {"as much as it may", "1234567890", 10, 1000, true},
        {"more than it may", "12345678901", 10, 1000, false},
        {"an arena that is full", "1234567890", 10, 5, false},
    };

    (void)state;
    FOR_EACH(c, cases)
    {
        struct ch_arena *arena = ch_arena_new(c->arena_max);
        struct ch_buf buf;

        ch_buf_init(&buf, c->buf_max);
        ch_buf_append_cstr(&buf, c->text);
        const struct ch_str text = ch_buf_take(&buf, arena);
        CHECK(c->name, (text.data != NULL) == c->is_moved);
        CHECK(c->name, ch_str_is(text, c->is_moved ? c->text : ""));
        CHECK(c->name, !c->is_moved || text.data[text.len] == '\0');
        CHECK(c->name, !buf.data && buf.len == 0 && !buf.is_full && buf.max == c->buf_max);
        ch_arena_free(arena);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_buf__grows_to_its_maximum),
        cmocka_unit_test(test_buf__ignores_what_comes_after_a_refusal),
        cmocka_unit_test(test_buf__accepts_a_zeroed_struct),
        cmocka_unit_test(test_buf__prints_exactly_to_the_end),
        cmocka_unit_test(test_buf__writes_int64),
        cmocka_unit_test(test_buf__consumes_and_reserves),
        cmocka_unit_test(test_buf__moves_into_an_arena),
    };

    return cmocka_run_group_tests_name("buf", tests, NULL, NULL);
}
