// SPDX-License-Identifier: Apache-2.0
// What the files of the HTTP server share: the server, a connection, a request with its exchange. Nothing outside
// http_*.c and problem.c may include this. All of it belongs to one loop thread.
#ifndef CH_HTTP_INTERNAL_H
#define CH_HTTP_INTERNAL_H

#include "http_head.h"

#include <event2/event_struct.h>
#include <netinet/in.h>

#define CH_HTTP_SCRATCH_BYTES  (64 * 1024) // one read
#define CH_HTTP_STASH_MAX      (64 * 1024) // unread bytes kept while a request is handled; then the socket is left alone
#define CH_HTTP_LINGER_BYTES   (32 * 1024 * 1024) // thrown away after a last reply, so that the client can read it
#define CH_HTTP_GRACE_NS       INT64_C(1000000000)
#define CH_HTTP_REPLY_HEAD_MAX (32 * 1024)
#define CH_HTTP_STREAM_PIECE   (64 * 1024)
#define CH_HTTP_ARENA_MAX      (8 * 1024 * 1024) // beyond the body
#define CH_HTTP_POOL_MAX       256               // idle request structs kept
#define CH_HTTP_REFUSED_MAX    64                // connections beyond the limit that still get their 503

enum ch_http_state {
    CH_HTTP_IDLE,      // no byte of a request yet
    CH_HTTP_HEAD,      // part of a head is in `in`
    CH_HTTP_BODY,      // `req` exists, its body is being read
    CH_HTTP_HANDLING,  // a fiber runs the handler
    CH_HTTP_STREAMING, // the same, and it streams
    CH_HTTP_WRITING,   // the reply is in `out`
    CH_HTTP_LINGER,    // our side is shut; what comes is thrown away
    CH_HTTP_CLOSED,    // no socket any more; freed at the end of the turn
};

/** Each kind has one duration for all connections, so its list is sorted by the order of insertion. */
enum ch_http_timeout {
    CH_HTTP_T_HEAD,
    CH_HTTP_T_BODY,
    CH_HTTP_T_IDLE,
    CH_HTTP_T_WRITE,
    CH_HTTP_T_GRACE,
    CH_HTTP_TIMEOUTS
};

struct ch_http_timer {
    struct ch_http_timer *next, *prev; // NULL when not set
    int64_t due_ns;
    enum ch_http_timeout kind;
};

struct ch_http_timers {
    struct ch_http_timer lists[CH_HTTP_TIMEOUTS]; // heads of rings
    int64_t durations_ns[CH_HTTP_TIMEOUTS];
    int64_t armed_ns; // INT64_MAX: not armed
    struct event event;
};

/** A request in work. Pooled: an idle connection has none. */
struct ch_http_request {
    struct ch_http_exchange x;
    struct ch_arena *arena;
    struct ch_buf body;
    struct ch_http_body reader;
    struct ch_http_request *next; // in the pool
    bool is_http10;
    bool expects_continue;
    bool is_stream_open; // takes pieces (not for HEAD)
    bool is_chunked_reply;
    struct ch_http_header headers[]; // limits.headers_max
};

/** About 600 bytes; everything larger is allocated while it is needed. */
struct ch_http_conn {
    struct ch_http_server *server;
    struct ch_http_conn *next, **prev; // server->conns, later server->dead
    struct ch_http_conn *resume_next;  // server->resume
    struct event read_event, write_event;
    struct ch_http_timer timer;
    struct ch_http_request *req;
    struct ch_fiber *fiber; // while HANDLING or STREAMING, once it runs
    struct ch_wait *writer; // the streaming fiber waits for `out` to drain
    struct ch_buf in, out;  // bytes not consumed yet; bytes the kernel did not take
    size_t out_sent;        // of `out`
    size_t held;            // bytes of this connection counted in server->held
    size_t lingered;
    struct ch_http_scan scan;
    enum ch_http_state state;
    int fd;
    bool is_last;   // close after the current reply
    bool is_eof;    // the peer sends no more
    bool is_broken; // the socket failed: nothing can be sent
    bool is_fresh;  // no request was read yet
    bool is_read_paused;
    bool is_resuming;  // in server->resume
    bool is_cancelled; // the stream must end: drain
    bool has_skipped_crlf;
    char peer[INET6_ADDRSTRLEN];
};

struct ch_http_server {
    struct ch_loop *loop;
    struct ch_http_limits limits;
    ch_http_handler *handler;
    void *arg;
    int fd, port;
    struct event accept_event, accept_again_event;
    bool is_leaving, is_draining, is_freed;
    size_t conn_count; // relaxed atomic: other threads may look
    size_t held;       // bytes of input, bodies and unsent replies
    struct ch_http_conn *conns, *dead, *resume;
    struct ch_hook hook;
    struct ch_http_timers timers;
    struct ch_http_request *pool;
    size_t pool_count;
    char *scratch;
    struct ch_buf head, problem; // replies are put together here
    int64_t date_s;
    char date[32];
    struct ch_series *active;
};

// http_timer.c
CH_MUST_CHECK enum ch_err ch_http_timers_init(struct ch_http_server *server);
void ch_http_timers_release(struct ch_http_server *server);
void ch_http_timer_set(struct ch_http_conn *conn, enum ch_http_timeout kind); // replaces what was set
void ch_http_timer_clear(struct ch_http_conn *conn);

// http_server.c
struct ch_http_request *ch_http_request_take(struct ch_http_conn *conn); // NULL: memory is short
void ch_http_request_give(struct ch_http_conn *conn);
void ch_http_at_turn_end(struct ch_http_server *server);

// http_conn.c: what happens to a connection
void ch_http_conn_new(struct ch_http_server *server, int fd, const struct sockaddr *address,
                      bool is_refused); // takes ownership of fd
void ch_http_conn_readable(struct ch_http_conn *conn);
void ch_http_conn_timeout(struct ch_http_conn *conn, enum ch_http_timeout kind);
void ch_http_conn_drain(struct ch_http_conn *conn);
void ch_http_conn_resume(struct ch_http_conn *conn); // goes on with bytes that came while a request was handled
void ch_http_conn_close(struct ch_http_conn *conn);  // at once; memory stays until the end of the turn
void ch_http_conn_free(struct ch_http_conn *conn);   // of a closed one
void ch_http_conn_sent(struct ch_http_conn *conn);   // WRITING: all is out
void ch_http_conn_reject(struct ch_http_conn *conn, enum ch_err err); // answers and closes
void ch_http_conn_account(struct ch_http_conn *conn);
bool ch_http_is_over_budget(const struct ch_http_server *server);

// http_request.c: from bytes to a handler and back
size_t ch_http_consume(struct ch_http_conn *conn, const char *data,
                       size_t len);                   // IDLE, HEAD, BODY; how many bytes it took
void ch_http_request_done(struct ch_http_conn *conn); // the reply was given to the kernel or to `out`

// http_reply.c
void ch_http_stream_end(struct ch_http_conn *conn); // the last chunk

// http_out.c: bytes to the socket
void ch_http_send(struct ch_http_conn *conn, struct ch_str a, struct ch_str b,
                  struct ch_str c); // keeps what the kernel does not take
void ch_http_writable(struct ch_http_conn *conn);

#endif
