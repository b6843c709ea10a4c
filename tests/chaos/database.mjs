// SPDX-License-Identifier: Apache-2.0
// What the database holds after a run, as the services' schemas say it: rows grouped by order and SKU. Must never write.

import { createHash } from 'node:crypto';

import pg from 'pg';

import { keysIn, replyOf } from '../lib/personal.mjs';

pg.types.setTypeParser(pg.types.builtins.INT8, Number);

const QUERIES = {
  orders: `SELECT order_id, status, buyer_id, idempotency_key AS key, order_no, total_krw, delivery_status, delivery_sequence,
                  reply, personal FROM orders.orders`,
  orderLines: 'SELECT order_id, sku_id, quantity FROM orders.order_lines ORDER BY order_id, sku_id',
  timeline: 'SELECT order_id, seq, status FROM orders.timeline ORDER BY order_id, seq',
  deliveries: 'SELECT order_id, delivery_id, status, sequence FROM delivery.deliveries',
  tracking: 'SELECT order_id, sequence, type, status FROM delivery.tracking_events ORDER BY order_id, sequence',
  skus: 'SELECT sku_id, available FROM catalog.skus',
  ledger: 'SELECT sku_id, id, kind, delta, available_after, reason, order_id FROM catalog.stock_ledger ORDER BY sku_id, id',
  holds: 'SELECT order_id, buyer_id, state FROM catalog.holds',
  holdLines: 'SELECT order_id, sku_id, quantity FROM catalog.hold_lines ORDER BY order_id, sku_id',
  buyers: 'SELECT sku_id, buyer_id, quantity FROM catalog.sku_buyers',
  unsent: `SELECT 'catalog' AS schema, count(*) AS count, min(id) AS first FROM catalog.outbox WHERE sent_at IS NULL
           UNION ALL SELECT 'orders', count(*), min(id) FROM orders.outbox WHERE sent_at IS NULL
           UNION ALL SELECT 'delivery', count(*), min(id) FROM delivery.outbox WHERE sent_at IS NULL`,
  // What is kept of sent events may be little: rows that are there are checked.
  outbox: `SELECT event_id, type, subject FROM orders.outbox UNION ALL SELECT event_id, type, subject FROM delivery.outbox`,
  inbox: `SELECT consumer, event_id FROM orders.inbox UNION ALL SELECT consumer, event_id FROM delivery.inbox UNION ALL SELECT consumer, event_id FROM catalog.inbox`,
};
// Only where orders can be cancelled.
const OPTIONAL = {
  cancellations: ['orders.cancellations', 'SELECT order_id, state FROM orders.cancellations'],
  refunds: ['orders.refunds', 'SELECT order_id, amount_krw FROM orders.refunds'],
};

const byOne = (rows, column) => new Map(rows.map((row) => [row[column], row]));

export function byMany(rows, column) {
  const groups = new Map();
  for (const row of rows) {
    if (!groups.has(row[column])) groups.set(row[column], []);
    groups.get(row[column]).push(row);
  }
  return groups;
}

// What is still on its way; all zero when the shop is at rest.
const UNREST = `
  SELECT (SELECT count(*) FROM orders.outbox WHERE sent_at IS NULL) + (SELECT count(*) FROM delivery.outbox WHERE sent_at IS NULL)
       + (SELECT count(*) FROM catalog.outbox WHERE sent_at IS NULL) AS unsent,
         (SELECT count(*) FROM catalog.holds WHERE state = 'HELD') AS held,
         (SELECT count(*) FROM orders.orders o LEFT JOIN delivery.deliveries d USING (order_id)
           WHERE o.status NOT IN ('ABORTED', 'CANCELLED') AND (d.order_id IS NULL OR o.delivery_status IS DISTINCT FROM d.status)) AS behind,
         (SELECT count(*) FROM orders.orders o LEFT JOIN catalog.holds h USING (order_id)
           WHERE o.status = 'CANCELLED' AND h.state IS DISTINCT FROM 'RELEASED') AS coming_back`;

export class Database {
  // keysFile: what personal data was sealed with; read when the rows are.
  static async open(uri, keysFile) {
    const database = new Database();
    database.keysFile = keysFile;
    database.client = new pg.Client({ connectionString: uri, application_name: 'chaos-check' });
    await database.client.connect();
    database.optional = new Map();
    for (const [name, [table, sql]] of Object.entries(OPTIONAL)) {
      const { rows } = await database.client.query('SELECT to_regclass($1) IS NOT NULL AS there', [table]);
      if (rows[0].there) database.optional.set(name, sql);
    }
    return database;
  }

  async unrest() {
    const [row] = (await this.client.query(UNREST)).rows;
    const requested = this.optional.has('cancellations') ? (await this.client.query("SELECT count(*) AS requested FROM orders.cancellations WHERE state = 'REQUESTED'")).rows[0].requested : 0;
    return { ...row, requested };
  }

  // All of it in one snapshot.
  async read() {
    await this.client.query('BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY');
    const raw = {};
    for (const [name, sql] of [...Object.entries(QUERIES), ...this.optional]) raw[name] = (await this.client.query(sql)).rows;
    await this.client.query('COMMIT');
    const keys = keysIn(this.keysFile);
    for (const row of raw.orders) row.sha = shaOf(keys, row);
    return shape(raw);
  }

  close() {
    return this.client.end();
  }
}

// Of the answer that stands in the row; null when it was forgotten.
function shaOf(keys, row) {
  const reply = replyOf(keys, row);
  return reply === null ? null : createHash('sha256').update(reply).digest('hex');
}

// Rows as the invariants want them.
export function shape(raw) {
  return {
    orders: byOne(raw.orders, 'order_id'),
    ordersByKey: byMany(raw.orders.filter(({ key }) => key !== null), 'key'),
    orderLines: byMany(raw.orderLines, 'order_id'),
    timeline: byMany(raw.timeline, 'order_id'),
    deliveries: byMany(raw.deliveries, 'order_id'),
    tracking: byMany(raw.tracking, 'order_id'),
    skus: byOne(raw.skus, 'sku_id'),
    ledger: byMany(raw.ledger, 'sku_id'),
    holds: byOne(raw.holds, 'order_id'),
    holdLines: byMany(raw.holdLines, 'order_id'),
    buyers: byMany(raw.buyers, 'sku_id'),
    unsent: raw.unsent,
    outbox: raw.outbox,
    inbox: raw.inbox,
    cancellations: raw.cancellations && byOne(raw.cancellations, 'order_id'),
    refunds: raw.refunds && byMany(raw.refunds, 'order_id'),
  };
}
