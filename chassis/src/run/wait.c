// SPDX-License-Identifier: Apache-2.0
/*
 * Waits: how a fiber parks until somebody wakes it, its deadline comes or it is cancelled; and what is built of that
 * alone: sleeping, waiting for a descriptor, queueing. Whatever ends a wait first wins; what comes later is ignored.
 * Nothing here may allocate: a wait lives on the stack of the fiber that waits.
 */
#include "internal.h"

#include <assert.h>

static enum ch_err wait_settle(struct ch_wait *wait, enum ch_err result)
{
    wait->is_done = true;
    wait->result = result;
    return result;
}

static void wait_park(struct ch_fiber *fiber, struct ch_wait *wait)
{
    wait->fiber = fiber;
    fiber->wait = wait;
    ch_fiber_park(fiber);
}

enum ch_err ch_wait(struct ch_wait *wait, int64_t deadline_ns)
{
    struct ch_fiber *fiber = ch_fiber_current();

    assert(fiber);
    if (wait->is_done)
        return wait->result;
    if (fiber->is_cancelled) {
        fiber->is_cancelled = false;
        return wait_settle(wait, CH_ERR_CANCELLED);
    }
    if (deadline_ns <= fiber->loop->now_ns)
        return wait_settle(wait, CH_ERR_DEADLINE);
    if (deadline_ns != CH_NO_DEADLINE) {
        fiber->deadline_ns = deadline_ns;
        ch_timers_ensure(&fiber->loop->timers, fiber);
    }
    wait_park(fiber, wait);
    return wait->result;
}

void ch_wait_masked(struct ch_wait *wait)
{
    struct ch_fiber *fiber = ch_fiber_current();

    assert(fiber);
    if (wait->is_done)
        return;
    fiber->is_masked = true;
    wait_park(fiber, wait);
    fiber->is_masked = false;
}

void ch_wake(struct ch_wait *wait, enum ch_err result)
{
    struct ch_fiber *fiber = wait->fiber;

    if (wait->is_done)
        return;
    (void)wait_settle(wait, result); /* is handed to the fiber by ch_wait */
    if (!fiber)                      /* it has not come to ch_wait yet */
        return;
    assert(fiber->wait == wait && ch_loop_is_here(fiber->loop));
    fiber->wait = NULL;
    fiber->deadline_ns = CH_NO_DEADLINE;
    ch_fiber_list_append(&fiber->loop->ready, fiber);
}

enum ch_err ch_sleep_wait(int64_t until_ns)
{
    struct ch_wait wait = {0};
    enum ch_err err = ch_wait(&wait, until_ns);

    return err == CH_ERR_DEADLINE ? CH_OK : err;
}

static void fd_on_ready(evutil_socket_t fd, short events, void *arg)
{
    (void)fd;
    (void)events;
    ch_wake(arg, CH_OK);
}

enum ch_err ch_fd_wait(int fd, short events, int64_t deadline_ns)
{
    struct ch_wait wait = {0};
    struct event event;
    enum ch_err err;

    assert(ch_fiber_current());
    events &= EV_READ | EV_WRITE;
    if (event_assign(&event, ch_loop_base(ch_loop_current()), fd, events, fd_on_ready, &wait) ||
        event_add(&event, NULL))
        return CH_ERR_INTERNAL;
    err = ch_wait(&wait, deadline_ns);
    (void)event_del(&event); /* has gone off, or is ours to take back */
    return err;
}

/* ---- queue ---- */

struct ch_queue_entry {
    struct ch_wait wait;
    struct ch_queue_entry *next;
    struct ch_queue_entry **link; /* what points at this; NULL: not in the queue */
};

void ch_queue_init(struct ch_queue *queue, size_t max)
{
    *queue = (struct ch_queue){.last = &queue->first, .max = max};
}

static void queue_remove(struct ch_queue *queue, struct ch_queue_entry *entry)
{
    *entry->link = entry->next;
    if (entry->next)
        entry->next->link = entry->link;
    else
        queue->last = entry->link;
    entry->link = NULL;
    queue->count--;
}

enum ch_err ch_queue_wait(struct ch_queue *queue, int64_t deadline_ns)
{
    struct ch_queue_entry entry = {.link = queue->last};
    enum ch_err err;

    if (queue->count >= queue->max)
        return CH_ERR_OVERLOADED;
    *queue->last = &entry;
    queue->last = &entry.next;
    queue->count++;
    err = ch_wait(&entry.wait, deadline_ns);
    if (entry.link)
        queue_remove(queue, &entry);
    return err;
}

bool ch_queue_wake_one(struct ch_queue *queue, enum ch_err result)
{
    while (queue->first) {
        struct ch_queue_entry *entry = queue->first;
        bool is_waiting = !entry->wait.is_done;

        queue_remove(queue, entry);
        if (is_waiting) { /* the others' deadline or cancel came first; they just have not run since */
            ch_wake(&entry->wait, result);
            return true;
        }
    }
    return false;
}

void ch_queue_wake_all(struct ch_queue *queue, enum ch_err result)
{
    while (ch_queue_wake_one(queue, result))
        ;
}
