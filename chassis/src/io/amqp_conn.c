// SPDX-License-Identifier: Apache-2.0
// Opens, keeps and closes a connection to RabbitMQ, and says why one broke. It exists so that publishing and consuming
// know only "works" and "broken". It must never be used on a loop, wait without a limit, or log a URI: it holds a
// password.
#include "amqp_internal.h"

#include "ch/obs.h"

#include <amqp_tcp_socket.h>

#include <stdatomic.h>
#include <stdlib.h>

#define COMPLAIN_EVERY_NS INT64_C(10000000000)

struct timeval ch_amqp_time_left(int64_t deadline_ns)
{
    const int64_t left_ns = deadline_ns - ch_now_ns();

    if (left_ns <= 0)
        return (struct timeval){0};
    return (struct timeval){.tv_sec = left_ns / 1000000000, .tv_usec = left_ns % 1000000000 / 1000};
}

// While the broker is away the same failure comes again and again: one line in 10 s is enough.
static void complain(const char *step, struct ch_str reason)
{
    static _Atomic int64_t last_ns;
    const int64_t now = ch_now_ns();
    int64_t last = atomic_load(&last_ns);

    if ((last == 0 || now - last >= COMPLAIN_EVERY_NS) && atomic_compare_exchange_strong(&last_ns, &last, now))
        ch_log(CH_LOG_WARN, NULL, "amqp.failed", CH_LS("step", step), CH_LSTR("reason", reason));
}

static enum ch_err broken(struct ch_amqp *amqp, const char *step, struct ch_str reason)
{
    complain(step, reason);
    amqp->is_broken = true;
    return CH_ERR_UNAVAILABLE;
}

static struct ch_str text_of(amqp_bytes_t bytes)
{
    return (struct ch_str){bytes.bytes, bytes.len};
}

// What the broker gave as its reason for closing.
static struct ch_str close_reason(const amqp_method_t *method)
{
    if (method->id == AMQP_CONNECTION_CLOSE_METHOD)
        return text_of(((amqp_connection_close_t *)method->decoded)->reply_text);
    if (method->id == AMQP_CHANNEL_CLOSE_METHOD)
        return text_of(((amqp_channel_close_t *)method->decoded)->reply_text);
    return ch_str_of(amqp_method_name(method->id));
}

enum ch_err ch_amqp_reply(struct ch_amqp *amqp, const char *step, amqp_rpc_reply_t reply)
{
    switch (reply.reply_type) {
    case AMQP_RESPONSE_NORMAL:
        return CH_OK;
    case AMQP_RESPONSE_SERVER_EXCEPTION:
        return broken(amqp, step, close_reason(&reply.reply));
    case AMQP_RESPONSE_LIBRARY_EXCEPTION:
        return broken(amqp, step, ch_str_of(amqp_error_string2(reply.library_error)));
    default:
        return broken(amqp, step, CH_STR("closed by the broker"));
    }
}

enum ch_err ch_amqp_status(struct ch_amqp *amqp, const char *step, int status)
{
    return status == AMQP_STATUS_OK ? CH_OK : broken(amqp, step, ch_str_of(amqp_error_string2(status)));
}

enum ch_err ch_amqp_stray(struct ch_amqp *amqp, const amqp_frame_t *frame)
{
    if (frame->frame_type != AMQP_FRAME_METHOD)
        return CH_OK;
    switch (frame->payload.method.id) {
    case AMQP_CONNECTION_CLOSE_METHOD:
    case AMQP_CHANNEL_CLOSE_METHOD:
        return broken(amqp, "closed", close_reason(&frame->payload.method));
    case AMQP_BASIC_CANCEL_METHOD:
        return broken(amqp, "consume", CH_STR("the broker cancelled the consumer: its queue is gone or moves"));
    default:
        return CH_OK;
    }
}

/* ---- opening --------------------------------------------------------------------------------------------------- */

