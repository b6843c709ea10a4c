// SPDX-License-Identifier: Apache-2.0
/**
 * @file grpc_wire.h
 * @brief What gRPC writes into HTTP/2: message prefix, grpc-timeout, grpc-message, -bin values (grpc.io, "gRPC over
 * HTTP2").
 *
 * Pure functions on bytes. Nothing here may wait or keep anything.
 */
#ifndef CH_IO_GRPC_WIRE_H
#define CH_IO_GRPC_WIRE_H

#include "ch/obs.h"

#include <nghttp2/nghttp2.h>
#include <protobuf-c/protobuf-c.h>

#define GRPC_PREFIX 5 /**< compressed flag and length before each message */

/** An nghttp2 header. Literals only: neither name nor value is copied. */
#define GRPC_NV(name_, value_)                                                                                         \
    ((nghttp2_nv){(uint8_t *)(name_), (uint8_t *)(value_), sizeof(name_) - 1, sizeof(value_) - 1,                      \
                  NGHTTP2_NV_FLAG_NO_COPY_NAME | NGHTTP2_NV_FLAG_NO_COPY_VALUE})
/** Value is copied; `flags_` may add NGHTTP2_NV_FLAG_NO_INDEX for values that never come again. */
#define GRPC_NV_STR(name_, value_, flags_)                                                                             \
    ((nghttp2_nv){(uint8_t *)(name_), (uint8_t *)(value_).data, sizeof(name_) - 1, (value_).len,                       \
                  NGHTTP2_NV_FLAG_NO_COPY_NAME | (flags_)})

struct grpc_prefix {
    bool is_compressed;
    uint32_t len;
};
struct grpc_prefix grpc_prefix_read(const void *bytes);
void grpc_prefix_write(void *ret_bytes, size_t len);

/** "100m" -> nanoseconds, capped at an hour. False: malformed. */
bool grpc_timeout_parse(struct ch_str text, int64_t *ret_ns);
#define GRPC_TIMEOUT_TEXT 12
/** At most 8 digits and a unit, rounded up to 1 µs. */
size_t grpc_timeout_format(int64_t timeout_ns, char ret_text[GRPC_TIMEOUT_TEXT]);

void grpc_percent_encode(struct ch_buf *out, struct ch_str text);
/** Arena copy; data NULL at the limit. Malformed escapes stay as they are. */
struct ch_str grpc_percent_decode(struct ch_arena *arena, struct ch_str text);
void grpc_base64(struct ch_buf *out, const void *data, size_t len); /**< RFC 4648 4, no padding */

/** content-type is application/grpc, or that with + or ; behind it. */
bool grpc_is_content_type(struct ch_str value);

/* ---- messages (grpc_message.c) ---- */

/** Checks the bytes against the descriptor (well-formed, strings are UTF-8 without NUL; else a fault names the field),
 * then unpacks into ctx's arena. CH_ERR_BAD_SYNTAX, CH_ERR_INVALID or, at the arena's limit, CH_ERR_TOO_LARGE. */
CH_MUST_CHECK enum ch_err grpc_unpack(struct ch_ctx *ctx, const ProtobufCMessageDescriptor *type, const uint8_t *bytes,
                                      size_t len, ProtobufCMessage **ret_message);
/** Appends prefix and message; CH_ERR_TOO_LARGE past `max_bytes` or past the buffer. */
CH_MUST_CHECK enum ch_err grpc_pack(struct ch_buf *out, const ProtobufCMessage *message, size_t max_bytes);

/* ---- status (grpc_status.c) ---- */

#define GRPC_TRAILERS_MAX 4
/** The trailers of a result: grpc-status, and for failures grpc-message, gwasuwon-code, grpc-status-details-bin. Values
 * lie in ctx's arena. */
size_t grpc_trailers(struct ch_ctx *ctx, enum ch_err err, nghttp2_nv ret_trailers[GRPC_TRAILERS_MAX]);

/** What a peer's trailers said. */
struct grpc_status {
    int status;            /**< grpc-status; -1: none came */
    struct ch_str message; /**< grpc-message as it came */
    enum ch_err ours;      /**< by gwasuwon-code; CH_OK: not ours or not known */
};
/** The failure, exactly when the peer is ours; then ctx->detail is its sentence. */
enum ch_err grpc_status_err(struct ch_ctx *ctx, const struct grpc_status *status);
enum ch_err grpc_code_to_err(struct ch_str code); /**< CH_OK: unknown */

#endif
