// SPDX-License-Identifier: Apache-2.0
// Outbox, relay, consumers and inbox together, with a real broker and a real database: what is committed is published,
// what is published is applied once, what is poisoned ends alone in the dead-letter queue, and neither server's absence
// loses or repeats anything.
#include "cases.h"

#include "ch/amqp.h"

#include "pg_server.h"
#include "rabbit_server.h"

#include <libpq-fe.h>

#include "../src/app/events_internal.h"
#include "../src/app/health.h"
#include "../src/app/loop_state.h"
#include "../src/io/amqp_internal.h"

#define SECONDS(count) ((int64_t)(count)*1000000000)
#define MADE           "test.made.v1"
#define QUEUE          "test.made"

static struct rabbit_server broker;
static struct pg_server database;
static char postgres_uri[256];

/* ---- a service of one consumer
 * ------------------------------------------------------------------------------------------- */

enum { Q_EFFECT_INSERT, Q_EFFECT_COUNT_OF };
static const struct ch_query own_queries[] = {
    [Q_EFFECT_INSERT] = {"effect_insert", "INSERT INTO effects (subject) SELECT unnest($1::text[])", true},
    {0},
};

static atomic_int calls; // of the handler, that came to its end

struct data {
    struct ch_str fail;
};
static const struct ch_field data_fields[] = {
    {"fail", CH_FIELD_STR, offsetof(struct data, fail), .flags = CH_F_OPTIONAL, .max = 20},
    {0},
};

static atomic_bool is_thing_away; // what some events need

// What an event's "fail" makes of it.
static const struct {
    const char *fail;
    enum ch_err err;
} failures[] = {{"internal", CH_ERR_INTERNAL}, {"late", CH_ERR_DEADLINE}};

static enum ch_err fail_as_told(struct ch_ctx *ctx, const struct ch_event *event)
{
    struct data data = {{0}};
    enum ch_err err = ch_json_bind(event->data, data_fields, "/data", &ctx->faults, &data, NULL);

    if (err)
        return err;
    if (ch_str_is(data.fail, "away"))
        return atomic_load(&is_thing_away) ? CH_ERR_UNAVAILABLE : CH_OK;
    for (size_t i = 0; i < sizeof(failures) / sizeof(failures[0]); i++)
        if (ch_str_is(data.fail, failures[i].fail))
            return failures[i].err;
    return CH_OK;
}

static enum ch_err on_made(struct ch_ctx *ctx, struct ch_tx *tx, const struct ch_event *events, size_t count)
{
    struct ch_str *subjects = ch_arena_array(ctx->arena, count, sizeof(*subjects));
    struct ch_pg_args args;

    for (size_t i = 0; i < count; i++) {
        const enum ch_err err = fail_as_told(ctx, &events[i]);
        if (err)
            return err;
        // One called "traced" leaves the trace that it came with.
        subjects[i] = ch_str_is(events[i].subject, "traced")
                          ? ch_str_of(ch_arena_printf(ctx->arena, "trace:%.*s", CH_STR_ARG(events[i].traceparent)))
                          : events[i].subject;
    }
    ch_pg_args_init(&args, ctx);
    ch_pg_text_array(&args, subjects, count);
    const enum ch_err err = ch_tx_run_wait(tx, Q_EFFECT_INSERT, &args, NULL);
    atomic_fetch_add(&calls, 1);
    return err;
}

static const struct ch_consumer consumers[] = {{QUEUE, MADE, on_made}, {0}};
static const char *const may_be_unheard[] = {"test.unheard.v1", NULL};
static const struct ch_service service = {
    .name = "test", .queries = own_queries, .consumers = consumers, .may_be_unheard = may_be_unheard};

/* ---- the loop
 * ---------------------------------------------------------------------------------------------------------------- */

static struct ch_query all_queries[8];
static struct ch_process process = {.service = &service, .queries = all_queries};
static struct ch_loop_state loop_state = {.process = &process};
static pthread_t loop_thread;

