// SPDX-License-Identifier: Apache-2.0
// Batches: who is committed with whom, and how an item that gives up leaves.
#include "../src/run/internal.h"
#include "loop_fixture.h"

#include <stdio.h>

/* A commit that writes down its items and can be held in flight. */
struct journal {
    struct ch_batch batch;
    struct ch_wait *gates[8]; /* of the flights held now, in order */
    int held;
    bool is_holding;
    char text[256]; /* "0 12 ": items 0, then 1 and 2 */
};

struct joiner {
    struct ch_batch_item item;
    struct journal *journal;
    struct ch_fiber *fiber;
    int64_t deadline_ns;
    int number;
    enum ch_err answer; /* what its commit sets */
    enum ch_err err, next_err;
    bool is_back;
};

static void commit(void *arg, struct ch_batch_item **items, size_t count)
{
    struct journal *journal = arg;
    size_t i, len = strlen(journal->text);

    for (i = 0; i < count; i++)
        journal->text[len++] = (char)('0' + ((struct joiner *)items[i])->number);
    journal->text[len++] = ' ';
    journal->text[len] = 0;
    if (journal->is_holding) {
        struct ch_wait gate = {0};

        journal->gates[journal->held++] = &gate;
        assert_int_equal(ch_wait(&gate, CH_NO_DEADLINE), CH_OK);
    }
    for (i = 0; i < count; i++)
        items[i]->result = ((struct joiner *)items[i])->answer;
}

static void journal_init(struct journal *journal, size_t max_items, size_t max_waiting, int max_flights)
{
    memset(journal, 0, sizeof(*journal));
    ch_batch_init(&journal->batch, commit, journal, max_items, max_waiting, max_flights, 1);
}

/* Lets the oldest held flight go on. */
static void flight_release(struct journal *journal)
{
    struct ch_wait *gate = journal->gates[0];

    assert_true(journal->held > 0);
    memmove(journal->gates, journal->gates + 1, sizeof(journal->gates) - sizeof(journal->gates[0]));
    journal->held--;
    ch_wake(gate, CH_OK);
    ch_fiber_yield();
}

static void join(void *arg)
{
    struct joiner *joiner = arg;

    joiner->fiber = ch_fiber_current();
    joiner->err = ch_batch_join_wait(&joiner->journal->batch, &joiner->item, joiner->deadline_ns);
    joiner->next_err = ch_sleep_wait(0);
    joiner->is_back = true;
}

static void join_start(struct joiner *joiner, struct journal *journal, int number)
{
    *joiner = (struct joiner){.journal = journal, .number = number, .deadline_ns = ch_now_ns() + MS(60000)};
    start(join, joiner);
}

static void lone(void *arg)
{
    struct joiner joiner = {.answer = CH_ERR_STOCK_SHORT, .number = 7};
    struct journal journal;

    (void)arg;
    journal_init(&journal, 100, 100, 1);
    assert_int_equal(ch_batch_join_wait(&journal.batch, &joiner.item, ch_now_ns() + MS(10000)), CH_ERR_STOCK_SHORT);
    assert_string_equal(journal.text, "7 ");
    ch_fiber_yield();
    assert_int_equal(journal.batch.flights, 0);
    assert_int_equal(journal.batch.waiting, 0);
}

static void test_batch__commits_a_lone_item_at_once(void **state)
{
    (void)state;
    loop_run_until_done(lone, NULL);
}

static void next_batch(void *arg)
{
    struct joiner joiners[8];
    struct journal journal;
    int i;

    (void)arg;
    journal_init(&journal, 4, 100, 1);
    journal.is_holding = true;
    join_start(&joiners[0], &journal, 0);
    ch_fiber_yield();
    assert_string_equal(journal.text, "0 ");
    for (i = 1; i < 8; i++)
        join_start(&joiners[i], &journal, i);
    joiners[2].answer = CH_ERR_STOCK_SHORT;
    ch_fiber_yield();
    assert_string_equal(journal.text, "0 ");
    assert_int_equal(journal.batch.waiting, 7);
    flight_release(&journal);
    assert_string_equal(journal.text, "0 1234 ");
    assert_true(joiners[0].is_back);
    assert_false(joiners[1].is_back);
    flight_release(&journal);
    assert_string_equal(journal.text, "0 1234 567 ");
    assert_true(joiners[4].is_back);
    assert_int_equal(joiners[1].err, CH_OK);
    assert_int_equal(joiners[2].err, CH_ERR_STOCK_SHORT);
    flight_release(&journal);
    assert_true(joiners[7].is_back);
    assert_int_equal(journal.batch.flights, 0);
}

