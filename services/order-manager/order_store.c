// SPDX-License-Identifier: Apache-2.0
// Reads orders: rows to structs. Decides nothing; ownership is order.c's affair.
#include "order_store.h"

#include "order_personal.h"
#include "queries.h"

#include <stdio.h>

static enum order_status status_from(struct ch_str name)
{
    enum order_status status = ORDER_CANCELLED;

    CH_IGNORE(order_status_parse(name, &status)); // the table's CHECK lets no other name in
    return status;
}

// Columns of order_find and the two page queries, in their order.
enum {
    COL_ORDER_ID,
    COL_ORDER_NO,
    COL_BUYER_ID,
    COL_STATUS,
    COL_ITEMS,
    COL_FEE,
    COL_TOTAL,
    COL_PERSONAL,
    COL_MASKED_TOKEN,
    COL_DELIVERY_STATUS,
    COL_CARRIER,
    COL_INVOICE_NO,
    COL_AS_OF,
    COL_CREATED,
    COL_UPDATED,
};

static enum ch_err order_from_row(struct ch_arena *arena, const struct ch_pg_rows *rows, size_t row,
                                  struct order *order)
{
    struct ch_str json;

    *order = (struct order){
        .order_id = ch_pg_get_uuid(rows, row, COL_ORDER_ID),
        .buyer_id = ch_pg_get_uuid(rows, row, COL_BUYER_ID),
        .status = status_from(ch_pg_get_str(rows, row, COL_STATUS)),
        .items_krw = ch_pg_get_int(rows, row, COL_ITEMS),
        .shipping_fee_krw = ch_pg_get_int(rows, row, COL_FEE),
        .total_krw = ch_pg_get_int(rows, row, COL_TOTAL),
        .masked_payment_token = ch_pg_copy_str(rows, row, COL_MASKED_TOKEN, arena),
        .delivery =
            {
                .status = ch_pg_copy_str(rows, row, COL_DELIVERY_STATUS, arena),
                .carrier = ch_pg_copy_str(rows, row, COL_CARRIER, arena),
                .invoice_no = ch_pg_copy_str(rows, row, COL_INVOICE_NO, arena),
                .as_of_us = ch_pg_get_time(rows, row, COL_AS_OF),
            },
        .created_at_us = ch_pg_get_time(rows, row, COL_CREATED),
        .updated_at_us = ch_pg_get_time(rows, row, COL_UPDATED),
    };
    snprintf(order->order_no, sizeof(order->order_no), "%.*s", CH_STR_ARG(ch_pg_get_str(rows, row, COL_ORDER_NO)));
    const enum ch_err err = personal_open(arena, order->order_id, ch_pg_get_str(rows, row, COL_PERSONAL), &json);
    return err ? err : personal_decode(arena, json, order);
}

static void line_from_row(struct ch_arena *arena, const struct ch_pg_rows *rows, size_t row, struct order_line *line)
{
    enum {
        LINE_SKU = 2,
        LINE_PRODUCT,
        LINE_FARM,
        LINE_FARM_NAME,
        LINE_TITLE,
        LINE_GRADE,
        LINE_WEIGHT,
        LINE_QUANTITY,
        LINE_PRICE,
        LINE_LOT
    };

    *line = (struct order_line){
        .sku_id = ch_pg_get_uuid(rows, row, LINE_SKU),
        .product_id = ch_pg_get_uuid(rows, row, LINE_PRODUCT),
        .farm_id = ch_pg_get_uuid(rows, row, LINE_FARM),
        .farm_name = ch_pg_copy_str(rows, row, LINE_FARM_NAME, arena),
        .title = ch_pg_copy_str(rows, row, LINE_TITLE, arena),
        .grade = ch_pg_copy_str(rows, row, LINE_GRADE, arena),
        .weight_g = ch_pg_get_int(rows, row, LINE_WEIGHT),
        .quantity = ch_pg_get_int(rows, row, LINE_QUANTITY),
        .unit_price_krw = ch_pg_get_int(rows, row, LINE_PRICE),
        .lot_id = ch_pg_get_uuid(rows, row, LINE_LOT),
    };
}

