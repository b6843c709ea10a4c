// SPDX-License-Identifier: Apache-2.0
/**
 * @file fetch.h
 * @brief One HTTP request at a time from a thread that may block (libcurl): the issuer's keys and tokens. Never on a
 * loop.
 *
 * http and https only, certificates are checked, no redirect is followed, no proxy of the environment is used, the
 * answer is bounded.
 */
#ifndef CH_IO_FETCH_H
#define CH_IO_FETCH_H

#include "ch/base.h"

#include <pthread.h>

struct ch_fetch;
/** `ca_file`: PEM of the authorities to trust, copied; NULL or "": the system's. NULL: memory is short. */
struct ch_fetch *ch_fetch_new(const char *ca_file);
/** Nothing may run any more. Accepts NULL. */
void ch_fetch_free(struct ch_fetch *fetch);
/** Any thread: what runs, and whatever is run later, ends with CH_ERR_CANCELLED. */
void ch_fetch_cancel(struct ch_fetch *fetch);

struct ch_fetch_request {
    const char *url;
    const char *form;            /**< application/x-www-form-urlencoded: POST; NULL: GET */
    const char *user, *password; /**< HTTP Basic, form-urlencoded before as RFC 6749 2.3.1 wants; NULL: none */
    long timeout_ms;
};
/** CH_OK: there is an answer of any status, its body in `ret_body`. CH_ERR_UNAVAILABLE: there is none, or a larger one
 * than the buffer takes. */
CH_MUST_CHECK enum ch_err ch_fetch_run(struct ch_fetch *fetch, const struct ch_fetch_request *request,
                                       struct ch_buf *ret_body, long *ret_status);

/** Half of `pause_ns` and a random part of the other half: instances that failed together do not come back together. */
int64_t ch_jitter_ns(int64_t pause_ns);

/** What a thread that fetches sleeps on. The flags belong to the lock. */
struct ch_turn {
    pthread_mutex_t lock;
    pthread_cond_t wake; /**< counts by CLOCK_MONOTONIC */
    bool is_stopping, is_asked;
};
void ch_turn_init(struct ch_turn *turn);
/** No thread may sleep on it any more. */
void ch_turn_release(struct ch_turn *turn);
/** Locked. Sleeps until `due_ns`, or, once somebody asked, until `asked_ns` if that is sooner. False: it is stopping.
 */
bool ch_turn_wait(struct ch_turn *turn, int64_t due_ns, int64_t asked_ns);
/** Locked, any thread: whoever sleeps may come sooner. */
void ch_turn_ask(struct ch_turn *turn);
/** Any thread: no more turns; whoever sleeps wakes. */
void ch_turn_stop(struct ch_turn *turn);

#endif
