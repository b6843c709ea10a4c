// SPDX-License-Identifier: Apache-2.0
/**
 * @file run.h
 * @brief Loops, fibers, waits, mailboxes and batches: how work runs without a thread that waits.
 *
 * One loop a thread (libevent base). Work runs on fibers: a fiber is one function
 * with a stack of its own (Boost.Context switch, guard page, pooled) that reads top to bottom and parks in calls that
 * end in `_wait`. A fiber never moves to another loop. A parked fiber is never destroyed: it is resumed with an error
 * and returns by itself. Loops talk through mailboxes only.
 *
 * Across a wait, thread-locals keep their address (compilers may cache it) but not their value: errno is whatever the
 * other fibers left. Running over the end of a stack ends in SIGSEGV at its guard page.
 */
#ifndef CH_RUN_H
#define CH_RUN_H

#include "ch/base.h"

#include <event2/event.h>

struct ch_loop;
struct ch_fiber;

/* ---- loops ---------------------------------------------------------------------------------------------------- */

/** How a loop is made; copied. */
struct ch_loop_options {
    const char *name;   /**< thread name, <= 15 bytes */
    int index;          /**< 0.. ; shown in metrics and the list of requests */
    size_t fibers_max;  /**< fibers alive at once; ch_fiber_start refuses more with CH_ERR_LIMIT */
    size_t stack_bytes; /**< 0: 64 KiB (256 KiB under a sanitizer) */
};

struct ch_loop *ch_loop_new(const struct ch_loop_options *options); /**< NULL when the kernel refuses */
void ch_loop_free(struct ch_loop *loop);                            /**< after run returned; no fiber may be alive */
void ch_loop_run(struct ch_loop *loop);                             /**< on its own thread, until ch_loop_stop */
void ch_loop_stop(struct ch_loop *loop); /**< any thread; run returns when mailbox and ready list are empty */
struct event_base *ch_loop_base(struct ch_loop *loop);
struct ch_loop *ch_loop_current(void); /**< NULL outside a loop thread */
int ch_loop_index(const struct ch_loop *loop);
void ch_loop_set_user(struct ch_loop *loop, void *user); /**< one slot for whoever owns the loop */
void *ch_loop_user(const struct ch_loop *loop);
size_t ch_loop_fibers(const struct ch_loop *loop); /**< alive now; any thread (relaxed) */

/** Run `fn(arg)` on the loop, outside a fiber, at the end of this turn, once per call: how drivers flush what the turn
 * gathered. `hook` is caller-owned, zeroed at first; arming an armed hook does nothing. Loop thread only. */
struct ch_hook {
    void (*fn)(void *arg);
    void *arg;
    struct ch_hook *next;
    bool is_armed;
};
void ch_loop_at_turn_end(struct ch_loop *loop, struct ch_hook *hook);

/* ---- mail: the only door between threads ------------------------------------------------------------------------ */

/** Caller-owned; must stay alive until `fn` ran. `fn` runs on the loop's thread outside a fiber, in posting order per
 * sender. */
struct ch_mail {
    void (*fn)(struct ch_loop *loop, void *arg);
    void *arg;
    struct ch_mail *next;
};
void ch_loop_post(struct ch_loop *loop,
                  struct ch_mail *mail); /**< any thread, lock-free or short lock, wakes the loop once */

/* ---- fibers ---------------------------------------------------------------------------------------------------- */

typedef void ch_fiber_fn(void *arg);

/** Starts a fiber; it first runs when the loop next runs ready fibers (same turn). From a fiber, an event's callback, a
 * mail, a hook, or before ch_loop_run: only ever on the loop's own thread; other threads post a mail whose `fn` starts
 * it. CH_ERR_LIMIT at fibers_max, CH_ERR_NO_MEMORY when no stack can be mapped (two mappings a fiber; see
 * vm.max_map_count). */
CH_MUST_CHECK enum ch_err ch_fiber_start(struct ch_loop *loop, ch_fiber_fn *fn, void *arg);
struct ch_fiber *ch_fiber_current(void); /**< NULL on the loop itself */
/** Cancels: the fiber's current or next wait returns CH_ERR_CANCELLED, once. Loop thread only, while the fiber is
 * alive. */
void ch_fiber_cancel(struct ch_fiber *fiber);
/** Gives way to all that is ready and to the loop's descriptors; goes on in the next turn. Use in long computations. */
void ch_fiber_yield(void);

