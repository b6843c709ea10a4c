// SPDX-License-Identifier: Apache-2.0
// Fetches from the issuer, by libcurl's multi interface, because its poll can be woken: a stop does not wait for a
// server that hangs. Must never follow a redirect (it could lead credentials elsewhere) nor log what it sends.
#include "fetch.h"

#include <curl/curl.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#define POLL_MS 1000

struct ch_fetch {
    CURLM *multi;
    char *ca_file;
    atomic_bool is_cancelled;
};

struct ch_fetch *ch_fetch_new(const char *ca_file)
{
    struct ch_fetch *fetch = calloc(1, sizeof(*fetch));

    if (!fetch)
        return NULL;
    fetch->multi = curl_multi_init();
    fetch->ca_file = ca_file && *ca_file ? strdup(ca_file) : NULL;
    if (fetch->multi && (fetch->ca_file || !ca_file || !*ca_file))
        return fetch;
    ch_fetch_free(fetch);
    return NULL;
}

void ch_fetch_free(struct ch_fetch *fetch)
{
    if (!fetch)
        return;
    (void)curl_multi_cleanup(fetch->multi); // accepts NULL; nothing is in it
    free(fetch->ca_file);
    free(fetch);
}

void ch_fetch_cancel(struct ch_fetch *fetch)
{
    atomic_store(&fetch->is_cancelled, true);
    (void)curl_multi_wakeup(fetch->multi); // lost only when memory is short: the poll ends by itself, later
}

static size_t on_data(char *data, size_t size, size_t count, void *arg)
{
    struct ch_buf *body = arg;

    ch_buf_append(body, data, size * count);
    return body->is_full ? 0 : size * count;
}

static void set_credentials(CURL *easy, const struct ch_fetch_request *request)
{
    char *user = curl_easy_escape(easy, request->user, 0), *password = curl_easy_escape(easy, request->password, 0);

    curl_easy_setopt(easy, CURLOPT_HTTPAUTH, (long)CURLAUTH_BASIC);
    curl_easy_setopt(easy, CURLOPT_USERNAME, user);
    curl_easy_setopt(easy, CURLOPT_PASSWORD, password);
    curl_free(user);
    curl_free(password);
}

static CURL *prepare(const struct ch_fetch *fetch, const struct ch_fetch_request *request, struct ch_buf *ret_body)
{
    CURL *easy = curl_easy_init();

    if (!easy)
        return NULL;
    curl_easy_setopt(easy, CURLOPT_URL, request->url);
    curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, request->timeout_ms);
    curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(easy, CURLOPT_PROXY, "");
    curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_data);
    curl_easy_setopt(easy, CURLOPT_WRITEDATA, ret_body);
    if (fetch->ca_file)
        curl_easy_setopt(easy, CURLOPT_CAINFO, fetch->ca_file);
    if (request->form)
        curl_easy_setopt(easy, CURLOPT_COPYPOSTFIELDS, request->form);
    if (request->user)
        set_credentials(easy, request);
    return easy;
}

// Until the answer is whole, or somebody cancels.
static CURLcode drive(struct ch_fetch *fetch)
{
    int running = 1, left;

    while (!atomic_load(&fetch->is_cancelled)) {
        if (curl_multi_perform(fetch->multi, &running) != CURLM_OK)
            return CURLE_FAILED_INIT;
        if (running == 0) {
            const CURLMsg *message = curl_multi_info_read(fetch->multi, &left);
            return message ? message->data.result : CURLE_FAILED_INIT;
        }
        if (curl_multi_poll(fetch->multi, NULL, 0, POLL_MS, NULL) != CURLM_OK)
            return CURLE_FAILED_INIT;
    }
    return CURLE_ABORTED_BY_CALLBACK;
}

enum ch_err ch_fetch_run(struct ch_fetch *fetch, const struct ch_fetch_request *request, struct ch_buf *ret_body,
                         long *ret_status)
{
    CURL *easy = prepare(fetch, request, ret_body);
    CURLcode code = CURLE_FAILED_INIT;

    if (!easy)
        return CH_ERR_NO_MEMORY;
    if (curl_multi_add_handle(fetch->multi, easy) == CURLM_OK) {
        code = drive(fetch);
        curl_easy_getinfo(easy, CURLINFO_RESPONSE_CODE, ret_status);
        (void)curl_multi_remove_handle(fetch->multi, easy); // it is in there
    }
    curl_easy_cleanup(easy);
    if (atomic_load(&fetch->is_cancelled))
        return CH_ERR_CANCELLED;
    return code == CURLE_OK ? CH_OK : CH_ERR_UNAVAILABLE;
}

int64_t ch_jitter_ns(int64_t pause_ns)
{
    uint32_t random;

    ch_random(&random, sizeof(random));
    return pause_ns / 2 + (int64_t)((double)pause_ns / 2 * ((double)random / UINT32_MAX));
}

/* ---- turns ------------------------------------------------------------------------------------------------------ */

#define SECOND_NS INT64_C(1000000000)

void ch_turn_init(struct ch_turn *turn)
{
    pthread_condattr_t monotonic;

    *turn = (struct ch_turn){0};
    pthread_mutex_init(&turn->lock, NULL);
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&turn->wake, &monotonic);
    pthread_condattr_destroy(&monotonic);
}

void ch_turn_release(struct ch_turn *turn)
{
    pthread_cond_destroy(&turn->wake);
    pthread_mutex_destroy(&turn->lock);
}

bool ch_turn_wait(struct ch_turn *turn, int64_t due_ns, int64_t asked_ns)
{
    while (!turn->is_stopping) {
        const int64_t until_ns = turn->is_asked && asked_ns < due_ns ? asked_ns : due_ns;
        const struct timespec until = {until_ns / SECOND_NS, until_ns % SECOND_NS};

        if (ch_now_ns() >= until_ns)
            return true;
        pthread_cond_timedwait(&turn->wake, &turn->lock, &until); // whatever woke it: looks again
    }
    return false;
}

void ch_turn_ask(struct ch_turn *turn)
{
    if (turn->is_asked)
        return;
    turn->is_asked = true;
    pthread_cond_signal(&turn->wake);
}

void ch_turn_stop(struct ch_turn *turn)
{
    pthread_mutex_lock(&turn->lock);
    turn->is_stopping = true;
    pthread_cond_signal(&turn->wake);
    pthread_mutex_unlock(&turn->lock);
}
