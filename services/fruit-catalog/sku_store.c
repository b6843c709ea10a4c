// SPDX-License-Identifier: Apache-2.0
// SKUs and their ledger in the database: rows to structs, and the writes that must happen together.
#include "access.h"
#include "queries.h"
#include "sku.h"

// Columns of every statement that reads SKUs; the last two only those that lock.
enum {
    COL_SKU_ID,
    COL_PRODUCT_ID,
    COL_GRADE,
    COL_WEIGHT,
    COL_COUNT_MIN,
    COL_COUNT_MAX,
    COL_SIZE_CODE,
    COL_BRIX,
    COL_PRICE,
    COL_LIMIT,
    COL_BUYER_LIMIT,
    COL_AVAILABLE,
    COL_IS_ON_SALE,
    COL_VERSION,
    COL_UPDATED,
    COL_FARM_ID,
    COL_PRODUCT_STATUS,
};

static int grade_from(struct ch_str name)
{
    int i = 0;

    while (grade_names[i + 1] && !ch_str_is(name, grade_names[i])) // the table's CHECK lets no other name in
        i++;
    return i;
}

static void sku_from_row(struct ch_arena *arena, const struct ch_pg_rows *rows, size_t row, struct sku *sku)
{
    *sku = (struct sku){
        .sku_id = ch_pg_get_uuid(rows, row, COL_SKU_ID),
        .product_id = ch_pg_get_uuid(rows, row, COL_PRODUCT_ID),
        .edit =
            {
                .grade = grade_from(ch_pg_get_str(rows, row, COL_GRADE)),
                .weight_g = ch_pg_get_int(rows, row, COL_WEIGHT),
                .count_min = ch_pg_get_int(rows, row, COL_COUNT_MIN),
                .count_max = ch_pg_get_int(rows, row, COL_COUNT_MAX),
                .size_code = ch_pg_copy_str(rows, row, COL_SIZE_CODE, arena),
                .brix_x10_min = ch_pg_is_null(rows, row, COL_BRIX) ? -1 : ch_pg_get_int(rows, row, COL_BRIX),
                .price_krw = ch_pg_get_int(rows, row, COL_PRICE),
                .per_order_limit = ch_pg_get_int(rows, row, COL_LIMIT),
                .per_buyer_limit = ch_pg_get_int(rows, row, COL_BUYER_LIMIT),
                .is_on_sale = ch_pg_get_bool(rows, row, COL_IS_ON_SALE),
            },
        .available = ch_pg_get_int(rows, row, COL_AVAILABLE),
        .version = ch_pg_get_int(rows, row, COL_VERSION),
        .updated_at_us = ch_pg_get_time(rows, row, COL_UPDATED),
    };
}

enum ch_err skus_of_products_wait(struct ch_ctx *ctx, const struct ch_uuid *product_ids, size_t count,
                                  bool is_on_sale_only, struct sku **ret_skus, size_t *ret_count)
{
    struct ch_pg_rows *rows CH_PG_ROWS = NULL;
    struct ch_pg_args args;

    ch_pg_args_init(&args, ctx);
    ch_pg_uuid_array(&args, product_ids, count);
    ch_pg_bool(&args, is_on_sale_only);
    enum ch_err err = ch_pg_run_wait(ctx, Q_SKUS_OF_PRODUCTS, &args, &rows);
    if (err)
        return err;
    const size_t found = ch_pg_count(rows);
    struct sku *skus = ch_arena_array(ctx->arena, found, sizeof(*skus));
    if (found && !skus)
        return CH_ERR_NO_MEMORY;
    for (size_t i = 0; i < found; i++)
        sku_from_row(ctx->arena, rows, i, &skus[i]);
    *ret_skus = skus;
    *ret_count = found;
    return CH_OK;
}

enum ch_err sku_lock_wait(struct ch_tx *tx, struct ch_uuid sku_id, bool with_product, struct sku *ret_sku)
{
    struct ch_pg_rows *rows CH_PG_ROWS = NULL;
    struct ch_pg_args args;

