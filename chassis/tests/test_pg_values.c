// SPDX-License-Identifier: Apache-2.0
/* Every type of argument goes to the real server and comes back the same; getters of the wrong type abort. */
#include "pg_fixture.h"

enum { Q_SCALARS, Q_INT4S, Q_INT8S, Q_UUIDS, Q_TEXTS, Q_TIMES, Q_DOUBLES, Q_BYTEAS, Q_KINDS, Q_JSONB, Q_COUNT };

static const struct ch_query queries[] = {
    [Q_SCALARS] = {"scalars",
                   "SELECT $1::int4, $2::int8, $3::bool, $4::uuid, $5::text, $6::bytea, $7::timestamptz, $8::float8",
                   false},
    [Q_INT4S] = {"int4s", "SELECT v FROM unnest($1::int4[]) WITH ORDINALITY AS t (v, n) ORDER BY n", false},
    [Q_INT8S] = {"int8s", "SELECT v FROM unnest($1::int8[]) WITH ORDINALITY AS t (v, n) ORDER BY n", false},
    [Q_UUIDS] = {"uuids", "SELECT v FROM unnest($1::uuid[]) WITH ORDINALITY AS t (v, n) ORDER BY n", false},
    [Q_TEXTS] = {"texts", "SELECT v FROM unnest($1::text[]) WITH ORDINALITY AS t (v, n) ORDER BY n", false},
    [Q_TIMES] = {"times", "SELECT v FROM unnest($1::timestamptz[]) WITH ORDINALITY AS t (v, n) ORDER BY n", false},
    [Q_DOUBLES] = {"doubles", "SELECT v FROM unnest($1::float8[]) WITH ORDINALITY AS t (v, n) ORDER BY n", false},
    [Q_BYTEAS] = {"byteas", "SELECT v FROM unnest($1::bytea[]) WITH ORDINALITY AS t (v, n) ORDER BY n", false},
    [Q_KINDS] =
        {"kinds",
         "SELECT 7::int2, 1.5::float4, 'v'::varchar(3), 'n'::name, '{\"a\":1}'::json, 'b '::bpchar(2), null::text",
         false},
    [Q_JSONB] = {"jsonb", "SELECT $1::text::jsonb, '2026-11-23T05:40:00.123456Z'::timestamptz, 'infinity'::timestamptz",
                 false},
    [Q_COUNT] = {0},
};
static struct ch_pg_options options = {
    .queries = queries, .readers = 1, .waiting_max = 10, .statement_timeout_ns = MS(5000)};

static struct ch_pg_rows *run(struct ch_ctx *ctx, int query, const struct ch_pg_args *args, size_t count)
{
    struct ch_pg_rows *rows = NULL;

    assert_int_equal(ch_pg_run_wait(ctx, query, args, &rows), CH_OK);
    assert_int_equal(ch_pg_count(rows), count);
    return rows;
}

struct scalars {
    const char *name;
    int32_t i4;
    int64_t i8;
    bool b;
    struct ch_uuid uuid;
    struct ch_str text, bytea;
    int64_t time_us;
    double d;
};

static const struct scalars scalar_cases[] = {
    {"zeros", 0, 0, false, {{0}}, {"", 0}, {"", 0}, 0, 0},
    {"korean", -1, -1, true, {{1, 2, 3, 0xff}}, {"햇사과 ㅅㄱ 🍎", 21}, {"\0\377\0", 3}, 1795412400123456, -0.1},
    {"smallest", INT32_MIN, INT64_MIN, true, {{0x80}}, {"'; DROP", 7}, {"x", 1}, -1, 5e-324},
    {"largest", INT32_MAX, INT64_MAX, false, {{0xff}}, {"\\\n\t", 3}, {"y", 1}, INT64_MAX, 1.7976931348623157e308},
    {"infinitely early", 1, 1, true, {{1}}, {"x", 1}, {"x", 1}, INT64_MIN, 1},
};

