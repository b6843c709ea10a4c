-- SPDX-License-Identifier: Apache-2.0
-- What only the owner role may do: identity/operator.mjs.

-- name: operator_seed
INSERT INTO identity.accounts (account_id, login, email, role, farm_id, password_hash)
VALUES ($1::uuid, $2::text, $2::text || '@gwasuwon.example', $3::text, $4::uuid, $5::text) ON CONFLICT DO NOTHING;

-- name: operator_list
SELECT a.login, a.account_id, a.role, a.farm_id, a.is_locked, count(r.*)::int AS sessions
FROM identity.accounts a LEFT JOIN identity.records r ON r.account_id = a.account_id AND r.kind = 'Session' AND r.expires_at > now()
GROUP BY a.account_id ORDER BY a.login LIMIT 1000;

-- name: operator_find
SELECT account_id FROM identity.accounts WHERE login = $1::text;

-- name: operator_lock
UPDATE identity.accounts SET is_locked = $2::boolean WHERE account_id = $1::uuid;

-- name: operator_role
UPDATE identity.accounts SET role = $2::text, farm_id = $3::uuid WHERE account_id = $1::uuid;
