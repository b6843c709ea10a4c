// SPDX-License-Identifier: Apache-2.0
// Seals and opens personal data. One cipher context a thread and direction, with its key schedule kept: most calls only
// set a nonce. It must never leave a value half sealed, and never tell apart why one did not open.
#include "seal_keys.h"

#include <arpa/inet.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <pthread.h>
#include <stdlib.h>

enum {
    VERSION = 1,
    VERSION_SIZE = 1,
    ID_SIZE = 4,
    NONCE_SIZE = 12,
    TAG_SIZE = 16,
    HEAD_SIZE = 17,
    PURPOSE_MAX = 64,
    HMAC_BLOCK = 64
};
_Static_assert(VERSION_SIZE + ID_SIZE + NONCE_SIZE == HEAD_SIZE && HEAD_SIZE + TAG_SIZE == CH_SEAL_EXTRA, "layout");

/** What a thread keeps; freed when it ends. */
struct tools {
    struct tool {
        EVP_CIPHER_CTX *cipher;
        const struct ch_seal_key *key; // whose schedule stands in the context
    } sealing, opening;
};

static struct {
    pthread_once_t once;
    pthread_key_t slot;
    EVP_CIPHER *gcm;
} shared = {.once = PTHREAD_ONCE_INIT};

static void tools_free(void *arg)
{
    struct tools *tools = arg;

    EVP_CIPHER_CTX_free(tools->sealing.cipher);
    EVP_CIPHER_CTX_free(tools->opening.cipher);
    free(tools);
}

static void shared_init(void)
{
    shared.gcm = EVP_CIPHER_fetch(NULL, "AES-256-GCM", NULL);
    if (!shared.gcm || pthread_key_create(&shared.slot, tools_free))
        abort(); // neither can be missing on a machine that runs us
}

static struct tools *tools_of_thread(void)
{
    (void)pthread_once(&shared.once, shared_init); // fails for a bad control word only
    struct tools *tools = pthread_getspecific(shared.slot);
    if (tools)
        return tools;
    tools = calloc(1, sizeof(*tools));
    if (tools) {
        tools->sealing.cipher = EVP_CIPHER_CTX_new();
        tools->opening.cipher = EVP_CIPHER_CTX_new();
    }
    if (!tools || !tools->sealing.cipher || !tools->opening.cipher || pthread_setspecific(shared.slot, tools)) {
        if (tools)
            tools_free(tools);
        return NULL;
    }
    return tools;
}

// The tool with this key, nonce and what is authenticated besides the text.
static bool tool_begin(struct tool *tool, bool is_sealing, const struct ch_seal_key *key, const uint8_t *nonce,
                       const char *purpose, struct ch_uuid owner)
{
    const bool is_same = tool->key == key;
    const size_t purpose_len = strlen(purpose);
    uint8_t bound[PURPOSE_MAX + sizeof(owner.bytes)];
    int len;

    if (purpose_len > PURPOSE_MAX)
        abort(); // a mistake in our code
    memcpy(bound, purpose, purpose_len);
    memcpy(bound + purpose_len, owner.bytes, sizeof(owner.bytes));
    tool->key = NULL; // until it is whole again
    if (!EVP_CipherInit_ex(tool->cipher, is_same ? NULL : shared.gcm, NULL, is_same ? NULL : key->sealing, nonce,
                           is_sealing) ||
        !EVP_CipherUpdate(tool->cipher, NULL, &len, bound, (int)(purpose_len + sizeof(owner.bytes))))
        return false;
    tool->key = key;
    return true;
}

enum ch_err ch_seal(const char *purpose, struct ch_uuid owner, struct ch_str plain, void *ret_sealed)
{
    const struct ch_seal_key *key = ch_seal_key_current();
    struct tools *tools = tools_of_thread();
    uint8_t *sealed = ret_sealed, *nonce = sealed + VERSION_SIZE + ID_SIZE, *text = sealed + HEAD_SIZE;
    int len = 0, rest;

    if (!key || plain.len > INT32_MAX / 2)
        return CH_ERR_INTERNAL;
    if (!tools)
        return CH_ERR_NO_MEMORY;
    const uint32_t id = htonl(key->id);
    sealed[0] = VERSION;
    memcpy(sealed + VERSION_SIZE, &id, ID_SIZE);
    ch_random(nonce, NONCE_SIZE);
    if (!tool_begin(&tools->sealing, true, key, nonce, purpose, owner) ||
        (plain.len > 0 &&
         !EVP_EncryptUpdate(tools->sealing.cipher, text, &len, (const uint8_t *)plain.data, (int)plain.len)) ||
        !EVP_EncryptFinal_ex(tools->sealing.cipher, text + len, &rest) ||
        !EVP_CIPHER_CTX_ctrl(tools->sealing.cipher, EVP_CTRL_AEAD_GET_TAG, TAG_SIZE, text + plain.len))
        return CH_ERR_INTERNAL;
    return CH_OK;
}