/* ---- waits ----------------------------------------------------------------------------------------------------- */

#define CH_NO_DEADLINE INT64_MAX /**< only for loops' own service fibers, never for a request */

/** One thing a fiber waits for. Lives on the waiting fiber's stack; zero it, hand its address to whoever will wake,
 * then wait. */
struct ch_wait {
    struct ch_fiber *fiber;
    enum ch_err result;
    bool is_done;
};

/** Parks until ch_wake, `deadline_ns` (CH_ERR_DEADLINE) or cancel (CH_ERR_CANCELLED). Returns at once if already woken.
 *  After a deadline or cancel the waker must not touch the wait: the caller takes it back from the waker first. */
CH_MUST_CHECK enum ch_err ch_wait(struct ch_wait *wait, int64_t deadline_ns);
/** Ends the wait with `result`; the fiber runs later in this turn. Loop thread only; a second wake is ignored. Who
 * hands over a thing of value looks at `is_done` first: a deadline may have ended the wait although its fiber has not
 * run since. */
void ch_wake(struct ch_wait *wait, enum ch_err result);
CH_MUST_CHECK enum ch_err ch_sleep_wait(int64_t until_ns);
/** fd ready for EV_READ and/or EV_WRITE. */
CH_MUST_CHECK enum ch_err ch_fd_wait(int fd, short events, int64_t deadline_ns);

/* A descriptor that stays open (a connection) is cheaper with a persistent event of the driver's own that calls
 * ch_wake. */

/** FIFO queue of waiting fibers with a bound: for pools. Same loop only. */
struct ch_queue {
    struct ch_queue_entry *first, **last;
    size_t count, max;
};
void ch_queue_init(struct ch_queue *queue, size_t max); /**< the queue may not move afterwards */
/** Parks until ch_queue_wake_one chose this fiber. CH_ERR_OVERLOADED at once when the queue is full. */
CH_MUST_CHECK enum ch_err ch_queue_wait(struct ch_queue *queue, int64_t deadline_ns);
bool ch_queue_wake_one(struct ch_queue *queue, enum ch_err result); /**< false: nobody waited */
void ch_queue_wake_all(struct ch_queue *queue, enum ch_err result);

/* ---- batches --------------------------------------------------------------------------------------------------- */

/** Group commit: `commit` runs, on a fiber of its own, on all items that joined while the last call was in flight (at
 * most `max_items` at once, in joining order). One item never waits for a second. `commit` sets each item's `result`.
 */
struct ch_batch_item {
    enum ch_err result;
    struct ch_wait wait;
    struct ch_batch_item *next;
    struct ch_batch_item **link;
    bool is_taken; /**< a commit has it */
    bool is_done;  /**< that commit has ended */
};

#define CH_BATCH_ITEMS_MAX 512

/** A group commit of one loop: ch_batch_init fills the first part, the rest is its own. */
struct ch_batch {
    void (*commit)(void *arg, struct ch_batch_item **items, size_t count);
    void *arg;
    size_t max_items;   /**< per commit; at most CH_BATCH_ITEMS_MAX */
    size_t max_waiting; /**< more joiners get CH_ERR_OVERLOADED */
    int max_flights;    /**< commits in flight at once; 1 keeps FIFO order across batches */
    size_t crowd;       /**< so many wait before a flight starts beside another; fewer are its next batch */
    /* owned by the batch */
    struct ch_batch_item *first, **last;
    size_t waiting;
    int flights;
    bool is_starting;
};
/** All of one loop. The batch may not move afterwards; it owns no memory, so nothing releases it. */
void ch_batch_init(struct ch_batch *batch, void (*commit)(void *, struct ch_batch_item **, size_t), void *arg,
                   size_t max_items, size_t max_waiting, int max_flights, size_t crowd);
/** Joins and parks until this item's commit ended; returns item->result. An item not yet taken leaves on deadline or
 * cancel; a taken item's fiber stays parked until the commit ends (the commit has its own deadline), so `item` may live
 * on the stack; a cancel that came meanwhile ends the fiber's next wait. `commit` that sets no result leaves
 * CH_ERR_INTERNAL. `item` is zeroed here: it is the first member of the caller's own struct. Flights may start beyond
 * fibers_max, so that a full loop still commits. */
CH_MUST_CHECK enum ch_err ch_batch_join_wait(struct ch_batch *batch, struct ch_batch_item *item, int64_t deadline_ns);

#endif
