// SPDX-License-Identifier: Apache-2.0
// Regular expressions of binding tables, compiled once per process. Private to this folder.
// A pattern is known by its address: it must be a literal, never a string that is built or freed.
#ifndef CH_BASE_PATTERN_H
#define CH_BASE_PATTERN_H

#include "ch/base.h"

/** Does the whole of `text` (NUL-terminated) match the POSIX extended expression? Any thread.
 *  CH_ERR_INTERNAL: the pattern does not compile. CH_ERR_NO_MEMORY: no memory, or more patterns than the table holds.
 */
CH_MUST_CHECK enum ch_err ch_pattern_match(const char *pattern, const char *text, bool *ret_is_match);

#endif
