// SPDX-License-Identifier: Apache-2.0
/*
 * What the pg_*.c files share: the pool of one loop, its connections, the pipeline of a connection, a fiber's call.
 * Nothing outside them may include this. All of it belongs to one loop thread (pg_thread.c uses the values and errors
 * only).
 *
 *   pg_pool.c   who gets which connection, who waits for one
 *   pg_conn.c   a connection's life: resolve, connect, prepare, ready, broken, again after a pause
 *   pg_session.c  what a connection is opened with;  pg_lookup.c  host names, off the loop
 *   pg_pipe.c   statements out, results in, matched first in first out
 *   pg_run.c    one statement from a fiber;  pg_tx.c  a transaction
 *   pg_args.c, pg_rows.c  binary values;  pg_error.c  SQLSTATE to enum ch_err;  pg_stats.c  metrics, spans, the current
 * step pg_thread.c the blocking twin for threads
 */
#ifndef CH_PG_INTERNAL_H
#define CH_PG_INTERNAL_H

#include "ch/pg.h"

#include <libpq-fe.h>

#define CH_PG_IN_FLIGHT_MAX  1024               /* statements of a connection without an answer */
#define CH_PG_BYTES_MAX      (16 * 1024 * 1024) /* bytes of their arguments */
#define CH_PG_CONNECT_NS     INT64_C(3000000000)
#define CH_PG_FIRST_WAIT_NS  INT64_C(300000000) /* how long calls wait for the very first connect */
#define CH_PG_BACKOFF_MIN_NS INT64_C(50000000)
#define CH_PG_BACKOFF_MAX_NS INT64_C(1000000000)
#define CH_PG_HOSTS_MAX      4
#define CH_PG_SETTINGS       7 /* parameters of the statement CH_PG_SETUP */

/** What is not in the table of queries: the chassis's own statements, by negative index. */
enum ch_pg_own { CH_PG_BEGIN = -1, CH_PG_COMMIT = -2, CH_PG_ROLLBACK = -3, CH_PG_SETUP = -4, CH_PG_OWN_COUNT = 4 };

/* ---- pipeline -------------------------------------------------------------------------------------------------------
 */

/** One answer that the server owes: of a statement, of a preparation, or of a Sync. */
struct ch_pg_slot {
    struct ch_pg_call *call; /* NULL: nobody waits (any more); the answer is discarded */
    int64_t start_ns;
    int query;
    unsigned bytes;
    enum { CH_PG_SLOT_STATEMENT, CH_PG_SLOT_SYNC } kind;
    bool has_result;
    bool is_aborted;
    bool is_observed; /* its duration goes to the metrics when the answer comes: ch_tx_send */
};

/** A fiber's wait for one answer; lies on its stack. */
struct ch_pg_call {
    struct ch_wait wait;
    struct ch_ctx *ctx;
    int query;
    const struct ch_pg_args *args;
    struct ch_pg_conn *conn; /* NULL once the connection broke */
    uint64_t first, last;    /* its slots, while it waits */
    PGresult *result;
    enum ch_err err;
    char sqlstate[6];
    bool is_until_sync; /* done when the Sync is answered: a write is committed only then */
    bool is_resent;
};

enum ch_pg_conn_state {
    CH_PG_DOWN, /* pauses, or is being freed */
    CH_PG_RESOLVING,
    CH_PG_CONNECTING,
    CH_PG_PREPARING,
    CH_PG_READY,
};

/** What a ready connection of the writers' group does. Readers stay CH_PG_SHARED. */
enum ch_pg_use { CH_PG_SHARED, CH_PG_IDLE, CH_PG_TAKEN, CH_PG_DRAINING };

struct ch_pg_conn {
    struct ch_pg *pg;
    struct ch_pg_group *group;
    PGconn *pq;
    struct event *connecting, *readable, *writable; /* NULL when not connected */
    struct event *timer; /* pause, limit of connecting, or watch over the pipeline: by state */
    enum ch_pg_conn_state state;
    enum ch_pg_use use;
    struct ch_pg_lookup *lookup;
    int attempt;
    bool is_setup_failed;

    struct ch_pg_slot *slots; /* ring: [head, tail) */
    uint64_t head, tail;
    size_t slots_max; /* power of two */
    size_t in_flight, unsynced;
    size_t bytes;
    int64_t progress_ns; /* when the head of the pipeline last changed */

