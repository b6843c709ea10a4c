// SPDX-License-Identifier: Apache-2.0
// What a reservation reads and writes: one statement to read, one to write, however many orders there are.
#include "config.h"
#include "event.h"
#include "queries.h"
#include "reserve.h"

// Columns of reserve_read. A hold's line uses those of a SKU that mean the same.
enum {
    COL_KIND,
    COL_SKU_ID,
    COL_PRICE,
    COL_AVAILABLE,
    COL_AMOUNT, // most boxes in an order; boxes held
    COL_LOT_ID,
    COL_ORDER_ID,
    COL_STATE,
    COL_LINE_NO,
    COL_PRODUCT_ID,
    COL_FARM_ID,
    COL_FARM_NAME,
    COL_TITLE,
    COL_FRUIT,
    COL_VARIETY,
    COL_GRADE,
    COL_WEIGHT,
    COL_IS_ON_SALE,
    COL_SHIP_CUTOFF,
    COL_BUYER_LIMIT,
    COL_SHARES,
};

static void sku_from_row(struct ch_arena *arena, const struct ch_pg_rows *rows, size_t row, struct sku_snapshot *sku)
{
    *sku = (struct sku_snapshot){
        .sku_id = ch_pg_get_uuid(rows, row, COL_SKU_ID),
        .product_id = ch_pg_get_uuid(rows, row, COL_PRODUCT_ID),
        .farm_id = ch_pg_get_uuid(rows, row, COL_FARM_ID),
        .lot_id = ch_pg_get_uuid(rows, row, COL_LOT_ID),
        .farm_name = ch_pg_copy_str(rows, row, COL_FARM_NAME, arena),
        .title = ch_pg_copy_str(rows, row, COL_TITLE, arena),
        .fruit = ch_pg_copy_str(rows, row, COL_FRUIT, arena),
        .variety = ch_pg_copy_str(rows, row, COL_VARIETY, arena),
        .grade = ch_pg_copy_str(rows, row, COL_GRADE, arena),
        .ship_cutoff = ch_pg_copy_str(rows, row, COL_SHIP_CUTOFF, arena),
        .price_krw = ch_pg_get_int(rows, row, COL_PRICE),
        .weight_g = (int32_t)ch_pg_get_int(rows, row, COL_WEIGHT),
        .per_order_limit = (int32_t)ch_pg_get_int(rows, row, COL_AMOUNT),
        .per_buyer_limit = (int32_t)ch_pg_get_int(rows, row, COL_BUYER_LIMIT),
        .available = (int32_t)ch_pg_get_int(rows, row, COL_AVAILABLE),
        .is_on_sale = ch_pg_get_bool(rows, row, COL_IS_ON_SALE),
    };
}

static void line_from_row(const struct ch_pg_rows *rows, size_t row, struct reserve_line *line)
{
    *line = (struct reserve_line){
        .sku_id = ch_pg_get_uuid(rows, row, COL_SKU_ID),
        .quantity = (int32_t)ch_pg_get_int(rows, row, COL_AMOUNT),
        .unit_price_krw = ch_pg_get_int(rows, row, COL_PRICE),
        .available = (int32_t)ch_pg_get_int(rows, row, COL_AVAILABLE),
        .lot_id = ch_pg_get_uuid(rows, row, COL_LOT_ID),
        .is_ok = true,
    };
}

static bool is_closed(struct ch_str state)
{
    return !ch_str_is(state, "HELD") && !ch_str_is(state, "SOLD");
}

// Rows of one order stand together; an order that was closed before it held anything has one row without a line.
static void holds_from_rows(const struct ch_pg_rows *rows, size_t first, struct reserve_line *lines,
                            struct reserve_facts *facts)
{
    struct reserve_hold *hold = NULL;

    for (size_t row = first; row < ch_pg_count(rows); row++, lines++) {
        const struct ch_uuid order_id = ch_pg_get_uuid(rows, row, COL_ORDER_ID);

        if (!hold || !ch_uuid_eq(hold->order_id, order_id)) {
            hold = &facts->holds[facts->hold_count++];
            *hold = (struct reserve_hold){.order_id = order_id, .lines = lines};
            hold->is_closed = is_closed(ch_pg_get_str(rows, row, COL_STATE));
        }
        if (ch_pg_is_null(rows, row, COL_SKU_ID))
            continue;
        line_from_row(rows, row, lines);
        hold->line_count++;
    }
}

