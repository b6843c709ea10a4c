// SPDX-License-Identifier: Apache-2.0
// Where the key set comes from: a file or a URL, read by a thread of its own. While the source is away the last good
// keys stay; while there are none yet the service lives and is not ready. Must never block a loop, and never read a
// source more often than its pace allows, however many unknown kids arrive.
#include "auth_internal.h"
#include "fetch.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { JWKS_MAX = 256 * 1024, FETCH_TIMEOUT_MS = 3000 };
#define MS_NS     INT64_C(1000000)
#define SECOND_NS INT64_C(1000000000)

// How soon after the last time a source may be read because somebody asks, how soon it is read anyway (a key that was
// withdrawn lives no longer), and how soon again when it failed: growing, half of it by chance.
static const struct {
    int64_t ask_ns, refresh_ns, retry_ns, retry_max_ns;
} pace[] = {
    {1 * SECOND_NS, 5 * SECOND_NS, SECOND_NS, 5 * SECOND_NS},     // file
    {2 * SECOND_NS, 60 * SECOND_NS, 200 * MS_NS, 15 * SECOND_NS}, // URL
};

static const struct ch_metric reads_metric = {
    "auth_keys_reads_total", CH_COUNTER, "Readings of the issuer's key set, by outcome.", {"outcome"}};
static const char *const outcome_ok[] = {"ok"}, *const outcome_failed[] = {"failed"};

struct ch_keys {
    char *source, *issuer, *audience;
    bool is_url, is_reading;
    int failures;       // since the last success
    struct ch_buf text; // last good JWKS
    uint64_t version;   // of text; read without the lock
    int64_t read_ns;    // when the source was read last, well or not
    int64_t good_ns;    // ... and well; read without the lock
    struct ch_fetch *fetch;
    struct ch_keys_listener *listeners;
    struct ch_turn turn; // its lock is for all of this
    pthread_t thread;
};

static enum ch_err read_url(struct ch_keys *keys, struct ch_buf *ret_text)
{
    const struct ch_fetch_request request = {.url = keys->source, .timeout_ms = FETCH_TIMEOUT_MS};
    long status = 0;
    const enum ch_err err = ch_fetch_run(keys->fetch, &request, ret_text, &status);

    return !err && status != 200 ? CH_ERR_UNAVAILABLE : err;
}

static enum ch_err read_file(const char *path, struct ch_buf *ret_text)
{
    FILE *file = fopen(path, "re");
    char chunk[8192];
    size_t n;

    if (!file)
        return CH_ERR_UNAVAILABLE;
    while ((n = fread(chunk, 1, sizeof(chunk), file)) > 0)
        ch_buf_append(ret_text, chunk, n);
    const bool is_broken = ferror(file) || ret_text->is_full;
    fclose(file);
    return is_broken ? CH_ERR_UNAVAILABLE : CH_OK;
}

// Reads the source and keeps what it says if it is a usable key set.
static enum ch_err refresh(struct ch_keys *keys)
{
    struct ch_key_set set;
    struct ch_buf text;

    ch_buf_init(&text, JWKS_MAX);
    enum ch_err err = keys->is_url ? read_url(keys, &text) : read_file(keys->source, &text);
    if (!err) {
        err = ch_key_set_import(ch_buf_str(&text), &set);
        ch_key_set_release(&set);
    }
    pthread_mutex_lock(&keys->turn.lock);
    keys->read_ns = ch_now_ns();
    keys->failures = err ? keys->failures + 1 : 0;
    if (!err)
        __atomic_store_n(&keys->good_ns, keys->read_ns, __ATOMIC_RELAXED);
    if (!err && !ch_str_eq(ch_buf_str(&text), ch_buf_str(&keys->text))) {
        const struct ch_buf old = keys->text;
        keys->text = text;
        text = old;
        __atomic_add_fetch(&keys->version, 1, __ATOMIC_RELEASE);
    }
    pthread_mutex_unlock(&keys->turn.lock);
    ch_buf_release(&text);
    ch_count(ch_series_get(&reads_metric, err ? outcome_failed : outcome_ok), 1);
    return err;
}

static void tell_listeners(struct ch_keys *keys)
{
    pthread_mutex_lock(&keys->turn.lock);
    keys->turn.is_asked = keys->is_reading = false;
    for (struct ch_keys_listener *listener = keys->listeners; listener; listener = listener->next)
        if (!__atomic_exchange_n(&listener->is_posted, true, __ATOMIC_ACQ_REL))
            ch_loop_post(listener->loop, &listener->mail);
    pthread_mutex_unlock(&keys->turn.lock);
}

static int64_t retry_ns(const struct ch_keys *keys)
{
    int64_t pause_ns = pace[keys->is_url].retry_ns;

    for (int i = 1; i < keys->failures && pause_ns < pace[keys->is_url].retry_max_ns; i++)
        pause_ns *= 2;
    return ch_jitter_ns(pause_ns < pace[keys->is_url].retry_max_ns ? pause_ns : pace[keys->is_url].retry_max_ns);
}

// Parks the thread until the source is to be read; false: until the end.
static bool wait_for_turn(struct ch_keys *keys)
{
    pthread_mutex_lock(&keys->turn.lock);
    const int64_t due_ns = keys->read_ns + (keys->failures > 0 ? retry_ns(keys) : pace[keys->is_url].refresh_ns);
    const bool may_run = keys->is_reading =
        ch_turn_wait(&keys->turn, due_ns, keys->read_ns + pace[keys->is_url].ask_ns);
    pthread_mutex_unlock(&keys->turn.lock);
    return may_run;
}

