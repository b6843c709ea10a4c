// SPDX-License-Identifier: Apache-2.0
/* The database away, hanging, or back again: calls fail fast, nothing piles up, the pool recovers by itself. */
#include "pg_fixture.h"

#include <malloc.h>

enum { Q_PID, Q_WRITE, Q_BIG, Q_COUNT };

static const struct ch_query queries[] = {
    [Q_PID] = {"pid", "SELECT pg_backend_pid()", false},
    [Q_WRITE] = {"write", "INSERT INTO t VALUES (1)", true},
    [Q_BIG] = {"big", "SELECT repeat('0123456789', 1000) FROM generate_series(1, $1::int8)", false},
    [Q_COUNT] = {0},
};
static const struct ch_query bad_queries[] = {
    {"fine", "SELECT 1", false},
    {"no_such_table", "SELECT * FROM there_is_none", false},
    {0},
};
static struct ch_pg_options options = {.queries = queries,
                                       .readers = 1,
                                       .writers = 2,
                                       .waiting_max = 100,
                                       .statement_timeout_ns = MS(300),
                                       .application_name = "down"};

static int64_t backend(struct ch_ctx *ctx)
{
    struct ch_pg_rows *rows CH_PG_ROWS = NULL;

    assert_int_equal(ch_pg_run_wait(ctx, Q_PID, NULL, &rows), CH_OK);
    return ch_pg_get_int(rows, 0, 0);
}

static bool pool_is_down(void)
{
    return !ch_pg_is_up(pg);
}

/* ---- the server stops ---- */

static void assert_fails_at_once(struct ch_ctx *ctx)
{
    for (int i = 0; i < 2000; i++) {
        int64_t start_ns = ch_now_ns(), took_ns;
        struct ch_tx tx CH_TX = {0};

        assert_int_equal(ch_pg_run_wait(ctx, i % 2 ? Q_PID : Q_WRITE, NULL, NULL), CH_ERR_UNAVAILABLE);
        assert_int_equal(ch_tx_begin_wait(ctx, &tx), CH_ERR_UNAVAILABLE);
        took_ns = ch_now_ns() - start_ns;
        if (took_ns > MS(1) && i > 100) /* a machine that is busy with others may lose one of them */
            print_message("a failing call took %lld us\n", (long long)(took_ns / 1000));
        assert_in_range(took_ns, 0, MS(20));
    }
}

static void stopped_fiber(void *arg)
{
    struct ch_ctx ctx = ctx_open(MS(60000));
    size_t used_bytes;
    int64_t start_ns;

    (void)arg;
    (void)backend(&ctx);
    assert_int_equal(ch_pg_run_wait(&ctx, Q_WRITE, NULL, NULL), CH_OK);
    pg_server_halt(&server, SIGQUIT);
    assert_true(eventually(pool_is_down, ch_now_ns() + MS(1000)));
    used_bytes = mallinfo2().uordblks;
    start_ns = ch_now_ns();
    assert_fails_at_once(&ctx);
    print_message("4000 calls without a server: %lld us each\n", (long long)(ch_now_ns() - start_ns) / 4000000);
    assert_true(mallinfo2().uordblks < used_bytes + 256 * 1024);
    assert_int_equal(pg_server_launch(&server), 0);
    start_ns = ch_now_ns();
    assert_true(eventually(pool_is_up, start_ns + MS(2000)));
    print_message("up again %lld ms after the server\n", (long long)(ch_now_ns() - start_ns) / 1000000);
    (void)backend(&ctx);
    assert_int_equal(ch_pg_run_wait(&ctx, Q_WRITE, NULL, NULL), CH_OK);
    ctx_close(&ctx);
}

static void test_pg_down__stops_and_starts_again(void **state)
{
    (void)state;
    pg_test(stopped_fiber, &options);
}

/* ---- the backend hangs ---- */

static int left, unavailable, overloaded;

static void hanging_reader(void *arg)
{
    struct ch_ctx ctx = ctx_open(MS(5000));
    enum ch_err err = ch_pg_run_wait(&ctx, Q_PID, NULL, NULL);

    (void)arg;
    unavailable += err == CH_ERR_UNAVAILABLE;
    overloaded += err == CH_ERR_OVERLOADED;
    ctx_close(&ctx);
    left--;
}

