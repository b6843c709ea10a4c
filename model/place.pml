// SPDX-License-Identifier: Apache-2.0
// Placing an order and settling its hold: order.c, order_insert.c and order_resolve_wait of OrderManager; reserve_batch.c, hold_store.c and
// the sweeper of FruitCatalog; PostgreSQL with a write-ahead log of which a crash takes what was not flushed (ADR 0003, 0004, 0008).
// It must never be kinder than the code: a step here is a statement or a call there, and between two steps anything may happen.
//
// Three requests with two keys want the only box of one SKU (BOXES says how many there are). Read docs/model.md first.

#ifndef BOXES
#define BOXES 1
#endif
#ifndef CRASHES
#define CRASHES 1 // of PostgreSQL; services die at any step without a limit
#endif
#ifndef SWEEPERS
#define SWEEPERS 1
#endif
#ifndef REQUESTS
#define REQUESTS 3 // request 0 and 1 are one key, sent twice
#endif
#ifndef CALLS
#define CALLS 1 // 2: a Reserve may arrive twice, and after its caller died
#endif

#ifdef OWN_KEYS // each request has a key of its own
#define KEY_OF(id) (id)
#define KEYS       REQUESTS
#else
#define KEY_OF(id) ((id) / 2)
#define KEYS       ((REQUESTS + 1) / 2)
#endif
#define NOBODY     255

#ifdef MUTANT_no_cluster_run_check
#define IS_SAME_RUN(asked) true
#else
#define IS_SAME_RUN(asked) ((asked) == orders_run)
#endif
#ifdef MUTANT_no_row_lock // writes what it computed, so the CHECK sees nothing wrong
#define IS_CHECKED false
#else
#define IS_CHECKED true
#endif
#ifdef MUTANT_hold_not_checked
#define IS_UNIQUE false
#else
#define IS_UNIQUE true
#endif
#ifdef TWO_SERVERS
#ifdef MUTANT_async_on_two_servers
#define IS_ASYNC(asked) (crashes < CRASHES)
#else
#define IS_ASYNC(asked) false
#endif
#else
#define IS_ASYNC(asked) ((asked) == catalog_run && crashes < CRASHES)
#endif
#define IS_HELD(at) ((at) < REQUESTS && catalog.hold[(at) % REQUESTS] == HELD)
#define LIVE(hold) ((hold) == HELD || (hold) == SOLD)

mtype = { NONE, HELD, SOLD, RELEASED, CLOSED };            // catalog.holds
mtype = { PLACED, ABORTED };                               // orders.orders; ABORTED is the fence
mtype = { NO_ANSWER, RESERVED, STOCK_SHORT, ORDER_CLOSED, NOBODY_WAITS }; // of Reserve

typedef Catalog {
    byte available;
    byte ledger; // available_after of its last row
    mtype hold[REQUESTS]
};
typedef Orders {
    mtype order[REQUESTS];
    byte key_owner[KEYS] // only a mutant keeps keys apart from the orders
};

Catalog catalog, catalog_disk; // what sessions see, and what a crash leaves of it
Orders orders, orders_disk;
byte catalog_run = 1, orders_run = 1; // since when each server has not crashed; with one server they are the same
byte sku_lock = NOBODY;               // who has the row of the SKU
byte crashes;

mtype answer[REQUESTS];      // of Reserve, on its way to OrderManager
bool acknowledged[REQUESTS]; // a client has 201 with this order
bool told_aborted[REQUESTS]; // FruitCatalog was told that this will never be an order
byte working;                // requests and calls under way
byte sweeping;
hidden byte i, n, m;

// ---- PostgreSQL

inline copy_catalog(to, from) {
    to.available = from.available;
    to.ledger = from.ledger;
    for (i : 0 .. REQUESTS - 1) { to.hold[i] = from.hold[i] }
}

inline copy_orders(to, from) {
    for (i : 0 .. REQUESTS - 1) { to.order[i] = from.order[i] }
    for (i : 0 .. KEYS - 1) { to.key_owner[i] = from.key_owner[i] }
}

