// SPDX-License-Identifier: Apache-2.0
// The stack's services get keys and their own tokens from the identity service. While it is away they go on with what they have; one that
// starts then lives, is not ready, and becomes so by itself when identity is back.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';

import { guest } from '../lib/guest.mjs';
import { call } from '../lib/http.mjs';
import { newKey } from '../lib/ids.mjs';
import { orderBody, shop } from '../lib/shop.mjs';
import { SERVICES, environmentOf, readiness, stack, start, stopNow } from '../lib/stack.mjs';
import { until } from '../lib/until.mjs';

let world;
before(async () => {
  world = await shop({ stock: 1000 });
  await stopNow('identity');
});
after(() => start('identity'));

test('keys and own tokens come from identity', () => {
  for (const name of SERVICES) {
    const { JWT_JWKS, TOKEN_URL, CLIENT_ID, SERVICE_TOKEN_FILE } = environmentOf(name);
    assert.deepEqual([JWT_JWKS, TOKEN_URL, CLIENT_ID, SERVICE_TOKEN_FILE], [`${stack.identity.http}/auth/jwks.json`, `${stack.identity.http}/auth/token`, name, undefined]);
  }
});

test('while identity is away services stay ready and orders are taken', async () => {
  for (const name of SERVICES) assert.equal((await readiness(name)).status, 200, name);
  for (let turn = 0; turn < 5; turn++) assert.equal((await world.buyer.order(world.sku)).status, 201);
});

test('a service that starts then is not ready, and is by itself when identity is back', { timeout: 120_000 }, async (t) => {
  const at = await guest(t, 'order-manager', {});
  const order = () => call('POST /api/v1/orders', { base: at.http, token: world.buyer.token, json: orderBody(world.sku), headers: { 'idempotency-key': newKey() } });
  assert.ok(await at.isAlive());
  const { status, body } = await at.readyz();
  assert.equal(status, 503);
  assert.equal(body.checks.keys.status, 'down');
  assert.equal((await order()).status, 503);
  await start('identity');
  await until(async () => (await at.readyz()).body.status === 'ready', { within: 40_000, what: 'keys and a token' });
  assert.equal((await order()).status, 201);
});