static void *run_loop(void *arg)
{
    (void)arg;
    ch_loop_run(loop_state.loop);
    return NULL;
}

static void start_loop(void)
{
    const struct ch_query *more = ch_events_queries(&service);
    const struct ch_loop_options loop_options = {.name = "test", .fibers_max = 64};
    const struct ch_pg_options pg_options = {.uri = postgres_uri,
                                             .queries = all_queries,
                                             .readers = 1,
                                             .writers = 2,
                                             .waiting_max = 64,
                                             .statement_timeout_ns = SECONDS(1),
                                             .application_name = "test"};
    size_t count = 0;

    while (own_queries[count].name)
        all_queries[count] = own_queries[count], count++;
    process.own_query_first = (int)count;
    while (more->name)
        all_queries[count++] = *more++;
    loop_state.loop = ch_loop_new(&loop_options);
    assert_non_null(loop_state.loop);
    ch_loop_set_user(loop_state.loop, &loop_state);
    loop_state.pg = ch_pg_new(loop_state.loop, &pg_options);
    assert_non_null(loop_state.pg);
    assert_int_equal(pthread_create(&loop_thread, NULL, run_loop, NULL), 0);
}

static void free_pg(struct ch_loop *loop, void *arg)
{
    (void)arg;
    ch_pg_free(loop_state.pg);
    ch_spares_release(&loop_state);
    ch_loop_stop(loop);
}

static void stop_loop(void)
{
    static struct ch_mail mail = {.fn = free_pg};

    ch_loop_post(loop_state.loop, &mail);
    assert_int_equal(pthread_join(loop_thread, NULL), 0);
    ch_loop_free(loop_state.loop);
}

/* ---- a fiber that writes to the outbox
 * ----------------------------------------------------------------------------------------- */

struct writing {
    struct ch_mail mail;
    int count;
    const char *data;
    enum ch_err err;
    sem_t done;
};

static enum ch_err write_events_wait(struct ch_ctx *ctx, const struct writing *writing)
{
    struct ch_tx tx CH_TX = {0};
    enum ch_err err = ch_tx_begin_wait(ctx, &tx);

    for (int i = 0; i < writing->count && !err; i++)
        err =
            ch_outbox_add(&tx, MADE, ch_str_of(ch_arena_printf(ctx->arena, "subject-%d", i)), ch_str_of(writing->data));
    return err ? err : ch_tx_commit_wait(&tx);
}

static void write_fiber(void *arg)
{
    struct writing *writing = arg;
    struct ch_ctx ctx;

    writing->err = ch_ctx_open(&ctx, loop_state.loop, "write", 10000, NULL);
    if (!writing->err) {
        writing->err = write_events_wait(&ctx, writing);
        ch_ctx_close(&ctx, writing->err);
    }
    ch_outbox_wake();
    (void)sem_post(&writing->done);
}

static void start_write(struct ch_loop *loop, void *arg)
{
    assert_int_equal(ch_fiber_start(loop, write_fiber, arg), CH_OK);
}

static void write_events(int count, const char *data)
{
    struct writing writing = {.mail = {.fn = start_write, .arg = &writing}, .count = count, .data = data};

    assert_int_equal(sem_init(&writing.done, 0, 0), 0);
    ch_loop_post(loop_state.loop, &writing.mail);
    assert_int_equal(sem_wait(&writing.done), 0);
    assert_int_equal(writing.err, CH_OK);
    (void)sem_destroy(&writing.done);
}

/* ---- looking in from outside
 * --------------------------------------------------------------------------------------------------- */

static int64_t in(int64_t limit_ns)
{
    return ch_now_ns() + limit_ns;
}

static int64_t ask(const char *sql)
{
    PGconn *conn = PQconnectdb(postgres_uri);
    PGresult *result = PQexec(conn, sql);
    const bool is_answer = PQresultStatus(result) == PGRES_TUPLES_OK && PQntuples(result) == 1;
    const int64_t value = is_answer ? atoll(PQgetvalue(result, 0, 0)) : -1;

    if (PQresultStatus(result) == PGRES_FATAL_ERROR)
        print_error("%s", PQresultErrorMessage(result));
    PQclear(result);
    PQfinish(conn);
    return value;
}

