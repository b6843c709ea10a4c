// SPDX-License-Identifier: Apache-2.0
// The socket side of an HTTP/2 connection: reads into a buffer on the loop's stack, so that an idle connection holds no
// buffer; writes what a turn gathered in one send. While the kernel takes no more, no further frames are made and none
// are read. Must never call the owner's on_end from inside an nghttp2 callback, nor use the connection after on_end.
#include "h2_conn.h"

#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

#define READ_BYTES      (32 * 1024)
#define READS_PER_TURN  4 // then others have their turn
#define WRITE_BYTES     (32 * 1024)
#define WRITES_PER_TURN 32
// A frame that did not fit follows what was gathered; frames are at most 16 KiB and their head.
#define UNSENT_MAX (WRITE_BYTES + 32 * 1024)

static void on_readable(evutil_socket_t fd, short events, void *arg);
static void on_writable(evutil_socket_t fd, short events, void *arg);
static void on_turn_end(void *arg);

enum ch_err h2_conn_open(struct h2_conn *conn, struct ch_loop *loop, int fd, nghttp2_session *session)
{
    struct event_base *base = ch_loop_base(loop);

    conn->loop = loop;
    conn->fd = fd;
    conn->session = session;
    conn->flush = (struct ch_hook){.fn = on_turn_end, .arg = conn};
    conn->read_ns = conn->progress_ns = ch_now_ns();
    ch_buf_init(&conn->unsent, UNSENT_MAX);
    conn->readable = event_new(base, fd, EV_READ | EV_PERSIST, on_readable, conn);
    conn->writable = event_new(base, fd, EV_WRITE, on_writable, conn);
    if (!conn->readable || !conn->writable || event_add(conn->readable, NULL))
        return CH_ERR_NO_MEMORY;
    return CH_OK;
}

void h2_conn_free(struct h2_conn *conn)
{
    if (conn->readable)
        event_free(conn->readable);
    if (conn->writable)
        event_free(conn->writable);
    conn->readable = conn->writable = NULL;
    if (conn->fd >= 0)
        (void)close(conn->fd); // nothing can be done about a failure
    conn->fd = -1;
    nghttp2_session_del(conn->session);
    conn->session = NULL;
    ch_buf_release(&conn->unsent);
    conn->is_freed = true;
    if (!conn->flush.is_armed)
        conn->release(conn);
}

void h2_conn_end(struct h2_conn *conn, const char *reason)
{
    if (conn->fd < 0)
        return;
    (void)event_del(conn->readable);
    (void)event_del(conn->writable);
    (void)close(conn->fd);
    conn->fd = -1;
    conn->on_end(conn, reason);
}

/* ---- reading ---- */

// The peer's bytes no longer matter, only its end of file. False: the connection has ended.
static bool linger_read(struct h2_conn *conn, ssize_t count)
{
    if (count > 0 || (count < 0 && (errno == EAGAIN || errno == EINTR)))
        return true;
    h2_conn_end(conn, "drained");
    return false;
}

// False: the connection has ended.
static bool read_once(struct h2_conn *conn, bool *ret_more)
{
    uint8_t bytes[READ_BYTES];
    ssize_t count = recv(conn->fd, bytes, sizeof(bytes), 0);
    ssize_t used;

    *ret_more = count == (ssize_t)sizeof(bytes);
    if (conn->linger_ns)
        return linger_read(conn, count);
    if (count < 0 && (errno == EAGAIN || errno == EINTR))
        return true;
    if (count <= 0) {
        h2_conn_end(conn, count == 0 ? "closed by peer" : strerrordesc_np(errno));
        return false;
    }
    conn->read_ns = ch_now_ns();
    used = nghttp2_session_mem_recv(conn->session, bytes, (size_t)count);
    if (used < 0) {
        h2_conn_end(conn, nghttp2_strerror((int)used));
        return false;
    }
    return true;
}

static void on_readable(evutil_socket_t fd, short events, void *arg)
{
    struct h2_conn *conn = arg;
    bool has_more = true;

    (void)fd;
    (void)events;
    for (int i = 0; has_more && i < READS_PER_TURN; i++)
        if (!read_once(conn, &has_more))
            return;
    h2_conn_flush_later(conn);
}

/* ---- writing ---- */

void h2_conn_flush_later(struct h2_conn *conn)
{
    if (conn->fd >= 0)
        ch_loop_at_turn_end(conn->loop, &conn->flush);
}

