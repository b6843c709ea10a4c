// SPDX-License-Identifier: Apache-2.0
// Connections of the gRPC server: opened, drained, swept, ended. The sweep ends what makes no progress: a limit on time
// for each way in which a peer can leave us waiting. Must never end a connection from inside one of nghttp2's
// callbacks.
#include "grpc_server.h"

#include <stdlib.h>
#include <unistd.h>

#define SECOND_NS       1000000000ll
#define PREFACE_NS      (10 * SECOND_NS)
#define STALLED_NS      (30 * SECOND_NS)  // output not taken
#define REPLY_TAKEN_NS  (60 * SECOND_NS)  // a complete reply not taken, by the window of its stream
#define IDLE_NS         (300 * SECOND_NS) // no stream and no byte
#define PING_AFTER_NS   (30 * SECOND_NS)  // streams, but no byte
#define PING_WAIT_NS    (10 * SECOND_NS)
#define DRAIN_NOTICE_NS SECOND_NS // between the two GOAWAYs, when the peer does not answer the PING
#define LINGER_NS       (2 * SECOND_NS)

#define BUDGET_MAX        1000.0 // control frames at once
#define BUDGET_PER_SECOND 100.0

/* ---- life ---- */

bool grpc_conn_spend(struct grpc_conn *conn)
{
    int64_t now = ch_now_ns();

    conn->budget += BUDGET_PER_SECOND * (double)(now - conn->budget_ns) / (double)SECOND_NS;
    if (conn->budget > BUDGET_MAX)
        conn->budget = BUDGET_MAX;
    conn->budget_ns = now;
    conn->budget -= 1;
    return conn->budget >= 0;
}

static void on_conn_end(struct h2_conn *h2, const char *reason)
{
    struct grpc_conn *conn = (struct grpc_conn *)h2;
    struct ch_grpc_server *server = conn->server;

    ch_log(CH_LOG_DEBUG, NULL, "grpc.connection_ended", CH_LS("reason", reason),
           CH_LI("streams", (int64_t)conn->stream_count));
    while (conn->streams)
        grpc_stream_close(conn->streams);
    *conn->prev = conn->next;
    if (conn->next)
        conn->next->prev = conn->prev;
    server->connection_count--;
    ch_gauge_add(server->connections_gauge, -1);
    h2_conn_free(h2);
}

static void conn_release(struct h2_conn *h2)
{
    free(h2);
}

void grpc_conn_open(struct ch_grpc_server *server, int fd)
{
    struct grpc_conn *conn = calloc(1, sizeof(*conn));
    nghttp2_session *session = NULL;

    if (!conn) {
        (void)close(fd);
        return;
    }
    conn->server = server;
    conn->open_ns = conn->budget_ns = ch_now_ns();
    conn->budget = BUDGET_MAX;
    conn->h2 = (struct h2_conn){.is_lingering_end = true, .on_end = on_conn_end, .release = conn_release};
    if (grpc_session_new(conn, &session) || h2_conn_open(&conn->h2, server->loop, fd, session)) {
        conn->h2.fd = fd;
        h2_conn_free(&conn->h2);
        return;
    }
    conn->next = server->conns;
    conn->prev = &server->conns;
    if (conn->next)
        conn->next->prev = &conn->next;
    server->conns = conn;
    server->connection_count++;
    ch_gauge_add(server->connections_gauge, 1);
    h2_conn_flush_later(&conn->h2);
}

/* ---- drain ---- */

// First notice: "start nothing more", while what is on its way is still taken. The PING's answer tells that the peer
// knows.
void grpc_conn_drain(struct grpc_conn *conn)
{
    if (conn->drain_ns)
        return;
    conn->drain_ns = ch_now_ns();
    if (nghttp2_submit_shutdown_notice(conn->h2.session) ||
        nghttp2_submit_ping(conn->h2.session, NGHTTP2_FLAG_NONE, (const uint8_t *)"draining"))
        grpc_conn_goaway(conn);
    h2_conn_flush_later(&conn->h2);
}

void grpc_conn_goaway(struct grpc_conn *conn)
{
    nghttp2_session *session = conn->h2.session;

    if (conn->is_goaway_final)
        return;
    conn->is_goaway_final = true;
    // Fails for want of memory only: then the drain's deadline ends the connection.
    (void)nghttp2_submit_goaway(session, NGHTTP2_FLAG_NONE, nghttp2_session_get_last_proc_stream_id(session),
                                NGHTTP2_NO_ERROR, NULL, 0);
    h2_conn_flush_later(&conn->h2);
}

/* ---- sweep ---- */

static void sweep_stream(struct ch_grpc_stream *stream, int64_t now)
{
    if (!stream->is_reply_complete && !stream->is_busy && now > stream->call.ctx.deadline_ns)
        grpc_call_finish(stream, CH_ERR_DEADLINE); // its request never came whole
    if (stream->is_reply_complete && now - stream->reply_ns > REPLY_TAKEN_NS) {
        // If that fails, the next sweep tries again.
        (void)nghttp2_submit_rst_stream(stream->conn->h2.session, NGHTTP2_FLAG_NONE, stream->id, NGHTTP2_CANCEL);
        h2_conn_flush_later(&stream->conn->h2);
    }
}

// Why the connection has to end; NULL: it need not.
static const char *conn_fault(const struct grpc_conn *conn, int64_t now)
{
    const struct h2_conn *h2 = &conn->h2;

    if (h2->linger_ns)
        return now - h2->linger_ns > LINGER_NS ? "drained" : NULL;
    if (!conn->has_settings && now - conn->open_ns > PREFACE_NS)
        return "no preface";
    if (h2->unsent.len > 0 && now - h2->progress_ns > STALLED_NS)
        return "stalled";
    if (conn->ping_ns && h2->read_ns < conn->ping_ns && now - conn->ping_ns > PING_WAIT_NS)
        return "no answer to ping";
    return NULL;
}

void grpc_conn_sweep(struct grpc_conn *conn, int64_t now)
{
    struct h2_conn *h2 = &conn->h2;
    const char *fault = conn_fault(conn, now);

    if (fault) {
        h2_conn_end(h2, fault);
        return;
    }
    if (h2->linger_ns)
        return;
    for (struct ch_grpc_stream *stream = conn->streams; stream; stream = stream->next)
        sweep_stream(stream, now);
    if (conn->drain_ns && now - conn->drain_ns > DRAIN_NOTICE_NS)
        grpc_conn_goaway(conn);
    if (conn->stream_count == 0 && now - h2->read_ns > IDLE_NS)
        grpc_conn_drain(conn);
    if (conn->stream_count > 0 && now - h2->read_ns > PING_AFTER_NS && conn->ping_ns <= h2->read_ns) {
        conn->ping_ns = now;
        (void)nghttp2_submit_ping(h2->session, NGHTTP2_FLAG_NONE, NULL); // unsent is as unanswered
        h2_conn_flush_later(h2);
    }
}
