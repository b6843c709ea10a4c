// SPDX-License-Identifier: Apache-2.0
// The rules of placing and reading an order. REST and gRPC both call these; nothing here knows of either.
#include "order.h"

#include "access.h"
#include "cancel_store.h"
#include "catalog_client.h"
#include "ch/audit.h"
#include "ch/mutant.h"
#include "ch/point.h"
#include "ch/seal.h"
#include "config.h"
#include "delivery_client.h"
#include "order_admit.h"
#include "order_personal.h"
#include "order_twin.h"
#include "queries.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <time.h>

#define TWIN_LOOK_NS INT64_C(5000000)

// Shape of an order's number: day in Korea and six characters of Crockford's base 32 (no I, L, O, U to misread on the
// phone).
static void order_number(int64_t now_us, char ret_text[ORDER_NO_TEXT])
{
    static const char alphabet[] = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";
    const int64_t seoul_s = now_us / 1000000 + 9 * 3600;
    uint8_t random[6];
    struct tm day;
    char *at = ret_text;

    gmtime_r(&(time_t){seoul_s}, &day);
    at += strftime(at, 10, "%Y%m%d-", &day);
    ch_random(random, sizeof(random));
    for (size_t i = 0; i < sizeof(random); i++)
        *at++ = alphabet[random[i] & 31];
    *at = '\0';
}

// What makes two requests with one key the same order: everything the buyer decided, in one canonical text. Kept as a
// keyed fingerprint: from a plain digest a phone number could be guessed.
static enum ch_err order_hash(struct order *order, uint32_t key_id)
{
    const struct recipient *to = &order->recipient;
    const struct ch_str parts[] = {order->payment_token, to->name,     to->phone,     to->postcode,
                                   to->address1,         to->address2, to->door_note, order->gift_message};
    struct ch_buf text;
    struct ch_jw jw;

    ch_buf_init(&text, 64 * 1024);
    ch_jw_init(&jw, &text);
    ch_jw_array(&jw);
    for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++)
        ch_jw_str(&jw, parts[i].data ? parts[i] : CH_STR(""));
    for (size_t i = 0; i < order->line_count; i++) {
        ch_jw_uuid(&jw, order->lines[i].sku_id);
        ch_jw_int(&jw, order->lines[i].quantity);
        ch_jw_int(&jw, order->lines[i].unit_price_krw);
    }
    ch_jw_array_end(&jw);
    const uint32_t id = htonl(key_id);
    memcpy(order->request_hash, &id, sizeof(id));
    const enum ch_err err =
        text.is_full ? CH_ERR_NO_MEMORY : ch_seal_mac(key_id, ch_buf_str(&text), order->request_hash + sizeof(key_id));
    ch_buf_release(&text);
    return err;
}

static enum ch_err order_check_lines(struct ch_ctx *ctx, const struct order *order)
{
    enum ch_err err = CH_OK;

    for (size_t i = 1; i < order->line_count; i++)
        for (size_t j = 0; j < i; j++)
            if (ch_uuid_eq(order->lines[i].sku_id, order->lines[j].sku_id))
                err = ch_fail(ctx, CH_ERR_INVALID, ch_arena_printf(ctx->arena, "/lines/%zu/skuId", i), "duplicate",
                              "같은 상품은 한 줄에 수량으로 담아 주세요");
    return err;
}

static void order_total(struct order *order)
{
    order->items_krw = 0;
    for (size_t i = 0; i < order->line_count; i++)
        order->items_krw += order->lines[i].quantity * order->lines[i].unit_price_krw;
    order->shipping_fee_krw = order->items_krw >= config.free_shipping_from_krw ? 0 : config.shipping_fee_krw;
    order->total_krw = order->items_krw + order->shipping_fee_krw;
}

// "pay_" and the last four characters: enough to recognise it on a receipt.
static struct ch_str order_mask_token(struct ch_ctx *ctx, struct ch_str token)
{
    return ch_str_of(ch_arena_printf(ctx->arena, "pay_****%.4s", token.data + token.len - 4));
}

// The answer, and what of it is stored.
static enum ch_err order_reply_text(struct ch_ctx *ctx, struct order *order)
{
    struct ch_buf text;
    struct ch_jw jw;

