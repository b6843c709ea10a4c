// SPDX-License-Identifier: Apache-2.0
// What each loop of FruitCatalog begins with.
#include "config.h"
#include "product_cache.h"
#include "reserve.h"
#include "tables.h"

// One flight at a time keeps first come, first served on this loop; other loops and instances meet at the locks of the
// SKUs.
enum { RESERVE_CALLS_MAX = 64, RESERVE_WAITING_MAX = 1024 };

enum ch_err catalog_start(struct ch_ctx *ctx, void **ret_state)
{
    struct catalog_state *state = ch_arena_alloc(ctx->arena, sizeof(*state)); // lives as long as the loop

    if (!state)
        return CH_ERR_NO_MEMORY;
    const enum ch_err err = product_cache_start((size_t)config.cache_entries);
    if (err)
        return err;
    ch_batch_init(&state->reserve, reserve_commit, ctx->loop, RESERVE_CALLS_MAX, RESERVE_WAITING_MAX, 1, 1);
    *ret_state = state;
    return CH_OK;
}
