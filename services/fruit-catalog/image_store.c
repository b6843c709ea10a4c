// SPDX-License-Identifier: Apache-2.0
// Pictures in the database. A picture's bytes stand once, whoever uploads them; products point at them.
#include "image.h"
#include "product.h"
#include "product_cache.h"
#include "queries.h"

static enum ch_err refuse(struct ch_ctx *ctx, const char *detail)
{
    ctx->detail = detail;
    return CH_ERR_CONFLICT;
}

// Where the picture goes; `*ret_position` 0: the product has it already.
static enum ch_err find_place_wait(struct ch_tx *tx, struct ch_uuid product_id, struct image *image,
                                   int32_t *ret_position)
{
    struct ch_pg_rows *rows CH_PG_ROWS = NULL;
    struct ch_pg_args args;
    int32_t last = 0;

    ch_pg_args_init(&args, tx->ctx);
    ch_pg_uuid(&args, product_id);
    enum ch_err err = ch_tx_run_wait(tx, Q_PRODUCT_IMAGES_OF, &args, &rows);
    if (err)
        return err;
    for (size_t i = 0; i < ch_pg_count(rows); i++) {
        last = (int32_t)ch_pg_get_int(rows, i, 1);
        if (ch_str_is(ch_pg_get_str(rows, i, 0), image->id)) {
            image->alt = ch_pg_copy_str(rows, i, 2, tx->ctx->arena);
            *ret_position = 0;
            return CH_OK;
        }
    }
    if (last >= IMAGES_MAX)
        return refuse(tx->ctx, "사진은 10장까지 올릴 수 있습니다.");
    *ret_position = last + 1;
    return CH_OK;
}

static enum ch_err send_image(struct ch_tx *tx, struct ch_uuid product_id, const struct image *image, int32_t position)
{
    const struct ch_str sha256 = {(const char *)image->sha256, sizeof(image->sha256)};
    struct ch_pg_args args;

    ch_pg_args_init(&args, tx->ctx);
    ch_pg_bytea(&args, sha256);
    ch_pg_text(&args, ch_str_of(image->type));
    ch_pg_bytea(&args, image->bytes);
    enum ch_err err = ch_tx_send(tx, Q_IMAGE_INSERT, &args);
    if (err)
        return err;
    ch_pg_args_init(&args, tx->ctx);
    ch_pg_uuid(&args, product_id);
    ch_pg_int4(&args, position);
    ch_pg_bytea(&args, sha256);
    ch_pg_text(&args, image->alt);
    return ch_tx_send(tx, Q_PRODUCT_IMAGE_INSERT, &args);
}

enum ch_err image_add_wait(struct ch_ctx *ctx, struct ch_uuid product_id, struct image *image)
{
    struct ch_tx tx CH_TX = {0};
    struct product product;
    int32_t position;
    enum ch_err err;

    err = ch_tx_begin_wait(ctx, &tx);
    if (err)
        return err;
    err = product_lock_wait(&tx, product_id, &product);
    if (err)
        return err;
    if (product.edit.status == PRODUCT_ENDED)
        return refuse(ctx, "판매가 끝난 상품은 수정할 수 없습니다.");
    err = find_place_wait(&tx, product_id, image, &position);
    if (err || position == 0)
        return err;
    err = send_image(&tx, product_id, image, position);
    if (err)
        return err;
    err = product_save(&tx, &product);
    if (err)
        return err;
    err = ch_tx_commit_wait(&tx);
    product_cache_drop(product_id); // also after a failure: the commit may have happened
    if (!err)
        ch_outbox_wake();
    return err;
}

enum ch_err image_find_wait(struct ch_ctx *ctx, struct ch_str id, bool with_bytes, struct ch_pg_rows **ret_rows,
                            struct ch_str *ret_type, struct ch_str *ret_bytes)
{
    struct ch_pg_args args;

    ch_pg_args_init(&args, ctx);
    ch_pg_text(&args, id);
    ch_pg_bool(&args, with_bytes);
    enum ch_err err = ch_pg_run_wait(ctx, Q_IMAGE_FIND, &args, ret_rows);
    if (err)
        return err;
    if (ch_pg_count(*ret_rows) == 0)
        return CH_ERR_NOT_FOUND;
    *ret_type = ch_pg_get_str(*ret_rows, 0, 0);
    *ret_bytes = ch_pg_get_str(*ret_rows, 0, 1);
    return CH_OK;
}
