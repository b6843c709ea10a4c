// SPDX-License-Identifier: Apache-2.0
/**
 * @file seal.h
 * @brief Personal data as it is stored: AES-256-GCM (NIST SP 800-38D) under keys from a file, bound to what it belongs
 * to.
 *
 * The file has a line `ID KEY` a key: a number from 1, and 32 bytes as base64url; `#` begins a comment. A line
 * `current ID` names the one that seals; without it the highest id does. The others only open what they sealed. The
 * file is read again while the service runs: keys are added, none is taken away before the next start.
 *
 * A sealed value is 1 byte version, 4 bytes id of its key (network order), 12 bytes nonce, the ciphertext, 16 bytes
 * tag. What is authenticated besides: its purpose and its owner, so that a value that was moved to another row or
 * column does not open. Nonces are random: one key must seal fewer than 2^32 values (SP 800-38D 8.3).
 *
 * Nothing here waits; any thread. Keys and plain text are never logged.
 */
#ifndef CH_SEAL_H
#define CH_SEAL_H

#include "ch/base.h"

#define CH_SEAL_EXTRA    33 /**< bytes that a sealed value has more than its plain text */
#define CH_SEAL_MAC_SIZE 32
#define CH_SEAL_KEYS_MAX 32

/** Reads the file, the first time or again. Main thread. On failure the keys that were known stay and *reterr_reason
 * (literal, may be NULL) says why: CH_ERR_UNAVAILABLE it cannot be read, CH_ERR_INVALID it is no file of keys, or it
 * gives another key to an id that is known. */
CH_MUST_CHECK enum ch_err ch_seal_keys_read(const char *path, const char **reterr_reason);
/** Id of the key that seals now; 0: no keys were read. */
uint32_t ch_seal_key_id(void);
uint32_t ch_seal_key_newest(void); /**< highest id that is known; 0: none */

/** Seals `plain`, which belongs to `owner` as `purpose` (a literal: "orders.personal"). `ret_sealed` has room for
 * plain.len + CH_SEAL_EXTRA bytes. CH_ERR_INTERNAL: no keys. */
CH_MUST_CHECK enum ch_err ch_seal(const char *purpose, struct ch_uuid owner, struct ch_str plain, void *ret_sealed);
/** The reverse; `ret_plain` has room for sealed.len - CH_SEAL_EXTRA bytes. CH_ERR_INVALID: not what was sealed for this
 * owner and purpose. CH_ERR_UNAVAILABLE: its key is not known here (yet). */
CH_MUST_CHECK enum ch_err ch_unseal(const char *purpose, struct ch_uuid owner, struct ch_str sealed, void *ret_plain);
/** Both with a copy in the arena (the plain one NUL-terminated); a value with data NULL stays NULL. */
CH_MUST_CHECK enum ch_err ch_seal_copy(struct ch_arena *arena, const char *purpose, struct ch_uuid owner,
                                       struct ch_str plain, struct ch_str *ret_sealed);
CH_MUST_CHECK enum ch_err ch_unseal_copy(struct ch_arena *arena, const char *purpose, struct ch_uuid owner,
                                         struct ch_str sealed, struct ch_str *ret_plain);
/** Id of the key that sealed it; 0: it is no sealed value. */
uint32_t ch_sealed_key_id(struct ch_str sealed);

/** A fingerprint of `text` that nobody can guess from without the key: HMAC-SHA-256 of its digest under a key derived
 * from key `id`. CH_ERR_UNAVAILABLE: no such key. */
CH_MUST_CHECK enum ch_err ch_seal_mac(uint32_t id, struct ch_str text, uint8_t ret_mac[CH_SEAL_MAC_SIZE]);

#endif
