// SPDX-License-Identifier: Apache-2.0
// Versions in headers: ETag out, If-None-Match and If-Match in; and headers of a reply.
#include "request_fixture.h"

static const struct {
    const char *name, *value;
    bool is_required;
    enum ch_err err;
    int64_t version;
} if_match[] = {
    {"a version", "\"7\"", true, CH_OK, 7},
    {"with a suffix", "\"7-1c9f\"", true, CH_OK, 7},
    {"any", "*", true, CH_OK, -1},
    {"absent, optional", NULL, false, CH_OK, -1},
    {"absent, required", NULL, true, CH_ERR_PRECONDITION_REQUIRED, 0},
    {"no quotes", "7", true, CH_ERR_INVALID, 0},
    {"weak", "W/\"7\"", true, CH_ERR_INVALID, 0},
    {"a list", "\"7\", \"8\"", true, CH_ERR_INVALID, 0},
    {"empty", "\"\"", true, CH_ERR_INVALID, 0},
    {"one quote", "\"", true, CH_ERR_INVALID, 0},
    {"no number", "\"abc\"", true, CH_ERR_INVALID, 0},
    {"only a suffix", "\"-1c9f\"", true, CH_ERR_INVALID, 0},
    {"empty suffix", "\"7-\"", true, CH_ERR_INVALID, 0},
    {"suffix in capitals", "\"7-ABC\"", true, CH_ERR_INVALID, 0},
    {"past int64", "\"99999999999999999999\"", true, CH_ERR_INVALID, 0},
};

static void test_if_match__reads_the_number(void **state)
{
    (void)state;
    FOR_EACH(it, if_match)
    {
        struct request_fixture fixture;
        int64_t version = 0;

        request_open(&fixture, "", it->value ? "If-Match" : NULL, it->value);
        CHECK(it->name, ch_if_match(&fixture.req, it->is_required, &version) == it->err);
        CHECK(it->name, it->err || version == it->version);
        CHECK(it->name, !it->err || strncmp(faults_text(&fixture.req.ctx), "If-Match ", 9) == 0);
        request_close(&fixture);
    }
}

static const struct {
    const char *name, *value;
    bool is_not_modified;
} if_none_match[] = {
    {"the same", "\"7\"", true},
    {"weak", "W/\"7\"", true},
    {"in a list", "\"5\", W/\"6\",\"7\"", true},
    {"any", "*", true},
    {"another", "\"8\"", false},
    {"longer", "\"77\"", false},
    {"with a suffix", "\"7-1c9f\"", false},
    {"no quotes", "7", false},
    {"cut", "\"7", false},
    {"empty", "", false},
    {"absent", NULL, false},
};

static void test_if_none_match__compares_weakly(void **state)
{
    (void)state;
    FOR_EACH(it, if_none_match)
    {
        struct request_fixture fixture;

        request_open(&fixture, "", it->value ? "If-None-Match" : NULL, it->value);
        CHECK(it->name, ch_is_not_modified(&fixture.req, 7) == it->is_not_modified);
        CHECK(it->name, fixture.req.status == (it->is_not_modified ? 304 : 200));
        CHECK(it->name, fixture.req.extra_count == 1);
        CHECK(it->name, ch_str_is(fixture.req.extra[0].value, "\"7\""));
        request_close(&fixture);
    }
}

static void test_etag__may_say_more_than_the_version(void **state)
{
    struct request_fixture fixture;

    (void)state;
    request_open(&fixture, "", "If-None-Match", "\"7-1c9f\"");
    assert_true(ch_is_not_modified_text(&fixture.req, CH_STR("7-1c9f")));
    assert_true(ch_str_is(fixture.req.extra[0].value, "\"7-1c9f\""));
    request_close(&fixture);
}

static void test_header__replaces_and_is_bounded(void **state)
{
    static const char *const names[] = {"A", "B", "C", "D", "E", "F", "G", "H", "I"};
    struct request_fixture fixture;

    (void)state;
    request_open(&fixture, "", NULL, NULL);
    FOR_EACH(it, names) ch_reply_header(&fixture.req, *it, CH_STR("1"));
    ch_reply_header(&fixture.req, "a", CH_STR("2"));
    ch_reply_header(&fixture.req, "B", (struct ch_str){0});
    assert_int_equal(fixture.req.extra_count, 8);
    assert_true(ch_str_is(fixture.req.extra[0].value, "2"));
    assert_true(ch_str_is(fixture.req.extra[1].value, "1"));
    request_close(&fixture);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_if_match__reads_the_number),
        cmocka_unit_test(test_if_none_match__compares_weakly),
        cmocka_unit_test(test_etag__may_say_more_than_the_version),
        cmocka_unit_test(test_header__replaces_and_is_bounded),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
