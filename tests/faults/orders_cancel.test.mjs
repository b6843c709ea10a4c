// SPDX-License-Identifier: Apache-2.0
// A cancellation in which something dies between the wish, DeliveryMock's word and the commit: whatever it is, the order is cancelled in the
// end by itself, once, or it is refused because its box has left. Runs alone.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import pg from 'pg';

import { assertCancelledOnce, cancellationOf, deliveryOf, ledgerOfOrder, refundsOf, timelineOf, untilStock } from '../lib/cancel.mjs';
import { rows, value } from '../lib/db.mjs';
import { assertProblem, call, expectJson } from '../lib/http.mjs';
import { metricAt } from '../lib/metrics.mjs';
import { shop } from '../lib/shop.mjs';
import { SERVICES, pidOf, service, stack, start, stopNow } from '../lib/stack.mjs';
import { operatorToken } from '../lib/tokens.mjs';
import { timed, until } from '../lib/until.mjs';

let world, operator;
before(async () => {
  operator = await operatorToken();
  await expectJson(200, 'PUT /api/v1/simulation', { token: operator, json: { paused: true, speed: 1, readyMeanS: 600, routeMeanS: 1200 } });
  world = await shop({ stock: 200, perBuyerLimit: 999 });
});
after(async () => {
  for (const part of ['postgres', 'rabbitmq', ...SERVICES]) await start(part);
});

const hasDelivery = (orderId) => until(async () => (await deliveryOf(orderId))?.delivery_id, { within: 10_000, what: 'the delivery' });
const isOnRecord = (orderId) => until(async () => (await cancellationOf(orderId))?.state === 'REQUESTED', { what: 'the wish on record' });
const cancelled = (orderId) => until(async () => (await world.buyer.detail(orderId)).status === 'CANCELLED', { within: 20_000, what: 'CANCELLED by itself' });

const metric = (series) => metricAt(service('order-manager').admin, series);

// A session of the database that holds something others need, until `release`.
async function holding(...statements) {
  const client = new pg.Client({ connectionString: stack.postgres.uri });
  client.on('error', () => {});
  await client.connect();
  await client.query('BEGIN');
  for (const sql of statements) await client.query(sql);
  let isHeld = true;
  return {
    release: async () => {
      if (isHeld) await client.query('ROLLBACK');
      isHeld = false;
      await client.end().catch(() => {});
    },
  };
}

test('an order that DeliveryMock has not heard of is cancelled, and its box is never made', { timeout: 60_000 }, async () => {
  const lock = await holding('LOCK TABLE delivery.inbox IN EXCLUSIVE MODE'); // the consumer is behind
  let order;
  try {
    order = await world.buyer.buys(world.sku, 2);
    const answer = await world.buyer.cancel(order.orderId);
    assert.equal(answer.status, 200, answer.text);
    assert.deepEqual([answer.json.status, answer.json.delivery], ['CANCELLED', null]);
    assert.deepEqual(await deliveryOf(order.orderId), { status: 'CANCELLED', delivery_id: null });
  } finally {
    await lock.release();
  }
  await until(async () => (await value("SELECT count(*) FROM orders.outbox o JOIN delivery.inbox i USING (event_id) WHERE o.subject = $1 AND o.type = 'order.placed.v1'", order.orderId)) === 1, { within: 15_000, what: 'the late event to be applied' });
  assert.deepEqual(await deliveryOf(order.orderId), { status: 'CANCELLED', delivery_id: null });
  assert.equal(await value('SELECT count(*) FROM delivery.tracking_events WHERE order_id = $1', order.orderId), 0);
  assertProblem(await call(`GET /api/v1/deliveries/${order.orderId}`, { token: world.buyer.token }), 404, 'not_found');
  await assertCancelledOnce(order, 2);
  assert.deepEqual(timelineOf(await world.buyer.detail(order.orderId)), ['PLACED', 'CANCELLED']);
});

test('without DeliveryMock: 503, on record, and done by itself when it is back', { timeout: 90_000 }, async () => {
  const orders = [];
  for (let i = 0; i < 5; i++) orders.push(await world.buyer.buys(world.sku));
  for (const { orderId } of orders) await hasDelivery(orderId);
  await stopNow('delivery-mock');
  for (const { orderId } of orders) {
    const { value: answer, ms } = await timed(() => world.buyer.cancel(orderId, { reason: 'ADDRESS_CHANGE' }));
    assertProblem(answer, 503, 'service_unavailable');
    assert.match(answer.json.detail, /접수/);
    assert.match(answer.headers.get('retry-after') ?? '', /^\d+$/);
    assert.ok(ms < 3000, `${Math.round(ms)} ms`);
    const told = await world.buyer.detail(orderId);
    assert.notEqual(told.status, 'CANCELLED');
    assert.deepEqual([told.cancellation.status, told.cancellation.reason, told.cancellation.finishedAt, told.cancellation.refundKrw], ['REQUESTED', 'ADDRESS_CHANGE', null, null]);
    assert.deepEqual(await refundsOf(orderId), []);
  }
  assertProblem(await world.buyer.cancel(orders[0].orderId, { reason: 'ORDER_MISTAKE' }), 503, 'service_unavailable');
  await until(async () => (await metric('order_cancellations_pending')) === 5, { what: 'five pending' });
  await until(async () => (await metric('order_cancellations_oldest_seconds')) > 0, { what: 'their age' });
  await start('delivery-mock');
  for (const order of orders) {
    await cancelled(order.orderId);
    await assertCancelledOnce(order, 1);
    const told = await world.buyer.detail(order.orderId);
    assert.equal(told.cancellation.reason, 'ADDRESS_CHANGE');
    assert.equal(told.timeline.at(-1).actor, 'buyer');
  }
  await until(async () => (await metric('order_cancellations_pending')) === 0, { what: 'none pending' });
  assert.equal(await metric('order_cancellations_oldest_seconds'), 0);
});

