// SPDX-License-Identifier: Apache-2.0
// Small encodings of gRPC, messages from outside, and the status of a failure.
#include "../src/io/grpc_wire.h"
#include "cases.h"
#include "catalog/v1/catalog.pb-c.h"
#include "ch/resolve.h"

#include <stdlib.h>

static struct ch_ctx ctx;

static int setup(void **state)
{
    (void)state;
    memset(&ctx, 0, sizeof(ctx));
    ctx.arena = ch_arena_new(1024 * 1024);
    ch_faults_init(&ctx.faults, ctx.arena);
    return ctx.arena ? 0 : -1;
}

static int teardown(void **state)
{
    (void)state;
    ch_arena_free(ctx.arena);
    return 0;
}

static void test_timeout__reads_digits_and_a_unit(void **state)
{
    static const struct {
        const char *text;
        bool is_ok;
        int64_t ns;
    } cases[] = {
        {"1n", true, 1},
        {"99999999u", true, 99999999000},
        {"250m", true, 250000000},
        {"2S", true, 2000000000},
        {"3M", true, 180000000000},
        {"99999999H", true, 3600000000000}, // capped
        {"0m", true, 0},
        {"", false, 0},
        {"m", false, 0},
        {"5", false, 0},
        {"5x", false, 0},
        {"-5m", false, 0},
        {"5 m", false, 0},
        {"123456789m", false, 0},
    };

    (void)state;
    FOR_EACH(it, cases)
    {
        int64_t ns = 0;

        CHECK(it->text, grpc_timeout_parse(ch_str_of(it->text), &ns) == it->is_ok);
        CHECK(it->text, ns == it->ns);
    }
}

static void test_timeout__is_written_with_at_most_eight_digits(void **state)
{
    static const struct {
        int64_t ns;
        const char *want;
    } cases[] = {
        {1, "1u"},  {1500000, "1500u"}, {99999999000, "99999999u"}, {100000000000, "100000m"}, {INT64_MAX, "3600000m"},
        {-5, "1u"},
    };

    (void)state;
    FOR_EACH(it, cases)
    {
        char text[GRPC_TIMEOUT_TEXT];

        assert_int_equal(grpc_timeout_format(it->ns, text), strlen(it->want));
        CHECK_TEXT(it->want, text, it->want);
    }
}

static void test_percent__comes_back(void **state)
{
    static const struct {
        const char *plain, *encoded;
    } cases[] = {
        {"plain text", "plain text"},
        {"100%", "100%25"},
        {"사과\n", "%EC%82%AC%EA%B3%BC%0A"},
        {"", ""},
    };

    (void)state;
    FOR_EACH(it, cases)
    {
        struct ch_buf out;

        ch_buf_init(&out, 100);
        grpc_percent_encode(&out, ch_str_of(it->plain));
        CHECK(it->plain, ch_str_is(ch_buf_str(&out), it->encoded));
        CHECK(it->plain, ch_str_is(grpc_percent_decode(ctx.arena, ch_buf_str(&out)), it->plain));
        ch_buf_release(&out);
    }
    assert_true(ch_str_is(grpc_percent_decode(ctx.arena, CH_STR("%zz %4")), "%zz %4")); // malformed: as it is
}

static void test_base64__has_no_padding(void **state)
{
    static const struct {
        const char *plain, *encoded;
    } cases[] = {{"", ""}, {"f", "Zg"}, {"fo", "Zm8"}, {"foo", "Zm9v"}, {"foob", "Zm9vYg"}, {"\xff\xfe\xfd", "//79"}};

    (void)state;
    FOR_EACH(it, cases)
    {
        struct ch_buf out;

        ch_buf_init(&out, 100);
        grpc_base64(&out, it->plain, strlen(it->plain));
        CHECK(it->encoded, ch_str_is(ch_buf_str(&out), it->encoded));
        ch_buf_release(&out);
    }
}

