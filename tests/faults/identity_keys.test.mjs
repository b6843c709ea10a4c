// SPDX-License-Identifier: Apache-2.0
// The signing key changes while people and machines get tokens and use them: not one request fails, and the services take tokens of the
// old key and of the new one.

import assert from 'node:assert/strict';
import { readFileSync, readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { decodeProtectedHeader } from 'jose';

import { ask } from '../lib/edge.mjs';
import { discover, flow, oidc, redeem, refresh, SHOP, tokensOf } from '../lib/identity.mjs';
import { dev, stack } from '../lib/stack.mjs';
import { until } from '../lib/until.mjs';

const keys = join(stack.var, 'keys');
const signing = () => readFileSync(join(keys, 'signing.kid'), 'utf8').trim();
const kidOf = (token) => decodeProtectedHeader(token).kid;

test('keys change under load without one failed request', { timeout: 180_000 }, async (t) => {
  const people = await Promise.all(Array.from({ length: 4 }, () => tokensOf()));
  const secret = readFileSync(join(keys, 'order-manager.secret'), 'utf8').trim();
  const machine = await discover('order-manager', secret);
  let isOver = false;
  const kids = new Map();
  const count = (token) => kids.set(kidOf(token), (kids.get(kidOf(token)) ?? 0) + 1);
  const used = async (token) => {
    count(token);
    const { status, text } = await ask('GET /api/v1/orders', { base: stack.gateway, headers: { Authorization: `Bearer ${token}` } });
    assert.equal(status, 200, text);
  };
  const work = [
    ...people.map(async ({ config, tokens }) => {
      for (let last = tokens; !isOver; await used(last.access_token)) last = await refresh(config, last);
    }),
    (async () => {
      while (!isOver) count((await oidc.clientCredentialsGrant(machine, {})).access_token);
    })(),
    (async () => {
      const { visitor, config } = people[0];
      while (!isOver) {
        const begun = await flow(config);
        await redeem(config, begun, (await visitor.open(begun.url)).leads);
      }
    })(),
  ];
  const all = Promise.all(work);
  all.catch(() => { isOver = true; });
  const turns = 2;
  for (let turn = 0; turn < turns; turn++) {
    const before = signing();
    await dev(['token', '--rotate']);
    assert.notEqual(signing(), before);
    await until(() => isOver || kids.has(signing()), { within: 30_000, what: 'a token of the new key' });
    const began = performance.now();
    await until(() => isOver || performance.now() - began > 11_000, { within: 30_000, what: 'load on the new key' }); // services fetch keys again after 10 s at the earliest
  }
  isOver = true;
  await all;
  t.diagnostic(`tokens by key: ${JSON.stringify(Object.fromEntries(kids))}`);
  assert.equal(kids.size, turns + 1);
});

test('a token of the key before is taken until it runs out, and an old ID token still signs out', async () => {
  const { tokens, visitor, config } = await tokensOf();
  await dev(['token', '--rotate']);
  await until(async () => kidOf((await tokensOf()).tokens.access_token) === signing(), { what: 'the new key in use', within: 15_000 });
  assert.equal((await ask('GET /api/v1/orders', { base: stack.gateway, headers: { Authorization: `Bearer ${tokens.access_token}` } })).status, 200);
  const page = await visitor.open(oidc.buildEndSessionUrl(config, { id_token_hint: tokens.id_token, post_logout_redirect_uri: SHOP }).href);
  assert.equal(page.page.heading, '로그아웃');
});

test('the identity service publishes what the file says, and private keys are the owner\'s alone', async () => {
  const file = JSON.parse(readFileSync(join(keys, 'jwks.json'), 'utf8'));
  const served = await until(async () => {
    const { json } = await ask('GET /auth/jwks.json', { base: stack.identity.http });
    return json.keys.length === file.keys.length && json;
  }, { what: 'the same keys', within: 5000 });
  assert.deepEqual(served, file);
  const pems = readdirSync(keys).filter((name) => name.endsWith('.pem'));
  assert.deepEqual(pems, [`${signing()}.pem`], 'one private key, the one that signs');
  for (const name of [...pems, ...readdirSync(keys).filter((one) => one.endsWith('.secret'))]) assert.equal(statSync(join(keys, name)).mode & 0o077, 0, name);
});
