// SPDX-License-Identifier: Apache-2.0
// Publishes with confirms: up to CH_AMQP_WINDOW messages leave before the first confirm is waited for, because a quorum
// queue confirms in groups and a window of one would be ten times slower. It must never call a message confirmed that
// the broker did not acknowledge.
#include "amqp_internal.h"
#include "ch/point.h"

#include <assert.h>
#include <errno.h>
#include <poll.h>

/** Messages on their way; message i has the tag first_tag + i. */
struct window {
    struct ch_amqp_message *messages;
    size_t count, missing;
    uint64_t first_tag;
    bool is_settled[CH_AMQP_WINDOW];
};

enum ch_err ch_amqp_confirm_select(struct ch_amqp *amqp)
{
    if (amqp->is_broken)
        return CH_ERR_UNAVAILABLE;
    (void)amqp_confirm_select(amqp->conn, CH_AMQP_CHANNEL); // the reply below says it
    return ch_amqp_reply(amqp, "select confirms", amqp_get_rpc_reply(amqp->conn));
}

// A broker short of memory stops reading: without this look, sending would wait as long as the broker likes.
static enum ch_err await_room(struct ch_amqp *amqp, int64_t deadline_ns)
{
    struct pollfd socket = {.fd = amqp_get_sockfd(amqp->conn), .events = POLLOUT};

    for (;;) {
        const int64_t left_ms = (deadline_ns - ch_now_ns()) / 1000000;
        const int ready = poll(&socket, 1, left_ms < 0 ? 0 : left_ms > 1000 ? 1000 : (int)left_ms);
        if (ready > 0)
            return CH_OK; // an error shows when sending
        if (ready < 0 && errno != EINTR)
            return ch_amqp_status(amqp, "publish", AMQP_STATUS_SOCKET_ERROR);
        if (left_ms <= 0)
            return CH_ERR_DEADLINE;
    }
}

static enum ch_err send_one(struct ch_amqp *amqp, const struct ch_amqp_message *message)
{
    amqp_table_entry_t header = {
        .key = amqp_cstring_bytes("traceparent"),
        .value = {.kind = AMQP_FIELD_KIND_UTF8},
    };
    amqp_basic_properties_t properties = {
        ._flags = AMQP_BASIC_CONTENT_TYPE_FLAG | AMQP_BASIC_DELIVERY_MODE_FLAG,
        .content_type = amqp_cstring_bytes(message->content_type),
        .delivery_mode = AMQP_DELIVERY_PERSISTENT,
    };

    if (message->message_id) {
        properties._flags |= AMQP_BASIC_MESSAGE_ID_FLAG;
        properties.message_id = amqp_cstring_bytes(message->message_id);
    }
    if (message->traceparent) {
        header.value.value.bytes = amqp_cstring_bytes(message->traceparent);
        properties._flags |= AMQP_BASIC_HEADERS_FLAG;
        properties.headers = (amqp_table_t){.num_entries = 1, .entries = &header};
    }
    const amqp_bytes_t body = {.len = message->body.len, .bytes = (void *)message->body.data};
    return ch_amqp_status(amqp, "publish",
                          amqp_basic_publish(amqp->conn, CH_AMQP_CHANNEL, amqp_cstring_bytes(CH_AMQP_EXCHANGE),
                                             amqp_cstring_bytes(message->routing_key), 1, 0, &properties, body));
}

static void settle(struct window *window, uint64_t tag, bool is_multiple, bool is_ack)
{
    // Tags of an earlier window whose wait ended at its deadline are nobody's any more.
    if (tag < window->first_tag || tag >= window->first_tag + window->count)
        return;
    const size_t last = (size_t)(tag - window->first_tag);
    for (size_t i = is_multiple ? 0 : last; i <= last; i++) {
        if (window->is_settled[i])
            continue;
        window->is_settled[i] = true;
        window->messages[i].is_confirmed = is_ack;
        window->missing--;
    }
}

