// SPDX-License-Identifier: Apache-2.0
// Replies: whole ones, problems, streams. The head is put together in a buffer of the server and leaves with the body
// in one call. Never lets a control character into a head: a value that holds one is our bug and becomes a 500.
#include "http_internal.h"

#include <http_parser.h>
#include <stdio.h>
#include <time.h>

#define SMALL_BODY 4096

static const char *const method_names[] = {
    [CH_GET] = "GET",     [CH_HEAD] = "HEAD",     [CH_POST] = "POST",       [CH_PUT] = "PUT",
    [CH_PATCH] = "PATCH", [CH_DELETE] = "DELETE", [CH_OPTIONS] = "OPTIONS", [CH_METHOD_OTHER] = "_OTHER",
};

const char *ch_http_method_name(enum ch_http_method method)
{
    return method >= CH_GET && method <= CH_METHOD_OTHER ? method_names[method] : method_names[CH_METHOD_OTHER];
}

static struct ch_str join_headers(const struct ch_http_exchange *x, struct ch_str name, size_t first)
{
    struct ch_str joined = x->headers[first].value;

    for (size_t i = first + 1; i < x->header_count; i++) {
        struct ch_str value = x->headers[i].value;
        char *text;

        if (!ch_str_ieq(x->headers[i].name, name))
            continue;
        text = ch_arena_printf(x->arena, "%.*s, %.*s", CH_STR_ARG(joined), CH_STR_ARG(value));
        if (!text)
            return joined;
        joined = ch_str_of(text);
    }
    return joined;
}

struct ch_str ch_http_header(const struct ch_http_exchange *x, const char *name)
{
    struct ch_str wanted = ch_str_of(name);

    for (size_t i = 0; i < x->header_count; i++)
        if (x->headers[i].name.len == wanted.len && ch_str_ieq(x->headers[i].name, wanted))
            return join_headers(x, wanted, i);
    return (struct ch_str){0};
}

// ---- the head ----

static bool is_clean(struct ch_str s)
{
    for (size_t i = 0; i < s.len; i++) {
        unsigned char c = (unsigned char)s.data[i];

        if ((c < 0x20 && c != '\t') || c == 0x7f)
            return false;
    }
    return true;
}

static bool are_clean(const struct ch_http_header *extra, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (!is_clean(extra[i].name) || !is_clean(extra[i].value))
            return false;
    return true;
}

// IMF-fixdate (RFC 9110, 5.6.7), made anew once in a second; never in the process's locale.
static const char *date_now(struct ch_http_server *server)
{
    static const char days[7][4] = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
    static const char months[12][4] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                       "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
    time_t now = time(NULL);
    struct tm tm;

    if (now == server->date_s || !gmtime_r(&now, &tm))
        return server->date;
    server->date_s = now;
    (void)snprintf(server->date, sizeof(server->date), "%s, %02d %s %04d %02d:%02d:%02d GMT", days[tm.tm_wday],
                   tm.tm_mday, months[tm.tm_mon], tm.tm_year + 1900, tm.tm_hour, tm.tm_min,
                   tm.tm_sec); // fits until the year 9999
    return server->date;
}

static void head_begin(struct ch_http_exchange *x, int status, const char *content_type)
{
    struct ch_http_server *server = x->conn->server;
    struct ch_buf *head = &server->head;

    if (server->is_leaving || server->is_draining)
        x->conn->is_last = true;
    ch_buf_reset(head);
    ch_buf_append(head, "HTTP/1.1 ", 9);
    ch_buf_append_int64(head, status);
    ch_buf_append_char(head, ' ');
    ch_buf_append_cstr(head, http_status_str((enum http_status)status));
    ch_buf_append(head, "\r\nDate: ", 8);
    ch_buf_append_cstr(head, date_now(server));
    if (content_type) {
        ch_buf_append(head, "\r\nContent-Type: ", 16);
        ch_buf_append_cstr(head, content_type);
    }
    ch_buf_append_str(head, CH_STR("\r\nX-Content-Type-Options: nosniff"));
}

static void head_extra(struct ch_buf *head, const struct ch_http_header *extra, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        ch_buf_append(head, "\r\n", 2);
        ch_buf_append_str(head, extra[i].name);
        ch_buf_append(head, ": ", 2);
        ch_buf_append_str(head, extra[i].value);
    }
}

