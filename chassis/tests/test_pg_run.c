// SPDX-License-Identifier: Apache-2.0
/* Single statements against the real server: the shared pipeline of reads, exclusive writes, errors, deadlines, bounds.
 */
#include "pg_fixture.h"

enum { Q_ECHO, Q_RAISE, Q_SLEEP, Q_PID, Q_INSERT, Q_SLOW_WRITE, Q_READ_THAT_WRITES, Q_COUNT_T, Q_COUNT };

static const struct ch_query queries[] = {
    [Q_ECHO] = {"echo", "SELECT $1::int8", false},
    [Q_RAISE] = {"raise", "SELECT raise_state($1::text)", false},
    [Q_SLEEP] = {"sleep", "SELECT pg_sleep($1::int8 / 1000.0)", false},
    [Q_PID] = {"pid", "SELECT pg_backend_pid()", false},
    [Q_INSERT] = {"insert", "INSERT INTO t (id, parent, n) VALUES ($1::int8, $2::int8, $3::int8)", true},
    [Q_SLOW_WRITE] = {"slow_write", "SELECT pg_sleep($1::int8 / 1000.0)", true},
    [Q_READ_THAT_WRITES] = {"read_that_writes", "SELECT write_t()", false},
    [Q_COUNT_T] = {"count_t", "SELECT count(*) FROM t WHERE id = $1::int8", false},
    [Q_COUNT] = {0},
};
static struct ch_pg_options options = {.queries = queries,
                                       .readers = 1,
                                       .writers = 2,
                                       .waiting_max = 3,
                                       .statement_timeout_ns = MS(3000),
                                       .application_name = "run"};

static enum ch_err run_int(struct ch_ctx *ctx, int query, int64_t value, struct ch_pg_rows **ret_rows)
{
    struct ch_pg_args args;

    ch_pg_args_init(&args, ctx);
    ch_pg_int8(&args, value);
    return ch_pg_run_wait(ctx, query, &args, ret_rows);
}

static int64_t backend(struct ch_ctx *ctx)
{
    struct ch_pg_rows *rows CH_PG_ROWS = NULL;

    assert_int_equal(ch_pg_run_wait(ctx, Q_PID, NULL, &rows), CH_OK);
    return ch_pg_get_int(rows, 0, 0);
}

/* ---- errors ---- */

static const struct {
    const char *sqlstate;
    enum ch_err want;
} states[] = {
    {"23505", CH_ERR_DUPLICATE},   {"23503", CH_ERR_CONFLICT},    {"23514", CH_ERR_CONFLICT},
    {"23P01", CH_ERR_CONFLICT},    {"40001", CH_ERR_CONFLICT},    {"40P01", CH_ERR_CONFLICT},
    {"55P03", CH_ERR_CONFLICT},    {"57014", CH_ERR_UNAVAILABLE}, {"57P03", CH_ERR_UNAVAILABLE},
    {"53300", CH_ERR_UNAVAILABLE}, {"25006", CH_ERR_UNAVAILABLE}, {"22012", CH_ERR_INTERNAL},
    {"P0001", CH_ERR_INTERNAL},    {"42P01", CH_ERR_INTERNAL},
};

static void states_fiber(void *arg)
{
    struct ch_ctx ctx = ctx_open(MS(5000));

    (void)arg;
    for (size_t i = 0; i < sizeof(states) / sizeof(states[0]); i++) {
        struct ch_pg_rows *rows = NULL;
        struct ch_pg_args args;
        enum ch_err err;

        ch_pg_args_init(&args, &ctx);
        ch_pg_text(&args, ch_str_of(states[i].sqlstate));
        err = ch_pg_run_wait(&ctx, Q_RAISE, &args, &rows);
        if (err != states[i].want)
            fail_msg("%s became %d", states[i].sqlstate, err);
        assert_null(rows);
    }
    ctx_close(&ctx);
}

static void test_pg_run__maps_sqlstates(void **state)
{
    (void)state;
    pg_test(states_fiber, &options);
}

