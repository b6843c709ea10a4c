// SPDX-License-Identifier: Apache-2.0
/**
 * @file grpc_peer.h
 * @brief What the client's files share: the peer, its connections, a call. All of one loop's thread.
 *
 *   grpc_peer.c        the connection: resolve, connect, keep alive, retire, come back
 *   grpc_peer_call.c   a call from its caller's fiber: request, reply, status, span, metrics
 *
 * A peer has at most one connection that takes calls; retired ones (GOAWAY) end with their last call.
 */
#ifndef CH_IO_GRPC_PEER_H
#define CH_IO_GRPC_PEER_H

#include "ch/grpc.h"
#include "ch/resolve.h"

#include "grpc_wire.h"
#include "h2_conn.h"

enum peer_state {
    PEER_CONNECTING, /**< for the first time, or after a connection that was good: calls wait a little */
    PEER_UP,         /**< conn takes calls */
    PEER_DOWN,       /**< the last attempt failed: calls fail at once, attempts go on */
};

/** One method's durations by result; made at first use. */
struct peer_series {
    const struct ch_rpc *rpc;
    struct ch_series *by_err[CH_ERR_COUNT];
};

struct ch_peer {
    struct ch_loop *loop;
    char *name, *authority;
    char host[256];
    int port;
    const char *const *bearer;
    size_t in_flight_max;
    size_t in_flight; /**< calls on some fiber: they keep the peer's memory */
    enum peer_state state;
    struct ch_resolver *resolver;
    struct ch_addresses addresses;
    size_t address_at;         /**< the next to try */
    struct peer_conn *conn;    /**< connecting or up */
    struct peer_conn *retired; /**< list */
    struct event *retry;       /**< ends a backoff, or a lookup that lasts too long */
    int64_t backoff_ns;
    struct ch_queue waiting;
    struct ch_series *up_gauge;
    struct peer_series *series;
    size_t series_count;
    bool is_resolving;
    bool is_freed;
};

struct peer_conn {
    struct h2_conn h2; /**< first */
    struct ch_peer *peer;
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
};

/* ---- grpc_peer.c ---- */

/** No new calls: they go to a new connection, this one ends with its last call. */
void peer_conn_retire(struct peer_conn *conn);
/** Nothing came since `since_ns`: is the peer alive? */
void peer_conn_probe(struct peer_conn *conn, int64_t since_ns);
void peer_leave(struct ch_peer *peer); /**< a call has ended */

/* ---- grpc_peer_call.c ---- */

nghttp2_session_callbacks *peer_callbacks_new(void); /**< user data of the session: the peer_conn */
void peer_call_lost(struct peer_call *call);         /**< the connection is gone */
/** In nghttp2's callback: */
void peer_conn_on_settings(struct peer_conn *conn);

#endif
