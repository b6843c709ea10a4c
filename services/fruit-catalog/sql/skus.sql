-- SPDX-License-Identifier: Apache-2.0
-- SKUs, their stock by hand and their ledger. All statements that read a SKU begin with the same 15 columns.

-- name: skus_of_products :read
-- SKUs of many products, cheapest first; with $2 only those on sale.
SELECT sku_id, product_id, grade, weight_g, count_min, count_max, size_code, brix_x10_min, price_krw, per_order_limit, per_buyer_limit,
       available, is_on_sale, version, updated_at
FROM catalog.skus
WHERE product_id = ANY ($1::uuid[]) AND (is_on_sale OR NOT $2::bool)
ORDER BY product_id, price_krw, sku_id;

-- name: sku_lock_with_product :write
-- For an edit: the product's lock comes with it, because its lowest price may change.
SELECT s.sku_id, s.product_id, s.grade, s.weight_g, s.count_min, s.count_max, s.size_code, s.brix_x10_min, s.price_krw, s.per_order_limit,
       s.per_buyer_limit, s.available, s.is_on_sale, s.version, s.updated_at, p.farm_id, p.status
FROM catalog.skus s JOIN catalog.products p USING (product_id)
WHERE s.sku_id = $1::uuid
FOR NO KEY UPDATE;

-- name: sku_lock :write
-- For an adjustment: nothing of the product changes.
SELECT s.sku_id, s.product_id, s.grade, s.weight_g, s.count_min, s.count_max, s.size_code, s.brix_x10_min, s.price_krw, s.per_order_limit,
       s.per_buyer_limit, s.available, s.is_on_sale, s.version, s.updated_at, p.farm_id, p.status
FROM catalog.skus s JOIN catalog.products p USING (product_id)
WHERE s.sku_id = $1::uuid
FOR NO KEY UPDATE OF s;

-- name: sku_insert :write
INSERT INTO catalog.skus (sku_id, product_id, grade, weight_g, count_min, count_max, size_code, brix_x10_min, price_krw, per_order_limit,
                          per_buyer_limit, is_on_sale, available, created_at, updated_at)
VALUES ($1::uuid, $2::uuid, $3::text, $4::int4, $5::int4, $6::int4, $7::text, $8::int4, $9::int8, $10::int4, $11::int4, $12::bool, $13::int4,
        $14::timestamptz, $14::timestamptz);

-- name: sku_update :write
-- Of a row that one of the locks holds. Stock is written by stock_set only.
UPDATE catalog.skus
SET grade = $2::text, weight_g = $3::int4, count_min = $4::int4, count_max = $5::int4, size_code = $6::text, brix_x10_min = $7::int4,
    price_krw = $8::int8, per_order_limit = $9::int4, per_buyer_limit = $10::int4, is_on_sale = $11::bool, version = $12::int4,
    updated_at = $13::timestamptz
WHERE sku_id = $1::uuid;

-- name: sku_buyers_count :write
-- The SKU $1 gets a limit per buyer, and its lock is held: what each buyer has of it already (of an erased account nobody knows
-- any more). The ledger leads to its orders; of a SKU whose
-- ledger has lost months every line is looked at.
INSERT INTO catalog.sku_buyers (sku_id, buyer_id, quantity)
SELECT l.sku_id, h.buyer_id, sum(l.quantity)::int4
FROM (SELECT order_id FROM catalog.stock_ledger
      WHERE sku_id = $1::uuid AND kind = 'RESERVATION' AND NOT EXISTS (SELECT FROM catalog.stock_carried WHERE sku_id = $1::uuid)
      UNION
      SELECT order_id FROM catalog.hold_lines
      WHERE sku_id = $1::uuid AND EXISTS (SELECT FROM catalog.stock_carried WHERE sku_id = $1::uuid)) AS asked
JOIN catalog.holds h USING (order_id) JOIN catalog.hold_lines l USING (order_id)
WHERE h.state IN ('HELD', 'SOLD') AND h.buyer_id IS NOT NULL AND l.sku_id = $1::uuid
GROUP BY l.sku_id, h.buyer_id;

-- name: sku_buyers_forget :write
-- The SKU has no limit any more, and its lock is held.
DELETE FROM catalog.sku_buyers WHERE sku_id = $1::uuid;

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
