// SPDX-License-Identifier: Apache-2.0
/*
 * What the tests of PostgreSQL share: one private server a program, and for each test a loop, a pool and contexts.
 * A test is a fiber; `pg_test` runs it and takes everything down.
 */
#ifndef CH_PG_FIXTURE_H
#define CH_PG_FIXTURE_H

#include "ch/pg.h"
#include "loop_fixture.h"
#include "pg_server.h"

#include <libpq-fe.h>

static struct pg_server server;
static struct ch_pg *pg;

/* SQL at once, on a connection of its own; the first value, or "". */
static inline const char *admin(const char *sql)
{
    static char value[128];
    PGconn *conn = PQconnectdb(server.uri);
    PGresult *result = PQexec(conn, sql);
    ExecStatusType status = PQresultStatus(result);

    if (status != PGRES_COMMAND_OK && status != PGRES_TUPLES_OK)
        (void)fprintf(stderr, "%s", PQresultErrorMessage(result));
    (void)snprintf(value, sizeof(value), "%s",
                   PQntuples(result) > 0 && PQnfields(result) > 0 ? PQgetvalue(result, 0, 0) : "");
    PQclear(result);
    PQfinish(conn);
    assert_true(status == PGRES_COMMAND_OK || status == PGRES_TUPLES_OK);
    return value;
}

static inline int server_setup(void **state)
{
    (void)state;
    return pg_server_start(&server);
}

static inline int server_teardown(void **state)
{
    (void)state;
    pg_server_end(&server);
    return 0;
}

static inline struct ch_ctx ctx_open(int64_t timeout_ns)
{
    return (struct ch_ctx){.loop = loop,
                           .arena = ch_arena_new(8 << 20),
                           .pg = pg,
                           .deadline_ns = ch_now_ns() + timeout_ns,
                           .name = "test",
                           .step = "test"};
}

static inline void ctx_close(struct ch_ctx *ctx)
{
    assert_string_equal(ctx->step, "test"); /* every call restores it */
    ch_arena_free(ctx->arena);
}

/* Parks until `is_met` or the deadline; looks every millisecond. */
static inline bool eventually(bool (*is_met)(void), int64_t deadline_ns)
{
    while (!is_met()) {
        if (ch_now_ns() > deadline_ns)
            return false;
        (void)!ch_sleep_wait(ch_now_ns() + MS(1)); /* cut short or not: looks again */
    }
    return true;
}

static inline bool pool_is_up(void)
{
    return ch_pg_is_up(pg);
}

static ch_fiber_fn *warm_fn;

static inline void warm_run(void *arg)
{
    assert_true(eventually(pool_is_up, ch_now_ns() + MS(10000)));
    warm_fn(arg);
}

/* Runs `fn` as a fiber on a loop with a pool of these options, before the pool is connected. */
static inline void pg_test_cold(ch_fiber_fn *fn, const struct ch_pg_options *options)
{
    assert_int_equal(loop_setup(NULL), 0);
    pg = ch_pg_new(loop, options);
    assert_non_null(pg);
    loop_run_until_done(fn, NULL);
    ch_pg_free(pg);
    (void)event_base_loop(ch_loop_base(loop), EVLOOP_NONBLOCK); /* a lookup cut short ends in a deferred callback */
    assert_int_equal(loop_teardown(NULL), 0);
}

/* The same once it is connected. */
static inline void pg_test(ch_fiber_fn *fn, const struct ch_pg_options *options)
{
    warm_fn = fn;
    pg_test_cold(warm_run, options);
}

#endif
