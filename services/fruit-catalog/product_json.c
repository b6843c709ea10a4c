// SPDX-License-Identifier: Apache-2.0
// What a farmer may send of a product, and how a product looks in JSON: contracts/openapi/fruit-catalog.yaml.
#include "day.h"
#include "product.h"

#define IN(member) offsetof(struct product_edit, member)

const char *const tax_class_names[] = {"EXEMPT", "TAXABLE", NULL};

// ---- the disclosure: all of struct ch_str, which the writer below relies on

#define TEXT(name_, member, max_, flags_)                                                                              \
    {                                                                                                                  \
        name_, CH_FIELD_STR, offsetof(struct disclosure, member), .min = 1, .max = (max_),                             \
                                                                  .flags = CH_F_OPTIONAL | CH_F_TRIM | (flags_)        \
    }
#define DATE(name_, member, flags_)                                                                                    \
    {                                                                                                                  \
        name_, CH_FIELD_DATE, offsetof(struct disclosure, member), .flags = CH_F_OPTIONAL | (flags_)                   \
    }

#define DISCLOSURE_ROWS(flags_)                                                                                        \
    TEXT("itemName", item_name, 100, flags_), TEXT("weight", weight, 100, flags_),                                     \
        TEXT("quantity", quantity, 100, flags_), TEXT("size", size, 100, flags_),                                      \
        TEXT("producer", producer, 100, flags_), TEXT("origin", origin, 100, flags_),                                  \
        DATE("packedOn", packed_on, flags_), DATE("producedOn", produced_on, flags_),                                  \
        TEXT("composition", composition, 200, flags_), TEXT("labelling", labelling, 200, flags_),                      \
        TEXT("storage", storage, 200, flags_), TEXT("caution", caution, 500, flags_),                                  \
    {                                                                                                                  \
        "customerPhone", CH_FIELD_STR, offsetof(struct disclosure, customer_phone),                                    \
            .flags = CH_F_OPTIONAL | (flags_), .pattern = "0[0-9]{1,3}-[0-9]{3,4}-[0-9]{4}",                           \
            .pattern_detail = "054-870-1234처럼 하이픈을 넣은 전화번호여야 합니다"                    \
    }

// As stored: null where nothing was given. A farmer leaves such a field out.
static const struct ch_field disclosure_fields[] = {DISCLOSURE_ROWS(CH_F_NULLABLE), {0}};
static const struct ch_field disclosure_input_fields[] = {DISCLOSURE_ROWS(0), {0}};

void disclosure_write(struct ch_jw *jw, const struct disclosure *disclosure)
{
    ch_jw_object(jw);
    for (const struct ch_field *field = disclosure_fields; field->name; field++)
        ch_jw_kstr(jw, field->name, *(const struct ch_str *)(const void *)((const char *)disclosure + field->offset));
    ch_jw_object_end(jw);
}

enum ch_err disclosure_read(struct ch_ctx *ctx, struct ch_str json, struct disclosure *ret_disclosure)
{
    struct disclosure disclosure = {0};
    struct ch_faults faults; // of stored data: nobody who asks could mend them
    json_t *object;

    ch_faults_init(&faults, ctx->arena);
    if (ch_json_parse(json, &faults, &object))
        return CH_ERR_INTERNAL;
    const enum ch_err err = ch_json_bind(object, disclosure_fields, "", &faults, &disclosure, NULL);
    json_decref(object);
    if (err)
        return err == CH_ERR_NO_MEMORY ? err : CH_ERR_INTERNAL;
    *ret_disclosure = disclosure;
    return CH_OK;
}

// ---- what comes in

#define MONTH_DAY        "(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])"
#define MONTH_DAY_DETAIL "MM-DD 형식의 날짜여야 합니다"

