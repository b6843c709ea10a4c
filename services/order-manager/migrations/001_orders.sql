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
    request_hash         bytea,
    items_krw            bigint CHECK (items_krw > 0),
    shipping_fee_krw     bigint CHECK (shipping_fee_krw >= 0),
    total_krw            bigint CHECK (total_krw = items_krw + shipping_fee_krw),
    recipient            jsonb,  -- personal data: name, phone, postcode, address1, address2, doorNote
    gift_message         text,
    masked_payment_token text,
    reply                text,   -- the answer of POST /orders, repeated byte for byte for the same key
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
        OR num_nulls(order_no, buyer_id, items_krw, shipping_fee_krw, total_krw, masked_payment_token) = 0),
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
    note            text NOT NULL DEFAULT '' CHECK (char_length(note) <= 200), -- free text: may be personal data
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
REVOKE ALL ON orders.orders, orders.order_lines, orders.timeline, orders.cancellations, orders.refunds, orders.forgotten_keys, orders.outbox,
    orders.inbox FROM orders_app;
GRANT SELECT, INSERT, UPDATE ON orders.orders TO orders_app;
GRANT SELECT, INSERT ON orders.order_lines, orders.timeline, orders.cancellations, orders.refunds TO orders_app;
GRANT UPDATE (state, finished_at, attempts, next_attempt_at) ON orders.cancellations TO orders_app;
GRANT SELECT, UPDATE ON orders.forgotten_keys TO orders_app;
-- Locking a row asks for UPDATE.
GRANT SELECT, INSERT, UPDATE, DELETE ON orders.outbox, orders.inbox TO orders_app;

-- migrate:down
DROP TABLE orders.inbox, orders.outbox, orders.forgotten_keys, orders.refunds, orders.cancellations, orders.timeline, orders.order_lines, orders.orders;
