// SPDX-License-Identifier: Apache-2.0
/*
 * Group commit: items that come while a commit is in flight wait and form the next one. There is no timer to tune: load
 * makes the batches, and a lone item does not wait. A flight is a fiber that commits until nobody waits any more. An
 * item that a flight has taken must never leave before the commit ended: it lies on the stack of the fiber that joined.
 */
#include "internal.h"

#include <assert.h>

void ch_batch_init(struct ch_batch *batch, void (*commit)(void *, struct ch_batch_item **, size_t), void *arg,
                   size_t max_items, size_t max_waiting, int max_flights, size_t crowd)
{
    assert(max_items >= 1 && max_items <= CH_BATCH_ITEMS_MAX && max_flights >= 1 && crowd >= 1);
    *batch = (struct ch_batch){
        .commit = commit,
        .arg = arg,
        .max_items = max_items,
        .max_waiting = max_waiting,
        .max_flights = max_flights,
        .crowd = crowd,
        .last = &batch->first,
    };
}

static void item_append(struct ch_batch *batch, struct ch_batch_item *item)
{
    *item = (struct ch_batch_item){.result = CH_ERR_INTERNAL, .link = batch->last};
    *batch->last = item;
    batch->last = &item->next;
    batch->waiting++;
}

static void item_remove(struct ch_batch *batch, struct ch_batch_item *item)
{
    *item->link = item->next;
    if (item->next)
        item->next->link = item->link;
    else
        batch->last = item->link;
    item->link = NULL;
    batch->waiting--;
}

static size_t items_take(struct ch_batch *batch, struct ch_batch_item **ret_items)
{
    size_t count = 0;

    while (batch->first && count < batch->max_items) {
        struct ch_batch_item *item = batch->first;

        item_remove(batch, item);
        if (item->wait.is_done) /* its deadline or cancel came; its fiber just has not run since */
            continue;
        item->is_taken = true;
        ret_items[count++] = item;
    }
    return count;
}

static enum ch_err flight_start(struct ch_batch *batch);

static void flight_run(void *arg)
{
    struct ch_batch_item *items[CH_BATCH_ITEMS_MAX];
    struct ch_batch *batch = arg;
    size_t count, i;

    batch->is_starting = false;
    while ((count = items_take(batch, items)) > 0) {
        if (batch->first)
            (void)flight_start(batch); /* if it cannot, this flight takes them later */
        batch->commit(batch->arg, items, count);
        for (i = 0; i < count; i++) {
            items[i]->is_done = true;
            ch_wake(&items[i]->wait, items[i]->result);
        }
    }
    batch->flights--;
}

/* One start at a time: the flight that is about to run takes all that wait. */
static enum ch_err flight_start(struct ch_batch *batch)
{
    enum ch_err err;

    if (batch->is_starting || batch->flights >= batch->max_flights)
        return CH_OK;
    if (batch->flights > 0 && batch->waiting < batch->crowd) /* the flight under way takes them next */
        return CH_OK;
    err = ch_fiber_start_reserved(ch_loop_current(), flight_run, batch);
    if (err)
        return batch->flights > 0 ? CH_OK : err;
    batch->is_starting = true;
    batch->flights++;
    return CH_OK;
}

enum ch_err ch_batch_join_wait(struct ch_batch *batch, struct ch_batch_item *item, int64_t deadline_ns)
{
    enum ch_err err;

    assert(ch_fiber_current());
    if (batch->waiting >= batch->max_waiting)
        return CH_ERR_OVERLOADED;
    item_append(batch, item);
    err = flight_start(batch);
    if (!err)
        err = ch_wait(&item->wait, deadline_ns);
    if (!item->is_taken) {
        if (item->link)
            item_remove(batch, item);
        return err;
    }
    if (!item->is_done) { /* deadline or cancel in flight: whoever asked for a commit has to learn how it ended */
        item->wait = (struct ch_wait){0};
        ch_wait_masked(&item->wait);
    }
    if (err == CH_ERR_CANCELLED && item->result != CH_ERR_CANCELLED)
        ch_fiber_cancel(ch_fiber_current());
    return item->result;
}