// Keeps what is left and asks to be told when the kernel takes more. Until then nothing is read either: a peer that
// asks and does not listen must not fill nghttp2's queue.
static void keep_unsent(struct h2_conn *conn, const uint8_t *bytes, size_t len, const uint8_t *frame, size_t frame_len)
{
    conn->unsent_at = 0;
    conn->progress_ns = ch_now_ns();
    ch_buf_reset(&conn->unsent);
    ch_buf_append(&conn->unsent, bytes, len);
    ch_buf_append(&conn->unsent, frame, frame_len);
    if (conn->unsent.is_full || event_add(conn->writable, NULL) || event_del(conn->readable))
        h2_conn_end(conn, "out of memory");
}

static ssize_t send_bytes(struct h2_conn *conn, const void *bytes, size_t len)
{
    ssize_t count;

    do
        count = send(conn->fd, bytes, len, MSG_NOSIGNAL);
    while (count < 0 && errno == EINTR);
    return count < 0 && (errno == EAGAIN || errno == ENOBUFS) ? 0 : count;
}

enum gather { GATHER_DONE, GATHER_MORE, GATHER_STOP };

// Sends up to WRITE_BYTES of what the session has to say. `frame`, `frame_len`: the part of a frame that did not fit
// the last time.
static enum gather gather_and_send(struct h2_conn *conn, const uint8_t **frame, size_t *frame_len)
{
    uint8_t bytes[WRITE_BYTES];
    size_t len = 0;
    ssize_t sent;

    while (len < sizeof(bytes)) {
        size_t room = sizeof(bytes) - len;

        if (*frame_len == 0) {
            ssize_t made = nghttp2_session_mem_send(conn->session, frame);

            if (made < 0) {
                h2_conn_end(conn, nghttp2_strerror((int)made));
                return GATHER_STOP;
            }
            if (made == 0)
                break;
            *frame_len = (size_t)made;
        }
        if (room > *frame_len)
            room = *frame_len;
        memcpy(bytes + len, *frame, room);
        len += room;
        *frame += room;
        *frame_len -= room;
    }
    if (len == 0)
        return GATHER_DONE;
    sent = send_bytes(conn, bytes, len);
    if (sent < 0) {
        h2_conn_end(conn, strerrordesc_np(errno));
        return GATHER_STOP;
    }
    if ((size_t)sent < len) {
        keep_unsent(conn, bytes + sent, len - (size_t)sent, *frame, *frame_len);
        return GATHER_STOP;
    }
    return len == sizeof(bytes) ? GATHER_MORE : GATHER_DONE;
}

// After the last frame. A server half-closes first: closing with unread bytes would make the kernel throw away what it
// has not delivered.
static void end_after_last_frame(struct h2_conn *conn)
{
    if (conn->is_lingering_end && shutdown(conn->fd, SHUT_WR) == 0)
        conn->linger_ns = ch_now_ns();
    else
        h2_conn_end(conn, "drained");
}

static void flush(struct h2_conn *conn)
{
    const uint8_t *frame = NULL;
    size_t frame_len = 0;
    enum gather gather = GATHER_MORE;

    if (conn->unsent.len > 0 || conn->linger_ns)
        return;
    for (int i = 0; gather == GATHER_MORE; i++) {
        if (i >= WRITES_PER_TURN) { // others have their turn
            keep_unsent(conn, NULL, 0, frame, frame_len);
            return;
        }
        gather = gather_and_send(conn, &frame, &frame_len);
    }
    if (gather == GATHER_DONE && !nghttp2_session_want_read(conn->session) &&
        !nghttp2_session_want_write(conn->session))
        end_after_last_frame(conn);
}

static void on_turn_end(void *arg)
{
    struct h2_conn *conn = arg;

    if (conn->is_freed)
        conn->release(conn);
    else if (conn->fd >= 0)
        flush(conn);
}

static void on_writable(evutil_socket_t fd, short events, void *arg)
{
    struct h2_conn *conn = arg;
    size_t left = conn->unsent.len - conn->unsent_at;
    ssize_t sent = send_bytes(conn, conn->unsent.data + conn->unsent_at, left);

    (void)fd;
    (void)events;
    if (sent < 0) {
        h2_conn_end(conn, strerrordesc_np(errno));
        return;
    }
    if (sent > 0)
        conn->progress_ns = ch_now_ns();
    conn->unsent_at += (size_t)sent;
    if ((size_t)sent < left) {
        if (event_add(conn->writable, NULL))
            h2_conn_end(conn, "out of memory");
        return;
    }
    ch_buf_release(&conn->unsent);
    if (event_add(conn->readable, NULL))
        h2_conn_end(conn, "out of memory");
    else
        flush(conn);
}
