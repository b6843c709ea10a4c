-- The other side of "orders" and "flash": the least an order is in one transaction, as pgbench runs it with -D skus=N.
\set sku random(1, :skus)
\set buyer random(1, 100000)
BEGIN;
UPDATE bench.skus SET available = available - 1 WHERE sku_id = :sku AND available >= 1;
INSERT INTO bench.orders (sku_id, buyer_id, idempotency_key, total_krw, recipient) VALUES (:sku, :buyer, gen_random_uuid()::text, 35500, '{"name":"가나다","phone":"010-1234-5678","postcode":"06236","address1":"서울 강남구 테헤란로 152"}');
INSERT INTO bench.outbox (type, data) VALUES ('order.placed.v1', '{"totalKrw":35500}');
COMMIT;
