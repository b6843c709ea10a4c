-- SPDX-License-Identifier: Apache-2.0
-- Personal data after the order was placed: sealed anew when the key changes, erased when it was kept long enough. What is null stays null: nothing
-- that was erased comes back.

-- name: personal_rotation_lock :write
-- One instance at a time; the others pass over it.
SELECT key_id, up_to, resealed, is_done FROM orders.personal_rotation FOR UPDATE SKIP LOCKED;

-- name: personal_rotation_set :write
UPDATE orders.personal_rotation SET key_id = $1::int8, up_to = $2::uuid, resealed = $3::int8, is_done = $4::bool;

-- name: personal_page :write
-- The sealed values of the next orders, and how far they go.
SELECT o.order_id, o.personal, c.note
FROM orders.orders o LEFT JOIN orders.cancellations c USING (order_id)
WHERE o.order_id > $1::uuid
ORDER BY o.order_id
LIMIT $2::int4;

-- name: personal_reseal :write
-- Locks in the order in which everybody does; a value that changed since it was read is left alone.
WITH locked AS (
    SELECT order_id FROM orders.orders WHERE order_id = ANY ($1::uuid[]) ORDER BY order_id FOR NO KEY UPDATE
)
UPDATE orders.orders o
SET personal = t.resealed
FROM locked JOIN unnest($1::uuid[], $2::bytea[], $3::bytea[]) AS t (order_id, sealed, resealed) USING (order_id)
WHERE o.order_id = t.order_id AND o.personal = t.sealed;

-- name: personal_reseal_notes :write
UPDATE orders.cancellations c
SET note = t.resealed
FROM unnest($1::uuid[], $2::bytea[], $3::bytea[]) AS t (order_id, sealed, resealed)
WHERE c.order_id = t.order_id AND c.note = t.sealed;

-- name: personal_erase_old :write
-- Erases what is personal of the next $2 orders when they were placed more than $1 seconds ago. One that is not at its end yet is put on
-- the list of the late. Stops before the first young one, for ids of several instances rise only almost with time. Whoever holds the mark is
-- the only one at it.
WITH mark AS (
    SELECT up_to FROM orders.personal_erased FOR UPDATE SKIP LOCKED
), next AS (
    SELECT order_id, created_at >= now() - make_interval(secs => $1::int8) AS is_young
    FROM orders.orders WHERE order_id > (SELECT up_to FROM mark) ORDER BY order_id LIMIT $2::int4
), old AS (
    SELECT order_id, status IN ('DELIVERED', 'CONFIRMED', 'CANCELLED', 'ABORTED') AS is_over
    FROM orders.orders
    WHERE order_id IN (SELECT order_id FROM next
                       WHERE order_id < COALESCE((SELECT order_id FROM next WHERE is_young ORDER BY order_id LIMIT 1), 'ffffffff-ffff-ffff-ffff-ffffffffffff'))
    ORDER BY order_id
    FOR NO KEY UPDATE
), erased AS (
    UPDATE orders.orders o SET personal = NULL FROM old WHERE o.order_id = old.order_id AND old.is_over AND o.personal IS NOT NULL
), notes AS (
    UPDATE orders.cancellations c SET note = NULL FROM old WHERE c.order_id = old.order_id AND old.is_over AND c.note IS NOT NULL
), late AS (
    INSERT INTO orders.personal_late (order_id) SELECT order_id FROM old WHERE NOT is_over ON CONFLICT DO NOTHING
), moved AS (
    UPDATE orders.personal_erased
    SET up_to = last.order_id
    FROM (SELECT order_id FROM old ORDER BY order_id DESC LIMIT 1) AS last
)
SELECT count(*) FROM old;

-- name: personal_erase_late :write
-- The late ones that have come to their end. $1 is not needed: all of them were kept long enough.
WITH over AS (
    SELECT o.order_id
    FROM orders.personal_late l JOIN orders.orders o USING (order_id)
    WHERE o.status IN ('DELIVERED', 'CONFIRMED', 'CANCELLED', 'ABORTED') AND $1::int8 >= 0
    ORDER BY o.order_id
    LIMIT $2::int4
    FOR NO KEY UPDATE OF o SKIP LOCKED
), erased AS (
    UPDATE orders.orders o SET personal = NULL FROM over WHERE o.order_id = over.order_id
), notes AS (
    UPDATE orders.cancellations c SET note = NULL FROM over WHERE c.order_id = over.order_id AND c.note IS NOT NULL
), gone AS (
    DELETE FROM orders.personal_late l USING over WHERE l.order_id = over.order_id
)
SELECT count(*) FROM over;