    ch_pg_args_init(&args, tx->ctx);
    ch_pg_uuid(&args, sku_id);
    enum ch_err err = ch_tx_run_wait(tx, with_product ? Q_SKU_LOCK_WITH_PRODUCT : Q_SKU_LOCK, &args, &rows);
    if (err)
        return err;
    if (ch_pg_count(rows) == 0 || !access_may_edit(tx->ctx->identity, ch_pg_get_uuid(rows, 0, COL_FARM_ID)))
        return CH_ERR_NOT_FOUND;
    sku_from_row(tx->ctx->arena, rows, 0, ret_sku);
    ret_sku->farm_id = ch_pg_get_uuid(rows, 0, COL_FARM_ID);
    ret_sku->product_status = ch_pg_copy_str(rows, 0, COL_PRODUCT_STATUS, tx->ctx->arena);
    return CH_OK;
}

enum ch_err sku_count_wait(struct ch_tx *tx, struct ch_uuid product_id, int64_t *ret_count)
{
    struct ch_pg_rows *rows CH_PG_ROWS = NULL;
    struct ch_pg_args args;

    ch_pg_args_init(&args, tx->ctx);
    ch_pg_uuid(&args, product_id);
    enum ch_err err = ch_tx_run_wait(tx, Q_SKU_COUNT, &args, &rows);
    if (err)
        return err;
    *ret_count = ch_pg_get_int(rows, 0, 0);
    return CH_OK;
}

// ---- writing

static void put_int4_or_null(struct ch_pg_args *args, int64_t value, int64_t null_value)
{
    if (value == null_value)
        ch_pg_null(args);
    else
        ch_pg_int4(args, (int32_t)value);
}

static void put_edit(struct ch_pg_args *args, const struct sku_edit *edit)
{
    ch_pg_text(args, ch_str_of(grade_names[edit->grade]));
    ch_pg_int4(args, (int32_t)edit->weight_g);
    put_int4_or_null(args, edit->count_min, 0);
    put_int4_or_null(args, edit->count_max, 0);
    ch_pg_text(args, edit->size_code);
    put_int4_or_null(args, edit->brix_x10_min, -1);
    ch_pg_int8(args, edit->price_krw);
    ch_pg_int4(args, (int32_t)edit->per_order_limit);
    put_int4_or_null(args, edit->per_buyer_limit, 0);
    ch_pg_bool(args, edit->is_on_sale);
}

static enum ch_err refresh_price(struct ch_tx *tx, struct ch_uuid product_id)
{
    struct ch_pg_args args;

    ch_pg_args_init(&args, tx->ctx);
    ch_pg_uuid(&args, product_id);
    return ch_tx_send(tx, Q_PRODUCT_PRICE_REFRESH, &args);
}

static enum ch_err ledger_insert(struct ch_tx *tx, const struct ledger_row *row)
{
    struct ch_pg_args args;

    ch_pg_args_init(&args, tx->ctx);
    ch_pg_uuid(&args, row->ledger_id);
    ch_pg_uuid(&args, row->sku_id);
    ch_pg_text(&args, row->kind);
    ch_pg_int4(&args, (int32_t)row->delta);
    ch_pg_int4(&args, (int32_t)row->available_after);
    ch_pg_text(&args, row->reason);
    ch_pg_text(&args, row->actor);
    if (ch_uuid_is_nil(row->actor_id))
        ch_pg_null(&args);
    else
        ch_pg_uuid(&args, row->actor_id);
    ch_pg_time(&args, row->at_us);
    return ch_tx_send(tx, Q_LEDGER_INSERT, &args);
}

enum ch_err sku_insert(struct ch_tx *tx, const struct sku *sku)
{
    const struct ch_identity *who = tx->ctx->identity;
    struct ch_pg_args args;
    enum ch_err err;

    ch_pg_args_init(&args, tx->ctx);
    ch_pg_uuid(&args, sku->sku_id);
    ch_pg_uuid(&args, sku->product_id);
    put_edit(&args, &sku->edit);
    ch_pg_int4(&args, (int32_t)sku->available);
    ch_pg_time(&args, sku->updated_at_us);
    err = ch_tx_send(tx, Q_SKU_INSERT, &args);
    if (err)
        return err;
    if (sku->available > 0) {
        const struct ledger_row row = {
            .ledger_id = ch_uuid_new(),
            .sku_id = sku->sku_id,
            .kind = CH_STR("INITIAL"),
            .delta = sku->available,
            .available_after = sku->available,
            .reason = CH_STR("sku_created"),
            .actor = access_actor(who),
            .actor_id = who->id,
            .at_us = sku->updated_at_us,
        };
        err = ledger_insert(tx, &row);
        if (err)
            return err;
    }
    return refresh_price(tx, sku->product_id);
}

