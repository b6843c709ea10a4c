// SPDX-License-Identifier: Apache-2.0
// The rules of cancelling. Three durable steps, each safe to repeat by anybody at any time: the wish is stored,
// DeliveryMock is asked to stop the box (it alone knows whether it has left), the order becomes CANCELLED. The buyer's
// request and the reconciler both walk them from the second on, so a crash anywhere only means that somebody else walks
// on.
#include "cancel.h"

#include "cancel_store.h"
#include "ch/audit.h"
#include "ch/point.h"
#include "config.h"
#include "delivery_client.h"
#include "order_store.h"
#include "queries.h"

enum { CLAIM_MAX = 32, STUCK_S = 60 };
#define FIRST_RETRY_S 2.0 // about as long as the request's own attempt may take

const struct cancel_reason_row cancel_reason_rows[] = {
#define CANCEL_REASON(id, text, who) [CANCEL_##id] = {text, who},
#include "cancel_reasons.def"
#undef CANCEL_REASON
};

const char *const cancel_reason_names[] = {
#define CANCEL_REASON(id, text, who) [CANCEL_##id] = #id,
#include "cancel_reasons.def"
#undef CANCEL_REASON
    [CANCEL_REASON_COUNT] = NULL,
};

const char *const cancel_state_names[] = {
    [CANCEL_NONE] = "",           [CANCEL_REQUESTED] = "REQUESTED", [CANCEL_DONE] = "DONE",
    [CANCEL_REFUSED] = "REFUSED", [CANCEL_STATE_COUNT] = NULL,
};

#define IN(member) offsetof(struct cancel_wish, member)

// contracts/openapi/order-manager.yaml, schema OrderCancel
const struct ch_field cancel_wish_fields[] = {
    {"reason", CH_FIELD_ENUM, IN(reason), .flags = CH_F_OPTIONAL, .names = cancel_reason_names},
    {"note", CH_FIELD_STR, IN(note), .flags = CH_F_OPTIONAL | CH_F_TRIM | CH_F_MULTILINE, .max = CANCEL_NOTE_MAX},
    {0},
};

enum ch_err cancel_wish_check(struct ch_ctx *ctx, enum order_actor actor, struct cancel_wish *wish)
{
    if (wish->reason == CANCEL_REASON_COUNT && actor != BY_BUYER)
        return ch_fail(ctx, CH_ERR_INVALID, "/reason", "required", "고객의 주문을 취소하는 사유를 보내 주세요");
    if (wish->reason == CANCEL_REASON_COUNT)
        wish->reason = CANCEL_CHANGED_MIND;
    if (!(cancel_reason_rows[wish->reason].who & actor))
        return ch_fail(ctx, CH_ERR_INVALID, "/reason", "enum", "구매자가 고를 수 없는 사유입니다");
    if (wish->reason == CANCEL_OTHER && wish->note.len == 0)
        return ch_fail(ctx, CH_ERR_INVALID, "/note", "required", "기타 사유는 내용을 적어 주세요");
    return CH_OK;
}

// ---- the steps

static const struct ch_metric ended_metric = {
    .name = "order_cancellations_total",
    .type = CH_COUNTER,
    .help = "Cancellations that came to their end here, by which.",
    .labels = {"outcome"},
};

static void count_end(const char *outcome)
{
    ch_count(ch_series_get(&ended_metric, (const char *const[]){outcome, NULL}), 1);
}

// One commit: the order is CANCELLED, its timeline says so, the money goes back, the event tells the others.
static enum ch_err store_cancelled_wait(struct ch_ctx *ctx, struct ch_uuid order_id)
{
    struct ch_tx tx CH_TX = {0};
    struct cancel_facts facts;
    enum ch_err err;

