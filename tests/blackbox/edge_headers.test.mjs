// SPDX-License-Identifier: Apache-2.0
// What every answer of the gateway carries, what it grants to nobody, where plain HTTP leads, and how large a request may be.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import test from 'node:test';
import YAML from 'yaml';

import { ask } from '../lib/edge.mjs';
import { answerJson, openGateway, openStandIn } from '../lib/gateways.mjs';
import { checkProblem } from '../lib/openapi.mjs';
import { ROOT, stack } from '../lib/stack.mjs';
import { buyerToken } from '../lib/tokens.mjs';
import { until } from '../lib/until.mjs';

const { headers: WANTED, contentSecurity, strictTransport } = YAML.parse(readFileSync(join(ROOT, 'deploy/gateway/routes.yaml'), 'utf8'));
const HEX = /^[0-9a-f]{32}$/;

// path, status, the policy of its content
const ANSWERS = [
  ['/', 200, 'pages'],
  ['/style.css', 200, 'pages'],
  ['/nowhere', 404, 'api'],
  ['/docs/', 200, 'docs'],
  ['/auth/jwks.json', 200, null],
  ['/auth/nowhere', 404, null],
  ['/api/v1/products', 200, 'api'],
  ['/api/v1/orders', 401, 'api'],
  ['/api/v1/nowhere', 404, 'api'],
  ['/api/v1/products/x', 404, 'api'],
];

for (const [path, status, policy] of ANSWERS) {
  test(`GET ${path} (${status}) carries the security headers`, async () => {
    const answer = await ask(`GET ${path}`);
    assert.equal(answer.status, status, answer.text.slice(0, 200));
    for (const [name, value] of Object.entries(WANTED)) {
      if (policy) assert.equal(answer.headers[name.toLowerCase()], value, name); // identity says its own
      assert.equal(answer.rawHeaders.filter((one) => one.toLowerCase() === name.toLowerCase()).length, 1, `${name} stands once`);
    }
    if (policy) assert.equal(answer.headers['content-security-policy'], contentSecurity[policy]);
    assert.ok(answer.headers['content-security-policy'], 'no policy');
    assert.doesNotMatch(answer.headers.server ?? '', /\d/, 'names its version');
    assert.equal(answer.headers['x-powered-by'], undefined);
    assert.match(answer.headers['x-request-id'], HEX);
  });
}

test('no policy allows inline script, eval or another origin\'s script, and no page has any', async () => {
  for (const policy of Object.values(contentSecurity)) {
    const script = /script-src ([^;]+)/.exec(policy)?.[1] ?? /default-src ([^;]+)/.exec(policy)[1];
    assert.match(script, /^'(self|none)'$/);
    assert.match(policy, /frame-ancestors 'none'/);
  }
  for (const path of ['/', '/docs/']) {
    const { text } = await ask(`GET ${path}`);
    assert.doesNotMatch(text, /<script(?![^>]*\bsrc=)[^>]*>|\son[a-z]+=|javascript:|<style|\sstyle=/i, path);
  }
});

test('nothing is granted to another origin', async () => {
  for (const base of [stack.gateway, stack.gatewayTls]) {
    for (const line of ['OPTIONS /api/v1/orders', 'OPTIONS /api/v1/products', 'GET /api/v1/products', 'OPTIONS /', 'GET /auth/jwks.json']) {
      for (const origin of ['https://evil.example', 'null', stack.gatewayTls]) {
        const answer = await ask(line, { base, headers: { origin, 'access-control-request-method': 'POST', 'access-control-request-headers': 'authorization', 'access-control-request-private-network': 'true' } });
        const granted = Object.keys(answer.headers).filter((name) => name.startsWith('access-control-'));
        assert.deepEqual(granted, [], `${line} for ${origin}`);
      }
    }
  }
});

