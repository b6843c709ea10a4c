// SPDX-License-Identifier: Apache-2.0
// Arenas: the limit, the zeroes, the alignment, the reset. Run under AddressSanitizer it also shows reads past an end.
#include "cases.h"
#include "ch/base.h"

static void test_arena__zeroes_and_aligns(void **state)
{
    struct ch_arena *arena = ch_arena_new(1 << 20);

    (void)state;
    for (int round = 0; round < 3; round++) {
        for (size_t size = 0; size < 3000; size += 37) {
            unsigned char *bytes = ch_arena_alloc(arena, size);

            assert_non_null(bytes);
            assert_int_equal((uintptr_t)bytes % 16, 0);
            for (size_t i = 0; i < size; i++)
                assert_int_equal(bytes[i], 0);
            memset(bytes, 0xEE, size);
        }
        ch_arena_reset(arena);
        assert_int_equal(ch_arena_used(arena), 0);
    }
    ch_arena_free(arena);
}

static void test_arena__refuses_past_its_limit(void **state)
{
    static const struct {
        const char *name;
        size_t max, sizes[4];
        bool fits[4];
    } cases[] = {
        {"exactly full", 64, {16, 48, 1, 0}, {true, true, false, false}},
        {"too large at once", 64, {65, 64, 1, 1}, {false, true, false, false}},
        {"sizes are rounded up", 48, {1, 17, 1, 1}, {true, true, false, false}},
        {"limit not rounded", 70, {64, 6, 1, 0}, {true, false, false, false}},
        {"nothing at all", 0, {0, 1, SIZE_MAX, 16}, {false, false, false, false}},
        {"overflow", 1 << 20, {SIZE_MAX, SIZE_MAX - 15, 1, 1 << 19}, {false, false, true, true}},
        {"later blocks", 100000, {8192, 60000, 31808, 1}, {true, true, true, false}},
    };

    (void)state;
    FOR_EACH(c, cases)
    {
        struct ch_arena *arena = ch_arena_new(c->max);

        for (size_t i = 0; i < COUNT_OF(c->sizes); i++)
            CHECK(c->name, (ch_arena_alloc(arena, c->sizes[i]) != NULL) == c->fits[i]);
        CHECK(c->name, ch_arena_used(arena) <= c->max);
        ch_arena_free(arena);
    }
}

static void test_arena__array_checks_overflow(void **state)
{
    struct ch_arena *arena = ch_arena_new(4096);

    (void)state;
    assert_non_null(ch_arena_array(arena, 16, 16));
    assert_null(ch_arena_array(arena, SIZE_MAX / 8, 16));
    assert_non_null(ch_arena_array(arena, 0, 16));
    ch_arena_free(arena);
}

static void test_arena__copies_text(void **state)
{
    struct ch_arena *arena = ch_arena_new(4096);
    char wide[600];

    (void)state;
    memset(wide, 'x', sizeof(wide) - 1);
    wide[sizeof(wide) - 1] = '\0';
    assert_string_equal(ch_arena_strdup(arena, (struct ch_str){"사과box", 6}), "사과");
    assert_string_equal(ch_arena_strdup(arena, (struct ch_str){NULL, 0}), "");
    assert_string_equal(ch_arena_printf(arena, "%d-%s", 7, "a"), "7-a");
    assert_string_equal(ch_arena_printf(arena, "%s", wide), wide);
    assert_null(ch_arena_printf(arena, "%5000d", 1));
    assert_null(ch_arena_strdup(arena, (struct ch_str){wide, SIZE_MAX}));
    ch_arena_free(arena);
    ch_arena_free(NULL);
}

static void test_arena__writes_ids_and_times(void **state)
{
    struct ch_arena *arena = ch_arena_new(4096);
    struct ch_uuid id;

    (void)state;
    assert_int_equal(ch_uuid_parse(CH_STR("018F0000-0000-7000-9000-000000000001"), &id), CH_OK);
    assert_string_equal(ch_arena_uuid(arena, id), "018f0000-0000-7000-9000-000000000001");
    assert_string_equal(ch_arena_uuid(arena, (struct ch_uuid){0}), "");
    assert_string_equal(ch_arena_time(arena, 1500), "1970-01-01T00:00:00.001Z");
    while (ch_arena_alloc(arena, 16)) {
    }
    assert_null(ch_arena_uuid(arena, id));
    assert_null(ch_arena_time(arena, 0));
    ch_arena_free(arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_arena__zeroes_and_aligns),     cmocka_unit_test(test_arena__refuses_past_its_limit),
        cmocka_unit_test(test_arena__array_checks_overflow), cmocka_unit_test(test_arena__copies_text),
        cmocka_unit_test(test_arena__writes_ids_and_times),
    };

    return cmocka_run_group_tests_name("arena", tests, NULL, NULL);
}
