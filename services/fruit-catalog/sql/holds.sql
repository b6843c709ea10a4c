-- SPDX-License-Identifier: Apache-2.0
-- Stock taken and given back for orders. Everybody locks SKUs in the order of their ids and then writes holds in the order of
-- theirs, so that nobody waits in a circle.

-- name: skus_lock_batch :write
SELECT sku_id FROM catalog.skus WHERE sku_id = ANY ($1::uuid[]) ORDER BY sku_id FOR NO KEY UPDATE;

-- name: reserve_read :read
-- What a decision needs: the SKUs $1 (kind 0) in the order of their ids, and what the orders $2 got earlier (kind 1), by order and line. With
-- each SKU that has a limit per buyer comes what those have of it who ask for it: the buyers $3 of the SKUs $4, line by line.
SELECT 0 AS kind, s.sku_id, s.price_krw, s.available, s.per_order_limit AS amount,
       (SELECT l.lot_id FROM catalog.lots l WHERE l.sku_id = s.sku_id ORDER BY l.harvested_on, l.lot_id LIMIT 1) AS lot_id,
       NULL::uuid AS order_id, NULL::text AS state, 0 AS line_no,
       s.product_id, p.farm_id, f.name, p.title, p.fruit, p.variety, s.grade, s.weight_g, s.is_on_sale AND p.status = 'ON_SALE', f.ship_cutoff,
       s.per_buyer_limit,
       CASE WHEN s.per_buyer_limit IS NOT NULL THEN catalog.shares_of_buyers(s.sku_id, $3::uuid[], $4::uuid[]) END
FROM catalog.skus s JOIN catalog.products p USING (product_id) JOIN catalog.farms f USING (farm_id)
WHERE s.sku_id = ANY ($1::uuid[])
UNION ALL
SELECT 1, l.sku_id, l.unit_price_krw, l.available_before, l.quantity, l.lot_id, h.order_id, h.state, l.line_no,
       NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL
FROM catalog.holds h LEFT JOIN catalog.hold_lines l USING (order_id)
WHERE h.order_id = ANY ($2::uuid[])
ORDER BY kind, order_id, line_no, sku_id;

-- name: reserve_write :write
-- All that a batch of decided orders changes. Arrays: SKUs and what is taken of each; orders; lines of orders; stock.low events.
-- $18 is the run of the server that stores the orders, as order_by_keys of OrderManager says it. When it is this one, their commit flushes
-- this one's log entry with its own, and is refused after a crash.
WITH taken AS (
    UPDATE catalog.skus s
    SET available = s.available - t.quantity
    FROM unnest($1::uuid[], $2::int4[]) AS t (sku_id, quantity)
    WHERE s.sku_id = t.sku_id
), held AS (
    INSERT INTO catalog.holds (order_id, buyer_id, state, expires_at)
    SELECT t.order_id, t.buyer_id, 'HELD', now() + make_interval(secs => $5::int4)
    FROM unnest($3::uuid[], $4::uuid[]) AS t (order_id, buyer_id),
         (SELECT set_config('synchronous_commit',
                            CASE WHEN extract(epoch FROM pg_postmaster_start_time()) || '/' ||
                                      extract(epoch FROM pg_stat_get_bgwriter_stat_reset_time()) = $18::text
                                 THEN 'off' ELSE 'on' END, true)) AS durability
    ORDER BY t.order_id
), line AS MATERIALIZED (
    SELECT * FROM unnest($6::uuid[], $7::int4[], $8::uuid[], $9::int4[], $10::int8[], $11::int4[], $12::uuid[], $13::uuid[]) WITH ORDINALITY
        AS t (order_id, line_no, sku_id, quantity, unit_price_krw, available_before, lot_id, ledger_id, at)
), kept AS (
    INSERT INTO catalog.hold_lines (order_id, line_no, sku_id, quantity, unit_price_krw, available_before, lot_id)
    SELECT order_id, line_no, sku_id, quantity, unit_price_krw, available_before,
           NULLIF(lot_id, '00000000-0000-0000-0000-000000000000'::uuid)
    FROM line
), ledger AS (
    INSERT INTO catalog.stock_ledger (ledger_id, sku_id, kind, delta, available_after, reason, actor, order_id)
    SELECT ledger_id, sku_id, 'RESERVATION', -quantity, available_before - quantity, 'order_reserved', 'buyer', order_id
    FROM line
    ORDER BY at
)
INSERT INTO catalog.outbox (event_id, type, subject, data, traceparent)
SELECT event_id, 'stock.low.v1', subject, data, traceparent
FROM unnest($14::uuid[], $15::text[], $16::text[], $17::text[]) AS t (event_id, subject, data, traceparent);

-- name: sku_buyers_add :write
-- What the orders of a batch take of SKUs that have a limit per buyer: a row each for SKU $1 and buyer $2. The SKUs are locked.
INSERT INTO catalog.sku_buyers (sku_id, buyer_id, quantity)
SELECT * FROM unnest($1::uuid[], $2::uuid[], $3::int4[])
ON CONFLICT (sku_id, buyer_id) DO UPDATE SET quantity = sku_buyers.quantity + excluded.quantity;

-- name: release_lock :write
SELECT sku_id
FROM catalog.skus
WHERE sku_id IN (SELECT l.sku_id FROM catalog.hold_lines l WHERE l.order_id = ANY ($1::uuid[]))
ORDER BY sku_id
FOR NO KEY UPDATE;

