// SPDX-License-Identifier: Apache-2.0
/*
 * The blocking twin for threads that may wait (the outbox relay): one connection, the same queries, arguments, rows and
 * errors, no metrics and no fibers. Every call has a deadline; a call that misses it closes the connection, because
 * what the server still owes could not be told from later answers. Never to be called on a loop.
 */
#include "pg_internal.h"

#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <stdlib.h>

struct ch_pgt {
    PGconn *pq; /* NULL once broken */
    const struct ch_query *queries;
};

static void pgt_break(struct ch_pgt *pgt)
{
    PQfinish(pgt->pq);
    pgt->pq = NULL;
}

/* Until the socket is ready for `events` or the deadline has come. */
static enum ch_err pgt_poll(struct ch_pgt *pgt, short events, int64_t deadline_ns)
{
    for (;;) {
        struct pollfd fd = {.fd = PQsocket(pgt->pq), .events = events};
        int64_t left_ms = (deadline_ns - ch_now_ns()) / 1000000 + 1;
        int count;

        if (deadline_ns <= ch_now_ns())
            return CH_ERR_DEADLINE;
        count = poll(&fd, 1, left_ms > 3600000 ? 3600000 : (int)left_ms);
        if (count > 0)
            return CH_OK;
        if (count < 0 && errno != EINTR)
            return CH_ERR_INTERNAL;
    }
}

static enum ch_err pgt_connect(struct ch_pgt *pgt, int64_t deadline_ns)
{
    PostgresPollingStatusType step = PGRES_POLLING_WRITING;
    enum ch_err err = CH_OK;

    while (!err && step != PGRES_POLLING_OK) {
        if (step == PGRES_POLLING_FAILED || PQstatus(pgt->pq) == CONNECTION_BAD)
            return CH_ERR_UNAVAILABLE;
        err = pgt_poll(pgt, step == PGRES_POLLING_READING ? POLLIN : POLLOUT, deadline_ns);
        if (!err)
            step = PQconnectPoll(pgt->pq);
    }
    return err;
}

/* Sends what is queued and takes results until the round ends; the last one is the caller's. */
static enum ch_err pgt_result(struct ch_pgt *pgt, int64_t deadline_ns, PGresult **ret_result)
{
    PGresult *last = NULL, *result;
    enum ch_err err = CH_OK;

    for (;;) {
        int rest = PQflush(pgt->pq);

        while (!err && !PQisBusy(pgt->pq)) {
            result = PQgetResult(pgt->pq);
            if (!result) {
                *ret_result = last;
                return CH_OK;
            }
            PQclear(last);
            last = result;
        }
        if (!err)
            err = pgt_poll(pgt, rest > 0 ? POLLIN | POLLOUT : POLLIN, deadline_ns);
        if (!err && !PQconsumeInput(pgt->pq))
            err = CH_ERR_UNAVAILABLE;
        if (err) {
            PQclear(last);
            return err;
        }
    }
}

/* One round: `is_sent` tells whether libpq took it. */
static enum ch_err pgt_round(struct ch_pgt *pgt, int is_sent, const char *name, int64_t deadline_ns,
                             struct ch_pg_rows **ret_rows)
{
    PGresult *result = NULL;
    char sqlstate[6];
    enum ch_err err = is_sent ? pgt_result(pgt, deadline_ns, &result) : CH_ERR_UNAVAILABLE;

    if (!err && (!result || PQresultStatus(result) == PGRES_FATAL_ERROR))
        err = result ? ch_pg_error_take(result, name, NULL, sqlstate) : CH_ERR_UNAVAILABLE;
    else if (!err && PQresultStatus(result) != PGRES_TUPLES_OK && PQresultStatus(result) != PGRES_COMMAND_OK)
        ch_pg_mistake("a statement asks for a copy", name);
    if (!err && ret_rows)
        *ret_rows = (struct ch_pg_rows *)result;
    else
        PQclear(result);
    if (err == CH_ERR_DEADLINE || PQstatus(pgt->pq) != CONNECTION_OK || (!is_sent && err))
        pgt_break(pgt);
    return err;
}

