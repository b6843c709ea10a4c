// SPDX-License-Identifier: Apache-2.0
// A whole service over gRPC: token, scope, status, metrics, health; asked by the chassis's own client. Run as "serve"
// the program is that service.
#include "service_fixture.h"

#include "catalog/v1/catalog.pb-c.h"
#include "grpc/health/v1/health.pb-c.h"
#include "loop_fixture.h"

/* ---- the service
 * ------------------------------------------------------------------------------------------------------ */

static enum ch_err get_skus(struct ch_call *call, const void *in, void *out)
{
    const Catalog__V1__GetSkusRequest *request = in;

    (void)out; // no SKU is known here
    if (!call->ctx.identity || !call->ctx.span || call->ctx.pg)
        return CH_ERR_INVALID;
    if (request->n_sku_ids == 0)
        return ch_fail(&call->ctx, CH_ERR_INTERNAL, NULL, NULL, "password of the database");
    return CH_OK;
}

static enum ch_err release(struct ch_call *call, const void *in, void *out)
{
    (void)in;
    (void)out;
    return call->ctx.identity ? CH_ERR_STOCK_SHORT : CH_OK;
}

static const struct ch_rpc rpcs[] = {
    CH_RPC_BY("/catalog.v1.CatalogService/GetSkus", "neighbour order-manager", 0, get_skus,
              catalog__v1__get_skus_request, catalog__v1__get_skus_response),
    CH_RPC("/catalog.v1.CatalogService/Release", 0, release, catalog__v1__release_request,
           catalog__v1__release_response),
    {0},
};
static const struct ch_rpc rpc_health =
    CH_RPC("/grpc.health.v1.Health/Check", 0, NULL, grpc__health__v1__health_check_request,
           grpc__health__v1__health_check_response);

static int serve(void)
{
    static const struct ch_service service = {.name = "test-rpc-service", .rpcs = rpcs};
    char *argv[] = {"test-rpc-service", NULL};

    return ch_service_main(&service, 1, argv);
}

/* ---- calls
 * ------------------------------------------------------------------------------------------------------------ */

static struct child child;
static struct ch_peer *peer;
static const char *shown; // token
static char *good, *other_scope, *other_service, *no_service, *half_name;

static enum ch_err call(const struct ch_rpc *rpc, const ProtobufCMessage *request, struct ch_ctx *ctx, void **ret_reply)
{
    *ctx = (struct ch_ctx){.loop = loop, .arena = ch_arena_new(1024 * 1024), .deadline_ns = ch_now_ns() + MS(WAIT_MS)};
    ch_faults_init(&ctx->faults, ctx->arena);
    ch_trace_start(&ctx->trace, (struct ch_str){0});
    return ch_peer_call_wait(peer, ctx, rpc, request, ctx->deadline_ns, ret_reply);
}

static void ask_all(void *arg)
{
    char id[] = "x", *ids[] = {id};
    Catalog__V1__GetSkusRequest one = CATALOG__V1__GET_SKUS_REQUEST__INIT, none = CATALOG__V1__GET_SKUS_REQUEST__INIT;
    Catalog__V1__ReleaseRequest open = CATALOG__V1__RELEASE_REQUEST__INIT;
    const struct {
        const char *name, *token;
        const struct ch_rpc *rpc;
        const ProtobufCMessage *request;
        enum ch_err want;
    } cases[] = {
        {"no token", NULL, &rpcs[0], &one.base, CH_ERR_UNAUTHENTICATED},
        {"noise", "noise", &rpcs[0], &one.base, CH_ERR_UNAUTHENTICATED},
        {"other scope", other_scope, &rpcs[0], &one.base, CH_ERR_FORBIDDEN},
        {"a service that the row does not name", other_service, &rpcs[0], &one.base, CH_ERR_FORBIDDEN},
        {"half of a name", half_name, &rpcs[0], &one.base, CH_ERR_FORBIDDEN},
        {"internal, but no service", no_service, &rpcs[0], &one.base, CH_ERR_FORBIDDEN},
        {"good", good, &rpcs[0], &one.base, CH_OK},
        {"a bug", good, &rpcs[0], &none.base, CH_ERR_INTERNAL},
        {"open to all", NULL, &rpcs[1], &open.base, CH_OK},
        {"the shop's own error", good, &rpcs[1], &open.base, CH_ERR_STOCK_SHORT},
    };

    (void)arg;
    while (!ch_peer_is_up(peer))
        assert_int_equal(ch_sleep_wait(ch_now_ns() + MS(1)), CH_OK);
    one.n_sku_ids = 1;
    one.sku_ids = ids;
    FOR_EACH(it, cases)
    {
        struct ch_ctx ctx;
        void *reply;

        shown = it->token;
        CHECK(it->name, call(it->rpc, it->request, &ctx, &reply) == it->want);
        CHECK(it->name, !ctx.detail || !strstr(ctx.detail, "password"));
        ch_arena_free(ctx.arena);
    }
}

