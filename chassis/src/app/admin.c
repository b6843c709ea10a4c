// SPDX-License-Identifier: Apache-2.0
// The admin port, on a loop of its own: probes, metrics, requests in flight, log level, settings. It is for operators
// inside the network and asks for no token, so it must never show a secret or personal data, nor change anything but
// the log level.
#include "loop_state.h"

#include "body.h"
#include "health.h"

#include <stdlib.h>

#define CENSUS_TIMEOUT_NS (1 * INT64_C(1000000000))
#define CENSUS_ROWS_MAX   1000 /**< of one loop */

/* ---- probes
 * ------------------------------------------------------------------------------------------------------------- */

static enum ch_err livez(struct ch_request *req)
{
    ch_buf_append_cstr(&req->body, "{\"status\":\"alive\"}");
    return CH_OK;
}

static enum ch_err readyz(struct ch_request *req)
{
    struct ch_health_row row;
    struct ch_jw jw;

    req->status = ch_health_is_ready() ? 200 : 503;
    ch_jw_init(&jw, &req->body);
    ch_jw_object(&jw);
    ch_jw_kcstr(&jw, "status", ch_health_status());
    ch_jw_key(&jw, "checks");
    ch_jw_object(&jw);
    for (int i = 0; ch_health_at(i, &row); i++) {
        ch_jw_key(&jw, row.name);
        ch_jw_object(&jw);
        ch_jw_kcstr(&jw, "status", row.is_up ? "up" : "down");
        ch_jw_kbool(&jw, "required", row.is_required);
        ch_jw_object_end(&jw);
    }
    ch_jw_object_end(&jw);
    ch_jw_object_end(&jw);
    return CH_OK;
}

static enum ch_err version(struct ch_request *req)
{
    struct ch_jw jw;

    ch_jw_init(&jw, &req->body);
    ch_jw_object(&jw);
    ch_jw_kcstr(&jw, "service", ch_process.service->name);
    ch_jw_kcstr(&jw, "version", GW_VERSION);
    ch_jw_kcstr(&jw, "compiler", __VERSION__);
    ch_jw_kint(&jw, "uptimeS", (ch_now_ns() - ch_process.start_ns) / 1000000000);
    ch_jw_object_end(&jw);
    return CH_OK;
}

static enum ch_err metrics(struct ch_request *req)
{
    req->content_type = "text/plain; version=0.0.4; charset=utf-8";
    ch_metrics_write(&req->body);
    return CH_OK;
}

static enum ch_err settings(struct ch_request *req)
{
    struct ch_jw jw;

    ch_jw_init(&jw, &req->body);
    ch_config_write_json(&jw, ch_process.service);
    return CH_OK;
}

/* ---- log level
 * ---------------------------------------------------------------------------------------------------------- */

static enum ch_err log_level_get(struct ch_request *req)
{
    struct ch_jw jw;

    ch_jw_init(&jw, &req->body);
    ch_jw_object(&jw);
    ch_jw_kcstr(&jw, "level", ch_log_level_name(ch_log_level()));
    ch_jw_object_end(&jw);
    return CH_OK;
}

static enum ch_err log_level_put(struct ch_request *req)
{
    static const struct ch_field fields[] = {{"level", CH_FIELD_STR, 0, .min = 1, .max = 16}, {0}};
    struct ch_str name = req->http->body;
    enum ch_log_level level;
    enum ch_err err = CH_OK;

    if (ch_is_json_type(ch_http_header(req->http, "Content-Type")))
        err = ch_body_bind(req, fields, &name, NULL);
    while (name.len > 0 && name.data[name.len - 1] <= ' ') // echo's newline
        name.len--;
    if (!err && ch_log_level_parse(name, &level))
        err = ch_fail(&req->ctx, CH_ERR_INVALID, "/level", "enum", "error, warn, info, debug 중 하나여야 합니다");
    if (err)
        return err;
    ch_log_set_level(level);
    ch_log(CH_LOG_WARN, &req->ctx.trace, "log.level_changed", CH_LS("level", ch_log_level_name(level)));
    return log_level_get(req);
}

/* ---- work in flight on all loops
 * ----------------------------------------------------------------------------------------- */

/** One question to all loops. Freed on the admin loop when the last has answered, whether or not anybody still waits.
 */
