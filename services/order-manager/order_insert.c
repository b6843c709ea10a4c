// SPDX-License-Identifier: Apache-2.0
// Writes orders: all that arrive while a commit is in flight share the next one, one statement for the whole batch.
// Also fences ids, which is the same decision seen from the other side: only one of order and fence gets the row.
#include "order_store.h"

#include "ch/mutant.h"
#include "ch/point.h"
#include "order_personal.h"
#include "queries.h"
#include "tables.h"

enum { INSERT_TIMEOUT_MS = 3000, JSON_TEXT_MAX = 16 * 1024 };

struct insertion {
    struct ch_batch_item item; // first: the batch hands items back
    struct ch_ctx *ctx;
    struct order *order;
    bool is_placed;
};

// Columns of order_insert_batch, one array each.
struct order_columns {
    struct ch_uuid *order_id, *buyer_id, *event_id;
    struct ch_str *order_no, *key, *hash, *personal, *token, *reply, *trace_id, *traceparent, *event_data, *cluster_run;
    int64_t *items_krw, *fee_krw, *created_at_us;
};
struct line_columns {
    struct ch_uuid *order_id, *sku_id, *product_id, *farm_id, *lot_id;
    struct ch_str *farm_name, *title, *grade;
    int32_t *line_no, *weight_g, *quantity;
    int64_t *price_krw;
};

static struct ch_str json_text(struct ch_ctx *ctx, void (*write)(struct ch_jw *, const struct order *),
                               const struct order *order)
{
    struct ch_buf text;
    struct ch_jw jw;

    ch_buf_init(&text, JSON_TEXT_MAX);
    ch_jw_init(&jw, &text);
    write(&jw, order);
    return ch_buf_take(&text, ctx->arena);
}

// contracts/asyncapi.yaml, order.placed.v1. No personal data: of the address only the first two digits of the postcode.
static void write_placed_event(struct ch_jw *jw, const struct order *order)
{
    ch_jw_object(jw);
    ch_jw_kuuid(jw, "orderId", order->order_id);
    ch_jw_kcstr(jw, "orderNo", order->order_no);
    ch_jw_kuuid(jw, "buyerId", order->buyer_id);
    ch_jw_kint(jw, "totalKrw", order->total_krw);
    ch_jw_kstr(jw, "recipientRegion", (struct ch_str){order->recipient.postcode.data, 2});
    ch_jw_ktime(jw, "placedAt", order->created_at_us);
    ch_jw_key(jw, "lines");
    ch_jw_array(jw);
    for (size_t i = 0; i < order->line_count; i++) {
        ch_jw_object(jw);
        ch_jw_kuuid(jw, "skuId", order->lines[i].sku_id);
        ch_jw_kuuid(jw, "productId", order->lines[i].product_id);
        ch_jw_kuuid(jw, "farmId", order->lines[i].farm_id);
        ch_jw_kint(jw, "quantity", order->lines[i].quantity);
        ch_jw_kint(jw, "unitPriceKrw", order->lines[i].unit_price_krw);
        ch_jw_kuuid_or_null(jw, "lotId", order->lines[i].lot_id);
        ch_jw_object_end(jw);
    }
    ch_jw_array_end(jw);
    ch_jw_object_end(jw);
}

// ---- filling the columns
// ---------------------------------------------------------------------------------------------

#define COLUMN(arena, member, count) (((member) = ch_arena_array((arena), (count), sizeof(*(member)))) != NULL)

static bool order_columns_alloc(struct ch_arena *arena, struct order_columns *c, size_t n)
{
    return COLUMN(arena, c->order_id, n) && COLUMN(arena, c->buyer_id, n) && COLUMN(arena, c->event_id, n) &&
           COLUMN(arena, c->order_no, n) && COLUMN(arena, c->key, n) && COLUMN(arena, c->hash, n) &&
           COLUMN(arena, c->personal, n) && COLUMN(arena, c->token, n) && COLUMN(arena, c->reply, n) &&
           COLUMN(arena, c->trace_id, n) && COLUMN(arena, c->traceparent, n) && COLUMN(arena, c->event_data, n) &&
           COLUMN(arena, c->cluster_run, n) && COLUMN(arena, c->items_krw, n) && COLUMN(arena, c->fee_krw, n) &&
           COLUMN(arena, c->created_at_us, n);
}

static bool line_columns_alloc(struct ch_arena *arena, struct line_columns *c, size_t n)
{
    return COLUMN(arena, c->order_id, n) && COLUMN(arena, c->sku_id, n) && COLUMN(arena, c->product_id, n) &&
           COLUMN(arena, c->farm_id, n) && COLUMN(arena, c->lot_id, n) && COLUMN(arena, c->farm_name, n) &&
           COLUMN(arena, c->title, n) && COLUMN(arena, c->grade, n) && COLUMN(arena, c->line_no, n) &&
           COLUMN(arena, c->weight_g, n) && COLUMN(arena, c->quantity, n) && COLUMN(arena, c->price_krw, n);
}

