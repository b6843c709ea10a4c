// SPDX-License-Identifier: Apache-2.0
// A client that blocks and says whatever a test wants said, right or wrong: HTTP/2 frames by nghttp2, messages byte by
// byte.
#ifndef CH_TEST_GRPC_RAW_H
#define CH_TEST_GRPC_RAW_H

#include "test_grpc_fixture.h"

#include <errno.h>

#define RAW_STREAMS 64

struct raw_stream {
    struct raw *raw;
    int32_t id;
    struct ch_str request;
    size_t request_at;
    bool is_open; /* more is to follow the request */
    bool is_closed;
    uint32_t close_code;
    struct ch_buf reply;
    int http_status, grpc_status;
    char code[64], message[2048], details[8192];
};

struct raw {
    int fd;
    nghttp2_session *session;
    struct raw_stream streams[RAW_STREAMS];
    int count;
    bool is_ended; /* the server has closed the connection */
    bool has_goaway;
    uint32_t goaway_code;
    int32_t goaway_last;
    int pongs;
};

static inline int raw_on_header(nghttp2_session *session, const nghttp2_frame *frame, const uint8_t *name,
                                size_t name_len, const uint8_t *value, size_t value_len, uint8_t flags, void *arg)
{
    struct raw_stream *s = nghttp2_session_get_stream_user_data(session, frame->hd.stream_id);
    const char *key = (const char *)name, *text = (const char *)value;

    (void)flags;
    (void)arg;
    (void)name_len;
    (void)value_len;
    if (strcmp(key, ":status") == 0)
        s->http_status = atoi(text);
    if (strcmp(key, "grpc-status") == 0)
        s->grpc_status = atoi(text);
    if (strcmp(key, "gwasuwon-code") == 0)
        (void)snprintf(s->code, sizeof(s->code), "%s", text);
    if (strcmp(key, "grpc-message") == 0)
        (void)snprintf(s->message, sizeof(s->message), "%s", text);
    if (strcmp(key, "grpc-status-details-bin") == 0)
        (void)snprintf(s->details, sizeof(s->details), "%s", text);
    return 0;
}

static inline int raw_on_data(nghttp2_session *session, uint8_t flags, int32_t id, const uint8_t *data, size_t len,
                              void *arg)
{
    struct raw_stream *s = nghttp2_session_get_stream_user_data(session, id);

    (void)flags;
    (void)arg;
    ch_buf_append(&s->reply, data, len);
    return 0;
}

static inline int raw_on_closed(nghttp2_session *session, int32_t id, uint32_t code, void *arg)
{
    struct raw_stream *s = nghttp2_session_get_stream_user_data(session, id);

    (void)arg;
    s->is_closed = true;
    s->close_code = code;
    return 0;
}

static inline int raw_on_frame(nghttp2_session *session, const nghttp2_frame *frame, void *arg)
{
    struct raw *raw = arg;

    (void)session;
    if (frame->hd.type == NGHTTP2_GOAWAY) {
        raw->has_goaway = true;
        raw->goaway_code = frame->goaway.error_code;
        raw->goaway_last = frame->goaway.last_stream_id;
    }
    raw->pongs += frame->hd.type == NGHTTP2_PING && frame->hd.flags & NGHTTP2_FLAG_ACK;
    return 0;
}

static inline ssize_t raw_read(nghttp2_session *session, int32_t id, uint8_t *to, size_t max, uint32_t *flags,
                               nghttp2_data_source *source, void *arg)
{
    struct raw_stream *s = source->ptr;
    size_t len = s->request.len - s->request_at;

    (void)session;
    (void)id;
    (void)arg;
    len = len < max ? len : max;
    if (len == 0 && s->is_open)
        return NGHTTP2_ERR_DEFERRED;
    if (len > 0)
        memcpy(to, s->request.data + s->request_at, len);
    s->request_at += len;
    if (s->request_at == s->request.len && !s->is_open)
        *flags |= NGHTTP2_DATA_FLAG_EOF;
    return (ssize_t)len;
}

static inline int raw_socket(int port)
{
    struct sockaddr_in where = {
        .sin_family = AF_INET, .sin_port = htons((uint16_t)port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct timeval bound = {.tv_sec = 10};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    assert_true(fd >= 0);
    assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &bound, sizeof(bound)), 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&where, sizeof(where)), 0);
    return fd;
}

// `has_windows`: windows open by themselves; else the test opens them by nghttp2_session_consume.
static inline struct raw *raw_open(bool has_windows)
{
    struct raw *raw = calloc(1, sizeof(*raw));
    nghttp2_session_callbacks *callbacks;
    nghttp2_option *option;

    raw->fd = raw_socket(fx.port);
    assert_int_equal(nghttp2_session_callbacks_new(&callbacks), 0);
    assert_int_equal(nghttp2_option_new(&option), 0);
    nghttp2_session_callbacks_set_on_header_callback(callbacks, raw_on_header);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, raw_on_data);
    nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, raw_on_closed);
    nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, raw_on_frame);
    nghttp2_option_set_no_auto_window_update(option, !has_windows);
    nghttp2_option_set_no_http_messaging(option, 1);
    assert_int_equal(nghttp2_session_client_new2(&raw->session, callbacks, raw, option), 0);
    nghttp2_option_del(option);
    nghttp2_session_callbacks_del(callbacks);
    assert_int_equal(nghttp2_submit_settings(raw->session, 0, NULL, 0), 0);
    return raw;
}

