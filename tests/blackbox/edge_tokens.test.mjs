// SPDX-License-Identifier: Apache-2.0
// The token check at the edge, each case by its name: what is refused never reaches a service, what is public passes, keys rotate while
// requests run, and unknown keys cost the issuer one question a second. Against gateways of the test's own, whose services and
// issuer are stand-ins, so that what was passed on can be counted.

import assert from 'node:assert/strict';
import { generateKeyPairSync, sign as signBytes, createHmac } from 'node:crypto';
import test from 'node:test';
import { SignJWT, exportJWK } from 'jose';

import { ask } from '../lib/edge.mjs';
import { answerJson, openGateway, openStandIn } from '../lib/gateways.mjs';
import { uuid7 } from '../lib/ids.mjs';
import { checkProblem } from '../lib/openapi.mjs';
import { stack } from '../lib/stack.mjs';
import { claimsOf, token } from '../lib/tokens.mjs';
import { until } from '../lib/until.mjs';

const encode = (value) => Buffer.from(typeof value === 'string' ? value : JSON.stringify(value)).toString('base64url');
const now = () => Math.floor(Date.now() / 1000);
const PROTECTED = 'GET /api/v1/orders';
const ES = { namedCurve: 'P-256' };

function makeKey(alg = 'RS256', kid = uuid7()) {
  const pair = alg === 'RS256' ? generateKeyPairSync('rsa', { modulusLength: 2048 }) : generateKeyPairSync('ec', ES);
  return { alg, kid, ...pair, jwk: async () => ({ ...(await exportJWK(pair.publicKey)), kid, alg, use: 'sig' }) };
}

const issue = (key, claims = claimsOf(), header = {}) =>
  new SignJWT(claims).setProtectedHeader({ alg: key.alg, kid: key.kid, typ: 'at+jwt', ...header }).sign(key.privateKey);

// Signs any text, also what a library would not write.
function issueRaw(key, header, payload) {
  const text = `${encode(header)}.${encode(payload)}`;
  return `${text}.${signBytes('sha256', Buffer.from(text), { key: key.privateKey, dsaEncoding: 'ieee-p1363' }).toString('base64url')}`;
}

// A gateway whose issuer publishes `keys`, in front of one stand-in that answers whatever is asked.
async function edge(t, keys, settings = {}) {
  const published = [...keys];
  const issuer = await openStandIn(t, async (request, response) => answerJson(response, { keys: await Promise.all(published.map((key) => key.jwk())) }));
  const backend = await openStandIn(t, (request, response) => answerJson(response, { items: [], nextCursor: null }));
  const ports = Object.fromEntries(['FRUIT_CATALOG', 'ORDER_MANAGER', 'DELIVERY_MOCK'].map((name) => [`${name}_HTTP_PORT`, backend.port]));
  const gateway = await openGateway(t, { GATEWAY_JWKS: `http://127.0.0.1:${issuer.port}/auth/jwks.json`, INSTANCE_COUNT: 1, ...ports, ...settings });
  const send = (token, line = PROTECTED, more = {}) => ask(line, { base: gateway.plain, headers: token === undefined ? {} : { authorization: `Bearer ${token}` }, ...more });
  await until(() => issuer.seen.length >= 2, { what: 'both workers reading the keys' });
  return { gateway, issuer, backend, published, send };
}

function assertRefused(answer, fault) {
  assert.equal(answer.status, 401, answer.text);
  assert.match(answer.headers['content-type'], /^application\/problem\+json/);
  checkProblem('order-manager', answer.json);
  assert.equal(answer.json.code, 'unauthenticated');
  assert.equal(answer.headers['www-authenticate'], fault ? 'Bearer error="invalid_token"' : 'Bearer');
  assert.deepEqual(answer.json.errors.map(({ pointer, code }) => [pointer, code]), fault ? [['Authorization', fault]] : []);
}

