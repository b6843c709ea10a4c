// SPDX-License-Identifier: Apache-2.0
// SKUs and their stock over REST: adding, editing, adjusting by hand, and who took what when.
#include "access.h"
#include "ch/audit.h"
#include "config.h"
#include "event.h"
#include "page.h"
#include "product_cache.h"
#include "queries.h"
#include "tables.h"

#include <inttypes.h>

static enum ch_err refuse_ended(struct ch_ctx *ctx)
{
    ctx->detail = "판매가 끝난 상품은 수정할 수 없습니다.";
    return CH_ERR_CONFLICT;
}

static enum ch_err reply_sku(struct ch_request *req, const struct sku *sku)
{
    struct ch_jw jw;

    ch_reply_etag(req, sku->version);
    ch_jw_init(&jw, &req->body);
    sku_write(&jw, sku);
    return CH_OK;
}

// ---- adding

static enum ch_err create_wait(struct ch_ctx *ctx, const struct sku *sku)
{
    struct ch_tx tx CH_TX = {0};
    struct product product;
    int64_t count;
    enum ch_err err;

    err = ch_tx_begin_wait(ctx, &tx);
    if (err)
        return err;
    err = product_lock_wait(&tx, sku->product_id, &product);
    if (err)
        return err;
    if (product.edit.status == PRODUCT_ENDED)
        return refuse_ended(ctx);
    err = sku_count_wait(&tx, sku->product_id, &count);
    if (err)
        return err;
    if (count >= SKUS_MAX) {
        ctx->detail = ch_arena_printf(ctx->arena, "한 상품에는 %d개까지 만들 수 있습니다.", SKUS_MAX);
        return CH_ERR_CONFLICT;
    }
    err = sku_insert(&tx, sku);
    if (err)
        return err;
    err = ch_tx_commit_wait(&tx);
    product_cache_drop(sku->product_id); // also after a failure: the commit may have happened
    return err;
}

enum ch_err sku_create(struct ch_request *req)
{
    struct sku sku = {.sku_id = ch_uuid_new(), .edit = sku_edit_new(), .version = 1, .updated_at_us = ch_wall_us()};
    uint64_t present = 0;
    enum ch_err err;

    err = ch_param_uuid(req, 0, &sku.product_id);
    if (err)
        return err;
    err = ch_body_bind(req, sku_create_fields, &sku.edit, &present);
    if (err)
        return err;
    err = sku_edit_check(&req->ctx, &sku.edit, present);
    if (err)
        return err;
    sku.available = sku.edit.stock;
    err = create_wait(&req->ctx, &sku);
    if (err)
        return err;
    req->status = 201;
    return reply_sku(req, &sku);
}

// ---- editing

static enum ch_err patch_wait(struct ch_request *req, struct ch_uuid sku_id, int64_t if_match, uint64_t present,
                              struct sku *ret_sku)
{
    struct ch_tx tx CH_TX = {0};
    struct sku sku;
    enum ch_err err;

    err = ch_tx_begin_wait(&req->ctx, &tx);
    if (err)
        return err;
    err = sku_lock_wait(&tx, sku_id, true, &sku);
    if (err)
        return err;
    if (if_match >= 0 && sku.version != if_match)
        return CH_ERR_PRECONDITION_FAILED;
    if (ch_str_is(sku.product_status, product_status_names[PRODUCT_ENDED]))
        return refuse_ended(&req->ctx);
    const int64_t old_buyer_limit = sku.edit.per_buyer_limit;
    sku_edit_clear(&sku.edit, present);
    err = ch_body_bind(req, sku_patch_fields, &sku.edit, NULL);
    if (err)
        return err;
    sku.version++;
    sku.updated_at_us = ch_wall_us();
    err = sku_update(&tx, &sku, old_buyer_limit);
    if (err)
        return err;
    err = ch_tx_commit_wait(&tx);
    product_cache_drop(sku.product_id); // also after a failure: the commit may have happened
    if (!err)
        *ret_sku = sku;
    return err;
}

enum ch_err sku_patch(struct ch_request *req)
{
    struct sku_edit probe = sku_edit_new();
    struct ch_uuid sku_id;
    uint64_t present = 0;
    int64_t if_match;
    struct sku sku;
    enum ch_err err;

    err = ch_param_uuid(req, 0, &sku_id);
    if (err)
        return err;
    err = ch_if_match(req, true, &if_match);
    if (err)
        return err;
    err = ch_body_bind(req, sku_patch_fields, &probe,
                       &present); // before the lock: what is wrong with it, and what it has
    if (err)
        return err;
    if (!present)
        return ch_fail(&req->ctx, CH_ERR_INVALID, "", "count", "바꿀 항목을 하나 이상 보내야 합니다");
    err = sku_edit_check(&req->ctx, &probe, present);
    if (err)
        return err;
    err = patch_wait(req, sku_id, if_match, present, &sku);
    if (err)
        return err;
    return reply_sku(req, &sku);
}

