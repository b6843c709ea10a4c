// SPDX-License-Identifier: Apache-2.0
// A peer: the names it was given, the addresses that they have at the moment, and which of those takes the next call.
// Names are looked up again when an address of theirs is lost, and now and then, so that calls find instances that came
// later. It must never forget an address because a lookup failed.
#include "grpc_peer.h"

#include <stdlib.h>

#define MS_NS           1000000ll
#define LOOKUP_NS       (5000 * MS_NS)  // the longest one
#define LOOKUP_EVERY_NS (30000 * MS_NS) // nothing having happened
#define LOOKUP_LEAST_NS (1000 * MS_NS)  // between two
#define LOOKUP_FIRST_NS (100 * MS_NS)   // after one that failed; doubled to LOOKUP_LEAST_NS

static const struct ch_metric up_metric = {
    .name = "rpc_client_connections",
    .type = CH_GAUGE,
    .help = "Connections to gRPC peers that take calls",
    .labels = {"peer"},
};
static const struct ch_metric retry_metric = {
    .name = "rpc_client_retries_total",
    .type = CH_COUNTER,
    .help = "Calls sent again, and those that the retry budget kept from it",
    .labels = {"peer", "result"},
};
static const struct ch_metric broken_metric = {
    .name = "rpc_client_circuit_open_total",
    .type = CH_COUNTER,
    .help = "Calls that failed at once because the breakers of all addresses were open",
    .labels = {"peer"},
};

/* ---- states ---- */

enum peer_state peer_state_of(const struct ch_peer *peer)
{
    enum peer_state state = PEER_DOWN;

    for (size_t i = 0; i < peer->end_count; i++) {
        if (peer->ends[i]->state == PEER_UP)
            return PEER_UP;
        if (peer->ends[i]->state == PEER_CONNECTING)
            state = PEER_CONNECTING;
    }
    for (size_t i = 0; i < peer->name_count; i++)
        if (peer->names[i].is_fresh)
            state = PEER_CONNECTING;
    return state;
}

void peer_changed(struct ch_peer *peer)
{
    enum peer_state state = peer_state_of(peer);

    if (state != PEER_CONNECTING)
        ch_queue_wake_all(&peer->waiting, state == PEER_UP ? CH_OK : CH_ERR_UNAVAILABLE);
}

void peer_hurry(struct ch_peer *peer, const struct peer_end *lost)
{
    for (size_t i = 0; i < peer->end_count; i++)
        if (peer->ends[i] != lost && peer->ends[i]->state == PEER_UP)
            return;
    for (size_t i = 0; i < peer->end_count; i++)
        if (peer->ends[i] != lost)
            peer_end_hurry(peer->ends[i]);
}

static bool can_take(const struct peer_end *end, int64_t now_ns)
{
    return end->state == PEER_UP && ch_breaker_would_pass(&end->breaker, now_ns);
}

struct peer_end *peer_choose(struct ch_peer *peer, uint32_t avoid_id)
{
    const int64_t now_ns = ch_now_ns();
    struct peer_end *best = NULL, *avoided = NULL;
    size_t best_at = 0;

    for (size_t i = 0; i < peer->end_count; i++) {
        const size_t at = (peer->turn + i) % peer->end_count;
        struct peer_end *end = peer->ends[at];

        if (!can_take(end, now_ns))
            continue;
        if (end->id == avoid_id) {
            avoided = end;
        } else if (!best || end->in_flight < best->in_flight) {
            best = end;
            best_at = at;
        }
    }
    if (!best)
        return avoided;
    peer->turn = best_at + 1;
    return best;
}

/* ---- names ---- */

static void set_timer(struct event *timer, int64_t in_ns)
{
    uint32_t chance;
    struct timeval when;

    ch_random(&chance, sizeof(chance));
    in_ns = in_ns / 2 + (int64_t)((double)in_ns / 2 * chance / UINT32_MAX); // not all loops and instances at once
    when = (struct timeval){.tv_sec = in_ns / 1000000000, .tv_usec = in_ns % 1000000000 / 1000};
    (void)event_add(timer, &when); // for a timer: fails only when memory is short
}

