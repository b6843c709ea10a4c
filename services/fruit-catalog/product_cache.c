// SPDX-License-Identifier: Apache-2.0
// A set-associative cache: a product's id chooses a set of a few slots, each set has its lock and its generation.
// Dropping raises the generation, so that a page whose reading began before the drop is not kept after it. Two products
// of one set share the generation: at worst a page is not kept, never kept wrongly.
#include "product_cache.h"

#include "ch/obs.h"

#include <pthread.h>
#include <stdlib.h>

enum { SLOTS = 4 };
#define TTL_NS INT64_C(1000000000)

struct slot {
    struct ch_uuid product_id;
    int64_t started_ns; // of the reading: the page is as old as that
    char *body;         // NULL: free
    size_t len;
    char etag[PRODUCT_ETAG_TEXT];
};

struct set {
    pthread_mutex_t lock;
    uint64_t generation;
    struct slot slots[SLOTS];
};

// One for the process, because a write on one loop must be seen on the others at once.
static struct {
    pthread_once_t once;
    size_t entries;
    struct set *sets;
    size_t set_count;
    struct ch_series *hit, *miss, *expired;
} cache = {.once = PTHREAD_ONCE_INIT};

static const struct ch_metric requests_metric = {
    .name = "cache_requests_total",
    .type = CH_COUNTER,
    .help = "Look-ups in a cache of the process, by their outcome.",
    .labels = {"cache", "outcome"},
};

static struct ch_series *series_of(const char *outcome)
{
    return ch_series_get(&requests_metric, (const char *const[]){"product", outcome});
}

static void cache_make(void)
{
    size_t count = 1;

    while (count * SLOTS < cache.entries)
        count *= 2;
    cache.sets = calloc(count, sizeof(*cache.sets));
    if (!cache.sets)
        return;
    cache.set_count = count;
    for (size_t i = 0; i < count; i++)
        (void)pthread_mutex_init(&cache.sets[i].lock, NULL); // cannot fail for a plain mutex
    cache.hit = series_of("hit");
    cache.miss = series_of("miss");
    cache.expired = series_of("expired");
}

enum ch_err product_cache_start(size_t entries)
{
    static pthread_mutex_t guard = PTHREAD_MUTEX_INITIALIZER;

    pthread_mutex_lock(&guard);
    if (!cache.entries)
        cache.entries = entries;
    pthread_mutex_unlock(&guard);
    pthread_once(&cache.once, cache_make);
    return cache.sets ? CH_OK : CH_ERR_NO_MEMORY;
}

// The last bytes of a UUIDv7 are random; the multiplication spreads those of made-up ids, too.
static struct set *set_of(struct ch_uuid product_id)
{
    uint64_t high, low;

    memcpy(&high, product_id.bytes, sizeof(high));
    memcpy(&low, product_id.bytes + sizeof(high), sizeof(low));
    return &cache.sets[(((high ^ low) * UINT64_C(0x9E3779B97F4A7C15)) >> 32) & (cache.set_count - 1)];
}

static void slot_clear(struct slot *slot)
{
    free(slot->body);
    slot->body = NULL;
}

static struct slot *slot_find(struct set *set, struct ch_uuid product_id)
{
    for (size_t i = 0; i < SLOTS; i++)
        if (set->slots[i].body && ch_uuid_eq(set->slots[i].product_id, product_id))
            return &set->slots[i];
    return NULL;
}

bool product_cache_get(struct ch_uuid product_id, struct ch_buf *body, char ret_etag[PRODUCT_ETAG_TEXT],
                       struct product_ticket *ret_ticket)
{
    struct set *set = set_of(product_id);
    const int64_t now_ns = ch_now_ns();
    bool is_hit = false, is_expired = false;

    pthread_mutex_lock(&set->lock);
    const struct slot *slot = slot_find(set, product_id);
    if (slot && now_ns - slot->started_ns < TTL_NS) {
        ch_buf_append(body, slot->body, slot->len);
        memcpy(ret_etag, slot->etag, PRODUCT_ETAG_TEXT);
        is_hit = true;
    } else {
        is_expired = slot != NULL;
        *ret_ticket = (struct product_ticket){.generation = set->generation, .started_ns = now_ns};
    }
    pthread_mutex_unlock(&set->lock);
    ch_count(is_hit ? cache.hit : is_expired ? cache.expired : cache.miss, 1);
    return is_hit;
}

// The product's own slot, else a free one, else the oldest.
static struct slot *slot_choose(struct set *set, struct ch_uuid product_id)
{
    struct slot *chosen = slot_find(set, product_id);

    for (size_t i = 0; i < SLOTS && !chosen; i++)
        if (!set->slots[i].body)
            chosen = &set->slots[i];
    if (chosen)
        return chosen;
    chosen = &set->slots[0];
    for (size_t i = 1; i < SLOTS; i++)
        if (set->slots[i].started_ns < chosen->started_ns)
            chosen = &set->slots[i];
    return chosen;
}

void product_cache_put(struct ch_uuid product_id, struct product_ticket ticket, struct ch_str body, const char *etag)
{
    struct set *set = set_of(product_id);
    struct slot slot = {.product_id = product_id, .started_ns = ticket.started_ns, .len = body.len};

    if (body.len == 0 || body.len > PRODUCT_CACHE_BODY_MAX || strlen(etag) >= sizeof(slot.etag))
        return;
    slot.body = malloc(body.len);
    if (!slot.body)
        return;
    memcpy(slot.body, body.data, body.len);
    memcpy(slot.etag, etag, strlen(etag) + 1);

    pthread_mutex_lock(&set->lock);
    if (set->generation == ticket.generation) {
        struct slot *chosen = slot_choose(set, product_id);
        struct slot old = *chosen;

        *chosen = slot;
        slot = old;
    }
    pthread_mutex_unlock(&set->lock);
    free(slot.body); // what was replaced, or what came too late
}

void product_cache_drop(struct ch_uuid product_id)
{
    struct set *set = set_of(product_id);

    pthread_mutex_lock(&set->lock);
    struct slot *slot = slot_find(set, product_id);
    if (slot)
        slot_clear(slot);
    set->generation++;
    pthread_mutex_unlock(&set->lock);
}

void product_cache_drop_all(void)
{
    for (size_t i = 0; i < cache.set_count; i++) {
        pthread_mutex_lock(&cache.sets[i].lock);
        for (size_t j = 0; j < SLOTS; j++)
            slot_clear(&cache.sets[i].slots[j]);
        cache.sets[i].generation++;
        pthread_mutex_unlock(&cache.sets[i].lock);
    }
}
