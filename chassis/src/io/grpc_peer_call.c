// SPDX-License-Identifier: Apache-2.0
// A unary call as its caller sees it: one function that parks. Around it: bulkhead, span, metric, deadline, the token,
// and further attempts, on another address if there is one, when the peer did not look at the first, or when the row
// says that the call may come twice. It must never repeat any other call that the peer may have begun, nor leave its
// address with nghttp2 after it returned.
#include "grpc_peer.h"

#include <stdlib.h>

#define FIRST_WAIT_NS  (200 * 1000000ll) // for a connection that is being made
#define FAIR_NS        (250 * 1000000ll) // who was given less and did not answer has not failed
#define ATTEMPTS_MAX   3
#define STREAM_ID_LAST 0x7ffffff0 // then a new connection

static const struct ch_metric duration_metric = {
    .name = "rpc_client_call_duration_seconds",
    .type = CH_HISTOGRAM,
    .help = "Duration of outgoing gRPC calls",
    .labels = {"peer", "method", "code"},
};

// The caller does not wait any more: nghttp2 forgets the call, the peer is told to stop.
static void take_back(struct peer_call *call, int64_t since_ns)
{
    struct peer_conn *conn = call->conn;

    (void)nghttp2_session_set_stream_user_data(conn->h2.session, call->id, NULL); // is there
    (void)nghttp2_submit_rst_stream(conn->h2.session, NGHTTP2_FLAG_NONE, call->id,
                                    NGHTTP2_CANCEL); // it answers in vain
    h2_conn_flush_later(&conn->h2);
    peer_call_unlink(call);
    peer_conn_probe(conn, since_ns);
}

/* ---- the reply ---- */

// Replies that are no gRPC, from something in between (grpc.io, "HTTP to gRPC Status Code Mapping").
static enum ch_err err_of_http(int status)
{
    static const struct {
        int http;
        enum ch_err err;
    } table[] = {
        {400, CH_ERR_INTERNAL},      {401, CH_ERR_UNAUTHENTICATED}, {403, CH_ERR_FORBIDDEN},
        {404, CH_ERR_UNIMPLEMENTED}, {429, CH_ERR_UNAVAILABLE},     {502, CH_ERR_UNAVAILABLE},
        {503, CH_ERR_UNAVAILABLE},   {504, CH_ERR_UNAVAILABLE},
    };

    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++)
        if (table[i].http == status)
            return table[i].err;
    return CH_ERR_INTERNAL;
}

static enum ch_err result_of(struct peer_call *call, void **ret_reply)
{
    ProtobufCMessage *message = NULL;
    enum ch_err err;

    if (call->err)
        return call->err;
    if (call->http_status != 200)
        return err_of_http(call->http_status);
    if (!call->is_grpc || call->status.status < 0)
        return CH_ERR_INTERNAL;
    err = grpc_status_err(call->ctx, &call->status);
    if (err)
        return err;
    if (!call->reply || call->reply_at < call->reply_len)
        return CH_ERR_INTERNAL;
    if (grpc_unpack(call->ctx, call->rpc->output, call->reply, call->reply_len, &message))
        return CH_ERR_INTERNAL; // the fault is the peer's, not our caller's
    *ret_reply = message;
    return CH_OK;
}

/* ---- one attempt ---- */

// Until an address takes calls.
static enum ch_err ready_wait(struct ch_peer *peer, int64_t deadline_ns)
{
    int64_t until_ns = ch_now_ns() + FIRST_WAIT_NS;
    enum ch_err err;

    if (until_ns > deadline_ns)
        until_ns = deadline_ns;
    while (peer_state_of(peer) == PEER_CONNECTING && !peer->is_freed) {
        err = ch_queue_wait(&peer->waiting, until_ns);
        if (err == CH_ERR_DEADLINE && until_ns < deadline_ns)
            return CH_ERR_UNAVAILABLE;
        if (err)
            return err;
    }
    return peer_state_of(peer) == PEER_UP && !peer->is_freed ? CH_OK : CH_ERR_UNAVAILABLE;
}

