// SPDX-License-Identifier: Apache-2.0
/**
 * @file personal_rotate.h
 * @brief After a change of key: what older keys sealed is sealed anew, a bounded number of orders a transaction, by one
 * instance at a time. The job's function.
 */
#ifndef PERSONAL_ROTATE_H
#define PERSONAL_ROTATE_H

#include "ch/app.h"

/** Passes over all orders until a pass finds nothing under another key than the current one; remembers where it was. */
CH_MUST_CHECK enum ch_err personal_rotate_wait(struct ch_ctx *ctx);

#endif
