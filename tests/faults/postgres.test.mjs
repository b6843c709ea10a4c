// SPDX-License-Identifier: Apache-2.0
// The database goes away as in a crash and comes back: what needs it answers 503 at once and says when to come again, the probe names it,
// memory stays bounded, and everything heals without a restart. Runs alone: nobody else could work meanwhile.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';

import { closeClients, grpc, rpc } from '../lib/grpc.mjs';
import { assertProblem, call } from '../lib/http.mjs';
import { newKey, uuid7 } from '../lib/ids.mjs';
import { count, orderBody, productBody, shop, stockOf } from '../lib/shop.mjs';
import { SERVICES, pidOf, readiness, rssMiB, service, start, stopNow } from '../lib/stack.mjs';
import { operatorToken, serviceToken } from '../lib/tokens.mjs';
import { timed, until } from '../lib/until.mjs';

const ANSWER_MS = 1000;
const HEAL_MS = 5000;
const GROWTH_MIB = 96; // with AddressSanitizer's own quarantine

let world;
let order;
let pids;
before(async () => {
  world = await shop({ stock: 50, buyers: 2 });
  order = await world.buyer.buys(world.sku);
  pids = Object.fromEntries(SERVICES.map((name) => [name, pidOf(name)]));
});
after(async () => {
  await start('postgres');
  closeClients();
});

const NEEDS = {
  'fruit-catalog': [
    ['a search', () => ['GET /api/v1/products?q=사과', {}]],
    ['a detail', () => [`GET /api/v1/products/${uuid7()}`, {}]],
    ['a write', () => [`POST /api/v1/farms/${world.farm.farmId}/products`, { token: world.farm.token, json: productBody() }]],
  ],
  'order-manager': [
    ['a list', () => ['GET /api/v1/orders', { token: world.buyer.token }]],
    ['a detail', () => [`GET /api/v1/orders/${order.orderId}`, { token: world.buyer.token }]],
    ['a write', () => ['POST /api/v1/orders', { token: world.buyer.token, json: orderBody(world.sku), headers: { 'idempotency-key': newKey() } }]],
  ],
  'delivery-mock': [
    ['a detail', () => [`GET /api/v1/deliveries/${order.orderId}`, { token: world.buyer.token }]],
    ['a write', async () => [`POST /api/v1/deliveries/${order.orderId}/advance`, { token: await operatorToken(), json: { to: 'ON_ROUTE' } }]],
  ],
};
const RPCS = { 'fruit-catalog': ['GetSkus', { skuIds: [uuid7()] }], 'order-manager': ['ResolveOrders', { orderIds: [uuid7()] }], 'delivery-mock': ['GetDeliveries', { orderIds: [uuid7()] }] };

test('without PostgreSQL', { timeout: 120_000 }, async (t) => {
  await stopNow('postgres');

  for (const name of SERVICES) {
    for (const [what, make] of NEEDS[name]) {
      await t.test(`${name}: ${what} answers 503 with Retry-After within ${ANSWER_MS} ms`, async () => {
        const [line, options] = await make();
        for (let i = 0; i < 3; i += 1) {
          const { value: answer, ms } = await timed(() => call(line, { ...options, base: service(name).http }));
          assertProblem(answer, 503, 'service_unavailable');
          assert.match(answer.headers.get('retry-after') ?? '', /^[1-9]\d*$/);
          assert.ok(ms < ANSWER_MS, `${Math.round(ms)} ms`);
        }
      });
    }

    await t.test(`${name}: a call answers UNAVAILABLE within ${ANSWER_MS} ms`, async () => {
      const [method, request] = RPCS[name];
      const { value: answer, ms } = await timed(() => rpc(name, method, request, serviceToken(name === 'order-manager' ? 'fruit-catalog' : 'order-manager')));
      assert.equal(answer.code, grpc.status.UNAVAILABLE, answer.details);
      assert.ok(ms < ANSWER_MS, `${Math.round(ms)} ms`);
    });

    await t.test(`${name}: is alive but not ready, and names postgres`, async () => {
      const { status, body } = await until(async () => {
        const seen = await readiness(name);
        return seen.status === 503 && seen;
      }, { what: 'not ready' });
      assert.equal(status, 503);
      assert.equal(body.checks.postgres.status, 'down');
      const down = Object.entries(body.checks).filter(([, check]) => check.required && check.status === 'down').map(([key]) => key);
      assert.deepEqual(down, ['postgres']);
      assert.equal((await fetch(`${service(name).admin}/livez`)).status, 200);
    });

    await t.test(`${name}: memory stays bounded under 3000 requests that can not be served`, async () => {
      const known = rssMiB(pidOf(name));
      for (let round = 0; round < 30; round += 1) {
        const answers = await Promise.all(Array.from({ length: 100 }, async () => {
          const [line, options] = await NEEDS[name].at(-1)[1]();
          return call(line, { ...options, base: service(name).http });
        }));
        assert.deepEqual(Object.keys(count(answers)), ['503']);
      }
      const grown = rssMiB(pidOf(name)) - known;
      assert.ok(grown < GROWTH_MIB, `grew by ${Math.round(grown)} MiB`);
    });
  }

  await t.test('the gateway passes the 503 on', async () => {
    const [line, options] = NEEDS['order-manager'][0][1]();
    assertProblem(await call(line, options), 503, 'service_unavailable');
  });

  await t.test(`all is well within ${HEAL_MS} ms of its return, without a restart`, async () => {
    await start('postgres');
    const { ms } = await timed(async () => {
      for (const name of SERVICES) {
        await until(async () => (await readiness(name)).status === 200, { within: HEAL_MS, what: `${name} to be ready` });
        for (const [, make] of NEEDS[name]) {
          const [line, options] = await make();
          await until(async () => (await call(line, { ...options, base: service(name).http })).status < 500, { within: HEAL_MS, what: line });
        }
      }
    });
    assert.ok(ms < HEAL_MS, `${Math.round(ms)} ms`);
    for (const name of SERVICES) assert.equal(pidOf(name), pids[name], `${name} was restarted`);
  });

  await t.test('orders flow through to their deliveries again', async () => {
    const left = await stockOf(world.sku);
    const fresh = await world.buyers[1].buys(world.sku, 2);
    assert.equal(await stockOf(world.sku), left - 2);
    await until(async () => (await world.buyers[1].detail(fresh.orderId)).deliveryStatus === 'READY', { within: HEAL_MS, what: 'READY' });
  });
});