static enum ch_err insert(struct ch_ctx *ctx, int64_t id, int64_t parent, int64_t n)
{
    struct ch_pg_rows *rows CH_PG_ROWS = NULL;
    struct ch_pg_args args;
    enum ch_err err;

    ch_pg_args_init(&args, ctx);
    ch_pg_int8(&args, id);
    ch_pg_int8(&args, parent);
    ch_pg_int8(&args, n);
    err = ch_pg_run_wait(ctx, Q_INSERT, &args, &rows);
    if (!err)
        assert_int_equal(ch_pg_affected(rows), 1);
    return err;
}

static void constraints_fiber(void *arg)
{
    struct ch_ctx ctx = ctx_open(MS(5000));

    (void)arg;
    assert_int_equal(insert(&ctx, 1, 1, 1), CH_OK);
    assert_string_equal(ch_pg_constraint(&ctx), "");
    assert_int_equal(insert(&ctx, 1, 1, 1), CH_ERR_DUPLICATE);
    assert_string_equal(ch_pg_constraint(&ctx), "t_pkey");
    assert_int_equal(insert(&ctx, 2, 2, -1), CH_ERR_CONFLICT);
    assert_string_equal(ch_pg_constraint(&ctx), "t_n_positive");
    /* Deferred: fails at the commit that the Sync makes, after the statement itself was fine. */
    assert_int_equal(insert(&ctx, 3, 99, 1), CH_ERR_CONFLICT);
    assert_string_equal(ch_pg_constraint(&ctx), "t_parent_fk");
    assert_int_equal(insert(&ctx, 4, 1, 1), CH_OK);
    assert_int_equal(ch_pg_run_wait(&ctx, Q_READ_THAT_WRITES, NULL, NULL),
                     CH_ERR_UNAVAILABLE); /* 25006: readers are read-only */
    ctx_close(&ctx);
}

static void test_pg_run__names_the_constraint(void **state)
{
    (void)state;
    pg_test(constraints_fiber, &options);
}

/* ---- the shared pipeline ---- */

#define MANY 1000
static int left, failures;

struct reader {
    int64_t id;
    int reads;
    bool is_poison;
};

static void reader_fiber(void *arg)
{
    struct reader *reader = arg;
    struct ch_ctx ctx = ctx_open(MS(20000));

    for (int i = 0; i < reader->reads; i++) {
        struct ch_pg_rows *rows CH_PG_ROWS = NULL;
        struct ch_pg_args args;

        ch_arena_reset(ctx.arena);
        if (reader->is_poison) {
            ch_pg_args_init(&args, &ctx);
            ch_pg_text(&args, CH_STR("22012"));
            failures += ch_pg_run_wait(&ctx, Q_RAISE, &args, NULL) != CH_ERR_INTERNAL;
            continue;
        }
        if (run_int(&ctx, Q_ECHO, reader->id * 1000 + i, &rows))
            failures++;
        else if (ch_pg_get_int(rows, 0, 0) != reader->id * 1000 + i)
            failures++;
    }
    ctx_close(&ctx);
    left--;
}

static bool all_done(void)
{
    return left == 0;
}

static void many_fiber(void *arg)
{
    static struct reader readers[MANY];
    int poison_every = *(int *)arg;

    left = MANY;
    failures = 0;
    for (int i = 0; i < MANY; i++) {
        readers[i] = (struct reader){.id = i, .reads = 10, .is_poison = poison_every && i % poison_every == 3};
        if (poison_every)
            readers[i].reads = 1;
        start(reader_fiber, &readers[i]);
    }
    assert_true(eventually(all_done, ch_now_ns() + MS(20000)));
    assert_int_equal(failures, 0);
}

static int poison;
static void many_run(void *arg)
{
    (void)arg;
    many_fiber(&poison);
}

