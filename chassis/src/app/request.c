// SPDX-License-Identifier: Apache-2.0
// The way of every REST request: route, load, token, body, key, handler, answer; then metrics and the access log. A
// handler sees only requests that its row allows. It must never let out why a 500 happened, nor write what a client
// sent to a log.
#include "loop_state.h"

#include "body.h"

#include <assert.h>

#define TIMEOUT_HEADER "X-Envoy-Expected-Rq-Timeout-Ms"

/* ---- what the row demands
 * --------------------------------------------------------------------------------------------- */

// What the caller still has, as Envoy tells whoever is behind it; it can only shorten the deadline.
static enum ch_err check_timeout(struct ch_request *req)
{
    const struct ch_str text = ch_http_header(req->http, TIMEOUT_HEADER);
    int64_t timeout_ms;

    if (!text.data)
        return CH_OK;
    if (ch_str_to_int64(text, &timeout_ms) || timeout_ms < 1)
        return ch_fail(&req->ctx, CH_ERR_INVALID, TIMEOUT_HEADER, "format", "1 이상의 밀리초여야 합니다");
    if (timeout_ms < ch_settings.request_timeout_ms && req->ctx.deadline_ns != CH_NO_DEADLINE)
        req->ctx.deadline_ns = req->http->received_ns + timeout_ms * 1000000;
    return CH_OK;
}

static enum ch_err check_size(struct ch_request *req)
{
    const size_t max = req->route->body_max ? req->route->body_max : CH_BODY_MAX;

    if (req->http->body.len <= max)
        return CH_OK;
    return ch_fail(&req->ctx, CH_ERR_TOO_LARGE, NULL, NULL, "본문은 %zu바이트까지 보낼 수 있습니다", max);
}

static enum ch_err check_type(struct ch_request *req)
{
    if (req->http->body.len == 0 || (req->route->flags & CH_ROUTE_RAW_BODY))
        return CH_OK;
    return ch_body_check_json(req);
}

// draft-ietf-httpapi-idempotency-key-header, with the characters that the contract allows.
static bool is_key(struct ch_str key)
{
    if (key.len < 8 || key.len > 128)
        return false;
    for (size_t i = 0; i < key.len; i++) {
        const char c = key.data[i], lower = (char)(c | 0x20);

        if (!(c >= '0' && c <= '9') && !(lower >= 'a' && lower <= 'z') && c != '_' && c != '.' && c != ':' && c != '-')
            return false;
    }
    return true;
}

static enum ch_err check_key(struct ch_request *req)
{
    const struct ch_str key = ch_http_header(req->http, "Idempotency-Key");

    if (!(req->route->flags & CH_ROUTE_IDEMPOTENT))
        return CH_OK;
    if (!key.data)
        return ch_fail(&req->ctx, CH_ERR_INVALID, "Idempotency-Key", "required", "필요한 헤더입니다");
    if (!is_key(key))
        return ch_fail(&req->ctx, CH_ERR_INVALID, "Idempotency-Key", "format",
                       "영문자, 숫자, _ . : - 로 된 8자 이상 128자 이하여야 합니다");
    req->idempotency_key = key;
    return CH_OK;
}

static enum ch_err check_token_wait(struct ch_request *req)
{
    return ch_authorize_wait(ch_state_of(&req->ctx), &req->ctx, ch_http_header(req->http, "Authorization"),
                             (struct ch_access){.scope = req->route->scope});
}

static enum ch_err handle_wait(struct ch_request *req)
{
    req->ctx.step = "handle";
    return req->route->handle(req);
}

/** In this order: who may not ask learns nothing of what else is wrong. */
static enum ch_err (*const steps[])(struct ch_request *req) = {check_timeout, check_token_wait, check_size,
                                                               check_type,    check_key,        handle_wait};