// A return is the method, and then the whole message comes back: it is read to its end and known by its id.
static enum ch_err take_return(struct ch_amqp *amqp, struct window *window)
{
    amqp_message_t message;
    enum ch_err err = ch_amqp_reply(amqp, "read a return", amqp_read_message(amqp->conn, CH_AMQP_CHANNEL, &message, 0));

    if (err)
        return err;
    if (message.properties._flags & AMQP_BASIC_MESSAGE_ID_FLAG) {
        const struct ch_str id = {message.properties.message_id.bytes, message.properties.message_id.len};
        for (size_t i = 0; i < window->count; i++)
            if (window->messages[i].message_id && ch_str_is(id, window->messages[i].message_id))
                window->messages[i].is_returned = true;
    }
    amqp_destroy_message(&message);
    return CH_OK;
}

static enum ch_err take_frame(struct ch_amqp *amqp, const amqp_frame_t *frame, struct window *window)
{
    if (frame->frame_type != AMQP_FRAME_METHOD)
        return CH_OK;
    switch (frame->payload.method.id) {
    case AMQP_BASIC_ACK_METHOD: {
        const amqp_basic_ack_t *ack = frame->payload.method.decoded;
        settle(window, ack->delivery_tag, ack->multiple, true);
        return CH_OK;
    }
    case AMQP_BASIC_NACK_METHOD: {
        const amqp_basic_nack_t *nack = frame->payload.method.decoded;
        settle(window, nack->delivery_tag, nack->multiple, false);
        return CH_OK;
    }
    case AMQP_BASIC_RETURN_METHOD:
        return take_return(amqp, window);
    default:
        return ch_amqp_stray(amqp, frame);
    }
}

static enum ch_err await_confirms(struct ch_amqp *amqp, struct window *window, int64_t deadline_ns)
{
    amqp_frame_t frame;
    enum ch_err err = CH_OK;

    while (!err && window->missing > 0) {
        const struct timeval left = ch_amqp_time_left(deadline_ns);
        amqp_maybe_release_buffers(amqp->conn);
        const int status = amqp_simple_wait_frame_noblock(amqp->conn, &frame, &left);
        if (status == AMQP_STATUS_TIMEOUT)
            return CH_ERR_DEADLINE;
        err = ch_amqp_status(amqp, "await confirms", status);
        if (!err)
            err = take_frame(amqp, &frame, window);
    }
    amqp_maybe_release_buffers(amqp->conn);
    return err;
}

static enum ch_err publish_window(struct ch_amqp *amqp, struct ch_amqp_message *messages, size_t count,
                                  int64_t deadline_ns)
{
    struct window window = {.messages = messages, .first_tag = amqp->next_tag};
    enum ch_err err = CH_OK;

    for (size_t i = 0; i < count && !err; i++) {
        err = await_room(amqp, deadline_ns);
        if (!err)
            err = send_one(amqp, &messages[i]);
        if (!err) {
            amqp->next_tag++;
            window.count++;
            window.missing++;
        }
    }
    if (amqp->is_broken)
        return err;
    const enum ch_err point_err = CH_POINT(RELAY_PUBLISHED);
    if (point_err)
        return point_err;
    const enum ch_err confirm_err = await_confirms(amqp, &window, deadline_ns);
    return err ? err : confirm_err;
}

enum ch_err ch_amqp_publish(struct ch_amqp *amqp, struct ch_amqp_message *messages, size_t count, int64_t deadline_ns)
{
    assert(amqp->queue_count == 0); // it consumes
    for (size_t i = 0; i < count; i++)
        messages[i].is_confirmed = messages[i].is_returned = false;
    if (amqp->is_broken)
        return CH_ERR_UNAVAILABLE;
    for (size_t done = 0; done < count; done += CH_AMQP_WINDOW) {
        const size_t n = count - done < CH_AMQP_WINDOW ? count - done : CH_AMQP_WINDOW;
        const enum ch_err err = publish_window(amqp, messages + done, n, deadline_ns);
        if (err)
            return err;
    }
    return CH_OK;
}