static void scalars_fiber(void *arg)
{
    struct ch_ctx ctx = ctx_open(MS(5000));

    (void)arg;
    for (size_t i = 0; i < sizeof(scalar_cases) / sizeof(scalar_cases[0]); i++) {
        const struct scalars *in = &scalar_cases[i];
        struct ch_pg_rows *rows CH_PG_ROWS = NULL;
        struct ch_pg_args args;

        ch_pg_args_init(&args, &ctx);
        ch_pg_int4(&args, in->i4);
        ch_pg_int8(&args, in->i8);
        ch_pg_bool(&args, in->b);
        ch_pg_uuid(&args, in->uuid);
        ch_pg_text(&args, in->text);
        ch_pg_bytea(&args, in->bytea);
        ch_pg_time(&args, in->time_us);
        ch_pg_double(&args, in->d);
        rows = run(&ctx, Q_SCALARS, &args, 1);
        if (ch_pg_get_int(rows, 0, 0) != in->i4 || ch_pg_get_int(rows, 0, 1) != in->i8 ||
            ch_pg_get_bool(rows, 0, 2) != in->b || !ch_uuid_eq(ch_pg_get_uuid(rows, 0, 3), in->uuid) ||
            !ch_str_eq(ch_pg_get_str(rows, 0, 4), in->text) || !ch_str_eq(ch_pg_get_str(rows, 0, 5), in->bytea) ||
            ch_pg_get_time(rows, 0, 6) != in->time_us ||
            memcmp(&(double){ch_pg_get_double(rows, 0, 7)}, &in->d, sizeof(double)) != 0)
            fail_msg("%s came back changed", in->name);
        assert_non_null(ch_pg_get_str(rows, 0, 4).data); /* empty is not null */
    }
    ctx_close(&ctx);
}

static void test_pg_values__scalars_come_back(void **state)
{
    (void)state;
    pg_test(scalars_fiber, &options);
}

static void nulls_fiber(void *arg)
{
    struct ch_ctx ctx = ctx_open(MS(5000));
    struct ch_pg_rows *rows CH_PG_ROWS = NULL;
    struct ch_pg_args args;

    (void)arg;
    ch_pg_args_init(&args, &ctx);
    for (int i = 0; i < 8; i++) {
        if (i == 4 || i == 5)
            ch_pg_text(&args, (struct ch_str){0});
        else
            ch_pg_null(&args);
    }
    rows = run(&ctx, Q_SCALARS, &args, 1);
    for (int i = 0; i < 8; i++)
        assert_true(ch_pg_is_null(rows, 0, i));
    assert_int_equal(ch_pg_get_int(rows, 0, 0), 0);
    assert_false(ch_pg_get_bool(rows, 0, 2));
    assert_true(ch_uuid_is_nil(ch_pg_get_uuid(rows, 0, 3)));
    assert_null(ch_pg_get_str(rows, 0, 4).data);
    assert_null(ch_pg_copy_str(rows, 0, 5, ctx.arena).data);
    assert_int_equal(ch_pg_get_time(rows, 0, 6), 0);
    assert_true(ch_pg_get_double(rows, 0, 7) == 0);
    ctx_close(&ctx);
}

static void test_pg_values__nulls_come_back(void **state)
{
    (void)state;
    pg_test(nulls_fiber, &options);
}

