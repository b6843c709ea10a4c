// SPDX-License-Identifier: Apache-2.0
// Sealed values open for their owner and purpose only, survive a change of keys, and a bad file of keys changes
// nothing. One more case measures what sealing costs.
#include "cases.h"
#include "ch/seal.h"

#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#define KEY1 "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8"
#define KEY2 "HwECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8"
#define TEXT                                                                                                           \
    "{\"recipient\":{\"name\":\"홍길동\",\"phone\":\"010-1234-5678\",\"postcode\":\"06236\"},\"giftMessage\":\"\"}"

static const struct ch_uuid owner = {{1}}, other = {{2}};

static enum ch_err read_keys(const char *content, const char **ret_reason)
{
    char path[] = "/tmp/test_seal.XXXXXX";
    const int fd = mkstemp(path);

    assert_true(fd >= 0);
    assert_int_equal(write(fd, content, strlen(content)), strlen(content));
    (void)close(fd);
    const enum ch_err err = ch_seal_keys_read(path, ret_reason);
    (void)unlink(path);
    return err;
}

static void test_seal__needs_keys(void **state)
{
    char sealed[CH_SEAL_EXTRA];
    uint8_t mac[CH_SEAL_MAC_SIZE];

    (void)state;
    assert_int_equal(ch_seal_key_id(), 0);
    assert_int_equal(ch_seal("p", owner, CH_STR(""), sealed), CH_ERR_INTERNAL);
    assert_int_equal(ch_seal_mac(1, CH_STR("x"), mac), CH_ERR_UNAVAILABLE);
}

static void test_keys__bad_file_changes_nothing(void **state)
{
    static const struct {
        const char *name, *content, *reason;
    } cases[] = {
        {"empty", "", "it has no key"},
        {"only a comment", "# nothing\n\n", "it has no key"},
        {"id 0", "0 " KEY1 "\n", "an id is no number from 1"},
        {"id of letters", "a " KEY1 "\n", "an id is no number from 1"},
        {"short key", "1 AAEC\n", "a key is not 32 bytes of base64url"},
        {"a character that is not base64url", "1 ?AECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8\n",
         "a key is not 32 bytes of base64url"},
        {"key of 33 bytes", "1 " KEY1 "AA\n", "a key is not 32 bytes of base64url"},
        {"no key", "1\n", "a line is not `ID KEY` or `current ID`"},
        {"three words", "1 " KEY1 " x\n", "a line is not `ID KEY` or `current ID`"},
        {"twice", "1 " KEY1 "\n1 " KEY2 "\n", "an id stands twice"},
        {"current is missing", "current 2\n1 " KEY1 "\n", "current names a key that is not there"},
        {"current is no number", "current x\n1 " KEY1 "\n", "current names no id"},
    };

    (void)state;
    FOR_EACH(c, cases)
    {
        const char *reason = "";

        CHECK(c->name, read_keys(c->content, &reason) == CH_ERR_INVALID);
        CHECK_TEXT(c->name, reason, c->reason);
        CHECK(c->name, ch_seal_key_id() == 0);
    }
    assert_int_equal(ch_seal_keys_read("/nowhere/keys", NULL), CH_ERR_UNAVAILABLE);
}

static void test_seal__opens_for_its_owner_and_purpose_only(void **state)
{
    char sealed[sizeof(TEXT) - 1 + CH_SEAL_EXTRA], again[sizeof(sealed)], plain[sizeof(TEXT)] = "";
    const struct ch_str whole = {sealed, sizeof(sealed)};

    (void)state;
    assert_int_equal(read_keys("# first\n1 " KEY1 "\n", NULL), CH_OK);
    assert_int_equal(ch_seal_key_id(), 1);
    assert_int_equal(ch_seal("p", owner, CH_STR(TEXT), sealed), CH_OK);
    assert_int_equal(ch_seal("p", owner, CH_STR(TEXT), again), CH_OK);
    assert_memory_not_equal(sealed, again, sizeof(sealed)); // the nonce
    assert_null(memmem(sealed, sizeof(sealed), "010-1234", 8));
    assert_int_equal(ch_sealed_key_id(whole), 1);
    assert_int_equal(ch_unseal("p", owner, whole, plain), CH_OK);
    assert_string_equal(plain, TEXT);
    assert_int_equal(ch_unseal("p", other, whole, plain), CH_ERR_INVALID);
    assert_int_equal(ch_unseal("q", owner, whole, plain), CH_ERR_INVALID);
    assert_int_equal(ch_unseal("p", owner, (struct ch_str){sealed, sizeof(sealed) - 1}, plain), CH_ERR_INVALID);
    assert_int_equal(ch_unseal("p", owner, (struct ch_str){sealed, CH_SEAL_EXTRA - 1}, plain), CH_ERR_INVALID);
    for (size_t i = 0; i < sizeof(sealed); i++) { // no byte of it may be changed
        sealed[i] ^= 1;
        assert_int_not_equal(ch_unseal("p", owner, whole, plain), CH_OK);
        sealed[i] ^= 1;
    }
    assert_int_equal(ch_unseal("p", owner, whole, plain), CH_OK);
}

