// SPDX-License-Identifier: Apache-2.0
// What a farmer may send of a SKU, and how a SKU looks in JSON: contracts/openapi/fruit-catalog.yaml.
#include "sku.h"

#define IN(member) offsetof(struct sku_edit, member)

const char *const grade_names[] = {"특", "상", "보통", "못난이", NULL};

#define SKU_ROWS(required_, nullable_)                                                                                 \
    {"grade", CH_FIELD_ENUM, IN(grade), .flags = (required_), .names = grade_names, .present_bit = SKU_HAS_OTHER},     \
        {"weightG",                                                                                                    \
         CH_FIELD_INT,                                                                                                 \
         IN(weight_g),                                                                                                 \
         .flags = (required_),                                                                                         \
         .min = 100,                                                                                                   \
         .max = 30000,                                                                                                 \
         .present_bit = SKU_HAS_OTHER},                                                                                \
        {"priceKrw",                                                                                                   \
         CH_FIELD_INT,                                                                                                 \
         IN(price_krw),                                                                                                \
         .flags = (required_),                                                                                         \
         .min = 100,                                                                                                   \
         .max = 10000000,                                                                                              \
         .present_bit = SKU_HAS_OTHER},                                                                                \
        {"countMin",                                                                                                   \
         CH_FIELD_INT,                                                                                                 \
         IN(count_min),                                                                                                \
         .flags = CH_F_OPTIONAL | (nullable_),                                                                         \
         .min = 1,                                                                                                     \
         .max = 500,                                                                                                   \
         .present_bit = SKU_HAS_COUNT_MIN},                                                                            \
        {"countMax",                                                                                                   \
         CH_FIELD_INT,                                                                                                 \
         IN(count_max),                                                                                                \
         .flags = CH_F_OPTIONAL | (nullable_),                                                                         \
         .min = 1,                                                                                                     \
         .max = 500,                                                                                                   \
         .present_bit = SKU_HAS_COUNT_MAX},                                                                            \
        {"sizeCode",                                                                                                   \
         CH_FIELD_STR,                                                                                                 \
         IN(size_code),                                                                                                \
         .flags = CH_F_OPTIONAL | CH_F_TRIM | (nullable_),                                                             \
         .min = 1,                                                                                                     \
         .max = 10,                                                                                                    \
         .present_bit = SKU_HAS_SIZE_CODE},                                                                            \
        {"brixX10Min", CH_FIELD_INT, IN(brix_x10_min),           .flags = CH_F_OPTIONAL | (nullable_),                 \
         .min = 0,     .max = 400,   .present_bit = SKU_HAS_BRIX},                                                     \
        {"perOrderLimit", CH_FIELD_INT, IN(per_order_limit),         .flags = CH_F_OPTIONAL,                           \
         .min = 1,        .max = 99,    .present_bit = SKU_HAS_OTHER},                                                 \
        {"perBuyerLimit",                                                                                              \
         CH_FIELD_INT,                                                                                                 \
         IN(per_buyer_limit),                                                                                          \
         .flags = CH_F_OPTIONAL | (nullable_),                                                                         \
         .min = 1,                                                                                                     \
         .max = 999,                                                                                                   \
         .present_bit = SKU_HAS_BUYER_LIMIT},                                                                          \
    {                                                                                                                  \
        "isOnSale", CH_FIELD_BOOL, IN(is_on_sale), .flags = CH_F_OPTIONAL, .present_bit = SKU_HAS_OTHER                \
    }

const struct ch_field sku_create_fields[] = {
    SKU_ROWS(0, 0),
    {"stock", CH_FIELD_INT, IN(stock), .flags = CH_F_OPTIONAL, .min = 0, .max = 100000},
    {0},
};
const struct ch_field sku_patch_fields[] = {SKU_ROWS(CH_F_OPTIONAL, CH_F_NULLABLE), {0}};

struct sku_edit sku_edit_new(void)
{
    return (struct sku_edit){.per_order_limit = 99, .brix_x10_min = -1, .is_on_sale = true};
}

void sku_edit_clear(struct sku_edit *edit, uint64_t present)
{
    const struct sku_edit fresh = sku_edit_new();

    if (present & SKU_HAS_COUNT_MIN)
        edit->count_min = fresh.count_min;
    if (present & SKU_HAS_COUNT_MAX)
        edit->count_max = fresh.count_max;
    if (present & SKU_HAS_SIZE_CODE)
        edit->size_code = fresh.size_code;
    if (present & SKU_HAS_BRIX)
        edit->brix_x10_min = fresh.brix_x10_min;
    if (present & SKU_HAS_BUYER_LIMIT)
        edit->per_buyer_limit = fresh.per_buyer_limit;
}

enum ch_err sku_edit_check(struct ch_ctx *ctx, const struct sku_edit *edit, uint64_t present)
{
    const char *const together = "countMin과 countMax는 함께 보내야 합니다";
    const bool has_min = present & SKU_HAS_COUNT_MIN, has_max = present & SKU_HAS_COUNT_MAX;

    if (has_min && (!has_max || (edit->count_min && !edit->count_max)))
        return ch_fail(ctx, CH_ERR_INVALID, "/countMax", "required", "%s", together);
    if (has_max && (!has_min || (edit->count_max && !edit->count_min)))
        return ch_fail(ctx, CH_ERR_INVALID, "/countMin", "required", "%s", together);
    if (edit->count_min > edit->count_max)
        return ch_fail(ctx, CH_ERR_INVALID, "/countMin", "range", "countMax보다 클 수 없습니다");
    return CH_OK;
}

void sku_write(struct ch_jw *jw, const struct sku *sku)
{
    ch_jw_object(jw);
    ch_jw_kuuid(jw, "skuId", sku->sku_id);
    ch_jw_kuuid(jw, "productId", sku->product_id);
    ch_jw_kcstr(jw, "grade", grade_names[sku->edit.grade]);
    ch_jw_kint(jw, "weightG", sku->edit.weight_g);
    ch_jw_kint_or_null(jw, "countMin", sku->edit.count_min, 0);
    ch_jw_kint_or_null(jw, "countMax", sku->edit.count_max, 0);
    ch_jw_kstr(jw, "sizeCode", sku->edit.size_code);
    ch_jw_kint_or_null(jw, "brixX10Min", sku->edit.brix_x10_min, -1);
    ch_jw_kint(jw, "priceKrw", sku->edit.price_krw);
    ch_jw_kint(jw, "perOrderLimit", sku->edit.per_order_limit);
    ch_jw_kint_or_null(jw, "perBuyerLimit", sku->edit.per_buyer_limit, 0);
    ch_jw_kint(jw, "available", sku->available);
    ch_jw_kbool(jw, "isOnSale", sku->edit.is_on_sale);
    ch_jw_kint(jw, "version", sku->version);
    ch_jw_ktime(jw, "updatedAt", sku->updated_at_us);
    ch_jw_object_end(jw);
}
