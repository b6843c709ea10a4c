// SPDX-License-Identifier: Apache-2.0
/* Transactions against the real server: commit, roll back by cleanup, failures of statements sent ahead, cancel, loss.
 */
#include "pg_fixture.h"

enum { Q_ADD, Q_FIND, Q_SLEEP, Q_PID, Q_TXID, Q_COUNT };

static const struct ch_query queries[] = {
    [Q_ADD] = {"add", "INSERT INTO t (id, parent) VALUES ($1::int8, $2::int8)", true},
    [Q_FIND] = {"find", "SELECT id FROM t WHERE id = $1::int8", false},
    [Q_SLEEP] = {"sleep", "SELECT pg_sleep($1::int8 / 1000.0)", true},
    [Q_PID] = {"pid", "SELECT pg_backend_pid()", false},
    [Q_TXID] = {"txid", "SELECT pg_current_xact_id_if_assigned() IS NOT NULL", false},
    [Q_COUNT] = {0},
};
static struct ch_pg_options options = {.queries = queries,
                                       .readers = 1,
                                       .writers = 1,
                                       .waiting_max = 3,
                                       .statement_timeout_ns = MS(3000),
                                       .application_name = "tx"};

static struct ch_pg_args *ints(struct ch_ctx *ctx, int64_t first, int64_t second)
{
    struct ch_pg_args *args = ch_arena_alloc(ctx->arena, sizeof(*args));

    ch_pg_args_init(args, ctx);
    ch_pg_int8(args, first);
    if (second)
        ch_pg_int8(args, second);
    return args;
}

static bool exists(struct ch_ctx *ctx, int64_t id)
{
    struct ch_pg_rows *rows CH_PG_ROWS = NULL;

    assert_int_equal(ch_pg_run_wait(ctx, Q_FIND, ints(ctx, id, 0), &rows), CH_OK);
    return ch_pg_count(rows) == 1;
}

static struct ch_ctx the_ctx;

/* Runs the body with a context; afterwards the one writer must be usable again, outside of any transaction. */
static void body_run(void *arg)
{
    void (*body)(struct ch_ctx *) = *(void (**)(struct ch_ctx *))arg;

    the_ctx = ctx_open(MS(5000));
    body(&the_ctx);
    the_ctx.deadline_ns = ch_now_ns() + MS(5000);
    assert_int_equal(ch_pg_run_wait(&the_ctx, Q_SLEEP, ints(&the_ctx, 0, 0), NULL), CH_OK);
    ctx_close(&the_ctx);
}

static void (*the_body)(struct ch_ctx *);
static void body_fiber(void *arg)
{
    (void)arg;
    body_run(&the_body);
}

static void tx_test(void (*body)(struct ch_ctx *))
{
    the_body = body;
    pg_test(body_fiber, &options);
    assert_string_equal(admin("SELECT count(*) FROM pg_stat_activity WHERE state LIKE 'idle in transaction%'"), "0");
}

/* ---- commit and roll back ---- */

static void commits(struct ch_ctx *ctx)
{
    struct ch_tx tx CH_TX = {0};
    struct ch_pg_rows *rows CH_PG_ROWS = NULL, *writer CH_PG_ROWS = NULL, *reader CH_PG_ROWS = NULL;

    assert_int_equal(ch_tx_begin_wait(ctx, &tx), CH_OK);
    assert_int_equal(ch_tx_run_wait(&tx, Q_ADD, ints(ctx, 1, 1), &rows), CH_OK);
    assert_int_equal(ch_pg_affected(rows), 1);
    ch_pg_rows_free(rows);
    rows = NULL;
    assert_int_equal(ch_tx_run_wait(&tx, Q_FIND, ints(ctx, 1, 0), &rows), CH_OK); /* a :read sees its own transaction */
    assert_int_equal(ch_pg_count(rows), 1);
    assert_false(exists(ctx, 1)); /* others do not yet */
    assert_int_equal(ch_tx_run_wait(&tx, Q_PID, NULL, &writer), CH_OK);
    assert_int_equal(ch_pg_run_wait(ctx, Q_PID, NULL, &reader), CH_OK);
    assert_true(ch_pg_get_int(writer, 0, 0) != ch_pg_get_int(reader, 0, 0));
    assert_int_equal(ch_tx_commit_wait(&tx), CH_OK);
    assert_true(exists(ctx, 1));
    assert_int_equal(ch_tx_run_wait(&tx, Q_FIND, ints(ctx, 1, 0), NULL), CH_ERR_UNAVAILABLE); /* it has ended */
}

