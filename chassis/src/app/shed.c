// SPDX-License-Identifier: Apache-2.0
// The bound on what one loop has in flight. Must stay cheaper than any work it refuses: no clock, no lock, no log.
#include "shed.h"

#include <assert.h>

void ch_shed_init(struct ch_shed *shed, size_t requests_max, size_t streams_max)
{
    *shed = (struct ch_shed){.requests_max = requests_max, .streams_max = streams_max};
}

enum ch_err ch_shed_enter(struct ch_shed *shed, enum ch_shed_class class)
{
    const size_t requests = shed->in_flight[CH_SHED_NORMAL] + shed->in_flight[CH_SHED_CHEAP];
    const bool is_full[CH_SHED_CLASSES] = {
        [CH_SHED_NORMAL] = requests >= shed->requests_max,
        [CH_SHED_CHEAP] = requests >= shed->requests_max + shed->requests_max / 4 + 1,
        [CH_SHED_STREAM] = shed->in_flight[CH_SHED_STREAM] >= shed->streams_max,
    };

    if (is_full[class])
        return CH_ERR_OVERLOADED;
    shed->in_flight[class]++;
    return CH_OK;
}

void ch_shed_leave(struct ch_shed *shed, enum ch_shed_class class)
{
    assert(shed->in_flight[class] > 0);
    shed->in_flight[class]--;
}
