-- SPDX-License-Identifier: Apache-2.0
-- SKUs, their stock by hand and their ledger. All statements that read a SKU begin with the same 14 columns.

-- name: skus_of_products :read
-- SKUs of many products, cheapest first; with $2 only those on sale.
SELECT sku_id, product_id, grade, weight_g, count_min, count_max, size_code, brix_x10_min, price_krw, per_order_limit, available, is_on_sale,
       version, updated_at
FROM catalog.skus
WHERE product_id = ANY ($1::uuid[]) AND (is_on_sale OR NOT $2::bool)
ORDER BY product_id, price_krw, sku_id;

-- name: sku_lock_with_product :write
-- For an edit: the product's lock comes with it, because its lowest price may change.
SELECT s.sku_id, s.product_id, s.grade, s.weight_g, s.count_min, s.count_max, s.size_code, s.brix_x10_min, s.price_krw, s.per_order_limit,
       s.available, s.is_on_sale, s.version, s.updated_at, p.farm_id, p.status
FROM catalog.skus s JOIN catalog.products p USING (product_id)
WHERE s.sku_id = $1::uuid
FOR NO KEY UPDATE;

-- name: sku_lock :write
-- For an adjustment: nothing of the product changes.
SELECT s.sku_id, s.product_id, s.grade, s.weight_g, s.count_min, s.count_max, s.size_code, s.brix_x10_min, s.price_krw, s.per_order_limit,
       s.available, s.is_on_sale, s.version, s.updated_at, p.farm_id, p.status
FROM catalog.skus s JOIN catalog.products p USING (product_id)
WHERE s.sku_id = $1::uuid
FOR NO KEY UPDATE OF s;

-- name: sku_insert :write
INSERT INTO catalog.skus (sku_id, product_id, grade, weight_g, count_min, count_max, size_code, brix_x10_min, price_krw, per_order_limit,
                          is_on_sale, available, created_at, updated_at)
VALUES ($1::uuid, $2::uuid, $3::text, $4::int4, $5::int4, $6::int4, $7::text, $8::int4, $9::int8, $10::int4, $11::bool, $12::int4,
        $13::timestamptz, $13::timestamptz);

-- name: sku_update :write
-- Of a row that one of the locks holds. Stock is written by stock_set only.
UPDATE catalog.skus
SET grade = $2::text, weight_g = $3::int4, count_min = $4::int4, count_max = $5::int4, size_code = $6::text, brix_x10_min = $7::int4,
    price_krw = $8::int8, per_order_limit = $9::int4, is_on_sale = $10::bool, version = $11::int4, updated_at = $12::timestamptz
WHERE sku_id = $1::uuid;

-- name: sku_count :read
SELECT count(*) FROM catalog.skus WHERE product_id = $1::uuid;

-- name: stock_set :write
-- Of a row that sku_lock holds.
UPDATE catalog.skus SET available = $2::int4, version = $3::int4, updated_at = $4::timestamptz WHERE sku_id = $1::uuid;

-- name: ledger_insert :write
INSERT INTO catalog.stock_ledger (ledger_id, sku_id, kind, delta, available_after, reason, actor, actor_id, at)
VALUES ($1::uuid, $2::uuid, $3::text, $4::int4, $5::int4, $6::text, $7::text, $8::uuid, $9::timestamptz);

-- name: sku_farm :read
SELECT p.farm_id FROM catalog.skus s JOIN catalog.products p USING (product_id) WHERE s.sku_id = $1::uuid;

-- name: ledger_page :read
-- Newest first, before the row with id $2.
SELECT id, ledger_id, kind, delta, available_after, reason, actor, actor_id, order_id, at
FROM catalog.stock_ledger
WHERE sku_id = $1::uuid AND id < $2::int8
ORDER BY id DESC
LIMIT $3::int4;

-- name: stock_violations :read
-- SKUs whose stock is not what the last row of their ledger says, or what it said when its months were dropped. One statement, so one moment.
SELECT count(*)
FROM catalog.skus s
LEFT JOIN catalog.stock_carried AS carried USING (sku_id)
LEFT JOIN LATERAL (SELECT l.available_after FROM catalog.stock_ledger l WHERE l.sku_id = s.sku_id ORDER BY l.id DESC LIMIT 1) AS last ON true
WHERE s.available <> coalesce(last.available_after, carried.available_after, 0);

-- name: ledger_turn :write
-- Makes the ledger's partitions of the months to come and drops those that were kept for $1 months.
SELECT catalog.stock_ledger_turn($1::int4, 2);
