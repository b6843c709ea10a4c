// SPDX-License-Identifier: Apache-2.0
/*
 * Many fibers read, write and commit while backends die, fibers are cancelled and deadlines pass. Whatever happens: an
 * answer is the asker's own, what was acknowledged is stored, a transaction is whole or not there, and afterwards the
 * pool is as good as new. Finds what the single cases do not: hand-overs that meet a break, answers that nobody waits
 * for.
 */
#include "pg_fixture.h"

enum { Q_ECHO, Q_ADD, Q_NAP, Q_COUNT };

static const struct ch_query queries[] = {
    [Q_ECHO] = {"echo", "SELECT $1::int8", false},
    [Q_ADD] = {"add", "INSERT INTO c (id, tx) VALUES ($1::int8, $2::int8)", true},
    [Q_NAP] = {"nap", "SELECT pg_sleep(0.02)", true},
    [Q_COUNT] = {0},
};
static struct ch_pg_options options = {.queries = queries,
                                       .readers = 2,
                                       .writers = 3,
                                       .waiting_max = 40,
                                       .statement_timeout_ns = MS(300),
                                       .application_name = "chaos"};

#define WORKERS   100
#define CHAOS_MS  1500
#define ACKED_MAX 200000

static struct worker {
    struct ch_fiber *fiber; /* NULL: has ended */
    unsigned seed;
} workers[WORKERS];
static int left;
static int64_t next_id = 1, end_ns;
static int64_t acked[ACKED_MAX];
static size_t acked_count;
static long results[CH_ERR_COUNT];

static enum ch_err echo(struct ch_ctx *ctx, int64_t value)
{
    struct ch_pg_rows *rows CH_PG_ROWS = NULL;
    struct ch_pg_args args;
    enum ch_err err;

    ch_pg_args_init(&args, ctx);
    ch_pg_int8(&args, value);
    err = ch_pg_run_wait(ctx, Q_ECHO, &args, &rows);
    if (!err && ch_pg_get_int(rows, 0, 0) != value)
        abort(); /* somebody else's answer */
    return err;
}

static struct ch_pg_args *add_args(struct ch_ctx *ctx, int64_t id, int64_t tx)
{
    struct ch_pg_args *args = ch_arena_alloc(ctx->arena, sizeof(*args));

    ch_pg_args_init(args, ctx);
    ch_pg_int8(args, id);
    ch_pg_int8(args, tx);
    return args;
}

static enum ch_err add(struct ch_ctx *ctx, int64_t id)
{
    return ch_pg_run_wait(ctx, Q_ADD, add_args(ctx, id, -id), NULL);
}

/* Three rows of one transaction, in one of several ways to get there. */
static enum ch_err add_three(struct ch_ctx *ctx, int64_t id, unsigned how)
{
    struct ch_tx tx CH_TX = {0};
    enum ch_err err = ch_tx_begin_wait(ctx, &tx);

    if (err)
        return err;
    err = how & 1 ? ch_tx_send(&tx, Q_ADD, add_args(ctx, id, id))
                  : ch_tx_run_wait(&tx, Q_ADD, add_args(ctx, id, id), NULL);
    if (!err && how & 2)
        err = ch_tx_run_wait(&tx, Q_NAP, NULL, NULL);
    if (!err)
        err = ch_tx_send(&tx, Q_ADD, add_args(ctx, id + 1, id));
    if (!err && how & 4)
        return CH_ERR_CONFLICT; /* thinks better of it; the cleanup rolls back */
    if (!err && how & 8)
        err = ch_sleep_wait(ch_now_ns() + MS(1));
    if (!err)
        err = ch_tx_send(&tx, Q_ADD, add_args(ctx, how & 16 ? id : id + 2, id)); /* 16: a duplicate, found at commit */
    return err ? err : ch_tx_commit_wait(&tx);
}

static void acknowledge(int64_t id, int count)
{
    for (int i = 0; i < count && acked_count < ACKED_MAX; i++)
        acked[acked_count++] = id + i;
}

