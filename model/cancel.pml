// SPDX-License-Identifier: Apache-2.0
// Cancelling an order: the intent, CancelDelivery with its tombstone, the commit that cancels, the stock that comes back, the reconciler.
// cancel.c and consumers.c of OrderManager, delivery.c of DeliveryMock, consumers.c, hold_store.c and jobs.c of FruitCatalog. It must
// never be kinder than the code: a step is a statement or a call there, and a process may die between any two, DEATHS times in all.
//
// One order that was placed, whose order.placed is still on its way. All commits here wait for the disk. Read docs/model.md first.

#ifndef CANCELS
#define CANCELS 2 // requests of the buyer, at the same time or after each other
#endif
#ifndef RECONCILERS
#define RECONCILERS 1
#endif
#ifndef DEATHS
#define DEATHS 1
#endif
#define NOBODY 255

#define IS_LIVE_BOX (delivery == READY || delivery == ON_ROUTE)
#define IS_LIVE(hold) ((hold) == HELD || (hold) == SOLD)

mtype = { PLACED, PREPARING, SHIPPING, CANCELLED };  // orders.orders
mtype = { NONE, REQUESTED, REFUSED, DONE };          // the intent
mtype = { READY, ON_ROUTE, STOPPED, TOMBSTONE };     // delivery.deliveries; NONE: no row
mtype = { HELD, SOLD, RELEASED };                    // catalog.holds
mtype = { NOTHING, GRANTED, DENIED };                // CancelDelivery's answer

mtype order = PLACED, intent = NONE, delivery = NONE, hold = HELD;
byte available, refunds, cancelled_events, known_sequence;
byte order_lock = NOBODY, delivery_lock = NOBODY, hold_lock = NOBODY;
byte placed_copies = 1; // messages on their way, in any order; DeliveryMock's creation and the sequence make repetitions nothing
byte ready_copies, route_copies;
byte cancelled_copies; // comes twice: giving back must bear it
byte asking = CANCELS; // requests that have not ended
byte deaths;
bool told_cancelled, told_refused;

#define CAN_DIE (deaths < DEATHS)

inline check() {
    assert(order != CANCELLED || !IS_LIVE_BOX);                       // no live delivery of a cancelled order
    assert(refunds == (order == CANCELLED -> 1 : 0));                 // one refund, and only then
    assert(cancelled_events == (order == CANCELLED -> 1 : 0));
    assert(!told_cancelled || order == CANCELLED);
    assert(!told_refused || order != CANCELLED);
    assert(available == (hold == RELEASED -> 1 : 0));                 // the box comes back once
    assert(hold != RELEASED || order == CANCELLED)                    // and only of a cancelled order
}

inline lock(which, who) {
#ifndef MUTANT_no_row_lock
    which == NOBODY -> which = who
#else
    skip
#endif
}

inline unlock(which, who) {
    if
    :: which == who -> which = NOBODY
    :: else
    fi
}

// ---- DeliveryMock: delivery_cancel_wait in delivery.c. Three transactions; the caller may be gone before the last.

inline cancel_delivery(me, seen, ret_answer) {
    ret_answer = NOTHING;
    do
    :: atomic { lock(delivery_lock, me); seen = delivery } // delivery_lock
       atomic { // decide_cancel, delivery_apply_batch, COMMIT
        if
        :: seen == READY -> delivery = STOPPED; ret_answer = GRANTED; check()
        :: seen == STOPPED || seen == TOMBSTONE -> ret_answer = GRANTED
        :: seen == ON_ROUTE -> ret_answer = DENIED
        :: seen == NONE
        fi;
        unlock(delivery_lock, me)
       }
       if
       :: ret_answer != NOTHING -> break
       :: ret_answer == NOTHING && CAN_DIE -> deaths++; break
       :: ret_answer == NOTHING ->
#ifdef MUTANT_cancel_without_tombstone
           ret_answer = GRANTED;
           break
#else
           atomic { // delivery_tombstone, ON CONFLICT DO NOTHING; then look again
            if
            :: delivery == NONE -> delivery = TOMBSTONE
            :: else
            fi
           }
#endif
       fi
    od;
    seen = 0
}

// ---- OrderManager: finish_wait in cancel.c, which a request and the reconciler walk once the wish stands. ret_answer: GRANTED when the
// order is CANCELLED, DENIED when the wish is REFUSED, NOTHING when it is not known.

inline finish(me, seen, ret_answer) {
    cancel_delivery(me, seen, ret_answer);
    if
    :: ret_answer == GRANTED ->
        atomic { lock(order_lock, me); seen = order } // cancellation_lock
        atomic { // cancellation_finish and COMMIT: status, timeline, outbox, refund, DONE
            if
            :: seen != CANCELLED ->
                d_step {
                    assert(intent == REQUESTED && (seen == PLACED || seen == PREPARING)); // cancellation.contradicts
                    order = CANCELLED;
                    intent = DONE;
                    refunds++;
                    cancelled_events++;
                    cancelled_copies = cancelled_copies + 2;
                    check()
                }
            :: seen == CANCELLED // somebody else was here first
            fi;
            unlock(order_lock, me)
        }
    :: ret_answer == DENIED ->
        atomic { // cancellation_refuse
            if
            :: intent == REQUESTED -> intent = REFUSED
            :: else
            fi
        }
    :: ret_answer == NOTHING // the call failed
    :: ret_answer != NOTHING && CAN_DIE -> deaths++; ret_answer = NOTHING
    fi;
    seen = 0
}

