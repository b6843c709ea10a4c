// SPDX-License-Identifier: Apache-2.0
// grpc.health.v1.Health: what kubelet, gateways and gRPC clients ask before they send calls. Needs no token and no
// database, so that it answers when nothing else does. It must never say SERVING while the server drains.
#include "grpc_server.h"

#include "grpc/health/v1/health.pb-c.h"

typedef Grpc__Health__V1__HealthCheckRequest check_request;
typedef Grpc__Health__V1__HealthCheckResponse check_response;
typedef Grpc__Health__V1__HealthCheckResponse__ServingStatus serving_status;

#define SERVING         GRPC__HEALTH__V1__HEALTH_CHECK_RESPONSE__SERVING_STATUS__SERVING
#define NOT_SERVING     GRPC__HEALTH__V1__HEALTH_CHECK_RESPONSE__SERVING_STATUS__NOT_SERVING
#define SERVICE_UNKNOWN GRPC__HEALTH__V1__HEALTH_CHECK_RESPONSE__SERVING_STATUS__SERVICE_UNKNOWN

// "" is the server; else a method "/<service>/..." must exist.
static bool is_known(const struct ch_grpc_server *server, const char *service)
{
    size_t len = strlen(service);

    if (len == 0)
        return true;
    for (size_t i = 0; i < server->method_count; i++) {
        struct ch_str path = server->methods[i].path;

        if (path.len > len + 1 && path.data[len + 1] == '/' && memcmp(path.data + 1, service, len) == 0)
            return true;
    }
    return false;
}

static serving_status status_now(const struct ch_grpc_server *server, const char *service)
{
    if (!is_known(server, service))
        return SERVICE_UNKNOWN;
    return server->is_serving ? SERVING : NOT_SERVING;
}

static enum ch_err health_check(struct ch_call *call, const void *in, void *out)
{
    const check_request *request = in;
    check_response *response = out;

    response->status = status_now(call->stream->server, request->service);
    if (response->status != SERVICE_UNKNOWN)
        return CH_OK;
    call->ctx.detail = "unknown service";
    return CH_ERR_NOT_FOUND;
}

// Ends with the call's deadline or by the drain.
static enum ch_err health_watch(struct ch_call *call, const void *in, void *out)
{
    struct ch_grpc_server *server = call->stream->server;
    const check_request *request = in;
    check_response *response = out;

    for (;;) {
        enum ch_err err;

        response->status = status_now(server, request->service);
        err = ch_call_send_wait(call, &response->base);
        while (!err && response->status == status_now(server, request->service))
            err = ch_queue_wait(&server->watchers, call->ctx.deadline_ns);
        if (err)
            return err;
    }
}

const struct ch_rpc grpc_health_rpcs[] = {
    CH_RPC("/grpc.health.v1.Health/Check", 0, health_check, grpc__health__v1__health_check_request,
           grpc__health__v1__health_check_response),
    CH_RPC_STREAM("/grpc.health.v1.Health/Watch", 0, health_watch, grpc__health__v1__health_check_request,
                  grpc__health__v1__health_check_response),
    {0},
};

void ch_grpc_server_set_serving(struct ch_grpc_server *server, bool is_serving)
{
    if (server->is_serving == is_serving)
        return;
    server->is_serving = is_serving;
    ch_queue_wake_all(&server->watchers, CH_OK);
}
