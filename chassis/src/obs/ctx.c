// SPDX-License-Identifier: Apache-2.0
// Helpers of struct ch_ctx, what a piece of work carries. Decides nothing: only notes for the caller why something
// failed.

#include "ch/obs.h"

#include <stdarg.h>
#include <stdio.h>

__attribute__((format(printf, 2, 0))) static const char *format_in_arena(struct ch_arena *arena, const char *format,
                                                                         va_list args)
{
    va_list again;
    va_copy(again, args);
    int len = vsnprintf(NULL, 0, format, args);
    char *text = len < 0 || !arena ? NULL : ch_arena_alloc(arena, (size_t)len + 1);
    if (text)
        (void)vsnprintf(text, (size_t)len + 1, format, again); // measured just now
    va_end(again);
    return text;
}

enum ch_err ch_fail(struct ch_ctx *ctx, enum ch_err err, const char *pointer, const char *code,
                    const char *detail_format, ...)
{
    const char *detail = NULL;
    if (detail_format) {
        va_list args;
        va_start(args, detail_format);
        detail = format_in_arena(ctx->arena, detail_format, args);
        va_end(args);
    }
    if (!pointer) {
        ctx->detail = detail; // NULL when the arena is full: the error's own title stands for it
        return err;
    }
    if (!ctx->faults.last)
        ch_faults_init(&ctx->faults, ctx->arena);
    ch_faults_add(&ctx->faults, pointer, code, "%s", detail ? detail : ch_err_row(err)->title);
    return err;
}

enum ch_err ch_check_uuid(struct ch_ctx *ctx, const char *pointer, const char *text, struct ch_uuid *ret_uuid)
{
    if (ch_uuid_parse(ch_str_of(text), ret_uuid))
        return ch_fail(ctx, CH_ERR_INVALID, pointer, "format", "UUID여야 합니다");
    return CH_OK;
}
