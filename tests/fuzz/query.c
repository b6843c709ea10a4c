// SPDX-License-Identifier: Apache-2.0
// What stands in a request's line and fields: query parameters, the path, the versions of If-Match and If-None-Match.
// The input is lines: query, path, version field, content type. A parameter never counts twice; what is refused is
// named.
#include "fuzz.h"

#include "../../chassis/src/app/body.h"
#include "../../chassis/src/app/route.h"

static const char *const codes[] = {"required", "unknown",  "type",      "range", "length", "format",
                                    "enum",     "encoding", "duplicate", "count", NULL};
static const char *const sorts[] = {"newest", "priceAsc", "priceDesc", NULL};

struct wanted {
    struct ch_str q;
    int64_t limit;
    bool in_season;
    int sort;
    struct ch_uuid farm_id;
};

static const struct ch_field fields[] = {
    {"q", CH_FIELD_STR, offsetof(struct wanted, q), CH_F_OPTIONAL | CH_F_TRIM, .min = 1, .max = 50},
    {"limit", CH_FIELD_INT, offsetof(struct wanted, limit), CH_F_OPTIONAL, .min = 1, .max = 100},
    {"inSeason", CH_FIELD_BOOL, offsetof(struct wanted, in_season), CH_F_OPTIONAL},
    {"sort", CH_FIELD_ENUM, offsetof(struct wanted, sort), CH_F_OPTIONAL, .names = sorts},
    {"farmId", CH_FIELD_UUID, offsetof(struct wanted, farm_id), CH_F_OPTIONAL},
    {0},
};

// ---- the query ----

// How often a parameter of that name stands in the query, as a reader of its own sees it.
static int count_of(struct ch_ctx *ctx, struct ch_str query, const char *wanted)
{
    int count = 0;

    while (query.len > 0) {
        struct ch_str pair = fuzz_cut(&query, '&'), name = fuzz_cut(&pair, '=');

        count += name.len > 0 && ch_percent_decode(name, true, ctx->arena, &name) == CH_OK && ch_str_is(name, wanted);
    }
    return count;
}

static void check_query(struct fuzz_work *work)
{
    struct ch_ctx *ctx = &work->req.ctx;
    struct wanted wanted = {.limit = 20};
    const enum ch_err err = ch_query_bind(&work->req, fields, &wanted, NULL);

    fuzz_check_faults(&ctx->faults);
    MUST((err == CH_OK && ctx->faults.count == 0) || (err == CH_ERR_INVALID && ctx->faults.count > 0));
    for (const struct ch_fault *at = ctx->faults.first; at; at = at->next)
        MUST(at->pointer[0] == '?' && fuzz_is_one_of(at->code, codes));
    for (const struct ch_field *field = fields; field->name && !err; field++)
        MUST(count_of(ctx, work->x.query, field->name) <= 1);
    if (err)
        return;
    MUST(wanted.limit >= 1 && wanted.limit <= 100 && wanted.sort >= 0 && wanted.sort < 3);
    MUST(!wanted.q.data ||
         (ch_utf8_is_valid(wanted.q) && ch_utf8_length(wanted.q) >= 1 && ch_utf8_length(wanted.q) <= 50));
}

// ---- the path ----

static enum ch_err nothing(struct ch_request *req)
{
    (void)req;
    return CH_OK;
}

static const struct ch_route routes[] = {
    {CH_GET, "/api/v1/orders", 0, nothing, "list"},
    {CH_POST, "/api/v1/orders", 0, nothing, "place"},
    {CH_GET, "/api/v1/orders/{orderId}", 0, nothing, "detail"},
    {CH_GET, "/api/v1/orders/search", 0, nothing, "search"},
    {CH_PUT, "/api/v1/{a}/{b}/{c}", 0, nothing, "three"},
    {0},
};

static void check_path(struct ch_ctx *ctx, struct ch_str path)
{
    static struct ch_route_table *table;
    struct ch_route_match match = {0};

    if (!table)
        MUST(ch_route_table_new(routes, &table) == CH_OK);
    const enum ch_err err = ch_route_find(table, CH_GET, path, ctx->arena, &match);
    MUST(err == CH_OK || err == CH_ERR_NOT_FOUND || err == CH_ERR_METHOD_NOT_ALLOWED || err == CH_ERR_BAD_SYNTAX);
    MUST(!err == !!match.route);
    MUST(err != CH_ERR_METHOD_NOT_ALLOWED || (match.path && match.allow));
    for (int i = 0; i < CH_PARAMS_MAX; i++)
        MUST(!match.params[i].data || (match.params[i].len > 0 && ch_utf8_is_valid(match.params[i])));
    MUST(err || match.route != &routes[3] || ch_str_is(match.params[0], ""));
}

// Every byte written as %XX reads back as it was.
static void check_percent(struct ch_ctx *ctx, struct ch_str text)
{
    static const char hex[] = "0123456789abcdef";
    struct ch_str decoded, again;
    struct ch_buf encoded;

    if (ch_percent_decode(text, true, ctx->arena, &decoded))
        return;
    MUST(ch_utf8_is_valid(decoded) && decoded.len <= text.len);
    ch_buf_init(&encoded, 3 * decoded.len + 1);
    for (size_t i = 0; i < decoded.len; i++) {
        const unsigned char c = (unsigned char)decoded.data[i];

        ch_buf_append(&encoded, (char[]){'%', hex[c >> 4], hex[c & 15]}, 3);
    }
    MUST(ch_percent_decode(ch_buf_str(&encoded), false, ctx->arena, &again) == CH_OK && ch_str_eq(again, decoded));
    ch_buf_release(&encoded);
}

// ---- fields ----

static void check_version(struct fuzz_work *work)
{
    int64_t version = -2;
    enum ch_err err;

    ch_faults_init(&work->req.ctx.faults, work->x.arena);
    err = ch_if_match(&work->req, true, &version);
    MUST((err == CH_OK && version != -2) ||
         ((err == CH_ERR_INVALID || err == CH_ERR_PRECONDITION_REQUIRED) && work->req.ctx.faults.count == 1));
    (void)ch_is_not_modified(&work->req, 7);
    MUST(work->req.status == 200 || work->req.status == 304);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct ch_str rest = {(const char *)data, len};
    const struct ch_str query = fuzz_cut(&rest, '\n'), path = fuzz_cut(&rest, '\n'), version = fuzz_cut(&rest, '\n');
    const struct ch_http_header headers[] = {{CH_STR("If-Match"), version}, {CH_STR("If-None-Match"), version}};
    struct fuzz_work work = {.x = {.method = CH_GET, .query = query, .headers = headers, .header_count = 2}};
    struct ch_ctx *ctx = fuzz_open(&work);

    check_query(&work);
    check_path(ctx, path);
    check_percent(ctx, path);
    check_version(&work);
    (void)ch_is_json_type(rest);
    fuzz_close(&work);
    return 0;
}
