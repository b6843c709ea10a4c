-- migrate:up

-- One row an order. A row with status CANCELLED and no delivery_id is a tombstone: the order was cancelled before its event came, and
-- the delivery will never be made.
CREATE TABLE delivery.deliveries (
    order_id    uuid PRIMARY KEY,
    delivery_id uuid,
    buyer_id    uuid,
    farm_ids    uuid[] NOT NULL DEFAULT '{}',
    status      text NOT NULL CHECK (status IN ('READY', 'ON_ROUTE', 'DELIVERED', 'CANCELLED')),
    last_event  text NOT NULL,
    sequence    integer NOT NULL,
    carrier     text NOT NULL DEFAULT '',
    invoice_no  text UNIQUE,
    region      text NOT NULL DEFAULT '',
    next_at_s   double precision,  -- when the clock moves it next, in simulated seconds; null: never
    created_at  timestamptz NOT NULL,
    updated_at  timestamptz NOT NULL
) WITH (fillfactor = 80);
CREATE INDEX deliveries_due ON delivery.deliveries (next_at_s) WHERE next_at_s IS NOT NULL;

-- What happened to a box; rows are only ever added, in the statement that writes the delivery: hence no foreign key.
CREATE TABLE delivery.tracking_events (
    order_id uuid NOT NULL,
    sequence integer NOT NULL,
    type     text NOT NULL CHECK (type IN ('CREATED', 'PICKED_UP', 'AT_HUB', 'OUT_FOR_DELIVERY', 'ATTEMPT_FAILED', 'EXCEPTION',
                                           'DELIVERED', 'CANCELLED')),
    status   text NOT NULL,
    location text NOT NULL,
    message  text NOT NULL,
    at       timestamptz NOT NULL,
    PRIMARY KEY (order_id, sequence)
);

-- The simulated clock: seconds it has counted until real_at, and how fast it counts since.
CREATE TABLE delivery.simulation (
    only_row     boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    paused       boolean NOT NULL,
    speed        double precision NOT NULL CHECK (speed > 0),
    ready_mean_s integer NOT NULL CHECK (ready_mean_s > 0),
    route_mean_s integer NOT NULL CHECK (route_mean_s > 0),
    counted_s    double precision NOT NULL,
    real_at      timestamptz NOT NULL
);

CREATE FUNCTION delivery.simulated_s() RETURNS double precision LANGUAGE sql STABLE AS $$
    SELECT counted_s + CASE WHEN paused THEN 0 ELSE extract(epoch FROM clock_timestamp() - real_at) * speed END FROM delivery.simulation
$$;

CREATE TABLE delivery.outbox (
    id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    event_id    uuid NOT NULL,
    type        text NOT NULL,
    subject     text NOT NULL,
    data        text NOT NULL,
    traceparent text,
    created_at  timestamptz NOT NULL DEFAULT now(),
    sent_at     timestamptz
);
CREATE INDEX outbox_unsent ON delivery.outbox (id) WHERE sent_at IS NULL;

CREATE TABLE delivery.inbox (
    consumer    text NOT NULL,
    event_id    uuid NOT NULL,
    received_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (consumer, event_id)
);

-- The schema's defaults give more than the service needs.
REVOKE ALL ON delivery.deliveries, delivery.tracking_events, delivery.simulation, delivery.outbox, delivery.inbox FROM delivery_app;
GRANT SELECT, INSERT, UPDATE ON delivery.deliveries, delivery.simulation TO delivery_app;
GRANT SELECT, INSERT ON delivery.tracking_events TO delivery_app;
-- Locking a row asks for UPDATE.
GRANT SELECT, INSERT, UPDATE, DELETE ON delivery.outbox, delivery.inbox TO delivery_app;
GRANT EXECUTE ON FUNCTION delivery.simulated_s() TO delivery_app;

-- Privileged actions: who did what to what, when, in which trace. Rows are only ever added: the service's role may do nothing else, and each
-- row has a digest of itself and of the row before it, so that a row that was changed or taken away shows (./dev audit verify).
CREATE TABLE delivery.audit (
    id       bigint PRIMARY KEY,
    at       timestamptz NOT NULL,
    actor    text NOT NULL,   -- sub of the token, name of a service, or who ran ./dev
    role     text NOT NULL,
    action   text NOT NULL,
    subject  text NOT NULL,   -- an id; never personal data
    outcome  text NOT NULL,   -- done, or the code of what refused it
    detail   text NOT NULL,
    trace_id text NOT NULL,
    digest   bytea NOT NULL
);
CREATE FUNCTION delivery.audit_digest(earlier bytea, r delivery.audit) RETURNS bytea LANGUAGE sql STABLE SET search_path = '' AS $$
    SELECT sha256(earlier || convert_to(jsonb_build_array(r.id, extract(epoch FROM r.at), r.actor, r.role, r.action, r.subject, r.outcome, r.detail, r.trace_id)::text, 'UTF8'))
$$;
CREATE FUNCTION delivery.audit_chain() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = '' AS $$
DECLARE
    last delivery.audit;
BEGIN
    PERFORM pg_advisory_xact_lock('delivery.audit'::regclass::oid::bigint); -- one after the other; the last thing a transaction does
    SELECT * INTO last FROM delivery.audit ORDER BY id DESC LIMIT 1;
    NEW.id := COALESCE(last.id, 0) + 1;
    NEW.at := clock_timestamp();
    NEW.digest := delivery.audit_digest(COALESCE(last.digest, ''), NEW);
    RETURN NEW;
END
$$;
CREATE TRIGGER audit_chain BEFORE INSERT ON delivery.audit FOR EACH ROW EXECUTE FUNCTION delivery.audit_chain();
REVOKE ALL ON FUNCTION delivery.audit_chain(), delivery.audit_digest(bytea, delivery.audit) FROM PUBLIC;
REVOKE ALL ON delivery.audit FROM delivery_app;
GRANT INSERT (actor, role, action, subject, outcome, detail, trace_id) ON delivery.audit TO delivery_app;

-- migrate:down
DROP TABLE delivery.audit CASCADE;
DROP FUNCTION delivery.audit_chain();
DROP TABLE delivery.inbox, delivery.outbox, delivery.tracking_events, delivery.deliveries;
DROP FUNCTION delivery.simulated_s();
DROP TABLE delivery.simulation;
