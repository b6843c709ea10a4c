// SPDX-License-Identifier: Apache-2.0
// GET /api/v1/products: what is on sale.
#include "farm.h"
#include "page.h"
#include "search.h"
#include "tables.h"

#include <inttypes.h>

const char *const search_sort_names[] = {"recommended", "newest", "priceAsc", "priceDesc", NULL};

struct search_query {
    struct ch_str q, fruit, region, cursor;
    bool in_season;
    int grade, certificate, sort;
    int64_t min_price_krw, max_price_krw, limit;
    struct ch_uuid farm_id;
};
enum { HAS_SEASON = 1, HAS_GRADE = 2, HAS_CERTIFICATE = 4 };

#define IN(member) offsetof(struct search_query, member)

static const struct ch_field query_fields[] = {
    {"q", CH_FIELD_STR, IN(q), .flags = CH_F_OPTIONAL, .min = 1, .max = 50},
    {"fruit", CH_FIELD_STR, IN(fruit), .flags = CH_F_OPTIONAL, .min = 1, .max = 20},
    {"region", CH_FIELD_STR, IN(region), .flags = CH_F_OPTIONAL, .min = 2, .max = 30},
    {"inSeason", CH_FIELD_BOOL, IN(in_season), .flags = CH_F_OPTIONAL, .present_bit = HAS_SEASON},
    {"grade", CH_FIELD_ENUM, IN(grade), .flags = CH_F_OPTIONAL, .names = grade_names, .present_bit = HAS_GRADE},
    {"certificate", CH_FIELD_ENUM, IN(certificate), .flags = CH_F_OPTIONAL, .names = certificate_kind_names,
     .present_bit = HAS_CERTIFICATE},
    {"minPriceKrw", CH_FIELD_INT, IN(min_price_krw), .flags = CH_F_OPTIONAL, .min = 0, .max = 10000000},
    {"maxPriceKrw", CH_FIELD_INT, IN(max_price_krw), .flags = CH_F_OPTIONAL, .min = 0, .max = 10000000},
    {"farmId", CH_FIELD_UUID, IN(farm_id), .flags = CH_F_OPTIONAL},
    {"sort", CH_FIELD_ENUM, IN(sort), .flags = CH_F_OPTIONAL, .names = search_sort_names},
    {"limit", CH_FIELD_INT, IN(limit), .flags = CH_F_OPTIONAL, .min = 1, .max = 100},
    {"cursor", CH_FIELD_STR, IN(cursor), .flags = CH_F_OPTIONAL, .min = 1, .max = 512},
    {0},
};

// sort, sort key, product id
static enum ch_err read_cursor(struct ch_ctx *ctx, struct ch_str text, struct search *search)
{
    struct ch_cursor cursor;

    const enum ch_err err = ch_cursor_decode(ctx, text, &cursor);
    if (err)
        return err;
    if (cursor.count != 3 || !ch_str_is(cursor.values[0], search_sort_names[search->sort]) ||
        ch_str_to_int64(cursor.values[1], &search->after_key) || ch_uuid_parse(cursor.values[2], &search->after_id))
        return page_cursor_refuse(ctx);
    search->has_after = true;
    return CH_OK;
}

static enum ch_err read_query(struct ch_request *req, struct search *ret_search)
{
    struct search_query query = {.min_price_krw = -1, .max_price_krw = -1, .limit = 20};
    uint64_t present = 0;

    const enum ch_err err = ch_query_bind(req, query_fields, &query, &present);
    if (err)
        return err;
    if (query.max_price_krw >= 0 && query.max_price_krw < query.min_price_krw)
        return ch_fail(&req->ctx, CH_ERR_INVALID, "?maxPriceKrw", "range", "minPriceKrw 이상이어야 합니다");
    *ret_search = (struct search){
        .words = query.q,
        .fruit = query.fruit,
        .region = query.region,
        .in_season = present & HAS_SEASON ? query.in_season : -1,
        .min_price_krw = query.min_price_krw,
        .max_price_krw = query.max_price_krw,
        .farm_id = query.farm_id,
        .sort = (enum search_sort)query.sort,
        .limit = query.limit,
    };
    if (present & HAS_GRADE)
        ret_search->grade = ch_str_of(grade_names[query.grade]);
    if (present & HAS_CERTIFICATE)
        ret_search->certificate = ch_str_of(certificate_kind_names[query.certificate]);
    return query.cursor.data ? read_cursor(&req->ctx, query.cursor, ret_search) : CH_OK;
}