// `copy` is what the parts of `ret_info` point into; the caller frees it. NULL: no URI of ours.
static char *parse_uri(const char *uri, struct amqp_connection_info *ret_info, const char **reterr_reason)
{
    static char root[] = "/";
    char *copy = strdup(uri);

    *reterr_reason = "not an AMQP URI: amqp://user:password@host:port/vhost";
    if (!copy)
        return NULL;
    amqp_default_connection_info(ret_info);
    if (amqp_parse_url(copy, ret_info) != AMQP_STATUS_OK || !ret_info->host || !*ret_info->host) {
        free(copy);
        return NULL;
    }
    if (ret_info->ssl) {
        *reterr_reason = "amqps is not supported: the mesh encrypts";
        free(copy);
        return NULL;
    }
    if (!*ret_info->vhost)
        ret_info->vhost = root;
    return copy;
}

enum ch_err ch_amqp_check_uri(const char *uri)
{
    struct amqp_connection_info info;
    const char *reason;
    char *copy = parse_uri(uri, &info, &reason);

    if (!copy)
        ch_log(CH_LOG_ERROR, NULL, "amqp.uri", CH_LS("reason", reason));
    free(copy);
    return copy ? CH_OK : CH_ERR_INVALID;
}

static enum ch_err connect_socket(struct ch_amqp *amqp, const struct amqp_connection_info *info, int64_t deadline_ns)
{
    const struct timeval rpc_limit = ch_amqp_time_left(ch_now_ns() + CH_AMQP_RPC_NS);
    const struct timeval left = ch_amqp_time_left(deadline_ns);
    amqp_socket_t *socket = amqp_tcp_socket_new(amqp->conn);

    if (!socket)
        return CH_ERR_NO_MEMORY;
    enum ch_err err = ch_amqp_status(amqp, "connect", amqp_socket_open_noblock(socket, info->host, info->port, &left));
    if (err)
        return err;
    err = ch_amqp_status(amqp, "connect", amqp_set_handshake_timeout(amqp->conn, &left));
    if (err)
        return err;
    return ch_amqp_status(amqp, "connect", amqp_set_rpc_timeout(amqp->conn, &rpc_limit));
}

static enum ch_err log_in(struct ch_amqp *amqp, const struct amqp_connection_info *info, const char *name)
{
    // Told to us instead of silence when a queue that we consume is deleted.
    amqp_table_entry_t capability = {
        .key = amqp_cstring_bytes("consumer_cancel_notify"),
        .value = {.kind = AMQP_FIELD_KIND_BOOLEAN, .value.boolean = 1},
    };
    amqp_table_entry_t properties[] = {
        {.key = amqp_cstring_bytes("connection_name"),
         .value = {.kind = AMQP_FIELD_KIND_UTF8, .value.bytes = amqp_cstring_bytes(name)}},
        {.key = amqp_cstring_bytes("capabilities"),
         .value = {.kind = AMQP_FIELD_KIND_TABLE, .value.table = {.num_entries = 1, .entries = &capability}}},
    };
    const amqp_table_t table = {.num_entries = 2, .entries = properties};

    return ch_amqp_reply(amqp, "login",
                         amqp_login_with_properties(amqp->conn, info->vhost, 0, AMQP_DEFAULT_FRAME_SIZE,
                                                    CH_AMQP_HEARTBEAT, &table, AMQP_SASL_METHOD_PLAIN, info->user,
                                                    info->password));
}

static enum ch_err declare_exchange(struct ch_amqp *amqp, const char *name)
{
    (void)amqp_exchange_declare(amqp->conn, CH_AMQP_CHANNEL, amqp_cstring_bytes(name), amqp_cstring_bytes("topic"), 0,
                                1, 0, 0, amqp_empty_table); // the reply below says it
    return ch_amqp_reply(amqp, "declare exchange", amqp_get_rpc_reply(amqp->conn));
}

static enum ch_err declare_dead_letters(struct ch_amqp *amqp)
{
    amqp_table_entry_t type = {
        .key = amqp_cstring_bytes("x-queue-type"),
        .value = {.kind = AMQP_FIELD_KIND_UTF8, .value.bytes = amqp_cstring_bytes("quorum")},
    };
    const amqp_table_t arguments = {.num_entries = 1, .entries = &type};
    enum ch_err err = declare_exchange(amqp, CH_AMQP_DEAD_LETTERS);