static enum ch_err fill_order(struct ch_ctx *ctx, struct order_columns *c, size_t i, const struct insertion *insertion)
{
    const struct order *order = insertion->order;
    char *trace_id = ch_arena_alloc(ctx->arena, 33);
    char *traceparent = ch_arena_alloc(ctx->arena, CH_TRACEPARENT_TEXT);

    if (!trace_id || !traceparent)
        return CH_ERR_NO_MEMORY;
    ch_trace_id_text(&insertion->ctx->trace, trace_id);
    ch_trace_format(&insertion->ctx->trace, traceparent);
    c->order_id[i] = order->order_id;
    c->buyer_id[i] = order->buyer_id;
    c->event_id[i] = ch_uuid_new();
    c->order_no[i] = ch_str_of(order->order_no);
    c->key[i] = order->idempotency_key;
    c->hash[i] = (struct ch_str){(const char *)order->request_hash, sizeof(order->request_hash)};
    c->token[i] = order->masked_payment_token;
    c->reply[i] = order->stored_reply;
    c->trace_id[i] = ch_str_of(trace_id);
    c->traceparent[i] = ch_str_of(traceparent);
    c->event_data[i] = json_text(ctx, write_placed_event, order);
    c->cluster_run[i] = order->cluster_run;
    c->items_krw[i] = order->items_krw;
    c->fee_krw[i] = order->shipping_fee_krw;
    c->created_at_us[i] = order->created_at_us;
    return c->event_data[i].data ? personal_seal(ctx->arena, order, &c->personal[i]) : CH_ERR_NO_MEMORY;
}

static void fill_line(struct line_columns *c, size_t at, const struct order *order, size_t i)
{
    const struct order_line *line = &order->lines[i];

    c->order_id[at] = order->order_id;
    c->line_no[at] = (int32_t)i + 1;
    c->sku_id[at] = line->sku_id;
    c->product_id[at] = line->product_id;
    c->farm_id[at] = line->farm_id;
    c->lot_id[at] = line->lot_id;
    c->farm_name[at] = line->farm_name;
    c->title[at] = line->title;
    c->grade[at] = line->grade;
    c->weight_g[at] = (int32_t)line->weight_g;
    c->quantity[at] = (int32_t)line->quantity;
    c->price_krw[at] = line->unit_price_krw;
}

static void put_orders(struct ch_pg_args *args, const struct order_columns *c, size_t n)
{
    ch_pg_uuid_array(args, c->order_id, n);
    ch_pg_text_array(args, c->order_no, n);
    ch_pg_uuid_array(args, c->buyer_id, n);
    ch_pg_text_array(args, c->key, n);
    ch_pg_bytea_array(args, c->hash, n);
    ch_pg_int8_array(args, c->items_krw, n);
    ch_pg_int8_array(args, c->fee_krw, n);
    ch_pg_bytea_array(args, c->personal, n);
    ch_pg_text_array(args, c->token, n);
    ch_pg_text_array(args, c->reply, n);
    ch_pg_time_array(args, c->created_at_us, n);
    ch_pg_text_array(args, c->trace_id, n);
    ch_pg_text_array(args, c->traceparent, n);
    ch_pg_uuid_array(args, c->event_id, n);
    ch_pg_text_array(args, c->event_data, n);
}

static void put_lines(struct ch_pg_args *args, const struct line_columns *c, size_t n)
{
    ch_pg_uuid_array(args, c->order_id, n);
    ch_pg_int4_array(args, c->line_no, n);
    ch_pg_uuid_array(args, c->sku_id, n);
    ch_pg_uuid_array(args, c->product_id, n);
    ch_pg_uuid_array(args, c->farm_id, n);
    ch_pg_text_array(args, c->farm_name, n);
    ch_pg_text_array(args, c->title, n);
    ch_pg_text_array(args, c->grade, n);
    ch_pg_int4_array(args, c->weight_g, n);
    ch_pg_int4_array(args, c->quantity, n);
    ch_pg_int8_array(args, c->price_krw, n);
    ch_pg_uuid_array(args, c->lot_id, n);
}

// ---- the batch
// -------------------------------------------------------------------------------------------------------

// Only for a mutant: the events of orders that are not there yet.
static enum ch_err publish_early_wait(struct ch_ctx *ctx, const struct order_columns *orders, size_t count)
{
    struct ch_tx tx CH_TX = {0};
    enum ch_err err = ch_tx_begin_wait(ctx, &tx);

