// SPDX-License-Identifier: Apache-2.0
// The writing side of the outbox. An event is a row of the transaction that made it true; publishing is the relay's.
// Nothing here may wait for the broker.
#include "events_internal.h"

#include "loop_state.h"
#include "src/app/events_queries.h" // generated

#include <sys/eventfd.h>

enum ch_err ch_outbox_add(struct ch_tx *tx, const char *type, struct ch_str subject, struct ch_str data)
{
    char traceparent[CH_TRACEPARENT_TEXT];
    struct ch_pg_args args;

    if (!subject.data || !data.data)
        return CH_ERR_NO_MEMORY;
    if (data.len > CH_EVENT_DATA_MAX)
        return CH_ERR_TOO_LARGE;
    ch_trace_format(&tx->ctx->trace, traceparent);
    ch_pg_args_init(&args, tx->ctx);
    ch_pg_uuid(&args, ch_uuid_new());
    ch_pg_text(&args, ch_str_of(type));
    ch_pg_text(&args, subject);
    ch_pg_text(&args, data);
    ch_pg_text(&args, ch_str_of(traceparent));
    return ch_tx_send(tx, ch_own_query_first(tx->ctx) + EVENTS_Q_OUTBOX_INSERT, &args);
}

/* ---- waking the relay: many wakes before it looks are one write ----------------------------------------------------
 */

static struct {
    pthread_once_t once;
    int fd;
    atomic_bool is_set;
} wake = {.once = PTHREAD_ONCE_INIT, .fd = -1};

static void open_wake(void)
{
    wake.fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
}

int ch_outbox_wake_fd(void)
{
    (void)pthread_once(&wake.once, open_wake); // cannot fail with a valid control
    return wake.fd;
}

void ch_outbox_wake(void)
{
    if (!atomic_exchange(&wake.is_set, true))
        ch_signal_set(ch_outbox_wake_fd());
}

bool ch_outbox_wake_take(void)
{
    ch_signal_clear(ch_outbox_wake_fd());
    return atomic_exchange(&wake.is_set, false);
}
