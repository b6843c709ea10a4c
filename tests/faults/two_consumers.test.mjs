// SPDX-License-Identifier: Apache-2.0
// Two instances of order-manager hear of the same orders at once: each order's timeline counts on without a gap and without a second try.
// Runs alone: it stops the simulation's clock and forges its events.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import pg from 'pg';

import { rows, value } from '../lib/db.mjs';
import { cloudEvent, publishEvents } from '../lib/events.mjs';
import { expectJson } from '../lib/http.mjs';
import { uuid7 } from '../lib/ids.mjs';
import { metricAt } from '../lib/metrics.mjs';
import { secondInstance } from '../lib/second.mjs';
import { shop } from '../lib/shop.mjs';
import { service, stack } from '../lib/stack.mjs';
import { operatorToken } from '../lib/tokens.mjs';
import { until } from '../lib/until.mjs';

let second;
const logOf = () => readFileSync(join(stack.var, 'log/order-manager.log'), 'utf8');
const admins = [service('order-manager').admin];
const count = (outcome) =>
  Promise.all(admins.map(async (admin) => (await metricAt(admin, `messaging_events_total{queue="order-manager.delivery-status-changed",outcome="${outcome}"}`)) ?? 0));

let world;
before(async () => {
  await expectJson(200, 'PUT /api/v1/simulation', { token: await operatorToken(), json: { paused: true, speed: 1, readyMeanS: 600, routeMeanS: 1200 } });
  world = await shop({ stock: 500 });
  second = await secondInstance('order-manager', {}, async (admin) => (await (await fetch(`${admin}/readyz`)).json()).checks.rabbitmq.status === 'up');
  admins.push(second.admin);
});
after(async () => {
  assert.equal((await second.stop()).code, 0);
});

const changed = (orderId, status, previous, sequence) =>
  cloudEvent('delivery.status-changed.v1', '/gwasuwon/delivery-mock', orderId, {
    orderId, deliveryId: uuid7(), status, previous, carrier: '과수원택배', invoiceNo: '512345678902', sequence, at: new Date().toISOString(), location: '청송영업소',
  });

const WAITERS = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND application_name = 'order-manager' AND query LIKE '%orders.orders%'";
const atTheLock = (waiters) => until(async () => (await value(WAITERS)) >= waiters, { within: 600, what: `${waiters} waiters` }).then(() => true, () => false);

// Both instances stand at the lock of one order, and the first to get it adds to the timeline: true when it came to that.
async function meet(orderId) {
  const holder = new pg.Client({ connectionString: stack.postgres.uri });
  await holder.connect();
  await holder.query('BEGIN');
  await holder.query('SELECT FROM orders.orders WHERE order_id = $1 FOR UPDATE', [orderId]);
  await publishEvents('delivery.status-changed.v1', changed(orderId, 'ON_ROUTE', 'READY', 20));
  const isFirst = await atTheLock(1);
  await publishEvents('delivery.status-changed.v1', changed(orderId, 'DELIVERED', 'ON_ROUTE', 30));
  const isSecond = isFirst && (await atTheLock(2));
  await holder.query('COMMIT');
  await holder.end();
  await until(async () => (await value('SELECT status FROM orders.orders WHERE order_id = $1', orderId)) === 'DELIVERED', { within: 15_000, what: 'DELIVERED' });
  return isSecond;
}

test('two instances move the same order on, each by what the other left', { timeout: 120_000 }, async () => {
  const orders = [];
  for (let i = 0; i < 12; i += 1) orders.push((await world.buyer.buys(world.sku)).orderId);
  await until(async () => (await value("SELECT count(*) FROM orders.orders WHERE order_id = ANY($1::uuid[]) AND status = 'PREPARING'", orders)) === orders.length, { within: 15_000, what: 'PREPARING' });
  const applied = await count('applied');
  const log = logOf();

  let met = 0;
  for (const orderId of orders) met += await meet(orderId);
  assert.ok(met >= 3, `they met ${met} times only`);
  const moved = await count('applied');
  assert.ok(moved.every((now, i) => now > applied[i]), 'one instance did it all');
  // Whoever counts on from an old number is refused by the primary key.
  const refused = [logOf().slice(log.length), second.output].flatMap((text) => text.split('\n')).filter((line) => line.includes('"event.failed"'));
  assert.deepEqual(refused, []);
  for (const row of await rows('SELECT array_agg(seq ORDER BY seq) AS seq, array_agg(status ORDER BY seq) AS status FROM orders.timeline WHERE order_id = ANY($1::uuid[]) GROUP BY order_id', orders)) {
    assert.deepEqual([row.seq, row.status], [[1, 2, 3, 4], ['PLACED', 'PREPARING', 'SHIPPING', 'DELIVERED']]);
  }
});
