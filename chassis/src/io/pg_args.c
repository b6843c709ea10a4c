// SPDX-License-Identifier: Apache-2.0
/*
 * Arguments of statements in PostgreSQL's binary format (network byte order; src/backend/utils/adt *send and *recv
 * functions). Binary because no text is made on the way and no value can be mistaken for SQL. Never fails at the single
 * value: a shortage marks the set as broken and the run refuses it.
 */
#include "pg_internal.h"

#include <endian.h>
#include <limits.h>

#define OID_INT8        20
#define OID_INT4        23
#define OID_BYTEA       17
#define OID_TEXT        25
#define OID_FLOAT8      701
#define OID_TIMESTAMPTZ 1184
#define OID_UUID        2950

#define PG_EPOCH_US INT64_C(946684800000000) /* 2000-01-01 in Unix time */

void ch_pg_args_init_arena(struct ch_pg_args *args, struct ch_arena *arena)
{
    args->arena = arena;
    args->count = 0;
    args->is_broken = false;
}

void ch_pg_args_init(struct ch_pg_args *args, struct ch_ctx *ctx)
{
    ch_pg_args_init_arena(args, ctx->arena);
}

static void add(struct ch_pg_args *args, const char *value, size_t len)
{
    if (args->count >= CH_PG_ARGS_MAX || len > CH_PG_BYTES_MAX) {
        args->is_broken = true;
        return;
    }
    args->values[args->count] = value;
    args->lengths[args->count] = (int)len;
    args->formats[args->count] = 1;
    args->count++;
}

static void add_copy(struct ch_pg_args *args, const void *data, size_t len)
{
    char *copy = args->is_broken ? NULL : ch_arena_alloc(args->arena, len ? len : 1);

    if (!copy) {
        args->is_broken = true;
        return;
    }
    if (len)
        memcpy(copy, data, len);
    add(args, copy, len);
}

void ch_pg_null(struct ch_pg_args *args)
{
    add(args, NULL, 0);
}

void ch_pg_int4(struct ch_pg_args *args, int32_t value)
{
    uint32_t wire = htobe32((uint32_t)value);

    add_copy(args, &wire, sizeof(wire));
}

void ch_pg_int8(struct ch_pg_args *args, int64_t value)
{
    uint64_t wire = htobe64((uint64_t)value);

    add_copy(args, &wire, sizeof(wire));
}

void ch_pg_bool(struct ch_pg_args *args, bool value)
{
    add(args, value ? "\1" : "\0", 1);
}

void ch_pg_double(struct ch_pg_args *args, double value)
{
    uint64_t wire;

    memcpy(&wire, &value, sizeof(wire));
    wire = htobe64(wire);
    add_copy(args, &wire, sizeof(wire));
}

void ch_pg_uuid(struct ch_pg_args *args, struct ch_uuid value)
{
    add_copy(args, value.bytes, sizeof(value.bytes));
}

void ch_pg_text(struct ch_pg_args *args, struct ch_str value)
{
    if (value.data)
        add_copy(args, value.data, value.len);
    else
        ch_pg_null(args);
}

void ch_pg_bytea(struct ch_pg_args *args, struct ch_str value)
{
    ch_pg_text(args, value);
}

static int64_t wire_time(int64_t wall_us)
{
    if (wall_us == INT64_MAX || wall_us < INT64_MIN + PG_EPOCH_US)
        return wall_us == INT64_MAX ? INT64_MAX : INT64_MIN; /* infinity, -infinity */
    return wall_us - PG_EPOCH_US;
}

void ch_pg_time(struct ch_pg_args *args, int64_t wall_us)
{
    ch_pg_int8(args, wire_time(wall_us));
}

/* ---- arrays: dimensions, has-null flag, element type, then (count, lower bound) and per element length and bytes ----
 */

static char *put32(char *at, uint32_t value)
{
    value = htobe32(value);
    memcpy(at, &value, sizeof(value));
    return at + sizeof(value);
}

static char *put64(char *at, uint64_t value)
{
    value = htobe64(value);
    memcpy(at, &value, sizeof(value));
    return at + sizeof(value);
}

#define ARRAY_HEAD_BYTES 20

