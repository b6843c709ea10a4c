// SPDX-License-Identifier: Apache-2.0
// A rolling restart under load: two instances of each service, restarted one after the other, while orders and reads come by the clock,
// through the gateway and directly. Nobody sees a failure, and every order that was acknowledged stands in the database once. Runs alone.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';

import { rows, value } from '../lib/db.mjs';
import { expectJson } from '../lib/http.mjs';
import { newKey } from '../lib/ids.mjs';
import { scaleTo } from '../lib/instances.mjs';
import { Client, openLoop } from '../lib/open_loop.mjs';
import { Buyer, makeFarm, makeProduct, orderBody } from '../lib/shop.mjs';
import { dev, stack } from '../lib/stack.mjs';
import { operatorToken } from '../lib/tokens.mjs';
import { until } from '../lib/until.mjs';

const ORDERS_PER_SECOND = 200;
const READS_PER_SECOND = 40;
const STOCK = 20_000;
const DRAIN_LIMIT_MS = 5000;

let scaled, skus, product, buyers, clients;

before(async () => {
  scaled = await scaleTo(2);
  await expectJson(200, 'PUT /api/v1/simulation', { token: await operatorToken(), json: { paused: true, speed: 1, readyMeanS: 600, routeMeanS: 1200 } });
  product = await makeProduct(await makeFarm(), { skus: ['특', '상', '보통', '못난이'].map((grade) => ({ grade, stock: STOCK })) });
  skus = product.skus;
  buyers = await Promise.all(Array.from({ length: 16 }, () => Buyer.make()));
  const both = (name) => [scaled.services[name].http, scaled.services[`${name}-2`].http];
  clients = {
    'orders through the gateway': new Client(stack.gateway),
    'orders to the instances': new Client(both('order-manager')),
    'reads through the gateway': new Client(stack.gateway),
    'reads from fruit-catalog': new Client(both('fruit-catalog')),
    'reads from delivery-mock': new Client(both('delivery-mock')),
  };
});
after(async () => {
  for (const client of Object.values(clients ?? {})) client.close();
  await scaled?.back();
});

const placed = [];
async function order(n) {
  const buyer = buyers[n % buyers.length];
  const key = newKey();
  const via = n % 2 ? 'orders through the gateway' : 'orders to the instances';
  const answer = await clients[via].send({
    method: 'POST', path: '/api/v1/orders',
    headers: { authorization: `Bearer ${buyer.token}`, 'content-type': 'application/json', 'idempotency-key': key },
    body: JSON.stringify(orderBody(skus[n % skus.length])),
  });
  if (answer.status === 201) placed.push({ key, orderId: JSON.parse(answer.text).orderId });
  return { via, want: 201, ...answer };
}

async function read(n) {
  const [via, path] = [
    ['reads through the gateway', `/api/v1/products/${product.productId}`],
    ['reads from fruit-catalog', `/api/v1/products/${product.productId}`],
    ['reads through the gateway', '/api/v1/simulation'],
    ['reads from delivery-mock', '/api/v1/simulation'],
  ][n % 4];
  return { via, want: 200, ...(await clients[via].send({ path, headers: { authorization: `Bearer ${operator}` } })) };
}
let operator;

test('nobody sees a failure while every service is restarted, and each acknowledged order is stored once', { timeout: 180_000 }, async (t) => {
  operator = await operatorToken();
  const orders = openLoop(ORDERS_PER_SECOND, order), reads = openLoop(READS_PER_SECOND, read);
  t.after(() => [orders, reads].forEach((loop) => loop.end())); // also when this test runs out of time
  await until(() => placed.length > ORDERS_PER_SECOND / 2, { within: 30_000, what: 'orders under way' });
  const { stdout } = await dev(['rolling-restart']);
  const during = placed.length;
  await until(() => placed.length > during + ORDERS_PER_SECOND / 2, { within: 30_000, what: 'orders after it' });
  const done = await orders.stop(), looked = await reads.stop();

  const all = [...done.outcomes, ...looked.outcomes];
  const failed = all.filter((one) => one.status !== one.want);
  for (const [via, client] of Object.entries(clients)) {
    const own = all.filter((one) => one.via === via);
    t.diagnostic(`${via}: ${own.length} requests, ${own.filter((one) => one.status === one.want).length} as wanted, ${client.counts.attempts} attempts, ` +
      `${client.counts.reusedCloses} met a kept connection that was just closed, ${client.counts.refusedConnections} asked the other instance, ${client.counts.lateCloses} stood still before they asked`);
  }
  const drains = [...stdout.matchAll(/(\S+) +drained in (\d+) ms/g)].map(([, name, ms]) => ({ name, ms: Number(ms) }));
  t.diagnostic(`${(done.outcomes.length / done.seconds).toFixed(0)} orders/s for ${done.seconds.toFixed(1)} s; drained: ${drains.map(({ name, ms }) => `${name} ${ms} ms`).join(', ')}`);

  const faults = {};
  for (const { via, status, fault, isReused, isUntouched, attempts, ms, text } of failed) {
    const what = `${via}: ${fault ?? status}${isReused ? ' on a kept connection' : ''}${isUntouched === false ? ' within the answer' : ''} at attempt ${attempts}${ms > 500 ? `, after ${Math.round(ms / 500) / 2} s` : ''} ${(text ?? '').slice(0, 300).replace(/"traceId":"[0-9a-f]+",/, '')}`;
    faults[what] = (faults[what] ?? 0) + 1;
  }
  assert.deepEqual(faults, {}, `${failed.length} of ${all.length} failed`);
  assert.equal(drains.length, 6, stdout);
  for (const { name, ms } of drains) assert.ok(ms < DRAIN_LIMIT_MS, `${name} took ${ms} ms`);
  const stored = await rows('SELECT idempotency_key, order_id::text FROM orders.orders WHERE buyer_id = ANY($1)', buyers.map(({ sub }) => sub));
  const byKey = (list) => new Map(list.sort((a, b) => (a.key < b.key ? -1 : 1)).map(({ key, orderId }) => [key, orderId]));
  assert.equal(stored.length, placed.length, 'as many orders as were acknowledged');
  assert.deepEqual(byKey(stored.map((row) => ({ key: row.idempotency_key, orderId: row.order_id }))), byKey(placed));
  const sold = () => value('SELECT sum($2 - available)::int FROM catalog.skus WHERE sku_id = ANY($1)', skus.map(({ skuId }) => skuId), STOCK);
  await until(async () => (await sold()) === placed.length, { within: 15_000, what: 'as many boxes taken as orders placed' });
  await until(async () => (await value('SELECT count(*) FROM delivery.deliveries WHERE order_id = ANY($1)', placed.map(({ orderId }) => orderId))) === placed.length, { within: 15_000, what: 'a delivery of each order' });
});
