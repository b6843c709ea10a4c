// SPDX-License-Identifier: Apache-2.0
// Timeouts of connections: a list a kind and one libevent timer for all. Setting and clearing, done twice a request, is
// a few stores; the timer is armed for the earliest and, when it fires early because that one was cleared, simply armed
// again.
#include "http_internal.h"

static struct ch_http_conn *conn_of(struct ch_http_timer *timer)
{
    return (struct ch_http_conn *)((char *)timer - offsetof(struct ch_http_conn, timer));
}

static void arm(struct ch_http_timers *timers, int64_t due_ns, int64_t now_ns)
{
    int64_t left_us = due_ns > now_ns ? (due_ns - now_ns) / 1000 + 1000 : 0;
    struct timeval tv = {.tv_sec = left_us / 1000000, .tv_usec = left_us % 1000000};

    timers->armed_ns = event_add(&timers->event, &tv) == 0 ? due_ns : INT64_MAX;
}

static void on_tick(evutil_socket_t fd, short what, void *arg)
{
    struct ch_http_timers *timers = &((struct ch_http_server *)arg)->timers;
    int64_t now = ch_now_ns(), earliest = INT64_MAX;

    (void)fd;
    (void)what;
    for (int kind = 0; kind < CH_HTTP_TIMEOUTS; kind++) {
        struct ch_http_timer *list = &timers->lists[kind];

        while (list->next != list && list->next->due_ns <= now) {
            struct ch_http_conn *conn = conn_of(list->next);

            ch_http_timer_clear(conn);
            ch_http_conn_timeout(conn, (enum ch_http_timeout)kind);
        }
    }
    for (int kind = 0; kind < CH_HTTP_TIMEOUTS; kind++)
        if (timers->lists[kind].next != &timers->lists[kind] && timers->lists[kind].next->due_ns < earliest)
            earliest = timers->lists[kind].next->due_ns;
    timers->armed_ns = INT64_MAX;
    if (earliest != INT64_MAX)
        arm(timers, earliest, now);
}

enum ch_err ch_http_timers_init(struct ch_http_server *server)
{
    struct ch_http_timers *timers = &server->timers;
    const struct ch_http_limits *limits = &server->limits;

    timers->durations_ns[CH_HTTP_T_HEAD] = limits->head_timeout_ns;
    timers->durations_ns[CH_HTTP_T_BODY] = limits->body_timeout_ns;
    timers->durations_ns[CH_HTTP_T_IDLE] = limits->idle_timeout_ns;
    timers->durations_ns[CH_HTTP_T_WRITE] = limits->write_timeout_ns;
    timers->durations_ns[CH_HTTP_T_GRACE] = CH_HTTP_GRACE_NS;
    for (int kind = 0; kind < CH_HTTP_TIMEOUTS; kind++)
        timers->lists[kind].next = timers->lists[kind].prev = &timers->lists[kind];
    timers->armed_ns = INT64_MAX;
    return evtimer_assign(&timers->event, ch_loop_base(server->loop), on_tick, server) ? CH_ERR_NO_MEMORY : CH_OK;
}

void ch_http_timers_release(struct ch_http_server *server)
{
    if (event_initialized(&server->timers.event))
        (void)event_del(&server->timers.event); // cannot fail for an event that was assigned
}

void ch_http_timer_set(struct ch_http_conn *conn, enum ch_http_timeout kind)
{
    struct ch_http_timers *timers = &conn->server->timers;
    struct ch_http_timer *timer = &conn->timer, *list = &timers->lists[kind];
    int64_t now = ch_now_ns();

    ch_http_timer_clear(conn);
    timer->kind = kind;
    timer->due_ns = now + timers->durations_ns[kind];
    timer->prev = list->prev;
    timer->next = list;
    list->prev->next = timer;
    list->prev = timer;
    if (timer->due_ns < timers->armed_ns)
        arm(timers, timer->due_ns, now);
}

void ch_http_timer_clear(struct ch_http_conn *conn)
{
    struct ch_http_timer *timer = &conn->timer;

    if (!timer->next)
        return;
    timer->prev->next = timer->next;
    timer->next->prev = timer->prev;
    timer->next = timer->prev = NULL;
}
