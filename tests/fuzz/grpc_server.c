// SPDX-License-Identifier: Apache-2.0
// A gRPC connection as a client has it. An input is a row of records: 'R' raw bytes, 'F' a frame whose length is right,
// 'H' a request's fields as text lines, packed by a correct HPACK encoder; each is kind, stream, flags, length (2
// bytes), bytes. Every frame that comes back is well-formed, every call that began ends, nothing stays.
#include "fuzz_loop.h"

#include "../../chassis/src/io/grpc_server.h"

#include "catalog/v1/catalog.pb-c.h"
#include "delivery/v1/delivery.pb-c.h"

#define PREFACE "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
enum { FRAME_HEAD = 9, RECORD_HEAD = 5, FIELDS_MAX = 70, PAYLOAD_MAX = 16384 };

static struct ch_grpc_server *server;
static int started, ended;

// ---- the server ----

static enum ch_err get_skus(struct ch_call *call, const void *in, void *out)
{
    const Catalog__V1__GetSkusRequest *request = in;
    Catalog__V1__GetSkusResponse *response = out;

    for (size_t i = 0; i < request->n_sku_ids; i++)
        MUST(ch_utf8_is_valid(ch_str_of(request->sku_ids[i])));
    MUST(call->ctx.deadline_ns > call->ctx.start_ns - 1);
    if (request->n_sku_ids > 2)
        return ch_fail(&call->ctx, CH_ERR_INVALID, "/sku_ids", "count", "두 개까지");
    response->skus = ch_arena_array(call->ctx.arena, 2, sizeof(response->skus[0]));
    response->n_skus = request->n_sku_ids;
    for (size_t i = 0; i < request->n_sku_ids; i++) {
        response->skus[i] = ch_arena_alloc(call->ctx.arena, sizeof(*response->skus[i]));
        catalog__v1__sku_snapshot__init(response->skus[i]);
        response->skus[i]->sku_id = request->sku_ids[i];
    }
    return CH_OK;
}

static enum ch_err watch(struct ch_call *call, const void *in, void *out)
{
    const Delivery__V1__WatchDeliveryRequest *request = in;
    Delivery__V1__DeliveryEvent event = DELIVERY__V1__DELIVERY_EVENT__INIT;
    Delivery__V1__WatchDeliveryResponse *response = out;
    enum ch_err err = CH_OK;

    response->event = &event;
    for (int i = 0; !err && i < (request->after_sequence & 63); i++)
        err = ch_call_send_wait(call, &response->base);
    response->event = NULL;
    return err;
}

static enum ch_err before(struct ch_call *call, void *arg)
{
    (void)arg;
    started++;
    return ch_str_is(call->authorization, "Bearer bad") ? CH_ERR_UNAUTHENTICATED : CH_OK;
}

static void after(struct ch_call *call, enum ch_err result, void *arg)
{
    (void)arg;
    MUST(result != CH_ERR_INTERNAL);
    fuzz_check_faults(&call->ctx.faults);
    ended++;
}

static void server_start(void)
{
    static const struct ch_rpc rpcs[] = {
        CH_RPC("/catalog.v1.CatalogService/GetSkus", 0, get_skus, catalog__v1__get_skus_request,
               catalog__v1__get_skus_response),
        CH_RPC_STREAM("/delivery.v1.DeliveryService/WatchDelivery", 0, watch, delivery__v1__watch_delivery_request,
                      delivery__v1__watch_delivery_response),
        {0},
    };
    static const struct ch_rpc *const tables[] = {rpcs, NULL};
    static const struct ch_grpc_server_options options = {.tables = tables,
                                                          .before = before,
                                                          .after = after,
                                                          .default_timeout_ns = INT64_C(5000000000),
                                                          .connections_max = 4,
                                                          .streams_max = 20};

    MUST(ch_grpc_server_new(fuzz_loop_new(), &(struct ch_listen){.address = "127.0.0.1"}, &options, &server) == CH_OK);
}

static void server_open(int fd)
{
    grpc_conn_open(server, fd);
}

// ---- the client: records to bytes ----

static void put_frame(struct ch_buf *out, uint8_t type, uint8_t flags, uint8_t stream, const void *bytes, size_t len)
{
    const uint8_t head[FRAME_HEAD] = {
        (uint8_t)(len >> 16), (uint8_t)(len >> 8), (uint8_t)len, type, flags, 0, 0, 0, stream};

    ch_buf_append(out, head, sizeof(head));
    ch_buf_append(out, bytes, len);
}

static void put_fields(struct ch_buf *out, nghttp2_hd_deflater *packer, uint8_t stream, uint8_t flags,
                       struct ch_str lines)
{
    nghttp2_nv fields[FIELDS_MAX];
    uint8_t packed[PAYLOAD_MAX];
    size_t count = 0;

