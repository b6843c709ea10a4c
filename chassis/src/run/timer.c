// SPDX-License-Identifier: Apache-2.0
/*
 * Deadlines of one loop's fibers: a binary heap and one timerfd. Nearly all deadlines are never reached, and the waits
 * of one request mostly share one; so a fiber stays in the heap when its wait ends, and its next wait with the same or
 * a later deadline costs nothing. The price is that a slot may come up early; then it is put where it belongs. The heap
 * has room for every fiber from the start, so that arming a deadline never fails. This file must never run a fiber,
 * only wake it.
 */
#include "internal.h"

#include <stdlib.h>
#include <sys/timerfd.h>
#include <unistd.h>

static void timers_on_fire(evutil_socket_t fd, short events, void *arg)
{
    struct ch_timers *timers = arg;
    uint64_t count;

    (void)events;
    (void)!read(fd, &count, sizeof(count)); /* only clears it; EAGAIN is as good */
    timers->armed_ns = CH_NO_DEADLINE;      /* the loop expires in every turn: nothing more to do */
}

enum ch_err ch_timers_init(struct ch_timers *timers, size_t max, struct event_base *base)
{
    timers->count = 0;
    timers->armed_ns = CH_NO_DEADLINE;
    timers->fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
    if (timers->fd < 0)
        return CH_ERR_INTERNAL;
    timers->slots = calloc(max, sizeof(*timers->slots));
    if (!timers->slots)
        return CH_ERR_NO_MEMORY;
    if (event_assign(&timers->event, base, timers->fd, EV_READ | EV_PERSIST, timers_on_fire, timers) ||
        event_add(&timers->event, NULL))
        return CH_ERR_INTERNAL;
    return CH_OK;
}

void ch_timers_release(struct ch_timers *timers)
{
    if (event_initialized(&timers->event))
        (void)event_del(&timers->event); /* fails only for an event never added */
    if (timers->fd >= 0)
        (void)close(timers->fd);
    free(timers->slots);
    timers->slots = NULL;
}

static void slot_put(struct ch_timers *timers, size_t place, struct ch_timer_slot slot)
{
    timers->slots[place] = slot;
    slot.fiber->timer = place + 1;
}

static void slot_rise(struct ch_timers *timers, size_t place, struct ch_timer_slot slot)
{
    while (place > 0) {
        size_t parent = (place - 1) / 2;

        if (timers->slots[parent].key_ns <= slot.key_ns)
            break;
        slot_put(timers, place, timers->slots[parent]);
        place = parent;
    }
    slot_put(timers, place, slot);
}

static void slot_sink(struct ch_timers *timers, size_t place, struct ch_timer_slot slot)
{
    for (;;) {
        size_t child = 2 * place + 1;

        if (child >= timers->count)
            break;
        if (child + 1 < timers->count && timers->slots[child + 1].key_ns < timers->slots[child].key_ns)
            child++;
        if (slot.key_ns <= timers->slots[child].key_ns)
            break;
        slot_put(timers, place, timers->slots[child]);
        place = child;
    }
    slot_put(timers, place, slot);
}

void ch_timers_ensure(struct ch_timers *timers, struct ch_fiber *fiber)
{
    struct ch_timer_slot slot = {fiber->deadline_ns, fiber};

    if (fiber->timer == 0)
        slot_rise(timers, timers->count++, slot);
    else if (timers->slots[fiber->timer - 1].key_ns > slot.key_ns)
        slot_rise(timers, fiber->timer - 1, slot);
}

void ch_timers_remove(struct ch_timers *timers, struct ch_fiber *fiber)
{
    size_t place = fiber->timer - 1;
    struct ch_timer_slot last;

    if (fiber->timer == 0)
        return;
    fiber->timer = 0;
    last = timers->slots[--timers->count];
    if (place == timers->count)
        return;
    if (place > 0 && last.key_ns < timers->slots[(place - 1) / 2].key_ns)
        slot_rise(timers, place, last);
    else
        slot_sink(timers, place, last);
}

void ch_timers_expire(struct ch_timers *timers, int64_t now_ns)
{
    while (timers->count > 0 && timers->slots[0].key_ns <= now_ns) {
        struct ch_fiber *fiber = timers->slots[0].fiber;

        if (fiber->deadline_ns > now_ns && fiber->deadline_ns != CH_NO_DEADLINE) {
            slot_sink(timers, 0, (struct ch_timer_slot){fiber->deadline_ns, fiber});
            continue;
        }
        ch_timers_remove(timers, fiber);
        if (fiber->deadline_ns <= now_ns)
            ch_wake(fiber->wait, CH_ERR_DEADLINE);
    }
}

void ch_timers_arm(struct ch_timers *timers)
{
    struct itimerspec when = {0};
    int64_t key_ns;

    if (timers->count == 0)
        return;
    key_ns = timers->slots[0].key_ns;
    if (key_ns >=
        timers->armed_ns) /* an earlier alarm is set: it will come for nothing, which is cheaper than to move it */
        return;
    if (key_ns < 1) /* zero would disarm */
        key_ns = 1;
    when.it_value.tv_sec = key_ns / 1000000000;
    when.it_value.tv_nsec = key_ns % 1000000000;
    (void)timerfd_settime(timers->fd, TFD_TIMER_ABSTIME, &when, NULL); /* fails only for wrong arguments */
    timers->armed_ns = key_ns;
}
