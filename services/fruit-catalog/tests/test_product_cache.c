// SPDX-License-Identifier: Apache-2.0
// The cache of product pages: what was dropped never comes back, not even by a reading that began before.
#include "cases.h"
#include "product_cache.h"

enum { ENTRIES = 64 };

static int start(void **state)
{
    (void)state;
    return product_cache_start(ENTRIES) == CH_OK ? 0 : -1;
}

static bool is_cached(struct ch_uuid id, const char *want)
{
    char etag[PRODUCT_ETAG_TEXT];
    struct product_ticket ticket;
    struct ch_buf body;

    ch_buf_init(&body, PRODUCT_CACHE_BODY_MAX);
    const bool is_hit = product_cache_get(id, &body, etag, &ticket);
    const bool is_same = is_hit && ch_str_is(ch_buf_str(&body), want) && strcmp(etag, want) == 0;
    ch_buf_release(&body);
    if (is_hit)
        assert_true(is_same);
    return is_hit;
}

static struct product_ticket miss(struct ch_uuid id)
{
    char etag[PRODUCT_ETAG_TEXT];
    struct product_ticket ticket;
    struct ch_buf body;

    ch_buf_init(&body, PRODUCT_CACHE_BODY_MAX);
    assert_false(product_cache_get(id, &body, etag, &ticket));
    ch_buf_release(&body);
    return ticket;
}

static void put(struct ch_uuid id, struct product_ticket ticket, const char *text)
{
    product_cache_put(id, ticket, ch_str_of(text), text);
}

static void test_cache__keeps_what_was_read(void **state)
{
    const struct ch_uuid id = ch_uuid_new();

    (void)state;
    put(id, miss(id), "1-a");
    assert_true(is_cached(id, "1-a"));
}

static void test_cache__a_drop_is_exact(void **state)
{
    const struct ch_uuid id = ch_uuid_new();

    (void)state;
    put(id, miss(id), "1-a");
    product_cache_drop(id);
    (void)miss(id);
}

static void test_cache__a_reading_from_before_the_drop_is_not_kept(void **state)
{
    const struct ch_uuid id = ch_uuid_new();
    const struct product_ticket before = miss(id);

    (void)state;
    product_cache_drop(id); // the writer's commit lies between the reading and its put
    put(id, before, "1-old");
    put(id, miss(id), "2-new");
    assert_true(is_cached(id, "2-new"));
}

static void test_cache__drop_all_drops_every_page(void **state)
{
    const struct ch_uuid a = ch_uuid_new(), b = ch_uuid_new();

    (void)state;
    const struct product_ticket before = miss(b); // a read that began before all pages were dropped
    put(a, miss(a), "1-a");
    put(b, miss(b), "1-b");
    product_cache_drop_all();
    put(b, before, "1-b");
    (void)miss(a);
    (void)miss(b);
}

static void test_cache__a_page_grows_old(void **state)
{
    const struct ch_uuid id = ch_uuid_new();
    struct product_ticket ticket = miss(id);

    (void)state;
    ticket.started_ns -= 1100000000; // as if read so long ago
    put(id, ticket, "1-a");
    (void)miss(id);
}

static void test_cache__is_bounded(void **state)
{
    static char large[PRODUCT_CACHE_BODY_MAX + 2];
    static struct ch_uuid ids[ENTRIES * 8];
    const struct ch_uuid id = ch_uuid_new();
    size_t kept = 0;

    (void)state;
    memset(large, 'x', sizeof(large) - 1);
    product_cache_put(id, miss(id), ch_str_of(large), "1-a");
    (void)miss(id);

    for (size_t i = 0; i < COUNT_OF(ids); i++) {
        ids[i] = ch_uuid_new();
        put(ids[i], miss(ids[i]), "1-a");
        assert_true(is_cached(ids[i], "1-a"));
    }
    for (size_t i = 0; i < COUNT_OF(ids); i++)
        kept += is_cached(ids[i], "1-a");
    assert_in_range(kept, ENTRIES / 2, ENTRIES);
    product_cache_drop_all();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cache__keeps_what_was_read),
        cmocka_unit_test(test_cache__a_drop_is_exact),
        cmocka_unit_test(test_cache__a_reading_from_before_the_drop_is_not_kept),
        cmocka_unit_test(test_cache__drop_all_drops_every_page),
        cmocka_unit_test(test_cache__a_page_grows_old),
        cmocka_unit_test(test_cache__is_bounded),
    };
    return cmocka_run_group_tests(tests, start, NULL);
}
