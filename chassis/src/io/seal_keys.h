// SPDX-License-Identifier: Apache-2.0
/**
 * @file seal_keys.h
 * @brief The keys of seal.h in memory. Private to this folder. A key that was published never changes or moves, so any
 * thread reads without a lock.
 */
#ifndef CH_IO_SEAL_KEYS_H
#define CH_IO_SEAL_KEYS_H

#include "ch/seal.h"

/** One line of the file, and what is derived from it: a key for each use (NIST SP 800-108's idea, by HMAC). */
struct ch_seal_key {
    uint32_t id;
    uint8_t sealing[32], fingerprint[32];
};

const struct ch_seal_key *ch_seal_key_current(void);   /**< NULL: none */
const struct ch_seal_key *ch_seal_key_of(uint32_t id); /**< NULL: not known */

#endif
