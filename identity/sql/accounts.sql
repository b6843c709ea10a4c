-- SPDX-License-Identifier: Apache-2.0
-- Accounts, failures, and what waits for a mail to be read.

-- name: account_find
SELECT account_id, login, email, role, farm_id, is_locked FROM identity.accounts WHERE account_id = $1::uuid;

-- name: account_by_login
SELECT account_id, password_hash, is_locked FROM identity.accounts WHERE login = $1::text;

-- name: account_password
SELECT login, password_hash FROM identity.accounts WHERE account_id = $1::uuid;

-- name: account_insert
INSERT INTO identity.accounts (account_id, login, email, password_hash) VALUES ($1::uuid, $2::text, $2::text, $3::text)
ON CONFLICT (login) DO NOTHING RETURNING account_id;

-- name: account_set_password
UPDATE identity.accounts SET password_hash = $2::text, password_changed_at = now() WHERE account_id = $1::uuid;

-- name: account_close
-- Everything of a buyer at once: what it was signed in with, what waits for a mail, the account. Sessions stay until they are swept, as when they
-- are ended. Farmers and operators are not closed by themselves.
WITH gone AS MATERIALIZED (
    SELECT identity.close_buyer($1::uuid) AS login
), dead AS (
    UPDATE identity.records SET expires_at = now()
    WHERE kind = 'Session' AND account_id = $1::uuid AND expires_at > now() AND (SELECT login FROM gone) IS NOT NULL
), revoked AS (
    DELETE FROM identity.records WHERE kind <> 'Session' AND account_id = $1::uuid AND (SELECT login FROM gone) IS NOT NULL
)
DELETE FROM identity.pledges WHERE login = (SELECT login FROM gone);

-- name: attempt_locked_s
SELECT ceil(extract(epoch FROM locked_until - now()))::int AS seconds FROM identity.attempts WHERE subject_hash = $1::bytea AND locked_until > now();

-- name: attempt_begin
-- Counts a try as one more failure in a row; it is taken back when it was none. From the $2-th on the subject is locked for $3 seconds,
-- doubled with each further one, at most $4. Failures that are older than $5 seconds count no more. No row: it is locked.
INSERT INTO identity.attempts AS a (subject_hash, failures) VALUES ($1::bytea, 1)
ON CONFLICT (subject_hash) DO UPDATE
SET failures = CASE WHEN a.last_at < now() - make_interval(secs => $5::float8) THEN 1 ELSE a.failures + 1 END,
    locked_until = CASE WHEN a.last_at >= now() - make_interval(secs => $5::float8) AND a.failures + 1 >= $2::int
        THEN now() + make_interval(secs => least($4::float8, $3::float8 * 2 ^ least(a.failures + 1 - $2::int, 20))) END,
    last_at = now()
WHERE a.locked_until IS NULL OR a.locked_until <= now()
RETURNING failures, locked_until IS NOT NULL AS is_locked;

-- name: attempt_undo
UPDATE identity.attempts SET failures = greatest(failures - 1, 0), locked_until = NULL WHERE subject_hash = $1::bytea;

-- name: attempt_forget
DELETE FROM identity.attempts WHERE subject_hash = $1::bytea;

-- name: attempt_sweep
DELETE FROM identity.attempts WHERE last_at < now() - make_interval(secs => $1::float8) AND coalesce(locked_until < now(), true);

-- name: pledge_sign_up
INSERT INTO identity.pledges (pledge_hash, purpose, login, password_hash, code_hash, expires_at)
VALUES ($1::bytea, 'sign_up', $2::text, $3::text, $4::bytea, now() + make_interval(secs => $5::float8));

-- name: pledge_try
-- Uses up one try; no row when there is none left.
UPDATE identity.pledges SET tries_left = tries_left - 1
WHERE pledge_hash = $1::bytea AND purpose = 'sign_up' AND tries_left > 0 AND expires_at > now()
RETURNING login, password_hash, code_hash, tries_left;

-- name: pledge_reset
-- For an account that is there; one statement either way. The row of no account is never found, for it has none.
INSERT INTO identity.pledges (pledge_hash, purpose, account_id, expires_at)
SELECT $1::bytea, 'reset', (SELECT account_id FROM identity.accounts WHERE login = $2::text AND NOT is_locked), now() + make_interval(secs => $3::float8)
RETURNING account_id, (SELECT email FROM identity.accounts WHERE login = $2::text) AS email;

-- name: pledge_reset_find
SELECT a.account_id, a.login FROM identity.pledges p JOIN identity.accounts a USING (account_id)
WHERE p.pledge_hash = $1::bytea AND p.purpose = 'reset' AND p.expires_at > now();

-- name: pledge_take
DELETE FROM identity.pledges WHERE pledge_hash = $1::bytea RETURNING account_id;

-- name: pledge_forget_account
DELETE FROM identity.pledges WHERE account_id = $1::uuid;

-- name: pledge_sweep
DELETE FROM identity.pledges WHERE expires_at < now();

-- name: ping
SELECT 1 FROM identity.accounts LIMIT 1;