// Asks again and again: each question takes the database a millisecond or two, so nothing else paces it.
static void await_value(const char *sql, int64_t want, int64_t limit_ns)
{
    const int64_t deadline_ns = in(limit_ns);
    int64_t value;

    do
        value = ask(sql);
    while (value != want && ch_now_ns() < deadline_ns);
    if (value != want)
        fail_msg("%s: %lld, want %lld", sql, (long long)value, (long long)want);
}

#define EFFECTS "SELECT count(*) FROM effects"
#define UNSENT  "SELECT count(*) FROM outbox WHERE sent_at IS NULL"

static void clear_tables(void)
{
    (void)ask("TRUNCATE effects, inbox, outbox");
}

static struct ch_amqp *open_amqp(void)
{
    struct ch_amqp *amqp = NULL;

    assert_int_equal(ch_amqp_open(broker.uri, "test", in(SECONDS(5)), &amqp), CH_OK);
    assert_int_equal(ch_amqp_confirm_select(amqp), CH_OK);
    return amqp;
}

static char *envelope(char *text, size_t size, const char *id, const char *subject, const char *data)
{
    (void)snprintf(text, size,
                   "{\"specversion\":\"1.0\",\"id\":\"%s\",\"source\":\"/gwasuwon/test\",\"type\":\"" MADE
                   "\",\"subject\":\"%s\","
                   "\"time\":\"2026-11-23T05:40:00.123Z\",\"datacontenttype\":\"application/"
                   "json\",\"extension\":\"ignored\",\"data\":%s}",
                   id, subject, data);
    return text;
}

static void publish(const char *const *bodies, size_t count)
{
    struct ch_amqp *amqp = open_amqp();
    struct ch_amqp_message messages[64];

    for (size_t i = 0; i < count; i++)
        messages[i] = (struct ch_amqp_message){
            .routing_key = MADE, .message_id = "m", .content_type = CH_EVENT_CONTENT, .body = ch_str_of(bodies[i])};
    assert_int_equal(ch_amqp_publish(amqp, messages, count, in(SECONDS(5))), CH_OK);
    ch_amqp_close(amqp);
}

// The bodies that come to the dead-letter queue next.
static void expect_dead(const char *const *bodies, size_t count, int64_t limit_ns)
{
    struct ch_amqp *amqp = open_amqp();
    const int64_t deadline_ns = in(limit_ns);

    amqp->queues[amqp->queue_count++] = CH_AMQP_DEAD_QUEUE;
    (void)amqp_basic_consume(amqp->conn, CH_AMQP_CHANNEL, amqp_cstring_bytes(CH_AMQP_DEAD_QUEUE),
                             amqp_cstring_bytes(CH_AMQP_DEAD_QUEUE), 0, 0, 0, amqp_empty_table);
    assert_int_equal(amqp_get_rpc_reply(amqp->conn).reply_type, AMQP_RESPONSE_NORMAL);
    for (size_t i = 0; i < count; i++) {
        struct ch_amqp_delivery delivery = {0};
        assert_int_equal(ch_amqp_next(amqp, -1, deadline_ns, &delivery), CH_OK);
        if (!ch_str_is(delivery.body, bodies[i]))
            fail_msg("dead letter %zu is %.*s, want %s", i, CH_STR_ARG(delivery.body), bodies[i]);
        assert_int_equal(ch_amqp_ack(amqp, delivery.tag, false), CH_OK);
        ch_amqp_delivery_release(&delivery);
    }
    struct ch_amqp_delivery more;
    assert_int_equal(ch_amqp_next(amqp, -1, 0, &more), CH_ERR_DEADLINE);
    ch_amqp_close(amqp);
}

// -1: there is no such queue.
static int64_t messages_in(const char *queue)
{
    struct ch_amqp *amqp = open_amqp();
    int64_t count = -1;

    if (ch_amqp_depth(amqp, queue, &count))
        count = -1;
    ch_amqp_close(amqp);
    return count;
}

