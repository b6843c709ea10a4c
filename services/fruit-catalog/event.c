// SPDX-License-Identifier: Apache-2.0
// The data of FruitCatalog's events.
#include "event.h"

enum { DATA_MAX = 1024 };

enum ch_err event_product_changed(struct ch_tx *tx, const struct product *product)
{
    struct ch_arena *arena = tx->ctx->arena;
    struct ch_buf buf;
    struct ch_jw jw;

    ch_buf_init(&buf, DATA_MAX);
    ch_jw_init(&jw, &buf);
    ch_jw_object(&jw);
    ch_jw_kuuid(&jw, "productId", product->product_id);
    ch_jw_kuuid(&jw, "farmId", product->farm_id);
    ch_jw_kcstr(&jw, "status", product_status_names[product->edit.status]);
    ch_jw_kint(&jw, "version", product->version);
    ch_jw_object_end(&jw);
    return ch_outbox_add(tx, "product.changed.v1", ch_str_of(ch_arena_uuid(arena, product->product_id)),
                         ch_buf_take(&buf, arena));
}

bool stock_fell_low(int64_t before, int64_t after, int64_t threshold)
{
    return before > threshold && after <= threshold;
}

struct ch_str event_stock_low_data(struct ch_arena *arena, const struct stock_low *low)
{
    struct ch_buf buf;
    struct ch_jw jw;

    ch_buf_init(&buf, DATA_MAX);
    ch_jw_init(&jw, &buf);
    ch_jw_object(&jw);
    ch_jw_kuuid(&jw, "skuId", low->sku_id);
    ch_jw_kuuid(&jw, "productId", low->product_id);
    ch_jw_kuuid(&jw, "farmId", low->farm_id);
    ch_jw_kint(&jw, "available", low->available);
    ch_jw_kint(&jw, "threshold", low->threshold);
    ch_jw_object_end(&jw);
    return ch_buf_take(&buf, arena);
}

enum ch_err event_stock_low(struct ch_tx *tx, const struct stock_low *low)
{
    struct ch_arena *arena = tx->ctx->arena;

    return ch_outbox_add(tx, "stock.low.v1", ch_str_of(ch_arena_uuid(arena, low->sku_id)),
                         event_stock_low_data(arena, low));
}