static void test_batch__what_comes_in_flight_is_the_next_batch(void **state)
{
    (void)state;
    loop_run_until_done(next_batch, NULL);
}

static void together(void *arg)
{
    struct joiner joiners[5];
    struct journal journal;
    int i;

    (void)arg;
    journal_init(&journal, 3, 4, 4);
    journal.is_holding = true;
    for (i = 0; i < 5; i++)
        join_start(&joiners[i], &journal, i);
    ch_fiber_yield();
    assert_int_equal(joiners[4].err, CH_ERR_OVERLOADED);
    assert_string_equal(journal.text, "012 3 "); /* a second flight for what did not fit */
    assert_int_equal(journal.batch.flights, 2);
    join_start(&joiners[4], &journal, 4);
    ch_fiber_yield();
    assert_string_equal(journal.text, "012 3 4 ");
    while (journal.held > 0)
        flight_release(&journal);
    for (i = 0; i < 5; i++)
        assert_int_equal(joiners[i].err, CH_OK);
    assert_int_equal(journal.batch.flights, 0);
}

static void test_batch__flies_side_by_side_when_it_may(void **state)
{
    (void)state;
    loop_run_until_done(together, NULL);
}

static void crowd(void *arg)
{
    struct joiner joiners[6];
    struct journal journal;
    int i;

    (void)arg;
    journal_init(&journal, 10, 100, 2);
    journal.batch.crowd = 3;
    journal.is_holding = true;
    join_start(&joiners[0], &journal, 0);
    ch_fiber_yield();
    for (i = 1; i < 3; i++)
        join_start(&joiners[i], &journal, i);
    ch_fiber_yield();
    assert_string_equal(journal.text, "0 "); /* two do not get a flight beside it */
    join_start(&joiners[3], &journal, 3);
    ch_fiber_yield();
    assert_string_equal(journal.text, "0 123 ");
    for (i = 4; i < 6; i++)
        join_start(&joiners[i], &journal, i);
    flight_release(&journal);
    assert_string_equal(journal.text, "0 123 45 "); /* fewer are the next batch of whoever is first free */
    while (journal.held > 0)
        flight_release(&journal);
    for (i = 0; i < 6; i++)
        assert_int_equal(joiners[i].err, CH_OK);
    assert_int_equal(journal.batch.flights, 0);
}

static void test_batch__another_flight_is_for_a_crowd(void **state)
{
    (void)state;
    loop_run_until_done(crowd, NULL);
}

static void leave(void *arg)
{
    struct joiner joiners[5];
    struct journal journal;
    int i;

    (void)arg;
    journal_init(&journal, 10, 100, 1);
    journal.is_holding = true;
    join_start(&joiners[0], &journal, 0);
    joiners[0].deadline_ns = ch_now_ns() + MS(5);
    ch_fiber_yield();
    for (i = 1; i < 5; i++)
        join_start(&joiners[i], &journal, i);
    joiners[2].deadline_ns = ch_now_ns() + MS(2);
    while (!joiners[2].is_back)
        assert_int_equal(ch_sleep_wait(ch_now_ns() + MS(1)), CH_OK);
    assert_int_equal(joiners[2].err, CH_ERR_DEADLINE);
    assert_int_equal(journal.batch.waiting, 3);
    ch_fiber_cancel(joiners[4].fiber);
    ch_fiber_yield();
    assert_int_equal(joiners[4].err, CH_ERR_CANCELLED);
    assert_int_equal(ch_sleep_wait(joiners[0].deadline_ns + MS(1)), CH_OK);
    assert_false(joiners[0].is_back); /* taken: it waits to the end */
    flight_release(&journal);
    assert_int_equal(joiners[0].err, CH_OK);
    assert_string_equal(journal.text, "0 13 ");
    /* Taken and cancelled: it learns of its commit, and its next wait ends. */
    ch_fiber_cancel(joiners[1].fiber);
    ch_fiber_yield();
    ch_fiber_cancel(joiners[1].fiber);
    ch_fiber_yield();
    assert_false(joiners[1].is_back);
    flight_release(&journal);
    assert_int_equal(joiners[1].err, CH_OK);
    assert_int_equal(joiners[1].next_err, CH_ERR_CANCELLED);
    assert_int_equal(joiners[3].next_err, CH_OK);
    assert_int_equal(journal.batch.waiting, 0);
}