static void test_seal__of_nothing(void **state)
{
    char sealed[CH_SEAL_EXTRA];
    struct ch_arena *arena = ch_arena_new(4096);
    struct ch_str back;

    (void)state;
    assert_int_equal(ch_seal("p", owner, CH_STR(""), sealed), CH_OK);
    assert_int_equal(ch_unseal_copy(arena, "p", owner, (struct ch_str){sealed, sizeof(sealed)}, &back), CH_OK);
    assert_true(back.data && back.len == 0);
    assert_int_equal(ch_unseal_copy(arena, "p", owner, (struct ch_str){0}, &back), CH_OK);
    assert_null(back.data);
    ch_arena_free(arena);
}

static void test_keys__can_be_changed_while_old_values_open(void **state)
{
    char old[1 + CH_SEAL_EXTRA], new[1 + CH_SEAL_EXTRA], plain[1];
    uint8_t first[CH_SEAL_MAC_SIZE], second[CH_SEAL_MAC_SIZE];
    const char *reason = "";

    (void)state;
    assert_int_equal(ch_seal("p", owner, CH_STR("x"), old), CH_OK);
    assert_int_equal(read_keys("current 1\n1 " KEY1 "\n2 " KEY2 "\n", NULL), CH_OK); // known, not yet used
    assert_int_equal(ch_seal_key_id(), 1);
    assert_int_equal(ch_seal_key_newest(), 2);
    assert_int_equal(read_keys("2 " KEY2 "\n1 " KEY1 "\n", NULL), CH_OK);
    assert_int_equal(ch_seal_key_id(), 2);
    assert_int_equal(ch_seal("p", owner, CH_STR("x"), new), CH_OK);
    assert_int_equal(ch_sealed_key_id((struct ch_str){new, sizeof(new)}), 2);
    assert_int_equal(ch_unseal("p", owner, (struct ch_str){old, sizeof(old)}, plain), CH_OK);
    assert_int_equal(read_keys("1 " KEY2 "\n", &reason), CH_ERR_INVALID);
    assert_string_equal(reason, "an id that is in use was given another key");
    assert_int_equal(ch_seal_key_id(), 2);
    assert_int_equal(ch_seal_mac(1, CH_STR("x"), first), CH_OK);
    assert_int_equal(ch_seal_mac(2, CH_STR("x"), second), CH_OK);
    assert_memory_not_equal(first, second, sizeof(first));
    new[1] = 9; // the id of a key that nobody has
    assert_int_equal(ch_unseal("p", owner, (struct ch_str){new, sizeof(new)}, plain), CH_ERR_UNAVAILABLE);
}

static void test_mac__is_openssls(void **state)
{
    struct ch_buf key;
    uint8_t derived[32], digest[32], want[32], got[CH_SEAL_MAC_SIZE];
    unsigned len = 32;

    (void)state;
    ch_buf_init(&key, 32);
    assert_int_equal(ch_base64url_decode(CH_STR(KEY2), &key), CH_OK);
    HMAC(EVP_sha256(), key.data, 32, (const uint8_t *)"gwasuwon fingerprint", 20, derived, &len);
    ch_sha256(TEXT, sizeof(TEXT) - 1, digest);
    HMAC(EVP_sha256(), derived, 32, digest, 32, want, &len);
    assert_int_equal(ch_seal_mac(2, CH_STR(TEXT), got), CH_OK);
    assert_memory_equal(got, want, sizeof(want));
    ch_buf_release(&key);
}

// CPU time of this thread: what the machine does meanwhile does not count.
static int64_t cpu_ns(void)
{
    struct timespec now;

    (void)clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

// Not a limit: a machine under load may take any time. The figure is for docs/privacy.md.
static void test_seal__says_what_it_costs(void **state)
{
    enum { ROUNDS = 20000, SIZE = 300 };
    char text[SIZE], sealed[SIZE + CH_SEAL_EXTRA];
    uint8_t mac[CH_SEAL_MAC_SIZE];
    int64_t seal_ns, open_ns, mac_ns;

    (void)state;
    memset(text, 'x', sizeof(text));
    seal_ns = cpu_ns();
    for (int i = 0; i < ROUNDS; i++)
        assert_int_equal(ch_seal("orders.personal", owner, (struct ch_str){text, SIZE}, sealed), CH_OK);
    seal_ns = cpu_ns() - seal_ns;
    open_ns = cpu_ns();
    for (int i = 0; i < ROUNDS; i++)
        assert_int_equal(ch_unseal("orders.personal", owner, (struct ch_str){sealed, sizeof(sealed)}, text), CH_OK);
    open_ns = cpu_ns() - open_ns;
    mac_ns = cpu_ns();
    for (int i = 0; i < ROUNDS; i++)
        assert_int_equal(ch_seal_mac(2, (struct ch_str){text, SIZE}, mac), CH_OK);
    mac_ns = cpu_ns() - mac_ns;
    print_message("300 bytes: seal %lld ns, open %lld ns, fingerprint %lld ns\n", (long long)(seal_ns / ROUNDS),
                  (long long)(open_ns / ROUNDS), (long long)(mac_ns / ROUNDS));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_seal__needs_keys),
        cmocka_unit_test(test_keys__bad_file_changes_nothing),
        cmocka_unit_test(test_seal__opens_for_its_owner_and_purpose_only),
        cmocka_unit_test(test_seal__of_nothing),
        cmocka_unit_test(test_keys__can_be_changed_while_old_values_open),
        cmocka_unit_test(test_mac__is_openssls),
        cmocka_unit_test(test_seal__says_what_it_costs),
    };

    return cmocka_run_group_tests_name("seal", tests, NULL, NULL);
}
