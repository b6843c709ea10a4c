// SPDX-License-Identifier: Apache-2.0
// The relay: one thread that carries the outbox to the broker, in order of id. A row is marked as sent only after the
// broker's confirm, in the transaction that held it, so that a crash at any point sends an event twice rather than
// never; inboxes drop the second.
//
// An event that no queue is bound for is returned by the broker and then confirmed. Unless nobody has to hear its type
// (may_be_unheard of the service), it stays unsent and its type rests for a while (events_unheard.c).
//
// Rows that were sent stay. Several processes may relay one outbox: each takes rows that no other holds.
#include "ch/mutant.h"
#include "ch/point.h"
#include "events_unheard.h"

#include "src/app/relay_queries.h" // generated

#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define TAKE_MAX        CH_AMQP_WINDOW
#define BACKLOG_MAX     10000
#define IDLE_NS         INT64_C(500000000)
#define PACE_NS         INT64_C(80000000) // between the starts of two rounds; a full one is followed at once
#define MEASURE_NS      INT64_C(1000000000)
#define LETTERS_NS      INT64_C(5000000000)
#define CONNECT_NS      INT64_C(3000000000)
#define PUBLISH_NS      INT64_C(4000000000) // below the 5 s that a session may be idle in a transaction
#define ARENA_MAX_BYTES (4 * 1024 * 1024)
#define BODIES_MAX      (64 * 1024 * 1024)

struct relay {
    const char *service;
    struct ch_events_options options;
    pthread_t thread;
    int stop_fd;
    atomic_bool is_stopping;
    _Atomic(int64_t) stop_deadline_ns;

    struct ch_pgt *pgt;
    struct ch_amqp *amqp;
    struct ch_backoff backoff;
    struct ch_arena *arena; // of a round
    struct ch_buf bodies;
    int64_t paced_ns; // no round before; the first event after a rest goes at once
    int64_t measured_ns;
    int64_t unsent;
    int64_t letters_ns; // when the dead letters were last counted
    struct ch_unheard unheard;
    struct ch_series *published, *age, *unsent_gauge, *dead_letters;
};

/** What one round took from the outbox and made of it. */
struct round {
    size_t count; // rows
    size_t ready; // of them, as messages
    size_t sent;  // of them; their ids stand first
    int64_t *ids;
    struct ch_amqp_message *messages;
};

static struct relay *the_relay; // main thread: start and stop

static const struct ch_metric published_metric = {
    "outbox_published_total", CH_COUNTER, "Events that the broker confirmed", {NULL}};
static const struct ch_metric age_metric = {"outbox_age_seconds", CH_GAUGE, "Age of the oldest unsent event", {NULL}};
static const struct ch_metric unsent_metric = {"outbox_unsent", CH_GAUGE, "Unsent events, counted up to 10000", {NULL}};
static const struct ch_metric letters_metric = {"dead_letters", CH_GAUGE, "Messages in the dead-letter queue", {NULL}};

/* ---- connections ---------------------------------------------------------------------------------------------------
 */

// `limit_ns` from now, but no later than the process wants to end.
static int64_t within(struct relay *relay, int64_t limit_ns)
{
    const int64_t until_ns = ch_now_ns() + limit_ns, stop_ns = atomic_load(&relay->stop_deadline_ns);

    return until_ns < stop_ns ? until_ns : stop_ns;
}

static int64_t statement_deadline(struct relay *relay)
{
    return within(relay, relay->options.statement_timeout_ns);
}

static void close_amqp(struct relay *relay)
{
    ch_amqp_close(relay->amqp);
    relay->amqp = NULL;
    ch_events_report(CH_EVENTS_RELAY, false);
}

static void close_pgt(struct relay *relay)
{
    ch_pgt_close(relay->pgt);
    relay->pgt = NULL;
}

static enum ch_err connect_pgt(struct relay *relay)
{
    const struct ch_pgt_options options = {
        .uri = relay->options.postgres_uri,
        .queries = relay_queries,
        .application_name = relay->service,
        .statement_timeout_ns = relay->options.statement_timeout_ns,
    };

    return relay->pgt ? CH_OK : ch_pgt_open(&options, within(relay, CONNECT_NS), &relay->pgt);
}

static enum ch_err connect_amqp(struct relay *relay)
{
    enum ch_err err = relay->amqp ? ch_amqp_tick(relay->amqp) : CH_OK;

