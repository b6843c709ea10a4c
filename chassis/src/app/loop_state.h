// SPDX-License-Identifier: Apache-2.0
/**
 * @file loop_state.h
 * @brief What each loop of a service owns, and the process around them. Private to this folder.
 *
 * Threads: main (start, signals, service token, drain), one a loop, `admin` (a loop of its own, so that probes are
 * answered when the others are busy), and those of telemetry, keys and events. A loop's state belongs to its thread;
 * what others read of it is atomic and says so.
 */
#ifndef CH_APP_LOOP_STATE_H
#define CH_APP_LOOP_STATE_H

#include "ch/app.h"

#include "route.h"
#include "settings.h"
#include "shed.h"

#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>

#define CH_PEERS_MAX      64
#define CH_SPARES_MAX     16                  /**< idle arenas and reply buffers kept a loop */
#define CH_WORK_ARENA_MAX (32u * 1024 * 1024) /**< memory of one piece of work of the service itself */
#define CH_REPLY_MAX      (8u * 1024 * 1024)
#define CH_SPARE_KEEP_MAX (256u * 1024) /**< a larger buffer is freed instead of kept */

struct ch_process;
struct ch_route_series; /* stats.c */
struct ch_rpc_series;

struct ch_loop_state {
    struct ch_process *process;
    int index;
    bool is_admin;
    pthread_t thread;
    bool is_joinable;
    sem_t *ready;
    enum ch_err start_err;
    struct ch_loop *loop;

    struct ch_pg *pg;     /**< NULL: no database */
    struct ch_auth *auth; /**< NULL: no route needs a token */
    struct ch_peer **peers;
    int peer_count;
    char *bearer;            /**< current service token; NULL: none */
    void *service_state;     /**< what loop_start made, in the arena of … */
    struct ch_ctx start_ctx; /**< … this context, which lives as long as the loop */
    bool has_start_ctx;

    const struct ch_route_table *routes;
    struct ch_http_server *http;
    struct ch_grpc_server *grpc;
    struct ch_route_series *route_series; /**< by route's index, the last for what no route matched */
    struct ch_rpc_series *rpc_series;     /**< by rpc's index */
    struct ch_shed shed;
    struct ch_shed_usual *route_usual, *rpc_usual; /**< by index, as the series */

    struct ch_ctx *in_flight; /**< newest first */
    size_t in_flight_count;
    _Atomic(size_t) in_flight_shown; /**< the same, for other threads */
    struct ch_arena *spare_arenas[CH_SPARES_MAX];
    size_t spare_arena_count;
    struct ch_buf spare_bufs[CH_SPARES_MAX];
    size_t spare_buf_count;

    struct event *tick; /**< publishes what follows */
    bool is_tick_slow, is_grpc_serving;
    atomic_bool is_pg_up;
    _Atomic(uint64_t) peers_up; /**< bit a peer */
    _Atomic(int64_t) tick_ns;   /**< when it last ran: a loop that hangs stops here */
};

struct ch_process {
    const struct ch_service *service;
    struct ch_route_table *routes;
    struct ch_keys *keys;
    struct ch_query *queries; /**< the service's own, then those of outbox and inbox; NULL: no database */
    int own_query_first;
    struct ch_loop_state *loops;
    int loop_count;
    struct ch_loop_state *admin; /**< the last of `loops`, after loop_count */
    struct ch_loop **event_loops;
    struct ch_route_table *admin_routes;
    int64_t start_ns;
    bool was_ready; /**< admin loop only */
};
extern struct ch_process ch_process; /**< written before the loops start */

static inline struct ch_loop_state *ch_state_of(const struct ch_ctx *ctx)
{
    return ch_loop_user(ctx->loop);
}

/** Index that the first statement of ch_events_queries has in this process's pools. */
int ch_own_query_first(const struct ch_ctx *ctx);

/* ---- loop_state.c: a loop from its thread's start to its end
 * --------------------------------------------------------------- */

/** Starts the thread; its parts are made on it, then the service's loop_start runs. `ready` is posted when `start_err`
 * is set. */