test('a good X-Correlation-Id is passed on and returned, a bad one is replaced, and the request\'s own id is never the caller\'s', async (t) => {
  const backend = await openStandIn(t, (request, response) => answerJson(response, {}));
  const gateway = await openGateway(t, { INSTANCE_COUNT: 1, FRUIT_CATALOG_HTTP_PORT: backend.port });
  const send = (headers) => ask('GET /api/v1/products', { base: gateway.plain, headers });
  for (const id of ['abcdefgh', 'a1.B2_c3-d4', 'x'.repeat(64)]) {
    const answer = await send({ 'x-correlation-id': id, 'x-request-id': 'mine' });
    assert.equal(answer.headers['x-correlation-id'], id);
    assert.equal(backend.seen.at(-1).headers['x-correlation-id'], id);
    assert.match(answer.headers['x-request-id'], HEX);
    assert.equal(backend.seen.at(-1).headers['x-request-id'], answer.headers['x-request-id']);
  }
  for (const id of [undefined, 'short', 'x'.repeat(65), 'with space here', '<script>alert(1)</script>', 'quote"quote"quote', '가나다라마바사아']) {
    const headers = id === undefined ? {} : { 'x-correlation-id': Buffer.from(id).toString('latin1') };
    const answer = await send(headers);
    assert.equal(answer.headers['x-correlation-id'], answer.headers['x-request-id'], id);
    assert.equal(backend.seen.at(-1).headers['x-correlation-id'], answer.headers['x-request-id']);
  }
  const two = await ask('GET /api/v1/products', { base: gateway.plain, headers: ['host', 'a', 'x-correlation-id', 'first-first', 'x-correlation-id', 'second-second'] });
  assert.match(two.headers['x-correlation-id'], /^(first-first|[0-9a-f]{32})$/);
  assert.equal(backend.seen.at(-1).rawHeaders.filter((name) => /^x-correlation-id$/i.test(name)).length, 1);
});

test('Strict-Transport-Security goes over TLS only, and not for names of this machine', async () => {
  const of = async (base, host) => (await ask('GET /api/v1/products', { base, headers: { host }, servername: 'localhost' })).headers['strict-transport-security'];
  assert.equal(await of(stack.gatewayTls, 'shop.gwasuwon.example'), strictTransport);
  for (const host of ['localhost', 'localhost:8443', 'LOCALHOST', 'shop.localhost', '127.0.0.1', '127.0.0.1:8443', '[::1]', '[::1]:8443']) assert.equal(await of(stack.gatewayTls, host), undefined, host);
  assert.equal(await of(stack.gateway, 'shop.gwasuwon.example'), undefined);
});

test('plain HTTP serves REST, documents and public keys, and leads everything else to TLS', async () => {
  for (const [path, status] of [['/api/v1/products', 200], ['/docs/', 200], ['/auth/jwks.json', 200], ['/api/v1/nowhere', 404], ['/api', 404]]) {
    assert.equal((await ask(`GET ${path}`, { base: stack.gateway })).status, status, path);
  }
  for (const line of ['GET /', 'GET /style.css', 'GET /auth/login?x=1', 'POST /auth/token', 'POST /auth/login', 'GET //evil.example/x', 'GET /%0d%0aset-cookie:a=b']) {
    const answer = await ask(line, { base: stack.gateway, headers: { host: 'evil.example' } });
    assert.equal(answer.status, 308, line);
    assert.equal(answer.headers.location, stack.gatewayTls + line.split(' ')[1], line);
    assert.equal(answer.headers['set-cookie'], undefined);
  }
});

test('GATEWAY_PLAIN_API=off leads everything to TLS', async (t) => {
  const gateway = await openGateway(t, { GATEWAY_PLAIN_API: 'off' });
  for (const line of ['GET /api/v1/products?q=1', 'POST /api/v1/orders', 'GET /docs/', 'GET /auth/jwks.json', 'GET /']) {
    const answer = await ask(line, { base: gateway.plain });
    assert.equal(answer.status, 308, line);
    assert.equal(answer.headers.location, gateway.tls + line.split(' ')[1]);
  }
  assert.equal((await ask('GET /api/v1/products', { base: gateway.tls })).status, 200);
});

test('plain HTTP sent to the TLS port is led to TLS', async () => {
  const answer = await ask('GET /docs/', { base: stack.gatewayTls.replace('https', 'http') });
  assert.equal(answer.status, 308);
  assert.equal(answer.headers.location, `${stack.gatewayTls}/docs/`);
});