    ctx->step = "store the cancellation";
    err = ch_tx_begin_wait(ctx, &tx);
    if (err)
        return err;
    err = cancellation_lock_wait(&tx, order_id, &facts);
    if (err)
        return err;
    if (facts.status == ORDER_CANCELLED)
        return CH_OK; // somebody else was here first
    if (facts.state != CANCEL_REQUESTED || !order_may_move(facts.status, ORDER_CANCELLED, facts.actor)) {
        // DeliveryMock says that the box never left, and told us earlier that it did: a person has to look.
        ch_log(CH_LOG_ERROR, &ctx->trace, "cancellation.contradicts", CH_LU("order_id", order_id),
               CH_LS("status", order_status_names[facts.status]), CH_LS("state", cancel_state_names[facts.state]));
        return CH_ERR_CONFLICT;
    }
    err = cancellation_finish_wait(&tx, &facts);
    if (!err)
        err = CH_POINT(CANCEL_BEFORE_COMMIT);
    if (err)
        return err;
    err = ch_tx_commit_wait(&tx);
    if (err)
        return err;
    ch_outbox_wake();
    count_end("done");
    ch_log(CH_LOG_INFO, &ctx->trace, "order.cancelled", CH_LU("order_id", order_id),
           CH_LS("actor", order_actor_name(facts.actor)), CH_LS("reason", cancel_reason_names[facts.reason]));
    return CH_POINT(CANCEL_COMMITTED);
}

static enum ch_err refused(struct ch_ctx *ctx)
{
    return ch_fail(ctx, CH_ERR_NOT_CANCELLABLE, NULL, NULL,
                   "상품이 이미 출발하여 주문을 취소할 수 없습니다. 받은 뒤 반품을 신청해 주세요.");
}

// From the stored wish to its end. CH_OK: CANCELLED. CH_ERR_NOT_CANCELLABLE: REFUSED. Anything else: not known, try
// again.
static enum ch_err finish_wait(struct ch_ctx *ctx, struct ch_uuid order_id, int reason)
{
    enum ch_err err = delivery_cancel_wait(ctx, order_id, cancel_reason_rows[reason].text);

    if (err == CH_OK)
        err = CH_POINT(CANCEL_BOX_ANSWERED);
    if (err == CH_OK)
        return store_cancelled_wait(ctx, order_id);
    if (err != CH_ERR_BAD_TRANSITION)
        return err;
    err = cancellation_refuse_wait(ctx, order_id);
    if (err)
        return err;
    count_end("refused");
    ch_log(CH_LOG_INFO, &ctx->trace, "cancellation.refused", CH_LU("order_id", order_id));
    return refused(ctx);
}

// ---- what a buyer or an operator asks for

// The wish is stored: whatever kept it from its end, the caller may ask again, and need not.
static enum ch_err not_yet(struct ch_ctx *ctx, struct ch_uuid order_id, enum ch_err err)
{
    if (err == CH_OK || err == CH_ERR_NOT_CANCELLABLE || err == CH_ERR_CANCELLED)
        return err;
    ch_log(CH_LOG_WARN, &ctx->trace, "cancellation.waits", CH_LU("order_id", order_id),
           CH_LS("error", ch_err_row(err)->code), CH_LS("step", ctx->step));
    ctx->detail = "취소 요청을 접수했습니다. 배송 확인이 끝나는 대로 취소됩니다. 잠시 후 주문을 다시 확인해 주세요.";
    return CH_ERR_UNAVAILABLE;
}

static enum ch_err audit_wish_wait(struct ch_ctx *ctx, const struct cancel_request *request)
{
    const struct ch_audit entry = {.action = "order.cancel",
                                   .subject = ch_str_of(ch_arena_uuid(ctx->arena, request->order_id)),
                                   .detail = ch_str_of(cancel_reason_names[request->wish.reason])};

    return ch_audit_wait(ctx, Q_AUDIT_INSERT, &entry);
}

enum ch_err order_cancel_wait(struct ch_ctx *ctx, struct ch_uuid order_id, struct cancel_wish *wish)
{
    struct order_cancellation earlier;
    struct order order;
    enum ch_err err;

