// SPDX-License-Identifier: Apache-2.0
// Mailboxes: nothing lost, nothing out of its sender's order, whoever posts and whenever. Run it under TSan.
#include "loop_fixture.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#define SENDERS 4
#define POSTS   100000

struct letter {
    struct ch_mail mail;
    int sender, number;
};

static int received[SENDERS], total;

static void letter_open(struct ch_loop *on, void *arg)
{
    struct letter *letter = arg;

    assert_true(on == loop && ch_loop_current() == loop);
    assert_null(ch_fiber_current());
    assert_int_equal(letter->number, received[letter->sender]);
    received[letter->sender]++;
    if (++total == SENDERS * POSTS)
        ch_loop_stop(loop);
}

static void *sender_run(void *arg)
{
    struct letter *letters = arg;
    int i;

    for (i = 0; i < POSTS; i++)
        ch_loop_post(loop, &letters[i].mail);
    return NULL;
}

static void test_mailbox__keeps_every_sender_in_order(void **state)
{
    struct letter *letters = calloc((size_t)SENDERS * POSTS, sizeof(*letters));
    pthread_t threads[SENDERS];
    int64_t from_ns = ch_now_ns();
    int i, k;

    (void)state;
    assert_non_null(letters);
    for (i = 0; i < SENDERS; i++) {
        for (k = 0; k < POSTS; k++) {
            struct letter *letter = &letters[i * POSTS + k];

            *letter = (struct letter){{letter_open, letter, NULL}, i, k};
        }
        assert_int_equal(pthread_create(&threads[i], NULL, sender_run, &letters[i * POSTS]), 0);
    }
    ch_loop_run(loop);
    for (i = 0; i < SENDERS; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
        assert_int_equal(received[i], POSTS);
    }
    printf("post and receive, %d threads: %.1f ns\n", SENDERS, (double)(ch_now_ns() - from_ns) / (SENDERS * POSTS));
    free(letters);
}

/* ---- from the loop itself ---- */

static int rounds;
static struct ch_mail self;

static void post_again(struct ch_loop *on, void *arg)
{
    if (++rounds < 1000)
        ch_loop_post(on, arg);
    else
        ch_loop_stop(on);
}

static void test_mailbox__takes_mail_of_its_own_loop_again_and_again(void **state)
{
    (void)state;
    self = (struct ch_mail){post_again, &self, NULL};
    ch_loop_post(loop, &self); /* before the loop runs */
    ch_loop_run(loop);
    assert_int_equal(rounds, 1000);
}

/* ---- one at a time: every post meets a loop that blocks or is about to ---- */

static struct ch_loop *other;
static struct ch_mail ball;
static int throws;

static void ball_catch(struct ch_loop *on, void *arg)
{
    (void)arg;
    if (++throws < 20000) {
        ch_loop_post(on == loop ? other : loop, &ball);
        return;
    }
    ch_loop_stop(loop);
    ch_loop_stop(other);
}

static void *other_run(void *arg)
{
    (void)arg;
    ch_loop_run(other);
    return NULL;
}

static void test_mailbox__wakes_a_loop_that_blocks(void **state)
{
    static const struct ch_loop_options options = {.name = "other", .fibers_max = 1};
    int64_t from_ns = ch_now_ns();
    pthread_t thread;

    (void)state;
    other = ch_loop_new(&options);
    assert_non_null(other);
    ball = (struct ch_mail){ball_catch, NULL, NULL};
    ch_loop_post(loop, &ball);
    assert_int_equal(pthread_create(&thread, NULL, other_run, NULL), 0);
    ch_loop_run(loop);
    assert_int_equal(pthread_join(thread, NULL), 0);
    printf("one throw between two loops: %.1f ns\n", (double)(ch_now_ns() - from_ns) / throws);
    ch_loop_free(other);
}

/* ---- stop ---- */

static struct ch_mail last_mail;
static bool has_last_run;

static void last_open(struct ch_loop *on, void *arg)
{
    (void)on;
    (void)arg;
    has_last_run = true;
}

static void *post_and_stop(void *arg)
{
    (void)arg;
    ch_loop_post(loop, &last_mail);
    ch_loop_stop(loop);
    return NULL;
}

static void test_mailbox__is_emptied_before_a_stop(void **state)
{
    pthread_t thread;

    (void)state;
    last_mail = (struct ch_mail){last_open, NULL, NULL};
    assert_int_equal(pthread_create(&thread, NULL, post_and_stop, NULL), 0);
    ch_loop_run(loop);
    assert_true(has_last_run);
    assert_int_equal(pthread_join(thread, NULL), 0);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        LOOP_TEST(test_mailbox__keeps_every_sender_in_order),
        LOOP_TEST(test_mailbox__takes_mail_of_its_own_loop_again_and_again),
        LOOP_TEST(test_mailbox__wakes_a_loop_that_blocks),
        LOOP_TEST(test_mailbox__is_emptied_before_a_stop),
    };

    return cmocka_run_group_tests_name("mailbox", tests, NULL, NULL);
}