#define PRODUCT_ROWS(flags_)                                                                                           \
    {"title",                                                                                                          \
     CH_FIELD_STR,                                                                                                     \
     IN(title),                                                                                                        \
     .min = 2,                                                                                                         \
     .max = 100,                                                                                                       \
     .flags = CH_F_TRIM | (flags_),                                                                                    \
     .present_bit = PRODUCT_HAS_OTHER},                                                                                \
        {"fruit",                                                                                                      \
         CH_FIELD_STR,                                                                                                 \
         IN(fruit),                                                                                                    \
         .min = 1,                                                                                                     \
         .max = 20,                                                                                                    \
         .flags = CH_F_TRIM | (flags_),                                                                                \
         .present_bit = PRODUCT_HAS_OTHER},                                                                            \
        {"variety",                                                                                                    \
         CH_FIELD_STR,                                                                                                 \
         IN(variety),                                                                                                  \
         .min = 1,                                                                                                     \
         .max = 30,                                                                                                    \
         .flags = CH_F_TRIM | (flags_),                                                                                \
         .present_bit = PRODUCT_HAS_OTHER},                                                                            \
        {"description",                                                                                                \
         CH_FIELD_STR,                                                                                                 \
         IN(description),                                                                                              \
         .max = 5000,                                                                                                  \
         .flags = CH_F_MULTILINE | CH_F_OPTIONAL,                                                                      \
         .present_bit = PRODUCT_HAS_OTHER},                                                                            \
        {"origin",                                                                                                     \
         CH_FIELD_STR,                                                                                                 \
         IN(origin),                                                                                                   \
         .min = 2,                                                                                                     \
         .max = 100,                                                                                                   \
         .flags = CH_F_TRIM | (flags_),                                                                                \
         .present_bit = PRODUCT_HAS_OTHER},                                                                            \
        {"storage",                                                                                                    \
         CH_FIELD_STR,                                                                                                 \
         IN(storage),                                                                                                  \
         .min = 2,                                                                                                     \
         .max = 200,                                                                                                   \
         .flags = CH_F_TRIM | (flags_),                                                                                \
         .present_bit = PRODUCT_HAS_OTHER},                                                                            \
        {"seasonFrom",                                                                                                 \
         CH_FIELD_STR,                                                                                                 \
         IN(season_from),                                                                                              \
         .flags = (flags_),                                                                                            \
         .pattern = MONTH_DAY,                                                                                         \
         .pattern_detail = MONTH_DAY_DETAIL,                                                                           \
         .present_bit = PRODUCT_HAS_OTHER},                                                                            \
        {"seasonTo",                                                                                                   \
         CH_FIELD_STR,                                                                                                 \
         IN(season_to),                                                                                                \
         .flags = (flags_),                                                                                            \
         .pattern = MONTH_DAY,                                                                                         \
         .pattern_detail = MONTH_DAY_DETAIL,                                                                           \
         .present_bit = PRODUCT_HAS_OTHER},                                                                            \
        {"taxClass",                                                                                                   \
         CH_FIELD_ENUM,                                                                                                \
         IN(tax_class),                                                                                                \
         .flags = CH_F_OPTIONAL,                                                                                       \
         .names = tax_class_names,                                                                                     \
         .present_bit = PRODUCT_HAS_OTHER},                                                                            \
    {                                                                                                                  \
        "disclosure", CH_FIELD_OBJECT, IN(disclosure), .flags = CH_F_OPTIONAL, .fields = disclosure_input_fields,      \
                                                       .present_bit = PRODUCT_HAS_DISCLOSURE                           \
    }

const struct ch_field product_create_fields[] = {PRODUCT_ROWS(0), {0}};
const struct ch_field product_patch_fields[] = {
    PRODUCT_ROWS(CH_F_OPTIONAL),
    {"status", CH_FIELD_ENUM, IN(status), .flags = CH_F_OPTIONAL, .names = product_status_names,
     .present_bit = PRODUCT_HAS_STATUS},
    {0},
};

// ---- what goes out

static void write_farm(struct ch_jw *jw, const struct product *product)
{
    ch_jw_key(jw, "farm");
    ch_jw_object(jw);
    ch_jw_kuuid(jw, "farmId", product->farm_id);
    ch_jw_kstr(jw, "name", product->farm_name);
    ch_jw_kstr(jw, "region", product->farm_region);
    ch_jw_kstr(jw, "shipCutoff", product->farm_ship_cutoff);
    ch_jw_key(jw, "certificates");
    ch_jw_raw(jw, product->certificates_json);
    ch_jw_object_end(jw);
}

static void write_edit(struct ch_jw *jw, const struct product_edit *edit)
{
    const struct day today = day_in_seoul(ch_wall_us());

    ch_jw_kstr(jw, "title", edit->title);
    ch_jw_kstr(jw, "fruit", edit->fruit);
    ch_jw_kstr(jw, "variety", edit->variety);
    ch_jw_kstr(jw, "description", edit->description);
    ch_jw_kstr(jw, "origin", edit->origin);
    ch_jw_kstr(jw, "storage", edit->storage);
    ch_jw_kstr(jw, "seasonFrom", edit->season_from);
    ch_jw_kstr(jw, "seasonTo", edit->season_to);
    ch_jw_kbool(jw, "inSeason", day_is_in_season(&today, edit->season_from, edit->season_to));
    ch_jw_kcstr(jw, "taxClass", tax_class_names[edit->tax_class]);
    ch_jw_kcstr(jw, "status", product_status_names[edit->status]);
    ch_jw_key(jw, "disclosure");
    disclosure_write(jw, &edit->disclosure);
}

void product_write(struct ch_jw *jw, const struct product *product)
{
    ch_jw_object(jw);
    ch_jw_kuuid(jw, "productId", product->product_id);
    write_edit(jw, &product->edit);
    ch_jw_key(jw, "images");
    ch_jw_raw(jw, product->images_json);
    write_farm(jw, product);
    ch_jw_key(jw, "skus");
    ch_jw_array(jw);
    for (size_t i = 0; i < product->sku_count; i++)
        sku_write(jw, &product->skus[i]);
    ch_jw_array_end(jw);
    ch_jw_kint(jw, "version", product->version);
    ch_jw_ktime(jw, "updatedAt", product->updated_at_us);
    ch_jw_object_end(jw);
}
