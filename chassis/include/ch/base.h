// SPDX-License-Identifier: Apache-2.0
/**
 * @file base.h
 * @brief Slices, arenas and bounded buffers: the memory vocabulary of every other file.
 *
 * Nothing here waits, logs or knows of threads. An object belongs to one thread at a time.
 */
#ifndef CH_BASE_H
#define CH_BASE_H

#include "ch/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/** Bytes owned by somebody else; not NUL-terminated unless said. `data` may be NULL when `len` is 0. */
struct ch_str {
    const char *data;
    size_t len;
};

#define CH_STR(literal) ((struct ch_str){(literal), sizeof(literal) - 1})
#define CH_STR_ARG(s)   (int)(s).len, (s).data /**< for "%.*s" */

static inline struct ch_str ch_str_of(const char *cstr)
{
    return (struct ch_str){cstr, cstr ? strlen(cstr) : 0};
}

static inline bool ch_str_eq(struct ch_str a, struct ch_str b)
{
    return a.len == b.len && (a.len == 0 || memcmp(a.data, b.data, a.len) == 0);
}

static inline bool ch_str_is(struct ch_str a, const char *cstr)
{
    return ch_str_eq(a, ch_str_of(cstr));
}

/** ASCII case-insensitive (header names). */
bool ch_str_ieq(struct ch_str a, struct ch_str b);

/** Whole string is an int64 in decimal, no sign but '-', no spaces; CH_ERR_INVALID otherwise and beyond int64. */
CH_MUST_CHECK enum ch_err ch_str_to_int64(struct ch_str s, int64_t *ret_value);

/** Well-formed UTF-8 (RFC 3629: no overlong forms, no surrogates) without NUL. */
bool ch_utf8_is_valid(struct ch_str s);

/** Number of code points; `s` must be valid UTF-8. */
size_t ch_utf8_length(struct ch_str s);

/* ---- arena: memory that lives as long as one request -------------------------------------------------------- */

struct ch_arena;

/** A new arena that refuses to hold more than `max_bytes` in total. NULL when memory is short. */
struct ch_arena *ch_arena_new(size_t max_bytes);
/** Frees all at once; accepts NULL. */
void ch_arena_free(struct ch_arena *arena);
/** Forgets all allocations but keeps the first block, for the next request. */
void ch_arena_reset(struct ch_arena *arena);
/** Zeroed, 16-byte aligned; NULL at the limit. */
void *ch_arena_alloc(struct ch_arena *arena, size_t size_bytes);
void *ch_arena_array(struct ch_arena *arena, size_t count,
                     size_t size_bytes); /**< overflow-checked; NULL at the limit */
/** NUL-terminated copy; NULL at the limit. */
char *ch_arena_strdup(struct ch_arena *arena, struct ch_str s);
char *ch_arena_printf(struct ch_arena *arena, const char *format, ...) __attribute__((format(printf, 2, 3)));
size_t ch_arena_used(const struct ch_arena *arena);

/* ---- buffer: growing bytes with a stated maximum ------------------------------------------------------------ */

/** Appending past `max` (or without memory) sets `is_full`, keeps what was there and ignores later appends, so that a
 *  writer checks once at its end. What is appended must not lie in the buffer itself. */
struct ch_buf {
    char *data;
    size_t len;
    size_t cap;
    size_t max;
    bool is_full;
};

void ch_buf_init(struct ch_buf *buf, size_t max_bytes);
void ch_buf_release(struct ch_buf *buf); /**< accepts a zeroed struct; afterwards as after init */
void ch_buf_reset(struct ch_buf *buf);   /**< empty again, memory kept, is_full cleared */
void ch_buf_append(struct ch_buf *buf, const void *data, size_t len);
void ch_buf_append_str(struct ch_buf *buf, struct ch_str s);
void ch_buf_append_cstr(struct ch_buf *buf, const char *s);
void ch_buf_append_char(struct ch_buf *buf, char c);
void ch_buf_append_int64(struct ch_buf *buf, int64_t value);
void ch_buf_printf(struct ch_buf *buf, const char *format, ...) __attribute__((format(printf, 2, 3)));
/** Room for `len` more bytes at data+len (caller then raises len itself). Past max: NULL, and is_full as for an append.
 */
