// SPDX-License-Identifier: Apache-2.0
/*
 * The loop: one thread, one libevent base, and the order of a turn:
 *   descriptors and libevent's timers -> mailbox -> deadlines -> ready fibers -> turn-end hooks -> (ready again?) ->
 * next turn It blocks only when nothing of that is left. How much runs in one turn is bounded, so that descriptors are
 * not starved by fibers that keep waking each other. It must never wait for anything but its own epoll.
 */
#include "internal.h"

#include <assert.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define TURN_FIBERS_MAX 256 /* fiber runs between two looks at the descriptors */
#define TRIM_EVERY_MS   100

static _Thread_local struct ch_loop *current_loop;

static void on_wake(evutil_socket_t fd, short events, void *arg)
{
    (void)fd; /* edge-triggered: need not be read; the mailbox is looked at in every turn */
    (void)events;
    (void)arg;
}

static void on_trim(evutil_socket_t fd, short events, void *arg)
{
    struct ch_loop *loop = arg;

    (void)fd;
    (void)events;
    loop->is_trimming = false;
    ch_stacks_trim(&loop->stacks);
    if (ch_stacks_is_warm(&loop->stacks))
        ch_loop_trim_later(loop);
}

void ch_loop_trim_later(struct ch_loop *loop)
{
    static const struct timeval every = {.tv_usec = TRIM_EVERY_MS * 1000};

    loop->is_trimming = event_add(&loop->trim_event, &every) == 0;
}

static struct event_base *base_new(void)
{
    struct event_config *config = event_config_new();
    struct event_base *base = NULL;

    if (!config)
        return NULL;
    /* No lock: other threads reach a loop through its mailbox only. No EVENT_BASE_FLAG_EPOLL_USE_CHANGELIST: it would
     * take a closed descriptor out of the set a pass later, when another loop may have its number already. */
    if (!event_config_set_flag(config, EVENT_BASE_FLAG_NOLOCK))
        base = event_base_new_with_config(config);
    event_config_free(config);
    return base;
}

static bool loop_open(struct ch_loop *loop, const struct ch_loop_options *options)
{
    size_t all = options->fibers_max + CH_FIBERS_RESERVE;

    loop->base = base_new();
    if (!loop->base)
        return false;
    if (ch_stacks_init(&loop->stacks, all, options->stack_bytes))
        return false;
    if (ch_timers_init(&loop->timers, all, loop->base))
        return false;
    loop->wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (loop->wake_fd < 0)
        return false;
    if (evtimer_assign(&loop->trim_event, loop->base, on_trim, loop))
        return false;
    if (event_assign(&loop->wake_event, loop->base, loop->wake_fd, EV_READ | EV_PERSIST | EV_ET, on_wake, loop))
        return false;
    return event_add(&loop->wake_event, NULL) == 0;
}

struct ch_loop *ch_loop_new(const struct ch_loop_options *options)
{
    struct ch_loop *loop = aligned_alloc(_Alignof(struct ch_loop), sizeof(*loop));

    if (!loop)
        return NULL;
    memset(loop, 0, sizeof(*loop));
    loop->timers.fd = loop->wake_fd = -1;
    loop->now_ns = ch_now_ns();
    loop->fibers_max = options->fibers_max;
    loop->index = options->index;
    loop->hooks_last = &loop->hooks;
    ch_fiber_list_init(&loop->ready);
    ch_fiber_list_init(&loop->later);
    (void)snprintf(loop->name, sizeof(loop->name), "%s", options->name ? options->name : "loop"); /* cut if too long */
    if (!loop_open(loop, options)) {
        ch_loop_free(loop);
        return NULL;
    }
    return loop;
}

void ch_loop_free(struct ch_loop *loop)
{
    if (!loop)
        return;
    assert(ch_loop_fibers(loop) == 0);
    if (event_initialized(&loop->wake_event))
        (void)event_del(&loop->wake_event); /* fails only for one never added */
    if (event_initialized(&loop->trim_event))
        (void)event_del(&loop->trim_event);
    ch_timers_release(&loop->timers);
    if (loop->wake_fd >= 0)
        (void)close(loop->wake_fd);
    ch_stacks_release(&loop->stacks);
    if (loop->base)
        event_base_free(loop->base);
    free(loop);
}

