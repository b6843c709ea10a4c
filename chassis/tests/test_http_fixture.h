// SPDX-License-Identifier: Apache-2.0
// What the tests of the HTTP server share: a server on a loop with a thread of its own, and a client that speaks raw
// bytes. Everything waits for an event with a bound of 10 s; nothing sleeps.
#ifndef CH_TEST_HTTP_FIXTURE_H
#define CH_TEST_HTTP_FIXTURE_H

#include "cases.h"
#include "ch/http.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#define MS(count)    ((int64_t)(count)*1000000)
#define CLIENT_BYTES (2 * 1024 * 1024)

static struct {
    struct ch_loop *loop;
    struct ch_http_server *server;
    pthread_t thread;
    sem_t mailed;
} fx;

// ---- server ----

static inline void *fx_thread(void *arg)
{
    (void)arg;
    ch_loop_run(fx.loop);
    return NULL;
}

static inline void fx_start_fibers(const struct ch_http_limits *limits, ch_http_handler *handler, size_t fibers_max)
{
    struct ch_loop_options options = {.name = "http", .fibers_max = fibers_max};

    fx.loop = ch_loop_new(&options);
    assert_non_null(fx.loop);
    assert_int_equal(sem_init(&fx.mailed, 0, 0), 0);
    assert_int_equal(
        ch_http_server_new(fx.loop, &(struct ch_listen){.address = "127.0.0.1"}, limits, handler, NULL, &fx.server),
        CH_OK);
    assert_int_equal(pthread_create(&fx.thread, NULL, fx_thread, NULL), 0);
}

static inline void fx_start(const struct ch_http_limits *limits, ch_http_handler *handler)
{
    fx_start_fibers(limits, handler, 100);
}

struct fx_call {
    struct ch_mail mail;
    void (*fn)(void);
};

static inline void fx_mail(struct ch_loop *loop, void *arg)
{
    struct fx_call *call = arg;

    (void)loop;
    if (call->fn)
        call->fn();
    sem_post(&fx.mailed);
}

/** Runs `fn` on the loop and waits for its end. */
static inline void fx_call(void (*fn)(void))
{
    struct fx_call call = {.mail = {.fn = fx_mail, .arg = &call}, .fn = fn};

    ch_loop_post(fx.loop, &call.mail);
    assert_int_equal(sem_wait(&fx.mailed), 0);
}

static inline void fx_drain(void)
{
    ch_http_server_drain(fx.server);
}

/** Turns the loop until `count` connections are left. */
static inline bool fx_wait_connections(size_t count)
{
    int64_t until = ch_now_ns() + MS(10000);

    while (ch_http_server_connections(fx.server) != count) {
        if (ch_now_ns() > until)
            return false;
        fx_call(NULL);
        sched_yield();
    }
    return true;
}

/** Drains, checks that no connection stays, and takes all down. Clients must have closed. */
static inline void fx_stop(void)
{
    fx_call(fx_drain);
    assert_true(fx_wait_connections(0));
    ch_loop_stop(fx.loop);
    pthread_join(fx.thread, NULL);
    ch_http_server_free(fx.server);
    ch_loop_free(fx.loop);
    sem_destroy(&fx.mailed);
}

// ---- client ----

struct client {
    int fd;
    size_t len;
    char *buf; // received and not yet taken
};

struct reply {
    int status;
    char head[16384];
    char *body;
    size_t body_len;
};

static inline struct client client_open(void)
{
    struct sockaddr_in where = {.sin_family = AF_INET,
                                .sin_port = htons((uint16_t)ch_http_server_port(fx.server)),
                                .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct client client = {.fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), .buf = malloc(CLIENT_BYTES)};
    struct timeval patience = {.tv_sec = 10};
    int one = 1;

    assert_true(client.fd >= 0 && client.buf);
    setsockopt(client.fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
    setsockopt(client.fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
    setsockopt(client.fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    assert_int_equal(connect(client.fd, (struct sockaddr *)&where, sizeof(where)), 0);
    return client;
}

static inline void client_close(struct client *client)
{
    close(client->fd);
    free(client->buf);
}

/** False when the server has closed: what follows shows why. */
static inline bool client_send(struct client *client, const char *bytes, size_t len)
{
    while (len > 0) {
        ssize_t n = send(client->fd, bytes, len, MSG_NOSIGNAL);

        if (n <= 0)
            return false;
        bytes += n;
        len -= (size_t)n;
    }
    return true;
}

static inline bool client_text(struct client *client, const char *text)
{
    return client_send(client, text, strlen(text));
}

/** >0: bytes came; 0: the server closed; -1: reset or nothing came in time. */
static inline ssize_t client_more(struct client *client)
{
    ssize_t n = recv(client->fd, client->buf + client->len, CLIENT_BYTES - client->len, 0);

    if (n > 0)
        client->len += (size_t)n;
    return n;
}

static inline void client_take(struct client *client, size_t len)
{
    memmove(client->buf, client->buf + len, client->len - len);
    client->len -= len;
}

static inline size_t reply_length(const struct reply *reply, bool has_body)
{
    const char *at = strcasestr(reply->head, "\r\nContent-Length:");

    return at && has_body && reply->status >= 200 ? strtoul(at + 17, NULL, 10) : 0;
}

/** Next reply with Content-Length; false when the connection ended first. The body is NUL-terminated; free it. */
static inline bool client_reply(struct client *client, bool has_body, struct reply *ret)
{
    char *end;
    size_t head, body;

    memset(ret, 0, sizeof(*ret));
    while (!(end = memmem(client->buf, client->len, "\r\n\r\n", 4)))
        if (client_more(client) <= 0)
            return false;
    head = (size_t)(end - client->buf) + 4;
    assert_true(head < sizeof(ret->head));
    memcpy(ret->head, client->buf, head);
    ret->status = atoi(ret->head + 9);
    body = reply_length(ret, has_body);
    while (client->len < head + body)
        if (client_more(client) <= 0)
            return false;
    ret->body = strndup(client->buf + head, body);
    ret->body_len = body;
    client_take(client, head + body);
    return true;
}

static inline int client_status(struct client *client)
{
    struct reply reply;
    int status = client_reply(client, true, &reply) ? reply.status : -1;

    free(reply.body);
    return status;
}

/** The server's FIN, not a reset. */
static inline bool client_is_closed(struct client *client)
{
    ssize_t n;

    while ((n = client_more(client)) > 0)
        ;
    return n == 0;
}

// ---- a handler that waits for the test ----

static struct ch_wait *parked; // loop thread
// a handler parks; a handler is done; what it ended with
static __attribute__((unused)) sem_t entered, ended;
static __attribute__((unused)) _Atomic enum ch_err result;

static inline void release(void)
{
    ch_wake(parked, CH_OK);
}

static inline enum ch_err park_wait(void)
{
    struct ch_wait wait = {0};

    parked = &wait;
    sem_post(&entered);
    return ch_wait(&wait, ch_now_ns() + MS(10000));
}

#define GET(path) "GET " path " HTTP/1.1\r\nHost: a\r\n\r\n"

#endif