static bool is_in(const struct ch_addresses *addresses, const struct peer_end *end)
{
    for (size_t i = 0; i < addresses->count; i++)
        if (peer_end_is_at(end, &addresses->list[i]))
            return true;
    return false;
}

static void drop_vanished(struct peer_name *name, const struct ch_addresses *addresses)
{
    struct ch_peer *peer = name->peer;

    for (size_t i = peer->end_count; i-- > 0;) {
        struct peer_end *end = peer->ends[i];

        if (end->name == name && !end->is_gone && !is_in(addresses, end))
            peer_end_drop(end);
    }
}

static void add_address(struct peer_name *name, const struct ch_address *address)
{
    struct ch_peer *peer = name->peer;
    struct peer_end *end;

    for (size_t i = 0; i < peer->end_count; i++)
        if (!peer->ends[i]->is_gone && peer_end_is_at(peer->ends[i], address))
            return;
    end = peer->end_count < PEER_ENDS_MAX ? peer_end_new(name, address) : NULL;
    if (!end)
        return;
    end->is_listed = true;
    peer->ends[peer->end_count++] = end;
}

void peer_forget(struct peer_end *end)
{
    struct ch_peer *peer = end->peer;
    size_t at = 0;

    while (peer->ends[at] != end)
        at++;
    peer->end_count--;
    memmove(&peer->ends[at], &peer->ends[at + 1], (peer->end_count - at) * sizeof(struct peer_end *));
    end->is_listed = false;
    peer_end_unref(end);
}

static void lookup_failed(struct peer_name *name)
{
    int64_t next = name->backoff_ns ? name->backoff_ns * 2 : LOOKUP_FIRST_NS;

    name->is_fresh = false;
    name->backoff_ns = next < LOOKUP_LEAST_NS ? next : LOOKUP_LEAST_NS;
    set_timer(name->timer, name->backoff_ns);
    ch_log(CH_LOG_DEBUG, NULL, "grpc.lookup_failed", CH_LS("peer", name->peer->name), CH_LS("host", name->host));
    peer_changed(name->peer);
}

static void on_resolved(void *arg, enum ch_err err, const struct ch_addresses *addresses)
{
    struct peer_name *name = arg;

    if (!name->is_resolving) // too late
        return;
    name->is_resolving = false;
    (void)event_del(name->timer);
    if (err) {
        lookup_failed(name);
        return;
    }
    name->backoff_ns = 0;
    drop_vanished(name, addresses);
    for (size_t i = 0; i < addresses->count; i++)
        add_address(name, &addresses->list[i]);
    name->is_fresh = false;
    set_timer(name->timer, LOOKUP_EVERY_NS);
    peer_changed(name->peer);
}

static void look(struct peer_name *name)
{
    const struct timeval longest = {.tv_sec = LOOKUP_NS / 1000000000};

    name->is_resolving = true;
    name->asked_ns = ch_now_ns();
    (void)event_add(name->timer, &longest); // as above
    ch_resolve_start(name->resolver, name->host, name->port, on_resolved, name);
}

static void on_timer(evutil_socket_t fd, short events, void *arg)
{
    struct peer_name *name = arg;

    (void)fd;
    (void)events;
    if (!name->is_resolving) {
        look(name);
        return;
    }
    name->is_resolving = false;
    lookup_failed(name);
}

void peer_name_look(struct peer_name *name)
{
    int64_t passed_ns = ch_now_ns() - name->asked_ns;

    if (!name->resolver || name->is_resolving || name->peer->is_freed)
        return;
    if (passed_ns >= LOOKUP_LEAST_NS)
        look(name);
    else
        set_timer(name->timer, LOOKUP_LEAST_NS - passed_ns);
}

/* ---- life ---- */

static enum ch_err name_open(struct ch_peer *peer, struct ch_str text)
{
    struct peer_name *name = &peer->names[peer->name_count];
    struct ch_address address;
    enum ch_err err;