/* Room for the array's head and `body_bytes` more; writes the head. An empty array has no dimension. */
static char *array_start(struct ch_pg_args *args, uint32_t oid, size_t count, size_t body_bytes, bool has_null,
                         char **ret_whole)
{
    char *at;

    if (args->is_broken || body_bytes > CH_PG_BYTES_MAX ||
        !(at = ch_arena_alloc(args->arena, ARRAY_HEAD_BYTES + body_bytes))) {
        args->is_broken = true;
        return NULL;
    }
    *ret_whole = at;
    at = put32(at, count ? 1 : 0);
    at = put32(at, has_null);
    at = put32(at, oid);
    if (count) {
        at = put32(at, (uint32_t)count);
        at = put32(at, 1);
    }
    return at;
}

/* Body of `count` elements of fixed size; past the limit the product is made too large on purpose. */
static size_t fixed_bytes(size_t count, size_t element_bytes)
{
    return count > CH_PG_BYTES_MAX ? SIZE_MAX : count * (4 + element_bytes);
}

void ch_pg_int4_array(struct ch_pg_args *args, const int32_t *values, size_t count)
{
    char *whole, *at = array_start(args, OID_INT4, count, fixed_bytes(count, 4), false, &whole);

    if (!at)
        return;
    for (size_t i = 0; i < count; i++)
        at = put32(put32(at, 4), (uint32_t)values[i]);
    add(args, whole, (size_t)(at - whole));
}

void ch_pg_int8_array(struct ch_pg_args *args, const int64_t *values, size_t count)
{
    char *whole, *at = array_start(args, OID_INT8, count, fixed_bytes(count, 8), false, &whole);

    if (!at)
        return;
    for (size_t i = 0; i < count; i++)
        at = put64(put32(at, 8), (uint64_t)values[i]);
    add(args, whole, (size_t)(at - whole));
}

void ch_pg_time_array(struct ch_pg_args *args, const int64_t *wall_us, size_t count)
{
    char *whole, *at = array_start(args, OID_TIMESTAMPTZ, count, fixed_bytes(count, 8), false, &whole);

    if (!at)
        return;
    for (size_t i = 0; i < count; i++)
        at = put64(put32(at, 8), (uint64_t)wire_time(wall_us[i]));
    add(args, whole, (size_t)(at - whole));
}

void ch_pg_uuid_array(struct ch_pg_args *args, const struct ch_uuid *values, size_t count)
{
    char *whole, *at = array_start(args, OID_UUID, count, fixed_bytes(count, 16), false, &whole);

    if (!at)
        return;
    for (size_t i = 0; i < count; i++) {
        at = put32(at, 16);
        memcpy(at, values[i].bytes, 16);
        at += 16;
    }
    add(args, whole, (size_t)(at - whole));
}

void ch_pg_double_array(struct ch_pg_args *args, const double *values, size_t count)
{
    char *whole, *at = array_start(args, OID_FLOAT8, count, fixed_bytes(count, 8), false, &whole);

    if (!at)
        return;
    for (size_t i = 0; i < count; i++) {
        uint64_t wire;

        memcpy(&wire, &values[i], sizeof(wire));
        at = put64(put32(at, 8), wire);
    }
    add(args, whole, (size_t)(at - whole));
}

/* Elements of any length; without data: null. */
static void slices_array(struct ch_pg_args *args, uint32_t oid, const struct ch_str *values, size_t count)
{
    size_t body_bytes = 0;
    bool has_null = false;
    char *whole, *at;

    for (size_t i = 0; i < count; i++) {
        body_bytes += 4 + (values[i].data ? values[i].len : 0);
        has_null |= !values[i].data;
        if (body_bytes > CH_PG_BYTES_MAX)
            break;
    }
    at = array_start(args, oid, count, body_bytes, has_null, &whole);
    if (!at)
        return;
    for (size_t i = 0; i < count; i++) {
        at = put32(at, values[i].data ? (uint32_t)values[i].len : UINT32_MAX); /* -1: null */
        if (values[i].data && values[i].len) {
            memcpy(at, values[i].data, values[i].len);
            at += values[i].len;
        }
    }
    add(args, whole, (size_t)(at - whole));
}

void ch_pg_text_array(struct ch_pg_args *args, const struct ch_str *values, size_t count)
{
    slices_array(args, OID_TEXT, values, count);
}

void ch_pg_bytea_array(struct ch_pg_args *args, const struct ch_str *values, size_t count)
{
    slices_array(args, OID_BYTEA, values, count);
}