    while (lines.len > 0 && count < FIELDS_MAX) {
        struct ch_str value = fuzz_cut(&lines, '\n'), name = {value.data, 0};
        const char *colon = value.len > 1 ? memchr(value.data + 1, ':', value.len - 1) : NULL; // ":path:/x"

        name.len = colon ? (size_t)(colon - value.data) : value.len;
        value = colon ? (struct ch_str){colon + 1, value.len - name.len - 1} : CH_STR("");
        fields[count++] =
            (nghttp2_nv){(uint8_t *)(uintptr_t)name.data, (uint8_t *)(uintptr_t)value.data, name.len, value.len, 0};
    }
    const ssize_t len = nghttp2_hd_deflate_hd(packer, packed, sizeof(packed), fields, count);
    if (len >= 0)
        put_frame(out, NGHTTP2_HEADERS, flags | NGHTTP2_FLAG_END_HEADERS, stream, packed, (size_t)len);
}

static void put_records(struct ch_buf *out, struct ch_str rest)
{
    nghttp2_hd_deflater *packer;

    MUST(nghttp2_hd_deflate_new(&packer, 4096) == 0);
    while (rest.len >= RECORD_HEAD) {
        const uint8_t *head = (const uint8_t *)rest.data;
        size_t len = (size_t)head[3] << 8 | head[4];

        rest = (struct ch_str){rest.data + RECORD_HEAD, rest.len - RECORD_HEAD};
        len = len < rest.len ? len : rest.len;
        const struct ch_str bytes = {rest.data, len};
        rest = (struct ch_str){rest.data + len, rest.len - len};
        if (head[0] == 'H')
            put_fields(out, packer, head[1], head[2], bytes);
        else if (head[0] == 'R')
            ch_buf_append_str(out, bytes);
        else
            put_frame(out, head[0], head[2], head[1], bytes.data, bytes.len);
    }
    nghttp2_hd_deflate_del(packer);
}

static void talk(struct fuzz_client *client)
{
    const struct ch_str *records = client->arg;
    struct ch_buf bytes;

    ch_buf_init(&bytes, 4 * 1024 * 1024);
    ch_buf_append_cstr(&bytes, PREFACE);
    put_frame(&bytes, NGHTTP2_SETTINGS, 0, 0, "", 0);
    put_records(&bytes, *records);
    (void)fuzz_send(client, bytes.data, bytes.len, 4096); // false: it has had enough
    for (int i = 0; i < 6; i++) {                         // fibers run, replies leave
        ch_fiber_yield();
        (void)fuzz_take(client);
    }
    ch_buf_release(&bytes);
}

// ---- what came back ----

static void check_fields(nghttp2_hd_inflater *unpacker, const uint8_t *at, size_t len, bool is_last)
{
    for (;;) {
        nghttp2_nv field;
        int flags = 0;
        const ssize_t used = nghttp2_hd_inflate_hd2(unpacker, &field, &flags, at, len, is_last);

        MUST(used >= 0);
        at += used;
        len -= (size_t)used;
        if (flags & NGHTTP2_HD_INFLATE_EMIT)
            for (size_t i = 0; i < field.valuelen; i++)
                MUST(field.value[i] >= 0x20 && field.value[i] != 0x7f);
        if (flags & NGHTTP2_HD_INFLATE_FINAL) {
            MUST(nghttp2_hd_inflate_end_headers(unpacker) == 0);
            return;
        }
        if (used == 0 && !(flags & NGHTTP2_HD_INFLATE_EMIT)) {
            MUST(!is_last && len == 0);
            return;
        }
    }
}

static void check_frames(struct ch_str got)
{
    nghttp2_hd_inflater *unpacker;
    const uint8_t *at = (const uint8_t *)got.data, *end = at + got.len;

    MUST(nghttp2_hd_inflate_new(&unpacker) == 0);
    while (end - at >= FRAME_HEAD) {
        const size_t len = (size_t)at[0] << 16 | (size_t)at[1] << 8 | at[2];
        const uint8_t type = at[3], flags = at[4];

        if (len > (size_t)(end - at - FRAME_HEAD)) // cut by the end of the conversation
            break;
        MUST(len <= PAYLOAD_MAX && type <= NGHTTP2_CONTINUATION && type != NGHTTP2_PUSH_PROMISE &&
             type != NGHTTP2_PRIORITY);
        if (type == NGHTTP2_HEADERS || type == NGHTTP2_CONTINUATION)
            check_fields(unpacker, at + FRAME_HEAD, len, flags & NGHTTP2_FLAG_END_HEADERS);
        at += FRAME_HEAD + len;
    }
    nghttp2_hd_inflate_del(unpacker);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    const struct ch_str records = {(const char *)data, len};
    struct fuzz_client client = {.talk = talk, .arg = &records};

    if (!server)
        server_start();
    if (len > 64 * 1024)
        return 0;
    fuzz_converse(&client, server_open);
    check_frames(ch_buf_str(&client.got));
    MUST(started == ended);
    MUST(server->connection_count == 0 && ch_grpc_server_streams(server) == 0 && server->buffered == 0);
    MUST(ch_loop_fibers(fuzz_loop) == 0);
    ch_buf_release(&client.got);
    return 0;
}
