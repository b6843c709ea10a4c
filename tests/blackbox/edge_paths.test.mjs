// SPDX-License-Identifier: Apache-2.0
// What no well-behaved client sends: requests that two parsers could read differently, and paths that look like one thing to the gateway
// and another to a service. Nothing of it may reach an admin page, another service, or a protected operation without a token.

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import test from 'node:test';

import { ask } from '../lib/edge.mjs';
import { answerJson, openGateway, openStandIn } from '../lib/gateways.mjs';
import { operations } from '../lib/openapi.mjs';
import { RawConnection } from '../lib/raw.mjs';
import { SERVICES, hostPort, service, stack } from '../lib/stack.mjs';
import { operatorToken } from '../lib/tokens.mjs';

const ADMIN = ['/metrics', '/config', '/requests', '/readyz', '/livez', '/version', '/log-level'];
const BASES = [stack.gateway, stack.gatewayTls];

test('no path leads to an admin page', async (t) => {
  const token = await operatorToken();
  const shapes = (path) => [path, `/api${path}`, `/api/v1${path}`, `/api/v1/products/..${path}`, `/api/v1/products/%2e%2e/%2e%2e/%2e%2e${path}`, `/api/v1/orders/..;${path}`, `/api/v1/products/x%2f..%2f..%2f..${path}`, `/${path}`, `/auth/../${path.slice(1)}`, `/docs/..${path}`, `/docs/openapi/../../..${path}`];
  for (const path of ADMIN) {
    await t.test(path, async () => {
      for (const base of BASES) {
        for (const shape of shapes(path)) {
          const answer = await ask(`GET ${shape}`, { base, headers: { authorization: `Bearer ${token}` } });
          assert.ok([308, 400, 404].includes(answer.status), `${shape}: ${answer.status} ${answer.text.slice(0, 200)}`);
        }
      }
    });
  }
});

test('no path leads out of the documents and pages', async () => {
  for (const base of BASES) {
    for (const path of ['/docs/../stack/env/common.env', '/docs/..%2f..%2fdev', '/docs../keys.mjs', '/docs/swagger-ui../../package.json', '/docs/openapi/..%2f..%2fpackage.json', '/../var/secrets.env', '/.git/config', '/docs/openapi/']) {
      const answer = await ask(`GET ${path}`, { base });
      assert.ok([308, 400, 404].includes(answer.status), `${path}: ${answer.status} ${answer.text.slice(0, 100)}`);
    }
  }
});

// Spellings of a protected path that another parser could take for it, and a public prefix in front.
const TRICKS = ['/api/v1/orders/', '//api/v1/orders', '/api//v1/orders', '/api/v1//orders', '/api/v1/./orders', '/api/v1/products/../orders', '/api/v1/products/%2e%2e/orders', '/api/v1/products/..%2forders',
  '/api/v1/products/..;/orders', '/api/v1/products;/../orders', '/api/v1/orders;x=1', '/api/v1/orders%3b', '/api/v1/%6frders', '/API/v1/orders', '/api/v1/ORDERS', '/api/v1/orders%2f', '/api/v1/orders%20', '/api/v1/orders.',
  '/api/v1/orders%00', '/api/v1/products/%2e%2e%2forders', '/api/v1/farms/x/../../orders', '/api\\v1\\orders', '/api/v1/products\\..\\orders', '/api/v1/orders%0a', '/api/v1/products/%252e%252e/orders'];