    if (err)
        return err;
    (void)amqp_queue_declare(amqp->conn, CH_AMQP_CHANNEL, amqp_cstring_bytes(CH_AMQP_DEAD_QUEUE), 0, 1, 0, 0,
                             arguments);
    err = ch_amqp_reply(amqp, "declare dead letters", amqp_get_rpc_reply(amqp->conn));
    if (err)
        return err;
    (void)amqp_queue_bind(amqp->conn, CH_AMQP_CHANNEL, amqp_cstring_bytes(CH_AMQP_DEAD_QUEUE),
                          amqp_cstring_bytes(CH_AMQP_DEAD_LETTERS), amqp_cstring_bytes("#"), amqp_empty_table);
    return ch_amqp_reply(amqp, "bind dead letters", amqp_get_rpc_reply(amqp->conn));
}

static enum ch_err open_steps(struct ch_amqp *amqp, const struct amqp_connection_info *info, const char *name,
                              int64_t deadline_ns)
{
    enum ch_err err = connect_socket(amqp, info, deadline_ns);

    if (err)
        return err;
    err = log_in(amqp, info, name);
    if (err)
        return err;
    (void)amqp_channel_open(amqp->conn, CH_AMQP_CHANNEL);
    err = ch_amqp_reply(amqp, "open channel", amqp_get_rpc_reply(amqp->conn));
    if (err)
        return err;
    err = declare_exchange(amqp, CH_AMQP_EXCHANGE);
    if (err)
        return err;
    return declare_dead_letters(amqp);
}

enum ch_err ch_amqp_open(const char *uri, const char *connection_name, int64_t deadline_ns, struct ch_amqp **ret_amqp)
{
    struct amqp_connection_info info;
    const char *reason;
    char *copy = parse_uri(uri, &info, &reason);
    struct ch_amqp *amqp = copy ? calloc(1, sizeof(*amqp)) : NULL;

    if (!amqp) {
        free(copy);
        return copy ? CH_ERR_NO_MEMORY : CH_ERR_INVALID;
    }
    amqp->next_tag = 1;
    amqp->conn = amqp_new_connection();
    enum ch_err err = amqp->conn ? open_steps(amqp, &info, connection_name, deadline_ns) : CH_ERR_NO_MEMORY;
    free(copy);
    if (err) {
        amqp->is_broken = true;
        ch_amqp_close(amqp);
        return err;
    }
    amqp_maybe_release_buffers(amqp->conn);
    *ret_amqp = amqp;
    return CH_OK;
}

void ch_amqp_close(struct ch_amqp *amqp)
{
    const struct timeval limit = ch_amqp_time_left(ch_now_ns() + CH_AMQP_CLOSE_NS);

    if (!amqp)
        return;
    if (!amqp->is_broken && amqp_set_rpc_timeout(amqp->conn, &limit) == AMQP_STATUS_OK)
        (void)amqp_connection_close(amqp->conn, AMQP_REPLY_SUCCESS); // a courtesy: the socket closes either way
    if (amqp->conn)
        (void)amqp_destroy_connection(amqp->conn);
    free(amqp);
}

int ch_amqp_fd(const struct ch_amqp *amqp)
{
    return amqp_get_sockfd(amqp->conn);
}

enum ch_err ch_amqp_tick(struct ch_amqp *amqp)
{
    const struct timeval now = {0};
    amqp_frame_t frame;

    while (!amqp->is_broken) {
        amqp_maybe_release_buffers(amqp->conn);
        const int status = amqp_simple_wait_frame_noblock(amqp->conn, &frame, &now);
        if (status == AMQP_STATUS_TIMEOUT)
            return CH_OK;
        enum ch_err err = ch_amqp_status(amqp, "keep", status);
        if (!err)
            err = ch_amqp_stray(amqp, &frame);
        if (err)
            return err;
    }
    return CH_ERR_UNAVAILABLE;
}

enum ch_err ch_amqp_depth(struct ch_amqp *amqp, const char *queue, int64_t *ret_count)
{
    const amqp_queue_declare_ok_t *ok;

    if (amqp->is_broken)
        return CH_ERR_UNAVAILABLE;
    ok = amqp_queue_declare(amqp->conn, CH_AMQP_CHANNEL, amqp_cstring_bytes(queue), 1, 1, 0, 0, amqp_empty_table);
    const enum ch_err err = ch_amqp_reply(amqp, "look at a queue", amqp_get_rpc_reply(amqp->conn));
    if (err)
        return err;
    *ret_count = ok->message_count;
    amqp_maybe_release_buffers(amqp->conn);
    return CH_OK;
}