static double metric(const char *line_start) // what follows it, -1: there is none
{
    struct ch_buf text;
    double value = -1;

    ch_buf_init(&text, 1 << 20);
    ch_metrics_write(&text);
    ch_buf_append_char(&text, '\0');
    for (const char *at = text.data; at && value < 0; at = strchr(at, '\n')) {
        at += *at == '\n';
        if (strncmp(at, line_start, strlen(line_start)) == 0)
            value = atof(at + strlen(line_start));
    }
    ch_buf_release(&text);
    return value;
}

// The database shows an effect a moment before its thread has counted it.
static void await_metric(const char *line_start, double want)
{
    const int64_t deadline_ns = in(SECONDS(5));

    while (metric(line_start) < want && ch_now_ns() < deadline_ns)
        sched_yield();
    if (metric(line_start) < want)
        fail_msg("%s: %g, want %g", line_start, metric(line_start), want);
}

static void start_events(void)
{
    struct ch_loop *loops[] = {loop_state.loop};
    const struct ch_events_options options = {.postgres_uri = postgres_uri,
                                              .rabbitmq_uri = broker.uri,
                                              .loops = loops,
                                              .loop_count = 1,
                                              .statement_timeout_ns = SECONDS(2),
                                              .starved_max_ns = SECONDS(1)};

    assert_int_equal(ch_events_start(&service, &options), CH_OK);
}

/* ---- tests
 * ---------------------------------------------------------------------------------------------------------------------------
 */

static void test_events__travel_from_outbox_to_effect(void **state)
{
    (void)state;
    clear_tables();
    write_events(1, "{}");
    await_value(EFFECTS, 1, SECONDS(10));
    await_value(UNSENT, 0, SECONDS(5));
    assert_int_equal(ask("SELECT count(*) FROM outbox WHERE traceparent ~ '^00-[0-9a-f]{32}-[0-9a-f]{16}-0[01]$'"), 1);
    assert_int_equal(ask("SELECT count(*) FROM inbox i JOIN outbox USING (event_id) WHERE consumer = '" QUEUE "'"), 1);

    const int64_t start_ns = ch_now_ns();
    for (int i = 0; i < 10; i++)
        write_events(200, "{}");
    await_value(EFFECTS, 2001, SECONDS(20));
    print_message("2000 events from outbox to effect: %.0f/s\n", 2000 * 1e9 / (double)(ch_now_ns() - start_ns));
    await_value(UNSENT, 0, SECONDS(5));
    assert_true(atomic_load(&calls) < 1000); // in batches
    await_metric("outbox_published_total ", 2001);
}

// Written by SQL alone, without a wake: found by looking.
static void test_outbox__is_looked_at_without_a_wake(void **state)
{
    (void)state;
    clear_tables();
    (void)ask("INSERT INTO outbox (event_id, type, subject, data) VALUES (gen_random_uuid(), '" MADE "', 's', '{}'),"
              " (gen_random_uuid(), 'test.unheard.v1', 's', '{}')");
    await_value(UNSENT, 0, SECONDS(5)); // the second, too: nobody has to listen to it
    await_value(EFFECTS, 1, SECONDS(5));
    await_metric("outbox_returned_total ", 1);
}

#define LOST "test.lost.v1"

static void bind_queue(const char *queue, const char *routing_key)
{
    struct ch_amqp *amqp = open_amqp();

    (void)amqp_queue_declare(amqp->conn, CH_AMQP_CHANNEL, amqp_cstring_bytes(queue), 0, 1, 0, 0, amqp_empty_table);
    assert_int_equal(amqp_get_rpc_reply(amqp->conn).reply_type, AMQP_RESPONSE_NORMAL);
    (void)amqp_queue_bind(amqp->conn, CH_AMQP_CHANNEL, amqp_cstring_bytes(queue), amqp_cstring_bytes(CH_AMQP_EXCHANGE),
                          amqp_cstring_bytes(routing_key), amqp_empty_table);
    assert_int_equal(amqp_get_rpc_reply(amqp->conn).reply_type, AMQP_RESPONSE_NORMAL);
    ch_amqp_close(amqp);
}

