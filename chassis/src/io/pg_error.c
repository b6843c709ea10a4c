// SPDX-License-Identifier: Apache-2.0
/*
 * From PostgreSQL's SQLSTATE (Appendix A of its manual) to enum ch_err, by one table; and the one place where a failed
 * statement is logged. Neither the server's message nor a value goes to the log: they carry names, phones and
 * addresses.
 */
#include "pg_internal.h"

#include <stdio.h>
#include <stdlib.h>

/** First row whose prefix fits; what fits none is our own mistake. */
static const struct {
    const char *prefix;
    enum ch_err err;
    enum ch_log_level level;
} states[] = {
    {"23505", CH_ERR_DUPLICATE, CH_LOG_DEBUG},   /* unique_violation */
    {"23", CH_ERR_CONFLICT, CH_LOG_INFO},        /* other integrity constraints */
    {"40001", CH_ERR_CONFLICT, CH_LOG_INFO},     /* serialization_failure */
    {"40P01", CH_ERR_CONFLICT, CH_LOG_WARN},     /* deadlock_detected */
    {"55P03", CH_ERR_CONFLICT, CH_LOG_INFO},     /* lock_not_available */
    {"57014", CH_ERR_UNAVAILABLE, CH_LOG_WARN},  /* query_canceled: statement_timeout */
    {"57P", CH_ERR_UNAVAILABLE, CH_LOG_WARN},    /* shutdown, crash, not yet up */
    {"53", CH_ERR_UNAVAILABLE, CH_LOG_ERROR},    /* disk full, out of memory, too many connections */
    {"58", CH_ERR_UNAVAILABLE, CH_LOG_ERROR},    /* the server's own input and output */
    {"08", CH_ERR_UNAVAILABLE, CH_LOG_WARN},     /* connection */
    {"25006", CH_ERR_UNAVAILABLE, CH_LOG_ERROR}, /* read_only_sql_transaction: fail-over, or a :read that writes */
    {"25P03", CH_ERR_UNAVAILABLE, CH_LOG_ERROR}, /* idle_in_transaction_session_timeout */
    {"", CH_ERR_INTERNAL, CH_LOG_ERROR},
};

static size_t state_row(const char *sqlstate)
{
    size_t i = 0;

    while (strncmp(sqlstate, states[i].prefix, strlen(states[i].prefix)) != 0)
        i++;
    return i;
}

enum ch_err ch_pg_error_map(const char *sqlstate)
{
    if (!sqlstate || !*sqlstate)
        return CH_ERR_UNAVAILABLE; /* libpq's own: the connection is gone */
    return states[state_row(sqlstate)].err;
}

enum ch_err ch_pg_error_take(const PGresult *result, const char *query_name, struct ch_ctx *ctx, char ret_sqlstate[6])
{
    const char *sqlstate = PQresultErrorField(result, PG_DIAG_SQLSTATE);
    const char *constraint = PQresultErrorField(result, PG_DIAG_CONSTRAINT_NAME);
    enum ch_err err = ch_pg_error_map(sqlstate);

    ret_sqlstate[0] = '\0';
    if (!sqlstate)
        return err; /* logged once for the connection, not for each statement on it */
    (void)snprintf(ret_sqlstate, 6, "%.5s", sqlstate);
    if (ctx)
        ctx->constraint = constraint ? ch_arena_strdup(ctx->arena, ch_str_of(constraint)) : NULL;
    ch_log(states[state_row(sqlstate)].level, ctx ? &ctx->trace : NULL, "pg.statement_failed",
           CH_LS("query", query_name), CH_LS("sqlstate", sqlstate), CH_LS("constraint", constraint ? constraint : ""),
           CH_LS("error", ch_err_row(err)->code));
    return err;
}

const char *ch_pg_constraint(const struct ch_ctx *ctx)
{
    return ctx->constraint ? ctx->constraint : "";
}

void ch_pg_mistake(const char *what, const char *detail)
{
    (void)fprintf(stderr, "pg: %s: %s\n", what, detail); /* the last words of the process */
    abort();
}
