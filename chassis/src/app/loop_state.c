// SPDX-License-Identifier: Apache-2.0
// A loop of the service from its thread's start to its end: what it owns is made, watched and released here, in order.
// It must never wait for a database, a broker or a peer: the service starts without them, and readiness tells.
#include "loop_state.h"

#include "health.h"
#include "token.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#define TICK_FAST_MS   10 /**< while something is still missing: it decides how soon the service is ready */
#define TICK_SLOW_MS   250
#define TOKENS_MAX     4096 /**< verified tokens kept a loop */
#define PEER_CALLS_MAX 128  /**< to one service; as many again may wait: more would only wait longer */
#define WRITERS_QUEUE  4096
#define HANG_NS        (5 * INT64_C(1000000000))

/* ---- parts
 * ------------------------------------------------------------------------------------------------------------ */

static enum ch_err open_pg(struct ch_loop_state *state)
{
    const struct ch_pg_options options = {
        .uri = ch_settings.postgres_uri,
        .queries = state->process->queries,
        .readers = (size_t)ch_settings.db_readers,
        .writers = (size_t)ch_settings.db_writers,
        .waiting_max = WRITERS_QUEUE,
        .statement_timeout_ns = ch_settings.db_timeout_ms * 1000000,
        .application_name = state->process->service->name,
    };

    if (!state->process->queries)
        return CH_OK;
    state->pg = ch_pg_new(state->loop, &options);
    return state->pg ? CH_OK : CH_ERR_INTERNAL;
}

static enum ch_err open_peers(struct ch_loop_state *state)
{
    const struct ch_service *service = state->process->service;
    int count = 0;

    while (service->peers && service->peers[count].name)
        count++;
    assert(count <= CH_PEERS_MAX);
    state->peers = calloc((size_t)count + 1, sizeof(*state->peers));
    if (!state->peers)
        return CH_ERR_NO_MEMORY;
    for (state->peer_count = 0; state->peer_count < count; state->peer_count++) {
        const struct ch_peer_row *row = &service->peers[state->peer_count];
        const struct ch_peer_options options = {
            .name = row->name,
            .address = *(const char **)((char *)service->config + row->address_offset),
            .in_flight_max = PEER_CALLS_MAX,
            .waiting_max = PEER_CALLS_MAX,
            .bearer = (const char *const *)&state->bearer,
            .needs_bearer = ch_token_is_wanted(),
            .on_refused = ch_token_refused,
        };

        state->peers[state->peer_count] = ch_peer_new(state->loop, &options);
        if (!state->peers[state->peer_count])
            return CH_ERR_INTERNAL;
    }
    return CH_OK;
}

static enum ch_err open_auth(struct ch_loop_state *state)
{
    if (!state->process->keys)
        return CH_OK;
    state->auth = ch_auth_new(state->loop, state->process->keys, TOKENS_MAX);
    return state->auth ? CH_OK : CH_ERR_NO_MEMORY;
}

/* ---- the tick: what others may know of this loop
 * -------------------------------------------------------------------------- */

static void serving_update(struct ch_loop_state *state)
{
    const bool is_ready = ch_health_is_ready();

    if (!state->grpc || is_ready == state->is_grpc_serving)
        return;
    state->is_grpc_serving = is_ready;
    ch_grpc_server_set_serving(state->grpc, is_ready);
}

static bool tick_loop(struct ch_loop_state *state)
{
    const bool is_pg_up = state->pg && ch_pg_is_up(state->pg);
    uint64_t peers_up = 0;

    for (int i = 0; i < state->peer_count; i++)
        peers_up |= (uint64_t)ch_peer_is_up(state->peers[i]) << i;
    atomic_store(&state->is_pg_up, is_pg_up);
    atomic_store(&state->peers_up, peers_up);
    atomic_store(&state->tick_ns, ch_now_ns());
    ch_shed_turn(&state->shed, ch_now_ns());
    serving_update(state);
    return ch_health_is_ready();
}