    if (err)
        close_amqp(relay);
    if (relay->amqp)
        return CH_OK;
    err = ch_amqp_open(relay->options.rabbitmq_uri, relay->service, within(relay, CONNECT_NS), &relay->amqp);
    if (!err)
        err = ch_amqp_confirm_select(relay->amqp);
    if (err)
        close_amqp(relay);
    else
        ch_events_report(CH_EVENTS_RELAY, true);
    return err;
}

/* ---- one round
 * ------------------------------------------------------------------------------------------------------- */

static struct ch_str traceparent_of(const struct ch_pg_rows *rows, size_t row, char text[CH_TRACEPARENT_TEXT])
{
    const struct ch_str stored = ch_traceparent_check(ch_pg_get_str(rows, row, 5));
    struct ch_trace trace;

    if (stored.len)
        return stored;
    ch_trace_start(&trace, (struct ch_str){0}); // none, or a bad one: the contract wants one all the same
    ch_random(trace.span_id, sizeof(trace.span_id));
    ch_trace_format(&trace, text);
    return ch_str_of(text);
}

// One row as a message; its body's place in the buffer is known only when all are written, until then `body.len` alone
// counts.
static bool build_message(struct relay *relay, const struct ch_pg_rows *rows, size_t row,
                          struct ch_amqp_message *message)
{
    char fresh[CH_TRACEPARENT_TEXT];
    const struct ch_event event = {
        .id = ch_pg_get_uuid(rows, row, 1),
        .type = ch_pg_get_str(rows, row, 2),
        .subject = ch_pg_get_str(rows, row, 3),
        .time_us = ch_pg_get_time(rows, row, 6),
        .traceparent = traceparent_of(rows, row, fresh),
    };
    const size_t before = relay->bodies.len;

    *message = (struct ch_amqp_message){
        .routing_key = ch_arena_strdup(relay->arena, event.type),
        .message_id = ch_arena_uuid(relay->arena, event.id),
        .content_type = CH_EVENT_CONTENT,
        .traceparent = ch_arena_strdup(relay->arena, event.traceparent),
    };
    ch_envelope_write(&relay->bodies, relay->service, &event, ch_pg_get_str(rows, row, 4));
    message->body.len = relay->bodies.len - before;
    return message->routing_key && message->message_id && message->traceparent && !relay->bodies.is_full;
}

static enum ch_err build_round(struct relay *relay, const struct ch_pg_rows *rows, struct round *ret_round)
{
    struct round round = {.count = ch_pg_count(rows)};
    const char *body;

    ch_buf_reset(&relay->bodies);
    round.ids = ch_arena_array(relay->arena, round.count, sizeof(*round.ids));
    round.messages = ch_arena_array(relay->arena, round.count, sizeof(*round.messages));
    if (!round.ids || !round.messages)
        return CH_ERR_NO_MEMORY;
    while (round.ready < round.count && build_message(relay, rows, round.ready, &round.messages[round.ready])) {
        round.ids[round.ready] = ch_pg_get_int(rows, round.ready, 0);
        round.ready++;
    }
    if (round.ready == 0)
        return CH_ERR_NO_MEMORY; // not even one fits
    body = relay->bodies.data;
    for (size_t i = 0; i < round.ready; i++) {
        round.messages[i].body.data = body;
        body += round.messages[i].body.len;
    }
    *ret_round = round;
    return CH_OK;
}

// Moves the ids of what counts as sent to the front. `*ret_refused`: messages that the broker did not confirm.
static void sort_sent(struct relay *relay, struct round *round, size_t *ret_refused)
{
    *ret_refused = 0;
    for (size_t i = 0; i < round->ready; i++) {
        const struct ch_amqp_message *message = &round->messages[i];
        if (!message->is_confirmed) {
            ++*ret_refused;
            continue;
        }
        if (message->is_returned && ch_unheard_note_returned(&relay->unheard, message->routing_key))
            continue;
        if (!message->is_returned)
            ch_unheard_note_taken(&relay->unheard, message->routing_key);
        round->ids[round->sent++] = round->ids[i];
    }
}

static enum ch_err mark_sent(struct relay *relay, const struct round *round)
{
    struct ch_pg_args args;

    if (round->sent == 0)
        return ch_pgt_rollback(relay->pgt, statement_deadline(relay));
    ch_pg_args_init_arena(&args, relay->arena);
    ch_pg_int8_array(&args, round->ids, round->sent);
    enum ch_err err = ch_pgt_exec(relay->pgt, RELAY_Q_OUTBOX_MARK_SENT, &args, statement_deadline(relay), NULL);
    if (!err)
        err = CH_POINT(RELAY_MARKED);
    if (!err)
        err = ch_pgt_commit(relay->pgt, statement_deadline(relay));
    if (err)
        return err;
    ch_count(relay->published, (int64_t)round->sent);
    return CH_POINT(RELAY_MARK_COMMITTED);
}