static enum ch_shed_class shed_class(const struct ch_route *route)
{
    if (route->flags & CH_ROUTE_STREAM)
        return CH_SHED_STREAM;
    if (route->flags & CH_ROUTE_CHEAP)
        return CH_SHED_CHEAP;
    return route->method == CH_GET ? CH_SHED_READ : CH_SHED_NORMAL;
}

// What ended early says nothing of load; what was decided (409) had all the way to go.
static bool is_whole_way(enum ch_err err)
{
    return !err || ch_err_row(err)->http_status == 409;
}

static enum ch_err run_wait(struct ch_loop_state *state, struct ch_request *req)
{
    const enum ch_shed_class class = shed_class(req->route);
    enum ch_err err = ch_shed_enter(&state->shed, class);

    if (err)
        return err;
    for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]) && !err; i++)
        err = steps[i](req);
    ch_shed_leave(&state->shed, class);
    if (is_whole_way(err) && class != CH_SHED_STREAM) {
        const int64_t now_ns = ch_now_ns();

        ch_shed_learn(&state->shed, &state->route_usual[ch_route_index(state->routes, req->route)],
                      now_ns - req->http->received_ns, now_ns);
    }
    return err;
}

/* ---- the answer
 * ------------------------------------------------------------------------------------------------------- */

static void reply_options(struct ch_http_exchange *x, const char *allow)
{
    const struct ch_http_header header = {CH_STR("Allow"), ch_str_of(allow)};

    ch_http_reply(x, 204, NULL, &header, 1, (struct ch_str){0});
}

static void reply_wrong_method(struct ch_request *req, const char *allow)
{
    const struct ch_http_header header = {CH_STR("Allow"), ch_str_of(allow)};

    ch_buf_reset(&req->body);
    ch_problem_write(&req->body, CH_ERR_METHOD_NOT_ALLOWED, &req->ctx);
    ch_http_reply(req->http, ch_err_row(CH_ERR_METHOD_NOT_ALLOWED)->http_status, "application/problem+json", &header, 1,
                  ch_buf_str(&req->body));
}

static void reply(struct ch_request *req, const struct ch_route_match *match, enum ch_err err)
{
    if (req->http->is_replied) // a stream, or the handler itself
        return;
    if (!req->route && match->allow && req->http->method == CH_OPTIONS)
        reply_options(req->http, match->allow);
    else if (!req->route && match->allow)
        reply_wrong_method(req, match->allow);
    else if (err)
        ch_http_reply_problem(req->http, err, &req->ctx);
    else
        ch_http_reply(req->http, req->status, req->body.len > 0 ? req->content_type : NULL, req->extra,
                      req->extra_count, ch_buf_str(&req->body));
}

/* ---- what is told of it
 * ------------------------------------------------------------------------------------------------- */

void ch_failure_settle(struct ch_ctx *ctx, const char *event, enum ch_err err)
{
    const struct ch_err_row *row = ch_err_row(err);
    // Shedding and broken connections are counted; a line for each would be load on top of load.
    const bool is_ours = row->http_status >= 500 && err != CH_ERR_OVERLOADED;
    const bool is_bug = row->http_status == 500;

    if (is_ours)
        ch_log(is_bug ? CH_LOG_ERROR : CH_LOG_WARN, &ctx->trace, event, CH_LS("name", ctx->name),
               CH_LS("error", row->code), CH_LS("step", ctx->step), CH_LS("constraint", ctx->constraint));
    if (is_bug) {
        ctx->detail = NULL;
        ch_faults_init(&ctx->faults, ctx->arena);
    }
}

