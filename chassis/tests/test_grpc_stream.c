// SPDX-License-Identifier: Apache-2.0
// What the gRPC server streams: a method's messages to a slow reader, and the services that every server has, health
// and reflection.
#include "grpc/health/v1/health.pb-c.h"
#include "grpc/reflection/v1/reflection.pb-c.h"
#include "test_grpc_raw.h"

// ---- streams ----

static int read_events(const struct raw_stream *s)
{
    Delivery__V1__WatchDeliveryResponse *event;
    size_t at = 0;
    int count = 0;

    while ((event = (Delivery__V1__WatchDeliveryResponse *)raw_next(
                s, &delivery__v1__watch_delivery_response__descriptor, &at))) {
        assert_int_equal(event->event->sequence, ++count);
        protobuf_c_message_free_unpacked(&event->base, NULL);
    }
    return count;
}

// The reader opens its windows by small steps: the handler must park, nothing may be lost, and other calls go on
// meanwhile.
static void test_stream__waits_for_a_slow_reader(void **state)
{
    struct raw *raw = raw_open(false);
    struct raw_stream *s = raw_send(raw, WATCH, NULL, raw_watch("x", 10000), false), *other;

    (void)state;
    while (s->reply.len < 65535) // the whole first window
        assert_true(raw_turn(raw));
    assert_int_equal(fx.ended, 0);
    assert_int_equal(nghttp2_session_consume_connection(raw->session, 65535), 0);
    other = raw_send(raw, GET_SKUS, NULL, raw_get_skus("a"), false);
    raw_wait(raw, other);
    assert_int_equal(other->grpc_status, 0);
    assert_int_equal(fx.ended, 1);
    assert_int_equal(nghttp2_session_consume_stream(raw->session, s->id, 65535), 0);
    for (size_t seen = s->reply.len; !s->is_closed && raw_turn(raw); seen = s->reply.len)
        assert_int_equal(nghttp2_session_consume(raw->session, s->id, s->reply.len - seen), 0);
    assert_int_equal(s->grpc_status, 0);
    assert_int_equal(read_events(s), 10000);
    raw_close(raw);
}

static void test_stream__may_be_empty(void **state)
{
    struct raw *raw = raw_open(true);
    struct raw_stream *s = raw_send(raw, WATCH, NULL, raw_watch("x", 0), false);

    (void)state;
    raw_wait(raw, s);
    assert_int_equal(s->grpc_status, 0);
    assert_int_equal(s->reply.len, 0);
    raw_close(raw);
}

static void test_stream__deadline_ends_it_after_its_messages(void **state)
{
    static const struct raw_header headers[] = {{"grpc-timeout", "100m"}, {0}};
    struct raw *raw = raw_open(true);
    struct raw_stream *s = raw_send(raw, WATCH, headers, raw_watch("wait", 3), false);

    (void)state;
    raw_wait(raw, s);
    assert_int_equal(s->grpc_status, CH_GRPC_DEADLINE_EXCEEDED);
    assert_int_equal(read_events(s), 3);
    raw_close(raw);
}

// ---- health, reflection ----

static struct ch_str pack_check(const char *service)
{
    Grpc__Health__V1__HealthCheckRequest request = GRPC__HEALTH__V1__HEALTH_CHECK_REQUEST__INIT;

    request.service = (char *)service;
    return raw_pack(&request.base);
}

static int status_of(const struct raw_stream *s, size_t *at)
{
    Grpc__Health__V1__HealthCheckResponse *reply =
        (Grpc__Health__V1__HealthCheckResponse *)raw_next(s, &grpc__health__v1__health_check_response__descriptor, at);
    int status = reply ? (int)reply->status : -1;

    if (reply)
        protobuf_c_message_free_unpacked(&reply->base, NULL);
    return status;
}

static void set_serving(void *arg)
{
    ch_grpc_server_set_serving(fx.server, *(bool *)arg);
}

static void test_health__checks(void **state)
{
    static const struct {
        const char *service;
        int grpc, status;
    } cases[] = {{"", 0, 1},
                 {"catalog.v1.CatalogService", 0, 1},
                 {"grpc.health.v1.Health", 0, 1},
                 {"catalog.v1", CH_GRPC_NOT_FOUND, -1},
                 {"no.Such", CH_GRPC_NOT_FOUND, -1}};
    struct raw *raw = raw_open(true);

    (void)state;
    FOR_EACH(it, cases)
    {
        struct raw_stream *s = raw_send(raw, "/grpc.health.v1.Health/Check", NULL, pack_check(it->service), false);
        size_t at = 0;

        raw_wait(raw, s);
        CHECK(it->service, s->grpc_status == it->grpc);
        CHECK(it->service, status_of(s, &at) == it->status);
    }
    assert_int_equal(fx.before, 0);
    raw_close(raw);
}

