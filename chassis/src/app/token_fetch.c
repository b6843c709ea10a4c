// SPDX-License-Identifier: Apache-2.0
// The token this service shows to others, asked of the issuer by client credentials (RFC 6749 4.4) on a thread of its
// own, renewed well before it runs out. While the issuer is away the token at hand serves until its end; then calls
// fail at once instead of waiting. Secret and token must never be logged, nor kept in a file.
#include "token.h"

#include "../io/fetch.h"
#include "health.h"

#include <stdio.h>
#include <stdlib.h>

enum { ANSWER_MAX = 64 * 1024, SECRET_MAX = 1024, FORM_MAX = 512, TIMEOUT_MS = 3000, LIFE_UNSAID_S = 60 };
#define MS_NS        INT64_C(1000000)
#define SECOND_NS    INT64_C(1000000000)
#define RETRY_NS     (200 * MS_NS) /**< grows to ... */
#define RETRY_MAX_NS (15 * SECOND_NS)
#define ASK_NS       (2 * SECOND_NS) /**< a token that a peer refused is not renewed more often */
#define LIFE_MIN_S   5               /**< an issuer that grants less is asked no more often than if it granted this */
#define LIFE_MAX_S   86400

static const struct ch_metric fetches_metric = {
    "auth_token_fetches_total", CH_COUNTER, "Asking the issuer for this service's own token, by outcome.", {"outcome"}};
static const char *const outcome_ok[] = {"ok"}, *const outcome_failed[] = {"failed"};

static struct {
    struct ch_process *process;
    struct ch_fetch *fetch;
    pthread_t thread;
    struct ch_turn turn; // from the start to the process's end
    bool is_running;
} self;

/** What an answer of the issuer grants. */
struct grant {
    char token[CH_TOKEN_TEXT_MAX];
    int64_t life_s;
};

// ---- one request

// RFC 6749 5.1. What is no token of ours is as good as no answer.
static enum ch_err read_grant(struct ch_str body, struct grant *ret_grant)
{
    json_t *json = NULL;

    if (ch_json_parse(body, NULL, &json))
        return CH_ERR_UNAVAILABLE;
    const char *token = json_string_value(json_object_get(json, "access_token")),
               *type = json_string_value(json_object_get(json, "token_type"));
    const json_t *life = json_object_get(json, "expires_in");
    const bool is_good = token && type && ch_str_ieq(ch_str_of(type), CH_STR("Bearer")) &&
                         ch_token_is_presentable(token) && (!life || json_is_integer(life));

    if (is_good) {
        (void)snprintf(ret_grant->token, sizeof(ret_grant->token), "%s", token); // its length was looked at
        ret_grant->life_s = life ? json_integer_value(life) : LIFE_UNSAID_S;
        if (ret_grant->life_s < LIFE_MIN_S)
            ret_grant->life_s = LIFE_MIN_S;
        if (ret_grant->life_s > LIFE_MAX_S)
            ret_grant->life_s = LIFE_MAX_S;
    }
    json_decref(json);
    return is_good ? CH_OK : CH_ERR_UNAVAILABLE;
}

// The secret is read each time, so that it can be changed while the service runs.
static enum ch_err ask_issuer(struct grant *ret_grant, long *ret_status)
{
    char secret[SECRET_MAX], form[FORM_MAX];
    struct ch_buf body;

    *ret_status = 0;
    if (!ch_token_read_line(ch_settings.client_secret_file, secret, sizeof(secret)))
        return CH_ERR_INVALID;
    (void)snprintf(form, sizeof(form), "grant_type=client_credentials&scope=%s",
                   ch_settings.token_scope); // short enough
    const struct ch_fetch_request request = {
        .url = ch_settings.token_url,
        .form = form,
        .user = ch_settings.client_id,
        .password = secret,
        .timeout_ms = TIMEOUT_MS,
    };

