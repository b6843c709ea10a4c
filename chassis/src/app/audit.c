// SPDX-License-Identifier: Apache-2.0
// Writes the record of privileged actions. It must never be the last to fail silently: whoever acts looks at its
// result.
#include "ch/audit.h"

#include "ch/auth.h"

static struct ch_str actor_of(const struct ch_identity *who)
{
    if (!who)
        return CH_STR("anonymous");
    return ch_str_of(*who->service ? who->service : who->sub);
}

static struct ch_str role_of(const struct ch_identity *who)
{
    if (!who || *who->service)
        return who ? CH_STR("service") : CH_STR("");
    return who->is_operator ? CH_STR("operator") : who->is_farmer ? CH_STR("farmer") : CH_STR("buyer");
}

static enum ch_err arguments(struct ch_pg_args *args, struct ch_ctx *ctx, const struct ch_audit *entry)
{
    char trace_id[33];

    if (!entry->subject.data)
        return CH_ERR_NO_MEMORY;
    ch_trace_id_text(&ctx->trace, trace_id);
    ch_pg_args_init(args, ctx);
    ch_pg_text(args, actor_of(ctx->identity));
    ch_pg_text(args, role_of(ctx->identity));
    ch_pg_text(args, ch_str_of(entry->action));
    ch_pg_text(args, entry->subject);
    ch_pg_text(args, entry->result ? ch_str_of(ch_err_row(entry->result)->code) : CH_STR("done"));
    ch_pg_text(args, entry->detail.data ? entry->detail : CH_STR(""));
    ch_pg_text(args, ch_str_of(trace_id));
    return CH_OK;
}

enum ch_err ch_audit_add(struct ch_tx *tx, int query, const struct ch_audit *entry)
{
    struct ch_pg_args args;

    const enum ch_err err = arguments(&args, tx->ctx, entry);
    return err ? err : ch_tx_send(tx, query, &args);
}

enum ch_err ch_audit_wait(struct ch_ctx *ctx, int query, const struct ch_audit *entry)
{
    struct ch_pg_args args;

    const enum ch_err err = arguments(&args, ctx, entry);
    return err ? err : ch_pg_run_wait(ctx, query, &args, NULL);
}
