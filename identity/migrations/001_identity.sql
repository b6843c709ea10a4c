-- migrate:up

-- Who can sign in. Of a person only the address that mail goes to is kept. Roles are given by the owner role alone: the service may
-- neither insert nor update them, so whatever goes wrong in it, nobody becomes an operator by signing up.
CREATE TABLE identity.accounts (
    account_id          uuid PRIMARY KEY,
    login               text NOT NULL UNIQUE CHECK (login = lower(login) AND length(login) BETWEEN 3 AND 254),
    email               text NOT NULL CHECK (length(email) <= 254),
    role                text NOT NULL DEFAULT 'buyer' CHECK (role IN ('buyer', 'farmer', 'operator')),
    farm_id             uuid,
    password_hash       text NOT NULL CHECK (password_hash LIKE '$argon2id$%'),
    is_locked           boolean NOT NULL DEFAULT false,
    created_at          timestamptz NOT NULL DEFAULT now(),
    password_changed_at timestamptz NOT NULL DEFAULT now(),
    CHECK ((role = 'farmer') = (farm_id IS NOT NULL))
);

-- What the provider remembers: sessions, interactions, grants, codes, refresh tokens. The ids are secrets (cookies, tokens): only their
-- SHA-256 is here.
CREATE TABLE identity.records (
    kind        text NOT NULL,
    id_hash     bytea NOT NULL CHECK (length(id_hash) = 32),
    payload     jsonb NOT NULL,
    uid         text,
    grant_id    text,
    account_id  uuid,
    device      text,
    consumed_at timestamptz,
    seen_at     timestamptz NOT NULL DEFAULT now(),
    expires_at  timestamptz NOT NULL,
    PRIMARY KEY (kind, id_hash)
) WITH (fillfactor = 80);
CREATE UNIQUE INDEX records_uid ON identity.records (kind, uid) WHERE uid IS NOT NULL;
CREATE INDEX records_grant ON identity.records (grant_id) WHERE grant_id IS NOT NULL;
CREATE INDEX records_account ON identity.records (account_id, kind) WHERE account_id IS NOT NULL;
CREATE INDEX records_expiry ON identity.records (expires_at);

-- Failures in a row, by what was tried: a login, whether there is such an account or not. Keyed by a keyed hash: no list of logins.
CREATE TABLE identity.attempts (
    subject_hash bytea PRIMARY KEY CHECK (length(subject_hash) = 32),
    failures     integer NOT NULL CHECK (failures >= 0),
    locked_until timestamptz,
    last_at      timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX attempts_last ON identity.attempts (last_at);

-- Sign-ups that wait for the number of their mail, and resets that wait for their link to be followed.
CREATE TABLE identity.pledges (
    pledge_hash   bytea PRIMARY KEY CHECK (length(pledge_hash) = 32),
    purpose       text NOT NULL CHECK (purpose IN ('sign_up', 'reset')),
    login         text,
    password_hash text,
    account_id    uuid REFERENCES identity.accounts ON DELETE CASCADE,
    code_hash     bytea,
    tries_left    integer NOT NULL DEFAULT 5,
    expires_at    timestamptz NOT NULL
);
CREATE INDEX pledges_expiry ON identity.pledges (expires_at);

REVOKE ALL ON identity.accounts, identity.records, identity.attempts, identity.pledges FROM identity_app;
GRANT SELECT ON identity.accounts TO identity_app;
GRANT INSERT (account_id, login, email, password_hash), UPDATE (password_hash, password_changed_at) ON identity.accounts TO identity_app;
GRANT SELECT, INSERT, UPDATE, DELETE ON identity.records, identity.attempts, identity.pledges TO identity_app;

-- Closes a buyer's account, and answers its login. The owner's rights for this alone: the service may delete no account otherwise, nor one of a
-- farmer or an operator.
CREATE FUNCTION identity.close_buyer(closed uuid) RETURNS text LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    DELETE FROM identity.accounts WHERE account_id = closed AND role = 'buyer' RETURNING login
$$;
REVOKE ALL ON FUNCTION identity.close_buyer(uuid) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION identity.close_buyer(uuid) TO identity_app;

-- migrate:down
DROP FUNCTION identity.close_buyer(uuid);
DROP TABLE identity.pledges, identity.attempts, identity.records, identity.accounts;
