// SPDX-License-Identifier: Apache-2.0
// All that a service takes from outside, by its own tables; linked once with each service's rules. An input is a REST
// request (a line "METHOD target", fields, an empty line, the body), or 'G', the number of an rpc and a protobuf
// message, or 'E' and the data of an event. Behind the checks stands a database that is always away (the linker's
// --wrap): what reaches it is text without NUL, a refusal names its fault, and nothing is an internal error.
#include "fuzz.h"

#include "../../chassis/src/app/events_internal.h"
#include "../../chassis/src/app/route.h"
#include "../../chassis/src/io/grpc_wire.h"

#include <stdalign.h>

extern const struct ch_route routes[];
extern const struct ch_rpc rpcs[];
extern const struct ch_consumer consumers[];

// FruitCatalog's pages; the others have none.
__attribute__((weak)) enum ch_err product_cache_start(size_t entries);

// ---- the world behind the checks ----

#define WRAPPED(result, name, ...)                                                                                     \
    result __wrap_##name(__VA_ARGS__);                                                                                 \
    result __wrap_##name(__VA_ARGS__)
#define AWAY(name, ...)                                                                                                \
    WRAPPED(enum ch_err, name, __VA_ARGS__)                                                                            \
    {                                                                                                                  \
        return CH_ERR_UNAVAILABLE;                                                                                     \
    }
#pragma clang diagnostic ignored "-Wunused-parameter"
#pragma clang diagnostic ignored "-Wreserved-identifier"

AWAY(ch_batch_join_wait, struct ch_batch *batch, struct ch_batch_item *item, int64_t deadline_ns)
AWAY(ch_ctx_open, struct ch_ctx *ctx, struct ch_loop *loop, const char *name, int64_t timeout_ms,
     const struct ch_trace *parent)
AWAY(ch_http_stream_start, struct ch_http_exchange *x, int status, const char *content_type)
AWAY(ch_peer_call_wait, struct ch_peer *peer, struct ch_ctx *ctx, const struct ch_rpc *rpc,
     const ProtobufCMessage *request, int64_t deadline_ns, void **ret_reply)
AWAY(ch_pg_run_wait, struct ch_ctx *ctx, int query, const struct ch_pg_args *args, struct ch_pg_rows **ret_rows)
AWAY(ch_sleep_wait, int64_t until_ns)
AWAY(ch_tx_begin_wait, struct ch_ctx *ctx, struct ch_tx *tx)
AWAY(ch_tx_commit_wait, struct ch_tx *tx)
AWAY(ch_tx_run_wait, struct ch_tx *tx, int query, const struct ch_pg_args *args, struct ch_pg_rows **ret_rows)
AWAY(ch_tx_send, struct ch_tx *tx, int query, const struct ch_pg_args *args)
AWAY(ch_outbox_add, struct ch_tx *tx, const char *type, struct ch_str subject, struct ch_str data)

WRAPPED(void, ch_tx_cleanup, struct ch_tx *tx)
{
}
WRAPPED(void, ch_outbox_wake, void)
{
}
WRAPPED(bool, ch_peer_is_up, const struct ch_peer *peer)
{
    return false;
}
WRAPPED(struct ch_peer *, ch_peer_at, struct ch_ctx *ctx, int index)
{
    return NULL;
}
// What the batches and caches of a loop would be.
WRAPPED(void *, ch_loop_state, const struct ch_ctx *ctx)
{
    static alignas(64) char state[64 * 1024];

    return state;
}

void __real_ch_pg_text(struct ch_pg_args *args, struct ch_str value);
void __real_ch_pg_bytea(struct ch_pg_args *args, struct ch_str value);
void __real_ch_pg_text_array(struct ch_pg_args *args, const struct ch_str *values, size_t count);

// PostgreSQL refuses a text that is no UTF-8 or has a NUL, late and with a 500.
WRAPPED(void, ch_pg_text, struct ch_pg_args *args, struct ch_str value)
{
    MUST(!value.data || ch_utf8_is_valid(value));
    __real_ch_pg_text(args, value);
}
WRAPPED(void, ch_pg_bytea, struct ch_pg_args *args, struct ch_str value)
{
    for (size_t i = 0; i < value.len; i += 64)
        (void)*(volatile const char *)(value.data + i);
    __real_ch_pg_bytea(args, value);
}
WRAPPED(void, ch_pg_text_array, struct ch_pg_args *args, const struct ch_str *values, size_t count)
{
    for (size_t i = 0; i < count; i++)
        MUST(!values[i].data || ch_utf8_is_valid(values[i]));
    __real_ch_pg_text_array(args, values, count);
}

// ---- what holds of every answer ----

static void check_answer(const struct ch_ctx *ctx, enum ch_err err)
{
    struct ch_buf problem;

    MUST(err != CH_ERR_INTERNAL);
    fuzz_check_faults(&ctx->faults);
    if (err == CH_ERR_INVALID || err == CH_ERR_BAD_SYNTAX)
        MUST(ctx->faults.count > 0 || ctx->detail);
    if (!err)
        return;
    ch_buf_init(&problem, 1024 * 1024);
    ch_problem_write(&problem, err, ctx);
    json_t *json = json_loadb(problem.data, problem.len, JSON_REJECT_DUPLICATES, NULL);
    MUST(!problem.is_full && json_is_object(json));
    json_decref(json);
    ch_buf_release(&problem);
}