// The log is one sequence: a flush carries everything before it.
inline flush_catalog() {
    copy_catalog(catalog_disk, catalog);
#ifndef TWO_SERVERS
    copy_orders(orders_disk, orders);
#endif
}

inline flush_orders() {
    copy_orders(orders_disk, orders);
#ifndef TWO_SERVERS
    copy_catalog(catalog_disk, catalog);
#endif
}

// What holds after each commit and after each crash, whoever looks.
inline check() {
    n = 0;
    m = 0;
    for (i : 0 .. REQUESTS - 1) {
        if
        :: LIVE(catalog.hold[i]) -> n++
        :: else
        fi;
        if
        :: orders.order[i] == PLACED ->
            m++;
            assert(LIVE(catalog.hold[i])); // an order has its box
            assert(!told_aborted[i])       // a fenced id never becomes an order
        :: else
        fi;
        assert(!acknowledged[i] || orders.order[i] == PLACED) // an acknowledged order stays stored
    }
    assert(m <= BOXES);                     // never sold twice
    assert(catalog.available + n == BOXES); // stock + held + sold = initial
    assert(catalog.ledger == catalog.available);
#ifndef OWN_KEYS
    assert(orders.order[0] != PLACED || orders.order[1] != PLACED) // one order a key
#endif
}

inline unlock(who) {
    if
    :: sku_lock == who -> sku_lock = NOBODY
    :: else
    fi
}

// The answer, unless it is lost; who does not wait any more does not hear it.
inline answer_with(id, what) {
    if
    :: answer[id] == NO_ANSWER -> answer[id] = what
    :: true
    fi;
    goto out
}

// ---- FruitCatalog: one Reserve, reserve_commit in reserve_batch.c

proctype Reserve(byte id; byte asked_run) {
    byte my_run, available;
    mtype hold;

again:
    if
    :: atomic { // skus_lock_batch, reserve_read: nobody who matters comes between lock and read
#ifndef MUTANT_no_row_lock
        sku_lock == NOBODY -> sku_lock = id;
#endif
        my_run = catalog_run;
        available = catalog.available;
        hold = catalog.hold[id];
#ifdef MUTANT_hold_not_checked
        hold = NONE
#endif
       }
    :: goto out // the call never arrives, or this process dies before its commit: nothing has happened
    fi;
    atomic { // reserve_decide, reserve_write and COMMIT
        if
        :: my_run != catalog_run -> goto out // the server died, and the transaction with it
#ifndef MUTANT_hold_not_checked
        :: my_run == catalog_run && LIVE(hold) -> answer_with(id, RESERVED) // what it got before
#endif
        :: my_run == catalog_run && (hold == RELEASED || hold == CLOSED) -> answer_with(id, ORDER_CLOSED)
        :: my_run == catalog_run && hold == NONE && available == 0 -> answer_with(id, STOCK_SHORT)
        :: my_run == catalog_run && hold == NONE && available > 0 && catalog.hold[id] != NONE && IS_UNIQUE -> // unique violation
            unlock(id);
            goto again
        :: my_run == catalog_run && hold == NONE && available > 0 && catalog.available == 0 && IS_CHECKED && (catalog.hold[id] == NONE || !IS_UNIQUE) ->
            goto out // the CHECK skus_available
        :: else ->
#ifdef MUTANT_no_row_lock
            catalog.available = available - 1;
#else
            catalog.available--;
#endif
            catalog.ledger = available - 1;
            catalog.hold[id] = HELD;
            if
            :: IS_ASYNC(asked_run) // synchronous_commit = off
            :: flush_catalog()     // or the log was flushed before the next commit came
            fi;
            check();
            unlock(id)
        fi
    }
    atomic { answer_with(id, RESERVED) }
out:
    atomic { unlock(id); working--; i = 0; n = 0; m = 0; my_run = 0; available = 0; hold = 0 }
}

// ---- FruitCatalog: giving back, release_once_wait in hold_store.c. `who` keeps lockers apart.