char *ch_buf_reserve(struct ch_buf *buf, size_t len);
void ch_buf_consume(struct ch_buf *buf, size_t len); /**< drops the first bytes */
struct ch_str ch_buf_str(const struct ch_buf *buf);
/** What was written as a NUL-terminated copy that lives with the arena; data NULL when the buffer or the arena was
 * full. Releases the buffer either way. */
struct ch_str ch_buf_take(struct ch_buf *buf, struct ch_arena *arena);

/* ---- identifiers, time, encodings --------------------------------------------------------------------------- */

/** 128 bits in network order (RFC 9562); all zero is nil. */
struct ch_uuid {
    uint8_t bytes[16];
};

#define CH_UUID_TEXT 37 /**< 36 characters and NUL */

/** UUIDv7 (RFC 9562 5.7): Unix milliseconds, then a per-thread counter and random bits, so that ids of one thread rise.
 *  A child of fork(2) without exec must not use it: it would repeat its parent's ids. */
struct ch_uuid ch_uuid_new(void);
CH_MUST_CHECK enum ch_err ch_uuid_parse(struct ch_str text, struct ch_uuid *ret_uuid); /**< either case, with hyphens */
void ch_uuid_format(struct ch_uuid uuid, char ret_text[CH_UUID_TEXT]);
static inline bool ch_uuid_eq(struct ch_uuid a, struct ch_uuid b)
{
    return memcmp(a.bytes, b.bytes, 16) == 0;
}
bool ch_uuid_is_nil(struct ch_uuid uuid);

int64_t ch_now_ns(void);  /**< CLOCK_MONOTONIC: deadlines and durations */
int64_t ch_wall_us(void); /**< CLOCK_REALTIME, Unix microseconds: what is stored and shown */
#define CH_TIME_TEXT 25
/** RFC 3339 UTC with milliseconds (cut, not rounded); times outside the years 0000 to 9999 are written as the nearest
 * inside. */
void ch_time_format(int64_t wall_us, char ret_text[CH_TIME_TEXT]);
/** RFC 3339, any offset; digits after the microsecond are cut; a leap second is the second that follows it. */
CH_MUST_CHECK enum ch_err ch_time_parse(struct ch_str text, int64_t *ret_wall_us);

/** Text of an id, empty for nil, that lives with the arena; NULL at its limit. */
char *ch_arena_uuid(struct ch_arena *arena, struct ch_uuid uuid);
/** As ch_time_format, living with the arena; NULL at its limit. */
char *ch_arena_time(struct ch_arena *arena, int64_t wall_us);

#define CH_DATE_TEXT 11
/** "YYYY-MM-DD", a real date, as days since 1970-01-01 (no time zone). Day of the week: (days + 4) modulo 7, 0 is
 * Sunday. */
CH_MUST_CHECK enum ch_err ch_date_parse(struct ch_str text, int32_t *ret_days);
void ch_date_format(int32_t days,
                    char ret_text[CH_DATE_TEXT]); /**< outside the years 0000 to 9999: the nearest inside */

/** Fills with bytes from getrandom(2). Aborts if the kernel has none. */
void ch_random(void *ret_bytes, size_t len);

void ch_base64url_encode(struct ch_buf *out, const void *data, size_t len); /**< RFC 4648 5, no padding */
/** Appends. CH_ERR_BAD_SYNTAX for padding, other alphabets and stray bits; CH_ERR_LIMIT when `out` is full. */
CH_MUST_CHECK enum ch_err ch_base64url_decode(struct ch_str text, struct ch_buf *out);
void ch_hex_encode(const void *data, size_t len, char *ret_text); /**< 2*len+1 bytes, lower case */
void ch_sha256(const void *data, size_t len, uint8_t ret_digest[32]);

#endif
