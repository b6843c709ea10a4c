// SPDX-License-Identifier: Apache-2.0
// The placements in flight in buckets by their key.
#include "order_twin.h"

#include <pthread.h>

enum { BUCKETS = 256 };

static struct {
    pthread_mutex_t lock;
    struct order_twin *buckets[BUCKETS];
} twins = {.lock = PTHREAD_MUTEX_INITIALIZER};

// FNV-1a. Who makes keys that collide only waits longer for the lock.
static struct order_twin **bucket_of(struct ch_str key)
{
    uint32_t hash = 2166136261u;

    for (size_t i = 0; i < key.len; i++)
        hash = (hash ^ (uint8_t)key.data[i]) * 16777619u;
    return &twins.buckets[hash % BUCKETS];
}

static bool is_twin(const struct order_twin *twin, struct ch_uuid buyer_id, struct ch_str key)
{
    return ch_uuid_eq(twin->buyer_id, buyer_id) && ch_str_eq(twin->key, key);
}

void order_twin_begin(struct order_twin *twin, struct ch_uuid buyer_id, struct ch_str key)
{
    struct order_twin **bucket = bucket_of(key);

    *twin = (struct order_twin){.buyer_id = buyer_id, .key = key, .link = bucket};
    (void)pthread_mutex_lock(&twins.lock); // never destroyed, never taken twice
    for (struct order_twin *other = *bucket; other; other = other->next)
        if (is_twin(other, buyer_id, key))
            other->had_twin = twin->had_twin = true;
    twin->next = *bucket;
    if (twin->next)
        twin->next->link = &twin->next;
    *bucket = twin;
    (void)pthread_mutex_unlock(&twins.lock);
}

void order_twin_end(struct order_twin *twin)
{
    (void)pthread_mutex_lock(&twins.lock);
    *twin->link = twin->next;
    if (twin->next)
        twin->next->link = twin->link;
    (void)pthread_mutex_unlock(&twins.lock);
}

bool order_twin_is_in_flight(struct ch_uuid buyer_id, struct ch_str key)
{
    bool is_found = false;

    (void)pthread_mutex_lock(&twins.lock);
    for (const struct order_twin *twin = *bucket_of(key); twin && !is_found; twin = twin->next)
        is_found = is_twin(twin, buyer_id, key);
    (void)pthread_mutex_unlock(&twins.lock);
    return is_found;
}