inline release(id, who, my_run, seen) {
    do
    :: atomic { // release_lock, and the snapshot of release_write
        seen = catalog.hold[id];
#ifndef MUTANT_no_row_lock
        if
        :: seen == NONE || seen == CLOSED
        :: seen != NONE && seen != CLOSED && sku_lock == NOBODY -> sku_lock = who
        fi;
        seen = catalog.hold[id];
#endif
        my_run = catalog_run
       }
       atomic { // release_write and COMMIT
        if
        :: my_run != catalog_run -> unlock(who); break
        :: my_run == catalog_run ->
            if
#ifdef MUTANT_release_twice
            :: (LIVE(seen) && catalog.hold[id] != NONE) || seen == RELEASED ->
#else
            :: LIVE(seen) && LIVE(catalog.hold[id]) ->
#endif
                (sku_lock == NOBODY || sku_lock == who);
                d_step {
                    catalog.hold[id] = RELEASED;
                    catalog.available++;
                    catalog.ledger = catalog.available;
                    flush_catalog();
                    check()
                }
                unlock(who);
                break
            :: seen == NONE && catalog.hold[id] == NONE ->
                d_step { catalog.hold[id] = CLOSED; flush_catalog(); check() }
                unlock(who);
                break
#ifndef MUTANT_release_twice
            :: seen == RELEASED -> unlock(who); break
#endif
            :: seen == CLOSED -> unlock(who); break
            :: else -> unlock(who) // fewer settled than asked: look again
            fi
        fi
       }
    od;
    seen = 0
}

// ---- OrderManager: one POST /orders, order_place_once_wait and order_store_wait in order.c, order_admit.c

inline find_by_key(key, ret_id) {
    ret_id = NOBODY;
#ifdef MUTANT_key_outside_transaction
    ret_id = orders.key_owner[key];
#else
    for (i : 0 .. REQUESTS - 1) {
        if
        :: KEY_OF(i) == key && orders.order[i] == PLACED -> ret_id = i
        :: else
        fi
    }
    i = 0
#endif
}

inline acknowledge(id) {
    d_step { acknowledged[id] = true; check(); i = 0; n = 0; m = 0 }
}

proctype Place(byte id) {
    byte cluster_run, earlier, my_run;
    mtype seen;
    bool is_placed;

    atomic { // order_by_keys
        cluster_run = orders_run;
        find_by_key(KEY_OF(id), earlier);
        if
        :: id + 1 < REQUESTS -> run Place(id + 1) // who is first has number 0: ids are all alike
        :: else
        fi
    }
    if
    :: earlier != NOBODY -> acknowledge(earlier); goto out // the stored answer again
    :: else
    fi;
    atomic { // the call leaves
        answer[id] = NO_ANSWER;
        working = working + CALLS;
        run Reserve(id, cluster_run);
#if CALLS > 1
        run Reserve(id, cluster_run);
#endif
    }
    if
    :: answer[id] == RESERVED
    :: answer[id] == STOCK_SHORT || answer[id] == ORDER_CLOSED -> goto out
    :: goto out // time is up, or this process dies; Reserve may still come
    fi;
#ifdef MUTANT_reply_before_commit
    acknowledge(id);
#endif
    if
    :: true -> d_step { // order_insert_batch: order, lines, timeline, outbox in one commit; ON CONFLICT DO NOTHING
        is_placed = false;
        find_by_key(KEY_OF(id), earlier);
        if
        :: orders.order[id] == NONE && earlier == NOBODY && IS_SAME_RUN(cluster_run) ->
            orders.order[id] = PLACED;
            is_placed = true;
            flush_orders();
            check()
        :: else
        fi;
        i = 0; n = 0; m = 0
       }
    :: goto out // dies, or the statement fails
    fi;
#ifdef MUTANT_key_outside_transaction
    if
    :: is_placed -> d_step { orders.key_owner[KEY_OF(id)] = id; flush_orders(); i = 0 }
    :: else
    fi;
#endif
    if
    :: is_placed -> acknowledge(id); goto out
    :: !is_placed
#ifdef MUTANT_release_on_unknown
    :: is_placed -> is_placed = false // the answer to the commit is lost
#else
    :: goto out // dies between commit and answer, or does not hear of the commit: the sweeper will ask
#endif
    fi;
    d_step { find_by_key(KEY_OF(id), earlier) } // order_by_keys: what did it lose against?
    if
    :: release(id, id + REQUESTS, my_run, seen) // catalog_release_wait, the best it can
    :: true
    fi;
    if
    :: earlier != NOBODY && orders.order[earlier] == PLACED -> acknowledge(earlier)
    :: else
    fi;
out:
    atomic { answer[id] = NOBODY_WAITS; working--; cluster_run = 0; earlier = 0; my_run = 0; seen = 0; is_placed = false }
}

