// SPDX-License-Identifier: Apache-2.0
/**
 * @file h2_conn.h
 * @brief One HTTP/2 connection in clear text: a socket, an nghttp2 session, and the events between them (RFC 9113,
 * prior knowledge).
 *
 * Server and client embed it. What a turn of the loop gathered leaves in one write at the turn's end. It knows no
 * streams' meaning: those are the owner's nghttp2 callbacks. It must never block, and never free a session from inside
 * one of its callbacks.
 */
#ifndef CH_IO_H2_CONN_H
#define CH_IO_H2_CONN_H

#include "ch/run.h"

#include <nghttp2/nghttp2.h>

struct h2_conn {
    struct ch_loop *loop;
    nghttp2_session *session;
    int fd; /**< -1: ended */
    struct event *readable, *writable;
    struct ch_hook flush;
    struct ch_buf unsent;  /**< what the kernel did not take; nothing new is made while it holds bytes */
    size_t unsent_at;      /**< of them, those already sent */
    int64_t read_ns;       /**< when bytes came last */
    int64_t progress_ns;   /**< when the kernel took bytes last, or when `unsent` was filled */
    int64_t linger_ns;     /**< since when only the peer's end of file is awaited; 0: not yet */
    bool is_lingering_end; /**< after the last frame: half-close and wait for the peer, so that nothing sent is lost
                              (servers) */
    bool is_freed;         /**< h2_conn_free came while the hook was armed */
    /** The connection ended, by whatever reason; the session is still there. Never called from inside nghttp2. The
     * owner takes its streams back and calls h2_conn_free. */
    void (*on_end)(struct h2_conn *conn, const char *reason);
    void (*release)(struct h2_conn *conn); /**< frees the struct that embeds this */
};

/** Takes ownership of `fd` (non-blocking) and `session`; after a failure the caller calls h2_conn_free. The last four
 * members are set before. */
CH_MUST_CHECK enum ch_err h2_conn_open(struct h2_conn *conn, struct ch_loop *loop, int fd, nghttp2_session *session);
/** Whoever submitted anything to the session calls this: the bytes leave at the end of the turn. */
void h2_conn_flush_later(struct h2_conn *conn);
/** Ends the connection at once (not from inside nghttp2's callbacks). */
void h2_conn_end(struct h2_conn *conn, const char *reason);
/** After on_end: frees the session, then calls `release`, at once or when the armed hook has run. */
void h2_conn_free(struct h2_conn *conn);

#endif
