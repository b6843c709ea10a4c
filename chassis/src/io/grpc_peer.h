// SPDX-License-Identifier: Apache-2.0
/**
 * @file grpc_peer.h
 * @brief What the client's files share: the peer, its addresses, their connections, a call. All of one loop's thread.
 *
 *   grpc_peer.c        the peer: its names, the addresses they have now, which of them takes the next call
 *   grpc_peer_end.c    one address: connect, keep alive, retire, come back
 *   grpc_peer_call.c   a call from its caller's fiber: request, reply, status, retries, span, metrics
 *   grpc_peer_http2.c  what nghttp2 reports of a call
 *
 * An address has at most one connection that takes calls; retired ones (GOAWAY) end with their last call.
 */
#ifndef CH_IO_GRPC_PEER_H
#define CH_IO_GRPC_PEER_H

#include "ch/grpc.h"
#include "ch/resolve.h"

#include "grpc_wire.h"
#include "guard.h"
#include "h2_conn.h"

#define PEER_NAMES_MAX 16 /**< as ch_addresses_are_valid allows */
#define PEER_ENDS_MAX  64

enum peer_state {
    PEER_CONNECTING, /**< for the first time, or after a connection that was good: calls wait a little */
    PEER_UP,         /**< takes calls */
    PEER_DOWN,       /**< the last attempt failed: calls go elsewhere or fail at once, attempts go on */
};

/** One method's durations by result; made at first use. */
struct peer_series {
    const struct ch_rpc *rpc;
    struct ch_series *by_err[CH_ERR_COUNT];
};

/** One "host:port" of the peer's list. */
struct peer_name {
    struct ch_peer *peer;
    char *authority;
    char host[256];
    int port;
    struct ch_resolver *resolver; /**< NULL: a number, its address never changes */
    struct event *timer;          /**< the next lookup, or the end of one that lasts too long */
    int64_t asked_ns, backoff_ns;
    bool is_resolving;
    bool is_fresh; /**< no lookup has ended yet */
};

/** One address, and the connection to it. */
struct peer_end {
    struct ch_peer *peer;
    struct peer_name *name; /**< whose lookup found it */
    uint32_t id;            /**< counts up */
    struct ch_address address;
    char text[64]; /**< for the log: "127.0.0.1:9090" */
    enum peer_state state;
    struct peer_conn *conn;    /**< connecting or up */
    struct peer_conn *retired; /**< list */
    struct event *retry;       /**< ends a backoff */
    int64_t backoff_ns;
    size_t in_flight; /**< calls */
    size_t refs;      /**< the peer, connections and calls: they keep the memory */
    struct ch_breaker breaker;
    bool is_gone;   /**< its name has it no more, or the peer ends: connects never again */
    bool is_listed; /**< among the peer's */
};

struct ch_peer {
    struct ch_loop *loop;
    char *name;
    const char *const *bearer;
    bool needs_bearer;
    void (*on_refused)(void *arg);
    void *on_refused_arg;
    size_t users; /**< calls on some fiber, inside the bulkhead or waiting: they keep the peer's memory */
    struct peer_name names[PEER_NAMES_MAX];
    size_t name_count;
    struct peer_end *ends[PEER_ENDS_MAX];
    size_t end_count, turn; /**< `turn`: where the search for the next call's address begins */
    uint32_t last_id;
    struct ch_queue waiting; /**< for the first connection */
    struct ch_bulkhead bulkhead;
    struct ch_retry_budget budget;
    struct ch_series *up_gauge, *retry_count, *unretried_count, *broken_count;
    struct peer_series *series;
    size_t series_count;
    bool is_freed;
};

struct peer_conn {
    struct h2_conn h2; /**< first */
    struct peer_end *end;
    struct peer_conn *next, **prev; /**< retired ones */
    struct peer_call *calls;
    struct event *timer; /**< connect timeout, then keepalive */
    int64_t up_ns;       /**< when its SETTINGS came; 0: not yet */
    int64_t ping_ns;     /**< when the PING was sent that nothing has answered */
    bool is_retired;
};

/** Lies on the stack of the fiber that calls; nghttp2 has its address until `is_closed` or until the fiber takes it
 * back. */
struct peer_call {
    struct ch_wait wait;
    struct ch_ctx *ctx;
    const struct ch_rpc *rpc;
    struct peer_conn *conn; /**< NULL: the connection is gone */
    struct peer_call *next, **prev;
    struct ch_str request; /**< with its prefix; arena */
    size_t request_at;
    uint8_t prefix[GRPC_PREFIX];
    size_t prefix_len;
    uint8_t *reply; /**< arena */
    size_t reply_len, reply_at;
    size_t header_bytes;
    struct grpc_status status;
    int http_status;
    int32_t id;
    enum ch_err err; /**< found on this side */
    bool is_grpc;    /**< content-type of the reply */
    bool is_closed;
    bool is_refused; /**< the peer did not look at it: it may be sent again */
    bool is_lost;    /**< the connection broke: nobody knows whether the peer did it */
};

/* ---- grpc_peer.c ---- */

enum peer_state peer_state_of(const struct ch_peer *peer); /**< of its best address */
void peer_forget(struct peer_end *end);                    /**< takes it off the list */
void peer_changed(struct ch_peer *peer);                   /**< an address's state has changed */
void peer_name_look(struct peer_name *name);               /**< has it other addresses by now? */
/** The address for the next call: up, let through by its breaker, least busy, in turn; not `avoid_id` if another one
 * will do. NULL: none. */
struct peer_end *peer_choose(struct ch_peer *peer, uint32_t avoid_id);
/** The connection to `lost` has ended: when no other address takes calls, the others are tried now. */
void peer_hurry(struct ch_peer *peer, const struct peer_end *lost);
void peer_leave(struct ch_peer *peer); /**< a call has ended */

/* ---- grpc_peer_end.c ---- */

/** Begins to connect. NULL when memory is short. */
struct peer_end *peer_end_new(struct peer_name *name, const struct ch_address *address);
/** The same address. */
bool peer_end_is_at(const struct peer_end *end, const struct ch_address *address);
/** No new calls and no new connection; those that run may end, then it leaves the list. */
void peer_end_drop(struct peer_end *end);
/** If it is in backoff: that is over. */
void peer_end_hurry(struct peer_end *end);
void peer_end_stop(struct peer_end *end); /**< off the list; what runs is lost */
void peer_end_unref(struct peer_end *end);
/** No new calls: they go to a new connection, this one ends with its last call. */
void peer_conn_retire(struct peer_conn *conn);
/** Nothing came since `since_ns`: is the peer alive? */
void peer_conn_probe(struct peer_conn *conn, int64_t since_ns);
/** In nghttp2's callback: */
void peer_conn_on_settings(struct peer_conn *conn);

/* ---- grpc_peer_http2.c ---- */

nghttp2_session_callbacks *peer_callbacks_new(void); /**< user data of the session: the peer_conn */
void peer_call_lost(struct peer_call *call);         /**< the connection is gone */
void peer_call_unlink(struct peer_call *call);       /**< from its connection */
/** < 0: nghttp2's error. `call->conn` is set. */
int32_t peer_call_submit(struct peer_call *call, const char *bearer, int64_t deadline_ns);

#endif