/** The admin loop's part: what all loops say, as one. */
static bool tick_admin(struct ch_process *process)
{
    const int64_t now_ns = ch_now_ns();
    bool is_pg_up = true, is_moving = true;
    uint64_t peers_up = UINT64_MAX;

    for (int i = 0; i < process->loop_count; i++) {
        struct ch_loop_state *state = &process->loops[i];

        is_pg_up &= atomic_load(&state->is_pg_up);
        peers_up &= atomic_load(&state->peers_up);
        is_moving &= now_ns - atomic_load(&state->tick_ns) < HANG_NS;
    }
    ch_health_set("loops", is_moving);
    ch_health_set("postgres", is_pg_up);
    ch_health_set("keys", process->keys && ch_keys_are_loaded(process->keys));
    for (int i = 0; process->service->peers && process->service->peers[i].name; i++)
        ch_health_set(process->service->peers[i].name, peers_up >> i & 1);
    if (ch_health_is_ready() && !process->was_ready) {
        process->was_ready = true;
        ch_log(CH_LOG_INFO, NULL, "service.ready", CH_LI("start_ms", (now_ns - process->start_ns) / 1000000));
    }
    return ch_health_is_ready();
}

static void on_tick(evutil_socket_t fd, short events, void *arg)
{
    struct ch_loop_state *state = arg;
    const bool is_slow = state->is_admin ? tick_admin(state->process) : tick_loop(state);
    const struct timeval period = {.tv_usec = (is_slow ? TICK_SLOW_MS : TICK_FAST_MS) * 1000};

    (void)fd;
    (void)events;
    if (event_add(state->tick, &period)) // a timer: fails for lack of memory only
        ch_log(CH_LOG_ERROR, NULL, "loop.tick_lost", CH_LI("loop", state->index));
}

static enum ch_err open_tick(struct ch_loop_state *state)
{
    state->tick = evtimer_new(ch_loop_base(state->loop), on_tick, state);
    if (!state->tick)
        return CH_ERR_NO_MEMORY;
    on_tick(-1, 0, state);
    return CH_OK;
}

/* ---- the thread
 * ------------------------------------------------------------------------------------------------------- */

static enum ch_err parts_open(struct ch_loop_state *state)
{
    static enum ch_err (*const opens[])(struct ch_loop_state *) = {open_pg, open_peers, open_auth, ch_stats_init};
    enum ch_err err = CH_OK;

    ch_shed_init(&state->shed, (size_t)ch_settings.requests_max, (size_t)ch_settings.streams_max);
    for (size_t i = 0; i < sizeof(opens) / sizeof(opens[0]) && !err && !state->is_admin; i++)
        err = opens[i](state);
    if (!err && state->is_admin)
        err = ch_stats_init(state);
    return err ? err : open_tick(state);
}

static enum ch_err parts_close(struct ch_loop_state *state, void *unused)
{
    (void)unused; // the shape of ch_loop_state_call
    if (state->tick)
        event_free(state->tick);
    ch_http_server_free(state->http);
    ch_grpc_server_free(state->grpc);
    for (int i = 0; i < state->peer_count; i++)
        ch_peer_free(state->peers[i]);
    free(state->peers);
    ch_auth_free(state->auth);
    ch_pg_free(state->pg);
    ch_stats_release(state);
    if (state->has_start_ctx)
        ch_arena_free(state->start_ctx.arena);
    ch_spares_release(state);
    free(state->bearer);
    state->tick = NULL;
    state->http = NULL;
    state->grpc = NULL;
    state->peers = NULL;
    state->peer_count = 0;
    state->auth = NULL;
    state->pg = NULL;
    state->has_start_ctx = false;
    state->bearer = NULL;
    return CH_OK;
}

/** Calls the service's loop_start on a fiber: it may wait. Its context leaves the list of work, but its arena stays. */
static void run_loop_start(void *arg)
{
    struct ch_loop_state *state = arg;
    const struct ch_service *service = state->process->service;
    enum ch_err err = CH_OK;

    if (service->loop_start && !state->is_admin) {
        err = ch_ctx_open(&state->start_ctx, state->loop, "loop.start", ch_settings.request_timeout_ms, NULL);
        if (!err) {
            err = service->loop_start(&state->start_ctx, &state->service_state);
            state->has_start_ctx = true;
            ch_in_flight_remove(state, &state->start_ctx);
            ch_span_end(state->start_ctx.span, err);
        }
    }
    state->start_err = err;
    sem_post(state->ready);
}

static void *loop_thread(void *arg)
{
    struct ch_loop_state *state = arg;
    char name[16];

    (void)snprintf(name, sizeof(name), state->is_admin ? "admin" : "loop-%d", state->index); // short enough
    const struct ch_loop_options options = {
        .name = name,
        .index = state->index,
        .fibers_max = state->is_admin ? 64 : (size_t)ch_settings.fibers_max,
    };

    enum ch_err err = CH_ERR_NO_MEMORY;
    state->loop = ch_loop_new(&options);
    if (state->loop) {
        ch_loop_set_user(state->loop, state);
        err = parts_open(state);
        if (!err)
            err = ch_fiber_start(state->loop, run_loop_start, state);
    }
    if (err) {
        state->start_err = err;
        sem_post(state->ready);
    }
    if (state->loop)
        ch_loop_run(state->loop);
    return NULL;
}