static enum ch_err attempt(struct peer_end *end, struct peer_call *call, int64_t deadline_ns, void **ret_reply)
{
    struct peer_conn *conn = end->conn;
    const char *bearer = end->peer->bearer ? *end->peer->bearer : NULL;
    int64_t start_ns = ch_now_ns();
    enum ch_err err;

    call->conn = conn;
    call->id = peer_call_submit(call, bearer, deadline_ns);
    if (call->id < 0) {
        call->conn = NULL;
        call->is_refused = call->id == NGHTTP2_ERR_STREAM_ID_NOT_AVAILABLE;
        if (call->is_refused)
            peer_conn_retire(conn);
        return call->is_refused ? CH_ERR_UNAVAILABLE : CH_ERR_NO_MEMORY;
    }
    if (call->id >= STREAM_ID_LAST)
        peer_conn_retire(conn);
    call->next = conn->calls;
    call->prev = &conn->calls;
    if (call->next)
        call->next->prev = &call->next;
    conn->calls = call;
    h2_conn_flush_later(&conn->h2);

    err = ch_wait(&call->wait, deadline_ns);
    if (err) {
        if (call->conn)
            take_back(call, start_ns);
        return err;
    }
    return result_of(call, ret_reply);
}

// What the attempt says of the address. A connection that broke has a backoff of its own, and whoever sheds is alive.
static enum ch_verdict verdict_of(const struct peer_call *call, enum ch_err err, int64_t given_ns)
{
    if (call->is_lost || call->is_refused || err == CH_ERR_CANCELLED || err == CH_ERR_NO_MEMORY)
        return CH_VERDICT_NONE;
    if (err == CH_ERR_DEADLINE)
        return given_ns >= FAIR_NS ? CH_VERDICT_BAD : CH_VERDICT_NONE;
    return err == CH_ERR_UNAVAILABLE ? CH_VERDICT_BAD : CH_VERDICT_GOOD;
}

static enum ch_err attempt_guarded(struct peer_end *end, struct peer_call *call, int64_t deadline_ns, void **ret_reply)
{
    const int64_t start_ns = ch_now_ns();
    const uint32_t pass = ch_breaker_pass(&end->breaker, start_ns);
    enum ch_err err;

    end->refs++;
    end->in_flight++;
    err = attempt(end, call, deadline_ns, ret_reply);
    end->in_flight--;
    ch_breaker_report(&end->breaker, pass, verdict_of(call, err, deadline_ns - start_ns), ch_now_ns());
    peer_end_unref(end);
    return err;
}

/* ---- all attempts ---- */

static bool may_repeat(struct ch_peer *peer, const struct peer_call *call, enum ch_err err)
{
    if (!call->is_refused && !(call->rpc->is_repeatable && err == CH_ERR_UNAVAILABLE))
        return false;
    if (peer->is_freed)
        return false;
    if (ch_retry_budget_take(&peer->budget, ch_now_ns())) {
        ch_count(peer->retry_count, 1);
        return true;
    }
    ch_count(peer->unretried_count, 1);
    return false;
}

static enum ch_err call_wait(struct ch_peer *peer, struct ch_ctx *ctx, const struct ch_rpc *rpc, struct ch_str request,
                             int64_t deadline_ns, void **ret_reply)
{
    enum ch_err err = CH_OK, ready;
    uint32_t last_id = 0;

    ch_retry_budget_on_call(&peer->budget);
    for (int i = 0; i < ATTEMPTS_MAX; i++) {
        struct peer_call call = {.ctx = ctx, .rpc = rpc, .request = request, .status.status = -1};
        struct peer_end *end;

        ready = ready_wait(peer, deadline_ns);
        if (ready)
            return ready;
        end = peer_choose(peer, last_id);
        if (!end) {
            ch_count(peer->broken_count, 1);
            return CH_ERR_UNAVAILABLE;
        }
        last_id = end->id;
        err = attempt_guarded(end, &call, deadline_ns, ret_reply);
        if (!err || i + 1 == ATTEMPTS_MAX || !may_repeat(peer, &call, err))
            return err;
    }
    return err;
}

