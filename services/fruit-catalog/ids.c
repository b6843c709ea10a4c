// SPDX-License-Identifier: Apache-2.0
// Sets of ids.
#include "ids.h"

#include <stdlib.h>

static int compare(const void *a, const void *b)
{
    return memcmp(a, b, sizeof(struct ch_uuid));
}

size_t ids_sort_unique(struct ch_uuid *ids, size_t count)
{
    size_t kept = 0;

    if (count)
        qsort(ids, count, sizeof(*ids), compare);
    for (size_t i = 0; i < count; i++)
        if (i == 0 || !ch_uuid_eq(ids[i], ids[kept - 1]))
            ids[kept++] = ids[i];
    return kept;
}