static void test_pg_run__many_fibers_share_one_connection(void **state)
{
    struct ch_pg_options wide = options;

    (void)state;
    wide.waiting_max = MANY; /* all come before the first connect has ended */
    poison = 0;
    pg_test(many_run, &wide);
}

static void test_pg_run__neighbours_of_a_failure_are_sent_again(void **state)
{
    struct ch_pg_options wide = options;

    (void)state;
    wide.waiting_max = MANY;
    poison = 50;
    pg_test(many_run, &wide);
}

static int overloaded, fine;

static void burst_one(void *arg)
{
    struct ch_ctx ctx = ctx_open(MS(5000));
    enum ch_err err = run_int(&ctx, Q_ECHO, 1, NULL);

    (void)arg;
    overloaded += err == CH_ERR_OVERLOADED;
    fine += err == CH_OK;
    ctx_close(&ctx);
    left--;
}

static void burst_fiber(void *arg)
{
    struct ch_ctx ctx = ctx_open(MS(5000));

    (void)arg;
    (void)backend(&ctx); /* connected */
    left = 1500;
    overloaded = fine = 0;
    /* Nothing is answered before the next turn, which starts when this fiber parks. */
    for (int i = 0; i < 1500; i++)
        start(burst_one, NULL);
    assert_true(eventually(all_done, ch_now_ns() + MS(5000)));
    assert_int_equal(overloaded + fine, 1500);
    assert_int_equal(run_int(&ctx, Q_ECHO, 1, NULL), CH_OK);
    ctx_close(&ctx);
}

static void test_pg_run__statements_in_flight_are_bounded(void **state)
{
    (void)state;
    pg_test(burst_fiber, &options);
}

/* ---- time ---- */

static void deadline_fiber(void *arg)
{
    struct ch_ctx ctx = ctx_open(MS(5000)), hasty = ctx_open(MS(5000));
    struct ch_pg_rows *rows CH_PG_ROWS = NULL;
    int64_t pid = backend(&ctx), start_ns = ch_now_ns();

    (void)arg;
    hasty.deadline_ns = start_ns + MS(50);
    assert_int_equal(run_int(&hasty, Q_SLEEP, 400, NULL), CH_ERR_DEADLINE);
    assert_in_range(ch_now_ns() - start_ns, MS(45), MS(200));
    assert_int_equal(run_int(&hasty, Q_ECHO, 1, NULL), CH_ERR_DEADLINE); /* already over: nothing is sent */
    /* The answer that nobody waits for is thrown away; this one gets its own. */
    assert_int_equal(run_int(&ctx, Q_ECHO, 77, &rows), CH_OK);
    assert_int_equal(ch_pg_get_int(rows, 0, 0), 77);
    assert_int_equal(backend(&ctx), pid);
    /* The same for a write; its connection is not used before the statement has ended. */
    hasty.deadline_ns = ch_now_ns() + MS(50);
    assert_int_equal(run_int(&hasty, Q_SLOW_WRITE, 300, NULL), CH_ERR_DEADLINE);
    assert_int_equal(insert(&ctx, 50, 50, 1), CH_OK);
    assert_int_equal(insert(&ctx, 51, 51, 1), CH_OK);
    ctx_close(&hasty);
    ctx_close(&ctx);
}

static void test_pg_run__a_deadline_leaves_no_trace(void **state)
{
    (void)state;
    pg_test(deadline_fiber, &options);
}

static void cap_fiber(void *arg)
{
    struct ch_ctx ctx = ctx_open(MS(20000));
    int64_t pid = backend(&ctx), start_ns = ch_now_ns();

    (void)arg;
    assert_int_equal(run_int(&ctx, Q_SLEEP, 10000, NULL), CH_ERR_UNAVAILABLE);
    assert_in_range(ch_now_ns() - start_ns, MS(300), MS(800));
    assert_int_equal(run_int(&ctx, Q_SLOW_WRITE, 10000, NULL), CH_ERR_UNAVAILABLE);
    assert_int_equal(backend(&ctx), pid); /* a slow statement does not cost the connection */
    ctx_close(&ctx);
}

