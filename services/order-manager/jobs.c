// SPDX-License-Identifier: Apache-2.0
// Work that no request starts: cancellations that were left half done are brought to their end, personal data under an
// old key is sealed anew, accounts that want to be forgotten are.
#include "cancel.h"
#include "erasure.h"
#include "personal_rotate.h"
#include "tables.h"

#define RUN_NS INT64_C(2000000000)

enum ch_err job_steps_wait(struct ch_ctx *ctx, enum ch_err (*step_wait)(struct ch_ctx *, bool *))
{
    const int64_t until_ns = ch_now_ns() + RUN_NS;
    bool is_over = false;
    enum ch_err err = CH_OK;

    while (!err && !is_over && ch_now_ns() < until_ns)
        err = step_wait(ctx, &is_over);
    return err;
}

const struct ch_job jobs[] = {
    {.name = "cancel_reconciler", .interval_ms = 1000, .timeout_ms = 10000, .run = cancel_reconcile_wait},
    {.name = "personal_rotate", .interval_ms = 5000, .timeout_ms = 10000, .run = personal_rotate_wait},
    {.name = "erasures", .interval_ms = 1000, .timeout_ms = 10000, .run = erasure_work_wait},
    {.name = "erasures_late", .interval_ms = 60000, .timeout_ms = 10000, .run = erasure_reopen_wait, .is_spread = true},
    {0},
};
