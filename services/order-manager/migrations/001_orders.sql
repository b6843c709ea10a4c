-- migrate:up

-- One row an order. A row with status ABORTED is a fence: it says that this id never became an order and never will,
-- because the row of an order and its fence have the same primary key and only one of them can be inserted.
CREATE TABLE orders.orders (
    order_id             uuid PRIMARY KEY,
    status               text NOT NULL
                         CHECK (status IN ('PLACED', 'PREPARING', 'SHIPPING', 'DELIVERED', 'CONFIRMED', 'CANCELLED', 'ABORTED')),
    order_no             text UNIQUE,
    buyer_id             uuid,
    idempotency_key      text,   -- it, the hash and the reply are forgotten after IDEMPOTENCY_KEEP_H
    request_hash         bytea,  -- 4 bytes id of a key, then the HMAC of what was asked for under it
    items_krw            bigint CHECK (items_krw > 0),
    shipping_fee_krw     bigint CHECK (shipping_fee_krw >= 0),
    total_krw            bigint CHECK (total_krw = items_krw + shipping_fee_krw),
    personal             bytea,  -- sealed (ADR 0016): recipient and gift message, as JSON; null: erased
    masked_payment_token text,
    reply                text,   -- the answer of POST /orders, repeated byte for byte for the same key; U+0001 where the personal data stood
    delivery_status      text CHECK (delivery_status IN ('READY', 'ON_ROUTE', 'DELIVERED', 'CANCELLED')),
    delivery_carrier     text,
    delivery_invoice_no  text,
    delivery_sequence    integer NOT NULL DEFAULT 0,
    timeline_seq         integer NOT NULL DEFAULT 1, -- of the newest row in the timeline; counted here, where the lock of the order keeps it
    delivery_as_of       timestamptz,
    created_at           timestamptz NOT NULL,
    updated_at           timestamptz NOT NULL,
    CONSTRAINT orders_key UNIQUE (buyer_id, idempotency_key),
    CONSTRAINT orders_complete CHECK (status = 'ABORTED'
        OR num_nulls(order_no, items_krw, shipping_fee_krw, total_krw, masked_payment_token) = 0),
    CONSTRAINT orders_of_nobody CHECK (buyer_id IS NOT NULL OR personal IS NULL), -- an erased account leaves no personal data
    CONSTRAINT orders_key_whole CHECK (num_nulls(idempotency_key, request_hash, reply) IN (0, 3))
) WITH (fillfactor = 80); -- an order changes its status some five times: in its own page, no index is touched
-- Partial, so that the search by buyer and key cannot take it while the table is small, and go on to read all of a buyer's orders. Not by
-- status: a column in an index's condition that changes makes every index of the row be written.
CREATE INDEX orders_by_buyer ON orders.orders (buyer_id, order_id DESC) WHERE order_no IS NOT NULL;

-- Lines keep what the catalogue said at the moment of buying. No foreign keys here and in the timeline: the one statement that writes the
-- order writes both, nothing is ever deleted, and the check would be a third of the cost of a line.
CREATE TABLE orders.order_lines (
    order_id       uuid NOT NULL,
    line_no        integer NOT NULL,
    sku_id         uuid NOT NULL,
    product_id     uuid NOT NULL,
    farm_id        uuid NOT NULL,
    farm_name      text NOT NULL,
    title          text NOT NULL,
    grade          text NOT NULL,
    weight_g       integer NOT NULL,
    quantity       integer NOT NULL CHECK (quantity BETWEEN 1 AND 99),
    unit_price_krw bigint NOT NULL CHECK (unit_price_krw > 0),
    lot_id         uuid,
    PRIMARY KEY (order_id, line_no)
);
CREATE INDEX order_lines_by_farm ON orders.order_lines (farm_id, order_id DESC);

-- Every change of status: when, who, why, in which trace.
CREATE TABLE orders.timeline (
    order_id uuid NOT NULL,
    seq      integer NOT NULL,
    status   text NOT NULL,
    at       timestamptz NOT NULL,
    actor    text NOT NULL CHECK (actor IN ('buyer', 'farm', 'operator', 'delivery', 'system')),
    reason   text NOT NULL DEFAULT '',
    trace_id text NOT NULL DEFAULT '',
    PRIMARY KEY (order_id, seq)
);

