// SPDX-License-Identifier: Apache-2.0
// Runs a search: the page of products, then their SKUs.
#include "day.h"
#include "queries.h"
#include "search.h"

// Columns of product_search and product_list, in their order.
enum {
    COL_PRODUCT_ID,
    COL_TITLE,
    COL_FRUIT,
    COL_VARIETY,
    COL_GRADE,
    COL_PRICE,
    COL_IN_SEASON,
    COL_SORT_KEY,
    COL_FARM_ID,
    COL_FARM_NAME,
    COL_FARM_REGION,
    COL_IMAGE,
    COL_CERTIFICATES,
};

static void put_price(struct ch_pg_args *args, int64_t price_krw)
{
    if (price_krw < 0)
        ch_pg_null(args);
    else
        ch_pg_int8(args, price_krw);
}

static void put_search(struct ch_pg_args *args, const struct search *search)
{
    const struct day today = day_in_seoul(ch_wall_us());

    ch_pg_text(args, search->words);
    ch_pg_text(args, search->fruit);
    ch_pg_text(args, search->region);
    if (search->in_season < 0)
        ch_pg_null(args);
    else
        ch_pg_bool(args, search->in_season);
    ch_pg_text(args, search->grade);
    ch_pg_text(args, search->certificate);
    put_price(args, search->min_price_krw);
    put_price(args, search->max_price_krw);
    if (ch_uuid_is_nil(search->farm_id))
        ch_pg_null(args);
    else
        ch_pg_uuid(args, search->farm_id);
    ch_pg_int4(args, (int32_t)search->sort);
    if (search->has_after)
        ch_pg_int8(args, search->after_key);
    else
        ch_pg_null(args);
    ch_pg_uuid(args, search->after_id);
    ch_pg_int4(args, (int32_t)search->limit + 1); // one more tells that there is more
    ch_pg_text(args, day_str(&today));
}

static void item_from_row(struct ch_arena *arena, const struct ch_pg_rows *rows, size_t row, struct search_item *item)
{
    *item = (struct search_item){
        .product_id = ch_pg_get_uuid(rows, row, COL_PRODUCT_ID),
        .farm_id = ch_pg_get_uuid(rows, row, COL_FARM_ID),
        .title = ch_pg_copy_str(rows, row, COL_TITLE, arena),
        .fruit = ch_pg_copy_str(rows, row, COL_FRUIT, arena),
        .variety = ch_pg_copy_str(rows, row, COL_VARIETY, arena),
        .grade = ch_pg_copy_str(rows, row, COL_GRADE, arena),
        .farm_name = ch_pg_copy_str(rows, row, COL_FARM_NAME, arena),
        .farm_region = ch_pg_copy_str(rows, row, COL_FARM_REGION, arena),
        .image_id = ch_pg_copy_str(rows, row, COL_IMAGE, arena),
        .certificates_json = ch_pg_copy_str(rows, row, COL_CERTIFICATES, arena),
        .from_price_krw = ch_pg_get_int(rows, row, COL_PRICE),
        .sort_key = ch_pg_get_int(rows, row, COL_SORT_KEY),
        .is_in_season = ch_pg_get_bool(rows, row, COL_IN_SEASON),
    };
}

// SKUs stand grouped by product; the page's order is another.
static enum ch_err add_skus_wait(struct ch_ctx *ctx, struct search_item *items, size_t count)
{
    struct ch_uuid *ids = ch_arena_array(ctx->arena, count, sizeof(*ids));
    struct sku *skus;
    size_t sku_count;

    if (!ids)
        return CH_ERR_NO_MEMORY;
    for (size_t i = 0; i < count; i++)
        ids[i] = items[i].product_id;
    enum ch_err err = skus_of_products_wait(ctx, ids, count, true, &skus, &sku_count);
    if (err)
        return err;
    for (size_t i = 0; i < count; i++) {
        size_t from = 0, to;

        while (from < sku_count && !ch_uuid_eq(skus[from].product_id, items[i].product_id))
            from++;
        for (to = from; to < sku_count && ch_uuid_eq(skus[to].product_id, items[i].product_id);)
            to++;
        items[i].skus = skus + from;
        items[i].sku_count = to - from;
    }
    return CH_OK;
}

enum ch_err search_wait(struct ch_ctx *ctx, const struct search *search, struct search_page *ret_page)
{
    struct ch_pg_rows *rows CH_PG_ROWS = NULL;
    struct ch_pg_args args;

    ch_pg_args_init(&args, ctx);
    put_search(&args, search);
    enum ch_err err = ch_pg_run_wait(ctx, search->words.data ? Q_PRODUCT_SEARCH : Q_PRODUCT_LIST, &args, &rows);
    if (err)
        return err;
    const size_t found = ch_pg_count(rows);
    const size_t count = found > (size_t)search->limit ? (size_t)search->limit : found;
    struct search_item *items = ch_arena_array(ctx->arena, count, sizeof(*items));
    if (count && !items)
        return CH_ERR_NO_MEMORY;
    for (size_t i = 0; i < count; i++)
        item_from_row(ctx->arena, rows, i, &items[i]);
    if (count) {
        err = add_skus_wait(ctx, items, count);
        if (err)
            return err;
    }
    *ret_page = (struct search_page){.items = items, .count = count, .has_more = found > count};
    return CH_OK;
}
