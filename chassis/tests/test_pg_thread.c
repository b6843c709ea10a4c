// SPDX-License-Identifier: Apache-2.0
/* The blocking connection for threads: the same values and errors, transactions, deadlines, a server that goes away. */
#include "pg_fixture.h"

enum { Q_ADD, Q_FIND, Q_SLEEP, Q_PID, Q_BIG, Q_COUNT };

static const struct ch_query queries[] = {
    [Q_ADD] = {"add", "INSERT INTO t (id, note) VALUES ($1::int8, $2::text)", true},
    [Q_FIND] = {"find", "SELECT note FROM t WHERE id = $1::int8", false},
    [Q_SLEEP] = {"sleep", "SELECT pg_sleep($1::int8 / 1000.0)", true},
    [Q_PID] = {"pid", "SELECT pg_backend_pid()", false},
    [Q_BIG] = {"big", "SELECT length($1::text)", false},
    [Q_COUNT] = {0},
};
static const struct ch_query bad_queries[] = {{"bad", "SELECT there_is_none", false}, {0}};
static struct ch_pgt_options options = {
    .queries = queries, .application_name = "thread", .statement_timeout_ns = MS(2000)};
static struct ch_arena *arena;

static int64_t soon(void)
{
    return ch_now_ns() + MS(5000);
}

static int open_arena(void **state)
{
    (void)state;
    arena = ch_arena_new(16 << 20);
    return arena ? 0 : -1;
}

static int close_arena(void **state)
{
    (void)state;
    ch_arena_free(arena);
    return 0;
}

static struct ch_pgt *open_pgt(void)
{
    struct ch_pgt *pgt = NULL;

    options.uri = server.uri;
    assert_int_equal(ch_pgt_open(&options, soon(), &pgt), CH_OK);
    return pgt;
}

static enum ch_err add(struct ch_pgt *pgt, int64_t id, const char *note)
{
    struct ch_pg_args args;

    ch_pg_args_init_arena(&args, arena);
    ch_pg_int8(&args, id);
    ch_pg_text(&args, ch_str_of(note));
    return ch_pgt_exec(pgt, Q_ADD, &args, soon(), NULL);
}

static enum ch_err run_int(struct ch_pgt *pgt, int query, int64_t value, int64_t deadline_ns,
                           struct ch_pg_rows **ret_rows)
{
    struct ch_pg_args args;

    ch_pg_args_init_arena(&args, arena);
    ch_pg_int8(&args, value);
    return ch_pgt_exec(pgt, query, &args, deadline_ns, ret_rows);
}

static void test_pg_thread__runs_statements(void **state)
{
    struct ch_pgt *pgt = open_pgt();
    struct ch_pg_rows *rows CH_PG_ROWS = NULL;

    (void)state;
    assert_int_equal(add(pgt, 1, "햇사과"), CH_OK);
    assert_int_equal(add(pgt, 1, "again"), CH_ERR_DUPLICATE);
    assert_int_equal(add(pgt, 2, NULL), CH_ERR_CONFLICT); /* not null */
    assert_int_equal(run_int(pgt, Q_FIND, 1, soon(), &rows), CH_OK);
    assert_int_equal(ch_pg_count(rows), 1);
    assert_true(ch_str_is(ch_pg_get_str(rows, 0, 0), "햇사과"));
    ch_pgt_close(pgt);
    ch_pgt_close(NULL);
}

static void test_pg_thread__has_transactions(void **state)
{
    struct ch_pgt *pgt = open_pgt();
    struct ch_pg_rows *rows CH_PG_ROWS = NULL;

    (void)state;
    assert_int_equal(ch_pgt_begin(pgt, soon()), CH_OK);
    assert_int_equal(add(pgt, 10, "x"), CH_OK);
    assert_int_equal(ch_pgt_commit(pgt, soon()), CH_OK);
    assert_int_equal(ch_pgt_begin(pgt, soon()), CH_OK);
    assert_int_equal(add(pgt, 11, "x"), CH_OK);
    assert_int_equal(ch_pgt_rollback(pgt, soon()), CH_OK);
    assert_int_equal(ch_pgt_begin(pgt, soon()), CH_OK);
    assert_int_equal(add(pgt, 12, "x"), CH_OK);
    assert_int_equal(add(pgt, 10, "x"), CH_ERR_DUPLICATE);
    assert_int_equal(ch_pgt_commit(pgt, soon()), CH_ERR_CONFLICT);
    for (int id = 10; id <= 12; id++) {
        assert_int_equal(run_int(pgt, Q_FIND, id, soon(), &rows), CH_OK);
        assert_int_equal(ch_pg_count(rows), id == 10);
        ch_pg_rows_free(rows);
        rows = NULL;
    }
    ch_pgt_close(pgt);
}

