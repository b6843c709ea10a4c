// SPDX-License-Identifier: Apache-2.0
/**
 * @file jobs.h
 * @brief What a job of the chassis may ask of the one who runs it. Loop 0.
 */
#ifndef CH_APP_JOBS_H
#define CH_APP_JOBS_H

#include <stdbool.h>

/** A run that does many short things stops between two of them. */
bool ch_jobs_are_stopping(void);

#endif
