// SPDX-License-Identifier: Apache-2.0
// The head of a request. Three readers in a row: a scan of the raw bytes, http_parser for the grammar, and a table of
// rules for the fields. Debian builds http_parser without its strict mode: it takes bare LF, a space in a field name, a
// tab or a fragment in the target, two spaces between the words. So nothing may rely on the parser alone; what it lets
// pass is refused here, before anything downstream sees it.
#include "http_head.h"

#include <http_parser.h>
#include <strings.h>

// ---- the scan ----

static bool is_text(unsigned char c)
{
    return c >= 0x20 ? c != 0x7f : c == '\t';
}

// The byte at pos is no text: the end of a line, or an error. False: more bytes are needed.
static bool scan_line_end(struct ch_http_scan *scan, const char *data, size_t len, enum ch_err *ret_err,
                          bool *ret_is_empty)
{
    if (data[scan->pos] != '\r') {
        *ret_err = CH_ERR_BAD_SYNTAX;
        return true;
    }
    if (scan->pos + 1 == len)
        return false;
    *ret_err = data[scan->pos + 1] == '\n' ? CH_OK : CH_ERR_BAD_SYNTAX;
    *ret_is_empty = scan->pos == scan->line_start;
    scan->pos += 2;
    scan->line_start = scan->pos;
    scan->lines++;
    return true;
}

enum ch_err ch_http_scan(struct ch_http_scan *scan, const char *data, size_t len, size_t bytes_max, size_t lines_max,
                         size_t *ret_end)
{
    size_t stop = len < bytes_max ? len : bytes_max;
    bool is_end = false;
    enum ch_err err = CH_OK;

    *ret_end = 0;
    while (scan->pos < stop) {
        unsigned char c = (unsigned char)data[scan->pos];

        if (is_text(c)) {
            if (scan->pos == scan->line_start && (c == ' ' || c == '\t'))
                return CH_ERR_BAD_SYNTAX;
            scan->pos++;
            continue;
        }
        if (!scan_line_end(scan, data, stop, &err, &is_end))
            break;
        if (err)
            return err;
        if (is_end) {
            *ret_end = scan->pos;
            return CH_OK;
        }
        if (scan->lines > lines_max)
            return CH_ERR_HEADERS_TOO_LARGE;
    }
    return len >= bytes_max ? CH_ERR_HEADERS_TOO_LARGE : CH_OK;
}

// ---- the parser ----

struct parse {
    struct ch_http_head *head;
    struct ch_str target;
    bool is_complete;
    bool is_too_many;
};

static int on_url(http_parser *parser, const char *at, size_t len)
{
    struct parse *parse = parser->data;

    parse->target = (struct ch_str){at, len};
    return 0;
}

static int on_field(http_parser *parser, const char *at, size_t len)
{
    struct parse *parse = parser->data;
    struct ch_http_head *head = parse->head;

    if (head->header_count == head->headers_max) {
        parse->is_too_many = true;
        return 1;
    }
    head->headers[head->header_count++] = (struct ch_http_header){.name = {at, len}};
    return 0;
}

static int on_value(http_parser *parser, const char *at, size_t len)
{
    struct parse *parse = parser->data;

    while (len > 0 && (at[len - 1] == ' ' || at[len - 1] == '\t'))
        len--;
    parse->head->headers[parse->head->header_count - 1].value = (struct ch_str){at, len};
    return 0;
}

// Answers "no body follows": the body is read by http_body.c, which is strict where this parser is not.
static int on_head_complete(http_parser *parser)
{
    struct parse *parse = parser->data;

    parse->is_complete = true;
    parse->head->content_length = parser->flags & F_CONTENTLENGTH ? parser->content_length : 0;
    parse->head->is_last = !http_should_keep_alive(parser) || parser->upgrade;
    return 1;
}

static const http_parser_settings callbacks = {.on_url = on_url,
                                               .on_header_field = on_field,
                                               .on_header_value = on_value,
                                               .on_headers_complete = on_head_complete};

static const enum ch_http_method methods[] = {
    [HTTP_GET] = CH_GET,     [HTTP_HEAD] = CH_HEAD,     [HTTP_POST] = CH_POST,       [HTTP_PUT] = CH_PUT,
    [HTTP_PATCH] = CH_PATCH, [HTTP_DELETE] = CH_DELETE, [HTTP_OPTIONS] = CH_OPTIONS,
};

static enum ch_http_method method_of(unsigned parsed)
{
    enum ch_http_method method = parsed < sizeof(methods) / sizeof(methods[0]) ? methods[parsed] : 0;

    return method ? method : CH_METHOD_OTHER;
}