static void test_pg_tx__commits(void **state)
{
    (void)state;
    tx_test(commits);
}

static void sends(struct ch_ctx *ctx)
{
    struct ch_tx tx CH_TX = {0};

    assert_int_equal(ch_tx_begin_wait(ctx, &tx), CH_OK);
    for (int i = 10; i < 110; i++)
        assert_int_equal(ch_tx_send(&tx, Q_ADD, ints(ctx, i, i)), CH_OK);
    assert_int_equal(ch_tx_commit_wait(&tx), CH_OK);
    assert_true(exists(ctx, 10) && exists(ctx, 109));
}

static void test_pg_tx__sends_ahead(void **state)
{
    (void)state;
    tx_test(sends);
}

static void leave_open(struct ch_ctx *ctx, int64_t id)
{
    struct ch_tx tx CH_TX = {0};

    assert_int_equal(ch_tx_begin_wait(ctx, &tx), CH_OK);
    assert_int_equal(ch_tx_run_wait(&tx, Q_ADD, ints(ctx, id, id), NULL), CH_OK);
    assert_int_equal(ch_tx_send(&tx, Q_ADD, ints(ctx, id + 1, id)), CH_OK); /* not even sent yet */
}

static void cleans_up(struct ch_ctx *ctx)
{
    struct ch_tx again CH_TX = {0};
    struct ch_pg_rows *rows CH_PG_ROWS = NULL;

    leave_open(ctx, 200);
    assert_int_equal(ch_tx_begin_wait(ctx, &again), CH_OK); /* waits for the roll back: the pool has one writer */
    assert_int_equal(ch_tx_run_wait(&again, Q_TXID, NULL, &rows), CH_OK);
    assert_false(ch_pg_get_bool(rows, 0, 0));
    assert_int_equal(ch_tx_commit_wait(&again), CH_OK);
    assert_false(exists(ctx, 200) || exists(ctx, 201));
}

static void test_pg_tx__cleanup_rolls_back(void **state)
{
    (void)state;
    tx_test(cleans_up);
}

static void does_nothing(struct ch_ctx *ctx)
{
    struct ch_tx tx CH_TX = {0}, unused CH_TX = {0};

    assert_int_equal(ch_tx_begin_wait(ctx, &unused), CH_OK);
    ch_tx_cleanup(&unused);
    assert_int_equal(ch_tx_begin_wait(ctx, &tx), CH_OK);
    assert_int_equal(ch_tx_commit_wait(&tx), CH_OK);
}

static void test_pg_tx__empty_ones_cost_nothing(void **state)
{
    (void)state;
    tx_test(does_nothing);
}

/* ---- failures ---- */

static void run_fails(struct ch_ctx *ctx)
{
    struct ch_tx tx CH_TX = {0};

    assert_int_equal(ch_tx_begin_wait(ctx, &tx), CH_OK);
    assert_int_equal(ch_tx_run_wait(&tx, Q_ADD, ints(ctx, 300, 300), NULL), CH_OK);
    assert_int_equal(ch_tx_run_wait(&tx, Q_ADD, ints(ctx, 300, 300), NULL), CH_ERR_DUPLICATE);
    assert_true(tx.is_failed);
    assert_string_equal(ch_pg_constraint(ctx), "t_pkey");
    assert_int_equal(ch_tx_run_wait(&tx, Q_FIND, ints(ctx, 300, 0), NULL), CH_ERR_DUPLICATE);
    assert_int_equal(ch_tx_send(&tx, Q_ADD, ints(ctx, 301, 301)), CH_ERR_DUPLICATE);
    assert_int_equal(ch_tx_commit_wait(&tx), CH_ERR_DUPLICATE);
    assert_false(exists(ctx, 300));
}

static void test_pg_tx__a_failed_statement_fails_all(void **state)
{
    (void)state;
    tx_test(run_fails);
}