// As catalog.shares_of_buyers writes them.
enum { SHARE_SIZE = 20, SHARE_QUANTITY_AT = 16 };

static size_t shares_in(const struct ch_pg_rows *rows, size_t row)
{
    return ch_pg_get_str(rows, row, COL_SHARES).len / SHARE_SIZE;
}

static void shares_from_row(const struct ch_pg_rows *rows, size_t row, struct reserve_facts *facts)
{
    const struct ch_str bytes = ch_pg_get_str(rows, row, COL_SHARES);

    for (size_t at = 0; at + SHARE_SIZE <= bytes.len; at += SHARE_SIZE) {
        const uint8_t *quantity = (const uint8_t *)bytes.data + at + SHARE_QUANTITY_AT;
        struct buyer_share *share = &facts->shares[facts->share_count++];

        *share = (struct buyer_share){.sku_id = ch_pg_get_uuid(rows, row, COL_SKU_ID)};
        memcpy(share->buyer_id.bytes, bytes.data + at, sizeof(share->buyer_id.bytes));
        share->quantity = (int32_t)((uint32_t)quantity[0] << 24 | (uint32_t)quantity[1] << 16 |
                                    (uint32_t)quantity[2] << 8 | quantity[3]);
    }
}

static enum ch_err facts_from_rows(struct ch_arena *arena, const struct ch_pg_rows *rows,
                                   struct reserve_facts *ret_facts)
{
    const size_t count = ch_pg_count(rows);
    struct reserve_facts facts = {0};
    size_t sku_count = 0, share_count = 0;

    while (sku_count < count && ch_pg_get_int(rows, sku_count, COL_KIND) == 0)
        share_count += shares_in(rows, sku_count++);
    facts.skus = ch_arena_array(arena, sku_count, sizeof(*facts.skus));
    facts.shares = ch_arena_array(arena, share_count, sizeof(*facts.shares));
    facts.holds = ch_arena_array(arena, count - sku_count, sizeof(*facts.holds));
    struct reserve_line *lines = ch_arena_array(arena, count - sku_count, sizeof(*lines));
    if ((sku_count && !facts.skus) || (share_count && !facts.shares) || (count > sku_count && (!facts.holds || !lines)))
        return CH_ERR_NO_MEMORY;
    for (; facts.sku_count < sku_count; facts.sku_count++) {
        sku_from_row(arena, rows, facts.sku_count, &facts.skus[facts.sku_count]);
        shares_from_row(rows, facts.sku_count, &facts);
    }
    holds_from_rows(rows, sku_count, lines, &facts);
    *ret_facts = facts;
    return CH_OK;
}

enum ch_err reserve_read_wait(struct ch_ctx *ctx, struct ch_tx *tx, const struct reserve_asked *asked,
                              struct reserve_facts *ret_facts)
{
    struct ch_pg_rows *rows CH_PG_ROWS = NULL;
    struct ch_pg_args args;

    ch_pg_args_init(&args, ctx);
    ch_pg_uuid_array(&args, asked->sku_ids, asked->sku_count);
    ch_pg_uuid_array(&args, asked->order_ids, asked->order_count);
    ch_pg_uuid_array(&args, asked->line_buyers, asked->line_count);
    ch_pg_uuid_array(&args, asked->line_skus, asked->line_count);
    const enum ch_err err =
        tx ? ch_tx_run_wait(tx, Q_RESERVE_READ, &args, &rows) : ch_pg_run_wait(ctx, Q_RESERVE_READ, &args, &rows);
    return err ? err : facts_from_rows(ctx->arena, rows, ret_facts);
}

enum ch_err reserve_lock(struct ch_tx *tx, const struct ch_uuid *sku_ids, size_t count)
{
    struct ch_pg_args args;

