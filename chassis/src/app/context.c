// SPDX-License-Identifier: Apache-2.0
// Contexts: their place in the loop's list of work in flight, their memory, and those of work that no request started.
// Whatever is in the list is seen by /requests and waited for by the drain, so nothing may run outside of it.
#include "loop_state.h"

#include <assert.h>

/* ---- the list
 * --------------------------------------------------------------------------------------------------------- */

void ch_in_flight_add(struct ch_loop_state *state, struct ch_ctx *ctx)
{
    ctx->fiber = ch_fiber_current();
    ctx->next = state->in_flight;
    ctx->prev = &state->in_flight;
    if (ctx->next)
        ctx->next->prev = &ctx->next;
    state->in_flight = ctx;
    atomic_store_explicit(&state->in_flight_shown, ++state->in_flight_count, memory_order_relaxed);
}

void ch_in_flight_remove(struct ch_loop_state *state, struct ch_ctx *ctx)
{
    assert(ctx->prev);
    *ctx->prev = ctx->next;
    if (ctx->next)
        ctx->next->prev = ctx->prev;
    ctx->next = NULL;
    ctx->prev = NULL;
    ctx->fiber = NULL;
    atomic_store_explicit(&state->in_flight_shown, --state->in_flight_count, memory_order_relaxed);
}

/* ---- spare memory
 * ----------------------------------------------------------------------------------------------------- */

struct ch_arena *ch_arena_take(struct ch_loop_state *state, size_t max_bytes)
{
    if (max_bytes == CH_WORK_ARENA_MAX && state->spare_arena_count > 0)
        return state->spare_arenas[--state->spare_arena_count];
    return ch_arena_new(max_bytes);
}

void ch_arena_give(struct ch_loop_state *state, struct ch_arena *arena)
{
    if (!arena || state->spare_arena_count == CH_SPARES_MAX) {
        ch_arena_free(arena);
        return;
    }
    ch_arena_reset(arena);
    state->spare_arenas[state->spare_arena_count++] = arena;
}

void ch_reply_buf_take(struct ch_loop_state *state, struct ch_buf *ret_buf)
{
    if (state->spare_buf_count > 0)
        *ret_buf = state->spare_bufs[--state->spare_buf_count];
    else
        ch_buf_init(ret_buf, CH_REPLY_MAX);
}

void ch_reply_buf_give(struct ch_loop_state *state, struct ch_buf *buf)
{
    if (buf->cap == 0 || buf->cap > CH_SPARE_KEEP_MAX || state->spare_buf_count == CH_SPARES_MAX) {
        ch_buf_release(buf);
        return;
    }
    ch_buf_reset(buf);
    state->spare_bufs[state->spare_buf_count++] = *buf;
}

void ch_spares_release(struct ch_loop_state *state)
{
    while (state->spare_arena_count > 0)
        ch_arena_free(state->spare_arenas[--state->spare_arena_count]);
    while (state->spare_buf_count > 0)
        ch_buf_release(&state->spare_bufs[--state->spare_buf_count]);
}

/* ---- work of the service itself
 * ------------------------------------------------------------------------------------------ */

enum ch_err ch_ctx_open(struct ch_ctx *ctx, struct ch_loop *loop, const char *name, int64_t timeout_ms,
                        const struct ch_trace *parent)
{
    struct ch_loop_state *state = ch_loop_user(loop);
    struct ch_arena *arena = ch_arena_take(state, CH_WORK_ARENA_MAX);
    struct ch_span *span = arena ? ch_arena_alloc(arena, sizeof(*span)) : NULL;
    const int64_t now_ns = ch_now_ns();

    if (!span) {
        ch_arena_free(arena);
        return CH_ERR_NO_MEMORY;
    }
    *ctx = (struct ch_ctx){
        .loop = loop,
        .arena = arena,
        .pg = state->pg,
        .deadline_ns = now_ns + timeout_ms * 1000000,
        .step = "run",
        .name = name,
        .start_ns = now_ns,
        .span = span,
    };
    ch_faults_init(&ctx->faults, arena);
    if (parent)
        ctx->trace = *parent;
    else
        ch_trace_start(&ctx->trace, (struct ch_str){0});
    ch_span_start(span, &ctx->trace, CH_SPAN_INTERNAL, name);
    ch_in_flight_add(state, ctx);
    return CH_OK;
}

void ch_ctx_close(struct ch_ctx *ctx, enum ch_err result)
{
    struct ch_loop_state *state = ch_state_of(ctx);

    ch_in_flight_remove(state, ctx);
    ch_span_end(ctx->span, result);
    ch_arena_give(state, ctx->arena);
    ctx->arena = NULL;
}

/* ---- what a context reaches
 * ------------------------------------------------------------------------------------------------ */

struct ch_peer *ch_peer_at(struct ch_ctx *ctx, int index)
{
    struct ch_loop_state *state = ch_state_of(ctx);

    assert(index >= 0 && index < state->peer_count);
    return state->peers[index];
}

void *ch_loop_state(const struct ch_ctx *ctx)
{
    return ch_state_of(ctx)->service_state;
}

int ch_own_query_first(const struct ch_ctx *ctx)
{
    return ch_state_of(ctx)->process->own_query_first;
}
