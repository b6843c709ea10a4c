// SPDX-License-Identifier: Apache-2.0
/*
 * What the files of run/ share: the loop, the fiber, the pool of stacks, the heap of deadlines.
 * Nothing outside run/ (but its own tests) may include this. Everything here belongs to one loop thread; the few words
 * that other threads touch are atomic and say so.
 */
#ifndef CH_RUN_INTERNAL_H
#define CH_RUN_INTERNAL_H

#include "ch/run.h"

#include <event2/event_struct.h>
#include <stdatomic.h>

#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define CH_RUN_ASAN 1
#endif
#if __has_feature(thread_sanitizer)
#define CH_RUN_TSAN 1
#endif
#endif
#if defined(__SANITIZE_ADDRESS__) && !defined(CH_RUN_ASAN)
#define CH_RUN_ASAN 1
#endif
#if defined(__SANITIZE_THREAD__) && !defined(CH_RUN_TSAN)
#define CH_RUN_TSAN 1
#endif

/* ---- stack.c: stacks with a guard page, pooled per loop -----------------------------------------------------------
 */

/** Free stacks in LIFO order: [0, cold) gave their memory back to the kernel, [cold, count) still hold it. `low` is the
 *  smallest count since the last trim: what lies below it was not needed in that time. */
struct ch_stacks {
    void **free;
    size_t count, cold, low;
    size_t max;
    size_t stack_bytes; /**< usable, a multiple of the page */
    size_t guard_bytes;
};

#define CH_STACKS_WARM_MIN 32  /**< so many stay warm for ever */
#define CH_STACKS_TRIM_MAX 256 /**< so many madvise calls in one trim: bounds its pause */

CH_MUST_CHECK enum ch_err ch_stacks_init(struct ch_stacks *stacks, size_t max, size_t stack_bytes);
void ch_stacks_release(struct ch_stacks *stacks);
void *ch_stacks_take(struct ch_stacks *stacks); /**< lowest usable address; NULL: the kernel refused */
void ch_stacks_give(struct ch_stacks *stacks, void *stack);
void ch_stacks_trim(struct ch_stacks *stacks);          /**< cools what was idle since the last trim */
bool ch_stacks_is_warm(const struct ch_stacks *stacks); /**< more warm ones than stay: a later trim may cool some */

/* ---- timer.c: one deadline a fiber ---------------------------------------------------------------------------------
 */

/** `key_ns` is never later than the fiber's deadline, but may be earlier: see ch_timers_expire. */
struct ch_timer_slot {
    int64_t key_ns;
    struct ch_fiber *fiber;
};

struct ch_timers {
    struct ch_timer_slot *slots; /**< binary heap by key */
    size_t count;
    int fd; /**< timerfd on ch_now_ns's clock */
    int64_t armed_ns;
    struct event event;
};

CH_MUST_CHECK enum ch_err ch_timers_init(struct ch_timers *timers, size_t max, struct event_base *base);
void ch_timers_release(struct ch_timers *timers);
/** The fiber will be looked at when its `deadline_ns` has come. Cheap when it was in the heap already. */
void ch_timers_ensure(struct ch_timers *timers, struct ch_fiber *fiber);
void ch_timers_remove(struct ch_timers *timers, struct ch_fiber *fiber);
void ch_timers_expire(struct ch_timers *timers, int64_t now_ns); /**< wakes what is due with CH_ERR_DEADLINE */
void ch_timers_arm(struct ch_timers *timers);                    /**< before the loop blocks */

/* ---- fiber.c -------------------------------------------------------------------------------------------------------
 */

/** Lies at the top of its own stack. In exactly one place: running, in loop->ready, in loop->later, or parked on
 * `wait`. */
struct ch_fiber {
    void *context; /**< where it goes on; valid while it does not run */
    struct ch_loop *loop;
    struct ch_fiber *next; /**< in ready or later */
    struct ch_wait *wait;  /**< NULL when not parked */
    int64_t deadline_ns;   /**< of `wait` */
    size_t timer;          /**< 1 + its place in the heap; 0: not there */
    bool is_cancelled;     /**< the next wait returns CH_ERR_CANCELLED */
    bool is_masked;        /**< `wait` does not end by cancel */
    bool is_finished;
    ch_fiber_fn *fn;
    void *arg;
    void *stack;
    size_t stack_bytes; /**< below this struct */
    void *asan_stack;   /**< ASan's fake stack while switched away */
    void *tsan_fiber;
};

struct ch_fiber_list {
    struct ch_fiber *first, **last;
};

static inline void ch_fiber_list_init(struct ch_fiber_list *list)
{
    list->first = NULL;
    list->last = &list->first;
}

static inline void ch_fiber_list_append(struct ch_fiber_list *list, struct ch_fiber *fiber)
{
    fiber->next = NULL;
    *list->last = fiber;
    list->last = &fiber->next;
}

static inline struct ch_fiber *ch_fiber_list_pop(struct ch_fiber_list *list)
{
    struct ch_fiber *fiber = list->first;

    if (fiber) {
        list->first = fiber->next;
        if (!list->first)
            list->last = &list->first;
    }
    return fiber;
}

/** Runs the fiber until it parks, yields or ends; a finished one is taken apart. From the loop only. */
void ch_fiber_resume(struct ch_fiber *fiber);
/** From the fiber to its loop; returns when it is resumed. The caller has put it where it will be found again. */
void ch_fiber_park(struct ch_fiber *fiber);
/** As ch_fiber_start, for the chassis's own short work that finishes what requests have begun: may use the reserve. */
CH_MUST_CHECK enum ch_err ch_fiber_start_reserved(struct ch_loop *loop, ch_fiber_fn *fn, void *arg);

#define CH_FIBERS_RESERVE 64

/* ---- wait.c --------------------------------------------------------------------------------------------------------
 */

/** Parks until ch_wake and nothing else; a cancel stays pending for the next wait. */
void ch_wait_masked(struct ch_wait *wait);

/* ---- loop.c, mailbox.c ---------------------------------------------------------------------------------------------
 */

struct ch_loop {
    struct event_base *base;
    struct ch_fiber *running;
    void *context;                     /**< the loop's own, while a fiber runs */
    struct ch_fiber_list ready, later; /**< run in this turn; run in the next (yielded) */
    struct ch_hook *hooks, **hooks_last;
    int64_t now_ns; /**< at the start of the turn */
    struct ch_timers timers;
    struct ch_stacks stacks;
    struct event trim_event;
    bool is_trimming;
    size_t fibers_max;
    int index;
    void *user;
    char name[16];
    const void *asan_bottom; /**< the thread's own stack, as ASan told */
    size_t asan_size;
    void *tsan_fiber;
    struct event wake_event;
    int wake_fd;

    _Alignas(64) _Atomic(struct ch_mail *) mailbox; /**< newest first; any thread pushes */
    _Atomic(bool) is_stopping;                      /**< any thread */
    _Atomic(size_t) fibers;                         /**< alive; other threads read */
};

/** The loop of this thread is `loop`, or this thread runs none (start-up, take-down, tests). */
bool ch_loop_is_here(const struct ch_loop *loop);
void ch_loop_wake(struct ch_loop *loop);       /**< any thread: makes a blocked loop turn once */
void ch_loop_trim_later(struct ch_loop *loop); /**< a stack came back to the pool */
bool ch_mailbox_is_empty(struct ch_loop *loop);
void ch_mailbox_drain(struct ch_loop *loop);

#endif
