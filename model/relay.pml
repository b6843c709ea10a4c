// SPDX-License-Identifier: Apache-2.0
// From the outbox to the effect: ch_outbox_add, events_relay.c, the broker's quorum queue, events_consume.c and inbox.c. Two transactions
// write one event each, RELAYS processes relay them, CONSUMERS apply them. It must never be kinder than the code: every process may die
// between any two steps, any answer may be lost, PostgreSQL may crash and forget what it had not flushed.
//
// The order of messages is not modelled: a consumer takes any that waits. The broker's limit of returns is only there with DELIVERY_LIMIT:
// it counts the deaths of those who had the event in hand. Read docs/model.md first.

#ifndef EVENTS
#define EVENTS 2
#endif
#ifndef RELAYS
#define RELAYS 2
#endif
#ifndef CONSUMERS
#define CONSUMERS 2
#endif
#ifndef CRASHES
#define CRASHES 1 // of PostgreSQL
#endif
#ifndef FAULTS
#define FAULTS 2 // lost confirms and lost messages, and deaths while a message is in hand; each makes a repetition
#endif
#define NOBODY 255

mtype = { UNBORN, OPEN, UNSENT, SENT, UNDONE }; // a row of the outbox; OPEN: its transaction has not ended
mtype = { UNSEEN, NOTING, NOTED };              // a row of the inbox; NOTING: its transaction has not ended

mtype row[EVENTS] = UNBORN, row_disk[EVENTS] = UNBORN;
byte row_lock[EVENTS] = NOBODY; // FOR UPDATE SKIP LOCKED
mtype inbox[EVENTS] = UNSEEN;
byte queue[EVENTS];   // copies of the event that wait
byte applied[EVENTS]; // how often its handler's transaction was committed
byte dead[EVENTS];    // copies in the dead-letter queue
byte returned[EVENTS];
byte in_hand;         // messages that a consumer has
byte writing = EVENTS; // transactions that have not ended
byte pg_run = 1;
byte crashes, faults;
hidden byte i;

#define IS_QUIET (writing == 0 && in_hand == 0 && all_quiet(0) && all_quiet(1))
#define all_quiet(e) ((row_disk[e] == SENT || row_disk[e] == UNDONE) && queue[e] == 0) // no crash sends it again

// A transaction that waits for the disk carries the whole log there.
inline flush() {
    for (i : 0 .. EVENTS - 1) { row_disk[i] = row[i] }
    i = 0
}

inline check() {
    for (i : 0 .. EVENTS - 1) {
        assert(applied[i] <= 1);                                            // one effect, however often it comes
        assert(applied[i] == 0 || row[i] == UNSENT || row[i] == SENT)       // of something that is true
    }
    i = 0
}

// ---- a transaction that says something: the order and its outbox row

proctype Writer(byte e) {
    byte my_run;

    atomic { row[e] = OPEN; my_run = pg_run }
    atomic {
        if
        :: my_run == pg_run -> row[e] = UNSENT; d_step { flush(); check() }
        :: row[e] = UNDONE; d_step { flush(); check() } // fails or dies
        fi;
        writing--
    }
}

// ---- the broker: a message is lost before it is stored, or stored and confirmed, or stored and the confirm lost

inline publish(e, ret_is_confirmed) {
    if
    :: atomic { queue[e] < 3 -> queue[e]++; ret_is_confirmed = true }
    :: atomic { faults < FAULTS && queue[e] < 3 -> faults++; queue[e]++ }
    :: atomic { faults < FAULTS -> faults++ }
    fi
}

// ---- the relay: run_round in events_relay.c

#ifdef MUTANT_publish_before_commit
#define IS_READY(e) ((row[e] == OPEN || row[e] == UNSENT) && row_lock[e] == NOBODY)
#else
#define IS_READY(e) (row[e] == UNSENT && row_lock[e] == NOBODY)
#endif

inline mark_sent(e, me, my_run) {
    d_step { // outbox_mark_sent, its commit does not wait for the disk
        if
        :: my_run == pg_run && row_lock[e] == me && row[e] == UNSENT ->
            row[e] = SENT;
            if
            :: crashes == CRASHES -> flush()
            :: else
            fi
        :: else
        fi;
        check()
    }
}

