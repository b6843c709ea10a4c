// SPDX-License-Identifier: Apache-2.0
// The process's table of compiled patterns. regcomp costs a thousand times what a match does, so each pattern is
// compiled on its first use and kept. Readers take no lock: a slot's key is published after its expression, and slots
// are never emptied. It must never compile under two keys at once nor change a published slot.
#include "pattern.h"

#include <pthread.h>
#include <regex.h>
#include <stdatomic.h>
#include <stdlib.h>

#define SLOTS          1024u // a power of two; the tables of one service name some dozens
#define PATTERNS_MAX   (SLOTS / 2)
#define EXPRESSION_MAX 1024u

static struct {
    _Atomic(const char *) pattern;
    regex_t *regex;
} slots[SLOTS];
static size_t slot_count;
static pthread_mutex_t slots_lock = PTHREAD_MUTEX_INITIALIZER;

// The pattern's slot, or the empty one where it belongs.
static size_t find_slot(const char *pattern)
{
    size_t i = (size_t)(((uintptr_t)pattern * 0x9E3779B97F4A7C15u) >> 40) % SLOTS;

    for (;; i = (i + 1) % SLOTS) {
        const char *held = atomic_load_explicit(&slots[i].pattern, memory_order_acquire);

        if (!held || held == pattern)
            return i;
    }
}

static enum ch_err compile(const char *pattern, regex_t **ret_regex)
{
    struct ch_buf whole;
    regex_t *regex = malloc(sizeof(*regex));
    int rc = REG_ESPACE;

    ch_buf_init(&whole, EXPRESSION_MAX);
    ch_buf_printf(&whole, "^(%s)$", pattern);
    ch_buf_append_char(&whole, '\0');
    if (regex && !whole.is_full)
        rc = regcomp(regex, whole.data, REG_EXTENDED | REG_NOSUB);
    ch_buf_release(&whole);
    if (rc != 0) {
        free(regex);
        return rc == REG_ESPACE ? CH_ERR_NO_MEMORY : CH_ERR_INTERNAL;
    }
    *ret_regex = regex;
    return CH_OK;
}

static enum ch_err add_locked(const char *pattern, regex_t **ret_regex)
{
    size_t i = find_slot(pattern); // again: another thread may have been first
    enum ch_err err;

    if (!atomic_load_explicit(&slots[i].pattern, memory_order_relaxed)) {
        if (slot_count == PATTERNS_MAX)
            return CH_ERR_NO_MEMORY;
        err = compile(pattern, &slots[i].regex);
        if (err)
            return err;
        slot_count++;
        atomic_store_explicit(&slots[i].pattern, pattern, memory_order_release);
    }
    *ret_regex = slots[i].regex;
    return CH_OK;
}

enum ch_err ch_pattern_match(const char *pattern, const char *text, bool *ret_is_match)
{
    size_t i = find_slot(pattern);
    regex_t *regex = NULL;
    enum ch_err err = CH_OK;

    if (atomic_load_explicit(&slots[i].pattern, memory_order_acquire)) {
        regex = slots[i].regex;
    } else {
        (void)pthread_mutex_lock(&slots_lock); // cannot fail: a plain mutex, not held by this thread
        err = add_locked(pattern, &regex);
        (void)pthread_mutex_unlock(&slots_lock);
    }
    if (err)
        return err;
    *ret_is_match = regexec(regex, text, 0, NULL, 0) == 0;
    return CH_OK;
}
