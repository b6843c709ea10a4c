// SPDX-License-Identifier: Apache-2.0
// The broker goes away as in a crash and comes back: orders are accepted all the while, the probe names it, memory stays bounded, and
// what waited in the outbox flows out, each event with one effect. Runs alone.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';

import { rows, value } from '../lib/db.mjs';
import { call, expectJson } from '../lib/http.mjs';
import { count, makeProduct, shop, stockOf } from '../lib/shop.mjs';
import { SERVICES, pidOf, readiness, rssMiB, start, stopNow } from '../lib/stack.mjs';
import { operatorToken } from '../lib/tokens.mjs';
import { timed, until } from '../lib/until.mjs';

const HEAL_MS = 5000;
const GROWTH_MIB = 96;

let world;
let pids;
let moved;
before(async () => {
  world = await shop({ stock: 1000, buyers: 100 });
  pids = Object.fromEntries(SERVICES.map((name) => [name, pidOf(name)]));
  await expectJson(200, 'PUT /api/v1/simulation', { token: await operatorToken(), json: { paused: true, speed: 1, readyMeanS: 600, routeMeanS: 1200 } });
  moved = await world.buyer.buys(world.sku);
  await until(async () => (await world.buyer.detail(moved.orderId)).deliveryStatus === 'READY', { what: 'READY' });
});
after(() => start('rabbitmq'));

test('without RabbitMQ', { timeout: 240_000 }, async (t) => {
  await stopNow('rabbitmq');
  const placed = [];

  for (const name of SERVICES) {
    await t.test(`${name}: stays ready, degraded, and names rabbitmq`, async () => {
      const { status, body } = await until(async () => {
        const seen = await readiness(name);
        return seen.body.checks.rabbitmq.status === 'down' && seen;
      }, { within: 10_000, what: 'rabbitmq down' });
      assert.deepEqual([status, body.status], [200, 'degraded']);
    });
  }

  await t.test('orders are accepted as fast as ever', async () => {
    const known = rssMiB(pidOf('order-manager'));
    for (let round = 0; round < 3; round += 1) {
      const answers = await Promise.all(world.buyers.map((buyer) => timed(() => buyer.order(world.sku))));
      assert.deepEqual(count(answers.map((answer) => answer.value)), { 201: 100 });
      placed.push(...answers.map((answer) => answer.value.json.orderId));
    }
    const one = await timed(() => world.buyer.buys(world.sku));
    placed.push(one.value.orderId);
    assert.ok(one.ms < 1000, `a lone order took ${Math.round(one.ms)} ms`);
    const grown = rssMiB(pidOf('order-manager')) - known;
    assert.ok(grown < GROWTH_MIB, `grew by ${Math.round(grown)} MiB`);
    assert.equal(await stockOf(world.sku), 999 - placed.length);
  });

  await t.test('orders are read, products registered, deliveries moved by hand', async () => {
    const detail = await world.buyer.detail(placed.at(-1));
    assert.deepEqual([detail.status, detail.deliveryStatus], ['PLACED', null]);
    await makeProduct(world.farm);
    const answer = await call(`POST /api/v1/deliveries/${moved.orderId}/advance`, { token: await operatorToken(), json: { to: 'ON_ROUTE' } });
    assert.equal(answer.status, 200, answer.text);
  });

  await t.test('their events wait in the outbox', async () => {
    assert.equal(await value('SELECT count(*) FROM orders.outbox WHERE sent_at IS NULL AND subject = ANY($1)', placed), placed.length);
  });

  await t.test(`within ${HEAL_MS} ms of its return all events flow out, without a restart`, async () => {
    await start('rabbitmq');
    await until(async () => (await value('SELECT count(*) FROM delivery.deliveries WHERE order_id = ANY($1::uuid[])', placed)) === placed.length, { within: HEAL_MS, what: 'a delivery of each order' });
    await until(async () => (await value("SELECT count(*) FROM orders.orders WHERE order_id = ANY($1::uuid[]) AND delivery_status = 'READY'", placed)) === placed.length, { within: HEAL_MS, what: 'READY of each order' });
    await until(async () => (await world.buyer.detail(moved.orderId)).status === 'SHIPPING', { within: HEAL_MS, what: 'SHIPPING of the one moved meanwhile' });
    for (const name of SERVICES) {
      await until(async () => (await readiness(name)).body.status === 'ready', { within: HEAL_MS, what: `${name} to be ready` });
      assert.equal(pidOf(name), pids[name], `${name} was restarted`);
    }
  });

  await t.test('each event had one effect', async () => {
    const sums = await rows('SELECT count(*) AS entries, count(DISTINCT order_id) AS orders FROM orders.timeline WHERE order_id = ANY($1::uuid[])', placed);
    assert.deepEqual(sums, [{ entries: 2 * placed.length, orders: placed.length }]); // PLACED and PREPARING
    assert.equal(await value('SELECT count(*) FROM orders.outbox WHERE sent_at IS NULL AND subject = ANY($1)', placed), 0);
    assert.equal(await value('SELECT count(*) FROM delivery.tracking_events WHERE order_id = ANY($1::uuid[])', placed), placed.length);
  });
});
