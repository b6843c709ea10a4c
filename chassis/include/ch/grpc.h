// SPDX-License-Identifier: Apache-2.0
/**
 * @file grpc.h
 * @brief gRPC over HTTP/2 (nghttp2, protobuf-c) on a loop: server and client. grpc.io "gRPC over HTTP2", RFC 9113.
 *
 * Unary and server-streaming calls. Deadlines (grpc-timeout) become the context's deadline and are passed on; expired
 * ones are not started. Messages are limited in size. Drain sends GOAWAY and lets running calls end.
 */
#ifndef CH_GRPC_H
#define CH_GRPC_H

#include "ch/listen.h"
#include "ch/obs.h"
#include "ch/run.h"

#include <protobuf-c/protobuf-c.h>

#define CH_GRPC_MESSAGE_MAX (4 * 1024 * 1024)

struct ch_call;
/** A failure's status carries ctx->detail (else the row's title) as grpc-message, google.rpc.BadRequest and ErrorInfo
 * as details, and the public code as trailer `gwasuwon-code`, from which our own client makes the same `enum ch_err`
 * again. */
/** Runs on a fiber. `out` is an initialised message: point its fields at arena memory; it is packed after CH_OK. */
typedef enum ch_err ch_rpc_fn(struct ch_call *call, const void *in, void *out);

/** One method: the row that server and client share. */
struct ch_rpc {
    const char *path; /**< "/catalog.v1.CatalogService/Reserve" */
    const ProtobufCMessageDescriptor *input, *output;
    unsigned scope;       /**< server: who may call (enum ch_scope bits, any of them; 0: anyone) */
    const char *services; /**< server: with CH_INTERNAL in `scope`, names of the services that may call, with spaces
                             between */
    ch_rpc_fn *handle;    /**< server only */
    bool is_stream;       /**< server-streaming: send with ch_call_send_wait, return the status */
    bool is_repeatable;   /**< client only: done twice is as done once, so it is sent again after a broken connection */
};
#define CH_RPC(path_, scope_, handle_, in_, out_)                                                                      \
    {                                                                                                                  \
        .path = (path_), .input = &in_##__descriptor, .output = &out_##__descriptor, .scope = (scope_),                \
        .handle = (handle_)                                                                                            \
    }
/** A server's row of a method that the services named in `services_` call, and who has `scope_` (0: nobody else). */
#define CH_RPC_BY(path_, services_, scope_, handle_, in_, out_)                                                        \
    {                                                                                                                  \
        .path = (path_), .input = &in_##__descriptor, .output = &out_##__descriptor, .scope = (scope_) | CH_INTERNAL,  \
        .services = (services_), .handle = (handle_)                                                                   \
    }
/** A client's row of a method that is done twice as it is done once. */
#define CH_RPC_REPEATABLE(path_, in_, out_)                                                                            \
    {                                                                                                                  \
        .path = (path_), .input = &in_##__descriptor, .output = &out_##__descriptor, .is_repeatable = true             \
    }
#define CH_RPC_STREAM(path_, scope_, handle_, in_, out_)                                                               \
    {                                                                                                                  \
        .path = (path_), .input = &in_##__descriptor, .output = &out_##__descriptor, .scope = (scope_),                \
        .handle = (handle_), .is_stream = true                                                                         \
    }

/** A call being served. */
struct ch_call {
    struct ch_ctx ctx; /**< first: handlers pass &call->ctx on */
    const struct ch_rpc *rpc;
    struct ch_str authorization; /**< metadata "authorization", data NULL when absent */
    struct ch_str traceparent;
    struct ch_grpc_stream *stream;
};
struct ch_str ch_call_metadata(const struct ch_call *call, const char *name); /**< first value; data NULL when absent */
CH_MUST_CHECK enum ch_err ch_call_send_wait(struct ch_call *call, const ProtobufCMessage *message);

/** How a server is made; copied, but the tables must outlive it. */
struct ch_grpc_server_options {
    const struct ch_rpc *const *tables; /**< NULL-terminated list of tables, each ends with a zeroed row */
    /** Called on the call's fiber before its handler: identity, scope, metrics. A failure becomes the status. */
    enum ch_err (*before)(struct ch_call *call, void *arg);
    void (*after)(struct ch_call *call, enum ch_err result, void *arg);
    /** Called on the call's fiber before reflection is served; NULL: it is open. Health always is. */
    enum ch_err (*admit)(struct ch_call *call, void *arg);
    void *arg;
    int64_t default_timeout_ns; /**< when the caller states none */
    size_t connections_max, streams_max;
};
struct ch_grpc_server;
/** Listens on this loop; fails as ch_listen_open does. */
CH_MUST_CHECK enum ch_err ch_grpc_server_new(struct ch_loop *loop, const struct ch_listen *where,
                                             const struct ch_grpc_server_options *options,
                                             struct ch_grpc_server **ret_server);