    ch_buf_init(&body, ANSWER_MAX);
    enum ch_err err = ch_fetch_run(self.fetch, &request, &body, ret_status);
    if (!err && *ret_status != 200)
        err = *ret_status == 400 || *ret_status == 401 ? CH_ERR_UNAUTHENTICATED : CH_ERR_UNAVAILABLE;
    if (!err)
        err = read_grant(ch_buf_str(&body), ret_grant);
    explicit_bzero(secret, sizeof(secret));
    ch_buf_release(&body);
    return err;
}

// ---- the thread

// Until `due_ns`, or until somebody asks, but not sooner than ASK_NS after the last time. False: until the end.
static bool wait_for_turn(int64_t due_ns, int64_t fetched_ns)
{
    pthread_mutex_lock(&self.turn.lock);
    const bool may_run = ch_turn_wait(&self.turn, due_ns, fetched_ns + ASK_NS);
    self.turn.is_asked = false;
    pthread_mutex_unlock(&self.turn.lock);
    return may_run;
}

static void tell(enum ch_err err, enum ch_err last, long status)
{
    ch_count(ch_series_get(&fetches_metric, err ? outcome_failed : outcome_ok), 1);
    if (err == last || err == CH_ERR_CANCELLED)
        return;
    if (err)
        ch_log(CH_LOG_ERROR, NULL, "token.unavailable", CH_LS("error", ch_err_row(err)->code), CH_LI("status", status));
    else
        ch_log(CH_LOG_INFO, NULL, "token.fetched");
}

static void *token_thread(void *unused)
{
    int64_t due_ns = ch_now_ns(), fetched_ns = 0, ends_ns = 0, pause_ns = RETRY_NS;
    enum ch_err last = CH_ERR_INTERNAL;
    struct grant grant;
    long status;

    (void)unused;
    while (wait_for_turn(due_ns, fetched_ns)) {
        const enum ch_err err = ask_issuer(&grant, &status);
        const int64_t now_ns = fetched_ns = ch_now_ns();

        tell(err, last, status);
        last = err;
        if (!err) {
            ch_token_hand_over(self.process, grant.token);
            ends_ns = now_ns + grant.life_s * SECOND_NS;
            due_ns = now_ns + grant.life_s * SECOND_NS / 2 + ch_jitter_ns(grant.life_s * SECOND_NS / 4);
            pause_ns = RETRY_NS;
            continue;
        }
        if (ends_ns && now_ns >= ends_ns) {
            ch_token_hand_over(self.process, NULL);
            ends_ns = 0;
        }
        due_ns = now_ns + ch_jitter_ns(pause_ns);
        if (ends_ns && due_ns > ends_ns)
            due_ns = ends_ns;
        pause_ns = pause_ns * 2 < RETRY_MAX_NS ? pause_ns * 2 : RETRY_MAX_NS;
    }
    explicit_bzero(&grant, sizeof(grant));
    return NULL;
}

// ---- its life

enum ch_err ch_token_fetch_start(struct ch_process *process)
{
    if (!*ch_settings.token_url)
        return CH_OK;
    self.process = process;
    self.fetch = ch_fetch_new(ch_settings.issuer_ca_file);
    if (!self.fetch)
        return CH_ERR_NO_MEMORY;
    ch_turn_init(&self.turn);
    if (pthread_create(&self.thread, NULL, token_thread, NULL)) {
        ch_fetch_free(self.fetch);
        return CH_ERR_NO_MEMORY;
    }
    self.is_running = true;
    return CH_OK;
}

void ch_token_fetch_stop(void)
{
    if (!self.is_running)
        return;
    ch_turn_stop(&self.turn);
    ch_fetch_cancel(self.fetch);
    pthread_join(self.thread, NULL);
    ch_fetch_free(self.fetch);
    self.is_running = false;
}

void ch_token_refused(void *unused)
{
    (void)unused; // the process has one token
    if (!*ch_settings.token_url)
        return;
    pthread_mutex_lock(&self.turn.lock);
    ch_turn_ask(&self.turn);
    pthread_mutex_unlock(&self.turn.lock);
}
