// SPDX-License-Identifier: Apache-2.0
// Products in the database: rows to structs, and the writes that must happen together.
#include "access.h"
#include "day.h"
#include "event.h"
#include "product.h"
#include "queries.h"

enum { DISCLOSURE_JSON_MAX = 32 * 1024 };

// Columns of product_find and product_lock, in their order; what follows `updated` only product_find has.
enum {
    COL_PRODUCT_ID,
    COL_FARM_ID,
    COL_TITLE,
    COL_FRUIT,
    COL_VARIETY,
    COL_DESCRIPTION,
    COL_ORIGIN,
    COL_STORAGE,
    COL_SEASON_FROM,
    COL_SEASON_TO,
    COL_TAX_CLASS,
    COL_STATUS,
    COL_DISCLOSURE,
    COL_VERSION,
    COL_UPDATED,
    COL_FARM_NAME,
    COL_FARM_REGION,
    COL_FARM_SHIP_CUTOFF,
    COL_CERTIFICATES,
    COL_IMAGES,
};

static enum ch_err product_from_row(struct ch_ctx *ctx, const struct ch_pg_rows *rows, struct product *product)
{
    struct ch_arena *arena = ctx->arena;

    *product = (struct product){
        .product_id = ch_pg_get_uuid(rows, 0, COL_PRODUCT_ID),
        .farm_id = ch_pg_get_uuid(rows, 0, COL_FARM_ID),
        .edit =
            {
                .title = ch_pg_copy_str(rows, 0, COL_TITLE, arena),
                .fruit = ch_pg_copy_str(rows, 0, COL_FRUIT, arena),
                .variety = ch_pg_copy_str(rows, 0, COL_VARIETY, arena),
                .description = ch_pg_copy_str(rows, 0, COL_DESCRIPTION, arena),
                .origin = ch_pg_copy_str(rows, 0, COL_ORIGIN, arena),
                .storage = ch_pg_copy_str(rows, 0, COL_STORAGE, arena),
                .season_from = ch_pg_copy_str(rows, 0, COL_SEASON_FROM, arena),
                .season_to = ch_pg_copy_str(rows, 0, COL_SEASON_TO, arena),
                .tax_class = ch_pg_get_name(rows, 0, COL_TAX_CLASS, tax_class_names),
                .status = ch_pg_get_name(rows, 0, COL_STATUS, product_status_names),
            },
        .version = ch_pg_get_int(rows, 0, COL_VERSION),
        .updated_at_us = ch_pg_get_time(rows, 0, COL_UPDATED),
    };
    return disclosure_read(ctx, ch_pg_get_str(rows, 0, COL_DISCLOSURE), &product->edit.disclosure);
}

static void add_farm_and_images(struct ch_arena *arena, const struct ch_pg_rows *rows, struct product *product)
{
    product->farm_name = ch_pg_copy_str(rows, 0, COL_FARM_NAME, arena);
    product->farm_region = ch_pg_copy_str(rows, 0, COL_FARM_REGION, arena);
    product->farm_ship_cutoff = ch_pg_copy_str(rows, 0, COL_FARM_SHIP_CUTOFF, arena);
    product->certificates_json = ch_pg_copy_str(rows, 0, COL_CERTIFICATES, arena);
    product->images_json = ch_pg_copy_str(rows, 0, COL_IMAGES, arena);
}

enum ch_err product_find_wait(struct ch_ctx *ctx, struct ch_uuid product_id, struct product *ret_product)
{
    struct ch_pg_rows *rows CH_PG_ROWS = NULL;
    const struct day today = day_in_seoul(ch_wall_us());
    struct product product;
    struct ch_pg_args args;
    enum ch_err err;

    ch_pg_args_init(&args, ctx);
    ch_pg_uuid(&args, product_id);
    ch_pg_text(&args, day_str(&today));
    err = ch_pg_run_wait(ctx, Q_PRODUCT_FIND, &args, &rows);
    if (err)
        return err;
    if (ch_pg_count(rows) == 0)
        return CH_ERR_NOT_FOUND;
    err = product_from_row(ctx, rows, &product);
    if (err)
        return err;
    add_farm_and_images(ctx->arena, rows, &product);
    err = skus_of_products_wait(ctx, &product_id, 1, false, &product.skus, &product.sku_count);
    if (err)
        return err;
    *ret_product = product;
    return CH_OK;
}

enum ch_err product_lock_wait(struct ch_tx *tx, struct ch_uuid product_id, struct product *ret_product)
{
    struct ch_pg_rows *rows CH_PG_ROWS = NULL;
    struct ch_pg_args args;

    ch_pg_args_init(&args, tx->ctx);
    ch_pg_uuid(&args, product_id);
    enum ch_err err = ch_tx_run_wait(tx, Q_PRODUCT_LOCK, &args, &rows);
    if (err)
        return err;
    if (ch_pg_count(rows) == 0 || !access_may_edit(tx->ctx->identity, ch_pg_get_uuid(rows, 0, COL_FARM_ID)))
        return CH_ERR_NOT_FOUND;
    return product_from_row(tx->ctx, rows, ret_product);
}

// ---- writing

static void put_edit(struct ch_pg_args *args, const struct product_edit *edit)
{
    struct ch_buf json;
    struct ch_jw jw;

    ch_buf_init(&json, DISCLOSURE_JSON_MAX);
    ch_jw_init(&jw, &json);
    disclosure_write(&jw, &edit->disclosure);
    const struct ch_str disclosure = ch_buf_take(&json, args->arena);
    args->is_broken = args->is_broken || !disclosure.data;
    ch_pg_text(args, edit->title);
    ch_pg_text(args, edit->fruit);
    ch_pg_text(args, edit->variety);
    ch_pg_text(args, edit->description);
    ch_pg_text(args, edit->origin);
    ch_pg_text(args, edit->storage);
    ch_pg_text(args, edit->season_from);
    ch_pg_text(args, edit->season_to);
    ch_pg_text(args, ch_str_of(tax_class_names[edit->tax_class]));
    ch_pg_text(args, disclosure);
}

enum ch_err product_save(struct ch_tx *tx, struct product *product)
{
    struct ch_pg_args args;

    product->version++;
    ch_pg_args_init(&args, tx->ctx);
    ch_pg_uuid(&args, product->product_id);
    put_edit(&args, &product->edit);
    ch_pg_text(&args, ch_str_of(product_status_names[product->edit.status]));
    ch_pg_int4(&args, (int32_t)product->version);
    enum ch_err err = ch_tx_send(tx, Q_PRODUCT_UPDATE, &args);
    if (err)
        return err;
    return event_product_changed(tx, product);
}

enum ch_err product_insert_wait(struct ch_ctx *ctx, struct product *product)
{
    struct ch_pg_rows *rows CH_PG_ROWS = NULL;
    struct ch_tx tx CH_TX = {0};
    struct ch_pg_args args;
    enum ch_err err;

    err = ch_tx_begin_wait(ctx, &tx);
    if (err)
        return err;
    ch_pg_args_init(&args, ctx);
    ch_pg_uuid(&args, product->product_id);
    ch_pg_uuid(&args, product->farm_id);
    put_edit(&args, &product->edit);
    err = ch_tx_run_wait(&tx, Q_PRODUCT_INSERT, &args, &rows);
    if (err)
        return err;
    if (ch_pg_count(rows) == 0)
        return CH_ERR_NOT_FOUND;
    err = event_product_changed(&tx, product);
    if (err)
        return err;
    err = ch_tx_commit_wait(&tx);
    if (!err)
        ch_outbox_wake();
    return err;
}