// Everything is right in these but the one thing named.
const CASES = [
  { name: 'alg none', fault: 'malformed', make: ({ key, claims }) => `${encode({ alg: 'none', kid: key.kid, typ: 'at+jwt' })}.${encode(claims)}.` },
  { name: 'alg none with a signature', fault: 'algorithm', make: ({ key, claims }) => issueRaw(key, { alg: 'none', kid: key.kid, typ: 'at+jwt' }, claims) },
  { name: 'alg HS256 with the public key as secret', fault: 'algorithm', make: ({ key, claims }) => {
    const text = `${encode({ alg: 'HS256', kid: key.kid, typ: 'at+jwt' })}.${encode(claims)}`;
    return `${text}.${createHmac('sha256', key.publicKey.export({ type: 'spki', format: 'pem' })).update(text).digest('base64url')}`;
  } },
  { name: 'alg ES256 under an RSA key', fault: 'algorithm', make: ({ key, claims }) => issueRaw(key, { alg: 'ES256', kid: key.kid, typ: 'at+jwt' }, claims) },
  { name: 'alg RS512', fault: 'algorithm', make: ({ key, claims }) => issueRaw(key, { alg: 'RS512', kid: key.kid, typ: 'at+jwt' }, claims) },
  { name: 'another key under our kid', fault: 'signature', make: ({ key, claims }) => issue({ ...makeKey(), kid: key.kid }, claims) },
  { name: 'a changed payload', fault: 'signature', make: async ({ key, claims }) => (await issue(key, claims)).replace(/\.[^.]+\./, `.${encode({ ...claims, roles: ['operator'] })}.`) },
  { name: 'a signature cut short', fault: 'signature', make: async ({ key, claims }) => (await issue(key, claims)).slice(0, -8) },
  { name: 'an ES256 signature of zeros', fault: 'signature', make: async ({ ec, claims }) => (await issue(ec, claims)).replace(/[^.]+$/, encode('\0'.repeat(64))) },
  { name: 'an unknown kid', fault: 'unknown_key', make: ({ key, claims }) => issue(key, claims, { kid: 'nobody' }) },
  { name: 'no kid', fault: 'unknown_key', make: ({ key, claims }) => issue(key, claims, { kid: undefined }) },
  { name: 'a key of its own in the header', fault: 'unknown_key', make: async ({ claims }) => { const own = makeKey(); return issue(own, claims, { kid: undefined, jwk: await own.jwk() }); } },
  { name: 'typ JWT', fault: 'type', make: ({ key, claims }) => issue(key, claims, { typ: 'JWT' }) },
  { name: 'a critical extension', fault: 'malformed', make: ({ key, claims }) => issueRaw(key, { alg: 'RS256', kid: key.kid, typ: 'at+jwt', crit: ['exp'] }, claims) },
  { name: 'an exp that has passed', fault: 'expired', make: ({ key, claims }) => issue(key, { ...claims, exp: now() - 3600 }) },
  { name: 'no exp', fault: 'claims', make: ({ key, claims }) => issue(key, { ...claims, exp: undefined }) },
  { name: 'an exp in words', fault: 'claims', make: ({ key, claims }) => issueRaw(key, { alg: 'RS256', kid: key.kid, typ: 'at+jwt' }, { ...claims, exp: 'tomorrow' }) },
  { name: 'an nbf far ahead', fault: 'not_yet_valid', make: ({ key, claims }) => issue(key, { ...claims, nbf: now() + 3600 }) },
  { name: 'another issuer', fault: 'issuer', make: ({ key, claims }) => issue(key, { ...claims, iss: 'https://other.example/realm' }) },
  { name: 'another audience', fault: 'audience', make: ({ key, claims }) => issue(key, { ...claims, aud: 'somebody-else' }) },
  { name: 'no audience', fault: 'audience', make: ({ key, claims }) => issue(key, { ...claims, aud: undefined }) },
  { name: 'no sub', fault: 'claims', make: ({ key, claims }) => issue(key, { ...claims, sub: undefined }) },
  { name: 'a claim that stands twice', fault: 'malformed', make: ({ key, claims }) => issueRaw(key, { alg: 'RS256', kid: key.kid, typ: 'at+jwt' }, JSON.stringify(claims).replace('{', '{"sub":"00000000-0000-7000-8000-000000000001",')) },
  { name: 'a claim that stands twice, once in escapes', fault: 'malformed', make: ({ key, claims }) => issueRaw(key, { alg: 'RS256', kid: key.kid, typ: 'at+jwt' }, JSON.stringify(claims).replace('{', '{"s\\u0075b":"x",')) },
  { name: 'a header name that stands twice', fault: 'malformed', make: ({ key, claims }) => issueRaw(key, JSON.stringify({ alg: 'RS256', kid: key.kid, typ: 'at+jwt' }).replace('{', '{"alg":"none",'), claims) },
  { name: 'rubbish', fault: 'malformed', make: () => 'rubbish' },
  { name: 'four parts', fault: 'malformed', make: async ({ key, claims }) => `${await issue(key, claims)}.x` },
  { name: 'base64 that is not base64url', fault: 'malformed', make: async ({ key, claims }) => `${(await issue(key, claims)).replace('.', '=.')}` },
];

