// SPDX-License-Identifier: Apache-2.0
// The tables of a small service: one route for each thing the chassis promises. Which test asks for what stands in
// test_service*.c. It must never do more than a test needs.
#ifndef CH_SERVICE_ROWS_H
#define CH_SERVICE_ROWS_H

#include "service_fixture.h"

#include "../src/app/health.h"

/* ---- the service
 * ------------------------------------------------------------------------------------------------------ */

struct thing {
    struct ch_str name;
    int64_t count;
};

static const struct ch_field thing_fields[] = {
    {"name", CH_FIELD_STR, offsetof(struct thing, name), .min = 1, .max = 20},
    {"count", CH_FIELD_INT, offsetof(struct thing, count), .min = 1, .max = 9},
    {0},
};

static enum ch_err thing_create(struct ch_request *req)
{
    struct thing thing;
    struct ch_jw jw;
    enum ch_err err = ch_body_bind(req, thing_fields, &thing, NULL);

    if (err)
        return err;
    req->status = 201;
    ch_reply_header(req, "Location", CH_STR("/api/things/1"));
    ch_jw_init(&jw, &req->body);
    ch_jw_object(&jw);
    ch_jw_kstr(&jw, "name", thing.name);
    ch_jw_kstr(&jw, "key", req->idempotency_key);
    ch_jw_kcstr(&jw, "sub", req->ctx.identity->sub);
    ch_jw_object_end(&jw);
    return CH_OK;
}

static enum ch_err thing_get(struct ch_request *req)
{
    struct ch_jw jw;

    if (ch_is_not_modified(req, 7))
        return CH_OK;
    ch_jw_init(&jw, &req->body);
    ch_jw_object(&jw);
    ch_jw_kstr(&jw, "id", req->params[0]);
    ch_jw_kint(&jw, "loopState", *(int *)ch_loop_state(&req->ctx));
    ch_jw_object_end(&jw);
    return CH_OK;
}

static enum ch_err thing_upload(struct ch_request *req)
{
    ch_buf_append_int64(&req->body, (int64_t)req->http->body.len);
    return CH_OK;
}

static enum ch_err fail_inside(struct ch_request *req)
{
    return ch_fail(&req->ctx, CH_ERR_INTERNAL, NULL, NULL, "password of the database");
}

static enum ch_err fail_late(struct ch_request *req)
{
    struct ch_wait never = {0};

    return ch_wait(&never, req->ctx.deadline_ns);
}

static enum ch_err wait_for_drain(struct ch_request *req)
{
    enum ch_err err = CH_OK;

    req->ctx.step = "wait for the drain";
    while (!err && strcmp(ch_health_status(), "draining") != 0)
        err = ch_sleep_wait(ch_now_ns() + 1000000);
    ch_buf_append_cstr(&req->body, "{\"drained\":true}");
    return err;
}

static enum ch_err never_ends(struct ch_request *req)
{
    struct ch_wait never = {0};

    (void)req;
    return ch_wait(&never, CH_NO_DEADLINE);
}

static enum ch_err stream(struct ch_request *req)
{
    enum ch_err err = ch_http_stream_start(req->http, 200, "text/event-stream");

    while (!err) {
        struct ch_wait never = {0};

        err = ch_http_stream_write_wait(req->http, CH_STR("data: 1\n\n"), ch_now_ns() + WAIT_MS * INT64_C(1000000));
        if (!err)
            err = ch_wait(&never, CH_NO_DEADLINE);
    }
    return err;
}

static const struct ch_route routes[] = {
    {CH_GET, "/api/things/{thingId}", 0, thing_get, "thing_get", 0, 0},
    {CH_POST, "/api/things", CH_ORDERS_WRITE, thing_create, "thing_create", CH_ROUTE_IDEMPOTENT, 1024},
    {CH_POST, "/api/uploads", 0, thing_upload, "thing_upload", CH_ROUTE_RAW_BODY, 300 * 1024},
    {CH_POST, "/api/small", 0, thing_upload, "small", 0, 0},
    {CH_GET, "/api/bug", 0, fail_inside, "fail_inside", 0, 0},
    {CH_GET, "/api/late", 0, fail_late, "fail_late", 0, 0},
    {CH_GET, "/api/wait", 0, wait_for_drain, "wait_for_drain", 0, 0},
    {CH_GET, "/api/never", 0, never_ends, "never_ends", 0, 0},
    {CH_GET, "/api/cheap/{id}", 0, thing_get, "cheap", CH_ROUTE_CHEAP, 0},
    {CH_GET, "/api/stream", 0, stream, "stream", CH_ROUTE_STREAM, 0},
    {0},
};

static enum ch_err loop_start(struct ch_ctx *ctx, void **ret_state)
{
    int *state = ch_arena_alloc(ctx->arena, sizeof(*state));

    if (!state)
        return CH_ERR_NO_MEMORY;
    *state = 42;
    *ret_state = state;
    return CH_OK;
}

static enum ch_err job_run(struct ch_ctx *ctx)
{
    return *(int *)ch_loop_state(ctx) == 42 ? CH_OK : CH_ERR_INTERNAL;
}

static const struct ch_job jobs[] = {{"sweep", 20, 1000, job_run}, {"rare", 3600000, 1000, job_run}, {0}};

struct test_config {
    int64_t boxes;
    const char *password;
};
static struct test_config config;
static const struct ch_config_row config_rows[] = {
    {"TEST_BOXES", CH_CONFIG_INT, offsetof(struct test_config, boxes), "5", 1, 10, "how many boxes", 0},
    {"TEST_PASSWORD", CH_CONFIG_STR, offsetof(struct test_config, password), "hunter2", 0, 99, "a secret",
     CH_CONFIG_SECRET},
    {0},
};

static inline int serve(const char *option)
{
    static const struct ch_service service = {
        .name = "test-service",
        .summary = "answers tests",
        .config = &config,
        .config_rows = config_rows,
        .routes = routes,
        .jobs = jobs,
        .loop_start = loop_start,
    };
    char *argv[] = {"test-service", (char *)(uintptr_t)option, NULL};

    return ch_service_main(&service, option ? 2 : 1, argv);
}

#endif
