// SPDX-License-Identifier: Apache-2.0
// Cursors of paged lists: what the next page begins after, in one opaque text. They carry nothing secret and grant
// nothing: the checksum only keeps a made-up or cut one from reaching a query; a handler checks each value as it would
// any input.
#include "ch/app.h"

#include <stdlib.h>

#define VERSION       1
#define TEXT_MAX      512 /**< as the contract says */
#define CHECKSUM_SIZE 6
#define NONE          0xffff /**< length of a value that is NULL */
#define VALUES_MAX    ((int)(sizeof(((struct ch_cursor *)0)->values) / sizeof(struct ch_str)))

static const char *const refusal = "앞 응답의 nextCursor를 그대로 보내야 합니다";

static void checksum(const void *data, size_t len, uint8_t ret_sum[CHECKSUM_SIZE])
{
    uint8_t digest[32];

    ch_sha256(data, len, digest);
    memcpy(ret_sum, digest, CHECKSUM_SIZE);
}

// version, count, then a big-endian length of 2 bytes before each value, then the checksum of all that.
const char *ch_cursor_encode(struct ch_ctx *ctx, const struct ch_cursor *cursor)
{
    struct ch_buf raw, text;
    uint8_t sum[CHECKSUM_SIZE];

    ch_buf_init(&raw, TEXT_MAX);
    ch_buf_init(&text, TEXT_MAX);
    ch_buf_append_char(&raw, VERSION);
    ch_buf_append_char(&raw, (char)cursor->count);
    for (int i = 0; i < cursor->count; i++) {
        const size_t len = cursor->values[i].data ? cursor->values[i].len : NONE;

        ch_buf_append_char(&raw, (char)(len >> 8));
        ch_buf_append_char(&raw, (char)len);
        if (len != NONE)
            ch_buf_append_str(&raw, cursor->values[i]);
    }
    checksum(raw.data, raw.len, sum);
    ch_buf_append(&raw, sum, sizeof(sum));
    ch_base64url_encode(&text, raw.data, raw.len);
    text.is_full = text.is_full || raw.is_full;
    ch_buf_release(&raw);
    return ch_buf_take(&text, ctx->arena).data;
}

static bool read_values(struct ch_str raw, struct ch_cursor *ret_cursor)
{
    const uint8_t *at = (const uint8_t *)raw.data + 2, *end = (const uint8_t *)raw.data + raw.len;

    ret_cursor->count = (unsigned char)raw.data[1];
    if (raw.data[0] != VERSION || ret_cursor->count > VALUES_MAX)
        return false;
    for (int i = 0; i < ret_cursor->count; i++) {
        size_t len;

        if (end - at < 2)
            return false;
        len = (size_t)at[0] << 8 | at[1];
        at += 2;
        if (len == NONE)
            continue;
        if ((size_t)(end - at) < len)
            return false;
        ret_cursor->values[i] = (struct ch_str){(const char *)at, len};
        at += len;
    }
    return at == end;
}

// The values lie in `raw`, which lies in the arena.
static bool read_raw(struct ch_str raw, struct ch_cursor *ret_cursor)
{
    uint8_t sum[CHECKSUM_SIZE];

    if (raw.len < 2 + CHECKSUM_SIZE)
        return false;
    raw.len -= CHECKSUM_SIZE;
    checksum(raw.data, raw.len, sum);
    return memcmp(sum, raw.data + raw.len, CHECKSUM_SIZE) == 0 && read_values(raw, ret_cursor);
}

enum ch_err ch_cursor_decode(struct ch_ctx *ctx, struct ch_str text, struct ch_cursor *ret_cursor)
{
    struct ch_cursor cursor = {0};
    struct ch_buf buf;

    ch_buf_init(&buf, TEXT_MAX);
    const bool is_text = text.len <= TEXT_MAX && ch_base64url_decode(text, &buf) == CH_OK;
    const struct ch_str raw = ch_buf_take(&buf, ctx->arena);
    if (!is_text || !raw.data || !read_raw(raw, &cursor))
        return ch_fail(ctx, CH_ERR_INVALID, "?cursor", "format", "%s", refusal);
    *ret_cursor = cursor;
    return CH_OK;
}