static void test_content_type__is_grpc_or_a_kind_of_it(void **state)
{
    (void)state;
    assert_true(grpc_is_content_type(CH_STR("application/grpc")));
    assert_true(grpc_is_content_type(CH_STR("application/grpc+proto")));
    assert_true(grpc_is_content_type(CH_STR("Application/gRPC;charset=x")));
    assert_false(grpc_is_content_type(CH_STR("application/grpc-web")));
    assert_false(grpc_is_content_type(CH_STR("application/json")));
    assert_false(grpc_is_content_type((struct ch_str){0}));
}

// ReserveRequest { orders = 1: { order_id = 1, buyer_id = 2, lines = 3: { sku_id = 1, quantity = 2 } } }
static void test_unpack__names_the_faulty_field(void **state)
{
    static const struct {
        const char *name;
        const char *bytes;
        size_t len;
        enum ch_err want;
        const char *pointer; // of the first fault
    } cases[] = {
        {"empty", "", 0, CH_OK, NULL},
        {"good", "\x0a\x0a\x0a\x01o\x1a\x05\x0a\x03sku", 12, CH_OK, NULL},
        {"unknown field", "\x0a\x05\x0a\x01o\x78\x01", 7, CH_OK, NULL},
        {"bad UTF-8 below the second order", "\x0a\x00\x0a\x0a\x1a\x00\x1a\x06\x10\x01\x0a\x02\xc3\x28", 14,
         CH_ERR_INVALID, "/orders/1/lines/1/sku_id"},
        {"NUL",
         "\x0a\x05\x12\x03"
         "a\0b",
         7, CH_ERR_INVALID, "/orders/0/buyer_id"},
        {"surrogate", "\x0a\x05\x12\x03\xed\xa0\x80", 7, CH_ERR_INVALID, "/orders/0/buyer_id"},
        {"cut", "\x0a\x05\x0a", 3, CH_ERR_BAD_SYNTAX, NULL},
        {"cut inside", "\x0a\x02\x0a\x05", 4, CH_ERR_BAD_SYNTAX, NULL},
        {"length past 64 bits", "\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", 12, CH_ERR_BAD_SYNTAX, NULL},
        {"field 0", "\x02\x00", 2, CH_ERR_BAD_SYNTAX, NULL},
        {"group", "\x0b\x0c", 2, CH_ERR_BAD_SYNTAX, NULL},
        {"string as a number", "\x0a\x02\x08\x05", 4, CH_ERR_BAD_SYNTAX, NULL},
    };

    FOR_EACH(it, cases)
    {
        ProtobufCMessage *message = NULL;
        enum ch_err err;

        assert_int_equal(teardown(state) + setup(state), 0);
        err =
            grpc_unpack(&ctx, &catalog__v1__reserve_request__descriptor, (const uint8_t *)it->bytes, it->len, &message);
        CHECK(it->name, err == it->want);
        CHECK(it->name, (message != NULL) == (it->want == CH_OK));
        CHECK(it->name, (ctx.faults.first != NULL) == (it->pointer != NULL));
        if (it->pointer)
            CHECK_TEXT(it->name, ctx.faults.first->pointer, it->pointer);
    }
}

static void test_unpack__stops_at_the_arenas_limit(void **state)
{
    enum { LEN = 200000 };
    uint8_t *bytes = calloc(1, LEN);
    ProtobufCMessage *message = NULL;

    (void)state;
    for (int i = 0; i < LEN; i += 2) // 100,000 empty orders: 2 bytes each, some 100 in memory
        bytes[i] = 0x0a;
    assert_int_equal(grpc_unpack(&ctx, &catalog__v1__reserve_request__descriptor, bytes, LEN, &message),
                     CH_ERR_TOO_LARGE);
    free(bytes);
}

static struct ch_str value_of(const nghttp2_nv *trailers, size_t count, const char *name)
{
    for (size_t i = 0; i < count; i++)
        if (strcmp((const char *)trailers[i].name, name) == 0)
            return (struct ch_str){(const char *)trailers[i].value, trailers[i].valuelen};
    return (struct ch_str){0};
}