// ---- FruitCatalog's sweeper asks OrderManager: hold_sweeper in jobs.c, order_resolve_wait in order_insert.c

proctype Sweeper(byte me) {
    byte id, my_run;
    mtype fate, seen;

again:
    if // holds_expired: any hold may be as old as it likes
    :: IS_HELD(0) -> id = 0
    :: IS_HELD(1) -> id = 1
    :: IS_HELD(2) -> id = 2
    :: working == 0 && !IS_HELD(0) && !IS_HELD(1) && !IS_HELD(2) -> goto out // nothing is left to do
    fi;
    d_step { // order_fence_batch
#ifndef MUTANT_resolve_without_fence
     if
     :: orders.order[id] == NONE -> orders.order[id] = ABORTED; flush_orders()
     :: else
     fi;
#endif
     fate = NONE;
        i = 0
    }
    atomic { // order_fates
     fate = orders.order[id];
     if
     :: fate != PLACED -> told_aborted[id] = true
     :: else
     fi
    }
    if
    :: fate == PLACED ->
        d_step { // holds_sold
         if
         :: catalog.hold[id] == HELD -> catalog.hold[id] = SOLD; flush_catalog(); check()
         :: else
         fi;
         i = 0; n = 0; m = 0
        }
    :: fate != PLACED -> release(id, me, my_run, seen)
    :: true // the answer is lost, or one of the two dies: a later round asks again
    fi;
    atomic { id = 0; fate = 0; my_run = 0; goto again }
out:
    sweeping--
}

// ---- faults

proctype Server() {
end:
    do
    :: d_step {
        crashes < CRASHES ->
        crashes++;
#ifdef TWO_SERVERS
        copy_catalog(catalog, catalog_disk);
        catalog_run++;
        sku_lock = NOBODY;
#else
        copy_catalog(catalog, catalog_disk);
        copy_orders(orders, orders_disk);
        catalog_run++;
        orders_run++;
        sku_lock = NOBODY;
#endif
        if
        :: crashes == CRASHES -> flush_catalog(); flush_orders() // no further crash: what is on disk does not matter any more
        :: else
        fi;
        check();
        i = 0; n = 0; m = 0
       }
    od
}

// ---- what is left when everything is quiet

init {
    byte at;

    atomic {
        catalog.available = BOXES;
        catalog.ledger = BOXES;
        for (at : 0 .. REQUESTS - 1) {
            catalog.hold[at] = NONE;
            orders.order[at] = NONE;
            answer[at] = NOBODY_WAITS
        }
        for (at : 0 .. KEYS - 1) { orders.key_owner[at] = NOBODY }
        flush_catalog();
        flush_orders();
        working = REQUESTS;
        sweeping = SWEEPERS;
        run Place(0);
        for (at : 1 .. SWEEPERS) { run Sweeper(2 * REQUESTS + at) }
        run Server();
        at = 0;
        i = 0
    }
    atomic {
        working == 0 && sweeping == 0 ->
        for (at : 0 .. REQUESTS - 1) {
            assert((orders.order[at] == PLACED) == LIVE(catalog.hold[at])); // no hold without order
            assert(catalog.hold[at] != HELD)
        }
    }
}