    ch_pg_args_init(&args, tx->ctx);
    ch_pg_uuid_array(&args, sku_ids, count);
    return ch_tx_send(tx, Q_SKUS_LOCK_BATCH, &args);
}

// ---- writing: one array a column

#define COLUMN(arena, member, count) (((member) = ch_arena_array((arena), (count) + 1, sizeof(*(member)))) != NULL)

static enum ch_err put_skus(struct ch_pg_args *args, const struct reserve_facts *facts)
{
    struct ch_uuid *sku_id;
    int32_t *taken;
    size_t n = 0;

    if (!COLUMN(args->arena, sku_id, facts->sku_count) || !COLUMN(args->arena, taken, facts->sku_count))
        return CH_ERR_NO_MEMORY;
    for (size_t i = 0; i < facts->sku_count; i++) {
        if (!facts->skus[i].taken)
            continue;
        sku_id[n] = facts->skus[i].sku_id;
        taken[n++] = facts->skus[i].taken;
    }
    ch_pg_uuid_array(args, sku_id, n);
    ch_pg_int4_array(args, taken, n);
    return CH_OK;
}

static enum ch_err put_orders(struct ch_pg_args *args, struct reserve_order *const *orders, size_t count)
{
    struct ch_uuid *order_id, *buyer_id;
    size_t n = 0;

    if (!COLUMN(args->arena, order_id, count) || !COLUMN(args->arena, buyer_id, count))
        return CH_ERR_NO_MEMORY;
    for (size_t i = 0; i < count; i++) {
        if (!orders[i]->is_new)
            continue;
        order_id[n] = orders[i]->order_id;
        buyer_id[n++] = orders[i]->buyer_id;
    }
    ch_pg_uuid_array(args, order_id, n);
    ch_pg_uuid_array(args, buyer_id, n);
    ch_pg_int4(args, (int32_t)config.hold_ttl_s);
    return CH_OK;
}

struct line_columns {
    struct ch_uuid *order_id, *sku_id, *lot_id, *ledger_id;
    int32_t *line_no, *quantity, *available_before;
    int64_t *price_krw;
};

static bool line_columns_alloc(struct ch_arena *arena, struct line_columns *c, size_t n)
{
    return COLUMN(arena, c->order_id, n) && COLUMN(arena, c->line_no, n) && COLUMN(arena, c->sku_id, n) &&
           COLUMN(arena, c->quantity, n) && COLUMN(arena, c->price_krw, n) && COLUMN(arena, c->available_before, n) &&
           COLUMN(arena, c->lot_id, n) && COLUMN(arena, c->ledger_id, n);
}

static size_t fill_lines(struct line_columns *c, size_t at, const struct reserve_order *order)
{
    for (size_t i = 0; i < order->line_count; i++, at++) {
        const struct reserve_line *line = &order->lines[i];

        c->order_id[at] = order->order_id;
        c->line_no[at] = (int32_t)i + 1;
        c->sku_id[at] = line->sku_id;
        c->quantity[at] = line->quantity;
        c->price_krw[at] = line->unit_price_krw;
        c->available_before[at] = line->available;
        c->lot_id[at] = line->lot_id;
        c->ledger_id[at] = ch_uuid_new();
    }
    return at;
}

static enum ch_err put_lines(struct ch_pg_args *args, struct reserve_order *const *orders, size_t count)
{
    struct line_columns c;
    size_t n = 0;

    for (size_t i = 0; i < count; i++)
        n += orders[i]->is_new ? orders[i]->line_count : 0;
    if (!line_columns_alloc(args->arena, &c, n))
        return CH_ERR_NO_MEMORY;
    n = 0;
    for (size_t i = 0; i < count; i++)
        if (orders[i]->is_new)
            n = fill_lines(&c, n, orders[i]);
    ch_pg_uuid_array(args, c.order_id, n);
    ch_pg_int4_array(args, c.line_no, n);
    ch_pg_uuid_array(args, c.sku_id, n);
    ch_pg_int4_array(args, c.quantity, n);
    ch_pg_int8_array(args, c.price_krw, n);
    ch_pg_int4_array(args, c.available_before, n);
    ch_pg_uuid_array(args, c.lot_id, n);
    ch_pg_uuid_array(args, c.ledger_id, n);
    return CH_OK;
}