// What each buyer has of it is known while it has a limit, and of no other SKU.
static enum ch_err follow_buyer_limit(struct ch_tx *tx, const struct sku *sku, int64_t old_limit)
{
    const int64_t limit = sku->edit.per_buyer_limit;
    struct ch_pg_args args;

    if ((limit > 0) == (old_limit > 0))
        return CH_OK;
    ch_pg_args_init(&args, tx->ctx);
    ch_pg_uuid(&args, sku->sku_id);
    return ch_tx_send(tx, limit ? Q_SKU_BUYERS_COUNT : Q_SKU_BUYERS_FORGET, &args);
}

enum ch_err sku_update(struct ch_tx *tx, const struct sku *sku, int64_t old_buyer_limit)
{
    struct ch_pg_args args;

    ch_pg_args_init(&args, tx->ctx);
    ch_pg_uuid(&args, sku->sku_id);
    put_edit(&args, &sku->edit);
    ch_pg_int4(&args, (int32_t)sku->version);
    ch_pg_time(&args, sku->updated_at_us);
    enum ch_err err = ch_tx_send(tx, Q_SKU_UPDATE, &args);
    if (!err)
        err = follow_buyer_limit(tx, sku, old_buyer_limit);
    if (err)
        return err;
    return refresh_price(tx, sku->product_id);
}

enum ch_err stock_set(struct ch_tx *tx, const struct sku *sku, const struct ledger_row *row)
{
    struct ch_pg_args args;

    ch_pg_args_init(&args, tx->ctx);
    ch_pg_uuid(&args, sku->sku_id);
    ch_pg_int4(&args, (int32_t)sku->available);
    ch_pg_int4(&args, (int32_t)sku->version);
    ch_pg_time(&args, sku->updated_at_us);
    enum ch_err err = ch_tx_send(tx, Q_STOCK_SET, &args);
    if (err)
        return err;
    return ledger_insert(tx, row);
}

// ---- the ledger

enum ch_err sku_farm_wait(struct ch_ctx *ctx, struct ch_uuid sku_id, struct ch_uuid *ret_farm_id)
{
    struct ch_pg_rows *rows CH_PG_ROWS = NULL;
    struct ch_pg_args args;

    ch_pg_args_init(&args, ctx);
    ch_pg_uuid(&args, sku_id);
    enum ch_err err = ch_pg_run_wait(ctx, Q_SKU_FARM, &args, &rows);
    if (err)
        return err;
    if (ch_pg_count(rows) == 0)
        return CH_ERR_NOT_FOUND;
    *ret_farm_id = ch_pg_get_uuid(rows, 0, 0);
    return CH_OK;
}

enum ch_err ledger_page_wait(struct ch_ctx *ctx, struct ch_uuid sku_id, int64_t before, int64_t limit,
                             struct ledger_row **ret_rows, size_t *ret_count)
{
    struct ch_pg_rows *rows CH_PG_ROWS = NULL;
    struct ch_pg_args args;

    ch_pg_args_init(&args, ctx);
    ch_pg_uuid(&args, sku_id);
    ch_pg_int8(&args, before);
    ch_pg_int4(&args, (int32_t)limit + 1);
    enum ch_err err = ch_pg_run_wait(ctx, Q_LEDGER_PAGE, &args, &rows);
    if (err)
        return err;
    const size_t count = ch_pg_count(rows);
    struct ledger_row *list = ch_arena_array(ctx->arena, count, sizeof(*list));
    if (count && !list)
        return CH_ERR_NO_MEMORY;
    for (size_t i = 0; i < count; i++)
        list[i] = (struct ledger_row){
            .id = ch_pg_get_int(rows, i, 0),
            .ledger_id = ch_pg_get_uuid(rows, i, 1),
            .sku_id = sku_id,
            .kind = ch_pg_copy_str(rows, i, 2, ctx->arena),
            .delta = ch_pg_get_int(rows, i, 3),
            .available_after = ch_pg_get_int(rows, i, 4),
            .reason = ch_pg_copy_str(rows, i, 5, ctx->arena),
            .actor = ch_pg_copy_str(rows, i, 6, ctx->arena),
            .actor_id = ch_pg_get_uuid(rows, i, 7),
            .order_id = ch_pg_get_uuid(rows, i, 8),
            .at_us = ch_pg_get_time(rows, i, 9),
        };
    *ret_rows = list;
    *ret_count = count;
    return CH_OK;
}
