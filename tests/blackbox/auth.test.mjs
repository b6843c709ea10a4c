// SPDX-License-Identifier: Apache-2.0
// Who may come in: tokens that are missing, forged, stale or for somebody else are refused by every service, over REST and gRPC, by the
// same rules; scopes decide what the others may do.

import assert from 'node:assert/strict';
import { after, test } from 'node:test';

import { closeClients, grpc, rpc } from '../lib/grpc.mjs';
import { assertProblem, call } from '../lib/http.mjs';
import { uuid7 } from '../lib/ids.mjs';
import { operations } from '../lib/openapi.mjs';
import { SERVICES, service } from '../lib/stack.mjs';
import { claimsOf, publicPem, sign, signingKey, strangersKey, token } from '../lib/tokens.mjs';

after(closeClients);

const encode = (value) => Buffer.from(typeof value === 'string' ? value : JSON.stringify(value)).toString('base64url');
const now = () => Math.floor(Date.now() / 1000);

// Everything is right in these but the one thing named.
const FORGERIES = [
  { name: 'another key under our kid', make: async (claims) => sign(claims, {}, strangersKey()) },
  { name: 'a changed payload', make: async (claims) => replacePart(await sign(claims), 1, encode({ ...claims, scope: `${claims.scope} admin internal` })) },
  { name: 'no signature', make: async (claims) => replacePart(await sign(claims), 2, '') },
  { name: 'padding where none can be', make: async (claims) => replacePart(await sign(claims), 2, 'B=cHBwcH') },
  { name: 'alg none', make: async (claims) => `${encode({ alg: 'none', kid: (await signingKey()).kid, typ: 'at+jwt' })}.${encode(claims)}.` },
  { name: 'alg None with a signature', make: async (claims) => replacePart(await sign(claims), 0, encode({ alg: 'None', kid: (await signingKey()).kid, typ: 'at+jwt' })) },
  { name: 'HS256 with the public key as secret', make: async (claims) => sign(claims, { alg: 'HS256' }, new TextEncoder().encode(await publicPem())) },
  { name: 'HS256 with an empty secret', make: async (claims) => `${encode({ alg: 'HS256', kid: (await signingKey()).kid, typ: 'at+jwt' })}.${encode(claims)}.${encode('x')}` },
  { name: 'an unknown kid', make: async (claims) => sign(claims, { kid: 'nobody' }) },
  { name: 'a kid that looks like a path', make: async (claims) => sign(claims, { kid: '../../etc/passwd' }) },
  { name: 'no kid', make: async (claims) => sign(claims, { kid: undefined }) },
  { name: 'a key of its own in the header', make: async (claims) => sign(claims, { kid: undefined, jwk: strangersKey().export({ format: 'jwk' }) }, strangersKey()) },
  { name: 'an exp that has passed', make: async (claims) => sign({ ...claims, iat: now() - 7200, exp: now() - 3600 }) },
  { name: 'no exp', make: async (claims) => sign({ ...claims, exp: undefined }) },
  { name: 'an nbf far ahead', make: async (claims) => sign({ ...claims, nbf: now() + 3600 }) },
  { name: 'another audience', make: async (claims) => sign({ ...claims, aud: 'somebody-else' }) },
  { name: 'no audience', make: async (claims) => sign({ ...claims, aud: undefined }) },
  { name: 'another issuer', make: async (claims) => sign({ ...claims, iss: 'https://evil.example' }) },
  { name: 'an ID token by typ', make: async (claims) => sign(claims, { typ: 'JWT' }), isTolerated: true },
  { name: 'no sub', make: async (claims) => sign({ ...claims, sub: undefined }) },
  { name: 'rubbish', make: async () => 'rubbish' },
  { name: 'four parts', make: async (claims) => `${await sign(claims)}.x` },
  { name: 'a token of 16 kB', make: async (claims) => `${(await sign({ ...claims, note: 'a'.repeat(12_000) }))}`, isTolerated: true },
];

function replacePart(jwt, index, part) {
  const parts = jwt.split('.');
  parts[index] = part;
  return parts.join('.');
}

// One operation of each service that needs a token, with a scope that an operator has.
const guarded = { 'fruit-catalog': () => `GET /api/v1/skus/${uuid7()}/stock-ledger`, 'order-manager': () => 'GET /api/v1/orders', 'delivery-mock': () => 'GET /api/v1/simulation' };
const guardedRpc = {
  'fruit-catalog': ['GetSkus', () => ({ skuIds: [uuid7()] })],
  'order-manager': ['GetOrder', () => ({ orderId: uuid7() })],
  'delivery-mock': ['GetDeliveries', () => ({ orderIds: [uuid7()] })],
};
const everyScope = { role: 'operator', scope: 'admin catalog:write orders:read orders:write deliveries:write internal' };

