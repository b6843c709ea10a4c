// SPDX-License-Identifier: Apache-2.0
// ch_fail: what it notes for the caller, also when memory is short.

#include "ch/obs.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static void test_fail__notes_faults_and_detail(void **state)
{
    (void)state;
    struct ch_ctx ctx = {.arena = ch_arena_new(64 * 1024)};
    assert_int_equal(ch_fail(&ctx, CH_ERR_INVALID, "/phone", "format", "%s 형식", "010"), CH_ERR_INVALID);
    assert_null(ctx.detail);
    assert_int_equal(ctx.faults.count, 1);
    assert_string_equal(ctx.faults.first->pointer, "/phone");
    assert_string_equal(ctx.faults.first->code, "format");
    assert_string_equal(ctx.faults.first->detail, "010 형식");
    assert_int_equal(ch_fail(&ctx, CH_ERR_STOCK_SHORT, NULL, NULL, "%d상자 남음", 3), CH_ERR_STOCK_SHORT);
    assert_int_equal(ctx.faults.count, 1);
    assert_string_equal(ctx.detail, "3상자 남음");
    ch_arena_free(ctx.arena);
}

static void test_fail__without_memory_keeps_the_error(void **state)
{
    (void)state;
    char long_text[4096];
    struct ch_ctx ctx = {.arena = ch_arena_new(1024), .detail = "before"};
    memset(long_text, 'x', sizeof(long_text) - 1);
    long_text[sizeof(long_text) - 1] = '\0';
    assert_int_equal(ch_fail(&ctx, CH_ERR_CONFLICT, NULL, NULL, "%s", long_text), CH_ERR_CONFLICT);
    assert_null(ctx.detail);
    ch_arena_free(ctx.arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_fail__notes_faults_and_detail),
        cmocka_unit_test(test_fail__without_memory_keeps_the_error),
    };
    return cmocka_run_group_tests_name("ctx", tests, NULL, NULL);
}
