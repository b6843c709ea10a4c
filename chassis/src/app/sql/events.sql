-- SPDX-License-Identifier: Apache-2.0
-- What the loops' pools do for events. No schema is named: each service's role finds its own tables by search_path.

-- name: outbox_insert :write
-- An event, in the transaction that made it true.
INSERT INTO outbox (event_id, type, subject, data, traceparent) VALUES ($1::uuid, $2::text, $3::text, $4::text, $5::text);

-- name: outbox_trim :write
-- Forgets sent events older than $1 seconds, of the oldest $2 that were sent. Looks no further: ids rise with time, so behind a young one
-- there are only younger ones, and the search stays short however many are kept.
WITH oldest AS (
    SELECT id FROM outbox WHERE sent_at IS NOT NULL ORDER BY id LIMIT $2::int4
), old AS (
    SELECT id FROM outbox WHERE id IN (SELECT id FROM oldest) AND sent_at < now() - make_interval(secs => $1::int8) FOR UPDATE SKIP LOCKED
), gone AS (
    DELETE FROM outbox USING old WHERE outbox.id = old.id RETURNING 1
)
SELECT count(*) FROM gone;

-- name: inbox_trim :write
-- Forgets events of the consumer $3 that were applied more than $1 seconds ago, of its $2 oldest: their ids are UUIDv7, which rise with time.
WITH oldest AS (
    SELECT event_id FROM inbox WHERE consumer = $3::text ORDER BY event_id LIMIT $2::int4
), old AS (
    SELECT event_id
    FROM inbox
    WHERE consumer = $3::text AND event_id IN (SELECT event_id FROM oldest) AND received_at < now() - make_interval(secs => $1::int8)
    FOR UPDATE SKIP LOCKED
), gone AS (
    DELETE FROM inbox USING old WHERE inbox.consumer = $3::text AND inbox.event_id = old.event_id RETURNING 1
)
SELECT count(*) FROM gone;

-- name: inbox_insert :write
-- Notes the events of one queue and returns those that were new. One order of ids, so that two consumers cannot block each other for ever.
INSERT INTO inbox (consumer, event_id)
SELECT $1::text, event_id FROM unnest($2::uuid[]) AS t (event_id) ORDER BY event_id
ON CONFLICT DO NOTHING
RETURNING event_id;
