-- SPDX-License-Identifier: Apache-2.0
-- What the provider remembers. Expired rows are as good as gone: `record_sweep` only frees their space.

-- name: record_find
SELECT payload, extract(epoch FROM consumed_at)::bigint AS consumed FROM identity.records
WHERE kind = $1::text AND id_hash = $2::bytea AND expires_at > now();

-- name: record_find_by_uid
SELECT payload, extract(epoch FROM consumed_at)::bigint AS consumed FROM identity.records
WHERE kind = $1::text AND uid = $2::text AND expires_at > now();

-- name: record_upsert
INSERT INTO identity.records (kind, id_hash, payload, uid, grant_id, account_id, device, expires_at)
VALUES ($1::text, $2::bytea, $3::jsonb, $4::text, $5::text, $6::uuid, $7::text, now() + make_interval(secs => $8::float8))
ON CONFLICT (kind, id_hash) DO UPDATE
SET payload = excluded.payload, uid = excluded.uid, grant_id = excluded.grant_id, account_id = excluded.account_id,
    device = coalesce(excluded.device, records.device), seen_at = now(), expires_at = excluded.expires_at
WHERE records.expires_at > now(); -- what was ended while a request had it in hand stays ended

-- name: record_destroy
DELETE FROM identity.records WHERE kind = $1::text AND id_hash = $2::bytea;

-- name: record_consume
-- Whoever comes second changes no row.
UPDATE identity.records SET consumed_at = now() WHERE kind = $1::text AND id_hash = $2::bytea AND consumed_at IS NULL RETURNING grant_id;

-- name: record_revoke_grant
DELETE FROM identity.records WHERE grant_id = $1::text;

-- name: record_sweep
DELETE FROM identity.records WHERE ctid = ANY (ARRAY(SELECT ctid FROM identity.records WHERE expires_at < now() LIMIT 500 FOR UPDATE SKIP LOCKED));

-- name: session_list
SELECT uid, device, seen_at, to_timestamp((payload->>'loginTs')::bigint) AS signed_in_at FROM identity.records
WHERE kind = 'Session' AND account_id = $1::uuid AND expires_at > now() ORDER BY seen_at DESC LIMIT 100;

-- name: session_end
-- One session of an account (null: all but the one to keep) with the grants that hang on it, and their codes and refresh tokens. The row
-- of the session stays until it is swept, so that a request that has it in hand cannot store it again.
WITH ended AS (
    SELECT id_hash, payload FROM identity.records
    WHERE kind = 'Session' AND account_id = $1::uuid AND ($2::text IS NULL OR uid = $2::text) AND uid IS DISTINCT FROM $3::text AND expires_at > now()
    FOR UPDATE
), dead AS (
    UPDATE identity.records SET expires_at = now() WHERE kind = 'Session' AND id_hash IN (SELECT id_hash FROM ended)
), revoked AS (
    DELETE FROM identity.records
    WHERE grant_id IN (SELECT client.value->>'grantId' FROM ended, jsonb_each(coalesce(ended.payload->'authorizations', '{}')) AS client)
)
SELECT count(*)::int AS sessions FROM ended;

-- name: account_records_end
-- Everything of an account, whatever it hangs on.
WITH dead AS (
    UPDATE identity.records SET expires_at = now() WHERE kind = 'Session' AND account_id = $1::uuid AND expires_at > now()
)
DELETE FROM identity.records WHERE account_id = $1::uuid AND kind <> 'Session';