    for (size_t i = 0; i < count && !err; i++)
        err = ch_outbox_add(&tx, "order.placed.v1", ch_str_of(ch_arena_uuid(ctx->arena, orders->order_id[i])),
                            orders->event_data[i]);
    if (!err)
        err = ch_tx_commit_wait(&tx);
    ch_outbox_wake();
    return err;
}

static enum ch_err insert_all(struct ch_ctx *ctx, struct ch_batch_item **items, size_t count)
{
    struct ch_pg_rows *rows CH_PG_ROWS = NULL;
    struct order_columns orders;
    struct line_columns lines;
    struct ch_pg_args args;
    size_t line_count = 0, at = 0;
    enum ch_err err;

    for (size_t i = 0; i < count; i++)
        line_count += ((struct insertion *)items[i])->order->line_count;
    if (!order_columns_alloc(ctx->arena, &orders, count) || !line_columns_alloc(ctx->arena, &lines, line_count))
        return CH_ERR_NO_MEMORY;
    for (size_t i = 0; i < count; i++) {
        const struct insertion *insertion = (struct insertion *)items[i];

        err = fill_order(ctx, &orders, i, insertion);
        if (err)
            return err;
        for (size_t j = 0; j < insertion->order->line_count; j++)
            fill_line(&lines, at++, insertion->order, j);
    }
    ch_pg_args_init(&args, ctx);
    put_orders(&args, &orders, count);
    put_lines(&args, &lines, line_count);
    ch_pg_text_array(&args, orders.cluster_run, count);
    if (CH_MUTANT(PUBLISH_BEFORE_COMMIT))
        CH_IGNORE(publish_early_wait(ctx, &orders, count)); // wrong on purpose
    err = CH_POINT(PLACE_BEFORE_INSERT);
    if (err)
        return err;
    err = ch_pg_run_wait(ctx, Q_ORDER_INSERT_BATCH, &args, &rows);
    if (!err)
        err = CH_POINT(PLACE_INSERTED);
    if (err)
        return err;

    for (size_t row = 0; row < ch_pg_count(rows); row++)
        for (size_t i = 0; i < count; i++)
            if (ch_uuid_eq(ch_pg_get_uuid(rows, row, 0), orders.order_id[i]))
                ((struct insertion *)items[i])->is_placed = true;
    ch_outbox_wake();
    return CH_OK;
}

void order_insert_commit(void *loop, struct ch_batch_item **items, size_t count)
{
    const struct insertion *first = (const struct insertion *)items[0];
    struct ch_ctx ctx;

    enum ch_err err = ch_ctx_open(&ctx, loop, "order.insert", INSERT_TIMEOUT_MS, &first->ctx->trace);
    if (!err) {
        err = insert_all(&ctx, items, count);
        if (err == CH_ERR_CONFLICT || err == CH_ERR_DUPLICATE) // the batch lost against others: no buyer's doing
            err = CH_ERR_UNAVAILABLE;
        ch_ctx_close(&ctx, err);
    }
    for (size_t i = 0; i < count; i++)
        items[i]->result = err;
}

enum ch_err order_insert_wait(struct ch_ctx *ctx, struct order *order, bool *ret_is_placed)
{
    struct batches *batches = ch_loop_state(ctx);
    struct insertion insertion = {.ctx = ctx, .order = order};

    ctx->step = "store order";
    enum ch_err err = ch_batch_join_wait(&batches->insert, &insertion.item, ctx->deadline_ns);
    if (!err)
        *ret_is_placed = insertion.is_placed;
    return err;
}

// ---- fences
// ----------------------------------------------------------------------------------------------------------

enum ch_err order_resolve_wait(struct ch_ctx *ctx, const struct ch_uuid *ids, size_t count, struct ch_str *ret_fates)
{
    struct ch_pg_rows *rows CH_PG_ROWS = NULL;
    struct ch_pg_args args;

    ch_pg_args_init(&args, ctx);
    ch_pg_uuid_array(&args, ids, count);
    enum ch_err err = CH_POINT(RESOLVE_BEFORE_FENCE);
    if (err)
        return err;
    err = ch_pg_run_wait(ctx, Q_ORDER_FENCE_BATCH, &args, NULL);
    if (!err)
        err = CH_POINT(RESOLVE_FENCED);
    if (err)
        return err;
    err = ch_pg_run_wait(ctx, Q_ORDER_FATES, &args, &rows);
    if (err)
        return err;
    for (size_t i = 0; i < count; i++) {
        ret_fates[i] = (struct ch_str){0};
        for (size_t row = 0; row < ch_pg_count(rows); row++)
            if (ch_uuid_eq(ch_pg_get_uuid(rows, row, 0), ids[i]))
                ret_fates[i] = ch_pg_copy_str(rows, row, 1, ctx->arena);
        if (!ret_fates[i].data)
            return CH_ERR_INTERNAL; // just fenced or stored: it must be there
    }
    return CH_OK;
}
