// SPDX-License-Identifier: Apache-2.0
// A request without a connection, for tests of what handlers call: query, headers, body, arena. It must never reach the
// network.
#ifndef CH_REQUEST_FIXTURE_H
#define CH_REQUEST_FIXTURE_H

#include "cases.h"

#include "ch/app.h"

struct request_fixture {
    struct ch_http_exchange x;
    struct ch_http_header header;
    struct ch_request req;
};

/** `name` NULL: no header. */
static inline void request_open(struct request_fixture *fixture, const char *query, const char *name, const char *value)
{
    *fixture = (struct request_fixture){.header = {ch_str_of(name), ch_str_of(value)}};
    fixture->x = (struct ch_http_exchange){
        .method = CH_GET,
        .query = ch_str_of(query),
        .headers = &fixture->header,
        .header_count = name != NULL,
        .arena = ch_arena_new(1024 * 1024),
    };
    fixture->req = (struct ch_request){.ctx = {.arena = fixture->x.arena}, .http = &fixture->x, .status = 200};
    ch_faults_init(&fixture->req.ctx.faults, fixture->x.arena);
    ch_buf_init(&fixture->req.body, 64 * 1024);
}

static inline void request_close(struct request_fixture *fixture)
{
    json_decref(fixture->req.json);
    ch_buf_release(&fixture->req.body);
    ch_arena_free(fixture->x.arena);
}

/** Every fault as "pointer code", separated by "; ". */
static inline const char *faults_text(const struct ch_ctx *ctx)
{
    const char *text = "";

    for (const struct ch_fault *at = ctx->faults.first; at; at = at->next)
        text = ch_arena_printf(ctx->arena, "%s%s%s %s", text, *text ? "; " : "", at->pointer, at->code);
    return text;
}

#endif
