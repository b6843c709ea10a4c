// SPDX-License-Identifier: Apache-2.0
/*
 * Types of event that no queue takes now: which they are, and when the relay asks the broker again. Belongs to the
 * relay's thread; nothing else may include this.
 */
#ifndef CH_EVENTS_UNHEARD_H
#define CH_EVENTS_UNHEARD_H

#include "events_internal.h"

#define CH_UNHEARD_MAX 16 /* types at once; of more, each round tries again, ahead of what is younger */

struct ch_unheard {
    struct {
        char type[64];
        int pauses;
        int64_t due_ns;
    } all[CH_UNHEARD_MAX];
    size_t count;
    const char *const *may_be; /* as in struct ch_service */
    struct ch_series *gauge, *returned;
};

void ch_unheard_init(struct ch_unheard *unheard, const char *const *may_be);
/* True: it stays unsent. An event of a type that may be unheard, or of a text that is no type of ours, is counted
 * alone. */
bool ch_unheard_note_returned(struct ch_unheard *unheard, const char *type);
void ch_unheard_note_taken(struct ch_unheard *unheard, const char *type);
/* Types to be passed over now; they live as long as `unheard` is not written. */
size_t ch_unheard_resting(const struct ch_unheard *unheard, struct ch_str ret_types[CH_UNHEARD_MAX]);
void ch_unheard_tick(
    struct ch_unheard *unheard); /* every second or so: forgets types of which nothing waits any more */

#endif
