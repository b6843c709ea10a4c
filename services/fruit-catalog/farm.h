// SPDX-License-Identifier: Apache-2.0
/**
 * @file farm.h
 * @brief A farm: who sells, where it is, until when an order leaves the same day. Operators write it; everybody may
 * read it.
 */
#ifndef FARM_H
#define FARM_H

#include "ch/app.h"

extern const char *const sido_names[];             /**< 시·도, as the contract lists them */
extern const char *const certificate_kind_names[]; /**< GAP, ORGANIC, ... */

struct certificate {
    int kind; /**< index into certificate_kind_names */
    struct ch_str number, agency, valid_to;
};

/** What an operator writes. */
struct farm_input {
    struct ch_str name;
    int sido; /**< index into sido_names */
    struct ch_str sigungu, introduction, phone, business_number, ship_cutoff;
    struct ch_array certificates; /**< of struct certificate */
};
extern const struct ch_field farm_input_fields[];

struct farm {
    struct ch_uuid farm_id;
    struct ch_str name, sido, sigungu, introduction, phone, business_number, ship_cutoff;
    int64_t product_count; /**< on sale */
    struct ch_str certificates_json;
    int64_t version, updated_at_us;
};

/** Writes the members that a list shows, and with `is_whole` those of the farm's page. The caller opens and closes the
 * object. */
void farm_write(struct ch_jw *jw, const struct farm *farm, bool is_whole);

/** A page of farms by name. */
struct farm_page {
    struct ch_str region, certificate; /**< data NULL: any */
    struct ch_str after_name;          /**< data NULL: from the first */
    struct ch_uuid after_id;
    int64_t limit;
    struct farm *farms; /**< out */
    size_t count;
    bool has_more;
};
CH_MUST_CHECK enum ch_err farm_page_wait(struct ch_ctx *ctx, struct farm_page *page);
CH_MUST_CHECK enum ch_err farm_find_wait(struct ch_ctx *ctx, struct ch_uuid farm_id, struct farm *ret_farm);

/** Creates or replaces in one transaction. `if_match` -1: whatever is there; else another version, or no farm, is
 *  CH_ERR_PRECONDITION_FAILED. */
CH_MUST_CHECK enum ch_err farm_put_wait(struct ch_ctx *ctx, struct ch_uuid farm_id, const struct farm_input *input,
                                        int64_t if_match, bool *ret_is_new);

#endif
