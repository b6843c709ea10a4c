-- SPDX-License-Identifier: Apache-2.0
-- Cancelling orders: the wish, its end, and what was left between. Whoever locks an order and its cancellation takes the order first.

-- name: cancellation_request :write
-- Once an order; the first wish stays.
INSERT INTO orders.cancellations (order_id, state, actor, actor_id, reason, note, traceparent, next_attempt_at)
VALUES ($1::uuid, 'REQUESTED', $2::text, $3::uuid, $4::text, $5::bytea, $6::text, now() + make_interval(secs => $7::float8 * (0.5 + random())))
ON CONFLICT DO NOTHING;

-- name: cancellation_find :read
SELECT c.state, c.actor, c.reason, c.note, c.requested_at, c.finished_at, r.amount_krw
FROM orders.cancellations c LEFT JOIN orders.refunds r USING (order_id)
WHERE c.order_id = $1::uuid;

-- name: cancellation_lock :write
SELECT o.status, o.order_no, o.total_krw, c.state, c.actor, c.reason, c.traceparent
FROM orders.orders o JOIN orders.cancellations c USING (order_id)
WHERE o.order_id = $1::uuid
FOR NO KEY UPDATE;

-- name: cancellation_finish :write
-- After cancellation_lock, in its transaction: the order is locked, so nobody else adds to its timeline. The primary key of refunds is what
-- keeps money from being given back twice.
WITH cancelled AS (
    UPDATE orders.orders SET status = 'CANCELLED', timeline_seq = timeline_seq + 1, updated_at = now() WHERE order_id = $1::uuid
    RETURNING order_id, timeline_seq, total_krw, masked_payment_token
), done AS (
    UPDATE orders.cancellations SET state = 'DONE', finished_at = now() WHERE order_id = $1::uuid
), entry AS (
    INSERT INTO orders.timeline (order_id, seq, status, at, actor, reason, trace_id)
    SELECT order_id, timeline_seq, 'CANCELLED', now(), $2::text, $3::text, $4::text FROM cancelled
), refund AS (
    INSERT INTO orders.refunds (order_id, amount_krw, masked_payment_token) SELECT order_id, total_krw, masked_payment_token FROM cancelled
)
INSERT INTO orders.outbox (event_id, type, subject, data, traceparent)
VALUES ($5::uuid, 'order.cancelled.v1', $1::uuid::text, $6::text, $7::text);

-- name: cancellation_refuse :write
UPDATE orders.cancellations SET state = 'REFUSED', finished_at = now() WHERE order_id = $1::uuid AND state = 'REQUESTED';

-- name: cancellation_claim :write
-- The half done whose time has come, oldest first; what another instance holds is left to it. The next attempt is put off before this one is
-- made, twice as long each time up to about a minute, and never by the same time for all.
UPDATE orders.cancellations c
SET attempts = attempts + 1, next_attempt_at = now() + make_interval(secs => LEAST(64, 2 ^ LEAST(attempts, 6)) * (0.5 + random()))
FROM (SELECT order_id FROM orders.cancellations WHERE state = 'REQUESTED' AND next_attempt_at <= now()
      ORDER BY next_attempt_at LIMIT $1::int4 FOR NO KEY UPDATE SKIP LOCKED) AS due
WHERE c.order_id = due.order_id
RETURNING c.order_id, c.reason, c.attempts;

-- name: cancellation_backlog :read
SELECT count(*), COALESCE(floor(GREATEST(0, extract(epoch FROM clock_timestamp() - min(requested_at)))), 0)::int8
FROM orders.cancellations WHERE state = 'REQUESTED';