    err = order_get_wait(ctx, order_id, &order);
    if (err)
        return err;
    const enum order_actor actor = ch_uuid_eq(order.buyer_id, ctx->identity->id) ? BY_BUYER : BY_OPERATOR;
    err = cancel_wish_check(ctx, actor, wish);
    if (err)
        return err;
    if (order.status == ORDER_CANCELLED)
        return CH_OK;
    if (!order_may_move(order.status, ORDER_CANCELLED, actor))
        return refused(ctx);
    err = cancellation_find_wait(ctx, order_id, &earlier);
    if (err)
        return err;
    if (earlier.state == CANCEL_REFUSED)
        return refused(ctx);
    if (earlier.state == CANCEL_NONE) {
        const struct cancel_request request = {order_id, ctx->identity->id, actor, *wish, FIRST_RETRY_S};

        err = CH_POINT(CANCEL_BEFORE_WISH);
        if (!err && actor == BY_OPERATOR)
            err = audit_wish_wait(ctx, &request);
        if (!err)
            err = cancellation_request_wait(ctx, &request);
        if (err)
            return err;
    }
    err = CH_POINT(CANCEL_WISH_STORED);
    return not_yet(ctx, order_id, err ? err : finish_wait(ctx, order_id, wish->reason));
}

// ---- the reconciler

static const struct ch_metric pending_metric = {
    .name = "order_cancellations_pending",
    .type = CH_GAUGE,
    .help = "Cancellations that are asked for and neither done nor refused, of all instances.",
};
static const struct ch_metric oldest_metric = {
    .name = "order_cancellations_oldest_seconds",
    .type = CH_GAUGE,
    .help = "Age of the oldest cancellation that is neither done nor refused; 0 when there is none.",
};

static enum ch_err look_wait(struct ch_ctx *ctx, int64_t *ret_count)
{
    static bool was_stuck; // of loop 0: the jobs' own
    int64_t oldest_s;

    const enum ch_err err = cancellation_backlog_wait(ctx, ret_count, &oldest_s);
    if (err)
        return err;
    ch_gauge_set(ch_series_get(&pending_metric, (const char *const[]){NULL}), *ret_count);
    ch_gauge_set(ch_series_get(&oldest_metric, (const char *const[]){NULL}), oldest_s);
    const bool is_stuck = oldest_s >= STUCK_S;
    if (is_stuck != was_stuck)
        ch_log(is_stuck ? CH_LOG_WARN : CH_LOG_INFO, &ctx->trace,
               is_stuck ? "cancellations.stuck" : "cancellations.unstuck", CH_LI("pending", *ret_count),
               CH_LI("oldest_s", oldest_s));
    was_stuck = is_stuck;
    return CH_OK;
}

enum ch_err cancel_reconcile_wait(struct ch_ctx *ctx)
{
    struct cancel_claim *claims;
    size_t claim_count;
    int64_t pending;
    enum ch_err err, worst = CH_OK;

    err = look_wait(ctx, &pending);
    if (err || pending == 0)
        return err;
    if (!ch_peer_is_up(ch_peer_at(ctx, PEER_DELIVERY)))
        return CH_OK; // its absence shows in the peer's own metrics; nothing is claimed, so nothing is put off
    err = cancellation_claim_wait(ctx, CLAIM_MAX, &claims, &claim_count);
    if (!err && claim_count)
        err = CH_POINT(CANCEL_CLAIMED);
    if (err)
        return err;
    for (size_t i = 0; i < claim_count; i++) {
        err = finish_wait(ctx, claims[i].order_id, claims[i].reason);
        ch_log(CH_LOG_INFO, &ctx->trace, "cancellation.resumed", CH_LU("order_id", claims[i].order_id),
               CH_LI("attempts", claims[i].attempts), CH_LS("result", ch_err_row(err)->code));
        if (err == CH_OK || err == CH_ERR_NOT_CANCELLABLE)
            continue;
        worst = err;
        if (err == CH_ERR_UNAVAILABLE || err == CH_ERR_DEADLINE || err == CH_ERR_CANCELLED)
            break; // it would be the same for the others
    }
    return worst;
}
