// SPDX-License-Identifier: Apache-2.0
// What surrounds every gRPC call: place in the list, span, load, token; afterwards metrics and the access log. The same
// rules as for REST stand behind it, in the same functions.
#include "loop_state.h"

struct rpc_work {
    struct ch_span span; // first: ctx->span
    enum ch_shed_class class;
    bool is_counted;
};

static bool is_listed(const char *services, const char *name)
{
    const size_t len = strlen(name);

    for (const char *at = services; at && len > 0; at = strchr(at, ' ')) {
        at += *at == ' ';
        if (strncmp(at, name, len) == 0 && (at[len] == ' ' || at[len] == '\0'))
            return true;
    }
    return false;
}

// A service's token opens only what its row says that this service calls.
static bool is_allowed(const struct ch_identity *identity, struct ch_access access)
{
    return ch_may(identity, access.scope & ~(unsigned)CH_INTERNAL) ||
           (ch_may(identity, access.scope & CH_INTERNAL) && is_listed(access.services, identity->service));
}

enum ch_err ch_authorize_wait(struct ch_loop_state *state, struct ch_ctx *ctx, struct ch_str authorization,
                              struct ch_access access)
{
    enum ch_err err;

    if (!authorization.data)
        return access.scope ? CH_ERR_UNAUTHENTICATED : CH_OK;
    if (!state->auth) // this service asks for no token anywhere
        return CH_OK;
    ctx->step = "check token";
    err = ch_auth_check_wait(state->auth, ctx, authorization, &ctx->identity);
    if (err)
        return err;
    if (access.scope && !ctx->identity)
        return CH_ERR_UNAUTHENTICATED;
    return access.scope && !is_allowed(ctx->identity, access) ? CH_ERR_FORBIDDEN : CH_OK;
}

enum ch_err ch_rpc_admit(struct ch_call *call, void *arg)
{
    struct ch_loop_state *state = arg;

    if (!state->auth)
        return CH_OK;
    if (!call->authorization.data)
        return CH_ERR_UNAUTHENTICATED;
    return ch_authorize_wait(state, &call->ctx, call->authorization, (struct ch_access){0});
}

enum ch_err ch_rpc_before(struct ch_call *call, void *arg)
{
    struct ch_loop_state *state = arg;
    struct ch_ctx *ctx = &call->ctx;
    struct rpc_work *work = ch_arena_alloc(ctx->arena, sizeof(*work));
    enum ch_err err;

    if (!work)
        return CH_ERR_NO_MEMORY;
    ctx->pg = state->pg;
    ctx->span = &work->span;
    ch_span_start(&work->span, &ctx->trace, CH_SPAN_SERVER, call->rpc->path);
    ch_in_flight_add(state, ctx);
    work->class = call->rpc->is_stream ? CH_SHED_STREAM : CH_SHED_NORMAL;
    err = ch_shed_enter(&state->shed, work->class);
    work->is_counted = !err;
    if (!err)
        err = ch_authorize_wait(state, ctx, call->authorization,
                                (struct ch_access){call->rpc->scope, call->rpc->services});
    ctx->step = "handle";
    return err;
}

void ch_rpc_after(struct ch_call *call, enum ch_err result, void *arg)
{
    struct ch_loop_state *state = arg;
    struct ch_ctx *ctx = &call->ctx;
    struct rpc_work *work = (struct rpc_work *)ctx->span;
    const int64_t duration_ns = ch_now_ns() - ctx->start_ns;

    if (!work) // `before` had no memory: nothing to take back
        return;
    if (work->is_counted)
        ch_shed_leave(&state->shed, work->class);
    if (!result && work->class != CH_SHED_STREAM)
        ch_shed_learn(&state->shed, &state->rpc_usual[call->rpc - state->process->service->rpcs], duration_ns,
                      ctx->start_ns + duration_ns);
    if (result)
        ch_failure_settle(ctx, "rpc.failed", result);
    ch_stats_rpc(state, call->rpc, result, duration_ns);
    ch_log(result == CH_ERR_OVERLOADED ? CH_LOG_DEBUG : CH_LOG_INFO, &ctx->trace, "rpc.call",
           CH_LS("method", call->rpc->path), CH_LS("code", ch_err_row(result)->code),
           CH_LI("duration_us", duration_ns / 1000),
           CH_LS("caller", ctx->identity && ctx->identity->service[0] ? ctx->identity->service : NULL));
    ch_in_flight_remove(state, ctx);
    ch_span_attr(&work->span, CH_LS("rpc.system", "grpc"));
    ch_span_attr(&work->span, CH_LI("rpc.grpc.status_code", ch_err_row(result)->grpc_status));
    ch_span_end(&work->span, result);
    ctx->span = NULL;
}