for (const name of SERVICES) {
  const [method, request] = guardedRpc[name];

  test(`${name} takes a good token over REST and gRPC`, async () => {
    const good = await token(everyScope);
    const rest = await call(guarded[name](), { base: service(name).http, token: good });
    assert.ok([200, 404].includes(rest.status), rest.text);
    const answer = await rpc(name, method, request(), good);
    assert.ok([grpc.status.OK, grpc.status.NOT_FOUND].includes(answer.code), answer.details);
  });

  test(`${name} refuses a call without a token`, async () => {
    const answer = await call(guarded[name](), { base: service(name).http });
    assertProblem(answer, 401, 'unauthenticated');
    assert.match(answer.headers.get('www-authenticate'), /^Bearer\b/);
    assert.equal((await rpc(name, method, request())).code, grpc.status.UNAUTHENTICATED);
  });

  for (const scheme of ['Basic dXNlcjpwYXNz', 'Bearer', 'Bearer ', 'bearer: x', 'Token x']) {
    test(`${name} refuses the authorization "${scheme}"`, async () => {
      const answer = await call(guarded[name](), { base: service(name).http, headers: { authorization: scheme } });
      assertProblem(answer, 401, 'unauthenticated');
    });
  }

  for (const { name: what, make, isTolerated } of FORGERIES) {
    test(`${name} ${isTolerated ? 'does not break on' : 'refuses'} a token with ${what}`, async () => {
      const forged = await make(claimsOf(everyScope));
      const rest = await call(guarded[name](), { base: service(name).http, headers: { authorization: `Bearer ${forged}` } });
      const answer = await rpc(name, method, request(), null, { headers: { authorization: `Bearer ${forged}` } });
      if (isTolerated) {
        assert.ok([200, 401, 404, 431].includes(rest.status), rest.text);
        return;
      }
      assertProblem(rest, 401, 'unauthenticated');
      assert.equal(answer.code, grpc.status.UNAUTHENTICATED, answer.details);
      assert.ok(!rest.text.includes(forged.slice(0, 40)), 'the token is in the answer');
    });
  }
}

// ---- scopes: as the contract's x-scope says, for every operation -----------------------------------------------------------

const fill = (path) => path.replaceAll(/\{sha256\}/g, '0'.repeat(64)).replaceAll(/\{[^}]+\}/g, () => uuid7());

for (const { service: name, method, path, operation, operationId } of operations.filter((row) => row.operation['x-scope'])) {
  const scope = operation['x-scope'];
  const options = (bearer) => ({ base: service(name).http, token: bearer, ...(operation.requestBody ? { json: {} } : {}) });

  test(`${operationId} needs a token`, async () => {
    assertProblem(await call(`${method} ${fill(path)}`, options(null)), 401, 'unauthenticated');
  });

  test(`${operationId} needs the scope ${scope}`, async () => {
    const others = ['admin', 'catalog:write', 'orders:read', 'orders:write', 'deliveries:write'].filter((one) => one !== scope && !(one === 'admin' && scope === 'catalog:write'));
    const without = await token({ scope: others.filter((one) => one !== 'admin').join(' ') });
    assertProblem(await call(`${method} ${fill(path)}`, options(without)), 403, 'forbidden');
    const lookalike = await token({ scope: `${scope}s x${scope} ${scope.toUpperCase()}` });
    assertProblem(await call(`${method} ${fill(path)}`, options(lookalike)), 403, 'forbidden');
    const withIt = await token({ scope, role: 'operator' });
    assert.notEqual((await call(`${method} ${fill(path)}`, options(withIt))).status, 403);
  });
}

const INTERNAL_RPCS = [
  ['fruit-catalog', 'GetSkus', { skuIds: [uuid7()] }],
  ['fruit-catalog', 'Reserve', { orders: [] }],
  ['fruit-catalog', 'Release', { orderIds: [uuid7()], reason: 'test_reason' }],
  ['order-manager', 'ResolveOrders', { orderIds: [uuid7()] }],
  ['delivery-mock', 'CancelDelivery', { orderId: uuid7(), reason: 'test_reason' }],
];
for (const [name, method, request] of INTERNAL_RPCS) {
  test(`${method} of ${name} is for services only`, async () => {
    for (const role of ['buyer', 'farmer', 'operator']) {
      const answer = await rpc(name, method, request, await token({ role }));
      assert.equal(answer.code, grpc.status.PERMISSION_DENIED, `${role}: ${answer.codeName}`);
    }
  });
}
