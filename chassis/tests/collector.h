// SPDX-License-Identifier: Apache-2.0
/**
 * @file collector.h
 * @brief A trace collector for tests on a raw socket: one connection at a time, HTTP/1.1 with Content-Length. Keeps the
 * bodies it got.
 */
#ifndef CH_TESTS_COLLECTOR_H
#define CH_TESTS_COLLECTOR_H

#include "ch/obs.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#define BODIES_MAX 64

struct collector {
    int listen_fd, port;
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t came;
    int failures;    // answers 503 so often, then 200
    int bad_status;  // answers this always, when not 0
    bool is_hanging; // never answers
    json_t *bodies[BODIES_MAX];
    int count;
    char head[2048]; // of the last request
};

/** One request: head to collector->head, body to *ret_body (caller frees). False at the end of the connection. */
static bool read_request(struct collector *collector, int fd, char **ret_body, size_t *ret_len)
{
    size_t len = 0, cap = sizeof(collector->head) - 1;
    char head[sizeof(collector->head)] = "", *end = NULL, *field;
    while (!end && len < cap) {
        ssize_t n = recv(fd, head + len, 1, 0);
        if (n <= 0)
            return false;
        head[++len] = '\0';
        end = strstr(head, "\r\n\r\n");
    }
    field = strcasestr(head, "\r\nContent-Length: ");
    size_t body_len = field ? strtoul(field + 18, NULL, 10) : 0;
    char *body = malloc(body_len + 1);
    for (size_t got = 0; got < body_len;) {
        ssize_t n = recv(fd, body + got, body_len - got, 0);
        if (n <= 0) {
            free(body);
            return false;
        }
        got += (size_t)n;
    }
    pthread_mutex_lock(&collector->lock);
    memcpy(collector->head, head, sizeof(head));
    pthread_mutex_unlock(&collector->lock);
    *ret_body = body;
    *ret_len = body_len;
    return true;
}

static int note_request(struct collector *collector, const char *body, size_t len)
{
    pthread_mutex_lock(&collector->lock);
    int status = collector->bad_status     ? collector->bad_status
                 : collector->failures > 0 ? 503
                 : collector->is_hanging   ? 0
                                           : 200;
    collector->failures -= collector->failures > 0;
    if (collector->count < BODIES_MAX)
        collector->bodies[collector->count++] = json_loadb(body, len, JSON_REJECT_DUPLICATES, NULL);
    pthread_cond_broadcast(&collector->came);
    pthread_mutex_unlock(&collector->lock);
    return status;
}

static void *collect(void *arg)
{
    struct collector *collector = arg;
    for (int fd; (fd = accept(collector->listen_fd, NULL, NULL)) >= 0; close(fd)) {
        char *body, answer[128], rest;
        size_t len;
        while (read_request(collector, fd, &body, &len)) {
            int status = note_request(collector, body, len);
            free(body);
            if (status == 0) {
                while (recv(fd, &rest, 1, 0) > 0) // until the client gives up
                    ;
                break;
            }
            int n = snprintf(answer, sizeof(answer),
                             "HTTP/1.1 %d X\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}", status);
            if (send(fd, answer, (size_t)n, MSG_NOSIGNAL) != n)
                break;
        }
    }
    return NULL;
}

static void collector_start(struct collector *collector)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(address);
    collector->listen_fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(collector->listen_fd, (struct sockaddr *)&address, sizeof(address)), 0);
    assert_int_equal(listen(collector->listen_fd, 8), 0);
    assert_int_equal(getsockname(collector->listen_fd, (struct sockaddr *)&address, &len), 0);
    collector->port = ntohs(address.sin_port);
    pthread_mutex_init(&collector->lock, NULL);
    pthread_cond_init(&collector->came, NULL);
    assert_int_equal(pthread_create(&collector->thread, NULL, collect, collector), 0);
}

static void collector_wait(struct collector *collector, int count)
{
    struct timespec limit;
    clock_gettime(CLOCK_REALTIME, &limit);
    limit.tv_sec += 10;
    pthread_mutex_lock(&collector->lock);
    int failed = 0;
    while (collector->count < count && !failed)
        failed = pthread_cond_timedwait(&collector->came, &collector->lock, &limit);
    pthread_mutex_unlock(&collector->lock);
    assert_int_equal(failed, 0);
}

/** After ch_obs_stop: its connection is closed. */
static void collector_stop(struct collector *collector)
{
    shutdown(collector->listen_fd, SHUT_RDWR);
    pthread_join(collector->thread, NULL);
    close(collector->listen_fd);
    for (int i = 0; i < collector->count; i++)
        json_decref(collector->bodies[i]);
    pthread_mutex_destroy(&collector->lock);
    pthread_cond_destroy(&collector->came);
}

#endif
