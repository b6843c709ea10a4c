// SPDX-License-Identifier: Apache-2.0
/*
 * How fast: point reads of 64 fibers on one loop and one connection, single-row writes on four, beside pgbench with
 * prepared statements on the same server in the same run. Prints; asserts only that all answers were right, for the
 * machine is not ours alone. A number after the program's name is the time of each part in milliseconds.
 */
#include "pg_fixture.h"

#include <sys/stat.h>
#include <time.h>

enum { Q_READ, Q_WRITE, Q_COUNT };

static const struct ch_query queries[] = {
    [Q_READ] = {"read", "SELECT abalance FROM pgbench_accounts WHERE aid = $1::int4", false},
    [Q_WRITE] = {"write", "INSERT INTO w (id, note) VALUES ($1::uuid, $2::text)", true},
    [Q_COUNT] = {0},
};
static struct ch_pg_options options = {.queries = queries,
                                       .readers = 1,
                                       .writers = 4,
                                       .waiting_max = 1000,
                                       .statement_timeout_ns = MS(5000),
                                       .application_name = "speed"};

#define FIBERS 64
static int64_t part_ns = MS(300), end_ns;
static int left;
static long count, failures;

static int64_t cpu_ns(void)
{
    struct timespec time;

    (void)clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
    return time.tv_sec * INT64_C(1000000000) + time.tv_nsec;
}

static enum ch_err read_one(struct ch_ctx *ctx, int32_t aid)
{
    struct ch_pg_rows *rows CH_PG_ROWS = NULL;
    struct ch_pg_args args;
    enum ch_err err;

    ch_pg_args_init(&args, ctx);
    ch_pg_int4(&args, aid);
    err = ch_pg_run_wait(ctx, Q_READ, &args, &rows);
    return err || (ch_pg_count(rows) == 1 && ch_pg_get_int(rows, 0, 0) == 0) ? err : CH_ERR_INTERNAL;
}

static enum ch_err write_one(struct ch_ctx *ctx)
{
    struct ch_pg_args args;

    ch_pg_args_init(&args, ctx);
    ch_pg_uuid(&args, ch_uuid_new());
    ch_pg_text(&args, CH_STR("서울특별시 종로구 세종대로 1"));
    return ch_pg_run_wait(ctx, Q_WRITE, &args, NULL);
}

static void worker(void *arg)
{
    struct ch_ctx ctx = ctx_open(MS(600000));
    unsigned seed = (unsigned)(uintptr_t)&ctx;
    bool is_write = *(bool *)arg;

    while (ch_now_ns() < end_ns) {
        ch_arena_reset(ctx.arena);
        failures += (is_write ? write_one(&ctx) : read_one(&ctx, 1 + rand_r(&seed) % 100000)) != CH_OK;
        count++;
    }
    ctx_close(&ctx);
    left--;
}

static bool all_done(void)
{
    return left == 0;
}

static void measure(const char *name, bool is_write, int fibers)
{
    int64_t start_ns = ch_now_ns(), cpu_start_ns = cpu_ns();
    double seconds;

    end_ns = start_ns + part_ns;
    left = fibers;
    count = failures = 0;
    for (int i = 0; i < fibers; i++)
        start(worker, &is_write);
    assert_true(eventually(all_done, end_ns + MS(10000)));
    seconds = (double)(ch_now_ns() - start_ns) / 1e9;
    print_message("%-44s %8.0f /s  %6.2f us CPU each\n", name, (double)count / seconds,
                  (double)(cpu_ns() - cpu_start_ns) / 1e3 / (double)count);
    assert_int_equal(failures, 0);
}

static void speed_fiber(void *arg)
{
    (void)arg;
    assert_true(eventually(pool_is_up, ch_now_ns() + MS(2000)));
    measure("reads, 64 fibers, one connection", false, FIBERS);
    measure("reads, 1 fiber", false, 1);
    measure("writes, 64 fibers, 4 connections", true, FIBERS);
    measure("writes, 1 fiber", true, 1);
}

/* pgbench's own words; its time is in whole seconds. */
static void pgbench(const char *what, const char *const extra[])
{
    char program[160], seconds[16], port[16], line[256];
    char *argv[20] = {program, (char *)"-h", server.dir, (char *)"-p", port, (char *)"-U", (char *)"postgres"};
    int argc = 7, fds[2];
    FILE *out;

    (void)snprintf(program, sizeof(program), "%s/pgbench", server.bin);
    (void)snprintf(port, sizeof(port), "%d", server.port);
    (void)snprintf(seconds, sizeof(seconds), "%d", (int)((part_ns + 999999999) / 1000000000));
    for (int i = 0; extra[i]; i++)
        argv[argc++] = (char *)(strcmp(extra[i], "SECONDS") ? extra[i] : seconds);
    argv[argc++] = (char *)"postgres";
    assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
    assert_true(pg_server_spawn(argv, fds[1]) > 0);
    (void)close(fds[1]);
    out = fdopen(fds[0], "r");
    while (fgets(line, sizeof(line), out))
        if (strncmp(line, "tps", 3) == 0)
            print_message("%-44s %s", what, line);
    (void)fclose(out);
    (void)wait(NULL);
}

static void test_pg_speed__prints(void **state)
{
    char script[96];
    FILE *file;

    (void)state;
    pgbench("", (const char *const[]){"-i", "-q", NULL});
    admin("CREATE TABLE w (id uuid PRIMARY KEY, note text)");
    (void)snprintf(script, sizeof(script), "%s/insert.sql", server.dir);
    file = fopen(script, "w");
    assert_non_null(file);
    (void)fputs("INSERT INTO w (id, note) VALUES (gen_random_uuid(), '서울특별시 종로구 세종대로 1');\n", file);
    (void)fclose(file);
    (void)chmod(script, 0644);
    pg_test(speed_fiber, &options);
    pgbench("pgbench -S -M prepared, 1 connection",
            (const char *const[]){"-S", "-n", "-M", "prepared", "-c", "1", "-T", "SECONDS", NULL});
    pgbench("pgbench -S -M prepared, 4 connections",
            (const char *const[]){"-S", "-n", "-M", "prepared", "-c", "4", "-T", "SECONDS", NULL});
    pgbench("pgbench insert -M prepared, 4 connections",
            (const char *const[]){"-f", script, "-n", "-M", "prepared", "-c", "4", "-T", "SECONDS", NULL});
}

static int setup(void **state)
{
    server.is_durable = true;
    return server_setup(state);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_pg_speed__prints)};

    if (argc > 1)
        part_ns = MS(atoi(argv[1]));
    options.uri = server.uri;
    return cmocka_run_group_tests(tests, setup, server_teardown);
}