enum ch_err ch_loop_state_start(struct ch_loop_state *state, sem_t *ready)
{
    state->ready = ready;
    atomic_store(&state->tick_ns, ch_now_ns());
    if (pthread_create(&state->thread, NULL, loop_thread, state))
        return CH_ERR_NO_MEMORY;
    state->is_joinable = true;
    return CH_OK;
}

void ch_loop_state_stop(struct ch_loop_state *state)
{
    if (!state->is_joinable)
        return;
    if (state->loop) {
        (void)ch_loop_state_call(state, parts_close, NULL); // returns CH_OK
        ch_loop_stop(state->loop);
    }
    pthread_join(state->thread, NULL);
    ch_loop_free(state->loop); // not on its own thread: who told it to stop may still be touching it
    state->loop = NULL;
    state->is_joinable = false;
}

/* ---- calls from the main thread
 * --------------------------------------------------------------------------------------------- */

struct call {
    struct ch_mail mail;
    struct ch_loop_state *state;
    enum ch_err (*fn)(struct ch_loop_state *state, void *arg);
    void *arg;
    enum ch_err err;
    sem_t done;
};

static void call_run(struct ch_loop *loop, void *arg)
{
    struct call *call = arg;

    (void)loop; // is the state's
    call->err = call->fn(call->state, call->arg);
    sem_post(&call->done);
}

enum ch_err ch_loop_state_call(struct ch_loop_state *state, enum ch_err (*fn)(struct ch_loop_state *state, void *arg),
                               void *arg)
{
    struct call call = {.mail = {.fn = call_run}, .state = state, .fn = fn, .arg = arg};

    assert(!ch_loop_current());
    call.mail.arg = &call;
    sem_init(&call.done, 0, 0);
    ch_loop_post(state->loop, &call.mail);
    while (sem_wait(&call.done)) // interrupted by a signal: again
        ;
    sem_destroy(&call.done);
    return call.err;
}

/* ---- listeners
 * ---------------------------------------------------------------------------------------------------------- */

static struct ch_listen listen_where(const struct ch_loop_state *state, int port)
{
    return (struct ch_listen){ch_settings.listen_address, port, !state->is_admin && state->index > 0};
}

static enum ch_err listen_http(struct ch_loop_state *state, int *port)
{
    struct ch_http_limits limits = ch_http_limits_default;

    limits.connections_max = (size_t)ch_settings.http_connections_max;
    limits.buffered_max = (size_t)ch_settings.http_buffered_max_bytes;
    limits.idle_timeout_ns = ch_settings.http_idle_timeout_ms * 1000000;
    limits.body_max = ch_body_max(state->routes);
    const struct ch_listen where = listen_where(state, *port);
    enum ch_err err = ch_http_server_new(state->loop, &where, &limits, ch_request_serve, state, &state->http);
    if (!err)
        *port = ch_http_server_port(state->http);
    return err;
}

static enum ch_err listen_grpc(struct ch_loop_state *state, int *port)
{
    const struct ch_rpc *const tables[] = {state->process->service->rpcs, NULL};
    const struct ch_grpc_server_options options = {
        .tables = tables,
        .before = ch_rpc_before,
        .admit = ch_rpc_admit,
        .after = ch_rpc_after,
        .arg = state,
        .default_timeout_ns = ch_settings.request_timeout_ms * 1000000,
        .connections_max = (size_t)ch_settings.http_connections_max,
        .streams_max = (size_t)(ch_settings.requests_max + ch_settings.streams_max),
    };

    const struct ch_listen where = listen_where(state, *port);
    enum ch_err err = ch_grpc_server_new(state->loop, &where, &options, &state->grpc);
    if (err)
        return err;
    *port = ch_grpc_server_port(state->grpc);
    ch_grpc_server_set_serving(state->grpc, false);
    return CH_OK;
}

enum ch_err ch_loop_state_listen(struct ch_loop_state *state, void *arg)
{
    struct ch_ports *ports = arg;

    enum ch_err err = listen_http(state, &ports->http);
    if (err)
        ports->refused = state->is_admin ? "ADMIN_PORT" : "HTTP_PORT";
    if (!err && !state->is_admin) {
        err = listen_grpc(state, &ports->grpc);
        if (err)
            ports->refused = "GRPC_PORT";
    }
    if (err)
        ports->reason = errno;
    return err;
}