static void ask_health(void *arg)
{
    Grpc__Health__V1__HealthCheckRequest request = GRPC__HEALTH__V1__HEALTH_CHECK_REQUEST__INIT;
    struct ch_ctx ctx;
    void *reply;
    int *status = arg;

    *status = -1;
    shown = NULL;
    if (call(&rpc_health, &request.base, &ctx, &reply) == CH_OK)
        *status = ((Grpc__Health__V1__HealthCheckResponse *)reply)->status;
    ch_arena_free(ctx.arena);
}

#define SERVING     GRPC__HEALTH__V1__HEALTH_CHECK_RESPONSE__SERVING_STATUS__SERVING
#define NOT_SERVING GRPC__HEALTH__V1__HEALTH_CHECK_RESPONSE__SERVING_STATUS__NOT_SERVING

static void test_rpc__is_guarded_by_its_row(void **state)
{
    static struct answer answer;

    (void)state;
    loop_run_until_done(ask_all, NULL);
    http(child.admin_port, "GET /metrics HTTP/1.1\r\n", "", &answer);
    assert_non_null(strstr(
        answer.body,
        "rpc_server_call_duration_seconds_count{method=\"/catalog.v1.CatalogService/GetSkus\",code=\"forbidden\"} 4"));
    assert_non_null(strstr(answer.body, "method=\"/catalog.v1.CatalogService/Release\",code=\"stock_short\"} 1"));
    (void)child_wait_for(&child, "\"event\":\"rpc.failed\"");
    (void)child_wait_for(&child, "\"event\":\"rpc.call\"");
}

static void test_rpc__health_follows_readiness(void **state)
{
    static struct answer answer;
    int status;

    (void)state;
    for (int64_t until_ns = ch_now_ns() + MS(WAIT_MS);
         ch_now_ns() < until_ns;) { // each loop learns of it at its next tick
        loop_run_until_done(ask_health, &status);
        if (status == SERVING)
            break;
    }
    assert_int_equal(status, SERVING);
    assert_int_equal(kill(child.pid, SIGTERM), 0);
    http_until(child.admin_port, "GET /readyz HTTP/1.1\r\n", "draining", &answer);
    for (int64_t until_ns = ch_now_ns() + MS(WAIT_MS); ch_now_ns() < until_ns && status == SERVING;)
        loop_run_until_done(ask_health, &status);
    assert_int_equal(status, NOT_SERVING);
    ch_peer_free(peer);
    peer = NULL;
    assert_int_equal(child_exit_code(&child), 0);
}

static char *own_token(const char *scopes, const char *service)
{
    char *text = bearer_of(scopes, 600, service);

    memmove(text, text + 7, strlen(text) - 6); // without "Bearer "
    return text;
}

static int setup(void **state)
{
    static const char *const settings[] = {"DRAIN_WAIT_MS=1000", NULL};
    char address[32];
    const struct ch_peer_options options = {.name = "test", .address = address, .in_flight_max = 10, .bearer = &shown};

    assert_int_equal(keys_setup(state), 0);
    good = own_token("internal", "order-manager");
    other_scope = own_token("orders:read", "order-manager");
    other_service = own_token("internal", "delivery-mock");
    half_name = own_token("internal", "order");
    no_service = own_token("internal", NULL);
    child_start(&child, settings);
    (void)snprintf(address, sizeof(address), "127.0.0.1:%d", child.grpc_port);
    assert_int_equal(loop_setup(state), 0);
    peer = ch_peer_new(loop, &options);
    return peer ? 0 : -1;
}

static void nothing(void *arg)
{
    (void)arg;
}

static int teardown(void **state)
{
    if (ch_loop_current()) // an assertion failed on a fiber: let cmocka say so
        return -1;
    ch_peer_free(peer);
    loop_run_until_done(nothing, NULL); // what the peer left behind ends
    char *const tokens[] = {good, other_scope, other_service, half_name, no_service};
    for (size_t i = 0; i < COUNT_OF(tokens); i++)
        free(tokens[i]);
    (void)keys_teardown(state);
    return loop_teardown(state);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rpc__is_guarded_by_its_row),
        cmocka_unit_test(test_rpc__health_follows_readiness),
    };

    if (argc > 1 && strcmp(argv[1], "serve") == 0)
        return serve();
    return cmocka_run_group_tests(tests, setup, teardown);
}