-- name: release_write :write
-- Gives back once what the orders $1 hold or bought, and closes those never seen. Answers the products whose stock rose, and how many
-- orders hold nothing now: fewer than asked when one of them was just being reserved by somebody else, and then nothing may be kept.
-- $1 has no duplicates. What holds nothing needs no buyer any more: he is forgotten, and his row of sku_buyers with the last of his boxes.
WITH held AS MATERIALIZED (
    SELECT order_id, buyer_id FROM catalog.holds WHERE order_id = ANY ($1::uuid[]) AND state IN ('HELD', 'SOLD') ORDER BY order_id FOR UPDATE
), released AS (
    UPDATE catalog.holds h SET state = 'RELEASED', buyer_id = NULL, updated_at = now() FROM held WHERE h.order_id = held.order_id
    RETURNING h.order_id, held.buyer_id
), closed AS (
    INSERT INTO catalog.holds (order_id, state)
    SELECT t.order_id, 'CLOSED' FROM unnest($1::uuid[]) AS t (order_id) ORDER BY t.order_id
    ON CONFLICT (order_id) DO NOTHING
    RETURNING order_id
), line AS MATERIALIZED (
    SELECT l.order_id, l.line_no, l.sku_id, l.quantity, released.buyer_id,
           sum(l.quantity) OVER (PARTITION BY l.sku_id ORDER BY l.order_id, l.line_no) AS running
    FROM catalog.hold_lines l JOIN released USING (order_id)
), back AS (
    UPDATE catalog.skus s
    SET available = s.available + t.quantity
    FROM (SELECT sku_id, sum(quantity)::int4 AS quantity FROM line GROUP BY sku_id) AS t
    WHERE s.sku_id = t.sku_id
    RETURNING s.sku_id, s.product_id, s.available - t.quantity AS available_before
), share AS MATERIALIZED (
    SELECT sku_id, buyer_id, sum(quantity)::int4 AS quantity FROM line GROUP BY sku_id, buyer_id
), allowed_again AS (
    UPDATE catalog.sku_buyers b
    SET quantity = b.quantity - t.quantity
    FROM share t
    WHERE b.sku_id = t.sku_id AND b.buyer_id = t.buyer_id AND b.quantity <> t.quantity
), forgotten AS (
    DELETE FROM catalog.sku_buyers b USING share t WHERE b.sku_id = t.sku_id AND b.buyer_id = t.buyer_id AND b.quantity = t.quantity
), ledger AS (
    INSERT INTO catalog.stock_ledger (ledger_id, sku_id, kind, delta, available_after, reason, actor, order_id)
    SELECT catalog.uuid_v7(), l.sku_id, 'RELEASE', l.quantity, b.available_before + l.running, $2::text, 'system', l.order_id
    FROM line l JOIN back b USING (sku_id)
    ORDER BY l.order_id, l.line_no
), settled AS (
    SELECT (SELECT count(*) FROM released) + (SELECT count(*) FROM closed) +
           (SELECT count(*) FROM catalog.holds WHERE order_id = ANY ($1::uuid[]) AND state IN ('RELEASED', 'CLOSED')) AS count
)
SELECT settled.count, back.product_id FROM settled LEFT JOIN (SELECT DISTINCT product_id FROM back) AS back ON true;

-- name: holds_forget_buyers :write
-- After release_lock of the same orders $1: their buyers' accounts are gone, and order nothing any more (OrderManager sees to it), so nobody needs
-- to know what they have of a SKU with a limit. The holds stay what they are; a release to come finds no share to give back.
WITH theirs AS MATERIALIZED (
    SELECT order_id, buyer_id FROM catalog.holds WHERE order_id = ANY ($1::uuid[]) AND buyer_id IS NOT NULL ORDER BY order_id FOR UPDATE
), nobodys AS (
    UPDATE catalog.holds h SET buyer_id = NULL, updated_at = now() FROM theirs WHERE h.order_id = theirs.order_id
), share AS MATERIALIZED (
    SELECT l.sku_id, theirs.buyer_id, sum(l.quantity)::int4 AS quantity
    FROM catalog.hold_lines l JOIN theirs USING (order_id)
    GROUP BY l.sku_id, theirs.buyer_id
), lessened AS (
    UPDATE catalog.sku_buyers b
    SET quantity = b.quantity - t.quantity
    FROM share t
    WHERE b.sku_id = t.sku_id AND b.buyer_id = t.buyer_id AND b.quantity <> t.quantity
)
DELETE FROM catalog.sku_buyers b USING share t WHERE b.sku_id = t.sku_id AND b.buyer_id = t.buyer_id AND b.quantity = t.quantity;

-- name: holds_expired :read
-- Holds that nobody spoke of for their time to live, oldest first. Being here changes nothing: OrderManager is asked.
SELECT order_id FROM catalog.holds WHERE state = 'HELD' AND expires_at < now() ORDER BY expires_at, order_id LIMIT $1::int4;

-- name: holds_sold :write
UPDATE catalog.holds h
SET state = 'SOLD', updated_at = now()
FROM (SELECT order_id FROM catalog.holds WHERE order_id = ANY ($1::uuid[]) AND state = 'HELD' ORDER BY order_id FOR UPDATE) AS t
WHERE h.order_id = t.order_id;
