// SPDX-License-Identifier: Apache-2.0
// The body of every 4xx and 5xx reply: application/problem+json (RFC 9457). One row of errors.def and what the context
// collected make it. Must never hold anything but those: no internals, no echo of the request beyond what a fault
// names.
#include "ch/http.h"

#define TYPE_BASE "https://gwasuwon.example/problems/"

static void write_faults(struct ch_jw *jw, const struct ch_ctx *ctx)
{
    ch_jw_key(jw, "errors");
    ch_jw_array(jw);
    for (const struct ch_fault *fault = ctx ? ctx->faults.first : NULL; fault; fault = fault->next) {
        ch_jw_object(jw);
        ch_jw_kcstr(jw, "pointer", fault->pointer);
        ch_jw_kcstr(jw, "code", fault->code);
        ch_jw_kcstr(jw, "detail", fault->detail);
        ch_jw_object_end(jw);
    }
    ch_jw_array_end(jw);
}

// A problem without a context still gets an id that support can be told.
static void write_trace_id(struct ch_jw *jw, const struct ch_ctx *ctx)
{
    struct ch_trace fresh;
    char text[33];

    if (!ctx)
        ch_trace_start(&fresh, (struct ch_str){0});
    ch_trace_id_text(ctx ? &ctx->trace : &fresh, text);
    ch_jw_kcstr(jw, "traceId", text);
}

void ch_problem_write(struct ch_buf *out, enum ch_err err, const struct ch_ctx *ctx)
{
    const struct ch_err_row *row = ch_err_row(err);
    char type[sizeof(TYPE_BASE) + 64] = TYPE_BASE;
    struct ch_jw jw;

    (void)strncat(type, row->code, 64); // codes are short literals
    ch_jw_init(&jw, out);
    ch_jw_object(&jw);
    ch_jw_kcstr(&jw, "type", type);
    ch_jw_kcstr(&jw, "title", row->title);
    ch_jw_kint(&jw, "status", row->http_status);
    ch_jw_kcstr(&jw, "detail", ctx && ctx->detail ? ctx->detail : row->title);
    ch_jw_kcstr(&jw, "code", row->code);
    write_trace_id(&jw, ctx);
    write_faults(&jw, ctx);
    ch_jw_object_end(&jw);
}