test('the edge judges each token', async (t) => {
  const [key, ec] = [makeKey(), makeKey('ES256')];
  const { send, backend, gateway } = await edge(t, [key, ec]);
  const claims = claimsOf();

  for (const [name, good] of [['RS256', key], ['ES256', ec]]) {
    await t.test(`a good ${name} token passes, the second time from memory`, async () => {
      const token = await issue(good, claims);
      for (let i = 0; i < 4; i++) assert.equal((await send(token)).status, 200);
    });
  }
  await t.test('audience as a list, and typ in full, pass', async () => {
    assert.equal((await send(await issue(key, { ...claims, aud: ['other', 'gwasuwon'] }, { typ: 'application/at+jwt' }))).status, 200);
  });

  const passed = backend.seen.length;
  await t.test('no token is refused', async () => assertRefused(await send(undefined)));
  for (const scheme of ['Basic dXNlcjpwYXNz', 'Bearer', 'Token x']) {
    await t.test(`the authorization "${scheme}" is refused`, async () => assertRefused(await ask(PROTECTED, { base: gateway.plain, headers: { authorization: scheme } })));
  }
  for (const { name, fault, make } of CASES) {
    await t.test(`a token with ${name} is refused`, async () => assertRefused(await send(await make({ key, ec, claims })), fault));
  }
  await t.test('a token of 64 kB is refused by its size', async () => {
    const answer = await send(await issue(key, { ...claims, note: 'a'.repeat(48_000) }));
    assert.equal(answer.status, 431, answer.text);
    checkProblem('order-manager', answer.json);
  });
  await t.test('none of what was refused reached a service', () => assert.equal(backend.seen.length, passed));

  await t.test('a public route passes without a token, and with a bad one', async () => {
    assert.equal((await send(undefined, 'GET /api/v1/products')).status, 200);
    assert.equal((await send('rubbish', 'GET /api/v1/products')).status, 200);
  });
  await t.test('two Authorization headers are refused: which one would the service take?', async () => {
    const token = await issue(key, claims);
    const before = backend.seen.length;
    const answer = await ask(PROTECTED, { base: gateway.plain, headers: ['authorization', `Bearer ${token}`, 'authorization', 'Bearer stolen', 'host', 'a'] });
    assert.equal(answer.status, 400);
    assert.equal(backend.seen.length, before);
  });
  await t.test('no token is in the log', () => {
    const text = JSON.stringify(gateway.log()) + gateway.said();
    assert.ok(!/eyJ|Bearer/.test(text), text.slice(0, 500));
  });
});

test('a token ends at its exp although it was remembered', async (t) => {
  const key = makeKey();
  const { send } = await edge(t, [key]);
  const token = await issue(key, { ...claimsOf(), exp: now() - 57 }); // 60 s of leeway: three are left
  assert.equal((await send(token)).status, 200);
  await until(async () => (await send(token)).status === 401, { within: 6000, what: 'its end' });
  assertRefused(await send(token), 'expired');
});