static void account(struct ch_loop_state *state, struct ch_request *req, enum ch_err err)
{
    const struct ch_http_exchange *x = req->http;
    const int64_t duration_ns = ch_now_ns() - x->received_ns;
    // Who went away got no answer, whatever was written; whom the end of a drain cut off got a 503.
    const bool is_stream = req->route && (req->route->flags & CH_ROUTE_STREAM);
    const bool has_left = err == CH_ERR_CANCELLED && (is_stream || x->is_gone);
    const int status = has_left ? ch_err_row(err)->http_status : x->status;

    if (state->is_admin)
        return;
    ch_stats_request(state, req->route, x->method, status, duration_ns);
    // Shedding is counted; a line for each would be load on top of load.
    ch_log(err == CH_ERR_OVERLOADED ? CH_LOG_DEBUG : CH_LOG_INFO, &req->ctx.trace, "http.request",
           CH_LS("method", ch_http_method_name(x->method)), CH_LS("route", req->ctx.name), CH_LI("status", status),
           CH_LI("duration_us", duration_ns / 1000), CH_LI("bytes", (int64_t)x->reply_bytes),
           CH_LS("error", err ? ch_err_row(err)->code : NULL));
}

static void span_describe(struct ch_span *span, const struct ch_request *req)
{
    ch_span_attr(span, CH_LS("http.request.method", ch_http_method_name(req->http->method)));
    ch_span_attr(span, CH_LS("http.route", req->ctx.name));
    ch_span_attr(span, CH_LI("http.response.status_code", req->http->status));
}

/* ---- all of it
 * -------------------------------------------------------------------------------------------------------- */

static struct ch_request request_of(struct ch_loop_state *state, struct ch_http_exchange *x)
{
    return (struct ch_request){
        .ctx =
            {
                .loop = state->loop,
                .arena = x->arena,
                .pg = state->pg,
                .deadline_ns = x->received_ns + ch_settings.request_timeout_ms * 1000000,
                .step = "route",
                .name = "unmatched",
                .start_ns = x->received_ns,
            },
        .http = x,
        .status = 200,
        .content_type = "application/json",
    };
}

static enum ch_err route(struct ch_loop_state *state, struct ch_request *req, struct ch_route_match *ret_match)
{
    const struct ch_http_exchange *x = req->http;
    enum ch_err err = ch_route_find(state->routes, x->method, x->path, x->arena, ret_match);

    if (ret_match->path)
        req->ctx.name = ret_match->path;
    req->route = ret_match->route;
    memcpy(req->params, ret_match->params, sizeof(req->params));
    if (req->route && (req->route->flags & CH_ROUTE_STREAM))
        req->ctx.deadline_ns = CH_NO_DEADLINE;
    return err;
}

void ch_request_serve(struct ch_http_exchange *x, void *arg)
{
    struct ch_loop_state *state = arg;
    struct ch_request req = request_of(state, x);
    struct ch_route_match match = {0};
    struct ch_span span;

    ch_faults_init(&req.ctx.faults, x->arena);
    ch_trace_start(&req.ctx.trace, ch_http_header(x, "traceparent"));
    enum ch_err err = route(state, &req, &match);
    ch_span_start(&span, &req.ctx.trace, CH_SPAN_SERVER, req.ctx.name);
    req.ctx.span = &span;
    ch_in_flight_add(state, &req.ctx);
    ch_reply_buf_take(state, &req.body);

    if (!err)
        err = run_wait(state, &req);
    if (!err && req.body.is_full) {
        err = CH_ERR_INTERNAL;
        req.ctx.step = "reply too large";
    }
    if (err)
        ch_failure_settle(&req.ctx, "http.failed", err);
    req.ctx.step = "reply";
    reply(&req, &match, err);
    account(state, &req, err);

    json_decref(req.json);
    ch_reply_buf_give(state, &req.body);
    ch_in_flight_remove(state, &req.ctx);
    span_describe(&span, &req);
    ch_span_end(&span, err);
}

size_t ch_body_max(const struct ch_route_table *table)
{
    const struct ch_route *routes = ch_route_rows(table);
    size_t max = CH_BODY_MAX;

    for (size_t i = 0; i < ch_route_table_count(table); i++)
        if (routes[i].body_max > max)
            max = routes[i].body_max;
    return max;
}
