// SPDX-License-Identifier: Apache-2.0
// The rules of a delivery: who sees it, how it moves by hand, by the clock and when its order is cancelled.
#include "delivery.h"

#include "ch/audit.h"
#include "ch/mutant.h"
#include "ch/point.h"
#include "delivery_store.h"
#include "queries.h"

enum { DUE_MAX = 256 };

// What a step by hand to a status is called in the tracking.
static const enum tracking_type by_hand[DELIVERY_STATUS_COUNT] = {
    [DELIVERY_ON_ROUTE] = TRACKING_PICKED_UP,
    [DELIVERY_DELIVERED] = TRACKING_DELIVERED,
};

static double jitter(void)
{
    uint32_t random;

    ch_random(&random, sizeof(random));
    return 0.5 + (double)random / 4294967296.0;
}

static int dice(void)
{
    uint32_t random;

    ch_random(&random, sizeof(random));
    return (int)(random % 100);
}

// The delivery as it is after `type`, and what is to be written of it.
static struct delivery_step take_step(struct delivery *delivery, enum tracking_type type,
                                      const struct simulation *simulation)
{
    const int status_after = tracking_rows[type].status;
    struct delivery_step step = {.delivery = delivery, .previous = delivery->status};

    delivery->last_event = type;
    delivery->sequence++;
    delivery->updated_at_us = ch_wall_us();
    if (status_after >= 0 && delivery->status != (enum delivery_status)status_after) {
        delivery->status = (enum delivery_status)status_after;
        step.is_status_changed = true;
    }
    step.wait_s = step_wait_s(type, simulation, jitter());
    return step;
}

bool delivery_may_see(const struct ch_identity *who, const struct delivery *delivery)
{
    char farm[CH_UUID_TEXT];

    if (ch_may(who, CH_ADMIN | CH_INTERNAL | CH_DELIVERIES_WRITE))
        return true;
    if (ch_is_person(who, delivery->buyer_id))
        return true;
    if (!who->is_farmer || ch_uuid_is_nil(who->farm_id))
        return false;
    ch_uuid_format(who->farm_id, farm);
    return delivery->farm_ids.data && strstr(delivery->farm_ids.data, farm) != NULL;
}

enum ch_err delivery_get_wait(struct ch_ctx *ctx, struct ch_uuid order_id, struct delivery *ret_delivery)
{
    struct delivery *found;
    size_t count;

    enum ch_err err = delivery_find_wait(ctx, &order_id, 1, &found, &count);
    if (err)
        return err;
    if (count == 0 || ch_uuid_is_nil(found->delivery_id) || !delivery_may_see(ctx->identity, found))
        return CH_ERR_NOT_FOUND;
    *ret_delivery = *found;
    return CH_OK;
}

static enum ch_err audit_advance(struct ch_tx *tx, struct ch_uuid order_id, enum delivery_status to)
{
    const struct ch_audit entry = {.action = "delivery.advance",
                                   .subject = ch_str_of(ch_arena_uuid(tx->ctx->arena, order_id)),
                                   .detail = ch_str_of(delivery_status_names[to])};

    return ch_audit_add(tx, Q_AUDIT_INSERT, &entry);
}

// One step of one delivery in its own transaction; `decide` says which, or that there is nothing to do.
static enum ch_err step_one_wait(struct ch_ctx *ctx, struct ch_uuid order_id,
                                 enum ch_err (*decide)(struct ch_ctx *, const struct delivery *, enum delivery_status,
                                                       enum tracking_type *),
                                 enum delivery_status to, struct delivery *ret_delivery)
{
    struct ch_tx tx CH_TX = {0};
    struct simulation simulation;
    enum tracking_type type = TRACKING_TYPE_COUNT;
    enum ch_err err;

    err = simulation_get_wait(ctx, &simulation);
    if (err)
        return err == CH_ERR_NOT_FOUND ? CH_ERR_UNAVAILABLE : err; // the clock is set up at its first tick
    err = ch_tx_begin_wait(ctx, &tx);
    if (err)
        return err;
    err = delivery_lock_wait(&tx, order_id, ret_delivery);
    if (err)
        return err;
    err = decide(ctx, ret_delivery, to, &type);
    if (err)
        return err;
    if (type == TRACKING_TYPE_COUNT)
        return CH_OK;
    const struct delivery_step step = take_step(ret_delivery, type, &simulation);
    err = delivery_apply_wait(&tx, &step, 1);
    if (!err)
        err = CH_POINT(CANCEL_BOX_WRITTEN);
    if (!err && to != DELIVERY_CANCELLED)
        err = audit_advance(&tx, order_id, to);
    if (err)
        return err;
    err = ch_tx_commit_wait(&tx);
    if (err)
        return err;
    ch_outbox_wake();
    return CH_OK;
}

