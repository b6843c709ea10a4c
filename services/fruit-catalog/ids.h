// SPDX-License-Identifier: Apache-2.0
/**
 * @file ids.h
 * @brief Sets of ids in one order: whoever locks many rows takes them so, and nobody waits in a circle.
 */
#ifndef IDS_H
#define IDS_H

#include "ch/base.h"

/** Sorts as the database does (by bytes) and drops duplicates; the new count. */
size_t ids_sort_unique(struct ch_uuid *ids, size_t count);

#endif
