// SPDX-License-Identifier: Apache-2.0
/**
 * @file tables.h
 * @brief The tables that make this program OrderManager; each stands in the file of its name.
 */
#ifndef TABLES_H
#define TABLES_H

#include "ch/app.h"

extern const struct ch_route routes[];
extern const struct ch_rpc rpcs[];
extern const struct ch_consumer consumers[];
extern const struct ch_job jobs[];

/** A run of a job: repeats its short step until that says it is over, or fails, or 2 s have gone by. */
CH_MUST_CHECK enum ch_err job_steps_wait(struct ch_ctx *ctx, enum ch_err (*step_wait)(struct ch_ctx *, bool *));

/** The two group commits of a loop: orders admitted (key and stock), orders into the database. */
struct batches {
    struct ch_batch admit;
    struct ch_batch insert;
};
CH_MUST_CHECK enum ch_err batches_start(struct ch_ctx *ctx, void **ret_state);

#endif
