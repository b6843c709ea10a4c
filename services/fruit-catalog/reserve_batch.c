// SPDX-License-Identifier: Apache-2.0
// The group commit of reservations: all calls that arrive while a commit is in flight share the next one. Two round
// trips to the database: lock and read, write and commit. A batch that meets somebody else's decision about one of its
// orders starts again and sees it.
#include "ch/point.h"
#include "ids.h"
#include "product_cache.h"
#include "reserve.h"
#include "tables.h"

enum { RESERVE_TIMEOUT_MS = 3000, ATTEMPTS = 4 };

struct reservation {
    struct ch_batch_item item; // first: the batch hands items back
    struct ch_ctx *ctx;
    struct reserve_order *orders;
    size_t count;
    struct ch_str cluster_run;
};

struct flight {
    struct ch_ctx *ctx;
    struct reserve_order **orders; // of all calls, in their order
    struct reserve_order *wishes;  // the same as they came: deciding again begins with them
    size_t count;
    struct reserve_asked asked;
    struct ch_str cluster_run; // of all calls; data NULL: they differ
    struct reserve_facts facts;
};

// ---- what the batch is about

static enum ch_err flight_load(struct flight *flight, struct ch_batch_item **items, size_t count)
{
    struct ch_arena *arena = flight->ctx->arena;
    struct reserve_asked *asked = &flight->asked;
    size_t lines = 0, at = 0;

    for (size_t i = 0; i < count; i++) {
        const struct reservation *call = (const struct reservation *)items[i];

        flight->count += call->count;
        for (size_t j = 0; j < call->count; j++)
            lines += call->orders[j].line_count;
    }
    flight->orders = ch_arena_array(arena, flight->count, sizeof(struct reserve_order *));
    flight->wishes = ch_arena_array(arena, flight->count, sizeof(*flight->wishes));
    asked->order_ids = ch_arena_array(arena, flight->count, sizeof(*asked->order_ids));
    asked->line_buyers = ch_arena_array(arena, lines, sizeof(*asked->line_buyers));
    asked->line_skus = ch_arena_array(arena, lines, sizeof(*asked->line_skus));
    asked->sku_ids = ch_arena_array(arena, lines, sizeof(*asked->sku_ids));
    if (!flight->orders || !flight->wishes || !asked->order_ids || !asked->sku_ids || !asked->line_buyers ||
        !asked->line_skus)
        return CH_ERR_NO_MEMORY;
    for (size_t i = 0; i < count; i++) {
        const struct reservation *call = (const struct reservation *)items[i];

        for (size_t j = 0; j < call->count; j++, at++) {
            flight->orders[at] = &call->orders[j];
            flight->wishes[at] = call->orders[j];
            asked->order_ids[at] = call->orders[j].order_id;
            for (size_t k = 0; k < call->orders[j].line_count; k++, asked->line_count++) {
                asked->line_buyers[asked->line_count] = call->orders[j].buyer_id;
                asked->line_skus[asked->line_count] = call->orders[j].lines[k].sku_id;
            }
        }
    }
    asked->order_count = at;
    memcpy(asked->sku_ids, asked->line_skus, asked->line_count * sizeof(*asked->sku_ids));
    asked->sku_count = ids_sort_unique(asked->sku_ids, asked->line_count);
    flight->cluster_run = ((const struct reservation *)items[0])->cluster_run;
    for (size_t i = 1; i < count; i++)
        if (!ch_str_eq(((const struct reservation *)items[i])->cluster_run, flight->cluster_run))
            flight->cluster_run = (struct ch_str){0};
    return CH_OK;
}

// ---- one attempt

static void drop_pages(const struct reserve_facts *facts)
{
    for (size_t i = 0; i < facts->sku_count; i++)
        if (facts->skus[i].taken)
            product_cache_drop(facts->skus[i].product_id);
}

static bool takes_any(const struct flight *flight)
{
    for (size_t i = 0; i < flight->count; i++)
        if (flight->orders[i]->is_new)
            return true;
    return false;
}

static enum ch_err attempt_wait(struct flight *flight)
{
    struct reserve_facts *facts = &flight->facts;
    struct ch_ctx *ctx = flight->ctx;
    struct ch_tx tx CH_TX = {0};
    enum ch_err err;

