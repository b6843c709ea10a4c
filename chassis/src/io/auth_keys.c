// SPDX-License-Identifier: Apache-2.0
// Where the key set comes from: a file or a URL, read by a thread of its own. While the source is away the last good
// keys stay. Must never block a loop, and never read a source more often than its interval allows, however many unknown
// kids arrive.
#include "auth_internal.h"

#include <curl/curl.h>
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>

enum { JWKS_MAX = 256 * 1024, FETCH_TIMEOUT_MS = 3000 };
#define SECOND_NS INT64_C(1000000000)

// How often a source may be read when somebody asks, and how often it is read anyway.
static const struct {
    int64_t ask_ns, refresh_ns;
} pace[] = {
    {1 * SECOND_NS, 5 * SECOND_NS},    // file
    {10 * SECOND_NS, 300 * SECOND_NS}, // URL
};

struct ch_keys {
    char *source, *issuer, *audience;
    bool is_url, is_stopping, is_asked;
    struct ch_buf text; // last good JWKS
    uint64_t version;   // of text; read without the lock
    int64_t read_ns;    // when the source was read last
    struct ch_keys_listener *listeners;
    pthread_mutex_t lock;
    pthread_cond_t wake;
    pthread_t thread;
};

static size_t on_data(char *data, size_t size, size_t count, void *arg)
{
    struct ch_buf *text = arg;

    ch_buf_append(text, data, size * count);
    return text->is_full ? 0 : size * count;
}

static enum ch_err read_url(const char *url, struct ch_buf *ret_text)
{
    CURL *curl = curl_easy_init();
    long status = 0;

    if (!curl)
        return CH_ERR_NO_MEMORY;
    curl_easy_setopt(curl, CURLOPT_URL, url);
    curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, (long)FETCH_TIMEOUT_MS);
    curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, on_data);
    curl_easy_setopt(curl, CURLOPT_WRITEDATA, ret_text);
    const CURLcode code = curl_easy_perform(curl);
    curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &status);
    curl_easy_cleanup(curl);
    return code == CURLE_OK && status == 200 ? CH_OK : CH_ERR_UNAVAILABLE;
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
    enum ch_err err = keys->is_url ? read_url(keys->source, &text) : read_file(keys->source, &text);
    if (!err) {
        err = ch_key_set_import(ch_buf_str(&text), &set);
        ch_key_set_release(&set);
    }
    pthread_mutex_lock(&keys->lock);
    keys->read_ns = ch_now_ns();
    if (!err && !ch_str_eq(ch_buf_str(&text), ch_buf_str(&keys->text))) {
        const struct ch_buf old = keys->text;
        keys->text = text;
        text = old;
        __atomic_add_fetch(&keys->version, 1, __ATOMIC_RELEASE);
    }
    pthread_mutex_unlock(&keys->lock);
    ch_buf_release(&text);
    return err;
}

static void tell_listeners(struct ch_keys *keys)
{
    pthread_mutex_lock(&keys->lock);
    keys->is_asked = false;
    for (struct ch_keys_listener *listener = keys->listeners; listener; listener = listener->next)
        if (!__atomic_exchange_n(&listener->is_posted, true, __ATOMIC_ACQ_REL))
            ch_loop_post(listener->loop, &listener->mail);
    pthread_mutex_unlock(&keys->lock);
}

static void wait_for_turn(struct ch_keys *keys)
{
    const int64_t until_ns = ch_now_ns() + pace[keys->is_url].refresh_ns;
    const struct timespec until = {until_ns / SECOND_NS, until_ns % SECOND_NS};

    pthread_mutex_lock(&keys->lock);
    while (!keys->is_stopping && !keys->is_asked)
        if (pthread_cond_timedwait(&keys->wake, &keys->lock, &until) == ETIMEDOUT)
            break;
    pthread_mutex_unlock(&keys->lock);
}

static bool is_stopping(struct ch_keys *keys)
{
    pthread_mutex_lock(&keys->lock);
    const bool stopping = keys->is_stopping;
    pthread_mutex_unlock(&keys->lock);
    return stopping;
}

static void *keys_thread(void *arg)
{
    struct ch_keys *keys = arg;
    enum ch_err last = CH_OK;

    for (;;) {
        wait_for_turn(keys);
        if (is_stopping(keys))
            return NULL;
        const enum ch_err err = refresh(keys);
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
    pthread_condattr_t monotonic;

    if (!keys)
        return CH_ERR_NO_MEMORY;
    keys->source = strdup(options->source);
    keys->issuer = strdup(options->issuer);
    keys->audience = strdup(options->audience);
    keys->is_url = strncmp(options->source, "http://", 7) == 0 || strncmp(options->source, "https://", 8) == 0;
    keys->is_asked =
        keys->is_url; // a URL is read by the thread at once; the service starts without it and is not ready
    ch_buf_init(&keys->text, JWKS_MAX);
    pthread_mutex_init(&keys->lock, NULL);
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&keys->wake, &monotonic);
    pthread_condattr_destroy(&monotonic);

    enum ch_err err = keys->source && keys->issuer && keys->audience ? CH_OK : CH_ERR_NO_MEMORY;
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
    pthread_mutex_lock(&keys->lock);
    keys->is_stopping = true;
    pthread_cond_signal(&keys->wake);
    pthread_mutex_unlock(&keys->lock);
    if (!pthread_equal(keys->thread, pthread_self()))
        pthread_join(keys->thread, NULL);
    pthread_cond_destroy(&keys->wake);
    pthread_mutex_destroy(&keys->lock);
    ch_buf_release(&keys->text);
    free(keys->source);
    free(keys->issuer);
    free(keys->audience);
    free(keys);
}

bool ch_keys_are_loaded(const struct ch_keys *keys)
{
    return ch_keys_version(keys) > 0;
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
    pthread_mutex_lock(&keys->lock);
    ch_buf_append_str(ret_text, ch_buf_str(&keys->text));
    *ret_version = keys->version;
    pthread_mutex_unlock(&keys->lock);
    return ret_text->is_full ? CH_ERR_NO_MEMORY : CH_OK;
}

void ch_keys_listen(struct ch_keys *keys, struct ch_keys_listener *listener)
{
    pthread_mutex_lock(&keys->lock);
    listener->next = keys->listeners;
    keys->listeners = listener;
    pthread_mutex_unlock(&keys->lock);
}

void ch_keys_unlisten(struct ch_keys *keys, struct ch_keys_listener *listener)
{
    pthread_mutex_lock(&keys->lock);
    for (struct ch_keys_listener **at = &keys->listeners; *at; at = &(*at)->next)
        if (*at == listener) {
            *at = listener->next;
            break;
        }
    pthread_mutex_unlock(&keys->lock);
}

bool ch_keys_ask(struct ch_keys *keys)
{
    pthread_mutex_lock(&keys->lock);
    const bool may = keys->is_asked || ch_now_ns() - keys->read_ns >= pace[keys->is_url].ask_ns;
    if (may && !keys->is_asked) {
        keys->is_asked = true;
        pthread_cond_signal(&keys->wake);
    }
    pthread_mutex_unlock(&keys->lock);
    return may;
}
