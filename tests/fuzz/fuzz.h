// SPDX-License-Identifier: Apache-2.0
/**
 * @file fuzz.h
 * @brief What the fuzzers share: a check that ends the program, a context without a service, the input cut in pieces.
 *
 * A fuzzer checks what must hold of every input, not only that nothing crashes. It must never depend on time, on chance
 * or on the inputs before: an input that was found has to be found again.
 */
#ifndef FUZZ_H
#define FUZZ_H

#include "ch/app.h"

#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

/** What must hold whatever the input is. */
#define MUST(condition)                                                                                                \
    do {                                                                                                               \
        if (!(condition)) {                                                                                            \
            fprintf(stderr, "%s:%d: does not hold: %s\n", __FILE__, __LINE__, #condition);                             \
            abort();                                                                                                   \
        }                                                                                                              \
    } while (0)

/** Cuts off what stands before the first `end`, and that byte; all of it when there is none. */
static inline struct ch_str fuzz_cut(struct ch_str *rest, char end)
{
    const char *at = rest->len > 0 ? memchr(rest->data, end, rest->len) : NULL;
    const struct ch_str piece = {rest->data, at ? (size_t)(at - rest->data) : rest->len};

    *rest = at ? (struct ch_str){at + 1, rest->len - piece.len - 1} : (struct ch_str){rest->data + rest->len, 0};
    return piece;
}

/** Lies within `whole`, or has no bytes. */
static inline bool fuzz_is_within(struct ch_str part, struct ch_str whole)
{
    return part.len == 0 || (part.data >= whole.data && part.data + part.len <= whole.data + whole.len);
}

static inline bool fuzz_is_one_of(const char *text, const char *const *names)
{
    while (*names && strcmp(text, *names) != 0)
        names++;
    return *names != NULL;
}

/** A piece of work that no connection began. The slices of `x` are the caller's. */
struct fuzz_work {
    struct ch_http_exchange x;
    struct ch_request req;
};

#define FUZZ_ARENA_MAX (8u * 1024 * 1024)

static inline struct ch_ctx *fuzz_open(struct fuzz_work *work)
{
    work->x.arena = ch_arena_new(FUZZ_ARENA_MAX);
    MUST(work->x.arena);
    work->req = (struct ch_request){.ctx = {.arena = work->x.arena, .name = "fuzz"}, .http = &work->x, .status = 200};
    ch_faults_init(&work->req.ctx.faults, work->x.arena);
    ch_buf_init(&work->req.body, 1024 * 1024);
    return &work->req.ctx;
}

static inline void fuzz_close(struct fuzz_work *work)
{
    json_decref(work->req.json);
    ch_buf_release(&work->req.body);
    ch_arena_free(work->x.arena);
}

/** Every fault can be shown: it has a pointer, a code, and a sentence in UTF-8. */
static inline void fuzz_check_faults(const struct ch_faults *faults)
{
    int count = 0;

    for (const struct ch_fault *at = faults->first; at; at = at->next, count++) {
        MUST(at->pointer && at->code && *at->code && at->detail && *at->detail);
        MUST(ch_utf8_is_valid(ch_str_of(at->pointer)));
        MUST(ch_utf8_is_valid(ch_str_of(at->detail)));
    }
    MUST(count == faults->count && count <= CH_FAULTS_MAX);
}

#endif
