// SPDX-License-Identifier: Apache-2.0
// Reading one HTTP/1.1 request from bytes (RFC 9110, 9112): the head, then the body. Pure functions on memory: no
// socket, no loop, no clock, so that tests and fuzzers reach them directly. Whatever RFC 9112 calls invalid or
// ambiguous is an error here and never repaired.
#ifndef CH_HTTP_HEAD_H
#define CH_HTTP_HEAD_H

#include "ch/http.h"

#define CH_HTTP_TARGET_MAX     8192 // bytes of the request target: 414
#define CH_HTTP_TRAILERS_MAX   8192 // bytes of a chunked body's trailer section: 431
#define CH_HTTP_TRAILER_MAX    32   // fields of it: 431
#define CH_HTTP_CHUNK_LINE_MAX 1024 // bytes of one chunk-size line with its extensions: 400
#define CH_HTTP_EXTENSIONS_MAX 4096 // bytes of chunk-size lines beyond their digits in one body: 400

/** Looks for the empty line that ends a section of fields and refuses bytes that may stand in none: NUL and other
 * controls, CR without LF, LF without CR, a line that begins with a space (obs-fold). Goes on where it stopped when
 * more bytes came. */
struct ch_http_scan {
    size_t pos;        // first byte not yet looked at
    size_t line_start; // of the line in which pos lies
    size_t lines;      // complete ones before it
};
/** Zero the scan first. `data` is always the whole section so far. CH_OK with *ret_end 0: more bytes are needed; else
 * *ret_end is the length of the section with its empty line. CH_ERR_BAD_SYNTAX, CH_ERR_HEADERS_TOO_LARGE. */
CH_MUST_CHECK enum ch_err ch_http_scan(struct ch_http_scan *scan, const char *data, size_t len, size_t bytes_max,
                                       size_t lines_max, size_t *ret_end);

/** What the head says. The slices point into the bytes that were parsed. */
struct ch_http_head {
    struct ch_http_header *headers; // the caller's array
    size_t headers_max;
    size_t header_count;
    enum ch_http_method method;
    struct ch_str method_text, path, query;
    bool is_chunked;
    bool is_http10;
    bool is_last;          // the connection closes after this request
    bool expects_continue; // the client waits for 100 before it sends the body
    uint64_t content_length;
};
/** `data` is a whole head that ch_http_scan has passed. On failure `ret_head` holds what was understood so far. */
CH_MUST_CHECK enum ch_err ch_http_head_parse(const char *data, size_t len, struct ch_http_head *ret_head);

/** A field line's name: letters, digits and the few signs of a token (RFC 9110, 5.6.2); at least one. */
bool ch_http_is_token(struct ch_str s);

enum ch_http_body_step {
    CH_HTTP_BODY_LENGTH, // `left` bytes, then done
    CH_HTTP_BODY_SIZE,   // a chunk-size line
    CH_HTTP_BODY_CHUNK,  // `left` bytes, then
    CH_HTTP_BODY_CRLF,   // the line end behind the chunk
    CH_HTTP_BODY_TRAILERS,
    CH_HTTP_BODY_DONE,
};
struct ch_http_body {
    enum ch_http_body_step step;
    uint64_t left;
    size_t extensions; // bytes of chunk-size lines that were no digits, so far
    struct ch_http_scan trailers;
};
void ch_http_body_init(struct ch_http_body *body, const struct ch_http_head *head);
/** Takes what it can from `data` and appends content to `out`. *ret_used may be less than `len`: the rest begins a line
 * that is not complete, or belongs to the next request. CH_ERR_TOO_LARGE when `out` is full. */
CH_MUST_CHECK enum ch_err ch_http_body_feed(struct ch_http_body *body, const char *data, size_t len, struct ch_buf *out,
                                            size_t *ret_used);

#endif
