// SPDX-License-Identifier: Apache-2.0
// What each buyer has of SKUs with a limit per buyer, read from outside and held against the holds. Must never mend anything.

import { rows, value } from './db.mjs';

// How many rows of sku_buyers are not what the holds that are HELD or SOLD say, missing ones included; and rows of SKUs without a limit.
// A hold of an account that was erased has no buyer.
export const BUYERS_WRONG = `
  SELECT count(*) FROM (
    SELECT l.sku_id, h.buyer_id, sum(l.quantity) AS quantity
    FROM catalog.hold_lines l JOIN catalog.holds h USING (order_id) JOIN catalog.skus s USING (sku_id)
    WHERE h.state IN ('HELD', 'SOLD') AND h.buyer_id IS NOT NULL AND s.per_buyer_limit IS NOT NULL
    GROUP BY l.sku_id, h.buyer_id) AS held
  FULL JOIN catalog.sku_buyers b USING (sku_id, buyer_id)
  WHERE coalesce(held.quantity, 0) <> coalesce(b.quantity, 0)
     OR EXISTS (SELECT FROM catalog.skus s WHERE s.sku_id = b.sku_id AND s.per_buyer_limit IS NULL)`;

// { buyerId: boxes } of one SKU, as FruitCatalog counts.
export const countedOf = async ({ skuId }) =>
  Object.fromEntries((await rows('SELECT buyer_id, quantity FROM catalog.sku_buyers WHERE sku_id = $1', skuId)).map((row) => [row.buyer_id, row.quantity]));

// Boxes of the SKU in the buyer's orders that are not cancelled, as OrderManager has them.
export const boughtBy = ({ sub }, { skuId }) =>
  value(`SELECT coalesce(sum(quantity), 0)::int FROM orders.order_lines JOIN orders.orders USING (order_id)
         WHERE buyer_id = $1 AND sku_id = $2 AND status NOT IN ('ABORTED', 'CANCELLED')`, sub, skuId);