static void test_health__watch_tells_each_change(void **state)
{
    struct raw *raw = raw_open(true);
    struct raw_stream *s = raw_send(raw, "/grpc.health.v1.Health/Watch", NULL, pack_check(""), false);
    struct raw_stream *unknown = raw_send(raw, "/grpc.health.v1.Health/Watch", NULL, pack_check("no.Such"), false);
    static const int want[] = {1, 2, 1};
    size_t at = 0, unknown_at = 0;

    (void)state;
    for (int i = 0; i < 3; i++) {
        int status;

        while ((status = status_of(s, &at)) < 0)
            assert_true(raw_turn(raw));
        assert_int_equal(status, want[i]);
        fx_on_loop(set_serving, &(bool){i == 1});
    }
    assert_int_equal(status_of(unknown, &unknown_at), 3);
    raw_close(raw);
    fx_wait_idle();
}

static struct ch_str pack_question(int kind, const char *text)
{
    Grpc__Reflection__V1__ServerReflectionRequest request = GRPC__REFLECTION__V1__SERVER_REFLECTION_REQUEST__INIT;

    request.message_request_case = (Grpc__Reflection__V1__ServerReflectionRequest__MessageRequestCase)kind;
    request.list_services = (char *)text; // all strings of the oneof lie in the same place
    return raw_pack(&request.base);
}

static Grpc__Reflection__V1__ServerReflectionResponse *ask(struct raw *raw, struct raw_stream *s, size_t *at, int kind,
                                                           const char *text)
{
    Grpc__Reflection__V1__ServerReflectionResponse *reply;

    s->request = pack_question(kind, text);
    s->request_at = 0;
    (void)nghttp2_session_resume_data(raw->session, s->id);
    while (!(reply = (Grpc__Reflection__V1__ServerReflectionResponse *)raw_next(
                 s, &grpc__reflection__v1__server_reflection_response__descriptor, at)))
        assert_true(raw_turn(raw));
    assert_int_equal(reply->original_request->message_request_case, kind);
    return reply;
}

static void test_reflection__answers_in_order(void **state)
{
    static const char *const paths[] = {"/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
                                        "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo"};
    static const struct {
        int kind;
        const char *text;
        int answer; // 4 files, 5 numbers, 6 services, 7 error
    } cases[] = {
        {7, "", 6},
        {4, "catalog.v1.CatalogService", 4},
        {4, "catalog.v1.CatalogService.Reserve", 4},
        {4, "grpc.health.v1.HealthCheckResponse.ServingStatus", 4},
        {3, "delivery/v1/delivery.proto", 4},
        {3, "no/such.proto", 7},
        {4, "no.Such", 7},
        {6, "catalog.v1.SkuSnapshot", 5},
        {6, "no.Such", 7},
    };
    struct raw *raw = raw_open(true);

    (void)state;
    FOR_EACH(path, paths)
    {
        struct raw_stream *s = raw_send(raw, *path, NULL, (struct ch_str){0}, true);
        size_t at = 0;

        FOR_EACH(it, cases)
        {
            Grpc__Reflection__V1__ServerReflectionResponse *reply = ask(raw, s, &at, it->kind, it->text);

            CHECK(it->text, (int)reply->message_response_case == it->answer);
            if (it->answer == 6)
                assert_int_equal(reply->list_services_response->n_service, 5);
            if (it->answer == 4)
                assert_true(reply->file_descriptor_response->file_descriptor_proto[0].len > 100);
            protobuf_c_message_free_unpacked(&reply->base, NULL);
        }
        s->is_open = false;
        (void)nghttp2_session_resume_data(raw->session, s->id);
        raw_wait(raw, s);
        assert_int_equal(s->grpc_status, 0);
    }
    raw_close(raw);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        SERVER_TEST(test_stream__waits_for_a_slow_reader),
        SERVER_TEST(test_stream__may_be_empty),
        SERVER_TEST(test_stream__deadline_ends_it_after_its_messages),
        SERVER_TEST(test_health__checks),
        SERVER_TEST(test_health__watch_tells_each_change),
        SERVER_TEST(test_reflection__answers_in_order),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
