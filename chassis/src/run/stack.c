// SPDX-License-Identifier: Apache-2.0
/*
 * Stacks of fibers. Each is a mapping of its own with a page below it that nobody may touch: an overflow ends in
 * SIGSEGV at once instead of in a neighbour's data. Free ones are kept per loop, because mapping costs microseconds and
 * a start must not; what a burst left behind gives its memory back to the kernel after a while. This file must never
 * touch a stack in use.
 */
#include "internal.h"

#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#ifdef CH_RUN_ASAN
#include <sanitizer/asan_interface.h>
#endif

#if defined(CH_RUN_ASAN) || defined(CH_RUN_TSAN)
#define STACK_DEFAULT_BYTES ((size_t)256 << 10)
#else
#define STACK_DEFAULT_BYTES ((size_t)64 << 10)
#endif
#define STACK_MIN_BYTES ((size_t)16 << 10)

enum ch_err ch_stacks_init(struct ch_stacks *stacks, size_t max, size_t stack_bytes)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);

    if (stack_bytes == 0)
        stack_bytes = STACK_DEFAULT_BYTES;
    if (stack_bytes < STACK_MIN_BYTES)
        stack_bytes = STACK_MIN_BYTES;
    stacks->free = calloc(max, sizeof(*stacks->free));
    if (!stacks->free)
        return CH_ERR_NO_MEMORY;
    stacks->count = stacks->cold = stacks->low = 0;
    stacks->max = max;
    stacks->guard_bytes = page;
    stacks->stack_bytes = (stack_bytes + page - 1) / page * page;
    return CH_OK;
}

static void stack_unmap(struct ch_stacks *stacks, void *stack)
{
    (void)munmap((char *)stack - stacks->guard_bytes,
                 stacks->guard_bytes + stacks->stack_bytes); /* ours: cannot fail */
}

void ch_stacks_release(struct ch_stacks *stacks)
{
    while (stacks->count > 0)
        stack_unmap(stacks, stacks->free[--stacks->count]);
    free(stacks->free);
    stacks->free = NULL;
}

void *ch_stacks_take(struct ch_stacks *stacks)
{
    char *map;

    if (stacks->count > 0) {
        stacks->count--;
        if (stacks->low > stacks->count)
            stacks->low = stacks->count;
        if (stacks->cold > stacks->count)
            stacks->cold = stacks->count;
        return stacks->free[stacks->count];
    }
    map = mmap(NULL, stacks->guard_bytes + stacks->stack_bytes, PROT_READ | PROT_WRITE,
               MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_STACK, -1, 0);
    if (map == MAP_FAILED)
        return NULL;
    if (mprotect(map, stacks->guard_bytes, PROT_NONE)) { /* the process has too many mappings (vm.max_map_count) */
        (void)munmap(map, stacks->guard_bytes + stacks->stack_bytes);
        return NULL;
    }
    return map + stacks->guard_bytes;
}

void ch_stacks_give(struct ch_stacks *stacks, void *stack)
{
#ifdef CH_RUN_ASAN
    /* The last frames of the fiber never returned: their red zones would be found by the next one. */
    __asan_unpoison_memory_region(stack, stacks->stack_bytes);
#endif
    if (stacks->count == stacks->max) { /* cannot be: no more stacks than fibers */
        stack_unmap(stacks, stack);
        return;
    }
    stacks->free[stacks->count++] = stack;
}

void ch_stacks_trim(struct ch_stacks *stacks)
{
    size_t end = stacks->low;
    size_t warm_from = stacks->count > CH_STACKS_WARM_MIN ? stacks->count - CH_STACKS_WARM_MIN : 0;

    if (end > warm_from)
        end = warm_from;
    if (end > stacks->cold + CH_STACKS_TRIM_MAX)
        end = stacks->cold + CH_STACKS_TRIM_MAX;
    for (; stacks->cold < end; stacks->cold++)
        (void)madvise(stacks->free[stacks->cold], stacks->stack_bytes, MADV_DONTNEED); /* a refusal only costs memory */
    stacks->low = stacks->count;
}

bool ch_stacks_is_warm(const struct ch_stacks *stacks)
{
    return stacks->count > stacks->cold + CH_STACKS_WARM_MIN;
}
