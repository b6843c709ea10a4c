// SPDX-License-Identifier: Apache-2.0
// From bytes to a handler and back: reads a head, then a body, starts the fiber that handles the request, and ends it.
// What cannot be understood is answered here, without a fiber, and is the connection's last.
#include "http_internal.h"

// ---- handling ----

static void request_run(void *arg)
{
    struct ch_http_conn *conn = arg;
    struct ch_http_server *server = conn->server;
    struct ch_http_exchange *x = &conn->req->x;

    conn->fiber = ch_fiber_current();
    server->handler(x, server->arg);
    conn->fiber = NULL;
    ch_http_stream_end(conn);
    if (!x->is_replied) {
        ch_log(CH_LOG_ERROR, NULL, "http.handler_without_reply", CH_LSTR("path", x->path));
        ch_http_reply_problem(x, CH_ERR_INTERNAL, NULL);
    }
    ch_http_request_done(conn);
}

static void dispatch(struct ch_http_conn *conn)
{
    struct ch_http_exchange *x = &conn->req->x;
    enum ch_err err;

    ch_http_timer_clear(conn);
    conn->state = CH_HTTP_HANDLING;
    x->body = ch_buf_str(&conn->req->body);
    x->received_ns = ch_now_ns();
    err = ch_fiber_start(conn->server->loop, request_run, conn);
    if (err) {
        ch_http_reply_problem(x, CH_ERR_OVERLOADED, NULL);
        ch_http_request_done(conn);
    }
}

void ch_http_request_done(struct ch_http_conn *conn)
{
    ch_http_request_give(conn);
    ch_http_conn_account(conn);
    if (conn->is_broken) {
        ch_http_conn_close(conn);
        return;
    }
    conn->state = CH_HTTP_WRITING;
    if (conn->out.len > 0)
        ch_http_timer_set(conn, CH_HTTP_T_WRITE);
    else
        ch_http_conn_sent(conn);
}

void ch_http_conn_reject(struct ch_http_conn *conn, enum ch_err err)
{
    ch_http_timer_clear(conn);
    conn->is_last = true;
    if (!conn->req && !ch_http_request_take(conn)) {
        ch_http_conn_close(conn);
        return;
    }
    ch_http_reply_problem(&conn->req->x, err, NULL);
    ch_http_request_done(conn);
}

// ---- reading ----

static enum ch_err head_read(struct ch_http_conn *conn, const char *data, size_t len)
{
    struct ch_http_request *req = conn->req;
    struct ch_http_exchange *x = &req->x;
    struct ch_http_head head = {.headers = req->headers, .headers_max = conn->server->limits.headers_max};
    char *copy = ch_arena_strdup(req->arena, (struct ch_str){data, len}); // the slices must outlive the read buffer
    enum ch_err err;

    if (!copy)
        return CH_ERR_NO_MEMORY;
    err = ch_http_head_parse(copy, len, &head);
    x->method = head.method;
    if (err)
        return err;
    x->method_text = head.method_text;
    x->path = head.path;
    x->query = head.query;
    x->headers = req->headers;
    x->header_count = head.header_count;
    req->is_http10 = head.is_http10;
    conn->is_last |= head.is_last;
    if (head.content_length > conn->server->limits.body_max)
        return CH_ERR_TOO_LARGE;
    ch_http_body_init(&req->reader, &head);
    req->expects_continue = head.expects_continue && req->reader.step != CH_HTTP_BODY_DONE;
    return CH_OK;
}

// One empty line before a request line is forgiven (RFC 9112, 2.2).
static size_t skip_crlf(struct ch_http_conn *conn, const char *data, size_t len)
{
    if (conn->has_skipped_crlf || conn->scan.pos > 0 || len < 2 || data[0] != '\r' || data[1] != '\n')
        return 0;
    conn->has_skipped_crlf = true;
    return 2;
}

static enum ch_err find_head(struct ch_http_conn *conn, const char *data, size_t len, size_t *ret_end)
{
    const struct ch_http_limits *limits = &conn->server->limits;
    enum ch_err err;

    if (len == 1 && data[0] == '\r' && conn->scan.pos == 0) // could be the empty line
        return CH_OK;
    err = ch_http_scan(&conn->scan, data, len, limits->head_max, limits->headers_max + 1, ret_end);
    if (conn->scan.lines == 0 && conn->scan.pos > CH_HTTP_TARGET_MAX + sizeof("OPTIONS  HTTP/1.1"))
        return CH_ERR_URI_TOO_LONG;
    return *ret_end > 0 && conn->scan.lines == 1 ? CH_ERR_BAD_SYNTAX : err; // nothing but an empty line
}

static size_t consume_head(struct ch_http_conn *conn, const char *data, size_t len)
{
    size_t skipped = skip_crlf(conn, data, len), end = 0;
    enum ch_err err = CH_OK;

    if (len > skipped)
        err = find_head(conn, data + skipped, len - skipped, &end);
    if (!err && end == 0) {
        if (conn->state == CH_HTTP_IDLE && len > skipped) {
            conn->state = CH_HTTP_HEAD;
            ch_http_timer_set(conn, CH_HTTP_T_HEAD);
        }
        return skipped;
    }
    conn->scan = (struct ch_http_scan){0};
    conn->is_fresh = false;
    if (!err)
        err = ch_http_request_take(conn) ? head_read(conn, data + skipped, end) : CH_ERR_NO_MEMORY;
    if (err)
        ch_http_conn_reject(conn, err);
    else
        conn->state = CH_HTTP_BODY;
    return skipped + end;
}

static size_t consume_body(struct ch_http_conn *conn, const char *data, size_t len)
{
    struct ch_http_request *req = conn->req;
    size_t used = 0;
    enum ch_err err = ch_http_body_feed(&req->reader, data, len, &req->body, &used);

    ch_http_conn_account(conn);
    if (!err && ch_http_is_over_budget(conn->server))
        err = CH_ERR_OVERLOADED;
    if (err) {
        ch_http_conn_reject(conn, err);
    } else if (req->reader.step == CH_HTTP_BODY_DONE) {
        dispatch(conn);
    } else if (conn->timer.next == NULL || conn->timer.kind != CH_HTTP_T_BODY) {
        ch_http_timer_set(conn, CH_HTTP_T_BODY);
        if (req->expects_continue && len == 0)
            ch_http_send(conn, CH_STR("HTTP/1.1 100 Continue\r\n\r\n"), (struct ch_str){0}, (struct ch_str){0});
    }
    return used;
}

size_t ch_http_consume(struct ch_http_conn *conn, const char *data, size_t len)
{
    size_t used = 0;

    if (conn->state != CH_HTTP_BODY)
        used = consume_head(conn, data, len);
    if (conn->state == CH_HTTP_BODY)
        used += consume_body(conn, data + used, len - used);
    return used;
}
