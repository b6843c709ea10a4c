// SPDX-License-Identifier: Apache-2.0
// The table of failures: errors.def as an array, so that every answer, status and label is a look-up.
// It must never hold a row that errors.def does not have.
#include "ch/err.h"

#include <stddef.h>

static const struct ch_err_row rows[CH_ERR_COUNT] = {
    [CH_OK] = {"OK", 200, CH_GRPC_OK, "ok", ""},
#define CH_ERR(id, http, grpc, code, title) [CH_ERR_##id] = {#id, http, grpc, code, title},
#include "ch/errors.def"
#undef CH_ERR
};

// What a peer's status means to us. FAILED_PRECONDITION is a conflict of state here: 412 would speak of If-Match.
static const enum ch_err by_grpc[] = {
    [CH_GRPC_OK] = CH_OK,
    [CH_GRPC_CANCELLED] = CH_ERR_CANCELLED,
    [CH_GRPC_UNKNOWN] = CH_ERR_INTERNAL,
    [CH_GRPC_INVALID_ARGUMENT] = CH_ERR_INVALID,
    [CH_GRPC_DEADLINE_EXCEEDED] = CH_ERR_DEADLINE,
    [CH_GRPC_NOT_FOUND] = CH_ERR_NOT_FOUND,
    [CH_GRPC_ALREADY_EXISTS] = CH_ERR_DUPLICATE,
    [CH_GRPC_PERMISSION_DENIED] = CH_ERR_FORBIDDEN,
    [CH_GRPC_RESOURCE_EXHAUSTED] = CH_ERR_OVERLOADED,
    [CH_GRPC_FAILED_PRECONDITION] = CH_ERR_CONFLICT,
    [CH_GRPC_ABORTED] = CH_ERR_CONFLICT,
    [CH_GRPC_OUT_OF_RANGE] = CH_ERR_INVALID,
    [CH_GRPC_UNIMPLEMENTED] = CH_ERR_UNIMPLEMENTED,
    [CH_GRPC_INTERNAL] = CH_ERR_INTERNAL,
    [CH_GRPC_UNAVAILABLE] = CH_ERR_UNAVAILABLE,
    [CH_GRPC_DATA_LOSS] = CH_ERR_INTERNAL,
    [CH_GRPC_UNAUTHENTICATED] = CH_ERR_UNAUTHENTICATED,
};

const struct ch_err_row *ch_err_row(enum ch_err err)
{
    size_t i = (size_t)err;

    return &rows[i < CH_ERR_COUNT ? i : CH_ERR_INTERNAL];
}

enum ch_err ch_err_from_grpc(int grpc_status)
{
    if (grpc_status < 0 || (size_t)grpc_status >= sizeof(by_grpc) / sizeof(by_grpc[0]))
        return CH_ERR_INTERNAL;
    return by_grpc[grpc_status];
}