static bool all_done(void)
{
    return left == 0;
}

static void hanging_fiber(void *arg)
{
    struct ch_ctx ctx = ctx_open(MS(60000));
    int64_t pid = backend(&ctx), start_ns;

    (void)arg;
    assert_int_equal(kill((pid_t)pid, SIGSTOP), 0);
    start_ns = ch_now_ns();
    left = 1500;
    unavailable = overloaded = 0;
    for (int i = 0; i < 1500; i++)
        start(hanging_reader, NULL);
    assert_true(eventually(all_done, start_ns + MS(5000)));
    assert_in_range(ch_now_ns() - start_ns, MS(250), MS(1000)); /* the cap is 300 ms */
    assert_int_equal(unavailable, 1024);                        /* so many may be in flight */
    assert_int_equal(overloaded, 476);
    assert_true(eventually(pool_is_up, ch_now_ns() + MS(1000)));
    assert_true(backend(&ctx) != pid); /* a new connection */
    assert_int_equal(kill((pid_t)pid, SIGCONT), 0);
    ctx_close(&ctx);
}

static void test_pg_down__a_hanging_server_costs_the_cap(void **state)
{
    (void)state;
    pg_test(hanging_fiber, &options);
}

/* ---- connecting ---- */

static void first_fiber(void *arg)
{
    struct ch_ctx ctx = ctx_open(MS(5000));
    int64_t start_ns = ch_now_ns();

    assert_int_equal(ch_pg_run_wait(&ctx, Q_PID, NULL, NULL), CH_OK); /* waits for the first connect */
    assert_int_equal(ch_pg_run_wait(&ctx, Q_WRITE, NULL, NULL), CH_OK);
    print_message("%s: first answers after %lld us\n", (const char *)arg, (long long)(ch_now_ns() - start_ns) / 1000);
    ctx_close(&ctx);
}

static void first_run(void *arg)
{
    (void)arg;
    first_fiber((void *)options.uri);
}

static void test_pg_down__the_first_call_waits(void **state)
{
    const char *uri = options.uri;
    char by_name[128], by_number[128];

    (void)state;
    (void)snprintf(by_name, sizeof(by_name), "postgresql://postgres@localhost:%d/postgres", server.port);
    (void)snprintf(by_number, sizeof(by_number), "postgresql://postgres@127.0.0.1:%d/postgres", server.port);
    pg_test_cold(first_run, &options);
    options.uri = by_name;
    pg_test_cold(first_run, &options);
    options.uri = by_number;
    pg_test_cold(first_run, &options);
    options.uri = uri;
}

static int64_t refused_after_ns;

static void refused_fiber(void *arg)
{
    struct ch_ctx ctx = ctx_open(MS(5000));
    int64_t start_ns = ch_now_ns();

    (void)arg;
    assert_int_equal(ch_pg_run_wait(&ctx, Q_PID, NULL, NULL), CH_ERR_UNAVAILABLE);
    refused_after_ns = ch_now_ns() - start_ns;
    assert_int_equal(ch_pg_run_wait(&ctx, Q_WRITE, NULL, NULL), CH_ERR_UNAVAILABLE);
    assert_false(ch_pg_is_up(pg));
    ctx_close(&ctx);
}

static void test_pg_down__nobody_there(void **state)
{
    struct ch_pg_options lost = options;
    char uri[128];

    (void)state;
    lost.uri = uri;
    (void)snprintf(uri, sizeof(uri), "host=127.0.0.1 port=%d user=x", pg_server_free_port());
    pg_test_cold(refused_fiber, &lost);
    assert_in_range(refused_after_ns, 0, MS(250));
    (void)snprintf(uri, sizeof(uri), "host=/tmp/there-is-no-such-folder user=x");
    pg_test_cold(refused_fiber, &lost);
    assert_in_range(refused_after_ns, 0, MS(250));
    (void)snprintf(uri, sizeof(uri), "host=no-such-host.invalid user=x"); /* the resolver may take its time */
    pg_test_cold(refused_fiber, &lost);
    assert_in_range(refused_after_ns, 0, MS(600));
}

