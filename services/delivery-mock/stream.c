// SPDX-License-Identifier: Apache-2.0
// Tracking events as they happen. A follower asks the database every POLL_MS: so it sees what any instance wrote, and
// one more watcher costs one cheap indexed read. Must never hold a database connection between polls.
#include "stream.h"

#include "delivery_store.h"

enum { POLL_MS = 300, POLL_TIMEOUT_MS = 2000, HEARTBEAT_S = 10, EVENT_MAX = 4096 };
#define MS INT64_C(1000000)

void tracking_event_write(struct ch_jw *jw, const struct tracking_event *event)
{
    ch_jw_object(jw);
    ch_jw_kuuid(jw, "orderId", event->order_id);
    ch_jw_kint(jw, "sequence", event->sequence);
    ch_jw_kstr(jw, "type", event->type);
    ch_jw_kstr(jw, "status", event->status);
    ch_jw_kstr(jw, "location", event->location);
    ch_jw_kstr(jw, "message", event->message);
    ch_jw_ktime(jw, "at", event->at_us);
    ch_jw_object_end(jw);
}

static bool is_last(const struct tracking_event *event)
{
    return ch_str_is(event->status, delivery_status_names[DELIVERY_DELIVERED]) ||
           ch_str_is(event->status, delivery_status_names[DELIVERY_CANCELLED]);
}

static enum ch_err poll_once_wait(struct follower *follower, enum ch_err (*send)(void *, const struct tracking_event *),
                                  void *arg)
{
    struct tracking_event *events;
    struct ch_ctx ctx;
    size_t count;

    enum ch_err err = ch_ctx_open(&ctx, follower->loop, "delivery.follow", POLL_TIMEOUT_MS, &follower->trace);
    if (err)
        return err;
    err = tracking_after_wait(&ctx, follower->order_id, follower->sequence, &events, &count);
    if (err == CH_ERR_UNAVAILABLE) {
        err = CH_OK; // it will be back; the stream stays
        count = 0;
    } else if (err) {
        count = 0;
    }
    for (size_t i = 0; i < count && !err; i++) {
        err = send(arg, &events[i]);
        if (err)
            break;
        follower->sequence = events[i].sequence;
        follower->is_ended = is_last(&events[i]);
    }
    ch_ctx_close(&ctx, err);
    return err;
}

enum ch_err follow_wait(struct follower *follower, int64_t until_ns,
                        enum ch_err (*send)(void *, const struct tracking_event *), void *arg)
{
    for (;;) {
        enum ch_err err = poll_once_wait(follower, send, arg);
        if (err || follower->is_ended || ch_now_ns() >= until_ns)
            return err;
        err = ch_sleep_wait(ch_now_ns() + POLL_MS * MS);
        if (err)
            return err;
    }
}

// ---- Server-Sent Events
// --------------------------------------------------------------------------------------------------

// WHATWG HTML, 9.2.5: id, event, data, empty line.
static enum ch_err send_sse(void *arg, const struct tracking_event *event)
{
    struct ch_http_exchange *x = arg;
    struct ch_buf text;
    struct ch_jw jw;

    ch_buf_init(&text, EVENT_MAX);
    ch_buf_printf(&text, "id: %lld\nevent: delivery\ndata: ", (long long)event->sequence);
    ch_jw_init(&jw, &text);
    tracking_event_write(&jw, event);
    ch_buf_append_cstr(&text, "\n\n");
    const enum ch_err err =
        text.is_full ? CH_ERR_INTERNAL
                     : ch_http_stream_write_wait(x, ch_buf_str(&text), ch_now_ns() + HEARTBEAT_S * 1000 * MS);
    ch_buf_release(&text);
    return err;
}

static enum ch_err read_last_event_id(struct ch_request *req, int64_t *ret_sequence)
{
    const struct ch_str text = ch_http_header(req->http, "Last-Event-ID");

    *ret_sequence = 0;
    if (!text.data)
        return CH_OK;
    if (ch_str_to_int64(text, ret_sequence) || *ret_sequence < 0 || *ret_sequence > INT32_MAX)
        return ch_fail(&req->ctx, CH_ERR_INVALID, "Last-Event-ID", "format", "0 이상의 정수여야 합니다");
    return CH_OK;
}

enum ch_err delivery_events(struct ch_request *req)
{
    struct ch_http_exchange *x = req->http;
    struct follower follower = {.loop = req->ctx.loop, .trace = req->ctx.trace};
    struct delivery delivery;
    enum ch_err err;

    err = ch_param_uuid(req, 0, &follower.order_id);
    if (err)
        return err;
    err = read_last_event_id(req, &follower.sequence);
    if (err)
        return err;
    err = delivery_get_wait(&req->ctx, follower.order_id, &delivery);
    if (err)
        return err;
    if (delivery.status >= DELIVERY_DELIVERED && follower.sequence >= delivery.sequence) {
        req->status = 204;
        return CH_OK;
    }
    err = ch_http_stream_start(x, 200, "text/event-stream");
    while (!err && !follower.is_ended && !ch_has_run_out(req->ctx.identity)) {
        err = follow_wait(&follower, ch_now_ns() + HEARTBEAT_S * 1000 * MS, send_sse, x);
        if (!err && !follower.is_ended)
            err = ch_http_stream_write_wait(x, CH_STR(": \n\n"), ch_now_ns() + HEARTBEAT_S * 1000 * MS);
    }
    return CH_OK; // whoever watched has gone, has seen the end or comes again with a new token: this stream is over
}
