// SPDX-License-Identifier: Apache-2.0
// Query parameters: what is taken, and by which name each fault is told.
#include "request_fixture.h"

enum { HAS_Q = 1, HAS_LIMIT = 2 };

struct wanted {
    struct ch_str q;
    int64_t limit;
    bool in_season;
    int sort;
    struct ch_uuid farm_id;
};

static const char *const sorts[] = {"newest", "priceAsc", NULL};
static const struct ch_field fields[] = {
    {"q", CH_FIELD_STR, offsetof(struct wanted, q), CH_F_OPTIONAL, .min = 1, .max = 5, .present_bit = HAS_Q},
    {"limit", CH_FIELD_INT, offsetof(struct wanted, limit), CH_F_OPTIONAL, .min = 1, .max = 100,
     .present_bit = HAS_LIMIT},
    {"inSeason", CH_FIELD_BOOL, offsetof(struct wanted, in_season), CH_F_OPTIONAL},
    {"sort", CH_FIELD_ENUM, offsetof(struct wanted, sort), CH_F_OPTIONAL, .names = sorts},
    {"farmId", CH_FIELD_UUID, offsetof(struct wanted, farm_id), CH_F_OPTIONAL},
    {0},
};

static const struct {
    const char *name, *query, *faults;
} refused[] = {
    {"range", "limit=0", "?limit range"},
    {"not a number", "limit=ten", "?limit type"},
    {"past int64", "limit=99999999999999999999", "?limit type"},
    {"empty", "limit=", "?limit type"},
    {"no value", "limit", "?limit type"},
    {"bool", "inSeason=1", "?inSeason type"},
    {"enum", "sort=oldest", "?sort enum"},
    {"uuid", "farmId=1", "?farmId format"},
    {"unknown", "color=red", "?color unknown"},
    {"case counts", "Limit=3", "?Limit unknown"},
    {"odd name", "a%2Fb~c=1", "?a/b~c unknown"},
    {"too long", "q=%EC%82%AC%EA%B3%BC%EC%82%AC%EA%B3%BC%EC%82%AC%EA%B3%BC", "?q length"},
    {"empty text", "q=", "?q length"},
    {"twice", "limit=1&limit=1", "?limit duplicate"},
    {"stray percent", "q=%", "?q encoding"},
    {"half a percent", "q=%4", "?q encoding"},
    {"no UTF-8", "q=%FF", "?q encoding"},
    {"NUL", "q=%00", "?q encoding"},
    {"all of them", "limit=0&sort=x&y=1", "?limit range; ?sort enum; ?y unknown"},
};

static void test_query__names_each_fault(void **state)
{
    (void)state;
    FOR_EACH(it, refused)
    {
        struct request_fixture fixture;
        struct wanted wanted = {0};

        request_open(&fixture, it->query, NULL, NULL);
        CHECK(it->name, ch_query_bind(&fixture.req, fields, &wanted, NULL) == CH_ERR_INVALID);
        CHECK_TEXT(it->name, faults_text(&fixture.req.ctx), it->faults);
        request_close(&fixture);
    }
}

static void test_query__binds_by_type(void **state)
{
    struct request_fixture fixture;
    struct wanted wanted = {.limit = 20};
    uint64_t present = 0;

    (void)state;
    request_open(
        &fixture,
        "q=%EC%82%AC+%ea%b3%bc&&limit=7&inSeason=true&sort=priceAsc&farmId=018f0000-0000-7000-9000-000000000001", NULL,
        NULL);
    assert_int_equal(ch_query_bind(&fixture.req, fields, &wanted, &present), CH_OK);
    assert_string_equal(wanted.q.data, "사 과");
    assert_int_equal(wanted.limit, 7);
    assert_true(wanted.in_season);
    assert_int_equal(wanted.sort, 1);
    assert_int_equal(wanted.farm_id.bytes[15], 1);
    assert_int_equal(present, HAS_Q | HAS_LIMIT);
    request_close(&fixture);
}

static void test_query__keeps_defaults_without_parameters(void **state)
{
    struct request_fixture fixture;
    struct wanted wanted = {.limit = 20};
    uint64_t present = 99;

    (void)state;
    request_open(&fixture, "", NULL, NULL);
    assert_int_equal(ch_query_bind(&fixture.req, fields, &wanted, &present), CH_OK);
    assert_int_equal(wanted.limit, 20);
    assert_int_equal(present, 0);
    request_close(&fixture);
}

static void test_query__refuses_too_many(void **state)
{
    struct request_fixture fixture;
    struct wanted wanted = {0};
    char query[400] = "";

    (void)state;
    for (int i = 0; i < 70; i++)
        strcat(query, "q=1&");
    request_open(&fixture, query, NULL, NULL);
    assert_int_equal(ch_query_bind(&fixture.req, fields, &wanted, NULL), CH_ERR_INVALID);
    request_close(&fixture);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_query__names_each_fault),
        cmocka_unit_test(test_query__binds_by_type),
        cmocka_unit_test(test_query__keeps_defaults_without_parameters),
        cmocka_unit_test(test_query__refuses_too_many),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
