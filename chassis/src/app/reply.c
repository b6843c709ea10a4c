// SPDX-License-Identifier: Apache-2.0
// Headers of a reply, and the versions in ETag, If-None-Match and If-Match (RFC 9110 8.8, 13.1). A version is a number;
// what else an ETag says of the content stands after a hyphen and never decides whether an edit may happen.
#include "ch/app.h"

#include <inttypes.h>

#define REPLY_HEADERS_MAX (sizeof(((struct ch_request *)0)->extra) / sizeof(struct ch_http_header))

void ch_reply_header(struct ch_request *req, const char *name, struct ch_str value)
{
    const struct ch_str key = ch_str_of(name);
    size_t at = 0;

    if (!value.data) // the arena was full: a reply without the header is still a reply
        return;
    while (at < req->extra_count && !ch_str_ieq(req->extra[at].name, key))
        at++;
    if (at == REPLY_HEADERS_MAX) {
        ch_log(CH_LOG_ERROR, &req->ctx.trace, "reply.header_dropped", CH_LS("name", name));
        return;
    }
    req->extra[at] = (struct ch_http_header){key, value};
    if (at == req->extra_count)
        req->extra_count++;
}

void ch_reply_etag_text(struct ch_request *req, struct ch_str opaque)
{
    ch_reply_header(req, "ETag", ch_str_of(ch_arena_printf(req->ctx.arena, "\"%.*s\"", CH_STR_ARG(opaque))));
}

void ch_reply_etag(struct ch_request *req, int64_t version)
{
    ch_reply_header(req, "ETag", ch_str_of(ch_arena_printf(req->ctx.arena, "\"%" PRId64 "\"", version)));
}

/* ---- reading
 * ---------------------------------------------------------------------------------------------------------- */

/** Takes the next entity-tag of a list; false at its end and at what is none. */
static bool next_tag(struct ch_str *list, struct ch_str *ret_opaque)
{
    const char *at = list->data, *end = at + list->len, *quote;

    while (at < end && (*at == ' ' || *at == '\t' || *at == ','))
        at++;
    if (end - at > 2 && at[0] == 'W' && at[1] == '/')
        at += 2;
    if (at == end || *at != '"')
        return false;
    at++;
    quote = memchr(at, '"', (size_t)(end - at));
    if (!quote)
        return false;
    *ret_opaque = (struct ch_str){at, (size_t)(quote - at)};
    *list = (struct ch_str){quote + 1, (size_t)(end - quote - 1)};
    return true;
}

static bool list_has(struct ch_str list, struct ch_str wanted)
{
    struct ch_str opaque;

    if (!list.data)
        return false;
    if (ch_str_eq(list, CH_STR("*")))
        return true;
    while (next_tag(&list, &opaque))
        if (ch_str_eq(opaque, wanted))
            return true;
    return false;
}

bool ch_is_not_modified_text(struct ch_request *req, struct ch_str opaque)
{
    ch_reply_etag_text(req, opaque);
    if (!list_has(ch_http_header(req->http, "If-None-Match"), opaque))
        return false;
    ch_buf_reset(&req->body);
    req->status = 304;
    return true;
}

bool ch_is_not_modified(struct ch_request *req, int64_t version)
{
    const char *text = ch_arena_printf(req->ctx.arena, "%" PRId64, version);

    return text && ch_is_not_modified_text(req, ch_str_of(text));
}

// "7" or "7-1c9f", quotes included.
static bool read_version(struct ch_str text, int64_t *ret_version)
{
    struct ch_str number, suffix;
    const char *hyphen;

    if (text.len < 3 || text.data[0] != '"' || text.data[text.len - 1] != '"')
        return false;
    number = (struct ch_str){text.data + 1, text.len - 2};
    hyphen = memchr(number.data, '-', number.len);
    if (hyphen) {
        suffix = (struct ch_str){hyphen + 1, (size_t)(number.data + number.len - hyphen - 1)};
        number.len = (size_t)(hyphen - number.data);
        if (suffix.len == 0)
            return false;
        for (size_t i = 0; i < suffix.len; i++)
            if (!(suffix.data[i] >= '0' && suffix.data[i] <= '9') && !(suffix.data[i] >= 'a' && suffix.data[i] <= 'z'))
                return false;
    }
    return number.len > 0 && ch_str_to_int64(number, ret_version) == CH_OK;
}

enum ch_err ch_if_match(struct ch_request *req, bool is_required, int64_t *ret_version)
{
    const struct ch_str text = ch_http_header(req->http, "If-Match");

    if (!text.data && is_required) {
        req->ctx.detail = "수정하려면 If-Match 헤더에 현재 버전을 보내야 합니다.";
        return ch_fail(&req->ctx, CH_ERR_PRECONDITION_REQUIRED, "If-Match", "required", "필요한 헤더입니다");
    }
    if (!text.data || ch_str_eq(text, CH_STR("*"))) {
        *ret_version = -1;
        return CH_OK;
    }
    if (!read_version(text, ret_version))
        return ch_fail(&req->ctx, CH_ERR_INVALID, "If-Match", "format", "\"7\"처럼 따옴표 안의 버전이어야 합니다");
    return CH_OK;
}
