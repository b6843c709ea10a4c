// SPDX-License-Identifier: Apache-2.0
/**
 * @file token.h
 * @brief The token this service shows to others: from a file that somebody else writes (token.c), or asked of the
 * issuer (token_fetch.c). Each loop has a copy, swapped by mail; while there is none, its calls to others fail at once.
 */
#ifndef CH_APP_TOKEN_H
#define CH_APP_TOKEN_H

#include "loop_state.h"

#define CH_TOKEN_TEXT_MAX 8192

bool ch_token_is_wanted(void); /**< the settings name a file or an issuer */
/** Reads the service token again if its file changed, and hands it to all loops. Main thread; may block on the disk. */
void ch_token_refresh(struct ch_process *process);

/** Starts the thread that asks the issuer; CH_OK and nothing when the settings name none. Main thread, as the next. */
CH_MUST_CHECK enum ch_err ch_token_fetch_start(struct ch_process *process);
void ch_token_fetch_stop(void); /**< while the loops live: its last token may be on the way to them */
/** A peer took the token for none of its issuer: asks for another one soon. Any thread; a peer's `on_refused`. */
void ch_token_refused(void *unused);

/* between the two files */

void ch_token_hand_over(struct ch_process *process, const char *token); /**< copied to each loop; NULL: there is none */
bool ch_token_is_presentable(const char *token);                        /**< fits, and may stand in a header */
/** First line of a file without its end; false when it is empty or too long. */
CH_MUST_CHECK bool ch_token_read_line(const char *path, char *ret_line, size_t size);

#endif