static void write_skus(struct ch_jw *jw, const struct search_item *item)
{
    ch_jw_key(jw, "skus");
    ch_jw_array(jw);
    for (size_t i = 0; i < item->sku_count; i++) {
        const struct sku *sku = &item->skus[i];

        ch_jw_object(jw);
        ch_jw_kuuid(jw, "skuId", sku->sku_id);
        ch_jw_kcstr(jw, "grade", grade_names[sku->edit.grade]);
        ch_jw_kint(jw, "weightG", sku->edit.weight_g);
        ch_jw_kint(jw, "priceKrw", sku->edit.price_krw);
        ch_jw_kint_or_null(jw, "perBuyerLimit", sku->edit.per_buyer_limit, 0);
        ch_jw_kint(jw, "available", sku->available);
        ch_jw_object_end(jw);
    }
    ch_jw_array_end(jw);
}

static void write_image_url(struct ch_jw *jw, struct ch_str image_id)
{
    char url[96];
    const int len = snprintf(url, sizeof(url), "/api/v1/images/%.*s", CH_STR_ARG(image_id)); // 64 digits

    ch_jw_kstr(jw, "imageUrl", image_id.data ? (struct ch_str){url, (size_t)len} : (struct ch_str){0});
}

static void write_item(struct ch_jw *jw, const struct search_item *item)
{
    ch_jw_object(jw);
    ch_jw_kuuid(jw, "productId", item->product_id);
    ch_jw_kstr(jw, "title", item->title);
    ch_jw_kstr(jw, "fruit", item->fruit);
    ch_jw_kstr(jw, "variety", item->variety);
    ch_jw_kstr(jw, "grade", item->grade);
    ch_jw_key(jw, "farm");
    ch_jw_object(jw);
    ch_jw_kuuid(jw, "farmId", item->farm_id);
    ch_jw_kstr(jw, "name", item->farm_name);
    ch_jw_kstr(jw, "region", item->farm_region);
    ch_jw_object_end(jw);
    write_image_url(jw, item->image_id);
    ch_jw_kint_or_null(jw, "fromPriceKrw", item->from_price_krw, 0);
    ch_jw_kbool(jw, "inSeason", item->is_in_season);
    ch_jw_key(jw, "certificates");
    ch_jw_raw(jw, item->certificates_json);
    write_skus(jw, item);
    ch_jw_object_end(jw);
}

static const char *cursor_after(struct ch_ctx *ctx, const struct search *search, const struct search_item *last)
{
    const char *key = ch_arena_printf(ctx->arena, "%" PRId64, last->sort_key);
    char id[CH_UUID_TEXT];

    ch_uuid_format(last->product_id, id);
    const struct ch_cursor cursor = {
        .values = {ch_str_of(search_sort_names[search->sort]), ch_str_of(key), ch_str_of(id)}, .count = 3};
    return key ? ch_cursor_encode(ctx, &cursor) : NULL;
}

enum ch_err product_search(struct ch_request *req)
{
    struct search_page page;
    struct search search;
    struct ch_jw jw;

    enum ch_err err = read_query(req, &search);
    if (err)
        return err;
    err = search_wait(&req->ctx, &search, &page);
    if (err)
        return err;

    ch_jw_init(&jw, &req->body);
    ch_jw_object(&jw);
    ch_jw_key(&jw, "items");
    ch_jw_array(&jw);
    for (size_t i = 0; i < page.count; i++)
        write_item(&jw, &page.items[i]);
    ch_jw_array_end(&jw);
    ch_jw_kcstr(&jw, "nextCursor",
                page.has_more ? cursor_after(&req->ctx, &search, &page.items[page.count - 1]) : NULL);
    ch_jw_object_end(&jw);
    return page_reply(req, 0);
}