    if (peer->name_count == PEER_NAMES_MAX)
        return CH_ERR_INVALID;
    *name = (struct peer_name){.peer = peer};
    err = ch_address_split(text, name->host, &name->port);
    if (err)
        return err;
    name->authority = strndup(text.data, text.len);
    if (!name->authority)
        return CH_ERR_NO_MEMORY;
    peer->name_count++;
    if (ch_address_of_number(name->host, name->port, &address)) {
        add_address(name, &address);
        return peer->end_count > 0 ? CH_OK : CH_ERR_NO_MEMORY;
    }
    name->resolver = ch_resolver_new(peer->loop);
    name->timer = event_new(ch_loop_base(peer->loop), -1, 0, on_timer, name);
    if (!name->resolver || !name->timer)
        return CH_ERR_NO_MEMORY;
    name->is_fresh = true;
    look(name);
    return CH_OK;
}

static enum ch_err names_open(struct ch_peer *peer, struct ch_str list)
{
    enum ch_err err = CH_OK;
    struct ch_str text;

    do {
        ch_addresses_next(&list, &text);
        err = name_open(peer, text);
    } while (!err && list.data);
    return err;
}

static void peer_release(struct ch_peer *peer)
{
    for (size_t i = 0; i < peer->name_count; i++)
        free(peer->names[i].authority);
    free(peer->series);
    free(peer->name);
    free(peer);
}

void peer_leave(struct ch_peer *peer)
{
    peer->users--;
    if (peer->is_freed && peer->users == 0)
        peer_release(peer);
}

static void open_metrics(struct ch_peer *peer)
{
    peer->up_gauge = ch_series_get(&up_metric, (const char *const[]){peer->name, NULL});
    peer->retry_count = ch_series_get(&retry_metric, (const char *const[]){peer->name, "sent", NULL});
    peer->unretried_count = ch_series_get(&retry_metric, (const char *const[]){peer->name, "no_budget", NULL});
    peer->broken_count = ch_series_get(&broken_metric, (const char *const[]){peer->name, NULL});
}

struct ch_peer *ch_peer_new(struct ch_loop *loop, const struct ch_peer_options *options)
{
    struct ch_peer *peer = calloc(1, sizeof(*peer));

    if (!peer)
        return NULL;
    peer->loop = loop;
    peer->bearer = options->bearer;
    peer->needs_bearer = options->needs_bearer;
    peer->on_refused = options->on_refused;
    peer->on_refused_arg = options->on_refused_arg;
    peer->name = strdup(options->name);
    if (!peer->name) {
        free(peer);
        return NULL;
    }
    open_metrics(peer);
    ch_queue_init(&peer->waiting, options->in_flight_max);
    ch_bulkhead_init(&peer->bulkhead, peer->name, options->in_flight_max, options->waiting_max);
    ch_retry_budget_init(&peer->budget, options->in_flight_max, ch_now_ns()); // all that is in flight, once
    if (names_open(peer, ch_str_of(options->address))) {
        ch_peer_free(peer);
        return NULL;
    }
    return peer;
}

bool ch_peer_is_up(const struct ch_peer *peer)
{
    return peer_state_of(peer) == PEER_UP;
}

void ch_peer_free(struct ch_peer *peer)
{
    if (!peer)
        return;
    peer->is_freed = true;
    peer->users++; // until all is taken down
    for (size_t i = 0; i < peer->name_count; i++) {
        struct peer_name *name = &peer->names[i];

        ch_resolver_free(name->resolver);
        name->resolver = NULL;
        if (name->timer)
            event_free(name->timer);
        name->timer = NULL;
    }
    while (peer->end_count > 0)
        peer_end_stop(peer->ends[peer->end_count - 1]);
    ch_queue_wake_all(&peer->waiting, CH_ERR_UNAVAILABLE);
    ch_queue_wake_all(&peer->bulkhead.waiting, CH_ERR_UNAVAILABLE);
    peer_leave(peer);
}
