DROP SCHEMA IF EXISTS bench CASCADE;
CREATE SCHEMA bench;
CREATE TABLE bench.skus (sku_id int PRIMARY KEY, available int NOT NULL CHECK (available >= 0));
INSERT INTO bench.skus SELECT n, 100000000 FROM generate_series(1, 64) n;
CREATE TABLE bench.orders (order_id uuid PRIMARY KEY DEFAULT gen_random_uuid(), sku_id int NOT NULL, buyer_id int NOT NULL, idempotency_key text NOT NULL, total_krw bigint NOT NULL, recipient jsonb, created_at timestamptz NOT NULL DEFAULT now(), UNIQUE (buyer_id, idempotency_key));
CREATE TABLE bench.outbox (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, type text NOT NULL, data text NOT NULL, sent_at timestamptz);
