// SPDX-License-Identifier: Apache-2.0
/**
 * @file personal_keys.h
 * @brief PERSONAL_KEYS_FILE of a service that stores personal data: read before the start, and again when it changed.
 * Main thread.
 */
#ifndef CH_APP_PERSONAL_KEYS_H
#define CH_APP_PERSONAL_KEYS_H

#include "ch/app.h"

/** CH_OK also for a service without personal data. Anything else was said on stderr: exit code 78. */
CH_MUST_CHECK enum ch_err ch_personal_keys_start(const struct ch_service *service);
/** A file that became bad is logged, and the keys that are known stay. */
void ch_personal_keys_refresh(const struct ch_service *service);

#endif
