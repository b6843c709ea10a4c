// SPDX-License-Identifier: Apache-2.0
// A consumer's queue is not bound, or gone: the events meant for it stay in the outbox and flow when it is back, and others do not wait
// for them. Runs alone.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import amqp from 'amqplib';

import { rows, value } from '../lib/db.mjs';
import { EXCHANGE } from '../lib/events.mjs';
import { metricAt } from '../lib/metrics.mjs';
import { shop } from '../lib/shop.mjs';
import { service, stack, start, stopNow } from '../lib/stack.mjs';
import { until } from '../lib/until.mjs';

const QUEUE = 'delivery-mock.order-placed';
const TYPE = 'order.placed.v1';

async function withChannel(work) {
  const connection = await amqp.connect(stack.rabbitmq.amqp);
  try {
    return await work(await connection.createChannel());
  } finally {
    await connection.close();
  }
}
const bind = () => withChannel((channel) => channel.bindQueue(QUEUE, EXCHANGE, TYPE));
const unsent = (id) => value('SELECT count(*) FROM orders.outbox WHERE subject = $1 AND sent_at IS NULL', id);
const metric = (series) => metricAt(service('order-manager').admin, series);
const delivered = (id) => until(async () => (await value('SELECT count(*) FROM delivery.deliveries WHERE order_id = $1', id)) === 1, { within: 20_000, what: 'the delivery' });

let world;
before(async () => {
  world = await shop({ stock: 100 });
  await until(async () => (await metric('outbox_unroutable')) === 0, { within: 60_000, what: 'what other tests left to be forgotten' });
});
after(async () => {
  await start('delivery-mock');
  await bind();
});

test('an event that no queue is bound for is not sent, says so, and flows when it is', { timeout: 60_000 }, async () => {
  await withChannel((channel) => channel.unbindQueue(QUEUE, EXCHANGE, TYPE));
  const order = await world.buyer.buys(world.sku);
  await until(async () => (await metric('outbox_unroutable')) === 1, { what: 'the metric' });
  const returned = await metric('outbox_returned_total');
  await until(async () => (await metric('outbox_returned_total')) > returned, { within: 10_000, what: 'another try' });
  assert.equal(await unsent(order.orderId), 1);
  await bind();
  await delivered(order.orderId);
  await until(async () => (await unsent(order.orderId)) === 0, { what: 'the mark' });
  await until(async () => (await metric('outbox_unroutable')) === 0, { what: 'the metric' });
});

test('an event whose queue was deleted waits for the consumer that makes it again', { timeout: 90_000 }, async () => {
  await stopNow('delivery-mock');
  await withChannel((channel) => channel.deleteQueue(QUEUE));
  const orders = [await world.buyer.buys(world.sku), await world.buyer.buys(world.sku)];
  await until(async () => (await metric('outbox_unroutable')) === 1, { what: 'the metric' });
  for (const { orderId } of orders) assert.equal(await unsent(orderId), 1);
  await start('delivery-mock');
  for (const { orderId } of orders) await delivered(orderId);
});

test('what nobody has to hear counts as sent', { timeout: 30_000 }, async () => {
  await until(async () => (await value("SELECT count(*) FROM catalog.outbox WHERE type = 'product.changed.v1' AND sent_at IS NULL")) === 0, { what: 'an empty outbox' });
  assert.ok((await rows("SELECT id FROM catalog.outbox WHERE type = 'product.changed.v1' LIMIT 1")).length > 0);
});