static const struct ch_identity everybody = {.sub = "018f0000-0000-7000-8000-0000000000b1",
                                             .id = {{1, 0x8f, 0, 0, 0, 0, 0x70, 0, 0x80, 0, 0, 0, 0, 0, 0, 0xb1}},
                                             .scopes = ~0u,
                                             .is_farmer = true,
                                             .is_operator = true,
                                             .is_buyer = true,
                                             .farm_id = {{1, 0x8f, 0, 0, 0, 0, 0x70, 0, 0x90, 0, 0, 0, 0, 0, 0, 1}},
                                             .service = "order-manager"};

// ---- REST ----

static enum ch_http_method method_of(struct ch_str text)
{
    for (int method = CH_GET; method < CH_METHOD_OTHER; method++)
        if (ch_str_is(text, ch_http_method_name((enum ch_http_method)method)))
            return (enum ch_http_method)method;
    return CH_METHOD_OTHER;
}

static void serve(struct fuzz_work *work, const struct ch_route_table *table)
{
    struct ch_route_match match = {0};
    struct ch_request *req = &work->req;

    if (ch_route_find(table, work->x.method, work->x.path, work->x.arena, &match))
        return;
    req->route = match.route;
    req->ctx.identity = &everybody;
    req->idempotency_key = CH_STR("a-key");
    memcpy(req->params, match.params, sizeof(req->params));
    const enum ch_err err = match.route->handle(req);
    check_answer(&req->ctx, err);
    if (!err && req->body.len > 0 &&
        strcmp(req->content_type ? req->content_type : "application/json", "application/json") == 0) {
        json_t *json = json_loadb(req->body.data, req->body.len, JSON_DECODE_ANY, NULL);
        MUST(json);
        json_decref(json);
    }
}

static void check_request(struct ch_str rest)
{
    static struct ch_route_table *table;
    struct ch_http_header headers[8];
    struct fuzz_work work = {.x = {.headers = headers}};
    struct ch_str line = fuzz_cut(&rest, '\n');

    if (!table)
        MUST(ch_route_table_new(routes, &table) == CH_OK);
    work.x.method = method_of(fuzz_cut(&line, ' '));
    work.x.path = fuzz_cut(&line, '?');
    work.x.query = line;
    for (line = fuzz_cut(&rest, '\n'); line.len > 0; line = fuzz_cut(&rest, '\n')) {
        const struct ch_str name = fuzz_cut(&line, ':');

        if (work.x.header_count < 8)
            headers[work.x.header_count++] = (struct ch_http_header){name, line};
    }
    work.x.body = rest;
    (void)fuzz_open(&work);
    serve(&work, table);
    fuzz_close(&work);
}

// ---- gRPC ----

// What was unpacked and packed again is the same message.
static void check_repack(struct ch_ctx *ctx, const ProtobufCMessage *message)
{
    struct ch_buf first, second;
    ProtobufCMessage *again = NULL;

    ch_buf_init(&first, 2 * CH_GRPC_MESSAGE_MAX);
    ch_buf_init(&second, 2 * CH_GRPC_MESSAGE_MAX);
    MUST(grpc_pack(&first, message, CH_GRPC_MESSAGE_MAX) == CH_OK);
    MUST(grpc_unpack(ctx, message->descriptor, (const uint8_t *)first.data + GRPC_PREFIX, first.len - GRPC_PREFIX,
                     &again) == CH_OK);
    MUST(grpc_pack(&second, again, CH_GRPC_MESSAGE_MAX) == CH_OK && ch_str_eq(ch_buf_str(&first), ch_buf_str(&second)));
    ch_buf_release(&first);
    ch_buf_release(&second);
}

static void check_call(uint8_t number, struct ch_str bytes)
{
    struct fuzz_work work = {0};
    struct ch_call call = {.ctx = *fuzz_open(&work)};
    struct ch_ctx *ctx = &call.ctx;
    ProtobufCMessage *in = NULL;
    size_t count = 0;

    while (rpcs[count].path)
        count++;
    call.rpc = &rpcs[number % count];
    ctx->identity = &everybody;
    ch_faults_init(&ctx->faults, ctx->arena);
    enum ch_err err = grpc_unpack(ctx, call.rpc->input, (const uint8_t *)bytes.data, bytes.len, &in);
    check_answer(ctx, err);
    if (!err) {
        check_repack(ctx, in);
        ProtobufCMessage *out = ch_arena_alloc(ctx->arena, call.rpc->output->sizeof_message);
        protobuf_c_message_init(call.rpc->output, out);
        err = call.rpc->handle(&call, in, out);
        check_answer(ctx, err);
    }
    fuzz_close(&work);
}

// ---- events ----

static void check_event(struct ch_str data)
{
    struct fuzz_work work = {0};
    struct ch_ctx *ctx = fuzz_open(&work);
    struct ch_event event = {
        .id = everybody.id, .type = ch_str_of(consumers[0].routing_key), .time_us = 1, .subject = CH_STR("x")};
    struct ch_tx tx = {.ctx = ctx};

    if (ch_json_parse(data, &ctx->faults, &event.data) == CH_OK) {
        const enum ch_err err = json_is_object(event.data) ? consumers[0].consume(ctx, &tx, &event, 1) : CH_OK;

        check_answer(ctx, err);
        json_decref(event.data);
    }
    fuzz_close(&work);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    const struct ch_str bytes = {(const char *)data, len};

    MUST(!product_cache_start || product_cache_start(64) == CH_OK);
    if (len > 1 && data[0] == 'G' && data[1] < 'A')
        check_call(data[1], (struct ch_str){bytes.data + 2, len - 2});
    else if (len > 1 && data[0] == 'E')
        check_event((struct ch_str){bytes.data + 1, len - 1});
    else
        check_request(bytes);
    return 0;
}