test('keys rotate under load without one failed request, and a key that is gone is refused', { timeout: 90_000 }, async (t) => {
  const old = makeKey();
  const { send, published, gateway } = await edge(t, [old]);
  const tokens = [await issue(old)];
  const answers = [];
  let isRunning = true;
  const clients = Array.from({ length: 8 }, async () => {
    while (isRunning) answers.push((await send(tokens[Math.floor(Math.random() * tokens.length)])).status);
  });
  for (const alg of ['RS256', 'ES256']) {
    const next = makeKey(alg);
    published.unshift(next); // first published, then used
    tokens.push(await issue(next), await issue(next));
    const before = answers.length;
    await until(() => answers.length > before + 200, { within: 20_000, what: 'requests' });
  }
  isRunning = false;
  await Promise.all(clients);
  assert.deepEqual([...new Set(answers)], [200], gateway.said());

  published.splice(published.indexOf(old), 1);
  await send(await issue(makeKey())); // names a key not seen before: the keys are read again
  await until(async () => (await send(tokens[0])).status === 401, { within: 10_000, what: 'the old key forgotten' });
});

test('a flood of unknown kids asks the issuer once a second and delays nobody else', { timeout: 60_000 }, async (t) => {
  const key = makeKey();
  const { send, issuer } = await edge(t, [key]);
  const good = await issue(key);
  assert.equal((await send(good)).status, 200);
  const [asked, began] = [issuer.seen.length, performance.now()];
  const stranger = makeKey();
  const forged = await Promise.all(Array.from({ length: 300 }, (_, i) => issue(stranger, claimsOf(), { kid: `k${i}` })));
  const flood = Promise.all(forged.map((token) => send(token)));
  const times = [];
  for (let i = 0; i < 20; i++) {
    const from = performance.now();
    assert.equal((await send(good)).status, 200);
    times.push(performance.now() - from);
  }
  for (const answer of await flood) assertRefused(answer, 'unknown_key');
  const seconds = (performance.now() - began) / 1000;
  const WORKERS = 2;
  assert.ok(issuer.seen.length - asked <= WORKERS * (Math.ceil(seconds) + 1), `${issuer.seen.length - asked} questions in ${seconds} s`);
  assert.ok(times.sort((a, b) => a - b)[10] < 500, `median ${times[10]} ms`);
});

test('while the issuer is away the last good keys stay; without any key nothing is let in', async (t) => {
  const key = makeKey();
  let isAway = false;
  const issuer = await openStandIn(t, async (request, response) => (isAway ? answerJson(response, {}, {}, 500) : answerJson(response, { keys: [await key.jwk()] })));
  const backend = await openStandIn(t, (request, response) => answerJson(response, {}));
  const settings = { INSTANCE_COUNT: 1, ORDER_MANAGER_HTTP_PORT: backend.port };
  const known = await openGateway(t, { ...settings, GATEWAY_JWKS: `http://127.0.0.1:${issuer.port}/jwks` });
  const authorization = `Bearer ${await issue(key)}`;
  const send = (gateway, token = authorization) => ask(PROTECTED, { base: gateway.plain, headers: { authorization: token } });
  for (let i = 0; i < 6; i++) assert.equal((await send(known)).status, 200);
  isAway = true;
  assertRefused(await send(known, `Bearer ${await issue(makeKey())}`), 'unknown_key'); // and both workers ask in vain
  for (let i = 0; i < 6; i++) assert.equal((await send(known)).status, 200);

  const blank = await openGateway(t, { ...settings, GATEWAY_JWKS: `http://127.0.0.1:${issuer.port}/jwks` });
  const passed = backend.seen.length;
  const answer = await send(blank);
  assert.equal(answer.status, 503, answer.text);
  assert.equal(answer.headers['retry-after'], '1');
  checkProblem('order-manager', answer.json);
  assert.equal(backend.seen.length, passed);
  isAway = false;
  await until(async () => (await send(blank)).status === 200, { within: 10_000, what: 'the keys' });
});

test('the stack\'s own gateway takes the stack\'s tokens and no others', async () => {
  for (const base of [stack.gateway, stack.gatewayTls]) {
    assert.equal((await ask(PROTECTED, { base, headers: { authorization: `Bearer ${await token({ role: 'buyer' })}` } })).status, 200);
    assertRefused(await ask(PROTECTED, { base, headers: { authorization: `Bearer ${await issue(makeKey())}` } }), 'unknown_key');
  }
});
