// SPDX-License-Identifier: Apache-2.0
// What is forgotten in time, and what never is: sent events, applied events and Idempotency-Keys go when they were kept long enough; an
// event that was not sent stays, however old it is, and so does the order of a forgotten key. Personal data of orders goes, too. Time is made old by SQL. A second instance
// of the service with a short interval does the work.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';

import { rows, value } from '../lib/db.mjs';
import { newKey, uuid7 } from '../lib/ids.mjs';
import { metricAt } from '../lib/metrics.mjs';
import { secondInstance } from '../lib/second.mjs';
import { orderBody, shop } from '../lib/shop.mjs';
import { until } from '../lib/until.mjs';

// Two of them, so that they meet at the same rows.
const helpers = [];
const startHelper = async () => helpers.push(await secondInstance('order-manager', { RETENTION_INTERVAL_S: '1', RETENTION_ROWS: '7' }));
const trimmed = async (what) => {
  const numbers = await Promise.all(helpers.map(({ admin }) => metricAt(admin, `rows_trimmed_total{what="${what}"}`)));
  return numbers.reduce((a, b) => a + b, 0); // null, none yet, counts as nothing
};

let world;
before(async () => {
  world = await shop({ stock: 1000 });
  await Promise.all([startHelper(), startHelper()]);
});
after(async () => {
  for (const { code } of await Promise.all(helpers.map((helper) => helper.stop()))) assert.equal(code, 0, 'it did not end well');
});

const OLD = "now() - interval '90 days'";
const ids = (count) => Array.from({ length: count }, uuid7);
const left = (table, events) => value(`SELECT count(*) FROM orders.${table} WHERE event_id = ANY($1::uuid[])`, events);

test('sent events go when they are old, young ones and unsent ones stay', { timeout: 60_000 }, async () => {
  const [sent, young, unsent] = [ids(40), ids(5), ids(10)];
  // The unsent ones are of a type that no queue takes: they cannot leave while the test looks.
  await rows(`INSERT INTO orders.outbox (event_id, type, subject, data, created_at) SELECT id, 'test.kept.v1', '', '{}', ${OLD} FROM unnest($1::uuid[]) AS id`, unsent);
  await rows(`INSERT INTO orders.outbox (event_id, type, subject, data, created_at, sent_at) SELECT id, 'order.placed.v1', '', '{}', ${OLD}, ${OLD} FROM unnest($1::uuid[]) AS id`, sent);
  await rows("INSERT INTO orders.outbox (event_id, type, subject, data, sent_at) SELECT id, 'order.placed.v1', '', '{}', now() FROM unnest($1::uuid[]) AS id", young);
  // They are looked for from the lowest id on: what stood there before is young, and is made old first.
  await rows(`UPDATE orders.outbox SET sent_at = ${OLD} WHERE sent_at IS NOT NULL AND id < (SELECT min(id) FROM orders.outbox WHERE event_id = ANY($1::uuid[]))`, sent);
  await until(async () => (await left('outbox', sent)) === 0, { within: 30_000, what: 'the sent ones to go' });
  assert.equal(await left('outbox', young), 5);
  assert.equal(await left('outbox', unsent), 10);
  assert.ok((await trimmed('outbox')) >= 40);
  await rows('DELETE FROM orders.outbox WHERE event_id = ANY($1::uuid[])', [...unsent, ...young]);
});

test('applied events go when they are old', { timeout: 60_000 }, async () => {
  const consumer = 'order-manager.delivery-status-changed';
  // Ids of long ago come first, as they would.
  const old = ids(30).map((id, i) => `0170000000${String(i).padStart(2, '0')}`.replace(/^(.{8})(.{4})/, '$1-$2') + id.slice(13));
  const young = ids(3);
  for (const [events, at] of [[old, OLD], [young, 'now()']]) {
    await rows(`INSERT INTO orders.inbox (consumer, event_id, received_at) SELECT $2, id, ${at} FROM unnest($1::uuid[]) AS id`, events, consumer);
  }
  await until(async () => (await left('inbox', old)) === 0, { within: 30_000, what: 'the old ones to go' });
  assert.equal(await left('inbox', young), 3);
  assert.equal(await trimmed('inbox'), 30); // each once, whoever it was
});

test('an Idempotency-Key is forgotten, its order is not', { timeout: 60_000 }, async () => {
  const [key, body] = [newKey(), orderBody(world.sku)];
  const first = await world.buyer.send(body, key);
  assert.equal(first.status, 201);
  const again = await world.buyer.send(body, key);
  assert.equal(again.text, first.text);
  const young = await world.buyer.buys(world.sku);
  const { orderId } = first.json;
  // All up to this one are old.
  await rows(`UPDATE orders.orders SET created_at = ${OLD} WHERE order_id <= $1`, orderId);
  await until(async () => (await value('SELECT idempotency_key IS NULL FROM orders.orders WHERE order_id = $1', orderId)) === true, { within: 30_000, what: 'the key to go' });
  assert.deepEqual(await rows('SELECT request_hash, reply FROM orders.orders WHERE order_id = $1', orderId), [{ request_hash: null, reply: null }]);
  assert.equal((await world.buyer.detail(orderId)).orderId, orderId);
  assert.notEqual(await value('SELECT idempotency_key FROM orders.orders WHERE order_id = $1', young.orderId), null);
  const later = await world.buyer.send(body, key);
  assert.equal(later.status, 201);
  assert.notEqual(later.json.orderId, orderId, 'it is a new order');
});

test('personal data of an order goes when it was kept long enough, the order stays; one that is not over keeps it until it is', { timeout: 90_000 }, async () => {
  const [over, open] = await Promise.all([world.buyer.buys(world.sku, 1, { giftMessage: '축하' }), world.buyer.buys(world.sku)]);
  const young = await world.buyer.buys(world.sku); // its id is the highest
  const cancelled = await world.buyer.cancel(over.orderId, { reason: 'OTHER', note: '이사합니다' });
  assert.equal(cancelled.status, 200, cancelled.text);
  const has = (orderId) => value('SELECT personal IS NOT NULL FROM orders.orders WHERE order_id = $1', orderId);
  await rows("UPDATE orders.orders SET created_at = now() - interval '400 days' WHERE order_id <= $1", [over.orderId, open.orderId].sort().at(-1));
  await until(async () => !(await has(over.orderId)), { within: 60_000, what: 'the recipient to go' });
  assert.equal(await value('SELECT note FROM orders.cancellations WHERE order_id = $1', over.orderId), null);
  const detail = await world.buyer.detail(over.orderId);
  assert.deepEqual([detail.recipient, detail.giftMessage, detail.cancellation.note, detail.totalKrw], [null, '', '', over.totalKrw]);
  assert.ok(await has(young.orderId));
  const moved = await value('SELECT status FROM orders.orders WHERE order_id = $1', open.orderId);
  if (!['DELIVERED', 'CONFIRMED'].includes(moved)) assert.ok(await has(open.orderId), moved);
  await rows("UPDATE orders.orders SET status = 'DELIVERED' WHERE order_id = $1", open.orderId);
  await until(async () => !(await has(open.orderId)), { within: 60_000, what: 'the late one to go' });
});
