// SPDX-License-Identifier: Apache-2.0
// The table of failures: complete, unambiguous, and mapped from every gRPC status. A new row needs no change here.
#include "cases.h"
#include "ch/err.h"

#include <stdbool.h>
#include <string.h>

static bool is_korean(const char *text)
{
    while (*text && (unsigned char)*text < 0x80)
        text++;
    return *text != '\0';
}

static void test_err__rows_are_complete(void **state)
{
    (void)state;
    for (int i = CH_OK + 1; i < CH_ERR_COUNT; i++) {
        const struct ch_err_row *row = ch_err_row((enum ch_err)i);

        assert_non_null(row->id);
        CHECK(row->id, row->http_status >= 400 && row->http_status <= 599);
        CHECK(row->id, row->grpc_status > CH_GRPC_OK && row->grpc_status <= CH_GRPC_UNAUTHENTICATED);
        CHECK(row->id, row->code[0] != '\0' && strspn(row->code, "abcdefghijklmnopqrstuvwxyz_") == strlen(row->code));
        CHECK(row->id, is_korean(row->title));
    }
}

static void test_err__codes_are_unique(void **state)
{
    (void)state;
    for (int i = 0; i < CH_ERR_COUNT; i++)
        for (int j = 0; j < i; j++)
            CHECK(ch_err_row((enum ch_err)i)->id,
                  strcmp(ch_err_row((enum ch_err)i)->code, ch_err_row((enum ch_err)j)->code) != 0);
}

static void test_err__row_is_never_null(void **state)
{
    (void)state;
    assert_string_equal(ch_err_row(CH_OK)->id, "OK");
    assert_int_equal(ch_err_row(CH_OK)->http_status, 200);
    assert_string_equal(ch_err_row(CH_ERR_STOCK_SHORT)->code, "stock_short");
    assert_int_equal(ch_err_row(CH_ERR_STOCK_SHORT)->http_status, 409);
    assert_string_equal(ch_err_row((enum ch_err)CH_ERR_COUNT)->id, "INTERNAL");
    assert_string_equal(ch_err_row((enum ch_err) - 1)->id, "INTERNAL");
}

static void test_err__comes_from_grpc(void **state)
{
    static const struct {
        const char *name;
        int status;
        enum ch_err want;
    } cases[] = {
        {"ok", CH_GRPC_OK, CH_OK},
        {"unavailable", CH_GRPC_UNAVAILABLE, CH_ERR_UNAVAILABLE},
        {"deadline", CH_GRPC_DEADLINE_EXCEEDED, CH_ERR_DEADLINE},
        {"not found", CH_GRPC_NOT_FOUND, CH_ERR_NOT_FOUND},
        {"failed precondition", CH_GRPC_FAILED_PRECONDITION, CH_ERR_CONFLICT},
        {"unauthenticated", CH_GRPC_UNAUTHENTICATED, CH_ERR_UNAUTHENTICATED},
        {"unknown to gRPC", 17, CH_ERR_INTERNAL},
        {"negative", -1, CH_ERR_INTERNAL},
    };

    (void)state;
    FOR_EACH(c, cases)
    CHECK(c->name, ch_err_from_grpc(c->status) == c->want);
    for (int i = 1; i <= CH_GRPC_UNAUTHENTICATED; i++)
        assert_int_not_equal(ch_err_from_grpc(i), CH_OK);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_err__rows_are_complete),
        cmocka_unit_test(test_err__codes_are_unique),
        cmocka_unit_test(test_err__row_is_never_null),
        cmocka_unit_test(test_err__comes_from_grpc),
    };

    return cmocka_run_group_tests_name("err", tests, NULL, NULL);
}