int ch_grpc_server_port(const struct ch_grpc_server *server);
/** What grpc.health.v1 answers, for the server and each of its services; true at first. Every server serves health and
 * reflection by itself, without `before` and `after`; reflection after `admit`. */
void ch_grpc_server_set_serving(struct ch_grpc_server *server, bool is_serving);
/** Not serving; accepts nothing more; GOAWAY; unary calls end by themselves, streaming ones are cancelled (their
 * callers see UNAVAILABLE). */
void ch_grpc_server_drain(struct ch_grpc_server *server);
size_t ch_grpc_server_streams(
    const struct ch_grpc_server *server); /**< 0 after a drain: nothing is running and every reply was taken */
/** Closes what is left and cancels its fibers; the memory goes when the last of them has returned. */
void ch_grpc_server_free(struct ch_grpc_server *server);

/* ---- reflection: bytes of the .proto files, made at build time ----------------------------------------------------
 */

/** One file of the FileDescriptorSet (`protoc --include_imports --descriptor_set_out`), embedded by
 * chassis/tools/protoset.py. */
struct ch_proto_file {
    const char *name;     /**< "catalog/v1/catalog.proto" */
    const uint8_t *bytes; /**< serialized FileDescriptorProto */
    size_t len;
    const char *const *symbols; /**< full names of services, methods, messages and enums it defines; NULL-terminated */
    const char *const *imports; /**< names; NULL-terminated */
};
extern const struct ch_proto_file ch_proto_files[]; /**< ends with a NULL name */

/* ---- client -------------------------------------------------------------------------------------------------------
 */

/** One peer from one loop: a connection to each address of each name, made at once, remade with jittered backoff
 * (50 ms .. 1 s). Calls go to the least busy address that is up and whose circuit breaker is closed, in turn; when
 * there is none they fail fast with CH_ERR_UNAVAILABLE. Names are resolved without blocking, again when an address is
 * lost and every half minute. */
struct ch_peer;
/** How a peer is made; name and address are copied, `bearer` must outlive the peer. */
struct ch_peer_options {
    const char *name;          /**< metrics label: "fruit-catalog" */
    const char *address;       /**< "host:port", or up to 16 of them with commas between */
    size_t in_flight_max;      /**< more wait … */
    size_t waiting_max;        /**< … but no more than so many: CH_ERR_OVERLOADED at once */
    const char *const *bearer; /**< where the current service token stands (may change; read at each call); NULL: none.
                                  Without "Bearer" */
    bool needs_bearer;         /**< while there is none, calls end at once with CH_ERR_UNAVAILABLE */
    void (*on_refused)(void *arg); /**< the peer answered UNAUTHENTICATED: it does not take the token; or NULL */
    void *on_refused_arg;
};
/** NULL: an address is no "host:port", or memory is short. */
struct ch_peer *ch_peer_new(struct ch_loop *loop, const struct ch_peer_options *options);
bool ch_peer_is_up(const struct ch_peer *peer);
void ch_peer_free(struct ch_peer *peer); /**< running calls end with CH_ERR_UNAVAILABLE */

/** Calls and parks until the answer. While the first connection, or one after a good one, is being made, waits for it
 * up to 200 ms. A call that the peer provably did not look at (GOAWAY, REFUSED_STREAM) is sent again by itself, to
 * another address if there is one; so is a repeatable one after CH_ERR_UNAVAILABLE. At most three attempts, and retries
 * are at most a tenth of all calls but for a burst. The message lies in ctx's arena. `deadline_ns` is capped by ctx's;
 * it travels as grpc-timeout, the trace as traceparent. A failure status sets ctx->detail from grpc-message when it is
 * ours. */
CH_MUST_CHECK enum ch_err ch_peer_call_wait(struct ch_peer *peer, struct ch_ctx *ctx, const struct ch_rpc *rpc,
                                            const ProtobufCMessage *request, int64_t deadline_ns, void **ret_reply);

#endif
