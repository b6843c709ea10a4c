// SPDX-License-Identifier: Apache-2.0
// Cancellations: rows to structs and back. Decides nothing; what may be cancelled is cancel.c's affair.
#include "cancel_store.h"

#include "order_personal.h"
#include "queries.h"

enum { EVENT_DATA_MAX = 1024 };

enum ch_err cancellation_request_wait(struct ch_ctx *ctx, const struct cancel_request *request)
{
    char traceparent[CH_TRACEPARENT_TEXT];
    struct ch_pg_args args;
    struct ch_str note;

    const enum ch_err err = personal_seal_note(ctx->arena, request->order_id, request->wish.note, &note);
    if (err)
        return err;
    ch_trace_format(&ctx->trace, traceparent);
    ch_pg_args_init(&args, ctx);
    ch_pg_uuid(&args, request->order_id);
    ch_pg_text(&args, ch_str_of(order_actor_name(request->actor)));
    ch_pg_uuid(&args, request->actor_id);
    ch_pg_text(&args, ch_str_of(cancel_reason_names[request->wish.reason]));
    ch_pg_bytea(&args, note);
    ch_pg_text(&args, ch_str_of(traceparent));
    ch_pg_double(&args, request->first_retry_s);
    ctx->step = "store the wish";
    return ch_pg_run_wait(ctx, Q_CANCELLATION_REQUEST, &args, NULL);
}

enum ch_err cancellation_find_wait(struct ch_ctx *ctx, struct ch_uuid order_id,
                                   struct order_cancellation *ret_cancellation)
{
    enum { COL_STATE, COL_ACTOR, COL_REASON, COL_NOTE, COL_REQUESTED, COL_FINISHED, COL_REFUND };
    struct ch_pg_rows *rows CH_PG_ROWS = NULL;
    struct ch_pg_args args;

    ch_pg_args_init(&args, ctx);
    ch_pg_uuid(&args, order_id);
    const enum ch_err err = ch_pg_run_wait(ctx, Q_CANCELLATION_FIND, &args, &rows);
    if (err)
        return err;
    *ret_cancellation = (struct order_cancellation){.state = CANCEL_NONE};
    if (ch_pg_count(rows) == 0)
        return CH_OK;
    *ret_cancellation = (struct order_cancellation){
        .state = (enum cancel_state)ch_pg_get_name(rows, 0, COL_STATE, cancel_state_names),
        .reason = ch_pg_get_name(rows, 0, COL_REASON, cancel_reason_names),
        .actor = ch_pg_copy_str(rows, 0, COL_ACTOR, ctx->arena),
        .requested_at_us = ch_pg_get_time(rows, 0, COL_REQUESTED),
        .finished_at_us = ch_pg_get_time(rows, 0, COL_FINISHED),
        .refund_krw = ch_pg_get_int(rows, 0, COL_REFUND),
    };
    return personal_open_note(ctx->arena, order_id, ch_pg_get_str(rows, 0, COL_NOTE), &ret_cancellation->note);
}

enum ch_err cancellation_lock_wait(struct ch_tx *tx, struct ch_uuid order_id, struct cancel_facts *ret_facts)
{
    enum { COL_STATUS, COL_ORDER_NO, COL_TOTAL, COL_STATE, COL_ACTOR, COL_REASON, COL_TRACEPARENT };
    struct ch_pg_rows *rows CH_PG_ROWS = NULL;
    struct ch_arena *arena = tx->ctx->arena;
    struct ch_pg_args args;

    ch_pg_args_init(&args, tx->ctx);
    ch_pg_uuid(&args, order_id);
    const enum ch_err err = ch_tx_run_wait(tx, Q_CANCELLATION_LOCK, &args, &rows);
    if (err)
        return err;
    if (ch_pg_count(rows) == 0)
        return CH_ERR_NOT_FOUND;
    *ret_facts = (struct cancel_facts){
        .order_id = order_id,
        .status = (enum order_status)ch_pg_get_name(rows, 0, COL_STATUS, order_status_names),
        .state = (enum cancel_state)ch_pg_get_name(rows, 0, COL_STATE, cancel_state_names),
        .actor = order_actor_parse(ch_pg_get_str(rows, 0, COL_ACTOR)),
        .reason = ch_pg_get_name(rows, 0, COL_REASON, cancel_reason_names),
        .order_no = ch_pg_copy_str(rows, 0, COL_ORDER_NO, arena),
        .traceparent = ch_pg_copy_str(rows, 0, COL_TRACEPARENT, arena),
        .total_krw = ch_pg_get_int(rows, 0, COL_TOTAL),
    };
    return CH_OK;
}