static void send_fails(struct ch_ctx *ctx)
{
    struct ch_tx tx CH_TX = {0}, second CH_TX = {0};

    assert_int_equal(ch_tx_begin_wait(ctx, &tx), CH_OK);
    assert_int_equal(ch_tx_send(&tx, Q_ADD, ints(ctx, 310, 310)), CH_OK);
    assert_int_equal(ch_tx_send(&tx, Q_ADD, ints(ctx, 310, 310)), CH_OK);
    assert_int_equal(ch_tx_send(&tx, Q_ADD, ints(ctx, 311, 311)), CH_OK);
    assert_int_equal(ch_tx_commit_wait(&tx), CH_ERR_DUPLICATE);
    assert_string_equal(ch_pg_constraint(ctx), "t_pkey");
    ch_tx_cleanup(&tx);
    assert_int_equal(ch_tx_begin_wait(ctx, &second), CH_OK);
    assert_int_equal(ch_tx_send(&second, Q_ADD, ints(ctx, 312, 312)), CH_OK);
    assert_int_equal(ch_tx_send(&second, Q_ADD, ints(ctx, 312, 312)), CH_OK);
    assert_int_equal(ch_tx_run_wait(&second, Q_FIND, ints(ctx, 312, 0), NULL), CH_ERR_DUPLICATE);
    ch_tx_cleanup(&second);
    assert_false(exists(ctx, 310) || exists(ctx, 312));
}

static void test_pg_tx__a_failure_of_a_send_shows_later(void **state)
{
    (void)state;
    tx_test(send_fails);
}

static void commit_fails(struct ch_ctx *ctx)
{
    struct ch_tx tx CH_TX = {0};

    assert_int_equal(ch_tx_begin_wait(ctx, &tx), CH_OK);
    assert_int_equal(ch_tx_run_wait(&tx, Q_ADD, ints(ctx, 320, 9999), NULL), CH_OK); /* deferred foreign key */
    assert_int_equal(ch_tx_commit_wait(&tx), CH_ERR_CONFLICT);
    assert_string_equal(ch_pg_constraint(ctx), "t_parent_fk");
    ch_tx_cleanup(&tx);
    assert_false(exists(ctx, 320));
}

static void test_pg_tx__commit_may_fail(void **state)
{
    (void)state;
    tx_test(commit_fails);
}

static void sends_too_much(struct ch_ctx *ctx)
{
    struct ch_tx tx CH_TX = {0};
    enum ch_err err = CH_OK;
    int count = 0;

    assert_int_equal(ch_tx_begin_wait(ctx, &tx), CH_OK);
    while (!err && count < 5000) {
        err = ch_tx_send(&tx, Q_ADD, ints(ctx, 1000 + count, 1000));
        count++;
    }
    assert_int_equal(err, CH_ERR_OVERLOADED);
    assert_in_range(count, 400, 600);
    assert_int_equal(ch_tx_commit_wait(&tx), CH_ERR_OVERLOADED);
    ch_tx_cleanup(&tx);
    assert_false(exists(ctx, 1000));
}

static void test_pg_tx__sends_are_bounded(void **state)
{
    (void)state;
    tx_test(sends_too_much);
}

/* ---- leaving early ---- */

static void misses_deadline(struct ch_ctx *ctx)
{
    struct ch_tx tx CH_TX = {0};
    int64_t start_ns;

    assert_int_equal(ch_tx_begin_wait(ctx, &tx), CH_OK);
    assert_int_equal(ch_tx_run_wait(&tx, Q_ADD, ints(ctx, 400, 400), NULL), CH_OK);
    start_ns = ch_now_ns();
    ctx->deadline_ns = start_ns + MS(50);
    assert_int_equal(ch_tx_run_wait(&tx, Q_SLEEP, ints(ctx, 300, 0), NULL), CH_ERR_DEADLINE);
    ch_tx_cleanup(&tx);
    assert_in_range(ch_now_ns() - start_ns, MS(40), MS(200)); /* the cleanup did not wait */
    ctx->deadline_ns = ch_now_ns() + MS(5000);
    assert_int_equal(ch_pg_run_wait(ctx, Q_SLEEP, ints(ctx, 0, 0), NULL), CH_OK); /* after the drain */
    assert_in_range(ch_now_ns() - start_ns, MS(290), MS(1000));
    assert_false(exists(ctx, 400));
}

static void test_pg_tx__drains_after_a_deadline(void **state)
{
    (void)state;
    tx_test(misses_deadline);
}

static struct ch_fiber *victim;
static enum ch_err victim_result;
static bool is_victim_gone;

