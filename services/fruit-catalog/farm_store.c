// SPDX-License-Identifier: Apache-2.0
// Farms in the database: rows to structs, and the transaction that replaces a farm with all that repeats its name.
#include "day.h"
#include "farm.h"
#include "product_cache.h"
#include "queries.h"

// Columns of farm_find and farm_page, in their order.
enum {
    COL_FARM_ID,
    COL_NAME,
    COL_SIDO,
    COL_SIGUNGU,
    COL_INTRODUCTION,
    COL_PHONE,
    COL_BUSINESS_NUMBER,
    COL_SHIP_CUTOFF,
    COL_PRODUCT_COUNT,
    COL_CERTIFICATES,
    COL_VERSION,
    COL_UPDATED,
};

static void farm_from_row(struct ch_arena *arena, const struct ch_pg_rows *rows, size_t row, struct farm *farm)
{
    *farm = (struct farm){
        .farm_id = ch_pg_get_uuid(rows, row, COL_FARM_ID),
        .name = ch_pg_copy_str(rows, row, COL_NAME, arena),
        .sido = ch_pg_copy_str(rows, row, COL_SIDO, arena),
        .sigungu = ch_pg_copy_str(rows, row, COL_SIGUNGU, arena),
        .introduction = ch_pg_copy_str(rows, row, COL_INTRODUCTION, arena),
        .phone = ch_pg_copy_str(rows, row, COL_PHONE, arena),
        .business_number = ch_pg_copy_str(rows, row, COL_BUSINESS_NUMBER, arena),
        .ship_cutoff = ch_pg_copy_str(rows, row, COL_SHIP_CUTOFF, arena),
        .product_count = ch_pg_get_int(rows, row, COL_PRODUCT_COUNT),
        .certificates_json = ch_pg_copy_str(rows, row, COL_CERTIFICATES, arena),
        .version = ch_pg_get_int(rows, row, COL_VERSION),
        .updated_at_us = ch_pg_get_time(rows, row, COL_UPDATED),
    };
}

enum ch_err farm_find_wait(struct ch_ctx *ctx, struct ch_uuid farm_id, struct farm *ret_farm)
{
    struct ch_pg_rows *rows CH_PG_ROWS = NULL;
    struct ch_pg_args args;

    ch_pg_args_init(&args, ctx);
    ch_pg_uuid(&args, farm_id);
    enum ch_err err = ch_pg_run_wait(ctx, Q_FARM_FIND, &args, &rows);
    if (err)
        return err;
    if (ch_pg_count(rows) == 0)
        return CH_ERR_NOT_FOUND;
    farm_from_row(ctx->arena, rows, 0, ret_farm);
    return CH_OK;
}

// One row more than asked tells that there is more.
enum ch_err farm_page_wait(struct ch_ctx *ctx, struct farm_page *page)
{
    struct ch_pg_rows *rows CH_PG_ROWS = NULL;
    const struct day today = day_in_seoul(ch_wall_us());
    struct ch_pg_args args;

    ch_pg_args_init(&args, ctx);
    ch_pg_text(&args, page->region);
    ch_pg_text(&args, page->certificate);
    ch_pg_text(&args, day_str(&today));
    ch_pg_text(&args, page->after_name);
    ch_pg_uuid(&args, page->after_id);
    ch_pg_int4(&args, (int32_t)page->limit + 1);
    enum ch_err err = ch_pg_run_wait(ctx, Q_FARM_PAGE, &args, &rows);
    if (err)
        return err;
    const size_t found = ch_pg_count(rows);
    const size_t count = found > (size_t)page->limit ? (size_t)page->limit : found;
    struct farm *farms = ch_arena_array(ctx->arena, count, sizeof(*farms));
    if (count && !farms)
        return CH_ERR_NO_MEMORY;
    for (size_t i = 0; i < count; i++)
        farm_from_row(ctx->arena, rows, i, &farms[i]);
    page->farms = farms;
    page->count = count;
    page->has_more = found > count;
    return CH_OK;
}

// ---- writing