static struct ch_str head_end(struct ch_http_exchange *x)
{
    struct ch_buf *head = &x->conn->server->head;

    if (x->conn->is_last)
        ch_buf_append_str(head, CH_STR("\r\nConnection: close"));
    ch_buf_append(head, "\r\n\r\n", 4);
    return ch_buf_str(head);
}

// ---- whole replies ----

void ch_http_reply(struct ch_http_exchange *x, int status, const char *content_type, const struct ch_http_header *extra,
                   size_t extra_count, struct ch_str body)
{
    bool has_body = status != 204 && status != 304;
    struct ch_buf *head = &x->conn->server->head;
    struct ch_str head_text;

    if (x->is_replied) {
        ch_log(CH_LOG_ERROR, NULL, "http.replied_twice", CH_LSTR("path", x->path));
        return;
    }
    if (status < 200 || status > 599 || !is_clean(ch_str_of(content_type)) || !are_clean(extra, extra_count)) {
        ch_log(CH_LOG_ERROR, NULL, "http.bad_reply_head", CH_LSTR("path", x->path));
        ch_http_reply_problem(x, CH_ERR_INTERNAL, NULL);
        return;
    }
    head_begin(x, status, has_body ? content_type : NULL);
    if (has_body) {
        ch_buf_append(head, "\r\nContent-Length: ", 18);
        ch_buf_append_int64(head, (int64_t)body.len);
    }
    head_extra(head, extra, extra_count);
    head_text = head_end(x);
    if (head->len > CH_HTTP_REPLY_HEAD_MAX || head->is_full) {
        ch_log(CH_LOG_ERROR, NULL, "http.reply_head_too_large", CH_LSTR("path", x->path));
        ch_http_reply_problem(x, CH_ERR_INTERNAL, NULL);
        return;
    }
    if (!has_body || x->method == CH_HEAD)
        body = (struct ch_str){0};
    x->is_replied = true;
    x->status = status;
    x->reply_bytes = body.len;
    if (body.len <= SMALL_BODY) { // one piece is cheaper for the kernel than two
        ch_buf_append_str(head, body);
        head_text = ch_buf_str(head);
        body = (struct ch_str){0};
    }
    ch_http_send(x->conn, head_text, body, (struct ch_str){0});
}

// One to three seconds, by chance: those who were refused together must not come back together.
static struct ch_str retry_after(void)
{
    static const char *const seconds[] = {"1", "2", "3"};
    uint8_t chance;

    ch_random(&chance, sizeof(chance));
    return ch_str_of(seconds[chance % 3]);
}

void ch_http_reply_problem(struct ch_http_exchange *x, enum ch_err err, const struct ch_ctx *ctx)
{
    struct ch_buf *body = &x->conn->server->problem;
    struct ch_http_header extra = {0};
    int status;

    if (err == CH_ERR_CANCELLED) // 499 is for our own counting; whoever still listens may try again
        err = CH_ERR_UNAVAILABLE;
    status = ch_err_row(err)->http_status;
    if (status == 503 || status == 429)
        extra = (struct ch_http_header){CH_STR("Retry-After"), retry_after()};
    else if (status == 401 && ch_http_header(x, "Authorization").data) // a token came, and is wrong (RFC 6750, 3.1)
        extra = (struct ch_http_header){CH_STR("WWW-Authenticate"), CH_STR("Bearer error=\"invalid_token\"")};
    else if (status == 401)
        extra = (struct ch_http_header){CH_STR("WWW-Authenticate"), CH_STR("Bearer")};
    ch_buf_reset(body);
    ch_problem_write(body, err, ctx);
    if (body->is_full && ctx) { // faults echo names from the input, and those may be long
        struct ch_ctx brief = {.trace = ctx->trace};

        ch_buf_reset(body);
        ch_problem_write(body, err, &brief);
    }
    ch_http_reply(x, status, "application/problem+json", &extra, extra.name.len > 0 ? 1 : 0, ch_buf_str(body));
}

// ---- streams ----