static void test_batch__lets_go_what_is_not_taken_and_holds_what_is(void **state)
{
    (void)state;
    loop_run_until_done(leave, NULL);
}

/* The cancel comes after the joining and before the flight's first run: nothing is left to commit. */
static void cancel_other(void *arg)
{
    ch_fiber_cancel(((struct joiner *)arg)->fiber);
}

static void leave_early(void *arg)
{
    struct joiner joiner, late = {.answer = CH_OK, .number = 5};
    struct journal journal;

    (void)arg;
    journal_init(&journal, 10, 100, 1);
    join_start(&joiner, &journal, 1);
    start(cancel_other, &joiner);
    while (!joiner.is_back)
        ch_fiber_yield();
    assert_int_equal(joiner.err, CH_ERR_CANCELLED);
    assert_string_equal(journal.text, "");
    assert_int_equal(journal.batch.flights, 0);
    assert_int_equal(ch_batch_join_wait(&journal.batch, &late.item, 0), CH_ERR_DEADLINE);
    assert_int_equal(ch_batch_join_wait(&journal.batch, &late.item, CH_NO_DEADLINE), CH_OK);
    assert_string_equal(journal.text, "5 ");
}

static void test_batch__does_not_commit_what_has_given_up(void **state)
{
    (void)state;
    loop_run_until_done(leave_early, NULL);
}

/* The cancel comes when the commit has ended but the fiber has not run since: the result wins, the cancel stays. */
static void commit_cancelling(void *arg, struct ch_batch_item **items, size_t count)
{
    (void)arg;
    assert_int_equal(count, 1);
    ch_fiber_cancel(((struct joiner *)items[0])->fiber);
    items[0]->result = CH_ERR_CONFLICT;
}

static void cancel_in_commit(void *arg)
{
    struct joiner joiner;
    struct journal journal;

    (void)arg;
    journal_init(&journal, 10, 100, 1);
    journal.batch.commit = commit_cancelling;
    join_start(&joiner, &journal, 1);
    while (!joiner.is_back)
        ch_fiber_yield();
    assert_int_equal(joiner.err, CH_ERR_CONFLICT);
    assert_int_equal(joiner.next_err, CH_ERR_CANCELLED);
}

static void test_batch__tells_the_result_even_to_the_cancelled(void **state)
{
    (void)state;
    loop_run_until_done(cancel_in_commit, NULL);
}

/* ---- a full loop ---- */

static int full_left;

static void join_full(void *arg)
{
    join(arg);
    if (--full_left == 0)
        ch_loop_stop(ch_loop_current());
}

static void test_batch__commits_in_a_loop_full_of_fibers(void **state)
{
    static const struct ch_loop_options options = {.name = "full", .fibers_max = 2};
    struct joiner joiners[2];
    struct journal journal;
    struct ch_loop *full = ch_loop_new(&options);
    int i;

    (void)state;
    assert_non_null(full);
    journal_init(&journal, 10, 100, 1);
    full_left = 2;
    for (i = 0; i < 2; i++) {
        joiners[i] = (struct joiner){.journal = &journal, .number = i, .deadline_ns = ch_now_ns() + MS(60000)};
        assert_int_equal(ch_fiber_start(full, join_full, &joiners[i]), CH_OK);
    }
    assert_int_equal(ch_fiber_start(full, join_full, NULL), CH_ERR_LIMIT);
    ch_loop_run(full);
    assert_int_equal(joiners[0].err, CH_OK);
    assert_int_equal(joiners[1].err, CH_OK);
    assert_string_equal(journal.text, "01 ");
    ch_loop_free(full);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        LOOP_TEST(test_batch__commits_a_lone_item_at_once),
        LOOP_TEST(test_batch__what_comes_in_flight_is_the_next_batch),
        LOOP_TEST(test_batch__flies_side_by_side_when_it_may),
        LOOP_TEST(test_batch__another_flight_is_for_a_crowd),
        LOOP_TEST(test_batch__lets_go_what_is_not_taken_and_holds_what_is),
        LOOP_TEST(test_batch__does_not_commit_what_has_given_up),
        LOOP_TEST(test_batch__tells_the_result_even_to_the_cancelled),
        LOOP_TEST(test_batch__commits_in_a_loop_full_of_fibers),
    };

    return cmocka_run_group_tests_name("batch", tests, NULL, NULL);
}