static void arrays_fiber(void *arg)
{
    static const int32_t int4s[] = {0, -1, INT32_MIN, INT32_MAX};
    static const int64_t int8s[] = {0, -1, INT64_MIN, INT64_MAX, 42};
    static const int64_t times[] = {0, 1795412400123456, -1};
    static const struct ch_uuid uuids[] = {{{1}}, {{2}}};
    static const struct ch_str texts[] = {{"사과", 6}, {"", 0}, {NULL, 0}, {"{\"a\",NULL}", 10}};
    static const double doubles[] = {0.1, -1e300};
    static const struct ch_str byteas[] = {{"\0\377", 2}, {NULL, 0}, {"", 0}};
    struct ch_ctx ctx = ctx_open(MS(5000));

    (void)arg;
    for (int is_empty = 0; is_empty < 2; is_empty++) {
        struct ch_pg_rows *rows[7];
        struct ch_pg_args args[7];

        for (int i = 0; i < 7; i++)
            ch_pg_args_init(&args[i], &ctx);
        ch_pg_int4_array(&args[0], int4s, is_empty ? 0 : 4);
        ch_pg_int8_array(&args[1], int8s, is_empty ? 0 : 5);
        ch_pg_uuid_array(&args[2], uuids, is_empty ? 0 : 2);
        ch_pg_text_array(&args[3], texts, is_empty ? 0 : 4);
        ch_pg_time_array(&args[4], times, is_empty ? 0 : 3);
        ch_pg_double_array(&args[5], doubles, is_empty ? 0 : 2);
        ch_pg_bytea_array(&args[6], byteas, is_empty ? 0 : 3);
        rows[0] = run(&ctx, Q_INT4S, &args[0], is_empty ? 0 : 4);
        rows[1] = run(&ctx, Q_INT8S, &args[1], is_empty ? 0 : 5);
        rows[2] = run(&ctx, Q_UUIDS, &args[2], is_empty ? 0 : 2);
        rows[3] = run(&ctx, Q_TEXTS, &args[3], is_empty ? 0 : 4);
        rows[4] = run(&ctx, Q_TIMES, &args[4], is_empty ? 0 : 3);
        rows[5] = run(&ctx, Q_DOUBLES, &args[5], is_empty ? 0 : 2);
        rows[6] = run(&ctx, Q_BYTEAS, &args[6], is_empty ? 0 : 3);
        for (size_t i = 0; i < ch_pg_count(rows[5]); i++)
            assert_true(ch_pg_get_double(rows[5], i, 0) == doubles[i]);
        for (size_t i = 0; i < ch_pg_count(rows[6]); i++)
            assert_true(ch_str_eq(ch_pg_get_str(rows[6], i, 0), byteas[i]));
        for (size_t i = 0; i < ch_pg_count(rows[0]); i++)
            assert_int_equal(ch_pg_get_int(rows[0], i, 0), int4s[i]);
        for (size_t i = 0; i < ch_pg_count(rows[1]); i++)
            assert_true(ch_pg_get_int(rows[1], i, 0) == int8s[i]);
        for (size_t i = 0; i < ch_pg_count(rows[2]); i++)
            assert_true(ch_uuid_eq(ch_pg_get_uuid(rows[2], i, 0), uuids[i]));
        for (size_t i = 0; i < ch_pg_count(rows[3]); i++) {
            assert_true(ch_str_eq(ch_pg_get_str(rows[3], i, 0), texts[i]));
            assert_int_equal(ch_pg_is_null(rows[3], i, 0), texts[i].data == NULL);
        }
        for (size_t i = 0; i < ch_pg_count(rows[4]); i++)
            assert_true(ch_pg_get_time(rows[4], i, 0) == times[i]);
        for (int i = 0; i < 7; i++)
            ch_pg_rows_free(rows[i]);
    }
    ctx_close(&ctx);
}

static void test_pg_values__arrays_come_back(void **state)
{
    (void)state;
    pg_test(arrays_fiber, &options);
}

static void kinds_fiber(void *arg)
{
    struct ch_ctx ctx = ctx_open(MS(5000));
    struct ch_pg_rows *rows CH_PG_ROWS = NULL, *json CH_PG_ROWS = NULL;
    struct ch_pg_args args;

    (void)arg;
    rows = run(&ctx, Q_KINDS, NULL, 1);
    assert_int_equal(ch_pg_get_int(rows, 0, 0), 7);
    assert_true(ch_pg_get_double(rows, 0, 1) == 1.5);
    assert_true(ch_str_is(ch_pg_get_str(rows, 0, 2), "v"));
    assert_true(ch_str_is(ch_pg_get_str(rows, 0, 3), "n"));
    assert_int_equal(ch_pg_get_name(rows, 0, 2, (const char *const[]){"n", "v", NULL}), 1);
    assert_int_equal(ch_pg_get_name(rows, 0, 2, (const char *const[]){"n", "w", NULL}), 0);
    assert_true(ch_str_is(ch_pg_get_str(rows, 0, 4), "{\"a\":1}"));
    assert_true(ch_str_is(ch_pg_get_str(rows, 0, 5), "b "));
    assert_int_equal(ch_pg_affected(rows), 1);
    ch_pg_args_init(&args, &ctx);
    ch_pg_text(&args, CH_STR("{\"과일\": [1, null]}"));
    json = run(&ctx, Q_JSONB, &args, 1);
    assert_true(ch_str_is(ch_pg_copy_str(json, 0, 0, ctx.arena), "{\"과일\": [1, null]}"));
    assert_true(ch_pg_get_time(json, 0, 1) == 1795412400123456);
    assert_true(ch_pg_get_time(json, 0, 2) == INT64_MAX);
    ctx_close(&ctx);
}