    ch_buf_init(&text, 64 * 1024);
    ch_jw_init(&jw, &text);
    ch_jw_object(&jw);
    order_write_gapped(&jw, order);
    ch_jw_object_end(&jw);
    order->stored_reply = ch_buf_take(&text, ctx->arena);
    if (!order->stored_reply.data)
        return CH_ERR_NO_MEMORY;
    return personal_fill_gap(ctx->arena, order->stored_reply, order->personal, &order->reply);
}

// The buyer used this key before: the same content gets the same answer, other content is refused.
static enum ch_err order_answer_again(struct ch_ctx *ctx, struct order *order, const struct order_key *earlier)
{
    uint32_t id; // of the key of the earlier fingerprint: another one is current since
    enum ch_err err = CH_OK;

    memcpy(&id, earlier->request_hash, sizeof(id));
    if (memcmp(order->request_hash, &id, sizeof(id)) != 0)
        err = order_hash(order, ntohl(id));
    if (err)
        return err;
    if (memcmp(order->request_hash, earlier->request_hash, sizeof(order->request_hash)) != 0)
        return ch_fail(ctx, CH_ERR_KEY_REUSED, "Idempotency-Key", "key_reused",
                       "이 키로 이미 다른 내용의 주문을 보냈습니다");
    if (earlier->opened)
        return earlier->opened;
    order->order_id = earlier->order_id;
    order->reply = earlier->reply;
    order->created_at_us = 0; // what stands in the struct is not that order: whoever needs more than the reply loads it
    return CH_OK;
}

static enum ch_err refuse_erased(struct ch_ctx *ctx)
{
    return ch_fail(ctx, CH_ERR_FORBIDDEN, NULL, NULL, "탈퇴한 계정으로는 주문할 수 없습니다");
}

// Stores the reserved order. An order number taken by chance is replaced once; what loses to an earlier order of the
// same key gives its stock back and answers that order. order->cluster_run stays that of before the reservation: after
// a crash in between the order must not be stored, because the reservation may have gone with it.
static enum ch_err order_store_wait(struct ch_ctx *ctx, struct order *order)
{
    struct order_key earlier = {.order = order, .arena = ctx->arena};
    enum ch_err err;

    for (int attempt = 0; attempt < 2; attempt++) {
        bool is_placed;

        order_number(order->created_at_us, order->order_no);
        err = order_reply_text(ctx, order);
        if (err)
            return err;
        err = order_insert_wait(ctx, order, &is_placed);
        if (CH_MUTANT(RELEASE_ON_UNKNOWN) && err)
            CH_IGNORE(catalog_release_wait(ctx, order->order_id, "order_not_stored"));
        if (err)
            return err;
        if (is_placed)
            return CH_OK;
        err = order_by_keys_wait(ctx, &earlier, 1);
        if (err || earlier.is_used)
            break;
    }
    // Best effort: a hold that is not released now is settled by FruitCatalog's sweeper, which asks after HOLD_TTL_S.
    CH_IGNORE(catalog_release_wait(ctx, order->order_id, "order_not_stored"));
    if (err)
        return err;
    if (earlier.is_erased)
        return refuse_erased(ctx);
    if (!earlier.is_used)
        return ch_fail(ctx, CH_ERR_UNAVAILABLE, NULL, NULL, "주문을 마치지 못했습니다. 같은 키로 다시 시도해 주세요");
    return order_answer_again(ctx, order, &earlier);
}

static enum ch_err order_place_once_wait(struct ch_ctx *ctx, struct order *order)
{
    struct order_key key;
    enum ch_err err = order_admit_wait(ctx, order, &key);

    if (err)
        return err;
    if (key.is_used)
        return order_answer_again(ctx, order, &key);
    if (key.is_erased)
        return refuse_erased(ctx);
    err = CH_POINT(PLACE_RESERVED);
    if (err)
        return err;

    order->status = ORDER_PLACED;
    order->created_at_us = order->updated_at_us = ch_wall_us();
    order->masked_payment_token = order_mask_token(ctx, order->payment_token);
    order_total(order);
    err = personal_encode(ctx->arena, order);
    if (err)
        return err;
    err = order_store_wait(ctx, order);
    return err ? err : CH_POINT(PLACE_BEFORE_REPLY);
}

// Perhaps another request with the same key took what this one was refused: what became of that is what this one is
// told.
static enum ch_err order_ask_twin_wait(struct ch_ctx *ctx, struct order *order, enum ch_err refusal)
{
    struct order_key key = {.order = order, .arena = ctx->arena};
    enum ch_err err;