static enum ch_err parser_error(enum http_errno number, struct ch_str method_text)
{
    switch (number) {
    case HPE_INVALID_METHOD:
        return ch_http_is_token(method_text) ? CH_ERR_UNIMPLEMENTED : CH_ERR_BAD_SYNTAX;
    case HPE_INVALID_VERSION:
        return CH_ERR_HTTP_VERSION;
    case HPE_HEADER_OVERFLOW:
        return CH_ERR_HEADERS_TOO_LARGE;
    default:
        return CH_ERR_BAD_SYNTAX;
    }
}

// ---- the request line ----

static bool is_target_char(unsigned char c)
{
    return c > 0x20 && c != 0x7f && !strchr("\"#<>\\", c); // bytes past 0x7f are looked at as UTF-8
}

static bool is_target(struct ch_str target)
{
    for (size_t i = 0; i < target.len; i++)
        if (!is_target_char((unsigned char)target.data[i]))
            return false;
    return target.len > 0 && ch_utf8_is_valid(target);
}

// absolute-form: what stands behind scheme and authority. The authority counts for nothing here: one server, one site.
static enum ch_err origin_of(struct ch_str target, struct ch_str *ret_origin)
{
    static const struct ch_str schemes[] = {{"http://", 7}, {"https://", 8}};
    static const struct ch_str root = {"/", 1};

    for (size_t i = 0; i < sizeof(schemes) / sizeof(schemes[0]); i++) {
        size_t pos = schemes[i].len;

        if (target.len < pos || strncasecmp(target.data, schemes[i].data, pos) != 0)
            continue;
        while (pos < target.len && target.data[pos] != '/' && target.data[pos] != '?')
            pos++;
        if (pos == schemes[i].len)
            return CH_ERR_BAD_SYNTAX;
        *ret_origin = pos < target.len ? (struct ch_str){target.data + pos, target.len - pos} : root;
        return CH_OK;
    }
    return CH_ERR_BAD_SYNTAX;
}

static enum ch_err split_target(struct ch_str target, struct ch_http_head *head)
{
    const char *mark;
    enum ch_err err;

    if (target.len > CH_HTTP_TARGET_MAX)
        return CH_ERR_URI_TOO_LONG;
    if (!is_target(target))
        return CH_ERR_BAD_SYNTAX;
    if (ch_str_is(target, "*")) {
        head->path = target;
        return head->method == CH_OPTIONS ? CH_OK : CH_ERR_BAD_SYNTAX;
    }
    if (target.data[0] != '/') {
        err = origin_of(target, &target);
        if (err)
            return err;
    }
    mark = memchr(target.data, '?', target.len);
    head->path = (struct ch_str){target.data, mark ? (size_t)(mark - target.data) : target.len};
    if (mark)
        head->query = (struct ch_str){mark + 1, target.len - head->path.len - 1};
    if (head->path.len == 0)
        head->path = CH_STR("/");
    return CH_OK;
}

// Exactly: method SP target SP HTTP/d.d CRLF.
static bool is_request_line(const char *data, size_t len, struct ch_str method_text, struct ch_str target)
{
    const char *behind = target.data + target.len;

    return target.data == data + method_text.len + 1 && (size_t)(data + len - behind) > sizeof(" HTTP/1.1\r\n") - 1 &&
           memcmp(behind, " HTTP/", 6) == 0 && memcmp(behind + 9, "\r\n", 2) == 0;
}

// ---- the fields ----

enum field_id { FIELD_OTHER, FIELD_HOST, FIELD_TRANSFER_ENCODING, FIELD_EXPECT, FIELD_SINGLE };

// Fields that may stand once only. Two of them are either an attack or a mistake that must not be guessed away.
static const struct field {
    struct ch_str name;
    enum field_id id;
} fields[] = {
    {CH_STR("Host"), FIELD_HOST},
    {CH_STR("Transfer-Encoding"), FIELD_TRANSFER_ENCODING},
    {CH_STR("Expect"), FIELD_EXPECT},
    {CH_STR("Content-Length"), FIELD_SINGLE},
    {CH_STR("Content-Type"), FIELD_SINGLE},
    {CH_STR("Content-Range"), FIELD_SINGLE},
    {CH_STR("Authorization"), FIELD_SINGLE},
    {CH_STR("Proxy-Authorization"), FIELD_SINGLE},
    {CH_STR("Idempotency-Key"), FIELD_SINGLE},
    {CH_STR("If-Match"), FIELD_SINGLE},
    {CH_STR("If-Modified-Since"), FIELD_SINGLE},
    {CH_STR("If-Unmodified-Since"), FIELD_SINGLE},
    {CH_STR("If-Range"), FIELD_SINGLE},
    {CH_STR("Range"), FIELD_SINGLE},
    {CH_STR("Origin"), FIELD_SINGLE},
    {CH_STR("traceparent"), FIELD_SINGLE},
};
#define FIELDS (sizeof(fields) / sizeof(fields[0]))