CH_MUST_CHECK enum ch_err ch_loop_state_start(struct ch_loop_state *state, sem_t *ready);
/** Opens the listeners; `*ports` of 0 are replaced by those taken. By ch_loop_state_call. */
struct ch_ports {
    int http, grpc;
    const char *refused; /**< the setting at fault after a failure */
    int reason;          /**< … and errno, when the failure is CH_ERR_UNAVAILABLE */
};
enum ch_err ch_loop_state_listen(struct ch_loop_state *state, void *ports);
/** Ends the loop and joins its thread; nothing may be in flight on it. Accepts a state that was never started. */
void ch_loop_state_stop(struct ch_loop_state *state);

/** Runs `fn(state, arg)` on the loop's thread, outside a fiber, and blocks the caller (never a loop's thread) until it
 * returned. */
enum ch_err ch_loop_state_call(struct ch_loop_state *state, enum ch_err (*fn)(struct ch_loop_state *state, void *arg),
                               void *arg);

/* ---- context.c: work in flight
 * --------------------------------------------------------------------------------------------- */

void ch_in_flight_add(struct ch_loop_state *state, struct ch_ctx *ctx); /**< notes the fiber, too */
void ch_in_flight_remove(struct ch_loop_state *state, struct ch_ctx *ctx);
struct ch_arena *ch_arena_take(struct ch_loop_state *state, size_t max_bytes); /**< NULL: memory is short */
void ch_arena_give(struct ch_loop_state *state, struct ch_arena *arena);
void ch_reply_buf_take(struct ch_loop_state *state, struct ch_buf *ret_buf);
void ch_reply_buf_give(struct ch_loop_state *state, struct ch_buf *buf);
void ch_spares_release(struct ch_loop_state *state);

/* ---- request.c, rpc.c: what the servers call
 * -------------------------------------------------------------------------------- */

#define CH_BODY_MAX (256 * 1024) /**< of a row that names none */

void ch_request_serve(struct ch_http_exchange *x, void *state);
size_t ch_body_max(const struct ch_route_table *table); /**< largest body that any row takes */
enum ch_err ch_rpc_before(struct ch_call *call, void *state);
void ch_rpc_after(struct ch_call *call, enum ch_err result, void *state);

/** What a row of routes or rpcs asks of its caller. */
struct ch_access {
    unsigned scope;       /**< any of these; 0: anybody, but a token that is shown must be right */
    const char *services; /**< with CH_INTERNAL in `scope`: which services, with spaces between */
};
/** Who asks, and may he? Sets ctx->identity. */
CH_MUST_CHECK enum ch_err ch_authorize_wait(struct ch_loop_state *state, struct ch_ctx *ctx,
                                            struct ch_str authorization, struct ch_access access);
/** For what the server itself offers beside health (reflection): a good token of anybody. */
enum ch_err ch_rpc_admit(struct ch_call *call, void *state);
/** Internals stay inside: drops detail and faults of a 500, and logs a failure of ours once. */
void ch_failure_settle(struct ch_ctx *ctx, const char *event, enum ch_err err);

/* ---- stats.c: metrics of requests and calls
 * ----------------------------------------------------------------------------------- */

CH_MUST_CHECK enum ch_err ch_stats_init(struct ch_loop_state *state);
void ch_stats_release(struct ch_loop_state *state);
/** `route` NULL: unmatched. */
void ch_stats_request(struct ch_loop_state *state, const struct ch_route *route, enum ch_http_method method, int status,
                      int64_t duration_ns);
void ch_stats_rpc(struct ch_loop_state *state, const struct ch_rpc *rpc, enum ch_err result, int64_t duration_ns);
void ch_stats_on_scrape(void *process); /**< gauges of loops and dependencies */

/* ---- jobs.c, drain.c, admin.c
 * ----------------------------------------------------------------------------------------- */

/** Starts a fiber for each job. This and the two below: on loop 0. */
enum ch_err ch_jobs_start(struct ch_loop_state *state, void *unused);
enum ch_err ch_jobs_stop(struct ch_loop_state *state, void *unused); /**< no job begins any more; sleeping ones end */
size_t ch_jobs_alive(void);

/** From ready to nothing in flight; see drain.c. False: some work did not end, so nothing may be freed. */
bool ch_drain(struct ch_process *process);
bool ch_drain_admin(struct ch_process *process); /**< the admin port's; the other loops still run */

extern const struct ch_route ch_admin_routes[];

#endif