// ---- adjusting

struct adjustment {
    int64_t delta;
    struct ch_str reason;
};

static const struct ch_field adjustment_fields[] = {
    {"delta", CH_FIELD_INT, offsetof(struct adjustment, delta), .min = -100000, .max = 100000},
    {"reason", CH_FIELD_STR, offsetof(struct adjustment, reason), .flags = CH_F_TRIM, .min = 2, .max = 200},
    {0},
};

static enum ch_err apply_adjustment(struct ch_ctx *ctx, const struct adjustment *adjustment, struct sku *sku)
{
    const int64_t after = sku->available + adjustment->delta;
    char id[CH_UUID_TEXT];

    if (after > STOCK_MAX)
        return ch_fail(ctx, CH_ERR_INVALID, "/delta", "range", "재고는 %d개까지 둘 수 있습니다", STOCK_MAX);
    if (after < 0) {
        ch_uuid_format(sku->sku_id, id);
        ctx->detail = "남은 재고보다 많이 뺄 수 없습니다.";
        return ch_fail(ctx, CH_ERR_STOCK_SHORT, "/delta", "stock_short", "%s: 남은 수량 %" PRId64, id, sku->available);
    }
    sku->available = after;
    sku->version++;
    sku->updated_at_us = ch_wall_us();
    return CH_OK;
}

static enum ch_err write_adjustment(struct ch_tx *tx, const struct adjustment *adjustment, const struct sku *sku,
                                    struct ch_uuid ledger_id)
{
    const struct ch_identity *who = tx->ctx->identity;
    const struct ledger_row row = {
        .ledger_id = ledger_id,
        .sku_id = sku->sku_id,
        .kind = CH_STR("ADJUSTMENT"),
        .delta = adjustment->delta,
        .available_after = sku->available,
        .reason = adjustment->reason,
        .actor = access_actor(who),
        .actor_id = who->id,
        .at_us = sku->updated_at_us,
    };
    const struct stock_low low = {sku->sku_id, sku->product_id, sku->farm_id, sku->available,
                                  config.low_stock_threshold};

    enum ch_err err = stock_set(tx, sku, &row);
    if (err || !stock_fell_low(sku->available - adjustment->delta, sku->available, low.threshold))
        return err;
    return event_stock_low(tx, &low);
}

// A farm's own stock is its own affair, and in the ledger; what an operator does to it is on record besides.
static enum ch_err audit_adjustment(struct ch_tx *tx, const struct adjustment *adjustment, const struct sku *sku)
{
    struct ch_arena *arena = tx->ctx->arena;
    const struct ch_audit entry = {
        .action = "stock.adjust",
        .subject = ch_str_of(ch_arena_uuid(arena, sku->sku_id)),
        .detail = ch_str_of(ch_arena_printf(arena, "delta=%" PRId64, adjustment->delta)),
    };

    return ch_audit_add(tx, Q_AUDIT_INSERT, &entry);
}

static enum ch_err adjust_wait(struct ch_ctx *ctx, const struct adjustment *adjustment, int64_t if_match,
                               struct ch_uuid ledger_id, struct sku *sku)
{
    struct ch_tx tx CH_TX = {0};
    enum ch_err err;

    err = ch_tx_begin_wait(ctx, &tx);
    if (err)
        return err;
    err = sku_lock_wait(&tx, sku->sku_id, false, sku);
    if (err)
        return err;
    if (if_match >= 0 && sku->version != if_match)
        return CH_ERR_PRECONDITION_FAILED;
    err = apply_adjustment(ctx, adjustment, sku);
    if (err)
        return err;
    err = write_adjustment(&tx, adjustment, sku, ledger_id);
    if (!err && ch_may(ctx->identity, CH_ADMIN))
        err = audit_adjustment(&tx, adjustment, sku);
    if (err)
        return err;
    err = ch_tx_commit_wait(&tx);
    product_cache_drop(sku->product_id); // also after a failure: the commit may have happened
    if (!err)
        ch_outbox_wake();
    return err;
}

enum ch_err stock_adjust(struct ch_request *req)
{
    const struct ch_uuid ledger_id = ch_uuid_new();
    struct adjustment adjustment = {0};
    struct sku sku = {0};
    int64_t if_match;
    struct ch_jw jw;
    enum ch_err err;

