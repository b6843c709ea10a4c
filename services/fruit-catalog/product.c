// SPDX-License-Identifier: Apache-2.0
// The rules of a product's status and disclosure. They decide on values alone: no database, no clock.
#include "product.h"

const char *const product_status_names[] = {"DRAFT", "ON_SALE", "PAUSED", "ENDED", NULL};

// from → to
static const bool moves[PRODUCT_STATUS_COUNT][PRODUCT_STATUS_COUNT] = {
    [PRODUCT_DRAFT] = {[PRODUCT_ON_SALE] = true, [PRODUCT_ENDED] = true},
    [PRODUCT_ON_SALE] = {[PRODUCT_PAUSED] = true, [PRODUCT_ENDED] = true},
    [PRODUCT_PAUSED] = {[PRODUCT_ON_SALE] = true, [PRODUCT_ENDED] = true},
};

enum ch_err product_check_move(struct ch_ctx *ctx, enum product_status from, enum product_status to)
{
    if (from == to || moves[from][to])
        return CH_OK;
    return ch_fail(ctx, CH_ERR_BAD_TRANSITION, "/status", "bad_transition", "%s에서 %s(으)로 바꿀 수 없습니다",
                   product_status_names[from], product_status_names[to]);
}

// What the law asks for, but 관련법상 표시사항, which not every fruit has. `other` does as well.
static const struct {
    size_t offset, other;
    const char *pointer, *detail;
} required[] = {
#define NEEDS(member, name, detail)                                                                                    \
    {                                                                                                                  \
        offsetof(struct disclosure, member), offsetof(struct disclosure, member), "/disclosure/" name, detail          \
    }
    NEEDS(item_name, "itemName", "품목 또는 명칭을 입력해 주세요"),
    NEEDS(weight, "weight", "포장단위별 용량(중량)을 입력해 주세요"),
    NEEDS(quantity, "quantity", "포장단위별 수량을 입력해 주세요"),
    NEEDS(size, "size", "크기를 입력해 주세요"),
    NEEDS(producer, "producer", "생산자를 입력해 주세요"),
    NEEDS(origin, "origin", "원산지를 입력해 주세요"),
    {offsetof(struct disclosure, packed_on), offsetof(struct disclosure, produced_on), "/disclosure/packedOn",
     "포장일이나 생산일 중 하나를 입력해 주세요"},
    NEEDS(composition, "composition", "상품구성을 입력해 주세요"),
    NEEDS(storage, "storage", "보관방법을 입력해 주세요"),
    NEEDS(caution, "caution", "주의사항을 입력해 주세요"),
    NEEDS(customer_phone, "customerPhone", "소비자상담 전화번호를 입력해 주세요"),
#undef NEEDS
};

static bool is_given(const struct disclosure *disclosure, size_t offset)
{
    return ((const struct ch_str *)(const void *)((const char *)disclosure + offset))->len > 0;
}

enum ch_err product_check_disclosure(struct ch_ctx *ctx, const struct disclosure *disclosure)
{
    enum ch_err err = CH_OK;

    for (size_t i = 0; i < sizeof(required) / sizeof(required[0]); i++)
        if (!is_given(disclosure, required[i].offset) && !is_given(disclosure, required[i].other))
            err = ch_fail(ctx, CH_ERR_DISCLOSURE_MISSING, required[i].pointer, "required", "%s", required[i].detail);
    return err;
}
