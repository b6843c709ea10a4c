// SPDX-License-Identifier: Apache-2.0
// OrderManager over REST: contracts/openapi/order-manager.yaml. Each function reads its input, calls the rules, writes
// its answer.
#include "access.h"
#include "cancel.h"
#include "me_routes.h"
#include "order_input.h"
#include "order_store.h"
#include "tables.h"

static enum ch_err order_place(struct ch_request *req)
{
    struct ch_ctx *ctx = &req->ctx;
    struct order_input input = {0};
    struct order order;
    char id[CH_UUID_TEXT];
    enum ch_err err;

    err = ch_body_bind(req, order_input_fields, &input, NULL);
    if (err)
        return err;
    err = order_from_input(ctx, &input, req->idempotency_key, &order);
    if (err)
        return err;
    err = order_place_wait(ctx, &order);
    if (err)
        return err;

    ch_uuid_format(order.order_id, id);
    ch_reply_header(req, "Location", ch_str_of(ch_arena_printf(ctx->arena, "/api/v1/orders/%s", id)));
    req->status = 201;
    ch_buf_append_str(&req->body, order.reply);
    return CH_OK;
}

// The whole order, as order_detail and order_cancel answer it.
static enum ch_err answer_detail(struct ch_request *req, struct ch_uuid order_id, struct ch_str reveal_for)
{
    struct timeline_entry *timeline;
    size_t timeline_count;
    struct order order;
    struct ch_jw jw;

    const enum ch_err err = order_detail_wait(&req->ctx, order_id, reveal_for, &order, &timeline, &timeline_count);
    if (err)
        return err;
    ch_reply_header(req, "Cache-Control", CH_STR("private, no-store"));
    ch_jw_init(&jw, &req->body);
    ch_jw_object(&jw);
    order_write(&jw, &order);
    ch_jw_key(&jw, "cancellation");
    order_write_cancellation(&jw, &order.cancellation);
    ch_jw_key(&jw, "delivery");
    order_write_delivery(&jw, &order.delivery);
    ch_jw_key(&jw, "timeline");
    order_write_timeline(&jw, timeline, timeline_count);
    ch_jw_object_end(&jw);
    return CH_OK;
}

struct detail_query {
    struct ch_str reveal_for;
};
static const struct ch_field detail_fields[] = {
    {"revealFor", CH_FIELD_STR, offsetof(struct detail_query, reveal_for), .flags = CH_F_OPTIONAL | CH_F_TRIM, .min = 2,
     .max = 100},
    {0},
};

static enum ch_err order_detail(struct ch_request *req)
{
    struct detail_query query = {0};
    struct ch_uuid order_id;
    enum ch_err err;

    err = ch_param_uuid(req, 0, &order_id);
    if (!err)
        err = ch_query_bind(req, detail_fields, &query, NULL);
    return err ? err : answer_detail(req, order_id, query.reveal_for);
}

static enum ch_err order_cancel(struct ch_request *req)
{
    struct cancel_wish wish = CANCEL_WISH_INIT;
    struct ch_uuid order_id;
    enum ch_err err;

    err = ch_param_uuid(req, 0, &order_id);
    if (err)
        return err;
    if (req->http->body.len > 0) {
        err = ch_body_bind(req, cancel_wish_fields, &wish, NULL);
        if (err)
            return err;
    }
    err = order_cancel_wait(&req->ctx, order_id, &wish);
    return err ? err : answer_detail(req, order_id, (struct ch_str){0});
}

// ---- pages
// -----------------------------------------------------------------------------------------------------------

struct page_query {
    int status;
    int64_t limit;
    struct ch_str cursor;
};
enum { HAS_STATUS = 1 };

