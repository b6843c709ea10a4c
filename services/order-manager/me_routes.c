// SPDX-License-Identifier: Apache-2.0
// An account's rights to its own data (개인정보 보호법 §35, §36): a copy of all of it, and erasure. It must never
// answer with anything of another account: everything goes by the token's sub.
#include "me_routes.h"

#include "cancel_store.h"
#include "ch/audit.h"
#include "erasure.h"
#include "order_input.h"
#include "order_store.h"
#include "queries.h"

enum { DATA_PAGE = 50 };

// A service or a token whose sub is no account has no data of its own.
static enum ch_err check_account(struct ch_ctx *ctx)
{
    if (ch_uuid_is_nil(ctx->identity->id))
        return ch_fail(ctx, CH_ERR_FORBIDDEN, NULL, NULL, "회원 계정으로만 요청할 수 있습니다");
    return CH_OK;
}

// ---- all of it

struct data_query {
    struct ch_str cursor;
};
static const struct ch_field data_fields[] = {
    {"cursor", CH_FIELD_STR, offsetof(struct data_query, cursor), .flags = CH_F_OPTIONAL, .min = 1, .max = 512},
    {0},
};

static enum ch_err read_cursor(struct ch_request *req, struct ch_uuid *ret_after)
{
    struct data_query query = {0};

    const enum ch_err err = ch_query_bind(req, data_fields, &query, NULL);
    return err ? err : order_cursor_read(&req->ctx, query.cursor, ret_after);
}

// Once DeliveryMock has not answered it is not asked again: what its events said last must do.
static enum ch_err complete_wait(struct ch_ctx *ctx, struct order *order, bool *is_delivery_asked)
{
    if (*is_delivery_asked) {
        order_ask_delivery_wait(ctx, order);
        *is_delivery_asked = order->delivery.is_live || !order->delivery.status.data;
    }
    return cancellation_find_wait(ctx, order->order_id, &order->cancellation);
}

static enum ch_err write_order_wait(struct ch_ctx *ctx, struct ch_jw *jw, struct order *order, bool *is_delivery_asked)
{
    struct timeline_entry *timeline;
    size_t timeline_count;
    enum ch_err err;

    err = complete_wait(ctx, order, is_delivery_asked);
    if (!err)
        err = order_timeline_wait(ctx, order->order_id, &timeline, &timeline_count);
    if (err)
        return err;
    ch_jw_object(jw);
    order_write(jw, order);
    ch_jw_key(jw, "cancellation");
    order_write_cancellation(jw, &order->cancellation);
    ch_jw_key(jw, "delivery");
    order_write_delivery(jw, &order->delivery);
    ch_jw_key(jw, "timeline");
    order_write_timeline(jw, timeline, timeline_count);
    ch_jw_object_end(jw);
    return CH_OK;
}

static enum ch_err audit_export_wait(struct ch_ctx *ctx)
{
    const struct ch_audit entry = {.action = "account.export",
                                   .subject = ch_str_of(ch_arena_uuid(ctx->arena, ctx->identity->id))};

    return ch_audit_wait(ctx, Q_AUDIT_INSERT, &entry);
}

static enum ch_err write_data_wait(struct ch_request *req, const struct order_page *page)
{
    struct ch_ctx *ctx = &req->ctx;
    bool is_delivery_asked = true;
    struct ch_jw jw;
    enum ch_err err = CH_OK;

    ch_jw_init(&jw, &req->body);
    ch_jw_object(&jw);
    ch_jw_kuuid(&jw, "accountId", ctx->identity->id);
    ch_jw_ktime(&jw, "exportedAt", ch_wall_us());
    ch_jw_key(&jw, "orders");
    ch_jw_array(&jw);
    for (size_t i = 0; i < page->count && !err; i++)
        err = write_order_wait(ctx, &jw, &page->orders[i], &is_delivery_asked);
    if (err)
        return err;
    ch_jw_array_end(&jw);
    ch_jw_kcstr(&jw, "nextCursor", page->has_more ? order_cursor_after(ctx, &page->orders[page->count - 1]) : NULL);
    ch_jw_object_end(&jw);
    return CH_OK;
}

enum ch_err me_data(struct ch_request *req)
{
    struct ch_ctx *ctx = &req->ctx;
    struct order_page page = {.limit = DATA_PAGE};
    enum ch_err err;

    err = check_account(ctx);
    if (!err)
        err = read_cursor(req, &page.after);
    if (!err)
        err = audit_export_wait(ctx);
    if (!err)
        err = order_page_by_buyer_wait(ctx, ctx->identity->id, &page);
    if (err)
        return err;
    ch_reply_header(req, "Cache-Control", CH_STR("private, no-store"));
    ch_reply_header(req, "Content-Disposition", CH_STR("attachment; filename=\"gwasuwon-my-data.json\""));
    return write_data_wait(req, &page);
}

// ---- erasure

static enum ch_err answer_erasure(struct ch_request *req, const struct erasure *erasure)
{
    struct ch_jw jw;

    ch_reply_header(req, "Cache-Control", CH_STR("private, no-store"));
    ch_jw_init(&jw, &req->body);
    ch_jw_object(&jw);
    ch_jw_kstr(&jw, "status", erasure->state.data ? erasure->state : CH_STR("NONE"));
    ch_jw_ktime_or_null(&jw, "requestedAt", erasure->requested_at_us);
    ch_jw_ktime_or_null(&jw, "finishedAt", erasure->finished_at_us);
    ch_jw_kint(&jw, "orders", erasure->orders);
    ch_jw_object_end(&jw);
    return CH_OK;
}

enum ch_err me_erase(struct ch_request *req)
{
    struct erasure erasure;
    enum ch_err err;

    err = check_account(&req->ctx);
    if (!err)
        err = erasure_request_wait(&req->ctx, &erasure);
    return err ? err : answer_erasure(req, &erasure);
}

enum ch_err me_erasure_get(struct ch_request *req)
{
    struct erasure erasure;
    enum ch_err err;

    err = check_account(&req->ctx);
    if (!err)
        err = erasure_find_wait(&req->ctx, req->ctx.identity->id, &erasure);
    return err ? err : answer_erasure(req, &erasure);
}
