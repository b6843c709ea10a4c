// SPDX-License-Identifier: Apache-2.0
/*
 * How the database looks from outside: duration per statement and outcome, connections by state, fibers that wait for
 * one, a client span per statement of a sampled trace, and the statement's name as the current step of the work. Series
 * are looked up once and kept: the lookup locks.
 */
#include "pg_internal.h"

#include <stdlib.h>

static const struct ch_metric duration_metric = {
    .name = "db_client_operation_duration_seconds",
    .type = CH_HISTOGRAM,
    .help = "Time from a statement's start to its answer, by query name.",
    .labels = {"operation", "outcome"},
};
static const struct ch_metric connections_metric = {
    .name = "db_client_connections",
    .type = CH_GAUGE,
    .help = "Database connections by state.",
    .labels = {"state"},
};
static const struct ch_metric pending_metric = {
    .name = "db_client_pending",
    .type = CH_GAUGE,
    .help = "Requests that wait for a database connection.",
};
static const char *const gauge_states[] = {
    [CH_PG_GAUGE_CONNECTING] = "connecting",
    [CH_PG_GAUGE_SHARED] = "shared",
    [CH_PG_GAUGE_IDLE] = "idle",
    [CH_PG_GAUGE_USED] = "used",
};

bool ch_pg_stats_init(struct ch_pg *pg)
{
    pg->series = calloc((size_t)(pg->query_count + CH_PG_OWN_COUNT) * CH_ERR_COUNT, sizeof(*pg->series));
    if (!pg->series)
        return false;
    for (size_t i = 0; i < sizeof(gauge_states) / sizeof(gauge_states[0]); i++)
        pg->gauges[i] = ch_series_get(&connections_metric, (const char *const[]){gauge_states[i]});
    pg->pending = ch_series_get(&pending_metric, (const char *const[]){NULL});
    return true;
}

const char *ch_pg_query_name(const struct ch_pg *pg, int query)
{
    return query >= 0 ? pg->options.queries[query].name : ch_pg_own_queries[-1 - query].name;
}

void ch_pg_observe(struct ch_pg *pg, int query, enum ch_err err, int64_t duration_ns)
{
    int row = query >= 0 ? query : pg->query_count - 1 - query;
    struct ch_series **series = &pg->series[row * CH_ERR_COUNT + (int)err];

    if (!*series)
        *series =
            ch_series_get(&duration_metric, (const char *const[]){ch_pg_query_name(pg, query), ch_err_row(err)->code});
    ch_observe_ns(*series, duration_ns);
}

void ch_pg_gauge(struct ch_pg *pg, enum ch_pg_gauge gauge, int n)
{
    ch_gauge_add(pg->gauges[gauge], n);
}

void ch_pg_op_begin(struct ch_pg_op *op, struct ch_pg *pg, struct ch_ctx *ctx, int query)
{
    op->pg = pg;
    op->ctx = ctx;
    op->query = query;
    op->start_ns = ch_now_ns();
    op->limit_ns = op->start_ns + pg->options.statement_timeout_ns;
    if (op->limit_ns > ctx->deadline_ns)
        op->limit_ns = ctx->deadline_ns;
    op->step = ctx->step;
    ctx->step = ch_pg_query_name(pg, query);
    op->has_span = ctx->trace.is_sampled;
    if (!op->has_span)
        return;
    ch_span_start(&op->span, &ctx->trace, CH_SPAN_CLIENT, ctx->step);
    ch_span_attr(&op->span, CH_LS("db.system.name", "postgresql"));
    ch_span_attr(&op->span, CH_LS("db.operation.name", ctx->step));
}

enum ch_err ch_pg_op_end(struct ch_pg_op *op, enum ch_err err, const char *sqlstate)
{
    if (err == CH_ERR_DEADLINE && op->limit_ns < op->ctx->deadline_ns)
        err = CH_ERR_UNAVAILABLE; /* the cap, not the caller's deadline */
    op->ctx->step = op->step;
    if (op->has_span) {
        if (sqlstate && *sqlstate)
            ch_span_attr(&op->span, CH_LS("db.response.status_code", sqlstate));
        ch_span_end(&op->span, err);
    }
    ch_pg_observe(op->pg, op->query, err, ch_now_ns() - op->start_ns);
    return err;
}
