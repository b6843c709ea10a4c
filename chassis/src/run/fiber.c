// SPDX-License-Identifier: Apache-2.0
/*
 * Fibers: one function on a stack of its own, entered and left by Boost.Context's jump. The only file that knows how to
 * switch. Every switch is between a loop and one of its fibers, and is announced to ASan and TSan, which follow stacks.
 *
 * A fiber never changes its thread. So it does not matter that compilers keep the address of a thread-local across a
 * switch; its value may change there, errno's too, because other fibers of the thread run in between.
 */
#include "internal.h"

#include <assert.h>

#ifdef CH_RUN_ASAN
#include <sanitizer/common_interface_defs.h>
#endif
#ifdef CH_RUN_TSAN
#include <sanitizer/tsan_interface.h>
#endif

/* Boost.Context's stable C symbols; no header of its own declares them for C. */
typedef void *fcontext_t;

struct transfer {
    fcontext_t fctx; /* where the one who jumped here goes on */
    void *data;
};

extern struct transfer jump_fcontext(fcontext_t to, void *data);
extern fcontext_t make_fcontext(void *stack_top, size_t size, void (*fn)(struct transfer));

/* ---- what the sanitizers must know; nothing in a release build ---- */

static inline void note_leave_loop(struct ch_fiber *fiber, void **ret_fake)
{
#ifdef CH_RUN_ASAN
    __sanitizer_start_switch_fiber(ret_fake, fiber->stack, fiber->stack_bytes);
#endif
#ifdef CH_RUN_TSAN
    fiber->loop->tsan_fiber = __tsan_get_current_fiber();
    __tsan_switch_to_fiber(fiber->tsan_fiber, 0);
#endif
    (void)fiber;
    (void)ret_fake;
}

static inline void note_enter_loop(void *fake)
{
#ifdef CH_RUN_ASAN
    __sanitizer_finish_switch_fiber(fake, NULL, NULL);
#endif
    (void)fake;
}

static inline void note_leave_fiber(struct ch_fiber *fiber)
{
#ifdef CH_RUN_ASAN
    __sanitizer_start_switch_fiber(fiber->is_finished ? NULL : &fiber->asan_stack, fiber->loop->asan_bottom,
                                   fiber->loop->asan_size);
#endif
#ifdef CH_RUN_TSAN
    __tsan_switch_to_fiber(fiber->loop->tsan_fiber, 0);
#endif
    (void)fiber;
}

static inline void note_enter_fiber(struct ch_fiber *fiber)
{
#ifdef CH_RUN_ASAN
    __sanitizer_finish_switch_fiber(fiber->asan_stack, &fiber->loop->asan_bottom, &fiber->loop->asan_size);
#endif
    (void)fiber;
}

static inline void note_new(struct ch_fiber *fiber)
{
#ifdef CH_RUN_TSAN
    fiber->tsan_fiber = __tsan_create_fiber(0);
#endif
    (void)fiber;
}

static inline void note_gone(struct ch_fiber *fiber)
{
#ifdef CH_RUN_TSAN
    __tsan_destroy_fiber(fiber->tsan_fiber);
#endif
    (void)fiber;
}

/* ---- the switch ---- */

void ch_fiber_park(struct ch_fiber *fiber)
{
    note_leave_fiber(fiber);
    fiber->loop->context = jump_fcontext(fiber->loop->context, NULL).fctx;
    note_enter_fiber(fiber);
}

static void fiber_main(struct transfer from)
{
    struct ch_fiber *fiber = from.data;

    fiber->loop->context = from.fctx;
    note_enter_fiber(fiber);
    fiber->fn(fiber->arg);
    fiber->is_finished = true;
    ch_fiber_park(fiber);
    __builtin_unreachable();
}

/* Its stack may go only from outside. */
static void fiber_bury(struct ch_fiber *fiber)
{
    struct ch_loop *loop = fiber->loop;

    ch_timers_remove(&loop->timers, fiber);
    note_gone(fiber);
    ch_stacks_give(&loop->stacks, fiber->stack);
    if (!loop->is_trimming && ch_stacks_is_warm(&loop->stacks))
        ch_loop_trim_later(loop);
    atomic_store_explicit(&loop->fibers, atomic_load_explicit(&loop->fibers, memory_order_relaxed) - 1,
                          memory_order_relaxed);
}

void ch_fiber_resume(struct ch_fiber *fiber)
{
    void *fake = NULL;

    fiber->loop->running = fiber;
    note_leave_loop(fiber, &fake);
    fiber->context = jump_fcontext(fiber->context, fiber).fctx;
    note_enter_loop(fake);
    fiber->loop->running = NULL;
    if (fiber->is_finished)
        fiber_bury(fiber);
}

/* ---- life ---- */

static enum ch_err fiber_start(struct ch_loop *loop, ch_fiber_fn *fn, void *arg, size_t max)
{
    size_t alive = atomic_load_explicit(&loop->fibers, memory_order_relaxed);
    struct ch_fiber *fiber;
    char *stack;

    assert(ch_loop_is_here(loop));
    if (alive >= max)
        return CH_ERR_LIMIT;
    stack = ch_stacks_take(&loop->stacks);
    if (!stack)
        return CH_ERR_NO_MEMORY;
    fiber = (struct ch_fiber *)(stack + loop->stacks.stack_bytes - (sizeof(*fiber) + 63) / 64 * 64);
    *fiber = (struct ch_fiber){
        .loop = loop,
        .deadline_ns = CH_NO_DEADLINE,
        .fn = fn,
        .arg = arg,
        .stack = stack,
        .stack_bytes = (size_t)((char *)fiber - stack),
    };
    fiber->context = make_fcontext(fiber, fiber->stack_bytes, fiber_main);
    note_new(fiber);
    atomic_store_explicit(&loop->fibers, alive + 1, memory_order_relaxed);
    ch_fiber_list_append(&loop->ready, fiber);
    return CH_OK;
}

enum ch_err ch_fiber_start(struct ch_loop *loop, ch_fiber_fn *fn, void *arg)
{
    return fiber_start(loop, fn, arg, loop->fibers_max);
}

enum ch_err ch_fiber_start_reserved(struct ch_loop *loop, ch_fiber_fn *fn, void *arg)
{
    return fiber_start(loop, fn, arg, loop->fibers_max + CH_FIBERS_RESERVE);
}

struct ch_fiber *ch_fiber_current(void)
{
    struct ch_loop *loop = ch_loop_current();

    return loop ? loop->running : NULL;
}

void ch_fiber_cancel(struct ch_fiber *fiber)
{
    assert(ch_loop_is_here(fiber->loop));
    if (fiber->wait && !fiber->is_masked)
        ch_wake(fiber->wait, CH_ERR_CANCELLED);
    else
        fiber->is_cancelled = true;
}

void ch_fiber_yield(void)
{
    struct ch_fiber *fiber = ch_fiber_current();

    assert(fiber);
    ch_fiber_list_append(&fiber->loop->later, fiber);
    ch_fiber_park(fiber);
}
