// SPDX-License-Identifier: Apache-2.0
// The two group commits that each loop of OrderManager has.
#include "order_admit.h"
#include "order_store.h"
#include "tables.h"

#include <stdlib.h>

// Three admissions in flight: while one waits for FruitCatalog, which decides one batch after the other, the next look
// up their keys. Two inserts keep the database busy while one commits. A batch costs much once and little for each
// order: a few do not get a flight of their own, they wait for the next.
enum { BATCH_MAX = 128, WAITING_MAX = 4096, CROWD = 8 };

enum ch_err batches_start(struct ch_ctx *ctx, void **ret_state)
{
    struct batches *batches = calloc(1, sizeof(*batches)); // lives as long as its loop

    if (!batches)
        return CH_ERR_NO_MEMORY;
    ch_batch_init(&batches->admit, order_admit_commit, ctx->loop, BATCH_MAX, WAITING_MAX, 3, CROWD);
    ch_batch_init(&batches->insert, order_insert_commit, ctx->loop, BATCH_MAX, WAITING_MAX, 2, CROWD);
    *ret_state = batches;
    return CH_OK;
}