struct event_base *ch_loop_base(struct ch_loop *loop)
{
    return loop->base;
}

struct ch_loop *ch_loop_current(void)
{
    return current_loop;
}

bool ch_loop_is_here(const struct ch_loop *loop)
{
    return !current_loop || current_loop == loop;
}

int ch_loop_index(const struct ch_loop *loop)
{
    return loop->index;
}

void ch_loop_set_user(struct ch_loop *loop, void *user)
{
    loop->user = user;
}

void *ch_loop_user(const struct ch_loop *loop)
{
    return loop->user;
}

size_t ch_loop_fibers(const struct ch_loop *loop)
{
    return atomic_load_explicit(&((struct ch_loop *)loop)->fibers, memory_order_relaxed);
}

void ch_loop_wake(struct ch_loop *loop)
{
    static const uint64_t one = 1;

    (void)!write(loop->wake_fd, &one, sizeof(one)); /* full is as good: it has been told */
}

void ch_loop_stop(struct ch_loop *loop)
{
    atomic_store_explicit(&loop->is_stopping, true, memory_order_release);
    ch_loop_wake(loop);
}

void ch_loop_at_turn_end(struct ch_loop *loop, struct ch_hook *hook)
{
    assert(ch_loop_is_here(loop));
    if (hook->is_armed)
        return;
    hook->is_armed = true;
    hook->next = NULL;
    *loop->hooks_last = hook;
    loop->hooks_last = &hook->next;
}

/* A hook armed by a hook runs in the next round. */
static void hooks_run(struct ch_loop *loop)
{
    struct ch_hook *hook = loop->hooks, *next;

    loop->hooks = NULL;
    loop->hooks_last = &loop->hooks;
    for (; hook; hook = next) {
        next = hook->next;
        hook->is_armed = false;
        hook->fn(hook->arg);
    }
}

static void fibers_run(struct ch_loop *loop)
{
    int left = TURN_FIBERS_MAX;
    struct ch_fiber *fiber;

    do {
        while (left > 0 && (fiber = ch_fiber_list_pop(&loop->ready))) {
            ch_fiber_resume(fiber);
            left--;
        }
        hooks_run(loop);
        left--; /* a hook that arms itself must not hold the turn for ever */
    } while (left > 0 && (loop->ready.first || loop->hooks));
}

static void later_to_ready(struct ch_loop *loop)
{
    struct ch_fiber *fiber;

    while ((fiber = ch_fiber_list_pop(&loop->later)))
        ch_fiber_list_append(&loop->ready, fiber);
}

static bool loop_has_work(struct ch_loop *loop)
{
    return loop->ready.first || loop->later.first || loop->hooks || !ch_mailbox_is_empty(loop);
}

void ch_loop_run(struct ch_loop *loop)
{
    assert(!current_loop);
    current_loop = loop;
    (void)pthread_setname_np(pthread_self(), loop->name); /* only for who looks at threads */
    for (;;) {
        bool has_work = loop_has_work(loop);

        /* In this order: what was posted before the stop is in the mailbox when the stop is seen. */
        if (!has_work && atomic_load_explicit(&loop->is_stopping, memory_order_acquire) && !loop_has_work(loop))
            break;
        if (!has_work)
            ch_timers_arm(&loop->timers);
        (void)event_base_loop(loop->base,
                              EVLOOP_ONCE | (has_work ? EVLOOP_NONBLOCK : 0)); /* epoll of our own: no error */
        loop->now_ns = ch_now_ns();
        ch_mailbox_drain(loop);
        ch_timers_expire(&loop->timers, loop->now_ns);
        later_to_ready(loop);
        fibers_run(loop);
    }
    atomic_store_explicit(&loop->is_stopping, false, memory_order_relaxed);
    current_loop = NULL;
}