test('no spelling of a protected path passes without a token, nor is sent to another service', async (t) => {
  const backend = await openStandIn(t, (request, response) => answerJson(response, {}));
  const ports = Object.fromEntries(['FRUIT_CATALOG', 'ORDER_MANAGER', 'DELIVERY_MOCK'].map((name) => [`${name}_HTTP_PORT`, backend.port]));
  const gateway = await openGateway(t, { INSTANCE_COUNT: 1, ...ports });
  for (const path of TRICKS) {
    await t.test(JSON.stringify(path), async () => {
      const before = backend.seen.length;
      const connection = await RawConnection.open(gateway.plain);
      const answer = await connection.send(`GET ${path} HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n`).answer();
      connection.destroy();
      assert.ok([308, 400, 401, 404].includes(answer.status), `${answer.status} ${answer.text}`);
      if (answer.status === 308) assert.ok(!path.startsWith('/api/'), 'part of the API leads to a page');
      const seen = backend.seen.slice(before).map(({ url }) => url);
      assert.deepEqual(seen, []);
    });
  }
  for (const path of ['/api/v1//products', '//api/v1/products', '/api/v1/./products', '/api/v1/orders/../products', '/api/v1/%70roducts', '/api/v1/products/a%2fb', '/api/v1/products/%61']) {
    await t.test(`${path} is not mended into a public path`, async () => {
      const before = backend.seen.length;
      assert.equal((await ask(`GET ${path}`, { base: gateway.plain })).status, 404);
      assert.equal(backend.seen.length, before);
    });
  }
  await t.test('a question mark ends the path', async () => {
    assert.equal((await ask('GET /api/v1/orders?x=/api/v1/products', { base: gateway.plain })).status, 401);
    assert.equal((await ask('GET /api/v1/products?x=/../orders', { base: gateway.plain })).status, 200);
  });
});

test('every operation that needs a token is refused without one at the edge, with any method and in absolute form', async (t) => {
  const backend = await openStandIn(t, (request, response) => answerJson(response, {}));
  const ports = Object.fromEntries(['FRUIT_CATALOG', 'ORDER_MANAGER', 'DELIVERY_MOCK'].map((name) => [`${name}_HTTP_PORT`, backend.port]));
  const gateway = await openGateway(t, { INSTANCE_COUNT: 1, ...ports });
  for (const { method, path, operation, operationId } of operations) {
    const target = path.replaceAll(/\{[^}]+\}/g, '018f0000-0000-7000-8000-000000000001');
    const status = async (line) => (await ask(line, { base: gateway.plain })).status;
    const wanted = operation.security.length ? 401 : 200;
    assert.equal(await status(`${method} ${target}`), wanted, operationId);
    assert.equal(await status(`${method} http://gateway.example${target}`), wanted, `${operationId} in absolute form`);
    if (method === 'GET') assert.equal(await status(`HEAD ${target}`), wanted, `HEAD of ${operationId}`);
  }
  for (const method of ['DELETE', 'TRACE', 'PROPFIND', 'FOO']) {
    const connection = await RawConnection.open(gateway.plain);
    const answer = await connection.send(`${method} /api/v1/orders HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n`).answer();
    connection.destroy();
    assert.ok([400, 405].includes(answer.status), `${method}: ${answer.status}`);
  }
  assert.ok(backend.seen.every(({ method }) => ['GET', 'HEAD'].includes(method)));
  const overridden = await ask('GET /api/v1/products', { base: gateway.plain, headers: { 'x-http-method-override': 'DELETE', 'x-original-url': '/api/v1/orders', 'x-rewrite-url': '/metrics' } });
  assert.equal(overridden.status, 200); // and the services know none of these
});

const SMUGGLED = 'GET /metrics HTTP/1.1\r\nhost: a\r\n\r\n';
const FRAMINGS = [
  ['two lengths', `content-length: 5\r\ncontent-length: ${SMUGGLED.length}\r\n\r\n`],
  ['length and chunks', 'content-length: 4\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n'],
  ['chunks and length', 'transfer-encoding: chunked\r\ncontent-length: 4\r\n\r\n0\r\n\r\n'],
  ['two transfer encodings', 'transfer-encoding: chunked\r\ntransfer-encoding: identity\r\n\r\n0\r\n\r\n'],
  ['a list of encodings', 'transfer-encoding: chunked, identity\r\n\r\n0\r\n\r\n'],
  ['an unknown encoding', 'transfer-encoding: xchunked\r\n\r\n0\r\n\r\n'],
  ['a space before the colon', 'content-length : 5\r\n\r\n'],
  ['a folded header', 'content-length: 5\r\n 0\r\n\r\n'],
  ['a sign in the length', 'content-length: +5\r\n\r\n'],
  ['a hexadecimal length', 'content-length: 0x5\r\n\r\n'],
  ['a negative length', 'content-length: -1\r\n\r\n'],
  ['a list of lengths', 'content-length: 5, 5\r\n\r\n'],
  ['a chunk size that is none', 'transfer-encoding: chunked\r\n\r\nzz\r\n\r\n'],
  ['an endless chunk', 'transfer-encoding: chunked\r\n\r\nffffffffffffffff\r\n\r\n'],
  ['a NUL in a header', 'x-a: b\0c\r\ncontent-length: 0\r\n\r\n'],
];

