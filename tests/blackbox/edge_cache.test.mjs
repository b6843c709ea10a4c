// SPDX-License-Identifier: Apache-2.0
// What the gateway may answer by itself: public reads whose answer allows it, for a second; never for a request with a token, never an answer
// with a cookie or one that forbids it.

import assert from 'node:assert/strict';
import test from 'node:test';

import { ask } from '../lib/edge.mjs';
import { answerJson, openGateway, openStandIn } from '../lib/gateways.mjs';
import { expectJson } from '../lib/http.mjs';
import { shop } from '../lib/shop.mjs';
import { service, stack } from '../lib/stack.mjs';
import { buyerToken } from '../lib/tokens.mjs';
import { until } from '../lib/until.mjs';

const SHARED = 'public, max-age=0, s-maxage=1';

async function edge(t, headers = { 'cache-control': SHARED, etag: '"1"' }) {
  const backend = await openStandIn(t, (request, response, n) => answerJson(response, { n }, headers));
  const gateway = await openGateway(t, { INSTANCE_COUNT: 1, FRUIT_CATALOG_HTTP_PORT: backend.port });
  const get = (path = '/api/v1/products', more = {}) => ask(`GET ${path}`, { base: gateway.plain, headers: more });
  return { backend, get };
}

// Twenty in a row: with a cache at most a few reach the service (a second may end meanwhile), without one all do.
async function reached({ backend, get }, more) {
  const before = backend.seen.length;
  for (let i = 0; i < 20; i++) assert.equal((await get('/api/v1/products', more)).status, 200);
  return backend.seen.length - before;
}

test('a public read is answered from the cache within the second, and anew in the next', { timeout: 60_000 }, async (t) => {
  const { backend, get } = await edge(t);
  await until(async () => (await get()).headers['x-cache-status'] === 'HIT', { what: 'a hit' });
  const before = backend.seen.length;
  await until(async () => (await get()).headers['x-cache-status'] === 'MISS' && backend.seen.length > before, { within: 3000, what: 'the next second' });
});

test('what is shown is never more than about a second old', { timeout: 60_000 }, async (t) => {
  let truth = 0;
  const backend = await openStandIn(t, (request, response) => answerJson(response, { at: Date.now(), truth: (truth += 1) }, { 'cache-control': SHARED }));
  const gateway = await openGateway(t, { INSTANCE_COUNT: 1, FRUIT_CATALOG_HTTP_PORT: backend.port });
  let [oldest, hits] = [0, 0];
  const end = Date.now() + 5000;
  while (Date.now() < end) {
    const asked = Date.now();
    const answer = await ask('GET /api/v1/products', { base: gateway.plain });
    if (answer.headers['x-cache-status'] === 'HIT') hits += 1;
    oldest = Math.max(oldest, asked - answer.json.at);
  }
  assert.ok(hits > 20, `${hits} hits`);
  assert.ok(oldest <= 1100, `${oldest} ms old`);
});

test('a request with a token is neither answered from the cache nor stored', { timeout: 60_000 }, async (t) => {
  const world = await edge(t);
  const token = await buyerToken();
  assert.equal(await reached(world, { authorization: `Bearer ${token}` }), 20);
  assert.equal((await world.get('/api/v1/products', { authorization: `Bearer ${token}` })).headers['x-cache-status'], 'BYPASS');
  const own = await world.get('/api/v1/farms', { authorization: `Bearer ${token}` });
  assert.notEqual((await world.get('/api/v1/farms')).json.n, own.json.n, 'what a token was answered went to somebody without one');
});

for (const [name, headers] of [
  ['with a cookie', { 'cache-control': SHARED, 'set-cookie': 'a=b' }],
  ['that is private', { 'cache-control': 'private, max-age=60' }],
  ['that says no-store', { 'cache-control': 'no-store, s-maxage=60' }],
  ['that says no-cache', { 'cache-control': 'no-cache' }],
  ['that says nothing', {}],
  ['that varies by everything', { 'cache-control': SHARED, vary: '*' }],
]) {
  test(`an answer ${name} is not stored`, { timeout: 60_000 }, async (t) => {
    assert.equal(await reached(await edge(t, headers)), 20);
  });
}

test('an error is not stored', { timeout: 60_000 }, async (t) => {
  const backend = await openStandIn(t, (request, response) => answerJson(response, {}, {}, 404));
  const gateway = await openGateway(t, { INSTANCE_COUNT: 1, FRUIT_CATALOG_HTTP_PORT: backend.port });
  for (let i = 0; i < 10; i++) assert.equal((await ask('GET /api/v1/products/x', { base: gateway.plain })).status, 404);
  assert.equal(backend.seen.length, 10);
});

test('who asks for a fresh answer gets one, and another query is another answer', { timeout: 60_000 }, async (t) => {
  const world = await edge(t);
  assert.equal(await reached(world, { 'cache-control': 'no-cache' }), 20);
  const [first, second] = [await world.get('/api/v1/products?q=a'), await world.get('/api/v1/products?q=b')];
  assert.notEqual(first.json.n, second.json.n);
});

test('what needs a token is never stored, whatever the answer says', { timeout: 60_000 }, async (t) => {
  const backend = await openStandIn(t, (request, response, n) => answerJson(response, { n }, { 'cache-control': 'public, max-age=60' }));
  const gateway = await openGateway(t, { INSTANCE_COUNT: 1, ORDER_MANAGER_HTTP_PORT: backend.port });
  const headers = { authorization: `Bearer ${await buyerToken()}` };
  for (let i = 0; i < 10; i++) await ask('GET /api/v1/orders', { base: gateway.plain, headers });
  assert.equal(backend.seen.length, 10);
});

test('a stored answer is confirmed by its ETag', { timeout: 60_000 }, async (t) => {
  const { get } = await edge(t);
  const answer = await until(async () => {
    const one = await get('/api/v1/products', { 'if-none-match': '"1"' });
    return one.headers['x-cache-status'] === 'HIT' && one;
  }, { what: 'a hit' });
  assert.equal(answer.status, 304);
  assert.equal((await get('/api/v1/products', { 'if-none-match': '"2"' })).status, 200);
});

test('FruitCatalog lets anybody keep a product for a second, and one with a token nobody but the caller', async () => {
  const { product, buyer } = await shop({ stock: 3 });
  for (const path of ['/api/v1/products', `/api/v1/products/${product.productId}`, '/api/v1/farms', `/api/v1/farms/${product.farm?.farmId ?? product.farmId}`]) {
    const anonymous = await ask(`GET ${path}`, { base: service('fruit-catalog').http });
    assert.equal(anonymous.headers['cache-control'], SHARED, path);
    const known = await ask(`GET ${path}`, { base: service('fruit-catalog').http, headers: { authorization: `Bearer ${buyer.token}` } });
    assert.match(known.headers['cache-control'], /private|no-cache/, path);
  }
});

test('stock that was sold is seen through the gateway within the second', { timeout: 60_000 }, async () => {
  const { product, sku, buyer } = await shop({ stock: 5 });
  const shown = async () => (await ask(`GET /api/v1/products/${product.productId}`, { base: stack.gateway })).json.skus.find(({ skuId }) => skuId === sku.skuId).available;
  assert.equal(await shown(), 5);
  await buyer.order(sku, 2);
  const { skus } = await expectJson(200, `GET /api/v1/products/${product.productId}`);
  assert.equal(skus[0].available, 3);
  await until(async () => (await shown()) === 3, { within: 1500, what: 'the new stock' });
});
