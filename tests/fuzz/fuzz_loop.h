// SPDX-License-Identifier: Apache-2.0
/**
 * @file fuzz_loop.h
 * @brief A loop on the fuzzer's own thread and one end of a socket pair as the client: a whole connection without a
 * network.
 *
 * The loop runs once for each input, until the client's fiber has ended. No wait here may end by a deadline.
 */
#ifndef FUZZ_LOOP_H
#define FUZZ_LOOP_H

#include "fuzz.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#define FUZZ_PATIENCE_NS INT64_C(5000000000)

static struct ch_loop *fuzz_loop;

struct fuzz_client {
    void (*talk)(struct fuzz_client *client);
    const void *arg;
    int fd;
    struct ch_buf got;
};

static inline struct ch_loop *fuzz_loop_new(void)
{
    static const struct ch_loop_options options = {.name = "fuzz", .fibers_max = 200};

    fuzz_loop = ch_loop_new(&options);
    MUST(fuzz_loop);
    return fuzz_loop;
}

/** Takes what is there. False: the server has closed. */
static inline bool fuzz_take(struct fuzz_client *client)
{
    char bytes[16384];
    ssize_t n;

    while ((n = recv(client->fd, bytes, sizeof(bytes), MSG_DONTWAIT)) > 0)
        ch_buf_append(&client->got, bytes, (size_t)n);
    MUST(!client->got.is_full);
    return n < 0 && (errno == EAGAIN || errno == EINTR);
}

/** Sends all, in pieces, and lets the server work after each. False: the server wants no more. */
static inline bool fuzz_send(struct fuzz_client *client, const void *data, size_t len, size_t piece)
{
    const char *bytes = data;

    while (len > 0) {
        const ssize_t n = send(client->fd, bytes, len < piece ? len : piece, MSG_DONTWAIT | MSG_NOSIGNAL);

        if (n < 0 && errno != EAGAIN && errno != EINTR)
            return false;
        if (n > 0) {
            bytes += n;
            len -= (size_t)n;
        }
        ch_fiber_yield();
        if (!fuzz_take(client))
            return false;
    }
    return true;
}

/** Until the server has closed. */
static inline void fuzz_take_rest(struct fuzz_client *client)
{
    const int64_t until_ns = ch_now_ns() + FUZZ_PATIENCE_NS;

    while (fuzz_take(client))
        MUST(ch_fd_wait(client->fd, EV_READ, until_ns) == CH_OK); // else the server keeps a connection that has ended
}

static inline void fuzz_client_main(void *arg)
{
    struct fuzz_client *client = arg;

    client->talk(client);
    (void)close(client->fd);
    for (int i = 0; i < 4; i++) // the server sees the end, its fibers return, the turn's end frees what is dead
        ch_fiber_yield();
    ch_loop_stop(fuzz_loop);
}

/** `open` gives the server its end. */
static inline void fuzz_converse(struct fuzz_client *client, void (*open)(int fd))
{
    int fds[2];

    MUST(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds) == 0);
    client->fd = fds[0];
    ch_buf_init(&client->got, 64 * 1024 * 1024);
    open(fds[1]);
    MUST(ch_fiber_start(fuzz_loop, fuzz_client_main, client) == CH_OK);
    ch_loop_run(fuzz_loop);
}

#endif