/* ---- around it ---- */

static void observe(struct ch_peer *peer, const struct ch_rpc *rpc, enum ch_err err, int64_t duration_ns)
{
    struct peer_series *series = NULL;

    for (size_t i = 0; i < peer->series_count && !series; i++)
        if (peer->series[i].rpc == rpc)
            series = &peer->series[i];
    if (!series) {
        series = reallocarray(peer->series, peer->series_count + 1, sizeof(*series));
        if (!series)
            return;
        peer->series = series;
        series += peer->series_count++;
        *series = (struct peer_series){.rpc = rpc};
    }
    if (!series->by_err[err])
        series->by_err[err] = ch_series_get(
            &duration_metric, (const char *const[]){peer->name, rpc->path + 1, ch_err_row(err)->code, NULL});
    ch_observe_ns(series->by_err[err], duration_ns);
}

static enum ch_err pack_request(struct ch_arena *arena, const ProtobufCMessage *request, struct ch_str *ret_bytes)
{
    size_t len = protobuf_c_message_get_packed_size(request);
    char *bytes;

    if (len > CH_GRPC_MESSAGE_MAX)
        return CH_ERR_TOO_LARGE;
    bytes = ch_arena_alloc(arena, GRPC_PREFIX + len);
    if (!bytes)
        return CH_ERR_NO_MEMORY;
    grpc_prefix_write(bytes, len);
    (void)protobuf_c_message_pack(request, (uint8_t *)bytes + GRPC_PREFIX); // its size is known
    *ret_bytes = (struct ch_str){bytes, GRPC_PREFIX + len};
    return CH_OK;
}

// Inside the bulkhead.
static enum ch_err guarded_call_wait(struct ch_peer *peer, struct ch_ctx *ctx, const struct ch_rpc *rpc,
                                     struct ch_str request, int64_t deadline_ns, void **ret_reply)
{
    enum ch_err err = ch_bulkhead_enter_wait(&peer->bulkhead, deadline_ns);

    if (err)
        return err;
    err = peer->is_freed ? CH_ERR_UNAVAILABLE : call_wait(peer, ctx, rpc, request, deadline_ns, ret_reply);
    ch_bulkhead_leave(&peer->bulkhead);
    if (err == CH_ERR_UNAUTHENTICATED && peer->on_refused)
        peer->on_refused(peer->on_refused_arg);
    return err;
}

enum ch_err ch_peer_call_wait(struct ch_peer *peer, struct ch_ctx *ctx, const struct ch_rpc *rpc,
                              const ProtobufCMessage *request, int64_t deadline_ns, void **ret_reply)
{
    int64_t start_ns = ch_now_ns();
    const char *step = ctx->step;
    struct ch_str bytes;
    struct ch_span span;
    enum ch_err err;

    if (peer->is_freed || (peer->needs_bearer && !*peer->bearer))
        return CH_ERR_UNAVAILABLE;
    if (deadline_ns > ctx->deadline_ns)
        deadline_ns = ctx->deadline_ns;
    peer->users++;
    ctx->step = rpc->path;
    ch_span_start(&span, &ctx->trace, CH_SPAN_CLIENT, rpc->path + 1);
    ch_span_attr(&span, CH_LS("rpc.system", "grpc"));
    ch_span_attr(&span, CH_LS("server.address", peer->name));
    err = start_ns < deadline_ns ? pack_request(ctx->arena, request, &bytes) : CH_ERR_DEADLINE;
    if (!err)
        err = guarded_call_wait(peer, ctx, rpc, bytes, deadline_ns, ret_reply);
    ch_span_attr(&span, CH_LI("rpc.grpc.status_code", ch_err_row(err)->grpc_status));
    ch_span_end(&span, err);
    ctx->step = step;
    observe(peer, rpc, err, ch_now_ns() - start_ns);
    peer_leave(peer);
    return err;
}