// A broker that refuses some (a queue at its limit) is asked again after a pause.
static enum ch_err publish_round(struct relay *relay, struct round *round)
{
    size_t refused;

    if (CH_MUTANT(MARK_SENT_BEFORE_CONFIRM)) {
        round->sent = round->ready;
        CH_IGNORE(mark_sent(relay, round)); // wrong on purpose
        round->sent = 0;
    }
    const enum ch_err publish_err =
        ch_amqp_publish(relay->amqp, round->messages, round->ready, within(relay, PUBLISH_NS));

    if (publish_err)
        close_amqp(relay);
    sort_sent(relay, round, &refused);
    enum ch_err err = CH_POINT(RELAY_CONFIRMED);
    if (!err)
        err = mark_sent(relay, round);
    if (err)
        return err;
    if (publish_err)
        return publish_err;
    return refused > 0 ? CH_ERR_OVERLOADED : CH_OK;
}

static enum ch_err take_rows(struct relay *relay, struct ch_pg_rows **ret_rows)
{
    struct ch_str resting[CH_UNHEARD_MAX];
    struct ch_pg_args args;
    enum ch_err err = ch_pgt_begin(relay->pgt, statement_deadline(relay));

    if (err)
        return err;
    ch_pg_args_init_arena(&args, relay->arena);
    ch_pg_int4(&args, TAKE_MAX);
    ch_pg_text_array(&args, resting, ch_unheard_resting(&relay->unheard, resting));
    return ch_pgt_exec(relay->pgt, RELAY_Q_OUTBOX_TAKE, &args, statement_deadline(relay), ret_rows);
}

static enum ch_err run_round(struct relay *relay, bool *ret_has_more)
{
    struct ch_pg_rows *rows CH_PG_ROWS = NULL;
    struct round round = {0};

    ch_arena_reset(relay->arena);
    enum ch_err err = take_rows(relay, &rows);
    if (err)
        return err;
    if (ch_pg_count(rows) == 0) {
        *ret_has_more = false;
        return ch_pgt_rollback(relay->pgt, statement_deadline(relay));
    }
    err = build_round(relay, rows, &round);
    if (err)
        return err;
    err = CH_POINT(RELAY_READ);
    if (!err)
        err = publish_round(relay, &round);
    // A round of nothing but what nobody takes is not repeated at once.
    *ret_has_more = round.sent > 0 && (round.count == TAKE_MAX || round.ready < round.count);
    return err;
}

/* ---- measuring
 * --------------------------------------------------------------------------------------------------------- */

static enum ch_err measure(struct relay *relay)
{
    struct ch_pg_rows *rows CH_PG_ROWS = NULL;
    struct ch_pg_args args;

    ch_arena_reset(relay->arena);
    ch_pg_args_init_arena(&args, relay->arena);
    ch_pg_int4(&args, BACKLOG_MAX);
    const enum ch_err err = ch_pgt_exec(relay->pgt, RELAY_Q_OUTBOX_BACKLOG, &args, statement_deadline(relay), &rows);
    if (err)
        return err;
    relay->unsent = ch_pg_get_int(rows, 0, 0);
    relay->measured_ns = ch_now_ns();
    ch_unheard_tick(&relay->unheard);
    ch_gauge_set(relay->unsent_gauge, relay->unsent);
    ch_gauge_set(relay->age, ch_pg_get_int(rows, 0, 1));
    return CH_OK;
}

static enum ch_err measure_if_due(struct relay *relay)
{
    return ch_now_ns() - relay->measured_ns >= MEASURE_NS ? measure(relay) : CH_OK;
}

// Every relay tells the same number: any of the services can raise the alarm.
static enum ch_err count_dead_letters(struct relay *relay)
{
    int64_t count;

    if (ch_now_ns() - relay->letters_ns < LETTERS_NS)
        return CH_OK;
    const enum ch_err err = ch_amqp_depth(relay->amqp, CH_AMQP_DEAD_QUEUE, &count);
    if (err)
        return err;
    relay->letters_ns = ch_now_ns();
    ch_gauge_set(relay->dead_letters, count);
    return CH_OK;
}

/* ---- the thread
 * -------------------------------------------------------------------------------------------------------- */

// Everything that waits, until there is none left or something fails.
static enum ch_err empty_outbox(struct relay *relay)
{
    bool has_more = true;
    enum ch_err err = CH_OK;