static void test_pg_down__somebody_who_says_nothing(void **state)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct ch_pg_options mute = options;
    socklen_t len = sizeof(address);
    char uri[128];
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    (void)state;
    assert_int_equal(bind(fd, (struct sockaddr *)&address, len), 0);
    assert_int_equal(listen(fd, 16), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &len), 0);
    (void)snprintf(uri, sizeof(uri), "host=127.0.0.1 port=%d user=x", ntohs(address.sin_port));
    mute.uri = uri;
    pg_test_cold(refused_fiber, &mute);
    assert_in_range(refused_after_ns, MS(250), MS(900)); /* the most that a first call waits */
    (void)close(fd);
}

static void test_pg_down__a_bad_statement_keeps_the_pool_down(void **state)
{
    struct ch_pg_options bad = options;

    (void)state;
    bad.queries = bad_queries;
    pg_test_cold(refused_fiber, &bad);
}

static void test_pg_down__a_bad_uri_is_refused(void **state)
{
    struct ch_pg_options bad = options;

    (void)state;
    assert_int_equal(loop_setup(NULL), 0);
    bad.uri = "postgresql://user:pass@[::1/";
    assert_null(ch_pg_new(loop, &bad));
    bad.uri = "host=a,b,c,d,e";
    assert_null(ch_pg_new(loop, &bad));
    ch_pg_free(NULL);
    assert_int_equal(loop_teardown(NULL), 0);
}

/* ---- large results, in the clear and through TLS, whose records may stay in the library's buffer ---- */

static void big_fiber(void *arg)
{
    struct ch_ctx ctx = ctx_open(MS(20000));

    (void)arg;
    for (int i = 1; i < 40; i++) {
        struct ch_pg_rows *rows CH_PG_ROWS = NULL;
        struct ch_pg_args args;

        ch_pg_args_init(&args, &ctx);
        ch_pg_int8(&args, i * 7);
        assert_int_equal(ch_pg_run_wait(&ctx, Q_BIG, &args, &rows), CH_OK);
        assert_int_equal(ch_pg_count(rows), i * 7);
        assert_int_equal(ch_pg_get_str(rows, (size_t)i * 7 - 1, 0).len, 10000);
    }
    ctx_close(&ctx);
}

static void test_pg_down__large_results_arrive(void **state)
{
    struct ch_pg_options patient = options;

    (void)state;
    patient.statement_timeout_ns = MS(3000);
    pg_test(big_fiber, &patient);
}

static void tls_start(void)
{
    static char command[400];
    char *const argv[] = {(char *)"/bin/sh", (char *)"-c", command, NULL};

    (void)snprintf(command, sizeof(command),
                   "cd %s/data && openssl req -new -x509 -nodes -days 2 -newkey rsa:2048 -subj /CN=localhost -keyout "
                   "server.key -out server.crt "
                   "&& chmod 600 server.key && echo ssl=on >> postgresql.conf",
                   server.dir);
    assert_int_equal(pg_server_wait(pg_server_spawn(argv, -1)), 0);
    pg_server_halt(&server, SIGINT);
    assert_int_equal(pg_server_launch(&server), 0);
}

static void test_pg_down__large_results_arrive_by_tls(void **state)
{
    struct ch_pg_options patient = options;
    char uri[160];

    (void)state;
    tls_start();
    (void)snprintf(uri, sizeof(uri), "postgresql://postgres@localhost:%d/postgres?sslmode=require", server.port);
    patient.uri = uri;
    patient.statement_timeout_ns = MS(3000);
    pg_test(big_fiber, &patient);
}

static int setup(void **state)
{
    if (server_setup(state))
        return -1;
    admin("CREATE TABLE t (id int8)");
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pg_down__stops_and_starts_again),
        cmocka_unit_test(test_pg_down__a_hanging_server_costs_the_cap),
        cmocka_unit_test(test_pg_down__the_first_call_waits),
        cmocka_unit_test(test_pg_down__nobody_there),
        cmocka_unit_test(test_pg_down__somebody_who_says_nothing),
        cmocka_unit_test(test_pg_down__a_bad_statement_keeps_the_pool_down),
        cmocka_unit_test(test_pg_down__a_bad_uri_is_refused),
        cmocka_unit_test(test_pg_down__large_results_arrive),
        cmocka_unit_test(test_pg_down__large_results_arrive_by_tls),
    };

    options.uri = server.uri;
    return cmocka_run_group_tests(tests, setup, server_teardown);
}