test('a body larger than its path takes is refused before it is sent on', async (t) => {
  const backend = await openStandIn(t, (request, response) => answerJson(response, {}));
  const ports = Object.fromEntries(['FRUIT_CATALOG', 'ORDER_MANAGER', 'DELIVERY_MOCK'].map((name) => [`${name}_HTTP_PORT`, backend.port]));
  const gateway = await openGateway(t, { INSTANCE_COUNT: 1, ...ports });
  const headers = { authorization: `Bearer ${await buyerToken()}`, 'content-type': 'application/json' };
  const id = '018f0000-0000-7000-8000-000000000001';
  for (const [line, bytes] of [['POST /api/v1/orders', 262_144], [`POST /api/v1/products/${id}/images`, 6_291_456], [`GET /api/v1/orders/${id}`, 1024]]) {
    const send = (size) => ask(line, { base: gateway.plain, headers: { ...headers, 'content-length': size }, body: Buffer.alloc(size, 'a') });
    assert.equal((await send(bytes)).status, 200, line);
    const passed = backend.seen.length;
    const answer = await send(bytes + 1);
    assert.equal(answer.status, 413, line);
    checkProblem('order-manager', answer.json);
    assert.equal(backend.seen.length, passed);
  }
});

test('a header or an address that is too long is refused as a problem', async () => {
  for (const base of [stack.gateway, stack.gatewayTls]) {
    for (const [status, path, headers] of [[431, '/api/v1/products', { 'x-long': 'a'.repeat(9000) }], [431, '/api/v1/products', Object.fromEntries(Array.from({ length: 60 }, (_, i) => [`x-${i}`, 'a'.repeat(900)]))], [414, `/api/v1/products?q=${'a'.repeat(9000)}`, {}]]) {
      const answer = await ask(`GET ${path}`, { base, headers });
      assert.equal(answer.status, status, answer.text.slice(0, 200));
      checkProblem('fruit-catalog', answer.json);
    }
  }
});

const ID = '018f0000-0000-7000-8000-0000000000b1';
const LOGGED = {
  [`/api/v1/orders/${ID}/cancel?x=1`]: `/api/v1/orders/${ID}/cancel`,
  '/api/v1/orders/hong.gildong': '/api/v1/orders/*',
  '/api/v1/orders/hong%40example.com/cancel': '/api/v1/orders/*',
  '/api/v1/me/01012345678': '/api/v1/me/*',
  '/api/v1/%ED%99%8D%EA%B8%B8%EB%8F%99': '/api/v1/*',
  '/api/hong': '/*',
  '/auth/account/password': '/auth/account/password',
  '/auth/interaction/Fj2xXk_0/signup': '/auth/interaction/*',
  '/docs/swagger-ui.css': '/docs/swagger-ui.css',
  '/hong@example.com': '/*',
  '/': '/',
};

test('the log has no query, token or address of a client, and of a path words that are ours, and ids', async (t) => {
  const gateway = await openGateway(t);
  await ask('GET /api/v1/products?q=secret-wish', { base: gateway.plain, headers: { authorization: 'Bearer eyJsecret', cookie: 'session=secret', 'x-correlation-id': 'known-by-me' } });
  const line = await until(() => gateway.log().find((one) => one.correlation_id === 'known-by-me'), { what: 'the line' });
  assert.deepEqual([line.method, line.path, line.status], ['GET', '/api/v1/products', 401] );
  assert.doesNotMatch(JSON.stringify(line), /secret|eyJ/);
  assert.ok(!('client' in line) && !('remote_addr' in line));
  const cases = Object.entries(LOGGED).map(([path, shown], i) => ({ path, shown, id: `path-of-log-${i}` }));
  await Promise.all(cases.map(({ path, id }) => ask(`GET ${path}`, { base: gateway.plain, headers: { 'x-correlation-id': id } })));
  for (const { path, shown, id } of cases) assert.equal((await until(() => gateway.log().find((one) => one.correlation_id === id), { what: `the line of ${path}` })).path, shown, path);
});
