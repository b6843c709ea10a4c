// SPDX-License-Identifier: Apache-2.0
/*
 * Reads results in PostgreSQL's binary format. A `struct ch_pg_rows` is libpq's PGresult under a name of our own.
 * Asking for a column of another type, or for one that is not there, is a mistake in our code: it aborts and says
 * which.
 */
#include "pg_internal.h"

#include <endian.h>
#include <stdio.h>
#include <stdlib.h>

#define PG_EPOCH_US INT64_C(946684800000000)

enum oid {
    OID_BOOL = 16,
    OID_BYTEA = 17,
    OID_NAME = 19,
    OID_INT8 = 20,
    OID_INT2 = 21,
    OID_INT4 = 23,
    OID_TEXT = 25,
    OID_JSON = 114,
    OID_FLOAT4 = 700,
    OID_FLOAT8 = 701,
    OID_BPCHAR = 1042,
    OID_VARCHAR = 1043,
    OID_TIMESTAMPTZ = 1184,
    OID_UUID = 2950,
    OID_JSONB = 3802,
};

static const PGresult *result_of(const struct ch_pg_rows *rows)
{
    return (const PGresult *)rows;
}

void ch_pg_rows_free(struct ch_pg_rows *rows)
{
    PQclear((PGresult *)rows);
}

void ch_pg_rows_cleanup(struct ch_pg_rows **rows)
{
    ch_pg_rows_free(*rows);
}

size_t ch_pg_count(const struct ch_pg_rows *rows)
{
    return rows ? (size_t)PQntuples(result_of(rows)) : 0;
}

int64_t ch_pg_affected(const struct ch_pg_rows *rows)
{
    return rows ? strtoll(PQcmdTuples((PGresult *)rows), NULL, 10) : 0; /* "" counts none */
}

static void check_cell(const struct ch_pg_rows *rows, size_t row, int col)
{
    char text[96];

    if (row < ch_pg_count(rows) && col >= 0 && col < PQnfields(result_of(rows)))
        return;
    (void)snprintf(text, sizeof(text), "row %zu, column %d of %zu rows, %d columns", row, col, ch_pg_count(rows),
                   rows ? PQnfields(result_of(rows)) : 0);
    ch_pg_mistake("a result has no such cell", text);
}

bool ch_pg_is_null(const struct ch_pg_rows *rows, size_t row, int col)
{
    check_cell(rows, row, col);
    return PQgetisnull(result_of(rows), (int)row, col);
}

static void mistyped(const struct ch_pg_rows *rows, int col, const char *wanted)
{
    char text[160];

    (void)snprintf(text, sizeof(text), "column %d \"%.60s\" has type oid %u, read as %s", col,
                   PQfname(result_of(rows), col), PQftype(result_of(rows), col), wanted);
    ch_pg_mistake("a column is of another type than the getter's", text);
}

/* Bytes of the cell; NULL for a null. */
static const char *cell(const struct ch_pg_rows *rows, size_t row, int col)
{
    return ch_pg_is_null(rows, row, col) ? NULL : PQgetvalue(result_of(rows), (int)row, col);
}

static uint16_t get16(const char *at)
{
    uint16_t value;

    memcpy(&value, at, sizeof(value));
    return be16toh(value);
}

static uint32_t get32(const char *at)
{
    uint32_t value;

    memcpy(&value, at, sizeof(value));
    return be32toh(value);
}

static uint64_t get64(const char *at)
{
    uint64_t value;

    memcpy(&value, at, sizeof(value));
    return be64toh(value);
}

int64_t ch_pg_get_int(const struct ch_pg_rows *rows, size_t row, int col)
{
    const char *at = cell(rows, row, col);

    switch (PQftype(result_of(rows), col)) {
    case OID_INT2:
        return at ? (int16_t)get16(at) : 0;
    case OID_INT4:
        return at ? (int32_t)get32(at) : 0;
    case OID_INT8:
        return at ? (int64_t)get64(at) : 0;
    }
    mistyped(rows, col, "int");
    return 0;
}

bool ch_pg_get_bool(const struct ch_pg_rows *rows, size_t row, int col)
{
    const char *at = cell(rows, row, col);

    if (PQftype(result_of(rows), col) != OID_BOOL)
        mistyped(rows, col, "bool");
    return at && *at;
}

struct ch_uuid ch_pg_get_uuid(const struct ch_pg_rows *rows, size_t row, int col)
{
    const char *at = cell(rows, row, col);
    struct ch_uuid uuid = {{0}};

    if (PQftype(result_of(rows), col) != OID_UUID)
        mistyped(rows, col, "uuid");
    if (at)
        memcpy(uuid.bytes, at, sizeof(uuid.bytes));
    return uuid;
}

struct ch_str ch_pg_get_str(const struct ch_pg_rows *rows, size_t row, int col)
{
    const char *at = cell(rows, row, col);
    size_t len = at ? (size_t)PQgetlength(result_of(rows), (int)row, col) : 0;

    switch (PQftype(result_of(rows), col)) {
    case OID_TEXT:
    case OID_VARCHAR:
    case OID_BPCHAR:
    case OID_NAME:
    case OID_BYTEA:
    case OID_JSON:
        return (struct ch_str){at, len};
    case OID_JSONB: /* a version byte stands before the text */
        return at && len ? (struct ch_str){at + 1, len - 1} : (struct ch_str){0};
    }
    mistyped(rows, col, "str");
    return (struct ch_str){0};
}

struct ch_str ch_pg_copy_str(const struct ch_pg_rows *rows, size_t row, int col, struct ch_arena *arena)
{
    struct ch_str str = ch_pg_get_str(rows, row, col);

    if (!str.data)
        return str;
    str.data = ch_arena_strdup(arena, str);
    return str.data ? str : (struct ch_str){0};
}

int ch_pg_get_name(const struct ch_pg_rows *rows, size_t row, int col, const char *const *names)
{
    const struct ch_str name = ch_pg_get_str(rows, row, col);

    for (int i = 0; names[i]; i++)
        if (ch_str_is(name, names[i]))
            return i;
    return 0;
}

int64_t ch_pg_get_time(const struct ch_pg_rows *rows, size_t row, int col)
{
    const char *at = cell(rows, row, col);
    int64_t us;

    if (PQftype(result_of(rows), col) != OID_TIMESTAMPTZ)
        mistyped(rows, col, "time");
    if (!at)
        return 0;
    us = (int64_t)get64(at);
    return us > INT64_MAX - PG_EPOCH_US || us == INT64_MIN ? us
                                                           : us + PG_EPOCH_US; /* both infinities stay at the ends */
}

double ch_pg_get_double(const struct ch_pg_rows *rows, size_t row, int col)
{
    const char *at = cell(rows, row, col);
    uint32_t bits32 = 0;
    uint64_t bits64 = 0;
    float narrow;
    double value;

    switch (PQftype(result_of(rows), col)) {
    case OID_FLOAT4:
        if (at)
            bits32 = get32(at);
        memcpy(&narrow, &bits32, sizeof(narrow));
        return (double)narrow;
    case OID_FLOAT8:
        if (at)
            bits64 = get64(at);
        memcpy(&value, &bits64, sizeof(value));
        return value;
    }
    mistyped(rows, col, "double");
    return 0;
}
