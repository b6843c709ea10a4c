// SPDX-License-Identifier: Apache-2.0
// Arena: memory of one request, freed in one step, so that handlers need no clean-up path.
// Blocks in a list, the newest first; the first block lies behind the arena's own struct and survives a reset.
// It must never hand out more than its limit nor unaligned or unzeroed bytes. Under AddressSanitizer what is not handed
// out is poisoned.
#include "ch/base.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#if defined(__SANITIZE_ADDRESS__)
#define HAS_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define HAS_ASAN 1
#endif
#endif
#ifdef HAS_ASAN
#include <sanitizer/asan_interface.h>
#else
#define ASAN_POISON_MEMORY_REGION(address, size)   ((void)(address), (void)(size))
#define ASAN_UNPOISON_MEMORY_REGION(address, size) ((void)(address), (void)(size))
#endif

#define ALIGNMENT       16u
#define FIRST_BLOCK     (8u * 1024u)
#define LARGEST_REGULAR (64u * 1024u) // larger wishes get a block of their own size

struct block {
    struct block *next;
    size_t cap; // bytes behind this header
    size_t used;
    size_t reserved_for_alignment;
};
_Static_assert(sizeof(struct block) % ALIGNMENT == 0, "what follows a block's header must be aligned");

struct ch_arena {
    size_t max;
    size_t used; // handed out, over all blocks
    size_t next_cap;
    struct block *newest;
    struct block first;
};
_Static_assert(sizeof(struct ch_arena) % ALIGNMENT == 0, "what follows the arena must be aligned");

static char *block_bytes(struct block *block)
{
    return (char *)(block + 1);
}

static size_t min_size(size_t a, size_t b)
{
    return a < b ? a : b;
}

struct ch_arena *ch_arena_new(size_t max_bytes)
{
    size_t cap = min_size(FIRST_BLOCK, max_bytes) / ALIGNMENT * ALIGNMENT;
    struct ch_arena *arena = malloc(sizeof(*arena) + cap);

    if (!arena)
        return NULL;
    *arena = (struct ch_arena){.max = max_bytes, .next_cap = 2 * FIRST_BLOCK, .first.cap = cap};
    arena->newest = &arena->first;
    ASAN_POISON_MEMORY_REGION(block_bytes(&arena->first), cap);
    return arena;
}

static void free_later_blocks(struct ch_arena *arena)
{
    while (arena->newest != &arena->first) {
        struct block *block = arena->newest;

        arena->newest = block->next;
        ASAN_UNPOISON_MEMORY_REGION(block_bytes(block), block->cap);
        free(block);
    }
}

void ch_arena_free(struct ch_arena *arena)
{
    if (!arena)
        return;
    free_later_blocks(arena);
    ASAN_UNPOISON_MEMORY_REGION(block_bytes(&arena->first), arena->first.cap);
    free(arena);
}

void ch_arena_reset(struct ch_arena *arena)
{
    free_later_blocks(arena);
    arena->used = 0;
    arena->next_cap = 2 * FIRST_BLOCK;
    arena->first.used = 0;
    ASAN_POISON_MEMORY_REGION(block_bytes(&arena->first), arena->first.cap);
}

static struct block *add_block(struct ch_arena *arena, size_t size)
{
    size_t left = (arena->max - arena->used) / ALIGNMENT * ALIGNMENT; // size <= left: the caller checked
    size_t cap = min_size(arena->next_cap, left);
    struct block *block;

    if (cap < size)
        cap = size;
    block = malloc(sizeof(*block) + cap);
    if (!block)
        return NULL;
    *block = (struct block){.next = arena->newest, .cap = cap};
    ASAN_POISON_MEMORY_REGION(block_bytes(block), cap);
    arena->newest = block;
    arena->next_cap = min_size(2 * arena->next_cap, LARGEST_REGULAR);
    return block;
}

// Bytes as they come: not zeroed.
static void *take(struct ch_arena *arena, size_t size_bytes)
{
    size_t left = arena->max - arena->used;
    struct block *block = arena->newest;
    size_t size;
    char *bytes;

    if (size_bytes > left)
        return NULL;
    size = size_bytes == 0 ? ALIGNMENT : (size_bytes + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
    if (size > left || size < size_bytes)
        return NULL;
    if (size > block->cap - block->used) {
        block = add_block(arena, size);
        if (!block)
            return NULL;
    }
    bytes = block_bytes(block) + block->used;
    block->used += size;
    arena->used += size;
    ASAN_UNPOISON_MEMORY_REGION(bytes, size_bytes);
    return bytes;
}

void *ch_arena_alloc(struct ch_arena *arena, size_t size_bytes)
{
    void *bytes = take(arena, size_bytes);

    if (bytes && size_bytes > 0)
        memset(bytes, 0, size_bytes);
    return bytes;
}

void *ch_arena_array(struct ch_arena *arena, size_t count, size_t size_bytes)
{
    size_t total;

    if (__builtin_mul_overflow(count, size_bytes, &total))
        return NULL;
    return ch_arena_alloc(arena, total);
}

char *ch_arena_strdup(struct ch_arena *arena, struct ch_str s)
{
    char *copy = s.len < SIZE_MAX ? take(arena, s.len + 1) : NULL;

    if (!copy)
        return NULL;
    if (s.len > 0)
        memcpy(copy, s.data, s.len);
    copy[s.len] = '\0';
    return copy;
}

char *ch_arena_printf(struct ch_arena *arena, const char *format, ...)
{
    char small[256];
    char *text;
    va_list args;
    int len;

    va_start(args, format);
    len = vsnprintf(small, sizeof(small), format, args);
    va_end(args);
    if (len < 0)
        return NULL;
    if ((size_t)len < sizeof(small))
        return ch_arena_strdup(arena, (struct ch_str){small, (size_t)len});

    text = take(arena, (size_t)len + 1);
    if (!text)
        return NULL;
    va_start(args, format);
    (void)vsnprintf(text, (size_t)len + 1, format, args); // its length is known
    va_end(args);
    return text;
}

char *ch_arena_uuid(struct ch_arena *arena, struct ch_uuid uuid)
{
    char *text = ch_arena_alloc(arena, CH_UUID_TEXT);

    if (text && !ch_uuid_is_nil(uuid))
        ch_uuid_format(uuid, text);
    return text;
}

char *ch_arena_time(struct ch_arena *arena, int64_t wall_us)
{
    char *text = ch_arena_alloc(arena, CH_TIME_TEXT);

    if (text)
        ch_time_format(wall_us, text);
    return text;
}

size_t ch_arena_used(const struct ch_arena *arena)
{
    return arena->used;
}
