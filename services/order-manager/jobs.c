// SPDX-License-Identifier: Apache-2.0
// Work that no request starts: cancellations that were left half done are brought to their end.
#include "cancel.h"
#include "tables.h"

const struct ch_job jobs[] = {
    {.name = "cancel_reconciler", .interval_ms = 1000, .timeout_ms = 10000, .run = cancel_reconcile_wait},
    {0},
};