// More of them than a round takes: what is younger flows past them.
static void test_outbox__keeps_what_nobody_takes(void **state)
{
    (void)state;
    clear_tables();
    (void)ask("INSERT INTO outbox (event_id, type, subject, data) SELECT gen_random_uuid(), '" LOST
              "', 's', '{}' FROM generate_series(1, 300)");
    await_metric("outbox_unroutable ", 1);
    write_events(3, "{}");
    await_value(EFFECTS, 3, SECONDS(10));
    await_value(UNSENT, 300, SECONDS(5));
    await_metric("outbox_returned_total ", 600); // it was tried again
    assert_int_equal(ask(UNSENT), 300);

    bind_queue("test.lost", LOST);
    await_value(UNSENT, 0, SECONDS(20));
    assert_int_equal(messages_in("test.lost"), 300);
    const int64_t deadline_ns = in(SECONDS(5));
    while (metric("outbox_unroutable ") != 0)
        assert_true(ch_now_ns() < deadline_ns);
}

// A traceparent is passed on as it came: one that is none would spoil what is made of it.
static void test_events__bad_traceparents_are_dropped(void **state)
{
#define GOOD "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
    static const struct {
        const char *name, *header, *body;
        int kept;
    } cases[] = {
        {"in the header", GOOD, NULL, 1},
        {"in the body", NULL, GOOD, 1},
        {"bad body, good header", GOOD, "00-x", 1},
        {"none", NULL, NULL, 0},
        {"text", "x'; DROP TABLE effects", NULL, 0},
        {"text of its length", "zz-zzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzz-zzzzzzzzzzzzzzzz-zz", NULL, 0},
        {"upper case", "00-4BF92F3577B34DA6A3CE929D0E0E4736-00F067AA0BA902B7-01", NULL, 0},
        {"zero trace", "00-00000000000000000000000000000000-00f067aa0ba902b7-01", NULL, 0},
        {"body that is none", NULL, "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01", 0},
        {"longer", GOOD "-00", NULL, 0},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct ch_amqp *amqp = open_amqp();
        char text[600], id[CH_UUID_TEXT];
        ch_uuid_format(ch_uuid_new(), id);
        const int len = snprintf(text, sizeof(text),
                                 "{\"specversion\":\"1.0\",\"id\":\"%s\",\"source\":\"/x\",\"type\":\"" MADE
                                 "\",\"subject\":\"traced\",\"time\":\"2026-11-23T05:40:00.123Z\",\"data\":{}",
                                 id);
        (void)snprintf(text + len, sizeof(text) - (size_t)len, cases[i].body ? ",\"traceparent\":\"%s\"}" : "}%s",
                       cases[i].body ? cases[i].body : "");
        struct ch_amqp_message message = {.routing_key = MADE,
                                          .message_id = "m",
                                          .content_type = CH_EVENT_CONTENT,
                                          .traceparent = cases[i].header,
                                          .body = ch_str_of(text)};
        clear_tables();
        assert_int_equal(ch_amqp_publish(amqp, &message, 1, in(SECONDS(5))), CH_OK);
        ch_amqp_close(amqp);
        await_value(EFFECTS, 1, SECONDS(5));
        const int64_t kept = ask("SELECT count(*) FROM effects WHERE subject = 'trace:" GOOD "'");
        const int64_t dropped = ask("SELECT count(*) FROM effects WHERE subject = 'trace:'");
        if (kept != cases[i].kept || dropped != !cases[i].kept)
            fail_msg("%s: kept %lld, dropped %lld", cases[i].name, (long long)kept, (long long)dropped);
    }
}

