// SPDX-License-Identifier: Apache-2.0
// Pictures over REST. A picture never changes under its name, so whoever has it need not ask again.
#include "image.h"
#include "tables.h"

struct upload_query {
    struct ch_str alt;
};

static const struct ch_field upload_fields[] = {
    {"alt", CH_FIELD_STR, offsetof(struct upload_query, alt), .flags = CH_F_TRIM, .min = 1, .max = 200},
    {0},
};

enum ch_err image_upload(struct ch_request *req)
{
    struct ch_ctx *ctx = &req->ctx;
    struct image image = {.bytes = req->http->body};
    struct upload_query query = {0};
    struct ch_uuid product_id;
    struct ch_jw jw;
    enum ch_err err;

    err = ch_param_uuid(req, 0, &product_id);
    if (err)
        return err;
    err = ch_query_bind(req, upload_fields, &query, NULL);
    if (err)
        return err;
    image.type = image_type(ch_http_header(req->http, "Content-Type"), image.bytes);
    if (!image.type)
        return ch_fail(ctx, CH_ERR_UNSUPPORTED_MEDIA_TYPE, "Content-Type", "enum",
                       "PNG, JPEG, WebP 사진을 그 형식으로 보내 주세요");
    image.alt = query.alt;
    ch_sha256(image.bytes.data, image.bytes.len, image.sha256);
    ch_hex_encode(image.sha256, sizeof(image.sha256), image.id);
    err = image_add_wait(ctx, product_id, &image);
    if (err)
        return err;

    const char *url = ch_arena_printf(ctx->arena, "/api/v1/images/%s", image.id);
    req->status = 201;
    ch_reply_header(req, "Location", ch_str_of(url));
    ch_jw_init(&jw, &req->body);
    ch_jw_object(&jw);
    ch_jw_kcstr(&jw, "imageId", image.id);
    ch_jw_kcstr(&jw, "url", url);
    ch_jw_kstr(&jw, "alt", image.alt);
    ch_jw_object_end(&jw);
    return CH_OK;
}

static bool is_sha256(struct ch_str text)
{
    if (text.len != 64)
        return false;
    for (size_t i = 0; i < text.len; i++)
        if (!(text.data[i] >= '0' && text.data[i] <= '9') && !(text.data[i] >= 'a' && text.data[i] <= 'f'))
            return false;
    return true;
}

enum ch_err image_get(struct ch_request *req)
{
    struct ch_pg_rows *rows CH_PG_ROWS = NULL;
    const struct ch_str id = req->params[0];
    struct ch_str type, bytes;

    if (!is_sha256(id))
        return CH_ERR_NOT_FOUND;
    const bool has_it = ch_is_not_modified_text(req, id); // only its existence is left to look at
    const enum ch_err err = image_find_wait(&req->ctx, id, !has_it, &rows, &type, &bytes);
    if (err)
        return err;
    ch_reply_header(req, "Cache-Control", CH_STR("public, max-age=31536000, immutable"));
    if (has_it)
        return CH_OK;
    req->content_type = ch_arena_strdup(req->ctx.arena, type);
    ch_buf_append_str(&req->body, bytes);
    return req->content_type ? CH_OK : CH_ERR_NO_MEMORY;
}
