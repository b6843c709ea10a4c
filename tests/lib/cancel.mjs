// SPDX-License-Identifier: Apache-2.0
// What a cancelled order must have left behind, everywhere, and exactly once. Read from outside; must never mend anything.

import assert from 'node:assert/strict';

import { rows, value } from './db.mjs';
import { stockOf } from './shop.mjs';
import { until } from './until.mjs';

export const timelineOf = (detail) => detail.timeline.map((row) => row.status);
export const refundsOf = (orderId) => rows('SELECT amount_krw, masked_payment_token FROM orders.refunds WHERE order_id = $1', orderId);
export const cancellationOf = async (orderId) => (await rows('SELECT state, attempts FROM orders.cancellations WHERE order_id = $1', orderId))[0];
export const deliveryOf = async (orderId) => (await rows('SELECT status, delivery_id FROM delivery.deliveries WHERE order_id = $1', orderId))[0];
export const holdOf = (orderId) => value('SELECT state FROM catalog.holds WHERE order_id = $1', orderId);
export const ledgerOfOrder = (orderId) =>
  rows('SELECT kind, delta, reason, actor FROM catalog.stock_ledger WHERE order_id = $1 ORDER BY at, id', orderId);

const TRACES = `SELECT o.status, d.status AS delivery, c.state AS cancellation, h.state AS hold,
    (SELECT count(*) FROM orders.timeline t WHERE t.order_id = o.order_id AND t.status = 'CANCELLED') AS entries,
    (SELECT count(*) FROM orders.outbox x WHERE x.subject = o.order_id::text AND x.type = 'order.cancelled.v1') AS events,
    (SELECT json_agg(json_build_array(amount_krw, masked_payment_token)) FROM orders.refunds r WHERE r.order_id = o.order_id) AS refunds,
    (SELECT json_agg(json_build_array(kind, delta, reason, actor) ORDER BY l.at, l.id) FROM catalog.stock_ledger l WHERE l.order_id = o.order_id) AS ledger
  FROM orders.orders o LEFT JOIN orders.cancellations c USING (order_id) LEFT JOIN delivery.deliveries d USING (order_id)
    LEFT JOIN catalog.holds h USING (order_id) WHERE order_id = $1`;

// Once OrderManager said CANCELLED: one refund, one event, one timeline entry, no box; and, when the event has been heard, the stock is back.
export async function assertCancelledOnce(order, quantity) {
  const seen = await until(async () => {
    const [row] = await rows(TRACES, order.orderId);
    return row.hold !== 'HELD' && row.hold !== 'SOLD' && row;
  }, { within: 15_000, what: `the stock of ${order.orderId} to come back` });
  assert.deepEqual(seen, {
    status: 'CANCELLED',
    delivery: 'CANCELLED',
    cancellation: 'DONE',
    hold: 'RELEASED',
    entries: 1,
    events: 1,
    refunds: [[order.totalKrw, order.payment.maskedToken]],
    ledger: [['RESERVATION', -quantity, 'order_reserved', 'buyer'], ['RELEASE', quantity, 'order_cancelled', 'system']],
  });
}

export const untilStock = (sku, wanted) => until(async () => (await stockOf(sku)) === wanted, { within: 15_000, what: `${wanted} in stock` });