// contracts/asyncapi.yaml, data of order.cancelled.v1: no note, for it may name people, and no buyer, for
// nobody needs it.
static struct ch_str event_data(struct ch_arena *arena, const struct cancel_facts *facts)
{
    struct ch_buf text;
    struct ch_jw jw;

    ch_buf_init(&text, EVENT_DATA_MAX);
    ch_jw_init(&jw, &text);
    ch_jw_object(&jw);
    ch_jw_kuuid(&jw, "orderId", facts->order_id);
    ch_jw_kstr(&jw, "orderNo", facts->order_no);
    ch_jw_kcstr(&jw, "actor", order_actor_name(facts->actor));
    ch_jw_kcstr(&jw, "reason", cancel_reason_names[facts->reason]);
    ch_jw_kint(&jw, "refundKrw", facts->total_krw);
    ch_jw_ktime(&jw, "cancelledAt", ch_wall_us());
    ch_jw_object_end(&jw);
    return ch_buf_take(&text, arena);
}

enum ch_err cancellation_finish_wait(struct ch_tx *tx, const struct cancel_facts *facts)
{
    const struct ch_str data = event_data(tx->ctx->arena, facts);
    struct ch_trace trace;
    char trace_id[33];
    struct ch_pg_args args;

    if (!data.data)
        return CH_ERR_NO_MEMORY;
    ch_trace_start(&trace, facts->traceparent);
    ch_trace_id_text(&trace, trace_id);
    ch_pg_args_init(&args, tx->ctx);
    ch_pg_uuid(&args, facts->order_id);
    ch_pg_text(&args, ch_str_of(order_actor_name(facts->actor)));
    ch_pg_text(&args, ch_str_of(cancel_reason_rows[facts->reason].text));
    ch_pg_text(&args, ch_str_of(trace_id));
    ch_pg_uuid(&args, ch_uuid_new());
    ch_pg_text(&args, data);
    ch_pg_text(&args, facts->traceparent);
    return ch_tx_run_wait(tx, Q_CANCELLATION_FINISH, &args, NULL);
}

enum ch_err cancellation_refuse_wait(struct ch_ctx *ctx, struct ch_uuid order_id)
{
    struct ch_pg_args args;

    ch_pg_args_init(&args, ctx);
    ch_pg_uuid(&args, order_id);
    return ch_pg_run_wait(ctx, Q_CANCELLATION_REFUSE, &args, NULL);
}

enum ch_err cancellation_claim_wait(struct ch_ctx *ctx, int32_t limit, struct cancel_claim **ret_claims,
                                    size_t *ret_count)
{
    struct ch_pg_rows *rows CH_PG_ROWS = NULL;
    struct ch_pg_args args;

    ch_pg_args_init(&args, ctx);
    ch_pg_int4(&args, limit);
    const enum ch_err err = ch_pg_run_wait(ctx, Q_CANCELLATION_CLAIM, &args, &rows);
    if (err)
        return err;
    const size_t count = ch_pg_count(rows);
    struct cancel_claim *claims = ch_arena_array(ctx->arena, count, sizeof(*claims));
    if (count && !claims)
        return CH_ERR_NO_MEMORY;
    for (size_t i = 0; i < count; i++)
        claims[i] = (struct cancel_claim){.order_id = ch_pg_get_uuid(rows, i, 0),
                                          .reason = ch_pg_get_name(rows, i, 1, cancel_reason_names),
                                          .attempts = ch_pg_get_int(rows, i, 2)};
    *ret_claims = claims;
    *ret_count = count;
    return CH_OK;
}

enum ch_err cancellation_backlog_wait(struct ch_ctx *ctx, int64_t *ret_count, int64_t *ret_oldest_s)
{
    struct ch_pg_rows *rows CH_PG_ROWS = NULL;
    struct ch_pg_args args;

    ch_pg_args_init(&args, ctx);
    const enum ch_err err = ch_pg_run_wait(ctx, Q_CANCELLATION_BACKLOG, &args, &rows);
    if (err)
        return err;
    *ret_count = ch_pg_get_int(rows, 0, 0);
    *ret_oldest_s = ch_pg_get_int(rows, 0, 1);
    return CH_OK;
}
