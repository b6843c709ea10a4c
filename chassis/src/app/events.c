// SPDX-License-Identifier: Apache-2.0
// Starts and stops the threads of events, and holds what they share. It must never know what an event means.
#include "events_internal.h"

#include "health.h"
#include "src/app/events_queries.h" // generated

#include <errno.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define BACKOFF_MIN_NS INT64_C(100000000)
#define BACKOFF_MAX_NS INT64_C(2000000000)
#define PAUSE_MIN_NS   INT64_C(200000000)
#define PAUSE_MAX_NS   INT64_C(10000000000)
#define JOIN_MIN_NS    INT64_C(200000000) // for a thread that ends right at the deadline

static struct {
    pthread_mutex_t lock; // so that the last report is the one that counts
    int needed, up;       // bits of enum ch_events_part
} parts = {.lock = PTHREAD_MUTEX_INITIALIZER};

const struct ch_query *ch_events_queries(const struct ch_service *service)
{
    static struct ch_query chosen[EVENTS_Q_COUNT + 1];

    _Static_assert(EVENTS_Q_INBOX_TRIM == EVENTS_Q_COUNT - 2 && EVENTS_Q_INBOX_INSERT == EVENTS_Q_COUNT - 1,
                   "who consumes nothing goes without the last two");
    memcpy(chosen, events_queries, sizeof(chosen));
    if (!service->consumers || !service->consumers[0].queue)
        chosen[EVENTS_Q_INBOX_TRIM] = (struct ch_query){0};
    return chosen;
}

enum ch_err ch_events_start(const struct ch_service *service, const struct ch_events_options *options)
{
    const bool has_consumers = service->consumers && service->consumers[0].queue;
    enum ch_err err = ch_amqp_check_uri(options->rabbitmq_uri);

    if (err)
        return err;
    parts.needed = CH_EVENTS_RELAY | (has_consumers ? CH_EVENTS_CONSUMERS : 0); // no thread of ours runs yet
    parts.up = 0;
    err = ch_relay_start(service, options);
    if (err)
        return err;
    err = has_consumers ? ch_consumers_start(service, options) : CH_OK;
    if (err)
        ch_relay_stop(ch_now_ns() + BACKOFF_MAX_NS);
    return err;
}

void ch_events_stop_consuming(void)
{
    ch_consumers_cancel();
}

void ch_events_stop(int64_t deadline_ns)
{
    ch_consumers_cancel();
    ch_consumers_stop(deadline_ns); // first: what they did may have written to the outbox
    ch_relay_stop(deadline_ns);
}

void ch_events_report(enum ch_events_part part, bool is_up)
{
    (void)pthread_mutex_lock(&parts.lock); // never destroyed, never taken twice
    parts.up = is_up ? parts.up | (int)part : parts.up & ~(int)part;
    ch_health_set("rabbitmq", (parts.up & parts.needed) == parts.needed);
    (void)pthread_mutex_unlock(&parts.lock);
}

bool ch_events_join(pthread_t thread, int64_t deadline_ns)
{
    const int64_t left_ns = deadline_ns > ch_now_ns() + JOIN_MIN_NS ? deadline_ns - ch_now_ns() : JOIN_MIN_NS;
    struct timespec until;

    (void)clock_gettime(CLOCK_REALTIME, &until); // cannot fail
    const int64_t end_ns = until.tv_sec * INT64_C(1000000000) + until.tv_nsec + left_ns;
    until = (struct timespec){.tv_sec = end_ns / 1000000000, .tv_nsec = end_ns % 1000000000};
    return pthread_timedjoin_np(thread, NULL, &until) == 0;
}

/* ---- signals, backoff ------------------------------------------------------------------------------------------- */

void ch_signal_set(int fd)
{
    (void)eventfd_write(fd, 1); // at its maximum it is set all the same
}

void ch_signal_clear(int fd)
{
    eventfd_t count;

    (void)eventfd_read(fd, &count); // not set: nothing to clear
}

bool ch_signal_wait(int fd, int64_t deadline_ns)
{
    for (;;) {
        struct pollfd item = {.fd = fd, .events = POLLIN};
        const int64_t left_ms = (deadline_ns - ch_now_ns() + 999999) / 1000000;
        const int ready = poll(&item, 1, left_ms <= 0 ? 0 : left_ms > 60000 ? 60000 : (int)left_ms);
        if (ready > 0)
            return true;
        if (left_ms <= 0)
            return false;
    }
}

// At least half of it, the rest by chance.
static int64_t jittered(int64_t full_ns)
{
    uint32_t dice;

    ch_random(&dice, sizeof(dice));
    return full_ns / 2 + (int64_t)((uint64_t)(full_ns / 2) * dice >> 32);
}

int64_t ch_backoff_take(struct ch_backoff *backoff)
{
    if (backoff->next_ns < BACKOFF_MIN_NS)
        backoff->next_ns = BACKOFF_MIN_NS;
    const int64_t full_ns = backoff->next_ns;
    backoff->next_ns = full_ns * 2 > BACKOFF_MAX_NS ? BACKOFF_MAX_NS : full_ns * 2;
    return jittered(full_ns);
}

int64_t ch_backoff_of(int pauses)
{
    int64_t full_ns = PAUSE_MIN_NS;

    for (int i = 0; i < pauses && full_ns < PAUSE_MAX_NS; i++)
        full_ns *= 2;
    return jittered(full_ns < PAUSE_MAX_NS ? full_ns : PAUSE_MAX_NS);
}
