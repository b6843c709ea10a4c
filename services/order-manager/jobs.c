// SPDX-License-Identifier: Apache-2.0
// Work that no request starts: cancellations that were left half done are brought to their end, personal data under an
// old key is sealed anew, accounts that want to be forgotten are.
#include "cancel.h"
#include "erasure.h"
#include "personal_rotate.h"
#include "tables.h"

const struct ch_job jobs[] = {
    {.name = "cancel_reconciler", .interval_ms = 1000, .timeout_ms = 10000, .run = cancel_reconcile_wait},
    {.name = "personal_rotate", .interval_ms = 5000, .timeout_ms = 10000, .run = personal_rotate_wait},
    {.name = "erasures", .interval_ms = 1000, .timeout_ms = 10000, .run = erasure_work_wait},
    {.name = "erasures_late", .interval_ms = 60000, .timeout_ms = 10000, .run = erasure_reopen_wait, .is_spread = true},
    {0},
};
