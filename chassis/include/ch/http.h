// SPDX-License-Identifier: Apache-2.0
/**
 * @file http.h
 * @brief HTTP/1.1 server (RFC 9110, 9112) on a loop. Knows bytes, not routes.
 *
 * A connection is driven by events and holds no fiber while it is idle or reading; a complete request gets a fiber.
 * What RFC 9112 calls invalid or ambiguous is refused with problem+json and the connection closed: two Content-Length,
 * Content-Length with Transfer-Encoding, obs-fold, bare CR or LF, NUL, missing or double Host, unknown transfer coding.
 */
#ifndef CH_HTTP_H
#define CH_HTTP_H

#include "ch/listen.h"
#include "ch/obs.h"
#include "ch/run.h"

/** What a server takes before it refuses, and how long it waits. */
struct ch_http_limits {
    size_t head_max;          /**< request line and fields, bytes: 431 (414 when the target alone is past 8 KiB) */
    size_t headers_max;       /**< number of fields: 431 */
    size_t body_max;          /**< bytes: 413, before the body is read when Content-Length says so */
    size_t connections_max;   /**< per loop; the next one is answered 503 and closed */
    size_t buffered_max;      /**< bytes of bodies held at once per loop: 503 */
    int64_t head_timeout_ns;  /**< from the first byte to the end of the fields: 408 */
    int64_t body_timeout_ns;  /**< whole body: 408 */
    int64_t idle_timeout_ns;  /**< between requests: closed silently */
    int64_t write_timeout_ns; /**< no progress of a reply: closed */
};
extern const struct ch_http_limits
    ch_http_limits_default; /**< 32 KiB, 64, 1 MiB, 10000, 64 MiB, 10 s, 30 s, 75 s, 30 s */

enum ch_http_method { CH_GET = 1, CH_HEAD, CH_POST, CH_PUT, CH_PATCH, CH_DELETE, CH_OPTIONS, CH_METHOD_OTHER };
const char *ch_http_method_name(enum ch_http_method method);

/** One field of a head; borrowed. */
struct ch_http_header {
    struct ch_str name, value;
};

/** One request and its reply. Valid until the handler returns. All slices are owned by the exchange. */
struct ch_http_exchange {
    enum ch_http_method method;
    struct ch_str method_text;
    struct ch_str path;  /**< still percent-encoded, begins with '/'; "*" for OPTIONS * */
    struct ch_str query; /**< after '?', without it */
    const struct ch_http_header *headers;
    size_t header_count;
    struct ch_str body;
    struct ch_str peer; /**< numeric address of the connection's other end */
    struct ch_arena *arena;
    struct ch_loop *loop;
    int64_t received_ns; /**< when the request was complete */
    struct ch_http_conn *conn;
    /* reply, read after the handler returned */
    int status;
    size_t reply_bytes;
    bool is_replied;
    bool is_gone; /**< the connection was reset while the request was handled */
};

/** Value of a header; data NULL when absent. A name given twice answers the values joined by ", " only for list
 * headers; single ones (Content-Type, Authorization, If-Match, Idempotency-Key, traceparent, Host, Content-Length)
 * given twice were refused with 400. */
struct ch_str ch_http_header(const struct ch_http_exchange *x, const char *name);

/** Runs on a fiber; must reply exactly once (or the server answers 500). When the connection is reset, the fiber of a
 * GET or HEAD is cancelled: nobody wants the answer. Any other goes on, for an order must not be torn because a phone
 * lost its connection; nor does a half-closed connection end anything: its client still listens. */
typedef void ch_http_handler(struct ch_http_exchange *x, void *arg);

/** A whole reply: nothing given needs to outlive the call; head and body leave in one write. HEAD, 204 and 304 leave
 * the body out; Date, Content-Length, X-Content-Type-Options and Connection are added. `content_type` NULL: none. A
 * control character in a header is our bug and becomes a 500. Works for any exchange not yet answered; a second reply
 * is logged and dropped. */
void ch_http_reply(struct ch_http_exchange *x, int status, const char *content_type, const struct ch_http_header *extra,
                   size_t extra_count, struct ch_str body);
/** problem+json from an error: status, body, Retry-After for 503 and 429, WWW-Authenticate for 401. `ctx` may be NULL:
 * a fresh trace id. CH_ERR_CANCELLED goes out as 503. */
void ch_http_reply_problem(struct ch_http_exchange *x, enum ch_err err, const struct ch_ctx *ctx);
/** Writes only the problem body. */
void ch_problem_write(struct ch_buf *out, enum ch_err err, const struct ch_ctx *ctx);

/** Streaming (Server-Sent Events): chunked, each write parks until the kernel took it; the end of the handler ends the
 * stream. Adds Cache-Control: no-store and X-Accel-Buffering: no. CH_ERR_CANCELLED when the peer went away, reads
 * nothing for write_timeout or the server drains: the handler returns then. The fiber's other waits are cancelled too.
 */
CH_MUST_CHECK enum ch_err ch_http_stream_start(struct ch_http_exchange *x, int status, const char *content_type);
CH_MUST_CHECK enum ch_err ch_http_stream_write_wait(struct ch_http_exchange *x, struct ch_str data,
                                                    int64_t deadline_ns);

struct ch_http_server;
/** Listens on this loop; fails as ch_listen_open does. */
CH_MUST_CHECK enum ch_err ch_http_server_new(struct ch_loop *loop, const struct ch_listen *where,
                                             const struct ch_http_limits *limits, ch_http_handler *handler, void *arg,
                                             struct ch_http_server **ret_server);
int ch_http_server_port(const struct ch_http_server *server);
/** From now on each reply closes its connection, so that the client's next request goes elsewhere; new connections are
 * still taken. What comes before a drain: the fewer connections are idle at its end, the fewer meet a request on its
 * way. Loop thread. */
void ch_http_server_leave(struct ch_http_server *server);
/** Stops accepting; idle connections close, busy ones answer with Connection: close and then close. Loop thread. */
void ch_http_server_drain(struct ch_http_server *server);
size_t ch_http_server_connections(const struct ch_http_server *server); /**< 0: drained */
void ch_http_server_free(struct ch_http_server *server); /**< closes what is left; its fibers must have ended */

#endif
