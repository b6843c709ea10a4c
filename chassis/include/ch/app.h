// SPDX-License-Identifier: Apache-2.0
/**
 * @file app.h
 * @brief A service is its tables: `struct ch_service` and one call of ch_service_main. The chassis does the rest.
 *
 * Driven by the rows: listeners, token and scope check, strict body limits, Idempotency-Key, deadline, span, metrics,
 * access log, problem+json, health, admin port, database pool, outbox relay, event consumers, jobs, signals and drain.
 */
#ifndef CH_APP_H
#define CH_APP_H

#include "ch/auth.h"
#include "ch/grpc.h"
#include "ch/http.h"
#include "ch/pg.h"

/* ---- REST ---------------------------------------------------------------------------------------------------------
 */

#define CH_PARAMS_MAX 4

/** A REST request in a handler's hands: what was asked, who asks (ctx.identity), and the reply that grows. Lives until
 * the handler returns. */
struct ch_request {
    struct ch_ctx ctx; /**< first: handlers pass &req->ctx on */
    struct ch_http_exchange *http;
    const struct ch_route *route;
    struct ch_str params[CH_PARAMS_MAX]; /**< decoded path parameters in the order of the pattern */
    struct ch_str idempotency_key;       /**< checked; only on idempotent routes */
    struct ch_buf body;                  /**< where the handler writes its reply: ch_jw_init(&jw, &req->body) */
    int status;                          /**< 200 until the handler says otherwise */
    const char *content_type;            /**< application/json until the handler says otherwise */
    struct ch_http_header extra[8];
    size_t extra_count;
    json_t *json; /**< the parsed body, after ch_body_bind; the chassis frees it */
};

/** Reads top to bottom; writes req->body and returns CH_OK, or returns an error: the chassis replies either way. */
typedef enum ch_err ch_handler(struct ch_request *req);

enum {
    CH_ROUTE_IDEMPOTENT = 1, /**< requires Idempotency-Key (draft-ietf-httpapi-idempotency-key-header) */
    CH_ROUTE_RAW_BODY = 2,   /**< any content type; the handler checks (uploads) */
    CH_ROUTE_STREAM = 4,     /**< the handler replies itself by ch_http_stream_*; no request deadline */
    CH_ROUTE_CHEAP = 8,      /**< shed last */
};

/** One row an operation of the OpenAPI file. */
struct ch_route {
    enum ch_http_method method;
    const char *path; /**< "/api/v1/orders/{orderId}" */
    unsigned scope;   /**< any of these scopes; 0: public */
    ch_handler *handle;
    const char *operation_id; /**< as in the OpenAPI file */
    int flags;
    size_t body_max; /**< 0: the default, 256 KiB */
};

/** Replaces an earlier one of that name. `name` is a literal; value must outlive the handler (arena or literal). More
 * than 8 are dropped, and logged. */
void ch_reply_header(struct ch_request *req, const char *name, struct ch_str value);
void ch_reply_etag(struct ch_request *req, int64_t version); /**< ETag: "7" */
void ch_reply_etag_text(struct ch_request *req,
                        struct ch_str opaque); /**< ETag of other content, without quotes: 7-1c9f; [0-9a-z-] only */
/** True when If-None-Match (a list, weak ones too, or '*') has this version: status 304 and an empty body are set; the
 * handler returns CH_OK at once. Sets the ETag either way. */
bool ch_is_not_modified(struct ch_request *req, int64_t version);
bool ch_is_not_modified_text(struct ch_request *req, struct ch_str opaque);
/** If-Match: "7" or "7-1c9f" answer 7 (only the number counts), '*' answers -1; lists, weak and other forms are
 * CH_ERR_INVALID. Absent is CH_ERR_PRECONDITION_REQUIRED when `is_required`, else -1. The handler compares in its
 * UPDATE and returns CH_ERR_PRECONDITION_FAILED. */
CH_MUST_CHECK enum ch_err ch_if_match(struct ch_request *req, bool is_required, int64_t *ret_version);

