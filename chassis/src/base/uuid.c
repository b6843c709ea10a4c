// SPDX-License-Identifier: Apache-2.0
// UUIDv7 (RFC 9562): ids that rise with time, so that new rows go to the end of an index.
// Layout: 48 bits Unix milliseconds, version, 12 bits counter, variant, 62 random bits. The counter starts anywhere in
// its lower half each millisecond; when it runs over, or when the clock steps back, the thread's own milliseconds run
// on. It must never give one thread an id that is not greater than the one before.
#include "ch/base.h"

#define COUNTER_END 0x1000u

static _Thread_local struct {
    uint64_t unix_ms;
    uint32_t counter;
    size_t unused; // bytes at the end of `pool` not yet used
    uint8_t pool[256];
} own;

static uint64_t pool_take(void)
{
    uint64_t value;

    if (own.unused < sizeof(value)) {
        ch_random(own.pool, sizeof(own.pool));
        own.unused = sizeof(own.pool);
    }
    memcpy(&value, own.pool + sizeof(own.pool) - own.unused, sizeof(value));
    own.unused -= sizeof(value);
    return value;
}

struct ch_uuid ch_uuid_new(void)
{
    uint64_t now_ms = (uint64_t)(ch_wall_us() / 1000);
    uint64_t random = pool_take();
    struct ch_uuid uuid;

    if (now_ms <= own.unix_ms && own.counter + 1 < COUNTER_END) {
        own.counter++;
    } else {
        own.unix_ms = now_ms > own.unix_ms ? now_ms : own.unix_ms + 1;
        own.counter = (uint32_t)pool_take() % (COUNTER_END / 2);
    }
    for (int i = 0; i < 6; i++)
        uuid.bytes[i] = (uint8_t)(own.unix_ms >> (40 - 8 * i));
    uuid.bytes[6] = (uint8_t)(0x70 | own.counter >> 8);
    uuid.bytes[7] = (uint8_t)own.counter;
    memcpy(uuid.bytes + 8, &random, 8);
    uuid.bytes[8] = (uint8_t)(0x80 | (uuid.bytes[8] & 0x3F));
    return uuid;
}

static int hex_value(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c = (char)(c | 0x20);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static bool has_hyphen_before(size_t byte)
{
    return byte == 4 || byte == 6 || byte == 8 || byte == 10;
}

enum ch_err ch_uuid_parse(struct ch_str text, struct ch_uuid *ret_uuid)
{
    struct ch_uuid uuid;
    const char *p = text.data;

    if (text.len != CH_UUID_TEXT - 1)
        return CH_ERR_INVALID;
    for (size_t i = 0; i < sizeof(uuid.bytes); i++) {
        int high, low;

        if (has_hyphen_before(i) && *p++ != '-')
            return CH_ERR_INVALID;
        high = hex_value(p[0]);
        low = hex_value(p[1]);
        if (high < 0 || low < 0)
            return CH_ERR_INVALID;
        uuid.bytes[i] = (uint8_t)(high << 4 | low);
        p += 2;
    }
    *ret_uuid = uuid;
    return CH_OK;
}

void ch_uuid_format(struct ch_uuid uuid, char ret_text[CH_UUID_TEXT])
{
    static const char digits[] = "0123456789abcdef";
    char *p = ret_text;

    for (size_t i = 0; i < sizeof(uuid.bytes); i++) {
        if (has_hyphen_before(i))
            *p++ = '-';
        *p++ = digits[uuid.bytes[i] >> 4];
        *p++ = digits[uuid.bytes[i] & 15];
    }
    *p = '\0';
}

bool ch_uuid_is_nil(struct ch_uuid uuid)
{
    return ch_uuid_eq(uuid, (struct ch_uuid){{0}});
}
