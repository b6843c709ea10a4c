// SPDX-License-Identifier: Apache-2.0
// Conditional answers of lists and pages.
#include "page.h"

#include <inttypes.h>

void page_hash(struct ch_str body, char ret_text[PAGE_HASH_TEXT])
{
    uint8_t digest[32];

    ch_sha256(body.data, body.len, digest);
    ch_hex_encode(digest, (PAGE_HASH_TEXT - 1) / 2, ret_text);
}

void page_cache(struct ch_request *req)
{
    ch_reply_header(req, "Cache-Control",
                    req->ctx.identity ? CH_STR("private, no-cache") : CH_STR("public, max-age=0, s-maxage=1"));
}

enum ch_err page_reply(struct ch_request *req, int64_t version)
{
    char hash[PAGE_HASH_TEXT];
    const char *etag = hash;

    page_hash(ch_buf_str(&req->body), hash);
    if (version > 0)
        etag = ch_arena_printf(req->ctx.arena, "%" PRId64 "-%s", version, hash);
    if (!etag)
        return CH_ERR_NO_MEMORY;
    page_cache(req);
    (void)ch_is_not_modified_text(req, ch_str_of(etag)); // either way the answer is ready
    return CH_OK;
}

enum ch_err page_cursor_refuse(struct ch_ctx *ctx)
{
    return ch_fail(ctx, CH_ERR_INVALID, "?cursor", "format", "앞 응답의 nextCursor를 그대로 보내야 합니다");
}
