// SPDX-License-Identifier: Apache-2.0
// Cursors: the bytes as a cursor from outside, and as values of a cursor of ours. A text is taken only if it is the
// very text that its values make; what we make comes back as it was.
#include "fuzz.h"

static bool is_same(const struct ch_cursor *a, const struct ch_cursor *b)
{
    if (a->count != b->count)
        return false;
    for (int i = 0; i < a->count; i++)
        if (!a->values[i].data != !b->values[i].data || !ch_str_eq(a->values[i], b->values[i]))
            return false;
    return true;
}

static void check_text(struct ch_str text)
{
    struct fuzz_work work = {0};
    struct ch_ctx *ctx = fuzz_open(&work);
    struct ch_cursor cursor = {0};
    const enum ch_err err = ch_cursor_decode(ctx, text, &cursor);

    fuzz_check_faults(&ctx->faults);
    if (err) {
        MUST(err == CH_ERR_INVALID && ctx->faults.count == 1 && strcmp(ctx->faults.first->pointer, "?cursor") == 0);
    } else {
        const char *again = ch_cursor_encode(ctx, &cursor);

        MUST(again && ch_str_is(text, again));
    }
    fuzz_close(&work);
}

// Values separated by '|'; one that begins with '!' is NULL.
static void check_values(struct ch_str rest)
{
    struct fuzz_work work = {0};
    struct ch_ctx *ctx = fuzz_open(&work);
    struct ch_cursor sent = {0}, got = {0};
    size_t bytes = 0;

    while (sent.count < 4 && rest.len > 0) {
        const struct ch_str value = fuzz_cut(&rest, '|');

        bytes += value.len;
        sent.values[sent.count++] = value.len > 0 && value.data[0] == '!' ? (struct ch_str){0} : value;
    }
    const char *text = ch_cursor_encode(ctx, &sent);
    MUST(text || bytes > 300);
    if (text) {
        MUST(strlen(text) <= 512 && ch_cursor_decode(ctx, ch_str_of(text), &got) == CH_OK);
        MUST(is_same(&sent, &got));
    }
    fuzz_close(&work);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    check_text((struct ch_str){(const char *)data, len});
    check_values((struct ch_str){(const char *)data, len});
    return 0;
}
