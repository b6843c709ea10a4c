// SPDX-License-Identifier: Apache-2.0
// Limits by client and by account, on a gateway with low ones: 429 with Retry-After, nobody else affected, no header that evades it.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import test from 'node:test';

import { ask } from '../lib/edge.mjs';
import { answerJson, openGateway, openStandIn } from '../lib/gateways.mjs';
import { uuid7 } from '../lib/ids.mjs';
import { checkProblem } from '../lib/openapi.mjs';
import { ROOT } from '../lib/stack.mjs';
import { buyerToken } from '../lib/tokens.mjs';
import { until } from '../lib/until.mjs';

const BODY = { 'content-type': 'application/json' };

async function edge(t, limits) {
  const backend = await openStandIn(t, (request, response) => answerJson(response, {}));
  const ports = Object.fromEntries(['FRUIT_CATALOG', 'ORDER_MANAGER', 'DELIVERY_MOCK'].map((name) => [`${name}_HTTP_PORT`, backend.port]));
  const gateway = await openGateway(t, { INSTANCE_COUNT: 1, GATEWAY_LIMITS: limits, ...ports });
  const send = (line, { token, from, headers = {}, base = gateway.plain } = {}) =>
    ask(line, { base, from, headers: { ...(token ? { authorization: `Bearer ${token}` } : {}), ...(line.startsWith('POST') ? BODY : {}), ...headers }, body: line.startsWith('POST') ? '{}' : undefined });
  return { gateway, backend, send };
}

// The count belongs to a minute of the clock: a test that begins at its end would see two of them.
const roomInTheMinute = () => until(() => new Date().getSeconds() < 50, { within: 15_000, what: 'room in the minute' });

function assertTooMany(answer, within) {
  assert.equal(answer.status, 429, answer.text);
  assert.match(answer.headers['content-type'], /^application\/problem\+json/);
  checkProblem('order-manager', answer.json);
  assert.equal(answer.json.code, 'too_many_requests');
  const wait = Number(answer.headers['retry-after']);
  assert.ok(Number.isInteger(wait) && wait >= 1 && wait <= within, `Retry-After: ${answer.headers['retry-after']}`);
}

test('an account that orders too often gets 429; other accounts and other classes do not', { timeout: 60_000 }, async (t) => {
  const { send, backend } = await edge(t, 'order.account.minute=3');
  await roomInTheMinute();
  const [busy, calm] = [await buyerToken(uuid7()), await buyerToken(uuid7())];
  for (let i = 0; i < 3; i++) assert.equal((await send('POST /api/v1/orders', { token: busy })).status, 200);
  const passed = backend.seen.length;
  assertTooMany(await send('POST /api/v1/orders', { token: busy }), 60);
  assertTooMany(await send('POST /api/v1/orders', { token: busy, from: '127.0.0.2' }), 60); // from elsewhere it is the same account
  assert.equal(backend.seen.length, passed, 'a refused order reached the service');
  assert.equal((await send('POST /api/v1/orders', { token: calm })).status, 200);
  assert.equal((await send('GET /api/v1/orders', { token: busy })).status, 200);
});

test('two tokens of one account are one account', { timeout: 60_000 }, async (t) => {
  const { send } = await edge(t, 'order.account.minute=2');
  await roomInTheMinute();
  const sub = uuid7();
  for (let i = 0; i < 2; i++) assert.equal((await send('POST /api/v1/orders', { token: await buyerToken(sub) })).status, 200);
  assertTooMany(await send('POST /api/v1/orders', { token: await buyerToken(sub) }), 60);
});

test('a client that reads too often gets 429; another address does not', { timeout: 60_000 }, async (t) => {
  const { send } = await edge(t, 'read.client.minute=5');
  await roomInTheMinute();
  for (let i = 0; i < 5; i++) assert.equal((await send('GET /api/v1/products')).status, 200);
  assertTooMany(await send('GET /api/v1/products'), 60);
  assertTooMany(await send('GET /api/v1/farms'), 60); // the class counts, not the path
  assert.equal((await send('GET /api/v1/products', { from: '127.0.0.2' })).status, 200);
});

