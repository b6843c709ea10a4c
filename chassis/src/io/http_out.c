// SPDX-License-Identifier: Apache-2.0
// Bytes to the socket: at once when the kernel takes them, else kept in the connection until it does. What is kept
// counts in the server's budget of held bytes; a connection past it is broken off. Never closes a connection by itself
// while a fiber works on it: it marks it broken and the fiber's end closes it.
#include "http_internal.h"

#include <errno.h>
#include <sys/socket.h>
#include <sys/uio.h>

static void mark_broken(struct ch_http_conn *conn)
{
    conn->is_broken = true;
    ch_buf_release(&conn->out);
    conn->out_sent = 0;
    (void)event_del(&conn->write_event); // cannot fail for an event that was assigned
    ch_http_conn_account(conn);
}

// Bytes taken; -1: the socket failed.
static ssize_t write_some(int fd, struct iovec *parts, size_t count)
{
    struct msghdr message = {.msg_iov = parts, .msg_iovlen = count};
    ssize_t n;

    do {
        n = count == 1 ? send(fd, parts[0].iov_base, parts[0].iov_len, MSG_NOSIGNAL | MSG_DONTWAIT)
                       : sendmsg(fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
    } while (n < 0 && errno == EINTR);
    if (n < 0 && (errno == EAGAIN || errno == ENOBUFS))
        return 0;
    return n;
}

static void keep(struct ch_http_conn *conn, const struct iovec *parts, size_t count, size_t taken)
{
    for (size_t i = 0; i < count; i++) {
        size_t skip = taken < parts[i].iov_len ? taken : parts[i].iov_len;

        taken -= skip;
        if (parts[i].iov_len > skip)
            ch_buf_append(&conn->out, (const char *)parts[i].iov_base + skip, parts[i].iov_len - skip);
    }
    ch_http_conn_account(conn);
    if (conn->out.is_full || ch_http_is_over_budget(conn->server) || event_add(&conn->write_event, NULL))
        mark_broken(conn);
}

void ch_http_send(struct ch_http_conn *conn, struct ch_str a, struct ch_str b, struct ch_str c)
{
    struct iovec parts[] = {{(void *)a.data, a.len}, {(void *)b.data, b.len}, {(void *)c.data, c.len}};
    size_t total = a.len + b.len + c.len;
    ssize_t taken;

    if (conn->is_broken)
        return;
    if (conn->out.len > 0) {
        keep(conn, parts, 3, 0);
        return;
    }
    taken = write_some(conn->fd, parts, c.len > 0 ? 3 : b.len > 0 ? 2 : 1);
    if (taken < 0)
        mark_broken(conn);
    else if ((size_t)taken < total)
        keep(conn, parts, 3, (size_t)taken);
}

static void progress(struct ch_http_conn *conn)
{
    if (conn->state == CH_HTTP_WRITING)
        ch_http_timer_set(conn, CH_HTTP_T_WRITE);
    if (conn->out_sent < conn->out.len)
        return;
    conn->out_sent = 0;
    ch_buf_release(&conn->out);
    ch_http_conn_account(conn);
    (void)event_del(&conn->write_event); // cannot fail for an event that was assigned
    if (conn->writer)
        ch_wake(conn->writer, CH_OK);
    if (conn->state == CH_HTTP_WRITING)
        ch_http_conn_sent(conn);
}

void ch_http_writable(struct ch_http_conn *conn)
{
    struct iovec part = {conn->out.data + conn->out_sent, conn->out.len - conn->out_sent};
    ssize_t taken;

    if (conn->state == CH_HTTP_CLOSED || part.iov_len == 0)
        return;
    taken = write_some(conn->fd, &part, 1);
    if (taken > 0) {
        conn->out_sent += (size_t)taken;
        progress(conn);
        return;
    }
    if (taken == 0)
        return;
    mark_broken(conn);
    if (conn->writer)
        ch_wake(conn->writer, CH_ERR_CANCELLED);
    if (conn->state == CH_HTTP_WRITING)
        ch_http_conn_close(conn);
}