struct event_columns {
    struct ch_uuid *event_id;
    struct ch_str *subject, *data, *traceparent;
};

static bool fill_event(struct ch_arena *arena, struct event_columns *c, size_t at, const struct sku_snapshot *sku)
{
    const struct stock_low low = {sku->sku_id, sku->product_id, sku->farm_id, sku->available,
                                  config.low_stock_threshold};

    c->event_id[at] = ch_uuid_new();
    c->subject[at] = ch_str_of(ch_arena_uuid(arena, sku->sku_id));
    c->data[at] = event_stock_low_data(arena, &low);
    return c->subject[at].data && c->data[at].data;
}

static enum ch_err put_events(struct ch_pg_args *args, const struct ch_trace *trace, const struct reserve_facts *facts)
{
    char traceparent[CH_TRACEPARENT_TEXT];
    struct event_columns c;
    size_t n = 0;

    if (!COLUMN(args->arena, c.event_id, facts->sku_count) || !COLUMN(args->arena, c.subject, facts->sku_count) ||
        !COLUMN(args->arena, c.data, facts->sku_count) || !COLUMN(args->arena, c.traceparent, facts->sku_count))
        return CH_ERR_NO_MEMORY;
    ch_trace_format(trace, traceparent);
    for (size_t i = 0; i < facts->sku_count; i++) {
        const struct sku_snapshot *sku = &facts->skus[i];

        if (!stock_fell_low(sku->available + sku->taken, sku->available, config.low_stock_threshold))
            continue;
        if (!fill_event(args->arena, &c, n, sku))
            return CH_ERR_NO_MEMORY;
        c.traceparent[n++] = ch_str_of(traceparent);
    }
    ch_pg_uuid_array(args, c.event_id, n);
    ch_pg_text_array(args, c.subject, n);
    ch_pg_text_array(args, c.data, n);
    ch_pg_text_array(args, c.traceparent, n);
    return CH_OK;
}

// A statement of its own, so that orders without such a SKU do not pay for it; it leaves with the other.
static enum ch_err write_shares(struct ch_tx *tx, const struct reserve_facts *facts)
{
    struct ch_uuid *sku_id, *buyer_id;
    struct ch_pg_args args;
    int32_t *taken;
    size_t n = 0;

    if (!facts->share_count)
        return CH_OK;
    ch_pg_args_init(&args, tx->ctx);
    if (!COLUMN(args.arena, sku_id, facts->share_count) || !COLUMN(args.arena, buyer_id, facts->share_count) ||
        !COLUMN(args.arena, taken, facts->share_count))
        return CH_ERR_NO_MEMORY;
    for (size_t i = 0; i < facts->share_count; i++) {
        if (!facts->shares[i].taken)
            continue;
        sku_id[n] = facts->shares[i].sku_id;
        buyer_id[n] = facts->shares[i].buyer_id;
        taken[n++] = facts->shares[i].taken;
    }
    ch_pg_uuid_array(&args, sku_id, n);
    ch_pg_uuid_array(&args, buyer_id, n);
    ch_pg_int4_array(&args, taken, n);
    return n ? ch_tx_send(tx, Q_SKU_BUYERS_ADD, &args) : CH_OK;
}

enum ch_err reserve_write(struct ch_tx *tx, struct reserve_order *const *orders, size_t order_count,
                          const struct reserve_facts *facts, struct ch_str cluster_run)
{
    struct ch_pg_args args;
    enum ch_err err;

    ch_pg_args_init(&args, tx->ctx);
    err = put_skus(&args, facts);
    if (!err)
        err = put_orders(&args, orders, order_count);
    if (!err)
        err = put_lines(&args, orders, order_count);
    if (!err)
        err = put_events(&args, &tx->ctx->trace, facts);
    ch_pg_text(&args, cluster_run);
    if (!err)
        err = ch_tx_send(tx, Q_RESERVE_WRITE, &args);
    return err ? err : write_shares(tx, facts);
}