proctype Relay(byte me) {
    byte e, my_run;
    bool is_confirmed;

end:
    do
    :: atomic { // outbox_take
        if
        :: IS_READY(0) -> e = 0
        :: IS_READY(1) -> e = 1
        fi;
        row_lock[e] = me;
        my_run = pg_run
       }
#ifdef MUTANT_mark_sent_before_confirm
       mark_sent(e, me, my_run);
#endif
       publish(e, is_confirmed);
       if
       :: is_confirmed -> mark_sent(e, me, my_run)
       :: !is_confirmed // nothing was confirmed: rolled back
       :: atomic { faults < FAULTS -> faults++ } // dies: the row is free again, the event was published
       fi;
       atomic {
        if
        :: row_lock[e] == me && my_run == pg_run -> row_lock[e] = NOBODY
        :: else
        fi;
        e = 0; my_run = 0; is_confirmed = false
       }
    od
}

// ---- a consumer: apply_wait in inbox.c, acknowledged by events_consume.c after the commit

inline give_back(e) { // the broker hears that the consumer is gone
    faults++;
    returned[e]++;
#ifdef DELIVERY_LIMIT
    if
    :: returned[e] > DELIVERY_LIMIT -> dead[e]++
    :: else -> queue[e]++
    fi
#else
    queue[e]++
#endif
}

proctype Consumer() {
    byte e, my_run;

end:
    do
    :: atomic { // basic.deliver
        if
        :: queue[0] > 0 -> e = 0
        :: queue[1] > 0 -> e = 1
        fi;
        queue[e]--;
        in_hand++
       }
#ifdef MUTANT_ack_before_commit
       if
       :: true
       :: atomic { faults < FAULTS -> faults++; goto over } // dies, and the broker has forgotten the event
       fi;
#endif
#ifndef MUTANT_no_inbox
       if
       :: atomic { inbox[e] == UNSEEN -> inbox[e] = NOTING; my_run = pg_run } // inbox_insert
       :: inbox[e] == NOTED -> goto acknowledge                               // one that came before
       :: atomic { faults < FAULTS -> give_back(e); goto over }
       fi;
#else
       my_run = pg_run;
#endif
#ifdef MUTANT_inbox_outside_transaction
       atomic { inbox[e] == NOTING && my_run == pg_run -> inbox[e] = NOTED }
       if
       :: true
       :: atomic { faults < FAULTS -> give_back(e); goto over }
       fi;
#endif
       atomic { // the effect, and COMMIT
        if
        :: my_run != pg_run -> queue[e]++; goto over // the server died: tried again without counting
        :: my_run == pg_run -> inbox[e] = NOTED; applied[e]++; d_step { flush(); check() }
        :: faults < FAULTS && my_run == pg_run -> // dies: rolled back
            inbox[e] = UNSEEN;
            give_back(e);
            goto over
        fi
       }
acknowledge:
       if
       :: true
       :: atomic { faults < FAULTS -> give_back(e) } // dies before it could
       fi;
over:
       atomic { in_hand--; e = 0; my_run = 0 }
    od
}

// ---- PostgreSQL

proctype Server() {
end:
    do
    :: d_step { crashes < CRASHES -> flush() }
    :: d_step {
        crashes < CRASHES ->
        crashes++;
        pg_run++;
        for (i : 0 .. EVENTS - 1) {
            if
            :: row[i] == OPEN
            :: else -> row[i] = row_disk[i]
            fi;
            row_lock[i] = NOBODY;
            if
            :: inbox[i] == NOTING -> inbox[i] = UNSEEN
            :: else
            fi
        }
        i = 0;
        if
        :: crashes == CRASHES -> flush()
        :: else
        fi;
        check()
       }
    od
}

init {
    atomic {
        for (i : 0 .. EVENTS - 1) { run Writer(i) }
        for (i : 1 .. RELAYS) { run Relay(i) }
        for (i : 1 .. CONSUMERS) { run Consumer() }
        run Server();
        i = 0
    }
    atomic {
        IS_QUIET ->
        for (i : 0 .. EVENTS - 1) {
            assert(dead[i] == 0);                         // a sound event is no dead letter
            assert((row[i] == SENT) == (applied[i] == 1)) // none lost, none of what was undone
        }
        i = 0
    }
}