static inline void raw_close(struct raw *raw)
{
    nghttp2_session_del(raw->session);
    (void)close(raw->fd);
    for (int i = 0; i < raw->count; i++)
        ch_buf_release(&raw->streams[i].reply);
    free(raw);
}

static inline void raw_flush(struct raw *raw)
{
    const uint8_t *bytes;
    ssize_t len;

    while ((len = nghttp2_session_mem_send(raw->session, &bytes)) > 0)
        for (ssize_t sent = 0, n; sent < len; sent += n) {
            n = send(raw->fd, bytes + sent, (size_t)(len - sent), MSG_NOSIGNAL);
            if (n < 0) { /* the server has ended: what it said before is still to be read */
                raw->is_ended = true;
                return;
            }
        }
}

// Reads once. False: the connection has ended.
static inline bool raw_turn(struct raw *raw)
{
    uint8_t bytes[65536];
    ssize_t len;

    raw_flush(raw);
    len = recv(raw->fd, bytes, sizeof(bytes), 0);
    if (len < 0 && errno == EAGAIN)
        fail_msg("nothing came from the server in 10 s");
    if (len <= 0) {
        raw->is_ended = true;
        return false;
    }
    assert_true(nghttp2_session_mem_recv(raw->session, bytes, (size_t)len) == len);
    raw_flush(raw);
    return true;
}

static inline void raw_wait(struct raw *raw, const struct raw_stream *s)
{
    while (!s->is_closed && raw_turn(raw))
        ;
}

static inline void raw_wait_end(struct raw *raw)
{
    while (raw_turn(raw))
        ;
}

#define RAW_HEADERS_MAX 80
struct raw_header {
    const char *name, *value; /* replaces the usual one of that name; value NULL: leaves it out */
};

static inline struct raw_stream *raw_send(struct raw *raw, const char *path, const struct raw_header *extra,
                                          struct ch_str request, bool is_open)
{
    struct raw_header all[RAW_HEADERS_MAX] = {{":method", "POST"}, {":scheme", "http"},
                                              {":path", path},     {":authority", "x"},
                                              {"te", "trailers"},  {"content-type", "application/grpc"}};
    struct raw_stream *s = &raw->streams[raw->count++];
    nghttp2_nv headers[RAW_HEADERS_MAX];
    nghttp2_data_provider provider = {.source.ptr = s, .read_callback = raw_read};
    size_t count = 6, used = 0;

    assert_true(raw->count <= RAW_STREAMS);
    for (; extra && extra->name; extra++) {
        size_t i = 0;

        while (i < count && (i >= 6 || strcmp(all[i].name, extra->name) != 0))
            i++;
        all[i] = *extra;
        count += i == count;
    }
    for (size_t i = 0; i < count; i++)
        if (all[i].value)
            headers[used++] = (nghttp2_nv){(uint8_t *)all[i].name, (uint8_t *)all[i].value, strlen(all[i].name),
                                           strlen(all[i].value), 0};
    *s = (struct raw_stream){.raw = raw, .request = request, .is_open = is_open, .grpc_status = -1};
    ch_buf_init(&s->reply, 64 * 1024 * 1024);
    s->id = nghttp2_submit_request(raw->session, NULL, headers, used, &provider, s);
    assert_true(s->id > 0);
    return s;
}

// ---- messages ----

static inline struct ch_str raw_pack(const ProtobufCMessage *message)
{
    static char bytes[16][512];
    static int next;
    char *to = bytes[next++ % 16];
    size_t len = protobuf_c_message_get_packed_size(message);

    assert_true(len + GRPC_PREFIX <= sizeof(bytes[0]));
    grpc_prefix_write(to, len);
    (void)protobuf_c_message_pack(message, (uint8_t *)to + GRPC_PREFIX);
    return (struct ch_str){to, len + GRPC_PREFIX};
}

static inline struct ch_str raw_get_skus(const char *id)
{
    Catalog__V1__GetSkusRequest request = CATALOG__V1__GET_SKUS_REQUEST__INIT;

    request.n_sku_ids = 1;
    request.sku_ids = (char **)&id;
    return raw_pack(&request.base);
}

static inline struct ch_str raw_watch(const char *order_id, int32_t count)
{
    Delivery__V1__WatchDeliveryRequest request = DELIVERY__V1__WATCH_DELIVERY_REQUEST__INIT;

    request.order_id = (char *)order_id;
    request.after_sequence = count;
    return raw_pack(&request.base);
}

// The message of the reply at *at, which moves behind it; NULL: there is no more.
static inline ProtobufCMessage *raw_next(const struct raw_stream *s, const ProtobufCMessageDescriptor *type, size_t *at)
{
    struct grpc_prefix prefix;
    ProtobufCMessage *message;

    if (s->reply.len - *at < GRPC_PREFIX)
        return NULL;
    prefix = grpc_prefix_read(s->reply.data + *at);
    if (s->reply.len - *at - GRPC_PREFIX < prefix.len)
        return NULL;
    message = protobuf_c_message_unpack(type, NULL, prefix.len, (uint8_t *)s->reply.data + *at + GRPC_PREFIX);
    assert_non_null(message);
    *at += GRPC_PREFIX + prefix.len;
    return message;
}

#endif