    struct ch_pg_conn **owner; /* where a taken writer's owner keeps it: set to NULL when it breaks */
    struct ch_tx *tx;          /* the transaction that owns it, if any */
    enum ch_err tx_err;
    bool has_begun;
    int rollbacks;
    struct ch_pg_conn *next_idle;
};

/** Waits for a connection of a group; lies on a fiber's stack. */
struct ch_pg_waiter {
    struct ch_wait wait;
    struct ch_pg_conn *conn; /* handed over (writers) */
    struct ch_pg_waiter *next, **link;
};

struct ch_pg_group {
    struct ch_pg_conn *conns;
    size_t count, ready;
    bool is_starting; /* no first connect has ended yet */
    bool is_shared, is_started;
    struct ch_pg_conn *idle;
    struct ch_pg_waiter *first, **last;
    size_t waiting;
};

struct ch_pg {
    struct ch_loop *loop;
    struct ch_pg_options options; /* copies */
    int query_count;
    char *hosts[CH_PG_HOSTS_MAX]; /* to resolve; none: the URI is used as it is */
    int host_count;
    struct ch_pg_group readers, writers;
    struct ch_hook flush; /* at the end of the turn: one Sync a reader, sent statements leave */
    bool is_freed;        /* by ch_pg_free, while the hook was armed: the hook frees the memory */
    bool is_failure_logged;
    struct ch_series **series; /* [query][outcome], looked up once */
    struct ch_series *gauges[4], *pending;
};

/* ---- pg_pipe.c: false means the connection is of no use any more; the caller breaks it
 * -------------------------------- */

bool ch_pg_pipe_has_room(const struct ch_pg_conn *conn, const struct ch_pg_args *args);
CH_MUST_CHECK bool ch_pg_pipe_send(struct ch_pg_conn *conn, int query, const struct ch_pg_args *args,
                                   struct ch_pg_call *call);
CH_MUST_CHECK bool ch_pg_pipe_prepare(struct ch_pg_conn *conn, const char *name, const char *sql, int query);
CH_MUST_CHECK bool ch_pg_pipe_configure(struct ch_pg_conn *conn, const char *const values[CH_PG_SETTINGS]);
CH_MUST_CHECK bool ch_pg_pipe_sync(struct ch_pg_conn *conn, struct ch_pg_call *call);
CH_MUST_CHECK bool ch_pg_pipe_flush(struct ch_pg_conn *conn);
CH_MUST_CHECK bool ch_pg_pipe_drain(struct ch_pg_conn *conn);             /* takes what has come */
void ch_pg_pipe_forget(struct ch_pg_conn *conn, struct ch_pg_call *call); /* the fiber leaves */
void ch_pg_pipe_fail(struct ch_pg_conn *conn);                            /* every wait ends with CH_ERR_UNAVAILABLE */
static inline bool ch_pg_pipe_is_empty(const struct ch_pg_conn *conn)
{
    return conn->head == conn->tail;
}

/* ---- pg_conn.c
 * -------------------------------------------------------------------------------------------------------- */

CH_MUST_CHECK bool ch_pg_conn_init(struct ch_pg_conn *conn, struct ch_pg *pg, struct ch_pg_group *group);
void ch_pg_conn_release(struct ch_pg_conn *conn);
void ch_pg_conn_start(struct ch_pg_conn *conn);
void ch_pg_conn_connect(struct ch_pg_conn *conn, const char *host,
                        const char *hostaddr); /* NULL: the URI says it all */
void ch_pg_conn_break(struct ch_pg_conn *conn,
                      const char *why);         /* closes, ends its waits, tries again later; `why` is a literal */
void ch_pg_conn_watch(struct ch_pg_conn *conn); /* something is in flight now */

/* ---- pg_session.c: shared with pg_thread.c
 * ------------------------------------------------------------------------------ */

/** `host` and `hostaddr` are lists of the same length, or NULL. */
PGconn *ch_pg_connect_start(const char *uri, const char *application_name, const char *host, const char *hostaddr,
                            int64_t timeout_ns);
