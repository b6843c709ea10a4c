// SPDX-License-Identifier: Apache-2.0
/**
 * @file page.h
 * @brief What all lists and pages share: the ETag of a body, which is a hash of it, and the last step of a conditional
 * GET.
 */
#ifndef PAGE_H
#define PAGE_H

#include "ch/app.h"

#define PAGE_HASH_TEXT 17

/** 16 hex digits of the body's SHA-256. */
void page_hash(struct ch_str body, char ret_text[PAGE_HASH_TEXT]);

/** Says who may keep the answer. Without a token: anybody in between for a second, then it is asked for anew, so that
 * shown stock is about right; with one: only the caller, who asks each time. */
void page_cache(struct ch_request *req);

/** Sets the ETag to the hash of req->body, after `version` and a hyphen when that is positive; 304 when the caller has
 * it already. The client keeps the answer but asks each time: prices and stock change. */
enum ch_err page_reply(struct ch_request *req, int64_t version);

/** Any cursor that is not one of this list's. */
CH_MUST_CHECK enum ch_err page_cursor_refuse(struct ch_ctx *ctx);

#endif
