// SPDX-License-Identifier: Apache-2.0
/**
 * @file process.h
 * @brief What the kernel says about this process, for the scrape. 0 where it says nothing.
 */
#ifndef CH_OBS_PROCESS_H
#define CH_OBS_PROCESS_H

#include "obs_internal.h"

int64_t process_cpu_ns(void);
int64_t process_resident_bytes(void);
int64_t process_open_fds(void);
int64_t process_max_fds(void);
int64_t process_start_ns(void); /**< Unix time */

#endif
