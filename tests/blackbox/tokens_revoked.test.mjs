// SPDX-License-Identifier: Apache-2.0
// A session that was revoked, at each service and at the gateway: it gets no new token, and its last one, which nobody can call back
// (docs/adr/0013), is worth nothing once its few minutes are over. Must never wait for them: the same claims are signed with times gone by.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { decodeJwt } from 'jose';

import { READ, closeClients, grpc, rpc } from '../lib/grpc.mjs';
import { call } from '../lib/http.mjs';
import { uuid7 } from '../lib/ids.mjs';
import { refresh, refusalOf, tokensOf } from '../lib/identity.mjs';
import { SERVICES, dev, service, stack } from '../lib/stack.mjs';
import { sign } from '../lib/tokens.mjs';

const LIFE_MAX_S = 300;
const LEEWAY_S = 60;
const REST = { 'fruit-catalog': () => `GET /api/v1/skus/${uuid7()}/stock-ledger`, 'order-manager': () => 'GET /api/v1/orders', 'delivery-mock': () => `GET /api/v1/deliveries/${uuid7()}` };

const ask = (base, line) => async (token) => (await call(line(), { base, token })).status === 401;
const TARGETS = SERVICES.flatMap((name) => [
  { name: `${name} over REST`, isRefused: ask(service(name).http, REST[name]) },
  { name: `${name} by the gateway`, isRefused: ask(stack.gateway, REST[name]) },
  { name: `${name} over gRPC`, isRefused: async (token) => (await rpc(name, READ[name].method, READ[name].request(), token)).code === grpc.status.UNAUTHENTICATED },
]);

let person;
before(async () => {
  person = await tokensOf();
  for (const { name, isRefused } of TARGETS) assert.equal(await isRefused(person.tokens.access_token), false, `${name} while the session lives`);
  await dev(['account', 'end-sessions', person.login]);
});
after(closeClients);

test('revoked session: it gets no new token', async () => {
  assert.equal(await refusalOf(refresh(person.config, person.tokens)), 'invalid_grant');
});

for (const { name, isRefused } of TARGETS) {
  test(`revoked session: its last token ends within minutes at ${name}`, async () => {
    const claims = decodeJwt(person.tokens.access_token);
    const life_s = claims.exp - claims.iat;
    assert.ok(life_s <= LIFE_MAX_S, `it lives ${life_s} s`);
    const ago_s = life_s + LEEWAY_S + 1;
    assert.equal(await isRefused(await sign({ ...claims, iat: claims.iat - ago_s, exp: claims.exp - ago_s })), true);
  });
}
