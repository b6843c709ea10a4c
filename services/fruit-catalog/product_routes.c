// SPDX-License-Identifier: Apache-2.0
// A product over REST: its page, registering it, editing it.
#include "access.h"
#include "page.h"
#include "product.h"
#include "product_cache.h"
#include "tables.h"

#include <inttypes.h>
#include <stdio.h>

// The version, then a hash of the page: stock and season change it without an edit.
static void etag_of(const struct product *product, struct ch_str body, char ret_etag[PRODUCT_ETAG_TEXT])
{
    char hash[PAGE_HASH_TEXT];

    page_hash(body, hash);
    (void)snprintf(ret_etag, PRODUCT_ETAG_TEXT, "%" PRId64 "-%s", product->version, hash); // fits: 20 digits at most
}

static void render(struct ch_request *req, const struct product *product, char ret_etag[PRODUCT_ETAG_TEXT])
{
    struct ch_jw jw;

    ch_jw_init(&jw, &req->body);
    product_write(&jw, product);
    etag_of(product, ch_buf_str(&req->body), ret_etag);
}

enum ch_err product_detail(struct ch_request *req)
{
    struct product_ticket ticket;
    struct ch_uuid product_id;
    struct product product;
    char etag[PRODUCT_ETAG_TEXT];

    enum ch_err err = ch_param_uuid(req, 0, &product_id);
    if (err)
        return err;
    if (!product_cache_get(product_id, &req->body, etag, &ticket)) {
        err = product_find_wait(&req->ctx, product_id, &product);
        if (err)
            return err;
        if (product.edit.status == PRODUCT_DRAFT)
            return CH_ERR_NOT_FOUND;
        render(req, &product, etag);
        if (!req->body.is_full)
            product_cache_put(product_id, ticket, ch_buf_str(&req->body), etag);
    }
    page_cache(req);
    (void)ch_is_not_modified_text(req, ch_str_of(etag)); // either way the answer is ready
    return CH_OK;
}

// What the writer answers: read again, so that it says what a reader would see.
static enum ch_err reply_product_wait(struct ch_request *req, struct ch_uuid product_id)
{
    char etag[PRODUCT_ETAG_TEXT];
    struct product product;

    enum ch_err err = product_find_wait(&req->ctx, product_id, &product);
    if (err)
        return err;
    render(req, &product, etag);
    ch_reply_etag_text(req, ch_str_of(etag));
    return CH_OK;
}

enum ch_err product_create(struct ch_request *req)
{
    struct ch_ctx *ctx = &req->ctx;
    struct product product = {.product_id = ch_uuid_new(), .version = 1, .edit = {.description = CH_STR("")}};
    char id[CH_UUID_TEXT];
    enum ch_err err;

    err = ch_param_uuid(req, 0, &product.farm_id);
    if (err)
        return err;
    if (!access_may_edit(ctx->identity, product.farm_id))
        return CH_ERR_NOT_FOUND;
    err = ch_body_bind(req, product_create_fields, &product.edit, NULL);
    if (err)
        return err;
    err = product_insert_wait(ctx, &product);
    if (err)
        return err;

    ch_uuid_format(product.product_id, id);
    ch_reply_header(req, "Location", ch_str_of(ch_arena_printf(ctx->arena, "/api/v1/products/%s", id)));
    req->status = 201;
    return reply_product_wait(req, product.product_id);
}

// ---- editing

// Puts the patch on what is there, and says whether that may be. `*ret_is_changed` false: it asks for what is there
// already.
static enum ch_err apply_patch(struct ch_request *req, uint64_t present, struct product *product, bool *ret_is_changed)
{
    struct ch_ctx *ctx = &req->ctx;
    const enum product_status was = (enum product_status)product->edit.status;
    enum ch_err err;

    if (present & PRODUCT_HAS_DISCLOSURE)
        product->edit.disclosure = (struct disclosure){0}; // replaced as a whole
    err = ch_body_bind(req, product_patch_fields, &product->edit, NULL);
    if (err)
        return err;
    const enum product_status now = (enum product_status)product->edit.status;
    err = product_check_move(ctx, was, now);
    if (err)
        return err;
    *ret_is_changed = was != now || (present & ~(uint64_t)PRODUCT_HAS_STATUS) != 0;
    if (*ret_is_changed && was == PRODUCT_ENDED) {
        ctx->detail = "판매가 끝난 상품은 수정할 수 없습니다.";
        return CH_ERR_CONFLICT;
    }
    return now == PRODUCT_ON_SALE ? product_check_disclosure(ctx, &product->edit.disclosure) : CH_OK;
}

static enum ch_err patch_wait(struct ch_request *req, struct ch_uuid product_id, int64_t if_match, uint64_t present)
{
    struct ch_tx tx CH_TX = {0};
    struct product product;
    bool is_changed;
    enum ch_err err;

    err = ch_tx_begin_wait(&req->ctx, &tx);
    if (err)
        return err;
    err = product_lock_wait(&tx, product_id, &product);
    if (err)
        return err;
    if (if_match >= 0 && product.version != if_match)
        return CH_ERR_PRECONDITION_FAILED;
    err = apply_patch(req, present, &product, &is_changed);
    if (err || !is_changed)
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

enum ch_err product_patch(struct ch_request *req)
{
    struct product_edit probe = {0};
    struct ch_uuid product_id;
    uint64_t present = 0;
    int64_t if_match;
    enum ch_err err;

    err = ch_param_uuid(req, 0, &product_id);
    if (err)
        return err;
    err = ch_if_match(req, true, &if_match);
    if (err)
        return err;
    err = ch_body_bind(req, product_patch_fields, &probe,
                       &present); // before the lock: what is wrong with it, and what it has
    if (err)
        return err;
    if (!present)
        return ch_fail(&req->ctx, CH_ERR_INVALID, "", "count", "바꿀 항목을 하나 이상 보내야 합니다");
    err = patch_wait(req, product_id, if_match, present);
    if (err)
        return err;
    return reply_product_wait(req, product_id);
}
