// SPDX-License-Identifier: Apache-2.0
// Consumes from quorum queues: declares them, hands out deliveries, acknowledges. It must never acknowledge by itself.
#include "amqp_internal.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>

#define LOOK_EVERY_MS 2000 // rabbitmq-c sends heartbeats only while it is called

static enum ch_err declare_queue(struct ch_amqp *amqp, const char *queue)
{
    amqp_table_entry_t entries[] = {
        {.key = amqp_cstring_bytes("x-queue-type"),
         .value = {.kind = AMQP_FIELD_KIND_UTF8, .value.bytes = amqp_cstring_bytes("quorum")}},
        {.key = amqp_cstring_bytes("x-delivery-limit"),
         .value = {.kind = AMQP_FIELD_KIND_I32, .value.i32 = CH_AMQP_DELIVERY_LIMIT}},
        {.key = amqp_cstring_bytes("x-dead-letter-exchange"),
         .value = {.kind = AMQP_FIELD_KIND_UTF8, .value.bytes = amqp_cstring_bytes(CH_AMQP_DEAD_LETTERS)}},
        {.key = amqp_cstring_bytes("x-dead-letter-strategy"),
         .value = {.kind = AMQP_FIELD_KIND_UTF8, .value.bytes = amqp_cstring_bytes("at-least-once")}},
        {.key = amqp_cstring_bytes("x-overflow"), // what at-least-once asks for
         .value = {.kind = AMQP_FIELD_KIND_UTF8, .value.bytes = amqp_cstring_bytes("reject-publish")}},
    };
    const amqp_table_t arguments = {.num_entries = sizeof(entries) / sizeof(entries[0]), .entries = entries};

    (void)amqp_queue_declare(amqp->conn, CH_AMQP_CHANNEL, amqp_cstring_bytes(queue), 0, 1, 0, 0, arguments);
    return ch_amqp_reply(amqp, "declare queue", amqp_get_rpc_reply(amqp->conn));
}

enum ch_err ch_amqp_subscribe(struct ch_amqp *amqp, const char *queue, const char *routing_key, int prefetch)
{
    const amqp_bytes_t name = amqp_cstring_bytes(queue);
    enum ch_err err;

    if (amqp->is_broken)
        return CH_ERR_UNAVAILABLE;
    if (amqp->queue_count == CH_AMQP_QUEUES_MAX)
        return CH_ERR_LIMIT;
    err = declare_queue(amqp, queue);
    if (err)
        return err;
    (void)amqp_queue_bind(amqp->conn, CH_AMQP_CHANNEL, name, amqp_cstring_bytes(CH_AMQP_EXCHANGE),
                          amqp_cstring_bytes(routing_key), amqp_empty_table);
    err = ch_amqp_reply(amqp, "bind queue", amqp_get_rpc_reply(amqp->conn));
    if (err)
        return err;
    (void)amqp_basic_qos(amqp->conn, CH_AMQP_CHANNEL, 0, (uint16_t)prefetch,
                         0); // counts for each consumer that follows
    err = ch_amqp_reply(amqp, "set prefetch", amqp_get_rpc_reply(amqp->conn));
    if (err)
        return err;
    amqp->queues[amqp->queue_count++] = queue; // before the first delivery can be read
    (void)amqp_basic_consume(amqp->conn, CH_AMQP_CHANNEL, name, name, 0, 0, 0, amqp_empty_table);
    return ch_amqp_reply(amqp, "consume", amqp_get_rpc_reply(amqp->conn));
}

enum ch_err ch_amqp_cancel(struct ch_amqp *amqp)
{
    for (int i = 0; i < amqp->queue_count; i++) {
        if (amqp->is_broken)
            return CH_ERR_UNAVAILABLE;
        (void)amqp_basic_cancel(amqp->conn, CH_AMQP_CHANNEL, amqp_cstring_bytes(amqp->queues[i]));
        const enum ch_err err = ch_amqp_reply(amqp, "cancel", amqp_get_rpc_reply(amqp->conn));
        if (err)
            return err;
    }
    return CH_OK;
}

/* ---- deliveries ------------------------------------------------------------------------------------------------ */

static struct ch_str str_of(amqp_bytes_t bytes)
{
    return (struct ch_str){bytes.bytes, bytes.len};
}

static int64_t number_of(const amqp_field_value_t *value)
{
    switch (value->kind) {
    case AMQP_FIELD_KIND_I64:
        return value->value.i64;
    case AMQP_FIELD_KIND_I32:
        return value->value.i32;
    case AMQP_FIELD_KIND_I16:
        return value->value.i16;
    case AMQP_FIELD_KIND_I8:
        return value->value.i8;
    case AMQP_FIELD_KIND_U64:
        return (int64_t)value->value.u64;
    case AMQP_FIELD_KIND_U32:
        return value->value.u32;
    default:
        return 0;
    }
}

static void read_headers(const amqp_table_t *headers, struct ch_amqp_delivery *delivery)
{
    for (int i = 0; i < headers->num_entries; i++) {
        const amqp_table_entry_t *entry = &headers->entries[i];
        const bool is_text = entry->value.kind == AMQP_FIELD_KIND_UTF8 || entry->value.kind == AMQP_FIELD_KIND_BYTES;
        if (is_text && ch_str_is(str_of(entry->key), "traceparent"))
            delivery->traceparent = str_of(entry->value.value.bytes);
        if (ch_str_is(str_of(entry->key), "x-delivery-count"))
            delivery->delivery_count = number_of(&entry->value);
    }
}