static void test_pg_thread__large_arguments_leave(void **state)
{
    struct ch_pgt *pgt = open_pgt();
    struct ch_pg_rows *rows CH_PG_ROWS = NULL;
    struct ch_pg_args args;
    size_t len = 6 << 20;
    char *large = malloc(len);

    (void)state;
    memset(large, 'x', len);
    ch_pg_args_init_arena(&args, arena);
    ch_pg_text(&args, (struct ch_str){large, len});
    assert_int_equal(ch_pgt_exec(pgt, Q_BIG, &args, soon(), &rows), CH_OK);
    assert_int_equal(ch_pg_get_int(rows, 0, 0), len);
    free(large);
    ch_pgt_close(pgt);
}

static void test_pg_thread__keeps_deadlines(void **state)
{
    struct ch_pgt *pgt = open_pgt();
    int64_t start_ns = ch_now_ns();

    (void)state;
    assert_int_equal(run_int(pgt, Q_SLEEP, 1000, start_ns + MS(50), NULL), CH_ERR_DEADLINE);
    assert_in_range(ch_now_ns() - start_ns, MS(45), MS(300));
    assert_int_equal(run_int(pgt, Q_FIND, 1, soon(), NULL),
                     CH_ERR_UNAVAILABLE); /* closed: its answers are out of step */
    ch_pgt_close(pgt);
    pgt = open_pgt();
    assert_int_equal(run_int(pgt, Q_SLEEP, 5000, soon(), NULL), CH_ERR_UNAVAILABLE); /* the server's limit */
    assert_int_equal(run_int(pgt, Q_FIND, 1, soon(), NULL), CH_OK);
    ch_pgt_close(pgt);
}

static void test_pg_thread__notices_a_lost_server(void **state)
{
    struct ch_pgt *pgt = open_pgt();
    struct ch_pgt *other = NULL;

    (void)state;
    pg_server_halt(&server, SIGQUIT);
    assert_int_equal(run_int(pgt, Q_FIND, 1, soon(), NULL), CH_ERR_UNAVAILABLE);
    assert_int_equal(ch_pgt_begin(pgt, soon()), CH_ERR_UNAVAILABLE);
    ch_pgt_close(pgt);
    assert_int_equal(ch_pgt_open(&options, soon(), &other), CH_ERR_UNAVAILABLE);
    assert_null(other);
    assert_int_equal(pg_server_launch(&server), 0);
    pgt = open_pgt();
    assert_int_equal(run_int(pgt, Q_FIND, 1, soon(), NULL), CH_OK);
    ch_pgt_close(pgt);
}

static void test_pg_thread__a_bad_statement_does_not_open(void **state)
{
    struct ch_pgt_options bad = options;
    struct ch_pgt *pgt = NULL;

    (void)state;
    bad.uri = server.uri;
    bad.queries = bad_queries;
    assert_int_equal(ch_pgt_open(&bad, soon(), &pgt), CH_ERR_INTERNAL);
    assert_null(pgt);
}

static int setup(void **state)
{
    if (server_setup(state))
        return -1;
    admin("CREATE TABLE t (id int8 PRIMARY KEY, note text NOT NULL)");
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_pg_thread__runs_statements, open_arena, close_arena),
        cmocka_unit_test_setup_teardown(test_pg_thread__has_transactions, open_arena, close_arena),
        cmocka_unit_test_setup_teardown(test_pg_thread__large_arguments_leave, open_arena, close_arena),
        cmocka_unit_test_setup_teardown(test_pg_thread__keeps_deadlines, open_arena, close_arena),
        cmocka_unit_test_setup_teardown(test_pg_thread__notices_a_lost_server, open_arena, close_arena),
        cmocka_unit_test_setup_teardown(test_pg_thread__a_bad_statement_does_not_open, open_arena, close_arena),
    };

    return cmocka_run_group_tests(tests, setup, server_teardown);
}