static bool is_stopping(struct ch_keys *keys)
{
    pthread_mutex_lock(&keys->turn.lock);
    const bool stopping = keys->turn.is_stopping;
    pthread_mutex_unlock(&keys->turn.lock);
    return stopping;
}

static void *keys_thread(void *arg)
{
    struct ch_keys *keys = arg;
    enum ch_err last = CH_OK;

    for (;;) {
        if (!wait_for_turn(keys))
            return NULL;
        const enum ch_err err = refresh(keys);
        if (is_stopping(keys))
            return NULL;
        if (err != last)
            ch_log(err ? CH_LOG_WARN : CH_LOG_INFO, NULL, err ? "keys.unavailable" : "keys.read",
                   CH_LS("code", ch_err_row(err)->code));
        last = err;
        tell_listeners(keys);
    }
}

enum ch_err ch_keys_start(const struct ch_keys_options *options, struct ch_keys **ret_keys)
{
    struct ch_keys *keys = calloc(1, sizeof(*keys));

    if (!keys)
        return CH_ERR_NO_MEMORY;
    keys->source = strdup(options->source);
    keys->issuer = strdup(options->issuer);
    keys->audience = strdup(options->audience);
    keys->is_url = strncmp(options->source, "http://", 7) == 0 || strncmp(options->source, "https://", 8) == 0;
    keys->fetch = ch_fetch_new(options->ca_file);
    // The thread reads a URL at once: the service starts without it, and is not ready.
    keys->read_ns = keys->is_url ? INT64_MIN / 2 : 0;
    ch_buf_init(&keys->text, JWKS_MAX);
    ch_turn_init(&keys->turn);

    enum ch_err err = keys->source && keys->issuer && keys->audience && keys->fetch ? CH_OK : CH_ERR_NO_MEMORY;
    if (!err && !keys->is_url && refresh(keys))
        err = CH_ERR_INVALID;
    if (!err && pthread_create(&keys->thread, NULL, keys_thread, keys))
        err = CH_ERR_NO_MEMORY;
    if (err) {
        keys->thread = pthread_self(); // nothing to join
        ch_keys_stop(keys);
        return err;
    }
    *ret_keys = keys;
    return CH_OK;
}

void ch_keys_stop(struct ch_keys *keys)
{
    if (!keys)
        return;
    ch_turn_stop(&keys->turn);
    if (keys->fetch)
        ch_fetch_cancel(keys->fetch);
    if (!pthread_equal(keys->thread, pthread_self()))
        pthread_join(keys->thread, NULL);
    ch_turn_release(&keys->turn);
    ch_buf_release(&keys->text);
    ch_fetch_free(keys->fetch);
    free(keys->source);
    free(keys->issuer);
    free(keys->audience);
    free(keys);
}

bool ch_keys_are_loaded(const struct ch_keys *keys)
{
    return ch_keys_version(keys) > 0;
}

int64_t ch_keys_age_s(const struct ch_keys *keys)
{
    const int64_t good_ns = __atomic_load_n(&keys->good_ns, __ATOMIC_RELAXED);

    return good_ns ? (ch_now_ns() - good_ns) / SECOND_NS : -1;
}

const char *ch_keys_issuer(const struct ch_keys *keys)
{
    return keys->issuer;
}

const char *ch_keys_audience(const struct ch_keys *keys)
{
    return keys->audience;
}

uint64_t ch_keys_version(const struct ch_keys *keys)
{
    return __atomic_load_n(&keys->version, __ATOMIC_ACQUIRE);
}

enum ch_err ch_keys_text(struct ch_keys *keys, struct ch_buf *ret_text, uint64_t *ret_version)
{
    pthread_mutex_lock(&keys->turn.lock);
    ch_buf_append_str(ret_text, ch_buf_str(&keys->text));
    *ret_version = keys->version;
    pthread_mutex_unlock(&keys->turn.lock);
    return ret_text->is_full ? CH_ERR_NO_MEMORY : CH_OK;
}

void ch_keys_listen(struct ch_keys *keys, struct ch_keys_listener *listener)
{
    pthread_mutex_lock(&keys->turn.lock);
    listener->next = keys->listeners;
    keys->listeners = listener;
    pthread_mutex_unlock(&keys->turn.lock);
}

void ch_keys_unlisten(struct ch_keys *keys, struct ch_keys_listener *listener)
{
    pthread_mutex_lock(&keys->turn.lock);
    for (struct ch_keys_listener **at = &keys->listeners; *at; at = &(*at)->next)
        if (*at == listener) {
            *at = listener->next;
            break;
        }
    pthread_mutex_unlock(&keys->turn.lock);
}

enum ch_keys_answer ch_keys_ask(struct ch_keys *keys)
{
    enum ch_keys_answer answer;

    pthread_mutex_lock(&keys->turn.lock);
    if (keys->failures > 0)
        answer = CH_KEYS_NEVER; // it is tried again anyway
    else if (keys->is_reading || ch_now_ns() - keys->read_ns >= pace[keys->is_url].ask_ns)
        answer = CH_KEYS_NOW;
    else
        answer = CH_KEYS_LATER;
    if (answer != CH_KEYS_NEVER)
        ch_turn_ask(&keys->turn);
    pthread_mutex_unlock(&keys->turn.lock);
    return answer;
}