static const char *queue_of(const struct ch_amqp *amqp, struct ch_str consumer_tag)
{
    for (int i = 0; i < amqp->queue_count; i++)
        if (ch_str_is(consumer_tag, amqp->queues[i]))
            return amqp->queues[i];
    return NULL;
}

static enum ch_err fill_delivery(struct ch_amqp *amqp, amqp_envelope_t *envelope, struct ch_amqp_delivery *ret_delivery)
{
    const amqp_basic_properties_t *properties = &envelope->message.properties;
    struct ch_amqp_delivery delivery = {
        .tag = envelope->delivery_tag,
        .queue = queue_of(amqp, str_of(envelope->consumer_tag)),
        .routing_key = str_of(envelope->routing_key),
        .body = str_of(envelope->message.body),
        .is_redelivered = envelope->redelivered,
    };

    if (properties->_flags & AMQP_BASIC_MESSAGE_ID_FLAG)
        delivery.message_id = str_of(properties->message_id);
    if (properties->_flags & AMQP_BASIC_HEADERS_FLAG)
        read_headers(&properties->headers, &delivery);
    delivery.envelope = malloc(sizeof(*envelope));
    if (!delivery.queue || !delivery.envelope) {
        free(delivery.envelope);
        amqp_destroy_envelope(envelope);
        return ch_amqp_status(amqp, "consume", delivery.queue ? AMQP_STATUS_NO_MEMORY : AMQP_STATUS_BAD_AMQP_DATA);
    }
    memcpy(delivery.envelope, envelope, sizeof(*envelope)); // the parts stand in heap memory of their own
    *ret_delivery = delivery;
    return CH_OK;
}

void ch_amqp_delivery_release(struct ch_amqp_delivery *delivery)
{
    if (delivery->envelope) {
        amqp_destroy_envelope(delivery->envelope);
        free(delivery->envelope);
    }
    *delivery = (struct ch_amqp_delivery){0};
}

// What has come already; CH_ERR_DEADLINE: nothing.
static enum ch_err take_delivery(struct ch_amqp *amqp, struct ch_amqp_delivery *ret_delivery)
{
    const struct timeval now = {0};
    amqp_envelope_t envelope;
    amqp_frame_t frame;

    for (;;) {
        amqp_maybe_release_buffers(amqp->conn);
        const amqp_rpc_reply_t reply = amqp_consume_message(amqp->conn, &envelope, &now, 0);
        if (reply.reply_type == AMQP_RESPONSE_NORMAL)
            return fill_delivery(amqp, &envelope, ret_delivery);
        if (reply.reply_type == AMQP_RESPONSE_LIBRARY_EXCEPTION && reply.library_error == AMQP_STATUS_TIMEOUT)
            return CH_ERR_DEADLINE;
        if (reply.reply_type != AMQP_RESPONSE_LIBRARY_EXCEPTION || reply.library_error != AMQP_STATUS_UNEXPECTED_STATE)
            return ch_amqp_reply(amqp, "consume", reply);
        // Another frame than a delivery stands first: it is ours to take.
        const int status = amqp_simple_wait_frame_noblock(amqp->conn, &frame, &now);
        if (status == AMQP_STATUS_TIMEOUT)
            return CH_ERR_DEADLINE;
        enum ch_err err = ch_amqp_status(amqp, "consume", status);
        if (!err)
            err = ch_amqp_stray(amqp, &frame);
        if (err)
            return err;
    }
}

static int timeout_ms(int64_t deadline_ns)
{
    const int64_t left_ms = (deadline_ns - ch_now_ns() + 999999) / 1000000;

    return left_ms <= 0 ? 0 : left_ms > LOOK_EVERY_MS ? LOOK_EVERY_MS : (int)left_ms;
}

enum ch_err ch_amqp_next(struct ch_amqp *amqp, int wake_fd, int64_t deadline_ns, struct ch_amqp_delivery *ret_delivery)
{
    struct pollfd fds[] = {
        {.fd = wake_fd, .events = POLLIN}, // poll skips a negative one
        {.fd = amqp_get_sockfd(amqp->conn), .events = POLLIN},
    };
    int wait_ms = 0; // at first only a look: what the library holds already shows in no descriptor

    while (!amqp->is_broken) {
        if (poll(fds, 2, wait_ms) < 0 && errno != EINTR)
            return ch_amqp_status(amqp, "consume", AMQP_STATUS_SOCKET_ERROR);
        if (fds[0].revents)
            return CH_ERR_CANCELLED;
        const enum ch_err err = take_delivery(amqp, ret_delivery);
        if (err != CH_ERR_DEADLINE)
            return err;
        wait_ms = timeout_ms(deadline_ns);
        if (wait_ms == 0)
            return CH_ERR_DEADLINE;
    }
    return CH_ERR_UNAVAILABLE;
}

enum ch_err ch_amqp_ack(struct ch_amqp *amqp, uint64_t tag, bool is_multiple)
{
    if (amqp->is_broken)
        return CH_ERR_UNAVAILABLE;
    return ch_amqp_status(amqp, "acknowledge", amqp_basic_ack(amqp->conn, CH_AMQP_CHANNEL, tag, is_multiple));
}

enum ch_err ch_amqp_nack(struct ch_amqp *amqp, uint64_t tag, bool is_dead)
{
    if (amqp->is_broken)
        return CH_ERR_UNAVAILABLE;
    return ch_amqp_status(amqp, "refuse", amqp_basic_nack(amqp->conn, CH_AMQP_CHANNEL, tag, 0, !is_dead));
}