    (void)ch_signal_wait(relay->stop_fd, relay->paced_ns); // a pause either way
    while (has_more && !err) {
        relay->paced_ns = ch_now_ns() + PACE_NS;
        err = run_round(relay, &has_more);
        if (!err)
            err = measure_if_due(relay);
        if (!err)
            relay->backoff.next_ns = 0;
    }
    return err;
}

// Until somebody wakes us or, at the latest, it is time to look: whoever did not wake us may have died after its
// commit.
static enum ch_err rest(struct relay *relay)
{
    enum ch_err err = CH_OK;

    while (!err && !atomic_load(&relay->is_stopping)) {
        const bool is_set = ch_signal_wait(ch_outbox_wake_fd(), ch_now_ns() + IDLE_NS);
        if (is_set && ch_outbox_wake_take())
            return CH_OK;
        err = ch_amqp_tick(relay->amqp);
        if (!err)
            err = count_dead_letters(relay);
        if (err) {
            close_amqp(relay);
            return err;
        }
        err = measure(relay);
        if (!err && relay->unsent > 0)
            return CH_OK;
    }
    return err;
}

static void recover(struct relay *relay, enum ch_err why)
{
    if (why != CH_ERR_UNAVAILABLE && why != CH_ERR_DEADLINE)
        ch_log(CH_LOG_WARN, NULL, "outbox.stalled", CH_LS("error", ch_err_row(why)->code));
    // A failed statement leaves its transaction open. And the age must be seen to grow while the broker is away.
    if (relay->pgt && (ch_pgt_rollback(relay->pgt, statement_deadline(relay)) || measure_if_due(relay)))
        close_pgt(relay);
    (void)ch_signal_wait(relay->stop_fd, ch_now_ns() + ch_backoff_take(&relay->backoff));
}

static void *relay_main(void *arg)
{
    struct relay *relay = arg;

    (void)pthread_setname_np(pthread_self(), "outbox-relay"); // a name only
    for (;;) {
        // Read before the work: what was committed before the stop is carried.
        const bool is_last = atomic_load(&relay->is_stopping);
        const enum ch_err amqp_err = connect_amqp(relay); // also keeps it alive while the database is away
        enum ch_err err = connect_pgt(relay);
        if (!err)
            err = amqp_err;
        if (!err)
            err = empty_outbox(relay);
        if (is_last)
            break;
        if (!err)
            err = rest(relay);
        if (err && !atomic_load(&relay->is_stopping))
            recover(relay, err);
    }
    close_amqp(relay);
    close_pgt(relay);
    return NULL;
}

/* ---- start and stop
 * ---------------------------------------------------------------------------------------------------- */

static void relay_free(struct relay *relay)
{
    if (relay->stop_fd >= 0)
        (void)close(relay->stop_fd); // an eventfd has nothing to lose
    ch_arena_free(relay->arena);
    ch_buf_release(&relay->bodies);
    free(relay);
}

enum ch_err ch_relay_start(const struct ch_service *service, const struct ch_events_options *options)
{
    struct relay *relay = calloc(1, sizeof(*relay));

    if (!relay)
        return CH_ERR_NO_MEMORY;
    relay->service = service->name;
    relay->options = *options;
    relay->stop_deadline_ns = INT64_MAX;
    relay->stop_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    relay->arena = ch_arena_new(ARENA_MAX_BYTES);
    ch_buf_init(&relay->bodies, BODIES_MAX);
    relay->published = ch_series_get(&published_metric, NULL);
    ch_unheard_init(&relay->unheard, service->may_be_unheard);
    relay->age = ch_series_get(&age_metric, NULL);
    relay->dead_letters = ch_series_get(&letters_metric, NULL);
    relay->unsent_gauge = ch_series_get(&unsent_metric, NULL);
    if (relay->stop_fd < 0 || !relay->arena || ch_outbox_wake_fd() < 0 ||
        pthread_create(&relay->thread, NULL, relay_main, relay) != 0) {
        relay_free(relay);
        return CH_ERR_LIMIT;
    }
    the_relay = relay;
    return CH_OK;
}

void ch_relay_stop(int64_t deadline_ns)
{
    struct relay *relay = the_relay;

    if (!relay)
        return;
    the_relay = NULL;
    atomic_store(&relay->stop_deadline_ns, deadline_ns);
    atomic_store(&relay->is_stopping, true);
    ch_signal_set(relay->stop_fd);
    ch_outbox_wake();
    if (ch_events_join(relay->thread, deadline_ns))
        relay_free(relay);
    else
        ch_log(CH_LOG_WARN, NULL, "events.abandoned",
               CH_LS("thread", "outbox-relay")); // the rows stay unsent for the next process
}
