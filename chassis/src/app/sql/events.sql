-- SPDX-License-Identifier: Apache-2.0
-- What the loops' pools do for events. No schema is named: each service's role finds its own tables by search_path.

-- name: outbox_insert :write
-- An event, in the transaction that made it true.
INSERT INTO outbox (event_id, type, subject, data, traceparent) VALUES ($1::uuid, $2::text, $3::text, $4::text, $5::text);

-- name: inbox_insert :write
-- Notes the events of one queue and returns those that were new. One order of ids, so that two consumers cannot block each other for ever.
INSERT INTO inbox (consumer, event_id)
SELECT $1::text, event_id FROM unnest($2::uuid[]) AS t (event_id) ORDER BY event_id
ON CONFLICT DO NOTHING
RETURNING event_id;