static const struct ch_field page_fields[] = {
    {"status", CH_FIELD_ENUM, offsetof(struct page_query, status), .flags = CH_F_OPTIONAL, .names = order_status_names,
     .present_bit = HAS_STATUS},
    {"limit", CH_FIELD_INT, offsetof(struct page_query, limit), .flags = CH_F_OPTIONAL, .min = 1, .max = 100},
    {"cursor", CH_FIELD_STR, offsetof(struct page_query, cursor), .flags = CH_F_OPTIONAL, .min = 1, .max = 512},
    {0},
};

static enum ch_err read_page(struct ch_request *req, struct order_page *ret_page)
{
    struct page_query query = {.limit = 20};
    uint64_t present = 0;
    enum ch_err err;

    err = ch_query_bind(req, page_fields, &query, &present);
    if (err)
        return err;
    *ret_page = (struct order_page){.limit = query.limit};
    if (present & HAS_STATUS)
        ret_page->status = ch_str_of(order_status_names[query.status]);
    return order_cursor_read(&req->ctx, query.cursor, &ret_page->after);
}

static enum ch_err write_page(struct ch_request *req, const struct order_page *page,
                              void (*write)(struct ch_jw *, const struct order *))
{
    struct ch_jw jw;

    ch_reply_header(req, "Cache-Control", CH_STR("private, no-store"));
    ch_jw_init(&jw, &req->body);
    ch_jw_object(&jw);
    ch_jw_key(&jw, "items");
    ch_jw_array(&jw);
    for (size_t i = 0; i < page->count; i++) {
        ch_jw_object(&jw);
        write(&jw, &page->orders[i]);
        ch_jw_object_end(&jw);
    }
    ch_jw_array_end(&jw);
    ch_jw_kcstr(&jw, "nextCursor",
                page->has_more ? order_cursor_after(&req->ctx, &page->orders[page->count - 1]) : NULL);
    ch_jw_object_end(&jw);
    return CH_OK;
}

static enum ch_err order_list(struct ch_request *req)
{
    struct order_page page;
    enum ch_err err;

    err = read_page(req, &page);
    if (err)
        return err;
    err = order_page_by_buyer_wait(&req->ctx, req->ctx.identity->id, &page);
    if (err)
        return err;
    return write_page(req, &page, order_write);
}

static enum ch_err farm_orders(struct ch_request *req)
{
    struct ch_uuid farm_id;
    struct order_page page;
    enum ch_err err;

    err = ch_param_uuid(req, 0, &farm_id);
    if (err)
        return err;
    if (!access_may_see_farm(req->ctx.identity, farm_id))
        return CH_ERR_NOT_FOUND;
    err = read_page(req, &page);
    if (err)
        return err;
    err = order_page_by_farm_wait(&req->ctx, farm_id, &page);
    for (size_t i = 0; i < page.count && !err; i++)
        err = order_hide_from_farm(&req->ctx, ch_is_farm(req->ctx.identity, farm_id), &page.orders[i]);
    if (err)
        return err;
    return write_page(req, &page, order_write_farm_view);
}

const struct ch_route routes[] = {
    {CH_POST, "/api/v1/orders", CH_ORDERS_WRITE, order_place, "order_place", CH_ROUTE_IDEMPOTENT},
    {CH_GET, "/api/v1/orders", CH_ORDERS_READ, order_list, "order_list"},
    {CH_GET, "/api/v1/orders/{orderId}", CH_ORDERS_READ, order_detail, "order_detail"},
    {CH_POST, "/api/v1/orders/{orderId}/cancel", CH_ORDERS_WRITE, order_cancel, "order_cancel"},
    {CH_GET, "/api/v1/me/data", CH_ORDERS_READ, me_data, "me_data"},
    {CH_GET, "/api/v1/me/erasure", CH_ORDERS_READ, me_erasure_get, "me_erasure_get"},
    {CH_POST, "/api/v1/me/erasure", CH_ORDERS_WRITE, me_erase, "me_erase"},
    {CH_GET, "/api/v1/farms/{farmId}/orders", CH_ORDERS_READ, farm_orders, "farm_orders"},
    {0},
};
