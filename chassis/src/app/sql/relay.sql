-- SPDX-License-Identifier: Apache-2.0
-- What the relay does with the outbox, on a connection of its own.

-- name: outbox_take :write
-- The oldest unsent events, but for types that no queue takes now; those that another relay holds are left to it.
SELECT id, event_id, type, subject, data, traceparent, created_at
FROM outbox
WHERE sent_at IS NULL AND type <> ALL ($2::text[])
ORDER BY id
LIMIT $1::int4
FOR UPDATE SKIP LOCKED;

-- name: outbox_mark_sent :write
-- The commit does not wait for the disk: a mark lost in a crash only sends its event again, which inboxes drop.
UPDATE outbox
SET sent_at = now()
FROM (SELECT set_config('synchronous_commit', 'off', true)) AS relaxed
WHERE id = ANY ($1::int8[]);

-- name: outbox_backlog :read
-- How many wait, counted no further than the limit, and for how many seconds the oldest has.
SELECT count(*), GREATEST(0, COALESCE(floor(extract(epoch FROM clock_timestamp() - min(created_at))), 0))::int8
FROM (SELECT created_at FROM outbox WHERE sent_at IS NULL ORDER BY id LIMIT $1::int4) AS oldest;