uint32_t ch_sealed_key_id(struct ch_str sealed)
{
    uint32_t id;

    if (sealed.len < CH_SEAL_EXTRA || sealed.data[0] != VERSION)
        return 0;
    memcpy(&id, sealed.data + VERSION_SIZE, ID_SIZE);
    return ntohl(id);
}

enum ch_err ch_unseal(const char *purpose, struct ch_uuid owner, struct ch_str sealed, void *ret_plain)
{
    const uint32_t id = ch_sealed_key_id(sealed);
    const uint8_t *bytes = (const uint8_t *)sealed.data;
    struct tools *tools = tools_of_thread();
    uint8_t *plain = ret_plain, tag[TAG_SIZE], none;
    int len = 0, rest;

    if (!id)
        return CH_ERR_INVALID;
    const struct ch_seal_key *key = ch_seal_key_of(id);
    if (!key)
        return CH_ERR_UNAVAILABLE;
    if (!tools)
        return CH_ERR_NO_MEMORY;
    const size_t text_len = sealed.len - CH_SEAL_EXTRA;
    memcpy(tag, bytes + HEAD_SIZE + text_len, TAG_SIZE);
    if (text_len > INT32_MAX / 2 ||
        !tool_begin(&tools->opening, false, key, bytes + VERSION_SIZE + ID_SIZE, purpose, owner) ||
        (text_len > 0 && !EVP_DecryptUpdate(tools->opening.cipher, plain, &len, bytes + HEAD_SIZE, (int)text_len)) ||
        !EVP_CIPHER_CTX_ctrl(tools->opening.cipher, EVP_CTRL_AEAD_SET_TAG, TAG_SIZE, tag) ||
        EVP_DecryptFinal_ex(tools->opening.cipher, text_len ? plain + len : &none, &rest) != 1)
        return CH_ERR_INVALID;
    return CH_OK;
}

enum ch_err ch_seal_copy(struct ch_arena *arena, const char *purpose, struct ch_uuid owner, struct ch_str plain,
                         struct ch_str *ret_sealed)
{
    if (!plain.data) {
        *ret_sealed = (struct ch_str){0};
        return CH_OK;
    }
    char *copy = ch_arena_alloc(arena, plain.len + CH_SEAL_EXTRA);
    if (!copy)
        return CH_ERR_NO_MEMORY;
    const enum ch_err err = ch_seal(purpose, owner, plain, copy);
    if (!err)
        *ret_sealed = (struct ch_str){copy, plain.len + CH_SEAL_EXTRA};
    return err;
}

enum ch_err ch_unseal_copy(struct ch_arena *arena, const char *purpose, struct ch_uuid owner, struct ch_str sealed,
                           struct ch_str *ret_plain)
{
    if (!sealed.data) {
        *ret_plain = (struct ch_str){0};
        return CH_OK;
    }
    if (sealed.len < CH_SEAL_EXTRA)
        return CH_ERR_INVALID;
    const size_t len = sealed.len - CH_SEAL_EXTRA;
    char *copy = ch_arena_alloc(arena, len + 1);
    if (!copy)
        return CH_ERR_NO_MEMORY;
    const enum ch_err err = ch_unseal(purpose, owner, sealed, copy);
    if (!err)
        *ret_plain = (struct ch_str){copy, len};
    return err;
}

// HMAC-SHA-256 of the text's digest. By hand, for OpenSSL 3's one-shot HMAC looks its digest up by name each time,
// which costs 20 times what is counted here; the test holds it against OpenSSL's.
enum ch_err ch_seal_mac(uint32_t id, struct ch_str text, uint8_t ret_mac[CH_SEAL_MAC_SIZE])
{
    const struct ch_seal_key *key = ch_seal_key_of(id);
    uint8_t block[HMAC_BLOCK + 32];

    if (!key)
        return CH_ERR_UNAVAILABLE;
    ch_sha256(text.data, text.len, block + HMAC_BLOCK);
    for (int pad = 0; pad < 2; pad++) { // RFC 2104, inner then outer
        for (size_t i = 0; i < HMAC_BLOCK; i++)
            block[i] = (uint8_t)((i < sizeof(key->fingerprint) ? key->fingerprint[i] : 0) ^ (pad ? 0x5c : 0x36));
        ch_sha256(block, sizeof(block), block + HMAC_BLOCK);
    }
    memcpy(ret_mac, block + HMAC_BLOCK, CH_SEAL_MAC_SIZE);
    OPENSSL_cleanse(block, sizeof(block));
    return CH_OK;
}
