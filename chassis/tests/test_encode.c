// SPDX-License-Identifier: Apache-2.0
// base64url (RFC 4648 10, without padding), hexadecimal, SHA-256 (FIPS 180-4 examples) and random bytes.
#include "cases.h"
#include "ch/base.h"

static void test_encode__base64url_both_ways(void **state)
{
    static const struct {
        const char *plain, *coded;
    } cases[] = {
        {"", ""},           {"f", "Zg"},          {"fo", "Zm8"},          {"foo", "Zm9v"},
        {"foob", "Zm9vYg"}, {"fooba", "Zm9vYmE"}, {"foobar", "Zm9vYmFy"}, {"\xFB\xEF\xFF", "--__"},
    };

    (void)state;
    FOR_EACH(c, cases)
    {
        struct ch_buf buf;

        ch_buf_init(&buf, strlen(c->coded)); // no byte too many is asked for
        ch_base64url_encode(&buf, c->plain, strlen(c->plain));
        CHECK(c->coded, !buf.is_full && ch_str_is(ch_buf_str(&buf), c->coded));
        ch_buf_release(&buf);
        ch_buf_init(&buf, strlen(c->plain));
        CHECK(c->coded, ch_base64url_decode(ch_str_of(c->coded), &buf) == CH_OK);
        CHECK(c->coded, ch_str_is(ch_buf_str(&buf), c->plain));
        ch_buf_release(&buf);
    }
}

static void test_encode__base64url_survives_all_lengths(void **state)
{
    uint8_t bytes[100];

    (void)state;
    ch_random(bytes, sizeof(bytes));
    for (size_t len = 0; len <= sizeof(bytes); len++) {
        struct ch_buf coded, back;

        ch_buf_init(&coded, 1000);
        ch_buf_init(&back, 1000);
        ch_base64url_encode(&coded, bytes, len);
        assert_int_equal(ch_base64url_decode(ch_buf_str(&coded), &back), CH_OK);
        assert_int_equal(back.len, len);
        if (len > 0)
            assert_memory_equal(back.data, bytes, len);
        ch_buf_release(&coded);
        ch_buf_release(&back);
    }
}

static void test_encode__base64url_refuses(void **state)
{
    static const struct {
        const char *name, *text;
    } cases[] = {
        {"padding", "Zg=="},
        {"standard alphabet", "+/+/"},
        {"one character", "Z"},
        {"five characters", "Zm9vY"},
        {"space", "Zm 9"},
        {"line end", "Zm9v\n"},
        {"stray bits of four", "Zh"},
        {"stray bits of two", "Zm9"},
        {"not ASCII", "Zm9\xFF"},
    };

    (void)state;
    FOR_EACH(c, cases)
    {
        struct ch_buf buf;

        ch_buf_init(&buf, 100);
        ch_buf_append_cstr(&buf, "kept");
        CHECK(c->name, ch_base64url_decode(ch_str_of(c->text), &buf) == CH_ERR_BAD_SYNTAX);
        CHECK(c->name, ch_str_is(ch_buf_str(&buf), "kept") && !buf.is_full);
        ch_buf_release(&buf);
    }
}

static void test_encode__base64url_keeps_to_the_maximum(void **state)
{
    struct ch_buf buf;

    (void)state;
    ch_buf_init(&buf, 3);
    ch_base64url_encode(&buf, "foo", 3);
    assert_true(buf.is_full);
    assert_int_equal(buf.len, 0);
    ch_buf_reset(&buf);
    assert_int_equal(ch_base64url_decode(CH_STR("Zm9vYg"), &buf), CH_ERR_LIMIT);
    ch_buf_release(&buf);
}

static void test_encode__sha256_knows_the_examples(void **state)
{
    static const struct {
        const char *plain, *want;
    } cases[] = {
        {"", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"},
        {"abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"},
        {"abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
         "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1"},
    };

    (void)state;
    FOR_EACH(c, cases)
    {
        uint8_t digest[32];
        char text[65];

        ch_sha256(c->plain, strlen(c->plain), digest);
        ch_hex_encode(digest, sizeof(digest), text);
        CHECK_TEXT(c->plain, text, c->want);
    }
}

static void test_encode__random_differs(void **state)
{
    uint8_t a[32] = {0}, b[32] = {0};

    (void)state;
    ch_random(a, sizeof(a));
    ch_random(b, sizeof(b));
    ch_random(NULL, 0);
    assert_memory_not_equal(a, b, sizeof(a));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_encode__base64url_both_ways),
        cmocka_unit_test(test_encode__base64url_survives_all_lengths),
        cmocka_unit_test(test_encode__base64url_refuses),
        cmocka_unit_test(test_encode__base64url_keeps_to_the_maximum),
        cmocka_unit_test(test_encode__sha256_knows_the_examples),
        cmocka_unit_test(test_encode__random_differs),
    };

    return cmocka_run_group_tests_name("encode", tests, NULL, NULL);
}
