// SPDX-License-Identifier: Apache-2.0
/**
 * @file product_cache.h
 * @brief Rendered product pages, one cache for all loops of the process: the page that everybody looks at costs no
 * query.
 *
 * After a write of this process is answered no loop serves an older page: the writer drops the page between its commit
 * and its answer. Writes of other instances are seen within a second. Bounded in entries and in the size of a page; any
 * thread; holds its locks for a copy and never across a wait.
 */
#ifndef PRODUCT_CACHE_H
#define PRODUCT_CACHE_H

#include "ch/base.h"

#define PRODUCT_ETAG_TEXT      48          /**< version, hyphen, 16 hex digits */
#define PRODUCT_CACHE_BODY_MAX (64 * 1024) /**< larger pages are made each time */

/** Makes the cache; once per process, later calls do nothing. */
CH_MUST_CHECK enum ch_err product_cache_start(size_t entries);

/** What a reader must take before it reads the database. */
struct product_ticket {
    uint64_t generation;
    int64_t started_ns;
};

/** True: appends the page to `body` and copies its ETag. False: `ret_ticket` is for product_cache_put. */
bool product_cache_get(struct ch_uuid product_id, struct ch_buf *body, char ret_etag[PRODUCT_ETAG_TEXT],
                       struct product_ticket *ret_ticket);
/** Keeps the page, unless the product was dropped since the ticket: then it may show what was before that write. */
void product_cache_put(struct ch_uuid product_id, struct product_ticket ticket, struct ch_str body, const char *etag);
/** After a commit that changed the product, or may have. */
void product_cache_drop(struct ch_uuid product_id);
void product_cache_drop_all(void);

#endif