static void test_pg_values__kinds_are_read(void **state)
{
    (void)state;
    pg_test(kinds_fiber, &options);
}

/* True when reading the cell so ends the process; done in a child. */
static bool aborts(void (*read_cell)(const struct ch_pg_rows *), const struct ch_pg_rows *rows)
{
    int status;
    pid_t pid = fork();

    if (pid == 0) {
        (void)signal(SIGABRT, SIG_DFL); /* cmocka's and sanitizers' handlers are not what is tested */
        (void)close(2);
        read_cell(rows);
        _exit(0);
    }
    return waitpid(pid, &status, 0) == pid && WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT;
}

static void read_text_as_int(const struct ch_pg_rows *rows)
{
    (void)ch_pg_get_int(rows, 0, 2);
}

static void read_null_text_as_uuid(const struct ch_pg_rows *rows)
{
    (void)ch_pg_get_uuid(rows, 0, 6);
}

static void read_int_as_str(const struct ch_pg_rows *rows)
{
    (void)ch_pg_get_str(rows, 0, 0);
}

static void read_past_columns(const struct ch_pg_rows *rows)
{
    (void)ch_pg_get_int(rows, 0, 7);
}

static void read_past_rows(const struct ch_pg_rows *rows)
{
    (void)ch_pg_get_int(rows, 1, 0);
}

static void read_right(const struct ch_pg_rows *rows)
{
    (void)ch_pg_get_int(rows, 0, 0);
}

static void mistakes_fiber(void *arg)
{
    struct ch_ctx ctx = ctx_open(MS(5000));
    struct ch_pg_rows *rows CH_PG_ROWS = NULL;

    (void)arg;
    rows = run(&ctx, Q_KINDS, NULL, 1);
    assert_true(aborts(read_text_as_int, rows));
    assert_true(aborts(read_null_text_as_uuid, rows));
    assert_true(aborts(read_int_as_str, rows));
    assert_true(aborts(read_past_columns, rows));
    assert_true(aborts(read_past_rows, rows));
    assert_false(aborts(read_right, rows));
    ctx_close(&ctx);
}

static void test_pg_values__wrong_getters_abort(void **state)
{
    (void)state;
    pg_test(mistakes_fiber, &options);
}

static void broken_fiber(void *arg)
{
    struct ch_ctx ctx = ctx_open(MS(5000));
    struct ch_arena *small = ch_arena_new(4096);
    struct ch_pg_args args;
    static char large[64 * 1024];

    (void)arg;
    ch_pg_args_init_arena(&args, small);
    ch_pg_text(&args, (struct ch_str){large, sizeof(large)});
    assert_true(args.is_broken);
    assert_int_equal(ch_pg_run_wait(&ctx, Q_JSONB, &args, NULL), CH_ERR_NO_MEMORY);
    ch_pg_args_init(&args, &ctx);
    for (int i = 0; i <= CH_PG_ARGS_MAX; i++)
        ch_pg_bool(&args, true);
    assert_true(args.is_broken);
    assert_int_equal(ch_pg_run_wait(&ctx, Q_JSONB, &args, NULL), CH_ERR_NO_MEMORY);
    ch_arena_free(small);
    ctx_close(&ctx);
}

static void test_pg_values__short_memory_is_an_error(void **state)
{
    (void)state;
    pg_test(broken_fiber, &options);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pg_values__scalars_come_back),
        cmocka_unit_test(test_pg_values__nulls_come_back),
        cmocka_unit_test(test_pg_values__arrays_come_back),
        cmocka_unit_test(test_pg_values__kinds_are_read),
        cmocka_unit_test(test_pg_values__wrong_getters_abort),
        cmocka_unit_test(test_pg_values__short_memory_is_an_error),
    };

    options.uri = server.uri;
    return cmocka_run_group_tests(tests, server_setup, server_teardown);
}