static void put_farm(struct ch_pg_args *args, struct ch_ctx *ctx, struct ch_uuid farm_id,
                     const struct farm_input *input)
{
    ch_pg_args_init(args, ctx);
    ch_pg_uuid(args, farm_id);
    ch_pg_text(args, input->name);
    ch_pg_text(args, ch_str_of(sido_names[input->sido]));
    ch_pg_text(args, input->sigungu);
    ch_pg_text(args, input->introduction);
    ch_pg_text(args, input->phone);
    ch_pg_text(args, input->business_number);
    ch_pg_text(args, input->ship_cutoff);
}

static enum ch_err send_certificates(struct ch_tx *tx, struct ch_uuid farm_id, const struct ch_array *certificates)
{
    const struct certificate *list = certificates->items;
    const size_t count = certificates->count;
    struct ch_arena *arena = tx->ctx->arena;
    struct ch_str *kinds = ch_arena_array(arena, count, sizeof(*kinds));
    struct ch_str *numbers = ch_arena_array(arena, count, sizeof(*numbers));
    struct ch_str *agencies = ch_arena_array(arena, count, sizeof(*agencies));
    struct ch_str *valid_tos = ch_arena_array(arena, count, sizeof(*valid_tos));
    struct ch_pg_args args;

    if (count && (!kinds || !numbers || !agencies || !valid_tos))
        return CH_ERR_NO_MEMORY;
    for (size_t i = 0; i < count; i++) {
        kinds[i] = ch_str_of(certificate_kind_names[list[i].kind]);
        numbers[i] = list[i].number;
        agencies[i] = list[i].agency;
        valid_tos[i] = list[i].valid_to;
    }
    ch_pg_args_init(&args, tx->ctx);
    ch_pg_uuid(&args, farm_id);
    enum ch_err err = ch_tx_send(tx, Q_FARM_CERTIFICATES_CLEAR, &args);
    if (err)
        return err;
    ch_pg_text_array(&args, kinds, count);
    ch_pg_text_array(&args, numbers, count);
    ch_pg_text_array(&args, agencies, count);
    ch_pg_text_array(&args, valid_tos, count);
    return ch_tx_send(tx, Q_FARM_CERTIFICATES_INSERT, &args);
}

static enum ch_err replace_wait(struct ch_ctx *ctx, struct ch_uuid farm_id, const struct farm_input *input,
                                int64_t if_match, bool *ret_is_new)
{
    struct ch_pg_rows *rows CH_PG_ROWS = NULL;
    struct ch_tx tx CH_TX = {0};
    struct ch_pg_args args;
    enum ch_err err;

    err = ch_tx_begin_wait(ctx, &tx);
    if (err)
        return err;
    ch_pg_args_init(&args, ctx);
    ch_pg_uuid(&args, farm_id);
    err = ch_tx_run_wait(&tx, Q_FARM_LOCK, &args, &rows);
    if (err)
        return err;
    const bool is_new = ch_pg_count(rows) == 0;
    if (if_match >= 0 && (is_new || ch_pg_get_int(rows, 0, 0) != if_match))
        return CH_ERR_PRECONDITION_FAILED;

    put_farm(&args, ctx, farm_id, input);
    err = ch_tx_send(&tx, is_new ? Q_FARM_INSERT : Q_FARM_UPDATE, &args);
    if (err)
        return err;
    err = send_certificates(&tx, farm_id, &input->certificates);
    if (err)
        return err;
    ch_pg_args_init(&args, ctx);
    ch_pg_uuid(&args, farm_id);
    err = ch_tx_send(&tx, Q_FARM_RENAME_PRODUCTS, &args);
    if (err)
        return err;
    err = ch_tx_commit_wait(&tx);
    product_cache_drop_all(); // also after a failure: the commit may have happened
    if (!err)
        *ret_is_new = is_new;
    return err;
}

enum ch_err farm_put_wait(struct ch_ctx *ctx, struct ch_uuid farm_id, const struct farm_input *input, int64_t if_match,
                          bool *ret_is_new)
{
    enum ch_err err = replace_wait(ctx, farm_id, input, if_match, ret_is_new);

    if (err == CH_ERR_DUPLICATE) // somebody created it between our look and our insert: now it is there to be replaced
        err = replace_wait(ctx, farm_id, input, if_match, ret_is_new);
    return err;
}