-- The wish to cancel an order, once an order. It is committed REQUESTED before DeliveryMock is asked, so that the reconciler finds it
-- whatever dies then; DONE (the order is CANCELLED) and REFUSED (the box had left) are final.
CREATE TABLE orders.cancellations (
    order_id        uuid PRIMARY KEY REFERENCES orders.orders,
    state           text NOT NULL CHECK (state IN ('REQUESTED', 'DONE', 'REFUSED')),
    actor           text NOT NULL CHECK (actor IN ('buyer', 'operator')),
    actor_id        uuid NOT NULL,
    reason          text NOT NULL CHECK (reason IN ('CHANGED_MIND', 'ORDER_MISTAKE', 'DUPLICATE_ORDER', 'DELIVERY_DELAY', 'ADDRESS_CHANGE',
                                                    'PAYMENT_CHANGE', 'SOLD_OUT', 'FARM_REQUEST', 'OTHER')),
    note            bytea,          -- sealed: free text may be personal data; null: there is none, or it is erased
    traceparent     text NOT NULL,  -- of the request that asked: what is done later belongs to its trace
    requested_at    timestamptz NOT NULL DEFAULT now(),
    finished_at     timestamptz,
    attempts        integer NOT NULL DEFAULT 1,
    next_attempt_at timestamptz NOT NULL,
    CONSTRAINT cancellations_finished CHECK ((state = 'REQUESTED') = (finished_at IS NULL))
);
CREATE INDEX cancellations_due ON orders.cancellations (next_attempt_at) WHERE state = 'REQUESTED';

-- Money given back (a mock, as the payment is). One row an order: the primary key is what keeps it from being given back twice.
CREATE TABLE orders.refunds (
    order_id             uuid PRIMARY KEY REFERENCES orders.orders,
    amount_krw           bigint NOT NULL CHECK (amount_krw > 0),
    masked_payment_token text NOT NULL,
    refunded_at          timestamptz NOT NULL DEFAULT now()
);

-- Up to which order the keys have been forgotten: ids rise with time. The row is also the lock of whoever forgets.
CREATE TABLE orders.forgotten_keys (
    only_row    boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    up_to       uuid NOT NULL
);
INSERT INTO orders.forgotten_keys (up_to) VALUES ('00000000-0000-0000-0000-000000000000');

-- How far the values under older keys have been sealed anew, since the key that is current came to be: see sql/personal.sql.
CREATE TABLE orders.personal_rotation (
    only_row    boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    key_id      bigint NOT NULL,
    up_to       uuid NOT NULL,
    resealed    bigint NOT NULL, -- in this pass; a pass that finds none is the last
    is_done     boolean NOT NULL
);
INSERT INTO orders.personal_rotation (key_id, up_to, resealed, is_done) VALUES (0, '00000000-0000-0000-0000-000000000000', 0, true);

-- Up to which order personal data was erased because it was kept long enough, and the orders before that which were not at their end then.
CREATE TABLE orders.personal_erased (
    only_row    boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    up_to       uuid NOT NULL
);
INSERT INTO orders.personal_erased (up_to) VALUES ('00000000-0000-0000-0000-000000000000');
CREATE TABLE orders.personal_late (
    order_id    uuid PRIMARY KEY
);

-- Accounts whose data was asked to be erased. The row stays: it keeps a token that is still valid, or a repetition that was long on its way,
-- from placing an order for somebody who is gone. The id is all that is left of the account, and leads to nobody.
CREATE TABLE orders.erasures (
    account_id   uuid PRIMARY KEY,
    state        text NOT NULL CHECK (state IN ('REQUESTED', 'DONE')),
    requested_at timestamptz NOT NULL DEFAULT now(),
    finished_at  timestamptz,
    orders       integer NOT NULL DEFAULT 0 -- that lost their person
);
CREATE INDEX erasures_due ON orders.erasures (requested_at) WHERE state = 'REQUESTED';