// order_cancel_wait
proctype Cancel(byte me) {
    mtype seen, answer = NOTHING;

    if
    :: atomic { // order_get_wait
        order == CANCELLED -> answer = GRANTED; goto out
       }
    :: atomic { order == SHIPPING -> answer = DENIED; goto out }
    :: order == PLACED || order == PREPARING
    fi;
    if
    :: atomic { intent == REFUSED -> answer = DENIED; goto out } // cancellation_find
    :: intent != REFUSED
    :: atomic { CAN_DIE -> deaths++; goto out }
    fi;
    atomic { // cancellation_request, ON CONFLICT DO NOTHING
        if
        :: intent == NONE -> intent = REQUESTED
        :: else
        fi
    }
    finish(me, seen, answer);
out:
    atomic {
        if
        :: answer == GRANTED -> told_cancelled = true
        :: answer == DENIED -> told_refused = true
        :: else // 503: who asks, asks again
        fi;
        check();
        asking--;
        seen = 0;
        answer = 0
    }
}

proctype Reconciler(byte me) {
    mtype seen, answer;

    do
#ifndef MUTANT_no_reconciler
    :: intent == REQUESTED -> finish(me, seen, answer); answer = 0 // cancellation_claim
#endif
    :: atomic { asking == 0 && intent != REQUESTED -> break }
    od
}

// ---- what else happens to the order

// on_order_placed in consumers.c of DeliveryMock: ON CONFLICT DO NOTHING
proctype Deliveries() {
end:
    do
    :: atomic {
        placed_copies > 0 -> placed_copies--;
        if
        :: delivery == NONE -> delivery = READY; ready_copies++; check()
        :: else
        fi
       }
    od
}

// the clock: move_due_wait in delivery.c
proctype Clock() {
    mtype seen;

end:
    do
    :: atomic { delivery == READY; lock(delivery_lock, 100); seen = delivery }
       atomic {
        if
        :: seen == READY -> delivery = ON_ROUTE; route_copies++; check()
        :: else
        fi;
        unlock(delivery_lock, 100);
        seen = 0
       }
    od
}

// on_delivery_status_changed in consumers.c of OrderManager
proctype Followers() {
    mtype seen;
    byte sequence;

end:
    do
    :: atomic {
        if
        :: ready_copies > 0 -> sequence = 1
        :: route_copies > 0 -> sequence = 2
        fi;
        lock(order_lock, 101); // order_lock_batch
        seen = order
       }
       atomic { // follow, order_delivery_update_batch, COMMIT
        if
        :: sequence > known_sequence ->
            known_sequence = sequence;
            if
            :: seen == CANCELLED -> order = CANCELLED
            :: seen != CANCELLED && sequence == 1 && seen == PLACED -> order = PREPARING
            :: seen != CANCELLED && sequence == 2 -> order = SHIPPING
            :: else -> order = seen
            fi
        :: else
        fi;
        check();
        if
        :: sequence == 1 -> ready_copies--
        :: sequence == 2 -> route_copies--
        fi;
        unlock(order_lock, 101);
        seen = 0;
        sequence = 0
       }
    od
}

// ---- FruitCatalog: on_order_cancelled in consumers.c, and the sweeper that asks what became of an old hold

inline release(me, seen) {
    atomic { lock(hold_lock, me); seen = hold } // release_lock
    atomic { // release_write, COMMIT
        if
#ifdef MUTANT_release_twice
        :: true -> hold = RELEASED; available++; check()
#else
        :: IS_LIVE(seen) -> hold = RELEASED; available++; check()
        :: else
#endif
        fi;
        unlock(hold_lock, me);
        seen = 0
    }
}

proctype Returns() {
    mtype seen;

end:
    do
    :: cancelled_copies > 0 -> release(102, seen); cancelled_copies--
    od
}

proctype Sweeper() {
    mtype fate, seen;

end:
    do
    :: atomic { hold == HELD -> fate = order } // ResolveOrders
       if
       :: fate == CANCELLED -> release(103, seen)
       :: fate != CANCELLED ->
           atomic { // holds_sold
            hold_lock == NOBODY;
            if
            :: hold == HELD -> hold = SOLD
            :: else
            fi
           }
       fi;
       fate = 0
    od
}

init {
    byte at;

    atomic {
        for (at : 1 .. CANCELS) { run Cancel(at) }
        for (at : 1 .. RECONCILERS) { run Reconciler(CANCELS + at) }
        run Deliveries();
        run Clock();
        run Followers();
        run Returns();
        run Sweeper();
        at = 0
    }
    atomic {
        asking == 0 && intent != REQUESTED && placed_copies + ready_copies + route_copies + cancelled_copies == 0 && hold != HELD ->
        assert((order == CANCELLED) == (intent == DONE));
        assert((order == CANCELLED) == (hold == RELEASED));
        assert((order == CANCELLED) == (delivery == STOPPED || delivery == TOMBSTONE));
        assert(order == CANCELLED || (IS_LIVE_BOX && hold == SOLD))
    }
}

#ifdef LIVE
ltl ends { [] (intent == REQUESTED -> <> (intent == DONE || intent == REFUSED)) }
#endif
