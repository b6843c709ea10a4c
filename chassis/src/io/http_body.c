// SPDX-License-Identifier: Apache-2.0
// The body of a request: Content-Length or chunked (RFC 9112, 6 and 7.1). Strict to the byte, because a body whose end
// two readers see in different places is how requests are smuggled. Trailers are checked and dropped: nothing may act
// on them.
#include "http_head.h"

void ch_http_body_init(struct ch_http_body *body, const struct ch_http_head *head)
{
    *body = (struct ch_http_body){.step = head->is_chunked ? CH_HTTP_BODY_SIZE : CH_HTTP_BODY_LENGTH,
                                  .left = head->is_chunked ? 0 : head->content_length};
    if (!head->is_chunked && body->left == 0)
        body->step = CH_HTTP_BODY_DONE;
}

static int hex_of(char c)
{
    static const char digits[] = "0123456789abcdef";
    const char *at = c ? strchr(digits, c >= 'A' && c <= 'F' ? c + 32 : c) : NULL;

    return at ? (int)(at - digits) : -1;
}

// "1a;name=value": the digits at the beginning, at most 15 of them; the rest is an extension or nothing.
static enum ch_err read_size(struct ch_http_body *body, const char *line, size_t len)
{
    uint64_t size = 0;
    size_t digits = 0;

    while (digits < len && hex_of(line[digits]) >= 0) {
        if (digits == 15)
            return CH_ERR_BAD_SYNTAX;
        size = size << 4 | (uint64_t)hex_of(line[digits++]);
    }
    if (digits == 0)
        return CH_ERR_BAD_SYNTAX;
    if (digits < len && line[digits] != ';' && line[digits] != ' ' && line[digits] != '\t')
        return CH_ERR_BAD_SYNTAX;
    for (size_t i = digits; i < len; i++)
        if ((unsigned char)line[i] < 0x20 ? line[i] != '\t' : line[i] == 0x7f)
            return CH_ERR_BAD_SYNTAX;
    body->extensions += len - digits;
    if (body->extensions > CH_HTTP_EXTENSIONS_MAX)
        return CH_ERR_BAD_SYNTAX;
    body->left = size;
    body->step = size ? CH_HTTP_BODY_CHUNK : CH_HTTP_BODY_TRAILERS;
    return CH_OK;
}

// One line of at most CH_HTTP_CHUNK_LINE_MAX bytes; *ret_used 0: not complete yet.
static enum ch_err take_size_line(struct ch_http_body *body, const char *data, size_t len, size_t *ret_used)
{
    size_t stop = len < CH_HTTP_CHUNK_LINE_MAX ? len : CH_HTTP_CHUNK_LINE_MAX;
    const char *end = memchr(data, '\n', stop);
    size_t line_len;

    if (!end)
        return stop == CH_HTTP_CHUNK_LINE_MAX ? CH_ERR_BAD_SYNTAX : CH_OK;
    line_len = (size_t)(end - data);
    if (line_len == 0 || data[line_len - 1] != '\r')
        return CH_ERR_BAD_SYNTAX;
    *ret_used = line_len + 1;
    return read_size(body, data, line_len - 1);
}

static enum ch_err take_content(struct ch_http_body *body, const char *data, size_t len, struct ch_buf *out,
                                size_t *ret_used)
{
    size_t take = body->left < len ? (size_t)body->left : len;

    ch_buf_append(out, data, take);
    if (out->is_full)
        return CH_ERR_TOO_LARGE;
    body->left -= take;
    *ret_used = take;
    if (body->left == 0)
        body->step = body->step == CH_HTTP_BODY_LENGTH ? CH_HTTP_BODY_DONE : CH_HTTP_BODY_CRLF;
    return CH_OK;
}

static enum ch_err take_crlf(struct ch_http_body *body, const char *data, size_t len, size_t *ret_used)
{
    if (data[0] != '\r' || (len > 1 && data[1] != '\n'))
        return CH_ERR_BAD_SYNTAX;
    if (len > 1) {
        *ret_used = 2;
        body->step = CH_HTTP_BODY_SIZE;
    }
    return CH_OK;
}

static enum ch_err take_trailers(struct ch_http_body *body, const char *data, size_t len, size_t *ret_used)
{
    enum ch_err err = ch_http_scan(&body->trailers, data, len, CH_HTTP_TRAILERS_MAX, CH_HTTP_TRAILER_MAX, ret_used);
    const char *line = data, *end;

    if (err || *ret_used == 0)
        return err;
    for (; line < data + *ret_used - 2; line = end + 1) {
        const char *colon;

        end = memchr(line, '\n', (size_t)(data + *ret_used - line));
        colon = memchr(line, ':', (size_t)(end - line));
        if (!colon || !ch_http_is_token((struct ch_str){line, (size_t)(colon - line)}))
            return CH_ERR_BAD_SYNTAX;
    }
    body->step = CH_HTTP_BODY_DONE;
    return CH_OK;
}

static enum ch_err take(struct ch_http_body *body, const char *data, size_t len, struct ch_buf *out, size_t *ret_used)
{
    switch (body->step) {
    case CH_HTTP_BODY_SIZE:
        return take_size_line(body, data, len, ret_used);
    case CH_HTTP_BODY_CRLF:
        return take_crlf(body, data, len, ret_used);
    case CH_HTTP_BODY_TRAILERS:
        return take_trailers(body, data, len, ret_used);
    default:
        return take_content(body, data, len, out, ret_used);
    }
}

enum ch_err ch_http_body_feed(struct ch_http_body *body, const char *data, size_t len, struct ch_buf *out,
                              size_t *ret_used)
{
    enum ch_err err = CH_OK;
    size_t used = 0, step;

    while (!err && used < len && body->step != CH_HTTP_BODY_DONE) {
        step = 0;
        err = take(body, data + used, len - used, out, &step);
        if (step == 0)
            break;
        used += step;
    }
    *ret_used = used;
    return err;
}
