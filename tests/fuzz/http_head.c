// SPDX-License-Identifier: Apache-2.0
// One request from bytes: scan, head, body. The first byte says in which pieces the body comes; whole and in pieces it
// must be the same body and end at the same byte, for two readers who see different ends are how requests are smuggled.
#include "fuzz.h"

#include "../../chassis/src/io/http_head.h"

enum { HEADERS_MAX = 64, HEAD_MAX = 32 * 1024, BODY_MAX = 64 * 1024 };

static size_t count_of(const struct ch_http_head *head, const char *name)
{
    size_t count = 0;

    for (size_t i = 0; i < head->header_count; i++)
        count += ch_str_ieq(head->headers[i].name, ch_str_of(name));
    return count;
}

static bool is_clean(struct ch_str text)
{
    for (size_t i = 0; i < text.len; i++)
        if ((unsigned char)text.data[i] < 0x20 && text.data[i] != '\t')
            return false;
    return true;
}

// What RFC 9112 calls ambiguous was refused.
static void check_head(const struct ch_http_head *head, struct ch_str whole)
{
    MUST(head->path.len > 0 && (head->path.data[0] == '/' || ch_str_is(head->path, "*")));
    MUST(head->path.data[0] == '/' || head->method == CH_OPTIONS);
    MUST(ch_utf8_is_valid(head->path) && ch_utf8_is_valid(head->query));
    MUST(!memchr(head->path.data, '?', head->path.len) && !memchr(head->path.data, ' ', head->path.len));
    MUST(fuzz_is_within(head->query, whole) && fuzz_is_within(head->method_text, whole));
    MUST(ch_http_is_token(head->method_text));
    MUST(head->is_http10 || count_of(head, "Host") == 1);
    MUST(count_of(head, "Content-Length") <= 1 && count_of(head, "Authorization") <= 1);
    MUST(count_of(head, "Transfer-Encoding") + count_of(head, "Content-Length") <= 1);
    MUST(head->is_chunked == (count_of(head, "Transfer-Encoding") == 1));
    MUST(!head->is_chunked || !head->is_http10);
    for (size_t i = 0; i < head->header_count; i++) {
        MUST(ch_http_is_token(head->headers[i].name));
        MUST(is_clean(head->headers[i].value));
        MUST(fuzz_is_within(head->headers[i].name, whole) && fuzz_is_within(head->headers[i].value, whole));
    }
}

// The scan of a head that grows byte by byte ends where that of the whole did.
static void check_scan(struct ch_str bytes, enum ch_err want, size_t want_end)
{
    struct ch_http_scan scan = {0};
    enum ch_err err = CH_OK;
    size_t end = 0;

    for (size_t len = 0; len <= bytes.len && !err && end == 0; len++)
        err = ch_http_scan(&scan, bytes.data, len, HEAD_MAX, HEADERS_MAX + 1, &end);
    MUST(err == want && end == want_end);
}

struct read {
    enum ch_err err;
    size_t used;
    enum ch_http_body_step step;
};

// As a connection does it: what was not used is offered again with what came after it.
static struct read read_body(const struct ch_http_head *head, struct ch_str bytes, size_t piece, struct ch_buf *out)
{
    struct read result = {0};
    struct ch_http_body body;
    size_t offered = 0, used = 0;

    ch_http_body_init(&body, head);
    while (!result.err && body.step != CH_HTTP_BODY_DONE && offered < bytes.len) {
        offered = bytes.len - offered > piece ? offered + piece : bytes.len;
        result.err = ch_http_body_feed(&body, bytes.data + result.used, offered - result.used, out, &used);
        MUST(used <= offered - result.used);
        result.used += used;
    }
    result.step = body.step;
    return result;
}

static void check_body(const struct ch_http_head *head, struct ch_str bytes, size_t piece)
{
    struct ch_buf whole, pieces;

    ch_buf_init(&whole, BODY_MAX);
    ch_buf_init(&pieces, BODY_MAX);
    const struct read a = read_body(head, bytes, bytes.len + 1, &whole);
    const struct read b = read_body(head, bytes, piece, &pieces);
    MUST(a.err == b.err);
    if (!a.err) {
        MUST(a.step == b.step && a.used == b.used);
        MUST(ch_str_eq(ch_buf_str(&whole), ch_buf_str(&pieces)));
        MUST(head->is_chunked || a.step != CH_HTTP_BODY_DONE || whole.len == head->content_length);
    }
    ch_buf_release(&whole);
    ch_buf_release(&pieces);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    const struct ch_str bytes = {(const char *)data + 1, len - 1};
    struct ch_http_header headers[HEADERS_MAX];
    struct ch_http_head head = {.headers = headers, .headers_max = HEADERS_MAX};
    struct ch_http_scan scan = {0};
    size_t end = 0;

    if (len == 0)
        return 0;
    const enum ch_err err = ch_http_scan(&scan, bytes.data, bytes.len, HEAD_MAX, HEADERS_MAX + 1, &end);
    check_scan(bytes, err, end);
    if (err || end == 0)
        return 0;
    MUST(end <= bytes.len && memcmp(bytes.data + end - 2, "\r\n", 2) == 0);
    if (ch_http_head_parse(bytes.data, end, &head))
        return 0;
    check_head(&head, (struct ch_str){bytes.data, end});
    check_body(&head, (struct ch_str){bytes.data + end, bytes.len - end}, 1 + data[0] % 32);
    return 0;
}
