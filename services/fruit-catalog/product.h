// SPDX-License-Identifier: Apache-2.0
/**
 * @file product.h
 * @brief A product of a farm: its text, its status, its disclosure (상품정보제공고시), and the rules of both. The store
 * maps rows; these decide.
 */
#ifndef PRODUCT_H
#define PRODUCT_H

#include "sku.h"

enum product_status { PRODUCT_DRAFT, PRODUCT_ON_SALE, PRODUCT_PAUSED, PRODUCT_ENDED, PRODUCT_STATUS_COUNT };
extern const char *const product_status_names[];
extern const char *const tax_class_names[];

/** 상품정보제공고시 for 농수산물. data NULL: not given. */
struct disclosure {
    struct ch_str item_name, weight, quantity, size, producer, origin, packed_on, produced_on, composition, labelling,
        storage, caution, customer_phone;
};

/** What a farmer writes. */
struct product_edit {
    struct ch_str title, fruit, variety, description, origin, storage, season_from, season_to;
    int tax_class; /**< index into tax_class_names */
    int status;    /**< enum product_status; only a patch has it */
    struct disclosure disclosure;
};
extern const struct ch_field product_create_fields[], product_patch_fields[];
/** Bits that product_patch_fields report; every other field has PRODUCT_HAS_OTHER. */
enum { PRODUCT_HAS_STATUS = 1, PRODUCT_HAS_DISCLOSURE = 2, PRODUCT_HAS_OTHER = 4 };

struct product {
    struct ch_uuid product_id, farm_id;
    struct product_edit edit;
    int64_t version, updated_at_us;
    /* only of a whole product */
    struct ch_str farm_name, farm_region, farm_ship_cutoff;
    struct ch_str certificates_json; /**< the farm's, valid today */
    struct ch_str images_json;
    struct sku *skus;
    size_t sku_count;
};

/* ---- rules ---- */

/** CH_ERR_BAD_TRANSITION with its fault when the status cannot become that. The same again is allowed. */
CH_MUST_CHECK enum ch_err product_check_move(struct ch_ctx *ctx, enum product_status from, enum product_status to);
/** CH_ERR_DISCLOSURE_MISSING with a fault for each field that a product on sale must have and this one has not. */
CH_MUST_CHECK enum ch_err product_check_disclosure(struct ch_ctx *ctx, const struct disclosure *disclosure);

/* ---- JSON ---- */

/** The product's page, an object. */
void product_write(struct ch_jw *jw, const struct product *product);
void disclosure_write(struct ch_jw *jw, const struct disclosure *disclosure);
/** Reads what disclosure_write or a seed stored; fields that are not there stay empty. */
CH_MUST_CHECK enum ch_err disclosure_read(struct ch_ctx *ctx, struct ch_str json, struct disclosure *ret_disclosure);

/* ---- store ---- */

/** The whole product as it is now, of any status; CH_ERR_NOT_FOUND. */
CH_MUST_CHECK enum ch_err product_find_wait(struct ch_ctx *ctx, struct ch_uuid product_id, struct product *ret_product);
/** Within a transaction: the product without its farm, pictures and SKUs, locked until its end. CH_ERR_NOT_FOUND: there
 * is none, or it is not the caller's. */
CH_MUST_CHECK enum ch_err product_lock_wait(struct ch_tx *tx, struct ch_uuid product_id, struct product *ret_product);
/** Writes a locked product with its next version and tells of it (product.changed.v1). */
CH_MUST_CHECK enum ch_err product_save(struct ch_tx *tx, struct product *product);
/** A new draft. CH_ERR_NOT_FOUND: no such farm. */
CH_MUST_CHECK enum ch_err product_insert_wait(struct ch_ctx *ctx, struct product *product);

#endif