test('a request that two parsers could read differently is refused, and what hides behind it is not answered', async (t) => {
  const token = await operatorToken();
  for (const [name, rest] of FRAMINGS) {
    await t.test(name, async () => {
      const connection = await RawConnection.open(stack.gateway);
      connection.send(`POST /api/v1/orders HTTP/1.1\r\nhost: a\r\nauthorization: Bearer ${token}\r\ncontent-type: application/json\r\nidempotency-key: smuggle-1\r\n${rest}${SMUGGLED}`);
      const answer = await connection.answer({ timeout: 40_000 });
      assert.ok([400, 411, 413, 501].includes(answer.status), `${answer.status} ${answer.text}`);
      await connection.closes(10_000);
      assert.ok(!/# HELP|process_/.test(connection.unread.toString('latin1')));
      connection.destroy();
    });
  }
});

test('the body of a refused request is not taken for the next one', async () => {
  const body = 'GET /api/v1/farms HTTP/1.1\r\nhost: a\r\n\r\n';
  for (const framing of [`content-length: ${body.length}\r\n\r\n${body}`, `transfer-encoding: chunked\r\n\r\n${body.length.toString(16)}\r\n${body}\r\n0\r\n\r\n`]) {
    const connection = await RawConnection.open(stack.gateway);
    connection.send(`POST /api/v1/orders HTTP/1.1\r\nhost: a\r\n${framing}`);
    assert.equal((await connection.answer()).status, 401);
    connection.send('GET /api/v1/nowhere HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n');
    assert.equal((await connection.answer()).status, 404); // and not the 200 of what the body says
    assert.ok(await connection.closes());
    connection.destroy();
  }
});

test('a header with an underscore is not passed on in place of the real one', async (t) => {
  const backend = await openStandIn(t, (request, response) => answerJson(response, {}));
  const gateway = await openGateway(t, { INSTANCE_COUNT: 1, FRUIT_CATALOG_HTTP_PORT: backend.port });
  const connection = await RawConnection.open(gateway.plain);
  const answer = await connection.send('GET /api/v1/products HTTP/1.1\r\nhost: a\r\ncontent_length: 7\r\nx_forwarded_for: 1.2.3.4\r\nconnection: close\r\n\r\n').answer();
  connection.destroy();
  assert.equal(answer.status, 200);
  assert.ok(!backend.seen[0].rawHeaders.some((name) => name.includes('_')));
});

test('services and identity listen on the loopback alone', () => {
  const listening = execFileSync('ss', ['-Htln'], { encoding: 'utf8' }).trim().split('\n').map((line) => line.split(/\s+/)[3]);
  const own = [...SERVICES.flatMap((name) => Object.values(service(name)).filter((value) => typeof value === 'string')), stack.identity.http, stack.identity.admin, stack.gateway, stack.gatewayTls];
  for (const address of own) {
    const { port } = hostPort(address);
    const found = listening.filter((one) => one.endsWith(`:${port}`));
    assert.ok(found.length > 0, `nobody listens at ${address}`);
    for (const one of found) assert.match(one, /^(127\.0\.0\.1|\[::1\]):/, `${address} listens at ${one}`);
  }
});
