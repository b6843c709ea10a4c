// SPDX-License-Identifier: Apache-2.0
/**
 * @file err.h
 * @brief The one set of failures: every function that can fail returns `enum ch_err`.
 *
 * One row of errors.def carries the HTTP status, the gRPC code, the public code and the Korean text. That row drives
 * the problem+json body (RFC 9457), the gRPC status and the metric label. Add a failure by adding a row, nowhere else.
 */
#ifndef CH_ERR_H
#define CH_ERR_H

/** Result must be looked at; where it really does not matter write `CH_IGNORE(f());` with a reason. */
#define CH_MUST_CHECK __attribute__((warn_unused_result))
#define CH_IGNORE(call)                                                                                                \
    do {                                                                                                               \
        const enum ch_err ignored = (call);                                                                            \
        (void)ignored;                                                                                                 \
    } while (0)

enum ch_err {
    CH_OK = 0,
#define CH_ERR(id, http, grpc, code, title) CH_ERR_##id,
#include "ch/errors.def"
#undef CH_ERR
    CH_ERR_COUNT
};

/** gRPC status codes (grpc.io, status codes). */
enum ch_grpc_status {
    CH_GRPC_OK = 0,
    CH_GRPC_CANCELLED = 1,
    CH_GRPC_UNKNOWN = 2,
    CH_GRPC_INVALID_ARGUMENT = 3,
    CH_GRPC_DEADLINE_EXCEEDED = 4,
    CH_GRPC_NOT_FOUND = 5,
    CH_GRPC_ALREADY_EXISTS = 6,
    CH_GRPC_PERMISSION_DENIED = 7,
    CH_GRPC_RESOURCE_EXHAUSTED = 8,
    CH_GRPC_FAILED_PRECONDITION = 9,
    CH_GRPC_ABORTED = 10,
    CH_GRPC_OUT_OF_RANGE = 11,
    CH_GRPC_UNIMPLEMENTED = 12,
    CH_GRPC_INTERNAL = 13,
    CH_GRPC_UNAVAILABLE = 14,
    CH_GRPC_DATA_LOSS = 15,
    CH_GRPC_UNAUTHENTICATED = 16,
};

/** How one failure looks outside; literals. */
struct ch_err_row {
    const char *id;    /**< "STOCK_SHORT" */
    int http_status;   /**< 409 */
    int grpc_status;   /**< enum ch_grpc_status */
    const char *code;  /**< "stock_short": public, stable */
    const char *title; /**< Korean, one sentence */
};

/** Row of an error; never NULL. CH_OK has the row {"OK", 200, 0, "ok", ""}. */
const struct ch_err_row *ch_err_row(enum ch_err err);

/** Error whose gRPC status a peer sent: the general row for that status (for example UNAVAILABLE ->
 * CH_ERR_UNAVAILABLE). */
enum ch_err ch_err_from_grpc(int grpc_status);

#endif
