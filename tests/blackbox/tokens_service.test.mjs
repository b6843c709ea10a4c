// SPDX-License-Identifier: Apache-2.0
// A service's own token, fetched by client credentials: fetched at the start, renewed before it runs out, kept while the issuer is away,
// and when there is none, calls to others fail at once and the service serves what it can.

import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';

import { guest } from '../lib/guest.mjs';
import { assertProblem, call } from '../lib/http.mjs';
import { newKey } from '../lib/ids.mjs';
import { Issuer } from '../lib/issuer.mjs';
import { orderBody, shop } from '../lib/shop.mjs';
import { environmentOf, stack } from '../lib/stack.mjs';
import { signingKey, token } from '../lib/tokens.mjs';
import { timed, until } from '../lib/until.mjs';

const SECRET = 'a:secret/with+odd characters%41';

// The issuer signs as the stack's does, so that the stack's services take what it grants.
async function worldOf(t, { tokenMode = 'good', lifeS = 3600 } = {}) {
  const folder = mkdtempSync(join(tmpdir(), 'gwasuwon-token-'));
  writeFileSync(join(folder, 'secret'), `${SECRET}\n`, { mode: 0o600 });
  const issuer = await new Issuer().start();
  t.after(async () => {
    await issuer.stop();
    rmSync(folder, { recursive: true });
  });
  const { kid, key } = await signingKey();
  Object.assign(issuer, { keys: [{ kid, alg: 'RS256', privateKey: key }], claims: { iss: stack.issuer }, tokenMode, lifeS });
  const settings = { SERVICE_TOKEN_FILE: '', TOKEN_URL: issuer.tokenUrl, CLIENT_ID: 'order-manager', CLIENT_SECRET_FILE: join(folder, 'secret') };
  return { issuer, settings, folder, start: (more = {}) => guest(t, 'order-manager', { ...settings, ...more }) };
}

const order = (at, { sku, buyer }) => call('POST /api/v1/orders', { base: at.http, token: buyer.token, json: orderBody(sku), headers: { 'idempotency-key': newKey() } });
const isTokenUp = async (at) => (await at.metric('dependency_up{dependency="token"}')) === 1;

test('a service fetches its token before it listens, by client_credentials with HTTP Basic', async (t) => {
  const world = await worldOf(t);
  const goods = await shop();
  const at = await world.start();
  assert.equal(world.issuer.grants.length, 1);
  const [{ form, authorization }] = world.issuer.grants;
  assert.deepEqual(form, { grant_type: 'client_credentials', scope: 'internal' });
  const pair = Buffer.from(authorization.replace(/^Basic /, ''), 'base64').toString().split(':');
  assert.deepEqual(pair.map(decodeURIComponent), ['order-manager', SECRET]);
  assert.equal((await order(at, goods)).status, 201);
});

test('the token is renewed well before it runs out, and no order notices', { timeout: 120_000 }, async (t) => {
  const world = await worldOf(t, { lifeS: 8 });
  const goods = await shop({ stock: 100_000 });
  const at = await world.start();
  const seen = new Set();
  const began = performance.now();
  while (world.issuer.grants.length < 4) {
    assert.ok(performance.now() - began < 60_000, `${world.issuer.grants.length} grants in a minute`);
    seen.add((await order(at, goods)).status);
  }
  assert.deepEqual([...seen], [201]);
  const perGrantS = (performance.now() - began) / 1000 / 3;
  assert.ok(perGrantS > 2, `asked every ${perGrantS} s for a token of 8 s`);
});

for (const tokenMode of ['401', '500', 'hang', 'garbage']) {
  test(`without a token ("${tokenMode}") an order fails at once with 503, and orders can still be read`, { timeout: 120_000 }, async (t) => {
    const world = await worldOf(t, { tokenMode });
    const goods = await shop();
    const { orderId } = await goods.buyer.buys(goods.sku);
    const at = await world.start();
    const { status, body } = await at.readyz();
    assert.equal(status, 200);
    assert.match(JSON.stringify(body), /degraded/);
    const { value: answer, ms } = await timed(() => order(at, goods));
    assertProblem(answer, 503, 'service_unavailable');
    assert.ok(ms < 2000, `it took ${ms} ms`); // an attempt's deadline is 3 s
    const detail = await call(`GET /api/v1/orders/${orderId}`, { base: at.http, token: goods.buyer.token });
    assert.equal(detail.status, 200);
    world.issuer.tokenMode = 'good';
    await until(() => isTokenUp(at), { within: 60_000, what: 'the token' });
    assert.equal((await order(at, goods)).status, 201);
  });
}

test('while the issuer is away the token at hand serves, until its end', { timeout: 120_000 }, async (t) => {
  const world = await worldOf(t, { lifeS: 20 });
  const goods = await shop();
  const at = await world.start();
  world.issuer.tokenMode = '500';
  const failed = () => at.metric('auth_token_fetches_total{outcome="failed"}');
  await until(async () => (await failed()) > 0, { within: 60_000, what: 'a failed renewal' });
  assert.equal((await order(at, goods)).status, 201, 'the old token is still good');
  await until(async () => !(await isTokenUp(at)), { within: 60_000, what: 'the end of the token' });
  assertProblem(await order(at, goods), 503, 'service_unavailable');
  assert.equal((await at.readyz()).status, 200);
});

test('a failing issuer is asked with growing pauses', { timeout: 120_000 }, async (t) => {
  const world = await worldOf(t, { tokenMode: '500' });
  const at = await world.start();
  const began = performance.now();
  await until(() => world.issuer.grants.length >= 6, { within: 60_000, what: 'six requests' });
  const ms = performance.now() - began;
  assert.ok(ms > 1000, `six requests in ${ms} ms`);
  assert.ok(await at.isAlive());
});

test('a token that a peer refuses is asked for anew', { timeout: 120_000 }, async (t) => {
  const world = await worldOf(t);
  const goods = await shop();
  world.issuer.claims = { iss: 'https://not-ours.example' };
  const at = await world.start();
  assertProblem(await order(at, goods), 503, 'service_unavailable');
  world.issuer.claims = { iss: stack.issuer };
  await until(async () => (await order(at, goods)).status === 201, { within: 30_000, what: 'a token that FruitCatalog takes' });
});

test('a changed secret is used at the next request', { timeout: 120_000 }, async (t) => {
  const world = await worldOf(t, { tokenMode: '401' });
  const at = await world.start();
  writeFileSync(join(world.folder, 'secret'), 'the-new-one\n');
  world.issuer.tokenMode = 'good';
  await until(() => isTokenUp(at), { within: 60_000, what: 'the token' });
  const { authorization } = world.issuer.grants.at(-1);
  assert.ok(Buffer.from(authorization.replace(/^Basic /, ''), 'base64').toString().endsWith(':the-new-one'));
});

test('neither token nor secret is ever logged or shown', async (t) => {
  const world = await worldOf(t);
  const at = await world.start();
  await at.saw('token.fetched');
  const shown = await (await fetch(`${at.admin}/config`)).text();
  const told = JSON.stringify(at.events) + shown;
  assert.ok(!told.includes(SECRET) && !told.includes('eyJ'), told);
});

test('a token of order-manager by client_credentials opens nothing that a buyer may', async () => {
  const machine = await token({ role: 'service', scope: 'internal', service: 'order-manager' });
  assertProblem(await call('GET /api/v1/orders', { token: machine }), 403, 'forbidden');
  assert.ok(environmentOf('order-manager').JWT_ISSUER);
});
