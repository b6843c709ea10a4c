// SPDX-License-Identifier: Apache-2.0
// What an operator may write of a farm, and how a farm looks in JSON: contracts/openapi/fruit-catalog.yaml, FarmPut and
// Farm.
#include "farm.h"

#define IN(type, member) offsetof(struct type, member)

const char *const sido_names[] = {"서울", "부산", "대구", "인천", "광주", "대전", "울산", "세종", "경기",
                                  "강원", "충북", "충남", "전북", "전남", "경북", "경남", "제주", NULL};
const char *const certificate_kind_names[] = {"GAP", "ORGANIC", "PESTICIDE_FREE", "LOW_CARBON", NULL};

static const struct ch_field certificate_fields[] = {
    {"kind", CH_FIELD_ENUM, IN(certificate, kind), .names = certificate_kind_names},
    {"number", CH_FIELD_STR, IN(certificate, number), .min = 1, .max = 40, .flags = CH_F_TRIM},
    {"agency", CH_FIELD_STR, IN(certificate, agency), .min = 1, .max = 60, .flags = CH_F_TRIM},
    {"validTo", CH_FIELD_DATE, IN(certificate, valid_to)},
    {0},
};

const struct ch_field farm_input_fields[] = {
    {"name", CH_FIELD_STR, IN(farm_input, name), .min = 2, .max = 50, .flags = CH_F_TRIM},
    {"sido", CH_FIELD_ENUM, IN(farm_input, sido), .names = sido_names},
    {"sigungu", CH_FIELD_STR, IN(farm_input, sigungu), .min = 2, .max = 20, .flags = CH_F_TRIM},
    {"introduction", CH_FIELD_STR, IN(farm_input, introduction), .max = 2000, .flags = CH_F_MULTILINE},
    {"phone", CH_FIELD_STR, IN(farm_input, phone), .pattern = "0[0-9]{1,3}-[0-9]{3,4}-[0-9]{4}",
     .pattern_detail = "054-870-1234처럼 하이픈을 넣은 전화번호여야 합니다"},
    {"businessNumber", CH_FIELD_STR, IN(farm_input, business_number), .pattern = "[0-9]{3}-[0-9]{2}-[0-9]{5}",
     .pattern_detail = "사업자등록번호는 123-45-67890 형식이어야 합니다"},
    {"shipCutoff", CH_FIELD_STR, IN(farm_input, ship_cutoff), .flags = CH_F_OPTIONAL,
     .pattern = "([01][0-9]|2[0-3]):[0-5][0-9]", .pattern_detail = "HH:MM 형식의 시각이어야 합니다"},
    {"certificates", CH_FIELD_ARRAY, IN(farm_input, certificates), .max = 20, .fields = certificate_fields,
     .elem_size = sizeof(struct certificate)},
    {0},
};

static void write_region(struct ch_jw *jw, const struct farm *farm)
{
    char region[160];
    const int len = snprintf(region, sizeof(region), "%.*s %.*s", CH_STR_ARG(farm->sido), CH_STR_ARG(farm->sigungu));

    ch_jw_kstr(jw, "region", (struct ch_str){region, len < (int)sizeof(region) ? (size_t)len : sizeof(region) - 1});
}

void farm_write(struct ch_jw *jw, const struct farm *farm, bool is_whole)
{
    ch_jw_kuuid(jw, "farmId", farm->farm_id);
    ch_jw_kstr(jw, "name", farm->name);
    write_region(jw, farm);
    ch_jw_kstr(jw, "introduction", farm->introduction);
    ch_jw_kint(jw, "productCount", farm->product_count);
    ch_jw_key(jw, "certificates");
    ch_jw_raw(jw, farm->certificates_json);
    if (!is_whole)
        return;
    ch_jw_kstr(jw, "sido", farm->sido);
    ch_jw_kstr(jw, "sigungu", farm->sigungu);
    ch_jw_kstr(jw, "phone", farm->phone);
    ch_jw_kstr(jw, "businessNumber", farm->business_number);
    ch_jw_kstr(jw, "shipCutoff", farm->ship_cutoff);
    ch_jw_kint(jw, "version", farm->version);
    ch_jw_ktime(jw, "updatedAt", farm->updated_at_us);
}