-- Events written with the change they tell of; the relay sends them and marks them after the broker's confirm.
CREATE TABLE orders.outbox (
    id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    event_id    uuid NOT NULL,
    type        text NOT NULL,
    subject     text NOT NULL,
    data        text NOT NULL,
    traceparent text,
    created_at  timestamptz NOT NULL DEFAULT now(),
    sent_at     timestamptz
);
CREATE INDEX outbox_unsent ON orders.outbox (id) WHERE sent_at IS NULL;

-- Events already applied: inserted in the transaction of their effect.
CREATE TABLE orders.inbox (
    consumer    text NOT NULL,
    event_id    uuid NOT NULL,
    received_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (consumer, event_id)
);

-- The schema's defaults give more than the service needs: what was given back is never changed nor deleted.
REVOKE ALL ON orders.orders, orders.order_lines, orders.timeline, orders.cancellations, orders.refunds, orders.forgotten_keys,
    orders.personal_rotation,
    orders.personal_erased, orders.personal_late, orders.erasures, orders.outbox, orders.inbox FROM orders_app;
GRANT SELECT, INSERT, UPDATE ON orders.orders TO orders_app;
GRANT SELECT, INSERT ON orders.order_lines, orders.timeline, orders.cancellations, orders.refunds TO orders_app;
GRANT UPDATE (state, finished_at, attempts, next_attempt_at) ON orders.cancellations TO orders_app;
GRANT UPDATE (note, actor_id) ON orders.cancellations TO orders_app;
GRANT SELECT, UPDATE ON orders.forgotten_keys, orders.personal_rotation, orders.personal_erased TO orders_app;
GRANT SELECT, INSERT, DELETE ON orders.personal_late TO orders_app;
GRANT SELECT, INSERT, UPDATE ON orders.erasures TO orders_app;
-- Locking a row asks for UPDATE.
GRANT SELECT, INSERT, UPDATE, DELETE ON orders.outbox, orders.inbox TO orders_app;

-- Privileged actions: who did what to what, when, in which trace. Rows are only ever added: the service's role may do nothing else, and each
-- row has a digest of itself and of the row before it, so that a row that was changed or taken away shows (./dev audit verify).
CREATE TABLE orders.audit (
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
CREATE FUNCTION orders.audit_digest(earlier bytea, r orders.audit) RETURNS bytea LANGUAGE sql STABLE SET search_path = '' AS $$
    SELECT sha256(earlier || convert_to(jsonb_build_array(r.id, extract(epoch FROM r.at), r.actor, r.role, r.action, r.subject, r.outcome, r.detail, r.trace_id)::text, 'UTF8'))
$$;
CREATE FUNCTION orders.audit_chain() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = '' AS $$
DECLARE
    last orders.audit;
BEGIN
    PERFORM pg_advisory_xact_lock('orders.audit'::regclass::oid::bigint); -- one after the other; the last thing a transaction does
    SELECT * INTO last FROM orders.audit ORDER BY id DESC LIMIT 1;
    NEW.id := COALESCE(last.id, 0) + 1;
    NEW.at := clock_timestamp();
    NEW.digest := orders.audit_digest(COALESCE(last.digest, ''), NEW);
    RETURN NEW;
END
$$;
CREATE TRIGGER audit_chain BEFORE INSERT ON orders.audit FOR EACH ROW EXECUTE FUNCTION orders.audit_chain();
REVOKE ALL ON FUNCTION orders.audit_chain(), orders.audit_digest(bytea, orders.audit) FROM PUBLIC;
REVOKE ALL ON orders.audit FROM orders_app;
GRANT INSERT (actor, role, action, subject, outcome, detail, trace_id) ON orders.audit TO orders_app;

-- migrate:down
DROP TABLE orders.audit CASCADE;
DROP FUNCTION orders.audit_chain();
DROP TABLE orders.inbox, orders.outbox, orders.erasures, orders.personal_late, orders.personal_erased, orders.personal_rotation, orders.forgotten_keys, orders.refunds, orders.cancellations, orders.timeline, orders.order_lines, orders.orders;