static void test_status__every_row_comes_back_as_itself(void **state)
{
    for (int err = 1; err < CH_ERR_COUNT; err++) {
        nghttp2_nv trailers[GRPC_TRAILERS_MAX];
        struct grpc_status status = {0};
        size_t count;

        assert_int_equal(teardown(state) + setup(state), 0);
        ctx.detail = "왜 그런지";
        count = grpc_trailers(&ctx, (enum ch_err)err, trailers);
        status.status = atoi(value_of(trailers, count, "grpc-status").data);
        status.message = value_of(trailers, count, "grpc-message");
        status.ours = grpc_code_to_err(value_of(trailers, count, "gwasuwon-code"));
        ctx.detail = NULL;
        CHECK(ch_err_row((enum ch_err)err)->id, grpc_status_err(&ctx, &status) == (enum ch_err)err);
        CHECK_TEXT(ch_err_row((enum ch_err)err)->id, ctx.detail, "왜 그런지");
    }
}

static void test_status__of_a_stranger_is_the_general_row(void **state)
{
    struct grpc_status strange = {.status = CH_GRPC_NOT_FOUND, .message = CH_STR("x")};
    struct grpc_status contradictory = {.status = CH_GRPC_NOT_FOUND, .ours = CH_ERR_STOCK_SHORT};

    (void)state;
    assert_int_equal(grpc_status_err(&ctx, &strange), CH_ERR_NOT_FOUND);
    assert_null(ctx.detail);
    assert_int_equal(grpc_status_err(&ctx, &contradictory), CH_ERR_NOT_FOUND);
}

static void test_status__stays_below_the_usual_limit(void **state)
{
    nghttp2_nv trailers[GRPC_TRAILERS_MAX];
    char *detail = ch_arena_alloc(ctx.arena, 6001);
    size_t count, total = 0;

    (void)state;
    for (int i = 0; i < 6000; i += 3)
        memcpy(detail + i, "과", 3);
    ctx.detail = detail;
    for (int i = 0; i < CH_FAULTS_MAX; i++)
        ch_faults_add(&ctx.faults, detail + 5000, "range", "%.900s", detail);
    count = grpc_trailers(&ctx, CH_ERR_INVALID, trailers);
    for (size_t i = 0; i < count; i++)
        total += trailers[i].namelen + trailers[i].valuelen + 32;
    assert_int_equal(count, 4);
    assert_true(total < 8192);
}

static void test_address__splits_host_and_port(void **state)
{
    static const struct {
        const char *text;
        enum ch_err want;
        const char *host;
        int port;
    } cases[] = {
        {"localhost:50051", CH_OK, "localhost", 50051},
        {"[::1]:8080", CH_OK, "::1", 8080},
        {"10.0.0.1:1", CH_OK, "10.0.0.1", 1},
        {"localhost", CH_ERR_INVALID, "", 0},
        {":80", CH_ERR_INVALID, "", 0},
        {"host:0", CH_ERR_INVALID, "", 0},
        {"host:65536", CH_ERR_INVALID, "", 0},
        {"host:x", CH_ERR_INVALID, "", 0},
        {"", CH_ERR_INVALID, "", 0},
    };

    (void)state;
    FOR_EACH(it, cases)
    {
        char host[256] = "";
        int port = 0;

        CHECK(it->text, ch_address_split(ch_str_of(it->text), host, &port) == it->want);
        CHECK_TEXT(it->text, host, it->host);
        CHECK(it->text, port == it->port);
    }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    static const struct CMUnitTest tests[] = {
        TEST(test_timeout__reads_digits_and_a_unit),
        TEST(test_timeout__is_written_with_at_most_eight_digits),
        TEST(test_percent__comes_back),
        TEST(test_base64__has_no_padding),
        TEST(test_content_type__is_grpc_or_a_kind_of_it),
        TEST(test_unpack__names_the_faulty_field),
        TEST(test_unpack__stops_at_the_arenas_limit),
        TEST(test_status__every_row_comes_back_as_itself),
        TEST(test_status__of_a_stranger_is_the_general_row),
        TEST(test_status__stays_below_the_usual_limit),
        TEST(test_address__splits_host_and_port),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
