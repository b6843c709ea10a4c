// SPDX-License-Identifier: Apache-2.0
/**
 * @file image.h
 * @brief Pictures of products: what may be uploaded, and how they are kept. Nothing here decodes a picture.
 */
#ifndef IMAGE_H
#define IMAGE_H

#include "ch/app.h"

#define IMAGE_BYTES_MAX ((size_t)5 * 1024 * 1024)
enum { IMAGES_MAX = 10 /**< of one product */ };

/** The type that Content-Type names if it is one we take and the first bytes agree with it; else NULL. A literal. */
const char *image_type(struct ch_str content_type, struct ch_str bytes);

struct image {
    uint8_t sha256[32];
    char id[65]; /**< the same in hexadecimal digits */
    const char *type;
    struct ch_str bytes;
    struct ch_str alt;
};
/** Adds the picture to a product of the caller, in one transaction. The same picture stays once, and `image->alt`
 * becomes the one it has. CH_ERR_CONFLICT: too many, or the product has ended. */
CH_MUST_CHECK enum ch_err image_add_wait(struct ch_ctx *ctx, struct ch_uuid product_id, struct image *image);

/** `id` is 64 lower-case hexadecimal digits. Without `with_bytes` only the type. The rows own what is returned. */
CH_MUST_CHECK enum ch_err image_find_wait(struct ch_ctx *ctx, struct ch_str id, bool with_bytes,
                                          struct ch_pg_rows **ret_rows, struct ch_str *ret_type,
                                          struct ch_str *ret_bytes);

#endif