static void test_inbox__applies_a_repeated_event_once(void **state)
{
    char a[512], b[512];
    const char *bodies[] = {envelope(a, sizeof(a), "018f0000-0000-7000-8000-000000000001", "once", "{}"), a, a,
                            envelope(b, sizeof(b), "018f0000-0000-7000-8000-000000000002", "marker", "{}")};

    (void)state;
    clear_tables();
    publish(bodies, 3);
    await_value(EFFECTS, 1, SECONDS(5));
    publish(bodies, 4);
    await_value(EFFECTS, 2, SECONDS(5)); // the marker came after all repetitions
    assert_int_equal(ask("SELECT count(*) FROM effects WHERE subject = 'once'"), 1);
    await_metric("messaging_events_total{queue=\"" QUEUE "\",outcome=\"duplicate\"} ", 5);
}

static void test_inbox__poisoned_ends_alone(void **state)
{
    static char texts[10][512];
    const char *bodies[14];

    (void)state;
    clear_tables();
    for (int i = 0; i < 10; i++) {
        char id[CH_UUID_TEXT], subject[16];
        ch_uuid_format(ch_uuid_new(), id);
        (void)snprintf(subject, sizeof(subject), "s%d", i);
        // The handler finds fault with its data: a batch with it fails as a whole at first.
        bodies[i] = envelope(texts[i], sizeof(texts[i]), id, subject, i == 5 ? "{\"fail\":7}" : "{}");
    }
    bodies[10] = "no JSON";
    bodies[11] = "{\"specversion\":\"1.0\"}";
    bodies[12] = "{\"specversion\":\"1.0\",\"id\":\"018f0000-0000-7000-8000-000000000009\",\"source\":\"/"
                 "x\",\"type\":\"test.other.v1\","
                 "\"time\":\"2026-11-23T05:40:00.123Z\",\"data\":{}}";
    bodies[13] =
        "{\"specversion\":\"1.0\",\"id\":\"018f0000-0000-7000-8000-000000000009\",\"source\":\"/x\",\"type\":\"" MADE
        "\","
        "\"time\":\"2026-11-23T05:40:00.123Z\",\"data\":[]}";
    publish(bodies, 10);
    expect_dead(&bodies[5], 1, SECONDS(10));
    await_value(EFFECTS, 9, SECONDS(5));
    assert_int_equal(ask("SELECT count(*) FROM inbox"), 9);
    publish(&bodies[10], 4);
    expect_dead(&bodies[10], 4, SECONDS(10));
    assert_int_equal(ask(EFFECTS), 9);
    await_metric("messaging_events_total{queue=\"" QUEUE "\",outcome=\"dead\"} ", 5);
}

#define RETRIED "messaging_events_total{queue=\"" QUEUE "\",outcome=\"retried\"} "

static void test_inbox__failing_is_given_up_in_the_end(void **state)
{
    char a[512], b[512], c[512];
    const char *bodies[] = {
        envelope(a, sizeof(a), "018f0000-0000-7000-8000-000000000011", "bad", "{\"fail\":\"internal\"}"),
        envelope(b, sizeof(b), "018f0000-0000-7000-8000-000000000012", "good", "{}")};
    const char *later[] = {envelope(c, sizeof(c), "018f0000-0000-7000-8000-000000000013", "later", "{}")};

    (void)state;
    clear_tables();
    const double before = metric(RETRIED) > 0 ? metric(RETRIED) : 0;
    publish(bodies, 2);
    await_metric(RETRIED, before + 2);
    publish(later, 1);
    await_value(EFFECTS, 2, SECONDS(1)); // nobody waits for the bad one
    assert_int_equal(messages_in(CH_AMQP_DEAD_QUEUE), 0);
    expect_dead(bodies, 1, SECONDS(20));
    assert_int_equal(ask(EFFECTS), 2);
    assert_true(metric(RETRIED) == before + 5);
}