    for (size_t i = 0; i < flight->count; i++)
        *flight->orders[i] = flight->wishes[i];
    err = ch_tx_begin_wait(ctx, &tx);
    if (err)
        return err;
    err = reserve_lock(&tx, flight->asked.sku_ids, flight->asked.sku_count);
    if (err)
        return err;
    err = reserve_read_wait(ctx, &tx, &flight->asked, facts);
    if (err)
        return err;
    err = reserve_decide(ctx->arena, flight->orders, flight->count, facts);
    if (err || !takes_any(flight))
        return err;
    err = reserve_write(&tx, flight->orders, flight->count, facts, flight->cluster_run);
    if (!err)
        err = CH_POINT(RESERVE_BEFORE_COMMIT);
    if (err)
        return err;
    err = ch_tx_commit_wait(&tx);
    drop_pages(facts); // before anybody is answered; also after a failure: the commit may have happened
    if (err)
        return err;
    ch_outbox_wake();
    return CH_POINT(RESERVE_COMMITTED);
}

// ---- the answers: into the memory of each call, because this batch's ends first

static bool copy_str(struct ch_arena *arena, struct ch_str *str)
{
    if (!str->data)
        return true;
    str->data = ch_arena_strdup(arena, *str);
    return str->data != NULL;
}

static struct sku_snapshot *copy_sku(struct ch_arena *arena, const struct sku_snapshot *sku)
{
    struct sku_snapshot *copy = ch_arena_alloc(arena, sizeof(*copy));

    if (!copy)
        return NULL;
    *copy = *sku;
    return copy_str(arena, &copy->farm_name) && copy_str(arena, &copy->title) && copy_str(arena, &copy->fruit) &&
                   copy_str(arena, &copy->variety) && copy_str(arena, &copy->grade) &&
                   copy_str(arena, &copy->ship_cutoff)
               ? copy
               : NULL;
}

static enum ch_err deliver_order(struct ch_arena *arena, struct reserve_order *order, const struct reserve_facts *facts,
                                 struct sku_snapshot **copies)
{
    struct reserve_line *lines = ch_arena_array(arena, order->line_count, sizeof(*lines));

    if (order->line_count && !lines)
        return CH_ERR_NO_MEMORY;
    for (size_t i = 0; i < order->line_count; i++) {
        lines[i] = order->lines[i];
        if (!lines[i].sku)
            continue;
        const size_t at = (size_t)(lines[i].sku - facts->skus);
        if (!copies[at])
            copies[at] = copy_sku(arena, lines[i].sku);
        if (!copies[at])
            return CH_ERR_NO_MEMORY;
        lines[i].sku = copies[at];
    }
    order->lines = lines;
    order->earlier = NULL;
    return CH_OK;
}

static enum ch_err deliver(const struct flight *flight, const struct reservation *call)
{
    struct ch_arena *arena = call->ctx->arena;
    struct sku_snapshot **copies = ch_arena_array(arena, flight->facts.sku_count, sizeof(struct sku_snapshot *));
    enum ch_err err = flight->facts.sku_count && !copies ? CH_ERR_NO_MEMORY : CH_OK;

    for (size_t i = 0; i < call->count && !err; i++)
        err = deliver_order(arena, &call->orders[i], &flight->facts, copies);
    return err;
}

// ---- the batch

static enum ch_err run_wait(struct ch_ctx *ctx, struct ch_batch_item **items, size_t count)
{
    struct flight flight = {.ctx = ctx};
    enum ch_err err = flight_load(&flight, items, count);

    if (err)
        return err;
    for (int attempt = 0; attempt < ATTEMPTS; attempt++) {
        err = attempt_wait(&flight);
        if (err != CH_ERR_DUPLICATE && err != CH_ERR_CONFLICT)
            break;
    }
    for (size_t i = 0; i < count && !err; i++)
        items[i]->result = deliver(&flight, (const struct reservation *)items[i]);
    return err;
}

void reserve_commit(void *loop, struct ch_batch_item **items, size_t count)
{
    const struct reservation *first = (const struct reservation *)items[0];
    struct ch_ctx ctx;

    enum ch_err err = ch_ctx_open(&ctx, loop, "stock.reserve", RESERVE_TIMEOUT_MS, &first->ctx->trace);
    if (!err) {
        err = run_wait(&ctx, items, count);
        ch_ctx_close(&ctx, err);
    }
    for (size_t i = 0; i < count && err; i++)
        items[i]->result = err;
}

enum ch_err reserve_wait(struct ch_ctx *ctx, struct reserve_order *orders, size_t count, struct ch_str cluster_run)
{
    struct catalog_state *state = ch_loop_state(ctx);
    struct reservation call = {.ctx = ctx, .orders = orders, .count = count, .cluster_run = cluster_run};

    ctx->step = "reserve stock";
    return ch_batch_join_wait(&state->reserve, &call.item, ctx->deadline_ns);
}
