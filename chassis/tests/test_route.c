// SPDX-License-Identifier: Apache-2.0
// Which row a path and a method find.
#include "cases.h"

#include "../src/app/route.h"

static const struct ch_route routes[] = {
    {CH_GET, "/api/v1/orders", 0, NULL, "list", 0, 0},
    {CH_POST, "/api/v1/orders", 0, NULL, "place", 0, 0},
    {CH_GET, "/api/v1/orders/{orderId}", 0, NULL, "detail", 0, 0},
    {CH_GET, "/api/v1/orders/search", 0, NULL, "search", 0, 0},
    {CH_POST, "/api/v1/orders/{orderId}/cancel", 0, NULL, "cancel", 0, 0},
    {CH_PUT, "/api/v1/{a}/{b}/{c}/{d}", 0, NULL, "four", 0, 0},
    {CH_GET, "/", 0, NULL, "root", 0, 0},
    {0},
};

static const struct {
    const char *name;
    enum ch_http_method method;
    const char *path;
    enum ch_err err;
    const char *operation; // or, for METHOD_NOT_ALLOWED, the Allow
    const char *param;
} cases[] = {
    {"literal", CH_GET, "/api/v1/orders", CH_OK, "list", ""},
    {"method chooses", CH_POST, "/api/v1/orders", CH_OK, "place", ""},
    {"HEAD is GET's", CH_HEAD, "/api/v1/orders", CH_OK, "list", ""},
    {"parameter", CH_GET, "/api/v1/orders/42", CH_OK, "detail", "42"},
    {"literal before parameter", CH_GET, "/api/v1/orders/search", CH_OK, "search", ""},
    {"decoded parameter", CH_GET, "/api/v1/orders/%EC%82%AC%2F%ea%b3%bc", CH_OK, "detail", "사/과"},
    {"plus stays", CH_GET, "/api/v1/orders/a+b", CH_OK, "detail", "a+b"},
    {"encoded literal", CH_GET, "/api/v1/%6frders", CH_OK, "list", ""},
    {"behind a parameter", CH_POST, "/api/v1/orders/42/cancel", CH_OK, "cancel", "42"},
    {"four parameters", CH_PUT, "/api/v1/1/2/3/4", CH_OK, "four", "1"},
    {"root", CH_GET, "/", CH_OK, "root", ""},
    {"slash at the end", CH_GET, "/api/v1/orders/", CH_ERR_NOT_FOUND, NULL, NULL},
    {"double slash", CH_GET, "/api//v1/orders", CH_ERR_NOT_FOUND, NULL, NULL},
    {"dots", CH_GET, "/api/v1/x/../orders", CH_ERR_NOT_FOUND, NULL, NULL},
    {"case counts", CH_GET, "/API/v1/orders", CH_ERR_NOT_FOUND, NULL, NULL},
    {"prefix", CH_GET, "/api/v1", CH_ERR_NOT_FOUND, NULL, NULL},
    {"too deep", CH_GET, "/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a", CH_ERR_NOT_FOUND, NULL, NULL},
    {"empty", CH_GET, "", CH_ERR_NOT_FOUND, NULL, NULL},
    {"wrong method", CH_DELETE, "/api/v1/orders", CH_ERR_METHOD_NOT_ALLOWED, "GET, HEAD, POST, OPTIONS", NULL},
    {"wrong method, parameter", CH_GET, "/api/v1/orders/42/cancel", CH_ERR_METHOD_NOT_ALLOWED, "POST, OPTIONS", NULL},
    {"OPTIONS", CH_OPTIONS, "/api/v1/orders/42", CH_ERR_METHOD_NOT_ALLOWED, "GET, HEAD, OPTIONS", NULL},
    {"made-up method", CH_METHOD_OTHER, "/api/v1/orders/42", CH_ERR_METHOD_NOT_ALLOWED, "GET, HEAD, OPTIONS", NULL},
    {"stray percent", CH_GET, "/api/v1/orders/%zz", CH_ERR_BAD_SYNTAX, NULL, NULL},
    {"cut percent", CH_GET, "/api/v1/orders/%4", CH_ERR_BAD_SYNTAX, NULL, NULL},
    {"NUL", CH_GET, "/api/v1/orders/%00", CH_ERR_BAD_SYNTAX, NULL, NULL},
    {"no UTF-8", CH_GET, "/api/v1/orders/%ff", CH_ERR_BAD_SYNTAX, NULL, NULL},
};

static void test_route__finds_by_method_and_path(void **state)
{
    struct ch_arena *arena = ch_arena_new(65536);
    struct ch_route_table *table;

    (void)state;
    assert_int_equal(ch_route_table_new(routes, &table), CH_OK);
    FOR_EACH(it, cases)
    {
        struct ch_route_match match = {0};

        CHECK(it->name, ch_route_find(table, it->method, ch_str_of(it->path), arena, &match) == it->err);
        if (it->err == CH_OK) {
            CHECK_TEXT(it->name, match.route->operation_id, it->operation);
            CHECK(it->name, ch_str_is(match.params[0], it->param));
        } else if (it->err == CH_ERR_METHOD_NOT_ALLOWED) {
            CHECK_TEXT(it->name, match.allow, it->operation);
            CHECK(it->name, !match.route);
        }
    }
    ch_route_table_free(table);
    ch_arena_free(arena);
}

static void test_route__refuses_tables_that_contradict_themselves(void **state)
{
    static const struct ch_route twice[] = {
        {CH_GET, "/a/{b}", 0, NULL, "1", 0, 0}, {CH_GET, "/a/{b}", 0, NULL, "2", 0, 0}, {0}};
    static const struct ch_route renamed[] = {
        {CH_GET, "/a/{b}", 0, NULL, "1", 0, 0}, {CH_POST, "/a/{c}", 0, NULL, "2", 0, 0}, {0}};
    static const struct ch_route relative[] = {{CH_GET, "a", 0, NULL, "1", 0, 0}, {0}};
    static const struct ch_route many[] = {{CH_GET, "/{a}/{b}/{c}/{d}/{e}", 0, NULL, "1", 0, 0}, {0}};
    static const struct ch_route *const tables[] = {twice, renamed, relative, many};
    struct ch_route_table *table;

    (void)state;
    FOR_EACH(it, tables) assert_int_equal(ch_route_table_new(*it, &table), CH_ERR_INTERNAL);
}

static void test_route__finds_nothing_in_an_empty_table(void **state)
{
    struct ch_arena *arena = ch_arena_new(65536);
    struct ch_route_match match = {0};
    struct ch_route_table *table;

    (void)state;
    assert_int_equal(ch_route_table_new(NULL, &table), CH_OK);
    assert_int_equal(ch_route_find(table, CH_GET, CH_STR("/"), arena, &match), CH_ERR_NOT_FOUND);
    ch_route_table_free(table);
    ch_arena_free(arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_route__finds_by_method_and_path),
        cmocka_unit_test(test_route__refuses_tables_that_contradict_themselves),
        cmocka_unit_test(test_route__finds_nothing_in_an_empty_table),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