#define CH_PG_TIMEOUT_TEXT 24
void ch_pg_settings(bool is_read_only, int64_t timeout_ns, char timeout_text[CH_PG_TIMEOUT_TEXT],
                    const char *ret_values[CH_PG_SETTINGS]);
extern const struct ch_query ch_pg_own_queries[CH_PG_OWN_COUNT]; /* [-1 - own] */
/** Host names that libpq would look up itself, blocking. False: no URI, or more than CH_PG_HOSTS_MAX. */
CH_MUST_CHECK bool ch_pg_uri_hosts(const char *uri, char *ret_hosts[CH_PG_HOSTS_MAX], int *ret_count,
                                   const char **reterr_why);

/* ---- pg_lookup.c
 * -------------------------------------------------------------------------------------------------------- */

/** Looks the pool's hosts up, then calls ch_pg_conn_connect, or ch_pg_conn_break when it cannot; never from inside this
 * call. */
CH_MUST_CHECK enum ch_err ch_pg_lookup_start(struct ch_pg_conn *conn);
void ch_pg_lookup_forget(struct ch_pg_conn *conn);

/* ---- pg_pool.c
 * -------------------------------------------------------------------------------------------------------- */

CH_MUST_CHECK enum ch_err ch_pg_reader_wait(struct ch_pg *pg, int64_t limit_ns, struct ch_pg_conn **ret_conn);
/** `*ret_conn` must stay where it is until the writer is given back: it becomes NULL when the connection breaks. */
CH_MUST_CHECK enum ch_err ch_pg_writer_wait(struct ch_pg *pg, int64_t limit_ns, struct ch_pg_conn **ret_conn);
void ch_pg_writer_give(struct ch_pg_conn *conn); /* idle at once, or after what is in flight has ended */
void ch_pg_pool_on_ready(struct ch_pg_conn *conn);
void ch_pg_pool_on_down(struct ch_pg_conn *conn, bool was_ready);
CH_MUST_CHECK bool ch_pg_pool_on_settled(struct ch_pg_conn *conn); /* nothing is in flight any more; false: break it */

/* ---- pg_error.c
 * ------------------------------------------------------------------------------------------------------- */

enum ch_err ch_pg_error_map(const char *sqlstate);
/** Maps, logs once and copies the constraint's name. `ctx` may be NULL. */
enum ch_err ch_pg_error_take(const PGresult *result, const char *query_name, struct ch_ctx *ctx, char ret_sqlstate[6]);
void ch_pg_mistake(const char *what, const char *detail) __attribute__((noreturn)); /* says it and aborts */

/* ---- pg_stats.c
 * ------------------------------------------------------------------------------------------------------- */

/** One operation as the outside sees it: step, span, duration. */
struct ch_pg_op {
    struct ch_pg *pg;
    struct ch_ctx *ctx;
    int query;
    int64_t start_ns, limit_ns; /* min(deadline, cap) */
    const char *step;
    struct ch_span span;
    bool has_span;
};
void ch_pg_op_begin(struct ch_pg_op *op, struct ch_pg *pg, struct ch_ctx *ctx, int query);
enum ch_err ch_pg_op_end(struct ch_pg_op *op, enum ch_err err,
                         const char *sqlstate); /* turns the cap's CH_ERR_DEADLINE into CH_ERR_UNAVAILABLE */
CH_MUST_CHECK bool ch_pg_stats_init(struct ch_pg *pg);
void ch_pg_observe(struct ch_pg *pg, int query, enum ch_err err, int64_t duration_ns);
enum ch_pg_gauge { CH_PG_GAUGE_CONNECTING, CH_PG_GAUGE_SHARED, CH_PG_GAUGE_IDLE, CH_PG_GAUGE_USED };
void ch_pg_gauge(struct ch_pg *pg, enum ch_pg_gauge gauge, int n);
const char *ch_pg_query_name(const struct ch_pg *pg, int query);

/** Waits for an answer within op's limit; on leaving early takes the call back. The result is the caller's. */
CH_MUST_CHECK enum ch_err ch_pg_call_wait(struct ch_pg_op *op, struct ch_pg_call *call);
/** Hands the result over, or frees it. */
void ch_pg_call_give(struct ch_pg_call *call, enum ch_err err, struct ch_pg_rows **ret_rows);

#endif
