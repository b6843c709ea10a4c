// SPDX-License-Identifier: Apache-2.0
// The file of keys for personal data, read at the start and again when it changed. Keys are only ever added: what is
// sealed under one must open until the process ends. It must never print a key, nor leave one on the stack.
#include "seal_keys.h"

#include <errno.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

enum { KEY_SIZE = 32, LINE_MAX_BYTES = 256 };

/** What the file says, before any of it counts. */
struct draft {
    struct ch_seal_key keys[CH_SEAL_KEYS_MAX];
    size_t count;
    uint32_t current;
};

static struct {
    struct ch_seal_key keys[CH_SEAL_KEYS_MAX]; // written by the main thread only, behind `count`
    atomic_size_t count;
    _Atomic(const struct ch_seal_key *) current;
} known;

static const struct ch_seal_key *find(const struct ch_seal_key *keys, size_t count, uint32_t id)
{
    for (size_t i = 0; i < count; i++)
        if (keys[i].id == id)
            return &keys[i];
    return NULL;
}

const struct ch_seal_key *ch_seal_key_of(uint32_t id)
{
    return find(known.keys, atomic_load_explicit(&known.count, memory_order_acquire), id);
}

const struct ch_seal_key *ch_seal_key_current(void)
{
    return atomic_load_explicit(&known.current, memory_order_acquire);
}

uint32_t ch_seal_key_id(void)
{
    const struct ch_seal_key *key = ch_seal_key_current();

    return key ? key->id : 0;
}

uint32_t ch_seal_key_newest(void)
{
    const size_t count = atomic_load_explicit(&known.count, memory_order_acquire);
    uint32_t newest = 0;

    for (size_t i = 0; i < count; i++)
        newest = known.keys[i].id > newest ? known.keys[i].id : newest;
    return newest;
}

// ---- the file

static bool derive(const uint8_t *key, const char *use, uint8_t ret_derived[32])
{
    unsigned len = 32;

    return HMAC(EVP_sha256(), key, KEY_SIZE, (const uint8_t *)use, strlen(use), ret_derived, &len) != NULL;
}

static const char *add_key(struct draft *draft, uint32_t id, struct ch_str text)
{
    struct ch_seal_key *key = &draft->keys[draft->count];
    struct ch_buf bytes;
    const char *wrong = NULL;

    if (find(draft->keys, draft->count, id))
        return "an id stands twice";
    if (draft->count == CH_SEAL_KEYS_MAX)
        return "too many keys";
    ch_buf_init(&bytes, KEY_SIZE);
    if (ch_base64url_decode(text, &bytes) || bytes.len != KEY_SIZE)
        wrong = "a key is not 32 bytes of base64url";
    else if (!derive((const uint8_t *)bytes.data, "gwasuwon seal", key->sealing) ||
             !derive((const uint8_t *)bytes.data, "gwasuwon fingerprint", key->fingerprint))
        wrong = "keys cannot be derived";
    if (bytes.data)
        OPENSSL_cleanse(bytes.data, bytes.len);
    ch_buf_release(&bytes);
    if (wrong)
        return wrong;
    key->id = id;
    draft->count++;
    return NULL;
}

static bool read_id(struct ch_str text, uint32_t *ret_id)
{
    int64_t id;

    if (ch_str_to_int64(text, &id) || id < 1 || id > INT32_MAX)
        return false;
    *ret_id = (uint32_t)id;
    return true;
}

static const char *read_line(struct draft *draft, char *line)
{
    uint32_t id;

    char *rest;

    line[strcspn(line, "#\r\n")] = '\0';
    const char *first = strtok_r(line, " \t", &rest), *second = first ? strtok_r(NULL, " \t", &rest) : NULL;
    if (!first)
        return NULL;
    if (!second || strtok_r(NULL, " \t", &rest))
        return "a line is not `ID KEY` or `current ID`";
    if (strcmp(first, "current") == 0)
        return read_id(ch_str_of(second), &draft->current) ? NULL : "current names no id";
    return read_id(ch_str_of(first), &id) ? add_key(draft, id, ch_str_of(second)) : "an id is no number from 1";
}

static const char *read_lines(FILE *file, struct draft *draft)
{
    char line[LINE_MAX_BYTES];
    const char *wrong = NULL;
    uint32_t highest = 0;

    while (!wrong && fgets(line, sizeof(line), file))
        wrong = strlen(line) == sizeof(line) - 1 ? "a line is too long" : read_line(draft, line);
    OPENSSL_cleanse(line, sizeof(line));
    if (wrong || ferror(file))
        return wrong ? wrong : "it cannot be read";
    for (size_t i = 0; i < draft->count; i++)
        highest = draft->keys[i].id > highest ? draft->keys[i].id : highest;
    if (draft->count == 0)
        return "it has no key";
    if (!draft->current)
        draft->current = highest;
    return find(draft->keys, draft->count, draft->current) ? NULL : "current names a key that is not there";
}

// What is known stays as it is; what is new is added, then the current one changes.
static const char *take_over(const struct draft *draft)
{
    size_t count = atomic_load_explicit(&known.count, memory_order_relaxed);

    for (size_t i = 0; i < draft->count; i++) {
        const struct ch_seal_key *old = find(known.keys, count, draft->keys[i].id);

        if (old && memcmp(old->sealing, draft->keys[i].sealing, sizeof(old->sealing)) != 0)
            return "an id that is in use was given another key";
    }
    for (size_t i = 0; i < draft->count; i++) {
        if (find(known.keys, count, draft->keys[i].id))
            continue;
        if (count == CH_SEAL_KEYS_MAX)
            return "too many keys since the start";
        known.keys[count++] = draft->keys[i];
        atomic_store_explicit(&known.count, count, memory_order_release);
    }
    atomic_store_explicit(&known.current, ch_seal_key_of(draft->current), memory_order_release);
    return NULL;
}

enum ch_err ch_seal_keys_read(const char *path, const char **reterr_reason)
{
    struct draft draft = {0};
    const char *wrong;
    FILE *file = fopen(path, "re");

    if (!file) {
        if (reterr_reason)
            *reterr_reason = "it cannot be opened";
        return CH_ERR_UNAVAILABLE;
    }
    wrong = read_lines(file, &draft);
    (void)fclose(file); // was only read
    if (!wrong)
        wrong = take_over(&draft);
    OPENSSL_cleanse(&draft, sizeof(draft));
    if (wrong && reterr_reason)
        *reterr_reason = wrong;
    return wrong ? CH_ERR_INVALID : CH_OK;
}
