// SPDX-License-Identifier: Apache-2.0
// Admits orders: all that arrive while an admission is in flight share the next one. One look at their keys, then one
// Reserve for those whose key is new. Must never reserve for a key that it found used.
#include "order_admit.h"

#include "catalog_client.h"
#include "ch/point.h"
#include "tables.h"

enum { ADMIT_TIMEOUT_MS = 3000 };

struct admission {
    struct ch_batch_item item; // first: the batch hands items back
    struct ch_ctx *ctx;
    struct order *order;
    struct order_key key;
};

static enum ch_err look_up_keys(struct ch_ctx *ctx, struct ch_batch_item **items, size_t count)
{
    struct order_key *keys = ch_arena_array(ctx->arena, count, sizeof(*keys));

    if (!keys)
        return CH_ERR_NO_MEMORY;
    for (size_t i = 0; i < count; i++) {
        const struct admission *admission = (const struct admission *)items[i];
        keys[i] = (struct order_key){.order = admission->order, .arena = admission->ctx->arena};
    }
    enum ch_err err = order_by_keys_wait(ctx, keys, count);
    for (size_t i = 0; i < count && !err; i++)
        ((struct admission *)items[i])->key = keys[i];
    return err;
}

static enum ch_err reserve_for_new_keys(struct ch_ctx *ctx, struct ch_batch_item **items, size_t count)
{
    struct reservation *reservations = ch_arena_array(ctx->arena, count, sizeof(*reservations));
    struct ch_batch_item **reserving = ch_arena_array(ctx->arena, count, sizeof(struct ch_batch_item *));
    size_t new_count = 0;

    if (!reservations || !reserving)
        return CH_ERR_NO_MEMORY;
    for (size_t i = 0; i < count; i++) {
        struct admission *admission = (struct admission *)items[i];

        admission->item.result = CH_OK;
        if (admission->key.is_used || admission->key.is_erased)
            continue;
        admission->order->order_id = ch_uuid_new();
        admission->order->cluster_run = admission->key.cluster_run;
        reservations[new_count] = (struct reservation){.ctx = admission->ctx, .order = admission->order};
        reserving[new_count++] = items[i];
    }
    enum ch_err err = new_count ? catalog_reserve_wait(ctx, reservations, new_count) : CH_OK;
    for (size_t i = 0; i < new_count; i++)
        reserving[i]->result = err ? err : reservations[i].result;
    return CH_OK; // what went wrong with Reserve is no affair of those that needed none
}

void order_admit_commit(void *loop, struct ch_batch_item **items, size_t count)
{
    const struct admission *first = (const struct admission *)items[0];
    struct ch_ctx ctx;

    enum ch_err err = ch_ctx_open(&ctx, loop, "order.admit", ADMIT_TIMEOUT_MS, &first->ctx->trace);
    if (!err) {
        err = look_up_keys(&ctx, items, count);
        if (!err)
            err = CH_POINT(PLACE_KEY_LOOKED_UP);
        if (!err)
            err = reserve_for_new_keys(&ctx, items, count);
        ch_ctx_close(&ctx, err);
    }
    for (size_t i = 0; i < count && err; i++)
        items[i]->result = err;
}

enum ch_err order_admit_wait(struct ch_ctx *ctx, struct order *order, struct order_key *ret_key)
{
    struct batches *batches = ch_loop_state(ctx);
    struct admission admission = {.ctx = ctx, .order = order};

    ctx->step = "reserve stock";
    enum ch_err err = ch_batch_join_wait(&batches->admit, &admission.item, ctx->deadline_ns);
    *ret_key = admission.key;
    return err;
}
