// SPDX-License-Identifier: Apache-2.0
// Random bytes, base64url, hexadecimal and SHA-256: what tokens, cursors, ETags and request hashes are made of.
// Bytes must never come from anything but the kernel, and a digest never be left unfilled: both end the process
// instead.
#include "ch/base.h"

#include <errno.h>
#include <openssl/evp.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/random.h>

void ch_random(void *ret_bytes, size_t len)
{
    uint8_t *p = ret_bytes;

    while (len > 0) {
        ssize_t got = getrandom(p, len, 0);

        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            abort();
        p += got;
        len -= (size_t)got;
    }
}

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

void ch_base64url_encode(struct ch_buf *out, const void *data, size_t len)
{
    const uint8_t *p = data;
    char *to = len <= SIZE_MAX / 4 ? ch_buf_reserve(out, len / 3 * 4 + (len % 3 * 4 + 2) / 3) : NULL;
    char *const start = to;
    uint32_t bits;

    if (!to) {
        out->is_full = true;
        return;
    }
    for (; len >= 3; len -= 3, p += 3) {
        bits = (uint32_t)p[0] << 16 | (uint32_t)p[1] << 8 | p[2];
        *to++ = alphabet[bits >> 18];
        *to++ = alphabet[bits >> 12 & 63];
        *to++ = alphabet[bits >> 6 & 63];
        *to++ = alphabet[bits & 63];
    }
    if (len > 0) {
        bits = (uint32_t)p[0] << 16 | (len > 1 ? (uint32_t)p[1] << 8 : 0);
        *to++ = alphabet[bits >> 18];
        *to++ = alphabet[bits >> 12 & 63];
        if (len > 1)
            *to++ = alphabet[bits >> 6 & 63];
    }
    out->len += (size_t)(to - start);
}

// Six bits of a character; -1 for what is not in the alphabet.
static int value_of(char c)
{
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 26;
    if (c >= '0' && c <= '9')
        return c - '0' + 52;
    return c == '-' ? 62 : c == '_' ? 63 : -1;
}

enum ch_err ch_base64url_decode(struct ch_str text, struct ch_buf *out)
{
    uint32_t bits = 0;
    int bit_count = 0;
    uint8_t *to;
    size_t len = 0;

    if (text.len % 4 == 1)
        return CH_ERR_BAD_SYNTAX;
    to = (uint8_t *)ch_buf_reserve(out, text.len / 4 * 3 + text.len % 4 * 3 / 4);
    if (!to)
        return CH_ERR_LIMIT;
    for (size_t i = 0; i < text.len; i++) {
        int value = value_of(text.data[i]);

        if (value < 0)
            return CH_ERR_BAD_SYNTAX;
        bits = bits << 6 | (uint32_t)value;
        bit_count += 6;
        if (bit_count >= 8) {
            bit_count -= 8;
            to[len++] = (uint8_t)(bits >> bit_count);
        }
    }
    if ((bits & ((1u << bit_count) - 1)) != 0)
        return CH_ERR_BAD_SYNTAX; // a second spelling of the same bytes
    out->len += len;
    return CH_OK;
}

void ch_hex_encode(const void *data, size_t len, char *ret_text)
{
    static const char digits[] = "0123456789abcdef";
    const uint8_t *p = data;

    for (size_t i = 0; i < len; i++) {
        *ret_text++ = digits[p[i] >> 4];
        *ret_text++ = digits[p[i] & 15];
    }
    *ret_text = '\0';
}

static EVP_MD *sha256; // fetched once: the look-up by name costs more than a short message

static void fetch_sha256(void)
{
    sha256 = EVP_MD_fetch(NULL, "SHA256", NULL);
}

void ch_sha256(const void *data, size_t len, uint8_t ret_digest[32])
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;

    (void)pthread_once(&once, fetch_sha256); // fails for a bad control word only
    if (!sha256 || EVP_Digest(data, len, ret_digest, NULL, sha256, NULL) != 1)
        abort();
}
