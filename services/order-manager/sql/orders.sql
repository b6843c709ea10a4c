-- SPDX-License-Identifier: Apache-2.0
-- Orders: written in batches, read one by one or by page.

-- name: order_insert_batch :write
-- Orders, lines, first timeline entry and order.placed of a whole batch in one commit. Returns the ids that became orders:
-- an id that is missing lost against a fence or against an earlier order with the same buyer and key, or its reservation may be lost:
-- $28 is what order_by_keys answered before the stock was reserved, and if this database has crashed since then, the reservation may
-- have gone with it. Null: the reservation has reached the disk. Nor does an id become an order whose account was erased since: FruitCatalog may have
-- forgotten what the account had of a SKU with a limit when it reserved. Keys go in one order, so that two batches that hold the same ones do not wait
-- for each other for ever.
WITH input AS (
    SELECT * FROM unnest($1::uuid[], $2::text[], $3::uuid[], $4::text[], $5::bytea[], $6::int8[], $7::int8[], $8::bytea[], $9::text[],
                         $10::text[], $11::timestamptz[], $12::text[], $13::text[], $14::uuid[], $15::text[], $28::text[])
        AS t (order_id, order_no, buyer_id, idempotency_key, request_hash, items_krw, shipping_fee_krw, personal,
              masked_payment_token, reply, created_at, trace_id, traceparent, event_id, event_data, cluster_run)
), placed AS (
    INSERT INTO orders.orders (order_id, status, order_no, buyer_id, idempotency_key, request_hash, items_krw, shipping_fee_krw, total_krw,
                               personal, masked_payment_token, reply, created_at, updated_at)
    SELECT order_id, 'PLACED', order_no, buyer_id, idempotency_key, request_hash, items_krw, shipping_fee_krw, items_krw + shipping_fee_krw,
           personal, masked_payment_token, reply, created_at, created_at
    FROM input
    WHERE (cluster_run IS NULL
           OR cluster_run = (SELECT extract(epoch FROM pg_postmaster_start_time()) || '/' || extract(epoch FROM pg_stat_get_bgwriter_stat_reset_time())))
      AND NOT EXISTS (SELECT FROM orders.erasures e WHERE e.account_id = input.buyer_id)
    ORDER BY buyer_id, idempotency_key, order_id
    ON CONFLICT DO NOTHING
    RETURNING order_id
), lines AS (
    INSERT INTO orders.order_lines (order_id, line_no, sku_id, product_id, farm_id, farm_name, title, grade, weight_g, quantity,
                                    unit_price_krw, lot_id)
    SELECT order_id, line_no, sku_id, product_id, farm_id, farm_name, title, grade, weight_g, quantity, unit_price_krw,
           NULLIF(lot_id, '00000000-0000-0000-0000-000000000000')
    FROM unnest($16::uuid[], $17::int4[], $18::uuid[], $19::uuid[], $20::uuid[], $21::text[], $22::text[], $23::text[], $24::int4[],
                $25::int4[], $26::int8[], $27::uuid[])
        AS l (order_id, line_no, sku_id, product_id, farm_id, farm_name, title, grade, weight_g, quantity, unit_price_krw, lot_id)
    JOIN placed USING (order_id)
), timeline AS (
    INSERT INTO orders.timeline (order_id, seq, status, at, actor, reason, trace_id)
    SELECT order_id, 1, 'PLACED', created_at, 'buyer', '', trace_id FROM input JOIN placed USING (order_id)
), outbox AS (
    INSERT INTO orders.outbox (event_id, type, subject, data, traceparent)
    SELECT event_id, 'order.placed.v1', order_id::text, event_data, traceparent FROM input JOIN placed USING (order_id)
)
SELECT order_id FROM placed;

-- name: order_by_keys :read
-- For each buyer $1 with key $2, in their order, one row: which run of which server this is (since when it runs, and since when it has not
-- crashed: a recovery begins its statistics anew; to the microsecond, so that no two share it), and the earlier order of this buyer with this
-- key with the answer it got, or nulls; and whether the buyer's account was erased. LATERAL: one search of the index a key, whatever the planner
-- thinks of the table. (SELECT $n): the planner sees no length of the array, so that it keeps one plan; planning for each length takes four times
-- as long as the search itself.
SELECT extract(epoch FROM pg_postmaster_start_time()) || '/' || extract(epoch FROM pg_stat_get_bgwriter_stat_reset_time()),
       o.order_id, o.request_hash, o.reply, o.personal, EXISTS (SELECT FROM orders.erasures e WHERE e.account_id = k.buyer_id)
FROM unnest((SELECT $1::uuid[]), (SELECT $2::text[])) WITH ORDINALITY AS k (buyer_id, idempotency_key, at)
LEFT JOIN LATERAL (SELECT order_id, request_hash, reply, personal FROM orders.orders
                   WHERE buyer_id = k.buyer_id AND idempotency_key = k.idempotency_key LIMIT 1) AS o ON true
ORDER BY k.at;

-- name: order_find :read
SELECT order_id, order_no, buyer_id, status, items_krw, shipping_fee_krw, total_krw,
       personal, masked_payment_token, delivery_status, delivery_carrier, delivery_invoice_no,
       delivery_as_of, created_at, updated_at