static enum ch_err decide_advance(struct ch_ctx *ctx, const struct delivery *delivery, enum delivery_status to,
                                  enum tracking_type *ret_type)
{
    if (ch_uuid_is_nil(delivery->delivery_id))
        return CH_ERR_NOT_FOUND;
    if (delivery->status == to)
        return CH_OK;
    if (delivery->status == DELIVERY_CANCELLED || to != delivery->status + 1)
        return ch_fail(ctx, CH_ERR_BAD_TRANSITION, "/to", "bad_transition", "%s에서 %s(으)로 바꿀 수 없습니다",
                       delivery_status_names[delivery->status], delivery_status_names[to]);
    *ret_type = by_hand[to];
    return CH_OK;
}

enum ch_err delivery_advance_wait(struct ch_ctx *ctx, struct ch_uuid order_id, enum delivery_status to,
                                  struct delivery *ret_delivery)
{
    enum ch_err err = step_one_wait(ctx, order_id, decide_advance, to, ret_delivery);

    return err ? err : delivery_get_wait(ctx, order_id, ret_delivery);
}

static enum ch_err decide_cancel(struct ch_ctx *ctx, const struct delivery *delivery, enum delivery_status to,
                                 enum tracking_type *ret_type)
{
    (void)to;
    if (delivery->status == DELIVERY_CANCELLED)
        return CH_OK;
    if (delivery->status != DELIVERY_READY)
        return ch_fail(ctx, CH_ERR_BAD_TRANSITION, NULL, NULL, "이미 출발한 배송은 취소할 수 없습니다");
    *ret_type = TRACKING_CANCELLED;
    return CH_OK;
}

static enum ch_err leave_tombstone_wait(struct ch_ctx *ctx, struct ch_uuid order_id)
{
    struct ch_tx tx CH_TX = {0};
    enum ch_err err;

    err = ch_tx_begin_wait(ctx, &tx);
    if (err)
        return err;
    err = delivery_tombstone_wait(&tx, order_id);
    if (err)
        return err;
    return ch_tx_commit_wait(&tx);
}

enum ch_err delivery_cancel_wait(struct ch_ctx *ctx, struct ch_uuid order_id, struct delivery *ret_delivery)
{
    enum ch_err err = step_one_wait(ctx, order_id, decide_cancel, DELIVERY_CANCELLED, ret_delivery);

    if (err != CH_ERR_NOT_FOUND)
        return err ? err : CH_POINT(CANCEL_BOX_STOPPED);
    if (CH_MUTANT(CANCEL_WITHOUT_TOMBSTONE)) {
        *ret_delivery = (struct delivery){.order_id = order_id, .status = DELIVERY_CANCELLED};
        return CH_OK;
    }
    err = leave_tombstone_wait(ctx, order_id);
    if (!err)
        err = CH_POINT(CANCEL_TOMBSTONE_LEFT);
    if (err)
        return err;
    // The event may have come between: then there is a delivery to stop, else the tombstone answers.
    return step_one_wait(ctx, order_id, decide_cancel, DELIVERY_CANCELLED, ret_delivery);
}

// Moves up to DUE_MAX boxes whose time has come; *ret_moved tells how many.
static enum ch_err move_due_wait(struct ch_ctx *ctx, const struct simulation *simulation, size_t *ret_moved)
{
    struct ch_tx tx CH_TX = {0};
    struct delivery *due;
    size_t count, moved = 0;
    enum ch_err err;

    err = ch_tx_begin_wait(ctx, &tx);
    if (err)
        return err;
    err = delivery_lock_due_wait(&tx, DUE_MAX, &due, &count);
    if (err || count == 0) {
        *ret_moved = 0;
        return err;
    }
    struct delivery_step *steps = ch_arena_array(ctx->arena, count, sizeof(*steps));
    if (!steps)
        return CH_ERR_NO_MEMORY;
    for (size_t i = 0; i < count; i++) {
        const enum tracking_type next = step_after(due[i].last_event, dice());
        if (next != TRACKING_TYPE_COUNT)
            steps[moved++] = take_step(&due[i], next, simulation);
    }
    if (moved) {
        err = delivery_apply_wait(&tx, steps, moved);
        if (err)
            return err;
    }
    err = ch_tx_commit_wait(&tx);
    if (err)
        return err;
    ch_outbox_wake();
    *ret_moved = moved;
    return CH_OK;
}

enum ch_err delivery_clock_tick(struct ch_ctx *ctx)
{
    struct simulation simulation;
    size_t moved;

    enum ch_err err = simulation_get_wait(ctx, &simulation);
    if (err || simulation.is_paused)
        return err;
    return move_due_wait(ctx, &simulation, &moved); // what is left is due at the next tick
}