test('no header of the client\'s changes who it is', { timeout: 60_000 }, async (t) => {
  const { send, backend } = await edge(t, 'read.client.minute=2');
  await roomInTheMinute();
  const forged = { 'x-forwarded-for': '203.0.113.9', 'x-real-ip': '203.0.113.9', forwarded: 'for=203.0.113.9', 'true-client-ip': '203.0.113.9', 'cf-connecting-ip': '203.0.113.9' };
  for (let i = 0; i < 2; i++) await send('GET /api/v1/products', { headers: forged });
  assertTooMany(await send('GET /api/v1/products', { headers: { ...forged, 'x-forwarded-for': '198.51.100.7, 203.0.113.9' } }), 60);
  const { headers } = backend.seen.at(-1);
  assert.equal(headers['x-forwarded-for'], '127.0.0.1');
  assert.deepEqual([headers['x-real-ip'], headers.forwarded], [undefined, undefined]);
});

test('a client without a token, or with bad ones, is counted too', { timeout: 60_000 }, async (t) => {
  const { send } = await edge(t, 'order.client.minute=3');
  await roomInTheMinute();
  for (let i = 0; i < 3; i++) assert.equal((await send('POST /api/v1/orders', { token: i ? 'rubbish' : undefined })).status, 401);
  assertTooMany(await send('POST /api/v1/orders', { token: 'rubbish' }), 60);
});

test('a forged token does not use up an account\'s share', { timeout: 60_000 }, async (t) => {
  const { send } = await edge(t, 'order.account.minute=2');
  await roomInTheMinute();
  const good = await buyerToken(uuid7());
  for (let i = 0; i < 5; i++) assert.equal((await send('POST /api/v1/orders', { token: good.replace(/[^.]{8}$/, 'AAAAAAAA') })).status, 401);
  assert.equal((await send('POST /api/v1/orders', { token: good })).status, 200);
});

test('after the window of a second the client may come again', { timeout: 60_000 }, async (t) => {
  const { send } = await edge(t, 'read.client.second=1');
  const refused = await until(async () => {
    const answer = await send('GET /api/v1/products');
    return answer.status === 429 && answer;
  }, { within: 20_000, what: 'a refusal' });
  assertTooMany(refused, 1);
  await until(async () => (await send('GET /api/v1/products')).status === 200, { within: 5000, what: 'the next second' });
});

test('the same client over TLS and over plain HTTP is one', { timeout: 60_000 }, async (t) => {
  const { send, gateway } = await edge(t, 'read.client.minute=2');
  await roomInTheMinute();
  assert.equal((await send('GET /api/v1/products')).status, 200);
  assert.equal((await send('GET /api/v1/products', { base: gateway.tls })).status, 200);
  assertTooMany(await send('GET /api/v1/products'), 60);
  assertTooMany(await send('GET /api/v1/products', { base: gateway.tls.replace('localhost', '127.0.0.1') }), 60);
});

test('with the numbers of production one account places five orders a second', { timeout: 60_000 }, async (t) => {
  const { send } = await edge(t, 'production');
  await roomInTheMinute();
  const token = await buyerToken(uuid7());
  const statuses = await Promise.all(Array.from({ length: 40 }, () => send('POST /api/v1/orders', { token }).then(({ status }) => status)));
  const taken = statuses.filter((status) => status === 200).length;
  assert.ok(taken >= 5 && taken <= 30, `${taken} taken`); // five in each second that it took
  assert.equal(statuses.filter((status) => status === 429).length, 40 - taken);
});

test('sign-in is limited by client, only what tries something counts, and no local number replaces the real one', { timeout: 120_000 }, async (t) => {
  const backend = await openStandIn(t, (request, response) => answerJson(response, {}));
  const { tls } = await openGateway(t, { IDENTITY_PORT: backend.port, GATEWAY_LIMITS: 'sign-in.client.minute=3' });
  const send = (line, from = '127.0.0.1') => ask(line, { base: tls, from, body: line.startsWith('POST') ? 'a=b' : undefined });
  await roomInTheMinute();
  for (let i = 0; i < 3; i++) assert.equal((await send('POST /auth/interaction/x/login')).status, 200);
  assertTooMany(await send('POST /auth/interaction/x/login'), 60);
  assertTooMany(await send('POST /auth/token'), 60);
  assert.equal((await send('GET /auth/interaction/x')).status, 200);
  assert.equal((await send('POST /auth/token', '127.0.0.9')).status, 200);
  const { limits } = JSON.parse(readFileSync(join(ROOT, 'deploy/gateway/policy.json'), 'utf8'));
  assert.equal(limits['sign-in'].local, undefined);
  assert.ok(limits['sign-in'].client.second <= 20 && limits['sign-in'].client.minute <= 300);
});

test('a limit that is not understood ends the start', async (t) => {
  for (const wrong of ['order.account.second=fast', 'orders.account.second=1', 'order.account.hour=1']) {
    await assert.rejects(edge(t, wrong), /GATEWAY_LIMITS/, wrong);
  }
});