static bool is_over(const struct ch_http_conn *conn)
{
    return conn->is_eof || conn->is_broken || conn->is_cancelled;
}

enum ch_err ch_http_stream_start(struct ch_http_exchange *x, int status, const char *content_type)
{
    // Caches and proxies must pass each piece on at once.
    static const struct ch_http_header live[] = {{{"Cache-Control", 13}, {"no-store", 8}},
                                                 {{"X-Accel-Buffering", 17}, {"no", 2}}};
    static const struct ch_http_header chunked = {{"Transfer-Encoding", 17}, {"chunked", 7}};
    struct ch_http_conn *conn = x->conn;
    struct ch_buf *head = &conn->server->head;

    if (conn->server->is_draining) {
        ch_http_reply_problem(x, CH_ERR_UNAVAILABLE, NULL);
        return CH_ERR_CANCELLED;
    }
    if (x->is_replied || status < 200 || status > 599 || !is_clean(ch_str_of(content_type)))
        return CH_ERR_INTERNAL;
    x->is_replied = true;
    x->status = status;
    if (is_over(conn)) {
        conn->is_last = true;
        x->status = ch_err_row(CH_ERR_CANCELLED)->http_status;
        return CH_ERR_CANCELLED;
    }
    head_begin(x, status, content_type);
    head_extra(head, live, sizeof(live) / sizeof(live[0]));
    conn->req->is_stream_open = x->method != CH_HEAD;
    conn->req->is_chunked_reply = !conn->req->is_http10;
    if (conn->req->is_chunked_reply)
        head_extra(head, &chunked, 1);
    conn->state = CH_HTTP_STREAMING;
    ch_http_send(conn, head_end(x), (struct ch_str){0}, (struct ch_str){0});
    return CH_OK;
}

static enum ch_err drained_wait(struct ch_http_conn *conn, int64_t deadline_ns)
{
    while (conn->out.len > 0) {
        int64_t stuck_ns = ch_now_ns() + conn->server->limits.write_timeout_ns;
        struct ch_wait wait = {0};
        enum ch_err err;

        conn->writer = &wait;
        err = ch_wait(&wait, deadline_ns < stuck_ns ? deadline_ns : stuck_ns);
        conn->writer = NULL;
        if (err == CH_ERR_DEADLINE && stuck_ns < deadline_ns) {
            conn->is_broken = true; // the peer reads no more
            return CH_ERR_CANCELLED;
        }
        if (err)
            return err;
    }
    return is_over(conn) ? CH_ERR_CANCELLED : CH_OK;
}

static enum ch_err piece_wait(struct ch_http_exchange *x, struct ch_str piece, int64_t deadline_ns)
{
    struct ch_http_conn *conn = x->conn;
    enum ch_err err = drained_wait(conn, deadline_ns);
    char size[24];

    if (err)
        return err;
    if (conn->req->is_chunked_reply) {
        int len = snprintf(size, sizeof(size), "%zx\r\n", piece.len);

        ch_http_send(conn, (struct ch_str){size, (size_t)len}, piece, CH_STR("\r\n"));
    } else {
        ch_http_send(conn, piece, (struct ch_str){0}, (struct ch_str){0});
    }
    x->reply_bytes += piece.len;
    return drained_wait(conn, deadline_ns);
}

enum ch_err ch_http_stream_write_wait(struct ch_http_exchange *x, struct ch_str data, int64_t deadline_ns)
{
    enum ch_err err = CH_OK;

    if (x->conn->state != CH_HTTP_STREAMING || !x->conn->req->is_stream_open || is_over(x->conn))
        return CH_ERR_CANCELLED;
    while (!err && data.len > 0) {
        size_t len = data.len < CH_HTTP_STREAM_PIECE ? data.len : CH_HTTP_STREAM_PIECE;

        err = piece_wait(x, (struct ch_str){data.data, len}, deadline_ns);
        data.data += len;
        data.len -= len;
    }
    return err;
}

void ch_http_stream_end(struct ch_http_conn *conn)
{
    if (conn->state == CH_HTTP_STREAMING && conn->req->is_stream_open && conn->req->is_chunked_reply)
        ch_http_send(conn, CH_STR("0\r\n\r\n"), (struct ch_str){0}, (struct ch_str){0});
}
