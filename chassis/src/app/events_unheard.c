// SPDX-License-Identifier: Apache-2.0
// Remembers which types of event the broker returned because no queue is bound for them. Their events stay in the
// outbox, and the others must not wait behind them: a type rests, each time longer, and is then tried again. It must
// never let an event count as sent that somebody has to hear.
#include "events_unheard.h"

#define FORGET_NS INT64_C(30000000000) // without another return after its rest, none of its events can be there

static const struct ch_metric unheard_metric = {
    "outbox_unroutable", CH_GAUGE, "Types of event that wait because no queue takes them", {NULL}};
static const struct ch_metric returned_metric = {
    "outbox_returned_total", CH_COUNTER, "Events that the broker returned because no queue is bound for them", {NULL}};

void ch_unheard_init(struct ch_unheard *unheard, const char *const *may_be)
{
    unheard->may_be = may_be;
    unheard->gauge = ch_series_get(&unheard_metric, NULL);
    unheard->returned = ch_series_get(&returned_metric, NULL);
}

static bool may_be_unheard(const struct ch_unheard *unheard, const char *type)
{
    for (const char *const *at = unheard->may_be; at && *at; at++)
        if (strcmp(*at, type) == 0)
            return true;
    return false;
}

// Its place, or `count`.
static size_t find(const struct ch_unheard *unheard, const char *type)
{
    size_t i = 0;

    while (i < unheard->count && strcmp(unheard->all[i].type, type) != 0)
        i++;
    return i;
}

bool ch_unheard_note_returned(struct ch_unheard *unheard, const char *type)
{
    const size_t at = find(unheard, type);
    const int64_t now_ns = ch_now_ns();

    ch_count(unheard->returned, 1);
    if (may_be_unheard(unheard, type))
        return false;
    if (at == CH_UNHEARD_MAX || strlen(type) >= sizeof(unheard->all[at].type))
        return true;
    if (at == unheard->count) {
        memset(&unheard->all[at], 0, sizeof(unheard->all[at]));
        memcpy(unheard->all[at].type, type, strlen(type) + 1);
        unheard->count++;
        ch_gauge_set(unheard->gauge, (int64_t)unheard->count);
    }
    if (unheard->all[at].due_ns > now_ns)
        return true; // another of the same round
    unheard->all[at].due_ns = now_ns + ch_backoff_of(unheard->all[at].pauses++);
    ch_log(CH_LOG_WARN, NULL, "outbox.unroutable", CH_LS("type", type), CH_LI("tries", unheard->all[at].pauses));
    return true;
}

static void forget(struct ch_unheard *unheard, size_t at)
{
    unheard->all[at] = unheard->all[--unheard->count];
    ch_gauge_set(unheard->gauge, (int64_t)unheard->count);
}

void ch_unheard_note_taken(struct ch_unheard *unheard, const char *type)
{
    const size_t at = find(unheard, type);

    if (at == unheard->count)
        return;
    forget(unheard, at);
    ch_log(CH_LOG_INFO, NULL, "outbox.routable", CH_LS("type", type));
}

void ch_unheard_tick(struct ch_unheard *unheard)
{
    const int64_t now_ns = ch_now_ns();

    for (size_t i = unheard->count; i-- > 0;)
        if (now_ns - unheard->all[i].due_ns > FORGET_NS)
            forget(unheard, i);
}

size_t ch_unheard_resting(const struct ch_unheard *unheard, struct ch_str ret_types[CH_UNHEARD_MAX])
{
    const int64_t now_ns = ch_now_ns();
    size_t count = 0;

    for (size_t i = 0; i < unheard->count; i++)
        if (unheard->all[i].due_ns > now_ns)
            ret_types[count++] = ch_str_of(unheard->all[i].type);
    return count;
}