    ctx->step = "wait for the same key";
    while (order_twin_is_in_flight(order->buyer_id, order->idempotency_key)) {
        const int64_t look_ns = ch_now_ns() + TWIN_LOOK_NS;

        if (ch_now_ns() >= ctx->deadline_ns)
            return CH_ERR_DEADLINE;
        err = ch_sleep_wait(look_ns < ctx->deadline_ns ? look_ns : ctx->deadline_ns);
        if (err)
            return err;
    }
    err = order_by_keys_wait(ctx, &key, 1);
    if (err)
        return err;
    if (!key.is_used)
        return refusal;
    ch_faults_init(&ctx->faults, ctx->arena); // they told of the refusal
    return order_answer_again(ctx, order, &key);
}

// Stock goes to anybody: only a twin seen here makes it likely that it went to this key. What the buyer may have goes
// to the buyer alone, so that the key is looked up again in any case: its twin may have been another instance's.
static bool may_be_twins(enum ch_err err, const struct order_twin *twin)
{
    return err == CH_ERR_BUYER_LIMIT_EXCEEDED || (err == CH_ERR_STOCK_SHORT && twin->had_twin);
}

enum ch_err order_place_wait(struct ch_ctx *ctx, struct order *order)
{
    struct order_twin twin;
    enum ch_err err;

    err = order_check_lines(ctx, order);
    if (err)
        return err;
    err = order_hash(order, ch_seal_key_id());
    if (err)
        return err;

    order_twin_begin(&twin, order->buyer_id, order->idempotency_key); // before the key is looked up: none is missed
    err = order_place_once_wait(ctx, order);
    order_twin_end(&twin);
    return may_be_twins(err, &twin) ? order_ask_twin_wait(ctx, order, err) : err;
}

enum ch_err order_get_wait(struct ch_ctx *ctx, struct ch_uuid order_id, struct order *ret_order)
{
    enum ch_err err = order_find_wait(ctx, order_id, ret_order);

    if (err)
        return err;
    if (ch_is_person(ctx->identity, ret_order->buyer_id))
        return CH_OK;
    if (!access_may_see_order(ctx->identity, ret_order->buyer_id))
        return CH_ERR_NOT_FOUND; // that it exists is nobody else's affair
    return personal_mask(ctx->arena, ret_order);
}

// The recipient as it is, for an operator who says what for. The look is on record before anything is shown.
static enum ch_err order_reveal_wait(struct ch_ctx *ctx, struct ch_str reason, struct order *order)
{
    const struct ch_audit entry = {
        .action = "recipient.read", .subject = ch_str_of(ch_arena_uuid(ctx->arena, order->order_id)), .detail = reason};
    struct order whole;

    if (!ch_may(ctx->identity, CH_ADMIN) || !order->recipient.is_masked)
        return CH_OK;
    enum ch_err err = ch_audit_wait(ctx, Q_AUDIT_INSERT, &entry);
    if (!err)
        err = order_find_wait(ctx, order->order_id, &whole);
    if (err)
        return err;
    order->recipient = whole.recipient;
    order->gift_message = whole.gift_message;
    return CH_OK;
}

enum ch_err order_detail_wait(struct ch_ctx *ctx, struct ch_uuid order_id, struct ch_str reveal_for,
                              struct order *ret_order, struct timeline_entry **ret_timeline, size_t *ret_count)
{
    enum ch_err err = order_get_wait(ctx, order_id, ret_order);

    if (!err && reveal_for.data)
        err = order_reveal_wait(ctx, reveal_for, ret_order);
    if (err)
        return err;
    err = order_timeline_wait(ctx, order_id, ret_timeline, ret_count);
    if (err)
        return err;
    err = cancellation_find_wait(ctx, order_id, &ret_order->cancellation);
    if (err)
        return err;
    order_ask_delivery_wait(ctx, ret_order);
    return CH_OK;
}

enum ch_err order_hide_from_farm(struct ch_ctx *ctx, bool is_own_farm, struct order *order)
{
    static const bool is_shipping[ORDER_STATUS_COUNT] = {
        [ORDER_PLACED] = true, [ORDER_PREPARING] = true, [ORDER_SHIPPING] = true};

    return is_own_farm && is_shipping[order->status] ? CH_OK : personal_mask(ctx->arena, order);
}

void order_ask_delivery_wait(struct ch_ctx *ctx, struct order *order)
{
    struct order_delivery live = {0};

    if (delivery_get_wait(ctx, order->order_id, &live) == CH_OK && live.status.data)
        order->delivery = live;
}