/** Parses the JSON body (Content-Type application/json, else 415) and binds it. `ret_present` may be NULL. */
CH_MUST_CHECK enum ch_err ch_body_bind(struct ch_request *req, const struct ch_field *fields, void *ret_object,
                                       uint64_t *ret_present);
/** SHA-256 of the body in canonical form (sorted keys, no spaces), for idempotency. After ch_body_bind only. */
void ch_body_hash(struct ch_request *req, uint8_t ret_digest[32]);
CH_MUST_CHECK enum ch_err ch_param_uuid(struct ch_request *req, int index,
                                        struct ch_uuid *ret_uuid); /**< malformed: CH_ERR_NOT_FOUND */

/** Query parameters by table, as for JSON: types STR, INT, BOOL, UUID, ENUM; unknown names, doubles and bad
 * percent-encoding are faults ("?limit"). */
CH_MUST_CHECK enum ch_err ch_query_bind(struct ch_request *req, const struct ch_field *fields, void *ret_object,
                                        uint64_t *ret_present);

/** Opaque cursors: up to 4 values, authenticated so that a client cannot forge one (HMAC with a key made at start is
 * not enough across instances: they are checksummed and validated, and carry nothing secret). */
struct ch_cursor {
    struct ch_str values[4];
    int count;
};
const char *ch_cursor_encode(struct ch_ctx *ctx, const struct ch_cursor *cursor); /**< arena; NULL at the limit */
CH_MUST_CHECK enum ch_err ch_cursor_decode(struct ch_ctx *ctx, struct ch_str text,
                                           struct ch_cursor *ret_cursor); /**< fault "?cursor" */

/* ---- configuration --------------------------------------------------------------------------------------------------
 */

enum ch_config_type { CH_CONFIG_STR = 1, CH_CONFIG_INT, CH_CONFIG_DOUBLE, CH_CONFIG_BOOL };
enum { CH_CONFIG_SECRET = 1, CH_CONFIG_REQUIRED = 2, CH_CONFIG_SECRET_IN_URI = 4 };

/** One variable: drives parsing, --help, the start-up dump (secrets redacted), the docs and the chart's values test. */
struct ch_config_row {
    const char *name;         /**< environment variable; empty counts as not set */
    enum ch_config_type type; /**< member: const char *, int64_t, double, bool */
    size_t offset;            /**< in the service's config struct */
    const char *fallback;
    double min, max; /**< INT, DOUBLE: value; STR: length */
    const char *help;
    int flags;
};

/* ---- events
 * ------------------------------------------------------------------------------------------------------------ */

/** A CloudEvents envelope, read and checked. Strings live as long as the consumer's call. */
struct ch_event {
    struct ch_uuid id;
    struct ch_str type, subject;
    int64_t time_us;
    json_t *data; /**< borrowed */
    struct ch_str traceparent;
};

/** Up to `count` new events of one queue, in one transaction: their inbox rows are already inserted in `tx`, duplicates
 * already left out. A failure rolls back; the chassis then tries them one by one, so that a poisoned event ends alone
 * in the dead-letter queue. */
typedef enum ch_err ch_consume(struct ch_ctx *ctx, struct ch_tx *tx, const struct ch_event *events, size_t count);

/** One row a queue: the chassis declares it, binds it and applies its events on loop 0. */
struct ch_consumer {
    const char *queue;       /**< "delivery-mock.order-placed" */
    const char *routing_key; /**< event type: "order.placed.v1" */
    ch_consume *consume;
};

/** Writes an event to the outbox inside the transaction; the relay publishes it after the commit. `data` is a JSON
 * object's text. A text whose data is NULL found no room in an arena: CH_ERR_NO_MEMORY. The outbox table is `outbox(id
 * bigint identity, event_id uuid, type text, subject text, data text, traceparent text, created_at, sent_at)` in the
 * service's schema; statements that write many rows at once insert into it themselves and call ch_outbox_wake. */