// An event whose need is not met is tried as often as it takes, and no other waits for it: not even when there are more
// of them than a batch may wait for.
static void test_inbox__one_that_has_to_wait_waits_alone(void **state)
{
    static char texts[24][512];
    const char *bodies[24];

    (void)state;
    clear_tables();
    atomic_store(&is_thing_away, true);
    for (int i = 0; i < 24; i++) {
        char id[CH_UUID_TEXT];
        ch_uuid_format(ch_uuid_new(), id);
        bodies[i] = envelope(texts[i], sizeof(texts[i]), id, i < 12 ? "waiting" : "free",
                             i < 12 ? "{\"fail\":\"away\"}" : "{}");
    }
    const double before = metric(RETRIED);
    publish(bodies, 24);
    await_value(EFFECTS, 12, SECONDS(10));
    await_metric("messaging_parked{queue=\"" QUEUE "\"} ", 11);
    const int64_t deadline_ns = in(SECONDS(30));
    while (metric(RETRIED) < before + 12 * 6) // more often than what counts may
        assert_true(ch_now_ns() < deadline_ns);
    assert_int_equal(messages_in(CH_AMQP_DEAD_QUEUE), 0);
    atomic_store(&is_thing_away, false);
    await_value(EFFECTS, 24, SECONDS(15));
    assert_int_equal(messages_in(CH_AMQP_DEAD_QUEUE), 0);
}

static void make_events(char texts[][512], const char **ret_bodies, int count)
{
    for (int i = 0; i < count; i++) {
        char id[CH_UUID_TEXT];
        ch_uuid_format(ch_uuid_new(), id);
        ret_bodies[i] = envelope(texts[i], 512, id, "s", "{}");
    }
}

static void test_database__away_burns_no_delivery(void **state)
{
    char texts[5][512];
    const char *bodies[5];

    (void)state;
    clear_tables();
    make_events(texts, bodies, 5);
    pg_server_halt(&database, SIGQUIT);
    const double waited =
        metric("messaging_process_duration_seconds_count{queue=\"" QUEUE "\",outcome=\"service_unavailable\"} ");
    publish(bodies, 5);
    const int64_t deadline_ns = in(SECONDS(10));
    while (metric("messaging_process_duration_seconds_count{queue=\"" QUEUE "\",outcome=\"service_unavailable\"} ") <
           waited + 3)
        assert_true(ch_now_ns() < deadline_ns); // it was tried, more than once
    assert_int_equal(pg_server_launch(&database), 0);
    await_value(EFFECTS, 5, SECONDS(15));
    assert_int_equal(messages_in(CH_AMQP_DEAD_QUEUE), 0);
}

// A database that hangs is no event's fault either.
static void test_database__hanging_burns_no_delivery(void **state)
{
    char texts[5][512];
    const char *bodies[5];

    (void)state;
    clear_tables();
    make_events(texts, bodies, 5);
    const double retried = metric(RETRIED);
    PGconn *holder = PQconnectdb(postgres_uri); // nobody else gets at the table
    PQclear(PQexec(holder, "BEGIN"));
    PQclear(PQexec(holder, "LOCK TABLE inbox"));
    const double late =
        metric("messaging_process_duration_seconds_count{queue=\"" QUEUE "\",outcome=\"service_unavailable\"} ");
    publish(bodies, 5);
    const int64_t deadline_ns = in(SECONDS(40));
    while (metric("messaging_process_duration_seconds_count{queue=\"" QUEUE "\",outcome=\"service_unavailable\"} ") <
           late + 7) // more often than what counts may
        assert_true(ch_now_ns() < deadline_ns);
    PQfinish(holder);
    await_value(EFFECTS, 5, SECONDS(15));
    assert_int_equal(messages_in(CH_AMQP_DEAD_QUEUE), 0);
    assert_true(metric(RETRIED) == retried);
}

// In a long absence the events are given back, so that the broker does not take them away again and again, and counts.
static void test_database__long_away_gives_events_back(void **state)
{
    char texts[5][512];
    const char *bodies[5];

    (void)state;
    clear_tables();
    make_events(texts, bodies, 5);
    pg_server_halt(&database, SIGQUIT);
    ch_health_set("postgres", false);
    publish(bodies, 5);
    const int64_t deadline_ns = in(SECONDS(15));
    while (messages_in(QUEUE) != 5) // ready: held by nobody
        assert_true(ch_now_ns() < deadline_ns);
    assert_int_equal(pg_server_launch(&database), 0);
    ch_health_set("postgres", true);
    await_value(EFFECTS, 5, SECONDS(15));
    assert_int_equal(messages_in(CH_AMQP_DEAD_QUEUE), 0);
}