static enum ch_err pgt_setup(struct ch_pgt *pgt, int64_t timeout_ns, int64_t deadline_ns)
{
    const struct ch_query *setup = &ch_pg_own_queries[-1 - CH_PG_SETUP];
    char timeout_text[CH_PG_TIMEOUT_TEXT];
    const char *values[CH_PG_SETTINGS];
    enum ch_err err;
    int is_sent;

    if (PQsetnonblocking(pgt->pq, 1))
        return CH_ERR_UNAVAILABLE;
    ch_pg_settings(false, timeout_ns, timeout_text, values);
    is_sent = PQsendQueryParams(pgt->pq, setup->sql, CH_PG_SETTINGS, NULL, values, NULL, NULL, 0);
    err = pgt_round(pgt, is_sent, setup->name, deadline_ns, NULL);
    for (const struct ch_query *query = pgt->queries; !err && query->name; query++)
        err = pgt_round(pgt, PQsendPrepare(pgt->pq, query->name, query->sql, 0, NULL), query->name, deadline_ns, NULL);
    return err;
}

enum ch_err ch_pgt_open(const struct ch_pgt_options *options, int64_t deadline_ns, struct ch_pgt **ret_pgt)
{
    struct ch_pgt *pgt = calloc(1, sizeof(*pgt));
    enum ch_err err;

    assert(!ch_loop_current());
    if (!pgt)
        return CH_ERR_NO_MEMORY;
    pgt->queries = options->queries;
    pgt->pq = ch_pg_connect_start(options->uri, options->application_name, NULL, NULL, options->statement_timeout_ns);
    err = pgt->pq ? pgt_connect(pgt, deadline_ns) : CH_ERR_NO_MEMORY;
    if (!err)
        err = pgt_setup(pgt, options->statement_timeout_ns, deadline_ns);
    if (err) {
        ch_pgt_close(pgt);
        return err;
    }
    *ret_pgt = pgt;
    return CH_OK;
}

void ch_pgt_close(struct ch_pgt *pgt)
{
    if (!pgt)
        return;
    pgt_break(pgt);
    free(pgt);
}

enum ch_err ch_pgt_exec(struct ch_pgt *pgt, int query, const struct ch_pg_args *args, int64_t deadline_ns,
                        struct ch_pg_rows **ret_rows)
{
    const char *name = pgt->queries[query].name;
    int is_sent;

    if (!pgt->pq)
        return CH_ERR_UNAVAILABLE;
    if (args && args->is_broken)
        return CH_ERR_NO_MEMORY;
    is_sent = PQsendQueryPrepared(pgt->pq, name, args ? args->count : 0, args ? args->values : NULL,
                                  args ? args->lengths : NULL, args ? args->formats : NULL, 1);
    return pgt_round(pgt, is_sent, name, deadline_ns, ret_rows);
}

static enum ch_err pgt_own(struct ch_pgt *pgt, enum ch_pg_own own, int64_t deadline_ns, struct ch_pg_rows **ret_rows)
{
    const struct ch_query *query = &ch_pg_own_queries[-1 - own];

    if (!pgt->pq)
        return CH_ERR_UNAVAILABLE;
    return pgt_round(pgt, PQsendQueryParams(pgt->pq, query->sql, 0, NULL, NULL, NULL, NULL, 1), query->name,
                     deadline_ns, ret_rows);
}

enum ch_err ch_pgt_begin(struct ch_pgt *pgt, int64_t deadline_ns)
{
    return pgt_own(pgt, CH_PG_BEGIN, deadline_ns, NULL);
}

enum ch_err ch_pgt_commit(struct ch_pgt *pgt, int64_t deadline_ns)
{
    struct ch_pg_rows *rows CH_PG_ROWS = NULL;
    enum ch_err err = pgt_own(pgt, CH_PG_COMMIT, deadline_ns, &rows);

    if (err)
        return err;
    return strcmp(PQcmdStatus((PGresult *)rows), "COMMIT") ? CH_ERR_CONFLICT : CH_OK;
}

enum ch_err ch_pgt_rollback(struct ch_pgt *pgt, int64_t deadline_ns)
{
    return pgt_own(pgt, CH_PG_ROLLBACK, deadline_ns, NULL);
}
