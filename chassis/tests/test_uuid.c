// SPDX-License-Identifier: Apache-2.0
// UUIDs: the text form, and that the ids of one thread rise, carry the time and never repeat between threads.
#include "cases.h"
#include "ch/base.h"

#include <pthread.h>
#include <stdlib.h>

static void test_uuid__parses(void **state)
{
    static const struct {
        const char *name, *text;
        enum ch_err want;
    } cases[] = {
        {"lower case", "018f0000-0000-7000-8000-0000000000b1", CH_OK},
        {"upper case", "018F0000-0000-7000-8000-0000000000B1", CH_OK},
        {"nil", "00000000-0000-0000-0000-000000000000", CH_OK},
        {"empty", "", CH_ERR_INVALID},
        {"no hyphens", "018f00000000700080000000000000b1", CH_ERR_INVALID},
        {"short", "018f0000-0000-7000-8000-0000000000b", CH_ERR_INVALID},
        {"long", "018f0000-0000-7000-8000-0000000000b11", CH_ERR_INVALID},
        {"hyphen moved", "018f000-00000-7000-8000-0000000000b1", CH_ERR_INVALID},
        {"hyphen is a digit", "018f000000000-7000-8000-0000000000b1", CH_ERR_INVALID},
        {"g", "018g0000-0000-7000-8000-0000000000b1", CH_ERR_INVALID},
        {"slash is below 0", "018f0000-0000-7000-8000-0000000000/1", CH_ERR_INVALID},
        {"braces", "{18f0000-0000-7000-8000-0000000000b}", CH_ERR_INVALID},
        {"space", " 18f0000-0000-7000-8000-0000000000b1", CH_ERR_INVALID},
        {"not ASCII",
         "\xC1\x91"
         "8f0000-0000-7000-8000-0000000000b1",
         CH_ERR_INVALID},
    };

    (void)state;
    FOR_EACH(c, cases)
    {
        struct ch_uuid uuid = {{0xAA}};

        CHECK(c->name, ch_uuid_parse(ch_str_of(c->text), &uuid) == c->want);
        if (c->want)
            CHECK(c->name, uuid.bytes[0] == 0xAA);
    }
}

static void test_uuid__formats_what_it_parsed(void **state)
{
    struct ch_uuid uuid;
    char text[CH_UUID_TEXT];

    (void)state;
    assert_int_equal(ch_uuid_parse(CH_STR("018F0123-4567-7ABC-89dE-fEdCbA987654"), &uuid), CH_OK);
    ch_uuid_format(uuid, text);
    assert_string_equal(text, "018f0123-4567-7abc-89de-fedcba987654");
    assert_false(ch_uuid_is_nil(uuid));
    assert_true(ch_uuid_is_nil((struct ch_uuid){{0}}));
}

static int64_t unix_ms_of(struct ch_uuid uuid)
{
    int64_t ms = 0;

    for (int i = 0; i < 6; i++)
        ms = ms << 8 | uuid.bytes[i];
    return ms;
}

static void test_uuid__carries_version_and_time(void **state)
{
    int64_t before_ms = ch_wall_us() / 1000;
    struct ch_uuid uuid = ch_uuid_new();
    int64_t after_ms = ch_wall_us() / 1000;

    (void)state;
    assert_int_equal(uuid.bytes[6] >> 4, 7);
    assert_int_equal(uuid.bytes[8] >> 6, 2);
    assert_true(unix_ms_of(uuid) >= before_ms && unix_ms_of(uuid) <= after_ms);
}

#define PER_THREAD 30000

static void *make_ids(void *arg)
{
    struct ch_uuid *ids = arg;

    for (int i = 0; i < PER_THREAD; i++)
        ids[i] = ch_uuid_new();
    return NULL;
}

static int compare_ids(const void *a, const void *b)
{
    return memcmp(a, b, sizeof(struct ch_uuid));
}

static void test_uuid__rises_in_a_thread_and_never_repeats(void **state)
{
    struct ch_uuid *ids = calloc(3 * PER_THREAD, sizeof(*ids));
    pthread_t threads[3];

    (void)state;
    for (int i = 0; i < 3; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, make_ids, ids + i * PER_THREAD), 0);
    for (int i = 0; i < 3; i++)
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    for (int i = 1; i < 3 * PER_THREAD; i++)
        if (i % PER_THREAD != 0)
            assert_true(compare_ids(&ids[i - 1], &ids[i]) < 0);
    qsort(ids, 3 * PER_THREAD, sizeof(*ids), compare_ids);
    for (int i = 1; i < 3 * PER_THREAD; i++)
        assert_false(ch_uuid_eq(ids[i - 1], ids[i]));
    free(ids);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_uuid__parses),
        cmocka_unit_test(test_uuid__formats_what_it_parsed),
        cmocka_unit_test(test_uuid__carries_version_and_time),
        cmocka_unit_test(test_uuid__rises_in_a_thread_and_never_repeats),
    };

    return cmocka_run_group_tests_name("uuid", tests, NULL, NULL);
}
