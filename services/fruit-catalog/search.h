// SPDX-License-Identifier: Apache-2.0
/**
 * @file search.h
 * @brief Searching the products on sale: filters, sorts, pages. What words mean is the database's (migrations,
 * "search").
 */
#ifndef SEARCH_H
#define SEARCH_H

#include "sku.h"

/** In the order of the statement's numbers. */
enum search_sort { SEARCH_RECOMMENDED, SEARCH_NEWEST, SEARCH_PRICE_ASC, SEARCH_PRICE_DESC };
extern const char *const search_sort_names[];

/** What is looked for; data NULL and -1: any. */
struct search {
    struct ch_str words, fruit, region, grade, certificate;
    int in_season; /**< 1, 0 or -1 */
    int64_t min_price_krw, max_price_krw;
    struct ch_uuid farm_id; /**< nil: any */
    enum search_sort sort;
    int64_t limit;
    bool has_after; /**< a later page: after this key and id */
    int64_t after_key;
    struct ch_uuid after_id;
};

struct search_item {
    struct ch_uuid product_id, farm_id;
    struct ch_str title, fruit, variety, grade, farm_name, farm_region;
    struct ch_str image_id;          /**< data NULL: no picture */
    struct ch_str certificates_json; /**< kinds */
    int64_t from_price_krw;          /**< 0: nothing on sale */
    int64_t sort_key;
    bool is_in_season;
    const struct sku *skus; /**< on sale, cheapest first */
    size_t sku_count;
};

struct search_page {
    struct search_item *items;
    size_t count;
    bool has_more;
};
CH_MUST_CHECK enum ch_err search_wait(struct ch_ctx *ctx, const struct search *search, struct search_page *ret_page);

#endif
