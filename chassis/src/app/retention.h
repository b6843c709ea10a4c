// SPDX-License-Identifier: Apache-2.0
/**
 * @file retention.h
 * @brief The job that forgets what nobody needs any more: sent events, applied events, and what the service's own trims
 * name.
 */
#ifndef CH_APP_RETENTION_H
#define CH_APP_RETENTION_H

#include "ch/app.h"

/** For jobs.c: NULL when the service has no database. Called once, before the jobs start. */
const struct ch_job *ch_retention_job(const struct ch_service *service);

#endif
