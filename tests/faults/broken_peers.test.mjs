// SPDX-License-Identifier: Apache-2.0
// A peer that hangs instead of dying: a stopped process keeps its connections and never answers. Deadlines must hold, others be served,
// and all go on when it wakes. Runs alone.

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { after, before, test } from 'node:test';

import { assertProblem, call, expectJson } from '../lib/http.mjs';
import { shop, stockOf } from '../lib/shop.mjs';
import { SERVICES, pidOf, readiness } from '../lib/stack.mjs';
import { timed, until } from '../lib/until.mjs';

let world;
before(async () => {
  world = await shop({ stock: 50 });
});

const frozen = new Set();
// The process and its children: PostgreSQL works in them.
function freeze(name) {
  const children = execFileSync('sh', ['-c', `pgrep -P ${pidOf(name)} || true`], { encoding: 'utf8' }).split('\n').filter(Boolean);
  for (const pid of [pidOf(name), ...children.map(Number)]) {
    frozen.add(pid);
    process.kill(pid, 'SIGSTOP');
  }
}
const thaw = () => {
  for (const pid of frozen) process.kill(pid, 'SIGCONT');
  frozen.clear();
};
after(thaw);

test('a DeliveryMock that hangs delays an order\'s detail by no more than its deadline', { timeout: 30_000 }, async () => {
  const order = await world.buyer.buys(world.sku);
  await until(async () => (await world.buyer.detail(order.orderId)).status === 'PREPARING', { what: 'PREPARING' }); // it has heard of the delivery
  freeze('delivery-mock');
  try {
    for (let i = 0; i < 3; i += 1) {
      const { value: detail, ms } = await timed(() => world.buyer.detail(order.orderId));
      assert.equal(detail.delivery.isLive, false);
      assert.ok(ms < 1000, `${Math.round(ms)} ms`);
    }
  } finally {
    thaw();
  }
  await until(async () => (await world.buyer.detail(order.orderId)).delivery.isLive, { within: 5000, what: 'live again' });
});

test('a FruitCatalog that hangs makes an order fail in time, and nothing else', { timeout: 180_000 }, async () => {
  const left = await stockOf(world.sku);
  freeze('fruit-catalog');
  let answer;
  try {
    const slow = timed(() => world.buyer.order(world.sku));
    const other = await timed(() => expectJson(200, 'GET /api/v1/orders', { token: world.buyer.token }));
    assert.ok(other.ms < 1000, `others waited ${Math.round(other.ms)} ms`);
    answer = await slow;
    assert.ok([503, 504].includes(answer.value.status), answer.value.text);
    assertProblem(answer.value, answer.value.status, answer.value.status === 503 ? 'service_unavailable' : 'deadline_exceeded');
    assert.ok(answer.ms < 6000, `${Math.round(answer.ms)} ms`);
  } finally {
    thaw();
  }
  await until(async () => (await world.buyer.order(world.sku)).status === 201, { within: 5000, what: 'an order to go through again' });
  // The call that nobody waited for may have reserved: its hold returns with its time to live.
  await until(async () => (await stockOf(world.sku)) === left - 1, { within: 150_000, what: 'the stock to agree' });
});

test('a PostgreSQL that hangs makes reads and writes fail within their time, and is used again when it wakes', { timeout: 60_000 }, async () => {
  freeze('postgres');
  try {
    for (const ask of [() => world.buyer.order(world.sku), () => call('GET /api/v1/orders', { token: world.buyer.token }), () => call('GET /api/v1/products?q=사과')]) {
      const { value: answer, ms } = await timed(ask);
      assert.ok([503, 504].includes(answer.status), answer.text);
      assert.ok(ms < 3000, `${Math.round(ms)} ms`); // an order asks twice: for its key, and the catalogue
    }
  } finally {
    thaw();
  }
  for (const name of SERVICES) await until(async () => (await readiness(name)).status === 200, { within: 5000, what: `${name} to be ready` });
  await until(async () => (await world.buyer.order(world.sku)).status === 201, { within: 5000, what: 'an order to go through again' });
});

test('a RabbitMQ that hangs does not keep orders waiting, and their events flow when it wakes', { timeout: 60_000 }, async () => {
  freeze('rabbitmq');
  const orders = [];
  try {
    for (let i = 0; i < 5; i += 1) {
      const { value: order, ms } = await timed(() => world.buyer.buys(world.sku));
      assert.ok(ms < 1000, `${Math.round(ms)} ms`);
      orders.push(order);
    }
  } finally {
    thaw();
  }
  for (const { orderId } of orders) {
    await until(async () => (await world.buyer.detail(orderId)).deliveryStatus === 'READY', { within: 15_000, what: 'READY' });
  }
});