static void test_broker__away_loses_nothing(void **state)
{
    (void)state;
    clear_tables();
    rabbit_server_halt(&broker, SIGTERM);
    write_events(500, "{}");
    assert_int_equal(ask(UNSENT), 500);
    assert_int_equal(rabbit_server_launch(&broker), 0);
    await_value(EFFECTS, 500, SECONDS(20));
    await_value(UNSENT, 0, SECONDS(5));
    assert_int_equal(messages_in(CH_AMQP_DEAD_QUEUE), 0);
    write_events(1, "{}");
    await_value(EFFECTS, 501, SECONDS(10));
}

// Last: nothing runs afterwards.
static void test_stop__publishes_what_is_left(void **state)
{
    (void)state;
    clear_tables();
    ch_events_stop_consuming();
    write_events(300, "{}");
    ch_events_stop(in(SECONDS(5)));
    assert_int_equal(ask(UNSENT), 0);
    assert_int_equal(messages_in(QUEUE) + ask(EFFECTS), 300); // what was not consumed any more stays in the queue
    ch_events_stop(in(SECONDS(5)));                           // a second one is none

    start_events(); // as the next process would
    await_value(EFFECTS, 300, SECONDS(10));
    ch_events_stop(in(SECONDS(5)));
    assert_int_equal(messages_in(QUEUE), 0);
}

static int setup(void **state)
{
    (void)state;
    if (pg_server_start(&database) || rabbit_server_start(&broker))
        return -1;
    (void)snprintf(postgres_uri, sizeof(postgres_uri), "host=%s port=%d user=postgres dbname=postgres", database.dir,
                   database.port);
    (void)ask("CREATE TABLE effects (id bigint GENERATED ALWAYS AS IDENTITY, subject text NOT NULL)");
    (void)ask("CREATE TABLE outbox (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, event_id uuid NOT NULL UNIQUE, "
              "type text NOT NULL,"
              " subject text NOT NULL, data text NOT NULL, traceparent text, created_at timestamptz NOT NULL DEFAULT "
              "now(), sent_at timestamptz)");
    (void)ask("CREATE TABLE inbox (consumer text NOT NULL, event_id uuid NOT NULL, received_at timestamptz NOT NULL "
              "DEFAULT now(),"
              " PRIMARY KEY (consumer, event_id))");
    ch_health_register("postgres", true);
    ch_health_set("postgres", true);
    start_loop();
    start_events();
    // What is published before its queue exists is heard by nobody.
    const int64_t deadline_ns = in(SECONDS(10));
    while (messages_in(QUEUE) < 0 && ch_now_ns() < deadline_ns) {
    }
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    ch_events_stop(in(SECONDS(5)));
    stop_loop();
    rabbit_server_end(&broker);
    pg_server_end(&database);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_events__travel_from_outbox_to_effect),
        cmocka_unit_test(test_outbox__is_looked_at_without_a_wake),
        cmocka_unit_test(test_outbox__keeps_what_nobody_takes),
        cmocka_unit_test(test_events__bad_traceparents_are_dropped),
        cmocka_unit_test(test_inbox__applies_a_repeated_event_once),
        cmocka_unit_test(test_inbox__poisoned_ends_alone),
        cmocka_unit_test(test_inbox__failing_is_given_up_in_the_end),
        cmocka_unit_test(test_inbox__one_that_has_to_wait_waits_alone),
        cmocka_unit_test(test_database__away_burns_no_delivery),
        cmocka_unit_test(test_database__hanging_burns_no_delivery),
        cmocka_unit_test(test_database__long_away_gives_events_back),
        cmocka_unit_test(test_broker__away_loses_nothing),
        cmocka_unit_test(test_stop__publishes_what_is_left),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}