static void test_pg_run__slow_statements_fail_alone(void **state)
{
    struct ch_pg_options strict = options;

    (void)state;
    strict.statement_timeout_ns = MS(400);
    pg_test(cap_fiber, &strict);
}

static struct ch_fiber *cancelled_fiber;
static enum ch_err cancelled_result;

static void to_cancel(void *arg)
{
    struct ch_ctx ctx = ctx_open(MS(5000));

    (void)arg;
    cancelled_fiber = ch_fiber_current();
    cancelled_result = run_int(&ctx, Q_SLEEP, 200, NULL);
    ctx_close(&ctx);
    left--;
}

static void cancel_fiber(void *arg)
{
    struct ch_ctx ctx = ctx_open(MS(5000));

    (void)arg;
    (void)backend(&ctx);
    left = 1;
    start(to_cancel, NULL);
    (void)!ch_sleep_wait(ch_now_ns() + MS(5)); /* it is in its wait then */
    ch_fiber_cancel(cancelled_fiber);
    assert_true(eventually(all_done, ch_now_ns() + MS(100)));
    assert_int_equal(cancelled_result, CH_ERR_CANCELLED);
    assert_int_equal(run_int(&ctx, Q_ECHO, 1, NULL), CH_OK);
    ctx_close(&ctx);
}

static void test_pg_run__cancel_ends_the_wait(void **state)
{
    (void)state;
    pg_test(cancel_fiber, &options);
}

/* ---- writers ---- */

static enum ch_err write_results[10];

static void slow_writer(void *arg)
{
    struct ch_ctx ctx = ctx_open(MS(5000));

    *(enum ch_err *)arg = run_int(&ctx, Q_SLOW_WRITE, 60, NULL);
    ctx_close(&ctx);
    left--;
}

static void queue_fiber(void *arg)
{
    struct ch_ctx ctx = ctx_open(MS(5000));
    int ok = 0, refused = 0;

    (void)arg;
    assert_true(eventually(pool_is_up, ch_now_ns() + MS(2000)));
    for (int i = 0; i < 2; i++)
        assert_int_equal(run_int(&ctx, Q_SLOW_WRITE, 1, NULL), CH_OK);
    (void)!ch_sleep_wait(ch_now_ns() + MS(50)); /* the second writer is connected */
    left = 10;
    for (int i = 0; i < 10; i++)
        start(slow_writer, &write_results[i]);
    assert_true(eventually(all_done, ch_now_ns() + MS(2000)));
    for (int i = 0; i < 10; i++) {
        ok += write_results[i] == CH_OK;
        refused += write_results[i] == CH_ERR_OVERLOADED;
    }
    assert_int_equal(ok, 5); /* two at once, three in the queue */
    assert_int_equal(refused, 5);
    ctx_close(&ctx);
}

static void test_pg_run__writers_queue_is_bounded(void **state)
{
    (void)state;
    pg_test(queue_fiber, &options);
}

/* ---- what is seen from outside ---- */

static struct ch_ctx *watched;

static void watched_fiber(void *arg)
{
    struct ch_ctx ctx = ctx_open(MS(5000));

    (void)arg;
    watched = &ctx;
    assert_int_equal(run_int(&ctx, Q_SLEEP, 30, NULL), CH_OK);
    watched = NULL;
    ctx_close(&ctx);
    left--;
}

static bool has_line(const struct ch_buf *text, const char *line)
{
    return memmem(text->data, text->len, line, strlen(line)) != NULL;
}