FROM orders.orders
WHERE order_id = $1::uuid AND status <> 'ABORTED';

-- name: order_page_by_buyer :read
-- A page of the buyer's orders, newest first, after the order with id $2. A fence has no number; the condition is that of orders_by_buyer.
SELECT order_id, order_no, buyer_id, status, items_krw, shipping_fee_krw, total_krw,
       personal, masked_payment_token, delivery_status, delivery_carrier, delivery_invoice_no,
       delivery_as_of, created_at, updated_at
FROM orders.orders
WHERE buyer_id = $1::uuid AND order_id < $2::uuid AND ($3::text IS NULL OR status = $3::text) AND order_no IS NOT NULL
ORDER BY order_id DESC
LIMIT $4::int4;

-- name: order_page_by_farm :read
-- A page of the orders that have lines of this farm, newest first, after the order with id $2.
SELECT order_id, order_no, buyer_id, status, items_krw, shipping_fee_krw, total_krw,
       personal, masked_payment_token, delivery_status, delivery_carrier, delivery_invoice_no,
       delivery_as_of, created_at, updated_at
FROM orders.orders o
WHERE order_id < $2::uuid AND ($3::text IS NULL OR status = $3::text) AND status <> 'ABORTED'
  AND EXISTS (SELECT FROM orders.order_lines l WHERE l.order_id = o.order_id AND l.farm_id = $1::uuid)
ORDER BY order_id DESC
LIMIT $4::int4;

-- name: order_lines_of :read
-- Lines of many orders; with a farm, only that farm's. (SELECT $n) as above.
SELECT order_id, line_no, sku_id, product_id, farm_id, farm_name, title, grade, weight_g, quantity, unit_price_krw, lot_id
FROM orders.order_lines
WHERE order_id = ANY ((SELECT $1::uuid[])::uuid[]) AND farm_id = COALESCE($2::uuid, farm_id)
ORDER BY order_id DESC, line_no;

-- name: order_timeline_of :read
SELECT status, at, actor, reason, trace_id FROM orders.timeline WHERE order_id = $1::uuid ORDER BY seq;

-- name: order_fence_batch :write
-- Fences every id that is no order yet, then none of them can become one.
INSERT INTO orders.orders (order_id, status, created_at, updated_at)
SELECT order_id, 'ABORTED', now(), now() FROM unnest($1::uuid[]) AS t (order_id) ORDER BY order_id
ON CONFLICT DO NOTHING;

-- name: order_fates :read
SELECT order_id, status FROM orders.orders WHERE order_id = ANY ($1::uuid[]);

-- name: order_lock_batch :write
-- Orders whose delivery changed, locked in one order so that two consumers cannot block each other for ever. All that is read stands in the
-- locked row itself: whoever waited for the lock sees what the other wrote, which a subquery on the timeline would not.
SELECT order_id, status, delivery_sequence, timeline_seq
FROM orders.orders
WHERE order_id = ANY ($1::uuid[]) AND status <> 'ABORTED'
ORDER BY order_id
FOR NO KEY UPDATE;

-- name: order_follow_batch :write
-- What the delivery said last, the status that follows from it, and what is added to the timeline; of orders that order_lock_batch holds.
WITH followed AS (
    UPDATE orders.orders o
    SET status = t.status, delivery_status = t.delivery_status, delivery_carrier = t.carrier, delivery_invoice_no = t.invoice_no,
        delivery_sequence = t.sequence, timeline_seq = t.timeline_seq, delivery_as_of = t.at, updated_at = now()
    FROM unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::text[], $6::int4[], $7::int4[], $8::timestamptz[])
        AS t (order_id, status, delivery_status, carrier, invoice_no, sequence, timeline_seq, at)
    WHERE o.order_id = t.order_id
)
INSERT INTO orders.timeline (order_id, seq, status, at, actor, reason, trace_id)
SELECT order_id, seq, status, at, $14::text, '', trace_id
FROM unnest($9::uuid[], $10::int4[], $11::text[], $12::timestamptz[], $13::text[]) AS t (order_id, seq, status, at, trace_id);

-- name: order_keys_forget :write
-- Forgets the Idempotency-Keys of the next $2 orders when they were placed more than $1 seconds ago; the orders stay. Whoever holds the mark
-- is the only one at it. Locks in the order in which consumers lock.
WITH mark AS (
    SELECT up_to FROM orders.forgotten_keys FOR UPDATE SKIP LOCKED
), next AS (
    SELECT order_id, created_at FROM orders.orders WHERE order_id > (SELECT up_to FROM mark) ORDER BY order_id LIMIT $2::int4
), old AS (
    SELECT order_id
    FROM orders.orders
    WHERE order_id IN (SELECT order_id FROM next WHERE created_at < now() - make_interval(secs => $1::int8))
    ORDER BY order_id
    FOR NO KEY UPDATE
), forgotten AS (
    UPDATE orders.orders o
    SET idempotency_key = NULL, request_hash = NULL, reply = NULL
    FROM old
    WHERE o.order_id = old.order_id
), moved AS (
    UPDATE orders.forgotten_keys
    SET up_to = last.order_id
    FROM (SELECT order_id FROM old ORDER BY order_id DESC LIMIT 1) AS last
)
SELECT count(*) FROM old;