static void victim_fiber(void *arg)
{
    struct ch_ctx ctx = ctx_open(MS(5000));

    (void)arg;
    victim = ch_fiber_current();
    {
        struct ch_tx tx CH_TX = {0};

        victim_result = ch_tx_begin_wait(&ctx, &tx);
        if (!victim_result)
            victim_result = ch_tx_run_wait(&tx, Q_ADD, ints(&ctx, 410, 410), NULL);
        if (!victim_result)
            victim_result = ch_tx_run_wait(&tx, Q_SLEEP, ints(&ctx, 10000, 0), NULL);
    }
    ctx_close(&ctx);
    is_victim_gone = true;
}

static bool victim_is_gone(void)
{
    return is_victim_gone;
}

/* The server ends the statement at its limit, a little before ours: then the connection is back. */
static void is_cancelled(struct ch_ctx *ctx)
{
    int64_t start_ns;

    is_victim_gone = false;
    start(victim_fiber, NULL);
    (void)!ch_sleep_wait(ch_now_ns() + MS(50));
    start_ns = ch_now_ns();
    ch_fiber_cancel(victim);
    assert_true(eventually(victim_is_gone, start_ns + MS(100)));
    assert_int_equal(victim_result, CH_ERR_CANCELLED);
    ctx->deadline_ns = ch_now_ns() + MS(5000);
    assert_int_equal(ch_pg_run_wait(ctx, Q_SLEEP, ints(ctx, 0, 0), NULL), CH_OK);
    assert_false(exists(ctx, 410));
}

static void test_pg_tx__cancel_rolls_back(void **state)
{
    (void)state;
    tx_test(is_cancelled);
}

static bool pool_is_down(void)
{
    return !ch_pg_is_up(pg);
}

static void loses_connection(struct ch_ctx *ctx)
{
    struct ch_tx tx CH_TX = {0};
    struct ch_pg_rows *rows CH_PG_ROWS = NULL;
    char sql[80];

    assert_int_equal(ch_tx_begin_wait(ctx, &tx), CH_OK);
    assert_int_equal(ch_tx_send(&tx, Q_ADD, ints(ctx, 420, 420)), CH_OK);
    assert_int_equal(ch_tx_run_wait(&tx, Q_PID, NULL, &rows), CH_OK);
    (void)snprintf(sql, sizeof(sql), "SELECT pg_terminate_backend(%d)", (int)ch_pg_get_int(rows, 0, 0));
    admin(sql);
    assert_int_equal(ch_tx_run_wait(&tx, Q_ADD, ints(ctx, 421, 421), NULL), CH_ERR_UNAVAILABLE);
    assert_int_equal(ch_tx_commit_wait(&tx), CH_ERR_UNAVAILABLE);
    ch_tx_cleanup(&tx);
    assert_true(eventually(pool_is_down,
                           ch_now_ns() + MS(1000))); /* the end of the stream comes after the server's last words */
    assert_true(eventually(pool_is_up, ch_now_ns() + MS(1000)));
    assert_false(exists(ctx, 420));
}

static void test_pg_tx__a_lost_connection_is_unavailable(void **state)
{
    (void)state;
    tx_test(loses_connection);
}

static int setup(void **state)
{
    if (server_setup(state))
        return -1;
    admin("CREATE TABLE t (id int8 CONSTRAINT t_pkey PRIMARY KEY, parent int8, "
          "CONSTRAINT t_parent_fk FOREIGN KEY (parent) REFERENCES t DEFERRABLE INITIALLY DEFERRED)");
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pg_tx__commits),
        cmocka_unit_test(test_pg_tx__sends_ahead),
        cmocka_unit_test(test_pg_tx__cleanup_rolls_back),
        cmocka_unit_test(test_pg_tx__empty_ones_cost_nothing),
        cmocka_unit_test(test_pg_tx__a_failed_statement_fails_all),
        cmocka_unit_test(test_pg_tx__a_failure_of_a_send_shows_later),
        cmocka_unit_test(test_pg_tx__commit_may_fail),
        cmocka_unit_test(test_pg_tx__sends_are_bounded),
        cmocka_unit_test(test_pg_tx__drains_after_a_deadline),
        cmocka_unit_test(test_pg_tx__cancel_rolls_back),
        cmocka_unit_test(test_pg_tx__a_lost_connection_is_unavailable),
    };

    options.uri = server.uri;
    return cmocka_run_group_tests(tests, setup, server_teardown);
}