static void seen_fiber(void *arg)
{
    struct ch_ctx ctx = ctx_open(MS(5000));
    struct ch_buf text;

    (void)arg;
    (void)backend(&ctx);
    left = 1;
    start(watched_fiber, NULL);
    ch_fiber_yield();
    assert_non_null(watched);
    assert_string_equal(watched->step, "sleep");
    assert_true(eventually(all_done, ch_now_ns() + MS(1000)));
    assert_int_equal(insert(&ctx, 70, 70, 1), CH_OK);
    assert_int_equal(insert(&ctx, 70, 70, 1), CH_ERR_DUPLICATE);
    (void)!ch_sleep_wait(ch_now_ns() + MS(50)); /* both writers are connected */
    ch_buf_init(&text, 1 << 20);
    ch_metrics_write(&text);
    assert_true(has_line(&text, "db_client_operation_duration_seconds_count{operation=\"sleep\",outcome=\"ok\"}"));
    assert_true(has_line(
        &text, "db_client_operation_duration_seconds_count{operation=\"insert\",outcome=\"already_exists\"} "));
    assert_true(has_line(&text, "db_client_connections{state=\"shared\"} 1\n"));
    assert_true(has_line(&text, "db_client_connections{state=\"idle\"} 2\n"));
    assert_true(has_line(&text, "db_client_connections{state=\"used\"} 0\n"));
    assert_true(has_line(&text, "db_client_connections{state=\"connecting\"} 0\n"));
    assert_true(has_line(&text, "db_client_pending 0\n"));
    ch_buf_release(&text);
    ctx_close(&ctx);
}

/* A sampled trace gets a span a statement; afterwards the caller's own span is the current one again. */
static void traced_fiber(void *arg)
{
    struct ch_ctx ctx = ctx_open(MS(5000));
    uint8_t parent[8];

    (void)arg;
    ch_trace_start(&ctx.trace, CH_STR("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"));
    assert_true(ctx.trace.is_sampled);
    memcpy(parent, ctx.trace.span_id, sizeof(parent));
    (void)backend(&ctx);
    assert_int_equal(insert(&ctx, 80, 80, 1), CH_OK);
    assert_int_equal(insert(&ctx, 80, 80, 1), CH_ERR_DUPLICATE);
    assert_memory_equal(ctx.trace.span_id, parent, sizeof(parent));
    ctx_close(&ctx);
}

static void test_pg_run__gives_the_trace_back(void **state)
{
    (void)state;
    pg_test(traced_fiber, &options);
}

static void test_pg_run__is_seen_from_outside(void **state)
{
    (void)state;
    pg_test(seen_fiber, &options);
}

static int setup(void **state)
{
    if (server_setup(state))
        return -1;
    admin("CREATE TABLE t (id int8 CONSTRAINT t_pkey PRIMARY KEY, parent int8, n int8 CONSTRAINT t_n_positive CHECK (n "
          "> 0), "
          "CONSTRAINT t_parent_fk FOREIGN KEY (parent) REFERENCES t DEFERRABLE INITIALLY DEFERRED);"
          "CREATE FUNCTION raise_state(state text) RETURNS int LANGUAGE plpgsql AS "
          "$$ BEGIN RAISE EXCEPTION 'secret of a customer' USING ERRCODE = state; END $$;"
          "CREATE FUNCTION write_t() RETURNS void LANGUAGE sql AS $$ INSERT INTO t VALUES (1000, 1000, 1) $$");
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pg_run__maps_sqlstates),
        cmocka_unit_test(test_pg_run__names_the_constraint),
        cmocka_unit_test(test_pg_run__many_fibers_share_one_connection),
        cmocka_unit_test(test_pg_run__neighbours_of_a_failure_are_sent_again),
        cmocka_unit_test(test_pg_run__statements_in_flight_are_bounded),
        cmocka_unit_test(test_pg_run__a_deadline_leaves_no_trace),
        cmocka_unit_test(test_pg_run__slow_statements_fail_alone),
        cmocka_unit_test(test_pg_run__cancel_ends_the_wait),
        cmocka_unit_test(test_pg_run__writers_queue_is_bounded),
        cmocka_unit_test(test_pg_run__gives_the_trace_back),
        cmocka_unit_test(test_pg_run__is_seen_from_outside),
    };

    options.uri = server.uri;
    return cmocka_run_group_tests(tests, setup, server_teardown);
}