// Fills the lines of orders that stand in descending order of id, as the rows do. A farm sees its own lines only.
static enum ch_err load_lines_wait(struct ch_ctx *ctx, struct order *orders, size_t count,
                                   const struct ch_uuid *farm_id)
{
    struct ch_pg_rows *rows CH_PG_ROWS = NULL;
    struct ch_uuid *ids = ch_arena_array(ctx->arena, count, sizeof(*ids));
    struct ch_pg_args args;

    if (!ids)
        return CH_ERR_NO_MEMORY;
    for (size_t i = 0; i < count; i++)
        ids[i] = orders[i].order_id;
    ch_pg_args_init(&args, ctx);
    ch_pg_uuid_array(&args, ids, count);
    if (farm_id)
        ch_pg_uuid(&args, *farm_id);
    else
        ch_pg_null(&args);
    enum ch_err err = ch_pg_run_wait(ctx, Q_ORDER_LINES_OF, &args, &rows);
    if (err)
        return err;

    const size_t line_count = ch_pg_count(rows);
    struct order_line *lines = ch_arena_array(ctx->arena, line_count, sizeof(*lines));
    if (line_count && !lines)
        return CH_ERR_NO_MEMORY;
    for (size_t i = 0, row = 0; i < count; i++) {
        orders[i].lines = lines + row;
        while (row < line_count && ch_uuid_eq(ch_pg_get_uuid(rows, row, 0), orders[i].order_id)) {
            line_from_row(ctx->arena, rows, row, &lines[row]);
            orders[i].line_count++;
            row++;
        }
    }
    return CH_OK;
}

// The answer as it was given.
static enum ch_err reply_from(struct order_key *key, struct ch_str gapped, struct ch_str sealed)
{
    struct ch_str json;

    const enum ch_err err = personal_open(key->arena, key->order_id, sealed, &json);
    return err ? err : personal_fill_gap(key->arena, gapped, json, &key->reply);
}

enum ch_err order_by_keys_wait(struct ch_ctx *ctx, struct order_key *keys, size_t count)
{
    enum { COL_KEY_CLUSTER_RUN, COL_KEY_ORDER_ID, COL_KEY_HASH, COL_KEY_REPLY, COL_KEY_PERSONAL, COL_KEY_IS_ERASED };
    struct ch_pg_rows *rows CH_PG_ROWS = NULL;
    struct ch_uuid *buyers = ch_arena_array(ctx->arena, count, sizeof(*buyers));
    struct ch_str *texts = ch_arena_array(ctx->arena, count, sizeof(*texts));
    struct ch_pg_args args;

    if (!buyers || !texts)
        return CH_ERR_NO_MEMORY;
    for (size_t i = 0; i < count; i++) {
        buyers[i] = keys[i].order->buyer_id;
        texts[i] = keys[i].order->idempotency_key;
    }
    ch_pg_args_init(&args, ctx);
    ch_pg_uuid_array(&args, buyers, count);
    ch_pg_text_array(&args, texts, count);
    enum ch_err err = ch_pg_run_wait(ctx, Q_ORDER_BY_KEYS, &args, &rows);
    if (err)
        return err;
    if (ch_pg_count(rows) != count)
        return CH_ERR_INTERNAL; // it always has one row a key
    for (size_t i = 0; i < count; i++) {
        const struct ch_str hash = ch_pg_get_str(rows, i, COL_KEY_HASH);
        struct order_key *key = &keys[i];

        key->cluster_run = ch_pg_copy_str(rows, i, COL_KEY_CLUSTER_RUN, key->arena);
        key->is_erased = ch_pg_get_bool(rows, i, COL_KEY_IS_ERASED);
        key->is_used = !ch_pg_is_null(rows, i, COL_KEY_ORDER_ID);
        if (!key->is_used)
            continue;
        if (hash.len != sizeof(key->request_hash))
            return CH_ERR_INTERNAL;
        key->order_id = ch_pg_get_uuid(rows, i, COL_KEY_ORDER_ID);
        key->opened = reply_from(key, ch_pg_get_str(rows, i, COL_KEY_REPLY), ch_pg_get_str(rows, i, COL_KEY_PERSONAL));
        memcpy(key->request_hash, hash.data, hash.len);
    }
    return CH_OK;
}