bool ch_http_is_token(struct ch_str s)
{
    static const bool signs[128] = {
        ['!'] = 1, ['#'] = 1, ['$'] = 1, ['%'] = 1, ['&'] = 1, ['\''] = 1, ['*'] = 1, ['+'] = 1,
        ['-'] = 1, ['.'] = 1, ['^'] = 1, ['_'] = 1, ['`'] = 1, ['|'] = 1,  ['~'] = 1};

    for (size_t i = 0; i < s.len; i++) {
        unsigned char c = (unsigned char)s.data[i], letter = c | 0x20;

        if (!((letter >= 'a' && letter <= 'z') || (c >= '0' && c <= '9') || (c < 128 && signs[c])))
            return false;
    }
    return s.len > 0;
}

// uri-host and port (RFC 9110, 7.2), as far as characters go.
static bool is_host(struct ch_str host)
{
    for (size_t i = 0; i < host.len; i++) {
        unsigned char c = (unsigned char)host.data[i];

        if (!ch_http_is_token((struct ch_str){host.data + i, 1}) && !strchr(":[]()=;", c))
            return false;
        if (c == '#' || c == '^' || c == '`' || c == '|' || c == '\0')
            return false;
    }
    return host.len > 0;
}

static enum ch_err check_field(struct ch_http_head *head, enum field_id id, struct ch_str value)
{
    switch (id) {
    case FIELD_HOST:
        return is_host(value) ? CH_OK : CH_ERR_BAD_SYNTAX;
    case FIELD_TRANSFER_ENCODING:
        head->is_chunked = ch_str_ieq(value, CH_STR("chunked"));
        return head->is_chunked && !head->is_http10 ? CH_OK : CH_ERR_BAD_SYNTAX;
    case FIELD_EXPECT:
        if (head->is_http10)
            return CH_OK;
        head->expects_continue = ch_str_ieq(value, CH_STR("100-continue"));
        return head->expects_continue ? CH_OK : CH_ERR_EXPECTATION_FAILED;
    default:
        return CH_OK;
    }
}

static size_t field_find(struct ch_str name)
{
    size_t i = 0;

    while (i < FIELDS && !(name.len == fields[i].name.len && ch_str_ieq(name, fields[i].name)))
        i++;
    return i;
}

static enum ch_err check_fields(struct ch_http_head *head)
{
    unsigned seen = 0;
    enum ch_err err, late = CH_OK;

    for (size_t i = 0; i < head->header_count; i++) {
        size_t field = field_find(head->headers[i].name);

        if (!ch_http_is_token(head->headers[i].name))
            return CH_ERR_BAD_SYNTAX;
        if (field == FIELDS)
            continue;
        if (seen & 1u << field)
            return CH_ERR_BAD_SYNTAX;
        seen |= 1u << field;
        err = check_field(head, fields[field].id, head->headers[i].value);
        if (err == CH_ERR_BAD_SYNTAX)
            return err;
        if (err)
            late = err; // 417 is for a request that is well-formed
    }
    if (!(seen & 1) && !head->is_http10) // Host is the first row
        return CH_ERR_BAD_SYNTAX;
    return late;
}

// ---- all of it ----

enum ch_err ch_http_head_parse(const char *data, size_t len, struct ch_http_head *ret_head)
{
    struct parse parse = {.head = ret_head};
    const char *space = memchr(data, ' ', len);
    http_parser parser;
    enum ch_err err;

    http_parser_init(&parser, HTTP_REQUEST);
    parser.data = &parse;
    (void)http_parser_execute(&parser, &callbacks, data, len); // what it thinks is in http_errno and is_complete
    ret_head->method_text = (struct ch_str){data, space ? (size_t)(space - data) : 0};
    ret_head->method = method_of(parser.method);
    if (parse.is_too_many)
        return CH_ERR_HEADERS_TOO_LARGE;
    if (parse.target.len > CH_HTTP_TARGET_MAX)
        return CH_ERR_URI_TOO_LONG;
    if (HTTP_PARSER_ERRNO(&parser) != HPE_OK)
        return parser_error(HTTP_PARSER_ERRNO(&parser), ret_head->method_text);
    if (parser.http_major != 1 || parser.http_minor > 1)
        return CH_ERR_HTTP_VERSION;
    if (!parse.is_complete || !is_request_line(data, len, ret_head->method_text, parse.target))
        return CH_ERR_BAD_SYNTAX;
    ret_head->is_http10 = parser.http_minor == 0;
    ret_head->is_last |= ret_head->is_http10;
    err = check_fields(ret_head);
    if (err)
        return err;
    if (parser.method == HTTP_CONNECT)
        return CH_ERR_UNIMPLEMENTED;
    return split_target(parse.target, ret_head);
}
