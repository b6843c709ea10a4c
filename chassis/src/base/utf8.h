// SPDX-License-Identifier: Apache-2.0
// UTF-8 byte by byte (RFC 3629), shared by the check of input and the JSON writer. Private to this folder.
// It must never accept an overlong form, a surrogate or a code point past U+10FFFF.
#ifndef CH_BASE_UTF8_H
#define CH_BASE_UTF8_H

#include "ch/base.h"

/** Number of leading bytes that are well-formed UTF-8 without NUL. */
size_t ch_utf8_span(struct ch_str s);

/** Length of the well-formed sequence of two to four bytes at `p`; 0 when there is none. */
static inline size_t ch_utf8_sequence(const uint8_t *p, size_t left)
{
    uint8_t first = p[0];
    size_t len = first >= 0xF0 ? 4 : first >= 0xE0 ? 3 : 2;
    uint8_t low = 0x80, high = 0xBF; // what the second byte may be

    if (first < 0xC2 || first > 0xF4 || left < len)
        return 0;
    if (first == 0xE0)
        low = 0xA0; // shorter form exists
    else if (first == 0xED)
        high = 0x9F; // surrogates
    else if (first == 0xF0)
        low = 0x90; // shorter form exists
    else if (first == 0xF4)
        high = 0x8F; // past U+10FFFF
    if (p[1] < low || p[1] > high)
        return 0;
    for (size_t i = 2; i < len; i++)
        if ((p[i] & 0xC0) != 0x80)
            return 0;
    return len;
}

#endif