CH_MUST_CHECK enum ch_err ch_outbox_add(struct ch_tx *tx, const char *type, struct ch_str subject, struct ch_str data);
/** After the commit: lets the relay look at once. Any thread. */
void ch_outbox_wake(void);

/* ---- work that no request started
 * ---------------------------------------------------------------------------------------- */

/** Makes a context for work of the service itself (a batch's commit, a job): arena, database, deadline `timeout_ms`
 * from now, a trace that continues `parent` (NULL: a new one), a place in the list of work in flight. `name` is a
 * literal. Close it on the same fiber. */
CH_MUST_CHECK enum ch_err ch_ctx_open(struct ch_ctx *ctx, struct ch_loop *loop, const char *name, int64_t timeout_ms,
                                      const struct ch_trace *parent);
void ch_ctx_close(struct ch_ctx *ctx, enum ch_err result);

/* ---- jobs
 * -------------------------------------------------------------------------------------------------------------- */

/** Runs on loop 0 every `interval_ms` after the last run ended. */
struct ch_job {
    const char *name;
    int64_t interval_ms;
    int64_t timeout_ms;
    enum ch_err (*run)(struct ch_ctx *ctx);
    bool is_spread; /**< pauses of half to one and a half intervals, the first a part of one: for instances side by side
                     */
};

/** What a service forgets in time, besides sent and applied events; the chassis's job `retention` runs it. `query` is a
 * :write that gets $1::int8, the seconds to keep, and $2::int4, how many rows to look at; it is one statement that
 * passes over rows another instance holds, and answers one row: how many it was done with. As long as that is $2, it
 * runs again.
 */
struct ch_trim {
    const char *name; /**< label of rows_trimmed_total */
    int query;
    size_t keep_offset; /**< member (int64_t, hours) of the config struct */
    int64_t unit_s;     /**< seconds of one of them, if it is not hours; 0: 3600 */
};

/* ---- gRPC peers
 * -------------------------------------------------------------------------------------------------------- */

/** One row a service that is called: each loop keeps one connection to it. */
struct ch_peer_row {
    const char *name;      /**< "fruit-catalog" */
    size_t address_offset; /**< member (const char *) of the config struct */
};
/** This loop's connection to row `index` of the service's peers. */
struct ch_peer *ch_peer_at(struct ch_ctx *ctx, int index);

/* ---- the service
 * ------------------------------------------------------------------------------------------------------- */

/** All that makes a program this service. Tables are read-only and live as long as the process; any may be NULL. */
struct ch_service {
    const char *name;
    const char *summary;                     /**< for --help */
    void *config;                            /**< the service's own config struct; NULL when it has no rows */
    const struct ch_config_row *config_rows; /**< the service's own rows; end with a NULL name */
    const struct ch_route *routes;           /**< end with a zeroed row; as all below */
    const struct ch_rpc *rpcs;
    const struct ch_consumer *consumers;
    /** Types of event that nobody needs to hear; ends with NULL. An event of any other type stays in the outbox until
     * some queue takes it. */
    const char *const *may_be_unheard;
    const struct ch_job *jobs;
    const struct ch_trim *trims;
    const struct ch_query *queries; /**< generated; index = enum */
    const struct ch_peer_row *peers;
    bool
        has_personal_data; /**< it seals (ch/seal.h): PERSONAL_KEYS_FILE is required, and read before anything serves */
    /** Once per loop, on a fiber of the loop, before it serves: make per-loop state (batches, caches); ch_loop_state
     * keeps it. The context and its arena live as long as the loop: the state may stand there, and nothing else frees
     * it. May be NULL. */
    enum ch_err (*loop_start)(struct ch_ctx *ctx, void **ret_state);
};

void *ch_loop_state(const struct ch_ctx *ctx); /**< what loop_start made on this loop */

/** Runs the service until SIGTERM or SIGINT; the exit code. 78 (EX_CONFIG): bad configuration. --help and --version
 * answer and end. */
int ch_service_main(const struct ch_service *service, int argc, char **argv);

#endif
