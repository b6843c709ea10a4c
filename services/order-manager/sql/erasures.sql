-- SPDX-License-Identifier: Apache-2.0
-- Erasing an account: its orders stay, the person does not. Whoever locks orders does so in the order of their ids.

-- name: erasure_request :write
-- Once an account; from its commit on no order of the account is taken.
INSERT INTO orders.erasures (account_id, state) VALUES ($1::uuid, 'REQUESTED') ON CONFLICT DO NOTHING;

-- name: erasure_open_orders :write
-- What keeps an account from being erased: orders whose box has not arrived.
SELECT order_no
FROM orders.orders
WHERE buyer_id = $1::uuid AND order_no IS NOT NULL AND status IN ('PLACED', 'PREPARING', 'SHIPPING')
ORDER BY order_id DESC
LIMIT 20;

-- name: erasure_find :write
SELECT state, requested_at, finished_at, orders FROM orders.erasures WHERE account_id = $1::uuid;

-- name: erasure_next :write
-- One that is not at its end; what another instance works on is left to it.
SELECT account_id FROM orders.erasures WHERE state = 'REQUESTED' ORDER BY requested_at LIMIT 1 FOR UPDATE SKIP LOCKED;

-- name: erasure_step :write
-- Takes the person out of some orders of the account that are over, and answers which. The key goes, too: it is the client's own text.
WITH theirs AS (
    SELECT order_id
    FROM orders.orders
    WHERE buyer_id = $1::uuid AND order_no IS NOT NULL AND status IN ('DELIVERED', 'CONFIRMED', 'CANCELLED')
    ORDER BY order_id
    LIMIT $2::int4
    FOR NO KEY UPDATE
), notes AS (
    UPDATE orders.cancellations c
    SET note = NULL, actor_id = CASE WHEN c.actor_id = $1::uuid THEN '00000000-0000-0000-0000-000000000000' ELSE c.actor_id END
    FROM theirs
    WHERE c.order_id = theirs.order_id
), counted AS (
    UPDATE orders.erasures SET orders = orders + (SELECT count(*) FROM theirs) WHERE account_id = $1::uuid
)
UPDATE orders.orders o
SET personal = NULL, buyer_id = NULL, idempotency_key = NULL, request_hash = NULL, reply = NULL
FROM theirs
WHERE o.order_id = theirs.order_id
RETURNING o.order_id;

-- name: erasure_finish :write
UPDATE orders.erasures SET state = 'DONE', finished_at = now() WHERE account_id = $1::uuid;

-- name: erasure_reopen :write
-- An order that was just being stored when its account was erased is taken up when it is over.
UPDATE orders.erasures e
SET state = 'REQUESTED', finished_at = NULL
WHERE state = 'DONE'
  AND EXISTS (SELECT FROM orders.orders o
              WHERE o.buyer_id = e.account_id AND o.order_no IS NOT NULL AND o.status IN ('DELIVERED', 'CONFIRMED', 'CANCELLED'));
