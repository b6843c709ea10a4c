// SPDX-License-Identifier: Apache-2.0
/**
 * @file auth_internal.h
 * @brief What the files of the token check share: key sets, the check of one token.
 */
#ifndef CH_IO_AUTH_INTERNAL_H
#define CH_IO_AUTH_INTERNAL_H

#include "ch/auth.h"

#include <openssl/evp.h>

#define CH_AUTH_KEYS_MAX   32
#define CH_AUTH_TOKEN_MAX  8192
#define CH_AUTH_HEADER_MAX 256

/* auth_jwk.c: public keys and signatures */

/** One public key. Its context is used again for each token and is for one thread, so each loop imports its own. */
struct ch_auth_key {
    char kid[128];
    const char *alg; /**< "RS256" or "ES256": follows from the key's type, never from a token */
    EVP_PKEY_CTX *verify;
    char header[CH_AUTH_HEADER_MAX]; /**< the encoded header of the last good token of this key: issuers always write
                                        the same, so it is read once */
    size_t header_len;               /**< 0: none yet */
};
struct ch_key_set {
    struct ch_auth_key keys[CH_AUTH_KEYS_MAX];
    size_t count;
    EVP_MD *sha256;
    EVP_MD_CTX *digest;
};
/** Imports every usable public signing key of a JWKS (RFC 7517); others are passed over. CH_ERR_INVALID when none is
 * left. */
CH_MUST_CHECK enum ch_err ch_key_set_import(struct ch_str jwks, struct ch_key_set *ret_set);
void ch_key_set_release(struct ch_key_set *set);
struct ch_auth_key *ch_key_find(struct ch_key_set *set, const char *kid); /**< NULL: no such key */
/** Is `signature` (base64url) the key's, of `text`? */
bool ch_key_verify(const struct ch_key_set *set, const struct ch_auth_key *key, struct ch_str text,
                   struct ch_str signature);

/* auth_keys.c: where the key set comes from */

const char *ch_keys_issuer(const struct ch_keys *keys);
const char *ch_keys_audience(const struct ch_keys *keys);
/** Rises with each key set that differs from the last; 0: none yet. Any thread. */
uint64_t ch_keys_version(const struct ch_keys *keys);
/** Copy of the JWKS text and its version. */
CH_MUST_CHECK enum ch_err ch_keys_text(struct ch_keys *keys, struct ch_buf *ret_text, uint64_t *ret_version);

/** A loop that wants to hear when the source was read again. */
struct ch_keys_listener {
    struct ch_mail mail;
    struct ch_loop *loop;
    bool is_posted; /**< atomic: the mail is on its way */
    struct ch_keys_listener *next;
};
void ch_keys_listen(struct ch_keys *keys, struct ch_keys_listener *listener);
void ch_keys_unlisten(struct ch_keys *keys, struct ch_keys_listener *listener);
/** Asks for the source to be read again; listeners hear of the end. */
enum ch_keys_answer {
    CH_KEYS_NEVER, /**< the source is away: there is nothing to wait for */
    CH_KEYS_NOW,   /**< it is being read */
    CH_KEYS_LATER, /**< it was read a moment ago, and will be again in a moment */
};
enum ch_keys_answer ch_keys_ask(struct ch_keys *keys);

/* auth_token.c: one token, no cache */

enum ch_token_fault {
    CH_TOKEN_OK,
    CH_TOKEN_MALFORMED,
    CH_TOKEN_ALGORITHM,
    CH_TOKEN_UNKNOWN_KEY,
    CH_TOKEN_SIGNATURE,
    CH_TOKEN_EXPIRED,
    CH_TOKEN_NOT_YET_VALID,
    CH_TOKEN_ISSUER,
    CH_TOKEN_AUDIENCE,
    CH_TOKEN_TYPE,
    CH_TOKEN_CLAIMS,
};
struct ch_token_rules {
    struct ch_key_set *set; /**< written: what its keys remember */
    const char *issuer, *audience;
    int64_t now_s;
};
enum ch_token_fault ch_token_check(const struct ch_token_rules *rules, struct ch_str token,
                                   struct ch_identity *ret_identity);

#endif