static void worker_fiber(void *arg)
{
    struct worker *worker = arg;
    struct ch_ctx ctx = ctx_open(MS(1000));

    worker->fiber = ch_fiber_current();
    while (ch_now_ns() < end_ns) {
        unsigned dice = (unsigned)rand_r(&worker->seed);
        int64_t id = next_id;
        enum ch_err err;

        next_id += 3;
        ch_arena_reset(ctx.arena);
        ctx.deadline_ns = ch_now_ns() + (dice % 7 == 0 ? MS(1) / 4 * (dice % 11) : MS(1000));
        switch (dice / 128 % 4) {
        case 0:
        case 1:
            err = echo(&ctx, id);
            break;
        case 2:
            err = add(&ctx, id);
            acknowledge(id, err ? 0 : 1);
            break;
        default:
            err = add_three(&ctx, id, dice >> 12);
            acknowledge(id, err ? 0 : 3);
        }
        results[err]++;
        if (err == CH_ERR_UNAVAILABLE || err == CH_ERR_OVERLOADED)
            (void)!ch_sleep_wait(ch_now_ns() + MS(2)); /* as callers do; a cancel that ends it is fine */
    }
    ctx_close(&ctx);
    worker->fiber = NULL;
    left--;
}

static bool all_done(void)
{
    return left == 0;
}

static void chaos_fiber(void *arg)
{
    PGconn *conn = PQconnectdb(server.uri);
    unsigned seed = 42;

    (void)arg;
    end_ns = ch_now_ns() + MS(CHAOS_MS);
    left = WORKERS;
    for (int i = 0; i < WORKERS; i++) {
        workers[i].seed = (unsigned)i * 7919 + 1;
        start(worker_fiber, &workers[i]);
    }
    while (ch_now_ns() < end_ns) {
        struct worker *victim = &workers[rand_r(&seed) % WORKERS];

        (void)!ch_sleep_wait(ch_now_ns() + MS(3));
        if (victim->fiber)
            ch_fiber_cancel(victim->fiber);
        if (rand_r(&seed) % 10 == 0)
            PQclear(PQexec(conn, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                                 "WHERE application_name = 'chaos' ORDER BY random() LIMIT 1"));
    }
    assert_true(eventually(all_done, ch_now_ns() + MS(5000)));
    PQfinish(conn);
    assert_true(eventually(pool_is_up, ch_now_ns() + MS(2000)));
}

static void after_fiber(void *arg)
{
    struct ch_ctx ctx;

    chaos_fiber(arg);
    ctx = ctx_open(MS(2000));
    for (int i = 0; i < 50; i++) { /* reads and writes alike, as if nothing had been */
        assert_int_equal(echo(&ctx, i), CH_OK);
        assert_int_equal(add(&ctx, 1000000000 + i), CH_OK);
    }
    ctx_close(&ctx);
}

static void test_pg_chaos__loses_and_mixes_nothing(void **state)
{
    char sql[128];
    PGconn *conn;
    PGresult *result;
    char *stored = calloc((size_t)ACKED_MAX * 10, 1);

    (void)state;
    pg_test(after_fiber, &options);
    for (int err = 0; err < CH_ERR_COUNT; err++)
        if (results[err])
            print_message("%-12s %ld\n", ch_err_row((enum ch_err)err)->id, results[err]);
    assert_true(results[CH_OK] > 100);
    (void)snprintf(sql, sizeof(sql),
                   "SELECT count(*) FROM (SELECT tx FROM c WHERE tx > 0 GROUP BY tx HAVING count(*) <> 3) AS broken");
    assert_string_equal(admin(sql), "0");
    conn = PQconnectdb(server.uri);
    result = PQexec(conn, "SELECT id FROM c");
    for (int i = 0; i < PQntuples(result); i++)
        if (atoll(PQgetvalue(result, i, 0)) < ACKED_MAX * 10)
            stored[atoll(PQgetvalue(result, i, 0))] = 1;
    PQclear(result);
    PQfinish(conn);
    for (size_t i = 0; i < acked_count; i++)
        if (acked[i] < ACKED_MAX * 10 && !stored[acked[i]])
            fail_msg("%lld was acknowledged and is not there", (long long)acked[i]);
    free(stored);
    assert_string_equal(admin("SELECT count(*) FROM pg_stat_activity WHERE state LIKE 'idle in transaction%'"), "0");
}

static int setup(void **state)
{
    if (server_setup(state))
        return -1;
    admin("CREATE TABLE c (id int8 PRIMARY KEY, tx int8 NOT NULL)");
    ch_log_set_level(CH_LOG_ERROR);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_pg_chaos__loses_and_mixes_nothing)};

    options.uri = server.uri;
    return cmocka_run_group_tests(tests, setup, server_teardown);
}
