// SPDX-License-Identifier: Apache-2.0
/*
 * The only door between threads: any thread pushes mail on a loop's list, the loop takes the whole list at once and
 * runs it oldest first. No lock, no allocation. The eventfd is written only by who finds the list empty: whoever finds
 * mail there knows that the loop has been told already. A mail must never be pushed twice before it ran.
 */
#include "internal.h"

void ch_loop_post(struct ch_loop *loop, struct ch_mail *mail)
{
    struct ch_mail *newest = atomic_load_explicit(&loop->mailbox, memory_order_relaxed);

    do {
        mail->next = newest;
    } while (!atomic_compare_exchange_weak_explicit(&loop->mailbox, &newest, mail, memory_order_release,
                                                    memory_order_relaxed));
    /* The mail may be gone by now. A loop that posts to itself looks into its mailbox before it blocks. */
    if (!newest && ch_loop_current() != loop)
        ch_loop_wake(loop);
}

bool ch_mailbox_is_empty(struct ch_loop *loop)
{
    return !atomic_load_explicit(&loop->mailbox, memory_order_relaxed);
}

void ch_mailbox_drain(struct ch_loop *loop)
{
    struct ch_mail *mail, *next, *oldest = NULL;

    if (ch_mailbox_is_empty(loop))
        return;
    for (mail = atomic_exchange_explicit(&loop->mailbox, NULL, memory_order_acquire); mail; mail = next) {
        next = mail->next;
        mail->next = oldest;
        oldest = mail;
    }
    for (mail = oldest; mail; mail = next) {
        next = mail->next; /* fn may free the mail or post it again */
        mail->fn(loop, mail->arg);
    }
}
