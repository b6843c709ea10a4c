// SPDX-License-Identifier: Apache-2.0
// A peer that hangs instead of dying: a stopped process accepts connections and never answers. Deadlines must hold, and others be served.
// Runs alone.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';

import { assertProblem, expectJson } from '../lib/http.mjs';
import { shop, stockOf } from '../lib/shop.mjs';
import { pidOf } from '../lib/stack.mjs';
import { timed, until } from '../lib/until.mjs';

let world;
before(async () => {
  world = await shop({ stock: 50 });
});

const frozen = new Set();
const freeze = (name) => {
  frozen.add(pidOf(name));
  process.kill(pidOf(name), 'SIGSTOP');
};
const thaw = () => {
  for (const pid of frozen) process.kill(pid, 'SIGCONT');
  frozen.clear();
};
after(thaw);

test('a DeliveryMock that hangs delays an order\'s detail by no more than its deadline', { timeout: 30_000 }, async () => {
  const order = await world.buyer.buys(world.sku);
  await until(async () => (await world.buyer.detail(order.orderId)).deliveryStatus === 'READY', { what: 'READY' });
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