enum ch_err order_find_wait(struct ch_ctx *ctx, struct ch_uuid order_id, struct order *ret_order)
{
    struct ch_pg_rows *rows CH_PG_ROWS = NULL;
    struct ch_pg_args args;
    struct order order;

    ch_pg_args_init(&args, ctx);
    ch_pg_uuid(&args, order_id);
    enum ch_err err = ch_pg_run_wait(ctx, Q_ORDER_FIND, &args, &rows);
    if (err)
        return err;
    if (ch_pg_count(rows) == 0)
        return CH_ERR_NOT_FOUND;
    err = order_from_row(ctx->arena, rows, 0, &order);
    if (err)
        return err;
    err = load_lines_wait(ctx, &order, 1, NULL);
    if (err)
        return err;
    *ret_order = order;
    return CH_OK;
}

enum ch_err order_timeline_wait(struct ch_ctx *ctx, struct ch_uuid order_id, struct timeline_entry **ret_entries,
                                size_t *ret_count)
{
    struct ch_pg_rows *rows CH_PG_ROWS = NULL;
    struct ch_pg_args args;

    ch_pg_args_init(&args, ctx);
    ch_pg_uuid(&args, order_id);
    enum ch_err err = ch_pg_run_wait(ctx, Q_ORDER_TIMELINE_OF, &args, &rows);
    if (err)
        return err;
    const size_t count = ch_pg_count(rows);
    struct timeline_entry *entries = ch_arena_array(ctx->arena, count, sizeof(*entries));
    if (count && !entries)
        return CH_ERR_NO_MEMORY;
    for (size_t i = 0; i < count; i++)
        entries[i] = (struct timeline_entry){
            .status = ch_pg_copy_str(rows, i, 0, ctx->arena),
            .at_us = ch_pg_get_time(rows, i, 1),
            .actor = ch_pg_copy_str(rows, i, 2, ctx->arena),
            .reason = ch_pg_copy_str(rows, i, 3, ctx->arena),
            .trace_id = ch_pg_copy_str(rows, i, 4, ctx->arena),
        };
    *ret_entries = entries;
    *ret_count = count;
    return CH_OK;
}

// Runs one of the two page queries: both take owner, last id, status and limit. One row more than asked tells that
// there is more.
static enum ch_err load_page_wait(struct ch_ctx *ctx, int query, struct ch_uuid owner, const struct ch_uuid *farm_id,
                                  struct order_page *page)
{
    struct ch_pg_rows *rows CH_PG_ROWS = NULL;
    struct ch_pg_args args;

    ch_pg_args_init(&args, ctx);
    ch_pg_uuid(&args, owner);
    ch_pg_uuid(&args, page->after);
    ch_pg_text(&args, page->status);
    ch_pg_int4(&args, (int32_t)page->limit + 1);
    enum ch_err err = ch_pg_run_wait(ctx, query, &args, &rows);
    if (err)
        return err;
    const size_t found = ch_pg_count(rows);
    const size_t count = found > (size_t)page->limit ? (size_t)page->limit : found;
    struct order *orders = ch_arena_array(ctx->arena, count, sizeof(*orders));
    if (count && !orders)
        return CH_ERR_NO_MEMORY;
    for (size_t i = 0; i < count && !err; i++)
        err = order_from_row(ctx->arena, rows, i, &orders[i]);
    if (err)
        return err;
    if (count) {
        err = load_lines_wait(ctx, orders, count, farm_id);
        if (err)
            return err;
    }
    page->orders = orders;
    page->count = count;
    page->has_more = found > count;
    return CH_OK;
}

enum ch_err order_page_by_buyer_wait(struct ch_ctx *ctx, struct ch_uuid buyer_id, struct order_page *page)
{
    return load_page_wait(ctx, Q_ORDER_PAGE_BY_BUYER, buyer_id, NULL, page);
}

enum ch_err order_page_by_farm_wait(struct ch_ctx *ctx, struct ch_uuid farm_id, struct order_page *page)
{
    return load_page_wait(ctx, Q_ORDER_PAGE_BY_FARM, farm_id, &farm_id, page);
}
