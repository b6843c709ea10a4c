-- SPDX-License-Identifier: Apache-2.0
-- Deliveries, their tracking events and the simulated clock.

-- name: delivery_create_batch :write
-- A delivery, its first tracking event and its event for others, for each order that has none; tombstones stay what they are.
WITH input AS (
    SELECT * FROM unnest($1::uuid[], $2::uuid[], $3::uuid[], $4::text[], $5::text[], $6::text[], $7::text[], $8::float8[], $9::timestamptz[],
                         $10::text[], $11::text[], $12::uuid[], $13::text[], $14::text[])
        AS t (order_id, delivery_id, buyer_id, farm_ids, carrier, invoice_no, region, wait_s, at, location, message, event_id, event_data,
              traceparent)
), created AS (
    INSERT INTO delivery.deliveries (order_id, delivery_id, buyer_id, farm_ids, status, last_event, sequence, carrier, invoice_no, region,
                                     next_at_s, created_at, updated_at)
    SELECT order_id, delivery_id, buyer_id, farm_ids::uuid[], 'READY', 'CREATED', 1, carrier, invoice_no, region,
           delivery.simulated_s() + wait_s, at, at
    FROM input
    ON CONFLICT (order_id) DO NOTHING
    RETURNING order_id
), tracked AS (
    INSERT INTO delivery.tracking_events (order_id, sequence, type, status, location, message, at)
    SELECT order_id, 1, 'CREATED', 'READY', location, message, at FROM input JOIN created USING (order_id)
)
INSERT INTO delivery.outbox (event_id, type, subject, data, traceparent)
SELECT event_id, 'delivery.status-changed.v1', order_id::text, event_data, traceparent FROM input JOIN created USING (order_id);

-- name: delivery_forget_buyers :write
-- The buyers of these orders are gone; the boxes were delivered all the same.
WITH theirs AS (
    SELECT order_id FROM delivery.deliveries WHERE order_id = ANY ($1::uuid[]) ORDER BY order_id FOR UPDATE
)
UPDATE delivery.deliveries d SET buyer_id = NULL FROM theirs WHERE d.order_id = theirs.order_id;

-- name: delivery_tombstone :write
-- The order was cancelled before its event came: it shall never get a delivery.
INSERT INTO delivery.deliveries (order_id, status, last_event, sequence, created_at, updated_at)
VALUES ($1::uuid, 'CANCELLED', 'CANCELLED', 0, now(), now())
ON CONFLICT (order_id) DO NOTHING;

-- name: delivery_find_batch :read
-- (SELECT $n): one plan for every length of the array.
SELECT order_id, delivery_id, buyer_id, array_to_string(farm_ids, ' '), status, last_event, sequence, carrier, invoice_no, region,
       created_at, updated_at
FROM delivery.deliveries
WHERE order_id = ANY ((SELECT $1::uuid[])::uuid[]);

-- name: delivery_lock :write
SELECT order_id, delivery_id, buyer_id, array_to_string(farm_ids, ' '), status, last_event, sequence, carrier, invoice_no, region,
       created_at, updated_at
FROM delivery.deliveries
WHERE order_id = $1::uuid
FOR UPDATE;

-- name: delivery_lock_due :write
-- The boxes whose time has come; other instances skip what this one works on.
SELECT order_id, delivery_id, buyer_id, array_to_string(farm_ids, ' '), status, last_event, sequence, carrier, invoice_no, region,
       created_at, updated_at
FROM delivery.deliveries
WHERE next_at_s <= delivery.simulated_s()
ORDER BY next_at_s
LIMIT $1::int4
FOR UPDATE SKIP LOCKED;

-- name: delivery_apply_batch :write
-- One tracking event for each locked delivery, what follows from it, and the event for others where the status changed.
WITH input AS (
    SELECT * FROM unnest($1::uuid[], $2::int4[], $3::text[], $4::text[], $5::text[], $6::text[], $7::timestamptz[], $8::float8[],
                         $9::uuid[], $10::text[], $11::text[])
        AS t (order_id, sequence, type, status, location, message, at, wait_s, event_id, event_data, traceparent)
), moved AS (
    UPDATE delivery.deliveries d
    SET status = t.status, last_event = t.type, sequence = t.sequence, updated_at = t.at,
        next_at_s = CASE WHEN t.wait_s >= 0 THEN delivery.simulated_s() + t.wait_s END
    FROM input t
    WHERE d.order_id = t.order_id
), tracked AS (
    INSERT INTO delivery.tracking_events (order_id, sequence, type, status, location, message, at)
    SELECT order_id, sequence, type, status, location, message, at FROM input
)
INSERT INTO delivery.outbox (event_id, type, subject, data, traceparent)
SELECT event_id, 'delivery.status-changed.v1', order_id::text, event_data, traceparent FROM input WHERE event_data IS NOT NULL;

-- name: tracking_events_of :read
-- Events of some deliveries after a sequence.
SELECT order_id, sequence, type, status, location, message, at
FROM delivery.tracking_events
WHERE order_id = ANY ((SELECT $1::uuid[])::uuid[]) AND sequence > $2::int4
ORDER BY order_id, sequence;

-- name: simulation_init :write
-- The first start writes what the environment says; later starts keep what an operator set.
INSERT INTO delivery.simulation (paused, speed, ready_mean_s, route_mean_s, counted_s, real_at)
VALUES (false, $1::float8, $2::int4, $3::int4, 0, now())
ON CONFLICT DO NOTHING;

-- name: simulation_get :read
SELECT paused, speed, ready_mean_s, route_mean_s FROM delivery.simulation;

-- name: simulation_set :write
-- The clock keeps what it has counted and goes on at the new speed.
UPDATE delivery.simulation
SET counted_s = delivery.simulated_s(), real_at = clock_timestamp(), paused = $1::bool, speed = $2::float8, ready_mean_s = $3::int4,
    route_mean_s = $4::int4;
