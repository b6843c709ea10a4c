// SPDX-License-Identifier: Apache-2.0
// Farms over REST. Each function reads its input, calls the store, writes its answer.
#include "farm.h"
#include "page.h"
#include "tables.h"

struct list_query {
    struct ch_str region;
    int certificate;
    int64_t limit;
    struct ch_str cursor;
};
enum { HAS_CERTIFICATE = 1 };

static const struct ch_field list_fields[] = {
    {"region", CH_FIELD_STR, offsetof(struct list_query, region), .flags = CH_F_OPTIONAL, .min = 2, .max = 30},
    {"certificate", CH_FIELD_ENUM, offsetof(struct list_query, certificate), .flags = CH_F_OPTIONAL,
     .names = certificate_kind_names, .present_bit = HAS_CERTIFICATE},
    {"limit", CH_FIELD_INT, offsetof(struct list_query, limit), .flags = CH_F_OPTIONAL, .min = 1, .max = 100},
    {"cursor", CH_FIELD_STR, offsetof(struct list_query, cursor), .flags = CH_F_OPTIONAL, .min = 1, .max = 512},
    {0},
};

static enum ch_err read_list_query(struct ch_request *req, struct farm_page *ret_page)
{
    struct list_query query = {.limit = 20};
    struct ch_cursor cursor;
    uint64_t present = 0;

    enum ch_err err = ch_query_bind(req, list_fields, &query, &present);
    if (err)
        return err;
    *ret_page = (struct farm_page){.region = query.region, .limit = query.limit};
    if (present & HAS_CERTIFICATE)
        ret_page->certificate = ch_str_of(certificate_kind_names[query.certificate]);
    if (!query.cursor.data)
        return CH_OK;
    err = ch_cursor_decode(&req->ctx, query.cursor, &cursor);
    if (err)
        return err;
    if (cursor.count != 2 || !cursor.values[0].data || ch_uuid_parse(cursor.values[1], &ret_page->after_id))
        return page_cursor_refuse(&req->ctx);
    ret_page->after_name = cursor.values[0];
    return CH_OK;
}

static const char *cursor_after(struct ch_ctx *ctx, const struct farm *last)
{
    char id[CH_UUID_TEXT];

    ch_uuid_format(last->farm_id, id);
    const struct ch_cursor cursor = {.values = {last->name, ch_str_of(id)}, .count = 2};
    return ch_cursor_encode(ctx, &cursor);
}

enum ch_err farm_list(struct ch_request *req)
{
    struct farm_page page;
    struct ch_jw jw;

    enum ch_err err = read_list_query(req, &page);
    if (err)
        return err;
    err = farm_page_wait(&req->ctx, &page);
    if (err)
        return err;

    ch_jw_init(&jw, &req->body);
    ch_jw_object(&jw);
    ch_jw_key(&jw, "items");
    ch_jw_array(&jw);
    for (size_t i = 0; i < page.count; i++) {
        ch_jw_object(&jw);
        farm_write(&jw, &page.farms[i], false);
        ch_jw_object_end(&jw);
    }
    ch_jw_array_end(&jw);
    ch_jw_kcstr(&jw, "nextCursor", page.has_more ? cursor_after(&req->ctx, &page.farms[page.count - 1]) : NULL);
    ch_jw_object_end(&jw);
    return page_reply(req, 0);
}

static void write_farm(struct ch_request *req, const struct farm *farm)
{
    struct ch_jw jw;

    ch_jw_init(&jw, &req->body);
    ch_jw_object(&jw);
    farm_write(&jw, farm, true);
    ch_jw_object_end(&jw);
}

enum ch_err farm_detail(struct ch_request *req)
{
    struct ch_uuid farm_id;
    struct farm farm;

    enum ch_err err = ch_param_uuid(req, 0, &farm_id);
    if (err)
        return err;
    err = farm_find_wait(&req->ctx, farm_id, &farm);
    if (err)
        return err;
    write_farm(req, &farm);
    return page_reply(req, farm.version); // productCount changes without an edit, so the version alone would lie
}

enum ch_err farm_put(struct ch_request *req)
{
    struct farm_input input = {.ship_cutoff = CH_STR("14:00")};
    struct ch_uuid farm_id;
    struct farm farm;
    int64_t if_match;
    bool is_new;
    enum ch_err err;

    err = ch_param_uuid(req, 0, &farm_id);
    if (err)
        return err;
    err = ch_if_match(req, false, &if_match);
    if (err)
        return err;
    err = ch_body_bind(req, farm_input_fields, &input, NULL);
    if (err)
        return err;
    err = farm_put_wait(&req->ctx, farm_id, &input, if_match, &is_new);
    if (err)
        return err;
    err = farm_find_wait(&req->ctx, farm_id, &farm);
    if (err)
        return err;

    req->status = is_new ? 201 : 200;
    ch_reply_etag(req, farm.version);
    write_farm(req, &farm);
    return CH_OK;
}