    err = ch_param_uuid(req, 0, &sku.sku_id);
    if (err)
        return err;
    err = ch_if_match(req, false, &if_match);
    if (err)
        return err;
    err = ch_body_bind(req, adjustment_fields, &adjustment, NULL);
    if (err)
        return err;
    if (adjustment.delta == 0)
        return ch_fail(&req->ctx, CH_ERR_INVALID, "/delta", "range", "0이 아니어야 합니다");
    err = adjust_wait(&req->ctx, &adjustment, if_match, ledger_id, &sku);
    if (err)
        return err;

    ch_reply_etag(req, sku.version);
    ch_jw_init(&jw, &req->body);
    ch_jw_object(&jw);
    ch_jw_kuuid(&jw, "skuId", sku.sku_id);
    ch_jw_kint(&jw, "available", sku.available);
    ch_jw_kuuid(&jw, "ledgerId", ledger_id);
    ch_jw_kint(&jw, "version", sku.version);
    ch_jw_object_end(&jw);
    return CH_OK;
}

// ---- the ledger

struct ledger_query {
    int64_t limit;
    struct ch_str cursor;
};

static const struct ch_field ledger_query_fields[] = {
    {"limit", CH_FIELD_INT, offsetof(struct ledger_query, limit), .flags = CH_F_OPTIONAL, .min = 1, .max = 100},
    {"cursor", CH_FIELD_STR, offsetof(struct ledger_query, cursor), .flags = CH_F_OPTIONAL, .min = 1, .max = 512},
    {0},
};

static enum ch_err read_ledger_query(struct ch_request *req, int64_t *ret_limit, int64_t *ret_before)
{
    struct ledger_query query = {.limit = 20};
    struct ch_cursor cursor;

    enum ch_err err = ch_query_bind(req, ledger_query_fields, &query, NULL);
    if (err)
        return err;
    *ret_limit = query.limit;
    *ret_before = INT64_MAX;
    if (!query.cursor.data)
        return CH_OK;
    err = ch_cursor_decode(&req->ctx, query.cursor, &cursor);
    if (err)
        return err;
    if (cursor.count != 1 || ch_str_to_int64(cursor.values[0], ret_before))
        return page_cursor_refuse(&req->ctx);
    return CH_OK;
}

static void write_ledger_row(struct ch_jw *jw, const struct ledger_row *row)
{
    ch_jw_object(jw);
    ch_jw_kuuid(jw, "ledgerId", row->ledger_id);
    ch_jw_kuuid(jw, "skuId", row->sku_id);
    ch_jw_kstr(jw, "kind", row->kind);
    ch_jw_kint(jw, "delta", row->delta);
    ch_jw_kint(jw, "availableAfter", row->available_after);
    ch_jw_kstr(jw, "reason", row->reason);
    ch_jw_kstr(jw, "actor", row->actor);
    ch_jw_kuuid_or_null(jw, "actorId", row->actor_id);
    ch_jw_kuuid_or_null(jw, "orderId", row->order_id);
    ch_jw_ktime(jw, "at", row->at_us);
    ch_jw_object_end(jw);
}

static const char *cursor_before(struct ch_ctx *ctx, const struct ledger_row *last)
{
    const char *id = ch_arena_printf(ctx->arena, "%" PRId64, last->id);
    const struct ch_cursor cursor = {.values = {ch_str_of(id)}, .count = 1};

    return id ? ch_cursor_encode(ctx, &cursor) : NULL;
}

enum ch_err stock_ledger(struct ch_request *req)
{
    struct ch_uuid sku_id, farm_id;
    struct ledger_row *rows;
    int64_t limit, before;
    struct ch_jw jw;
    size_t count;
    enum ch_err err;

    err = ch_param_uuid(req, 0, &sku_id);
    if (err)
        return err;
    err = read_ledger_query(req, &limit, &before);
    if (err)
        return err;
    err = sku_farm_wait(&req->ctx, sku_id, &farm_id);
    if (err)
        return err;
    if (!access_may_edit(req->ctx.identity, farm_id))
        return CH_ERR_NOT_FOUND;
    err = ledger_page_wait(&req->ctx, sku_id, before, limit, &rows, &count);
    if (err)
        return err;

    const bool has_more = count > (size_t)limit;
    ch_reply_header(req, "Cache-Control", CH_STR("private, no-store"));
    ch_jw_init(&jw, &req->body);
    ch_jw_object(&jw);
    ch_jw_key(&jw, "items");
    ch_jw_array(&jw);
    for (size_t i = 0; i < count - has_more; i++)
        write_ledger_row(&jw, &rows[i]);
    ch_jw_array_end(&jw);
    ch_jw_kcstr(&jw, "nextCursor", has_more ? cursor_before(&req->ctx, &rows[limit - 1]) : NULL);
    ch_jw_object_end(&jw);
    return CH_OK;
}
