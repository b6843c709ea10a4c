// SPDX-License-Identifier: Apache-2.0
// The body of a request: its type, its JSON, its hash. What it says must never be repeated in an answer beyond the
// names of its members.
#include "ch/app.h"

#include "body.h"

#include <stdlib.h>

static bool is_space(char c)
{
    return c == ' ' || c == '\t';
}

static struct ch_str trim(struct ch_str s)
{
    while (s.len > 0 && is_space(s.data[0]))
        s = (struct ch_str){s.data + 1, s.len - 1};
    while (s.len > 0 && is_space(s.data[s.len - 1]))
        s.len--;
    return s;
}

// application/json, perhaps with charset=utf-8 (RFC 8259 knows no other).
bool ch_is_json_type(struct ch_str content_type)
{
    const char *semicolon = content_type.len > 0 ? memchr(content_type.data, ';', content_type.len) : NULL;
    const size_t end = semicolon ? (size_t)(semicolon - content_type.data) : content_type.len;
    struct ch_str rest = {0};

    if (!ch_str_ieq(trim((struct ch_str){content_type.data, end}), CH_STR("application/json")))
        return false;
    if (semicolon)
        rest = trim((struct ch_str){semicolon + 1, content_type.len - end - 1});
    return rest.len == 0 || ch_str_ieq(rest, CH_STR("charset=utf-8")) || ch_str_ieq(rest, CH_STR("charset=\"utf-8\""));
}

enum ch_err ch_body_check_json(struct ch_request *req)
{
    if (ch_is_json_type(ch_http_header(req->http, "Content-Type")))
        return CH_OK;
    return ch_fail(&req->ctx, CH_ERR_UNSUPPORTED_MEDIA_TYPE, "Content-Type", "enum",
                   "application/json으로 보내 주세요");
}

enum ch_err ch_body_bind(struct ch_request *req, const struct ch_field *fields, void *ret_object, uint64_t *ret_present)
{
    enum ch_err err = CH_OK;

    req->ctx.step = "read body";
    if (req->http->body.len > 0)
        err = ch_body_check_json(req);
    if (!err && !req->json)
        err = ch_json_parse(req->http->body, &req->ctx.faults, &req->json);
    if (!err)
        err = ch_json_bind(req->json, fields, "", &req->ctx.faults, ret_object, ret_present);
    return err;
}

void ch_body_hash(struct ch_request *req, uint8_t ret_digest[32])
{
    char *text = json_dumps(req->json, JSON_SORT_KEYS | JSON_COMPACT | JSON_ENCODE_ANY);
    const struct ch_str canonical = text ? ch_str_of(text) : req->http->body; // memory is short: the bytes as they came

    ch_sha256(canonical.data, canonical.len, ret_digest);
    free(text);
}

enum ch_err ch_param_uuid(struct ch_request *req, int index, struct ch_uuid *ret_uuid)
{
    return ch_uuid_parse(req->params[index], ret_uuid) ? CH_ERR_NOT_FOUND : CH_OK;
}