struct census {
    struct ch_loop *admin;
    struct ch_wait *wait; // NULL: gave up
    int pending, count;
    struct census_part {
        struct ch_mail mail;
        struct census *census;
        struct ch_loop_state *state;
        struct ch_buf text; // members of an array, with commas
    } parts[];
};

static void write_work(struct ch_jw *jw, const struct ch_loop_state *state, const struct ch_ctx *ctx)
{
    char trace_id[33];

    ch_trace_id_text(&ctx->trace, trace_id);
    ch_jw_object(jw);
    ch_jw_kint(jw, "loop", state->index);
    ch_jw_kcstr(jw, "name", ctx->name);
    ch_jw_kcstr(jw, "step", ctx->step);
    ch_jw_kint(jw, "ageMs", (ch_now_ns() - ctx->start_ns) / 1000000);
    ch_jw_kcstr(jw, "traceId", trace_id);
    ch_jw_object_end(jw);
}

static void census_free(struct census *census)
{
    for (int i = 0; i < census->count; i++)
        ch_buf_release(&census->parts[i].text);
    free(census);
}

static void part_arrived(struct ch_loop *loop, void *arg)
{
    struct census *census = ((struct census_part *)arg)->census;

    (void)loop; // the admin's
    census->pending--;
    if (census->pending == 0 && census->wait)
        ch_wake(census->wait, CH_OK);
    else if (census->pending == 0)
        census_free(census);
}

static void part_write(struct ch_loop *loop, void *arg)
{
    struct census_part *part = arg;
    struct ch_jw jw;
    int rows = 0;

    (void)loop; // the part's
    ch_jw_init(&jw, &part->text);
    for (const struct ch_ctx *ctx = part->state->in_flight; ctx && rows < CENSUS_ROWS_MAX; ctx = ctx->next, rows++)
        write_work(&jw, part->state, ctx);
    part->mail.fn = part_arrived;
    ch_loop_post(part->census->admin, &part->mail);
}

static struct census *census_start(struct ch_loop *admin)
{
    const int count = ch_process.loop_count;
    struct census *census = calloc(1, sizeof(*census) + (size_t)count * sizeof(census->parts[0]));

    if (!census)
        return NULL;
    census->admin = admin;
    census->count = census->pending = count;
    for (int i = 0; i < count; i++) {
        struct census_part *part = &census->parts[i];

        *part = (struct census_part){
            .mail = {.fn = part_write, .arg = part}, .census = census, .state = &ch_process.loops[i]};
        ch_buf_init(&part->text, CH_REPLY_MAX / 64);
        ch_loop_post(part->state->loop, &part->mail);
    }
    return census;
}

static void census_write(const struct census *census, struct ch_buf *out)
{
    bool needs_comma = false;

    ch_buf_append_cstr(out, "{\"items\":[");
    for (int i = 0; i < census->count; i++) {
        if (census->parts[i].text.len == 0)
            continue;
        if (needs_comma)
            ch_buf_append_char(out, ',');
        ch_buf_append_str(out, ch_buf_str(&census->parts[i].text));
        needs_comma = true;
    }
    ch_buf_append_cstr(out, "]}");
}

static enum ch_err requests(struct ch_request *req)
{
    struct census *census = census_start(req->ctx.loop);
    struct ch_wait wait = {0};
    enum ch_err err;

    if (!census)
        return CH_ERR_NO_MEMORY;
    census->wait = &wait;
    err = ch_wait(&wait, ch_now_ns() + CENSUS_TIMEOUT_NS);
    census->wait = NULL;
    if (err && census->pending > 0) // a loop hangs; whoever answers last frees
        return err;
    census_write(census, &req->body);
    census_free(census);
    return CH_OK;
}

const struct ch_route ch_admin_routes[] = {
    {CH_GET, "/livez", 0, livez, "livez", 0, 0},
    {CH_GET, "/readyz", 0, readyz, "readyz", 0, 0},
    {CH_GET, "/version", 0, version, "version", 0, 0},
    {CH_GET, "/metrics", 0, metrics, "metrics", 0, 0},
    {CH_GET, "/requests", 0, requests, "requests", 0, 0},
    {CH_GET, "/config", 0, settings, "config", 0, 0},
    {CH_GET, "/log-level", 0, log_level_get, "log_level_get", 0, 0},
    {CH_PUT, "/log-level", 0, log_level_put, "log_level_put", CH_ROUTE_RAW_BODY, 0},
    {0},
};