test('DeliveryMock hangs: 503 in time, and done by itself when it goes on', { timeout: 60_000 }, async () => {
  const order = await world.buyer.buys(world.sku);
  await hasDelivery(order.orderId);
  const pid = pidOf('delivery-mock');
  process.kill(pid, 'SIGSTOP');
  try {
    const { value: answer, ms } = await timed(() => world.buyer.cancel(order.orderId));
    assertProblem(answer, 503, 'service_unavailable');
    assert.ok(ms < 5000, `${Math.round(ms)} ms`);
    assert.equal((await cancellationOf(order.orderId)).state, 'REQUESTED');
  } finally {
    process.kill(pid, 'SIGCONT');
  }
  await cancelled(order.orderId);
  await assertCancelledOnce(order, 1);
});

test('OrderManager killed after the wish was stored and before DeliveryMock answered', { timeout: 60_000 }, async () => {
  const order = await world.buyer.buys(world.sku);
  await hasDelivery(order.orderId);
  const pid = pidOf('delivery-mock');
  process.kill(pid, 'SIGSTOP');
  try {
    const answering = world.buyer.cancel(order.orderId).catch(() => null);
    await isOnRecord(order.orderId);
    await stopNow('order-manager');
    await answering;
  } finally {
    process.kill(pid, 'SIGCONT');
  }
  assert.equal((await cancellationOf(order.orderId)).state, 'REQUESTED');
  await start('order-manager');
  await cancelled(order.orderId);
  await assertCancelledOnce(order, 1);
});

test('OrderManager killed after DeliveryMock stopped the box and before the commit', { timeout: 60_000 }, async () => {
  const order = await world.buyer.buys(world.sku, 3);
  await hasDelivery(order.orderId);
  const lock = await holding('LOCK TABLE orders.refunds IN EXCLUSIVE MODE');
  try {
    const answering = world.buyer.cancel(order.orderId).catch(() => null);
    await until(async () => (await deliveryOf(order.orderId)).status === 'CANCELLED', { what: 'the box to be stopped' });
    await until(async () => (await value("SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND application_name = 'order-manager'")) > 0, { what: 'the commit to wait' });
    await stopNow('order-manager');
    await answering;
  } finally {
    await lock.release();
  }
  assert.notEqual(await value('SELECT status FROM orders.orders WHERE order_id = $1', order.orderId), 'CANCELLED');
  assert.deepEqual(await refundsOf(order.orderId), []);
  await start('order-manager');
  await cancelled(order.orderId);
  await assertCancelledOnce(order, 3);
});

test('a box that leaves while the cancellation waits: refused, the order goes on, nothing is given back', { timeout: 60_000 }, async () => {
  const order = await world.buyer.buys(world.sku);
  await hasDelivery(order.orderId);
  await stopNow('delivery-mock');
  assertProblem(await world.buyer.cancel(order.orderId), 503, 'service_unavailable');
  await stopNow('order-manager'); // else it would be asked before the box can leave
  await start('delivery-mock');
  await expectJson(200, `POST /api/v1/deliveries/${order.orderId}/advance`, { token: operator, json: { to: 'ON_ROUTE' } });
  await start('order-manager');
  await until(async () => (await world.buyer.detail(order.orderId)).cancellation.status === 'REFUSED', { within: 20_000, what: 'REFUSED by itself' });
  await until(async () => (await world.buyer.detail(order.orderId)).status === 'SHIPPING', { within: 10_000, what: 'SHIPPING' });
  assertProblem(await world.buyer.cancel(order.orderId), 409, 'order_not_cancellable');
  assert.deepEqual(await refundsOf(order.orderId), []);
  assert.deepEqual((await ledgerOfOrder(order.orderId)).map((row) => row.kind), ['RESERVATION']);
});

test('without RabbitMQ an order is cancelled, and its stock comes back afterwards', { timeout: 120_000 }, async () => {
  const { buyer, sku } = await shop({ stock: 6 });
  const order = await buyer.buys(sku, 6);
  await hasDelivery(order.orderId);
  await stopNow('rabbitmq');
  assert.equal((await buyer.cancel(order.orderId)).status, 200);
  assert.deepEqual((await refundsOf(order.orderId)).length, 1);
  await start('rabbitmq');
  await until(async () => (await rows('SELECT 1 FROM catalog.stock_ledger WHERE order_id = $1 AND kind = $2', order.orderId, 'RELEASE')).length > 0, { within: 60_000, what: 'the stock to come back' });
  await assertCancelledOnce(order, 6);
  await untilStock(sku, 6);
});

test('without PostgreSQL nothing is promised: 503, and the same cancel works afterwards', { timeout: 90_000 }, async () => {
  const order = await world.buyer.buys(world.sku);
  await hasDelivery(order.orderId);
  await stopNow('postgres');
  const answer = await world.buyer.cancel(order.orderId);
  assertProblem(answer, 503, 'service_unavailable');
  assert.doesNotMatch(answer.json.detail, /접수/);
  await start('postgres');
  await until(async () => (await world.buyer.cancel(order.orderId)).status === 200, { within: 30_000, what: 'the cancel' });
  await assertCancelledOnce(order, 1);
});
