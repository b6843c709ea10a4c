// SPDX-License-Identifier: Apache-2.0
// The issuer's key set by URL, as each service reads it: alive without keys, ready with them; a rotation costs nobody a request; unknown
// kids cost the issuer little; while the issuer is away the last good keys serve.

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { guest } from '../lib/guest.mjs';
import { call } from '../lib/http.mjs';
import { uuid7 } from '../lib/ids.mjs';
import { Issuer, makeKey } from '../lib/issuer.mjs';
import { SERVICES } from '../lib/stack.mjs';
import { timed, until } from '../lib/until.mjs';

const ASK_MS = 2000; // auth_keys.c: how often a URL is read because somebody asks
const GUARDED = { 'fruit-catalog': () => `GET /api/v1/skus/${uuid7()}/stock-ledger`, 'order-manager': () => 'GET /api/v1/orders', 'delivery-mock': () => 'GET /api/v1/simulation' };
const isIn = ({ status }) => [200, 404].includes(status);

async function issuerOf(t, port) {
  const issuer = await new Issuer().start(port);
  t.after(() => issuer.stop());
  return issuer;
}
const settings = (issuer) => ({ JWT_JWKS: issuer.jwksUrl, JWT_ISSUER: issuer.url });
const ask = (name, at, token) => call(GUARDED[name](), { base: at.http, token });

for (const name of SERVICES) {
  test(`${name} without keys is alive, not ready and judges no token; with keys it is ready`, async (t) => {
    const issuer = await issuerOf(t);
    issuer.mode = '500';
    const at = await guest(t, name, settings(issuer));
    assert.ok(await at.isAlive());
    const { status, body } = await at.readyz();
    assert.equal(status, 503);
    assert.equal(JSON.stringify(body).includes('"keys"'), true, JSON.stringify(body));
    assert.equal((await ask(name, at, await issuer.sign())).status, 503);
    assert.equal((await call(GUARDED[name](), { base: at.http })).status, 401);
    issuer.mode = 'good';
    await until(async () => (await at.readyz()).status === 200, { within: 30_000, what: 'readiness' });
    assert.ok(isIn(await ask(name, at, await issuer.sign())));
  });

  test(`${name} takes RS256 and ES256 of the same issuer, and no key of another kind`, async (t) => {
    const issuer = await issuerOf(t);
    issuer.keys.push(makeKey('ES256'));
    const at = await guest(t, name, settings(issuer));
    for (const key of issuer.keys) assert.ok(isIn(await ask(name, at, await issuer.sign({ key }))), key.alg);
  });

  test(`${name}: 200 unknown kids cost the issuer a handful of reads, and a good token nothing`, async (t) => {
    const issuer = await issuerOf(t);
    const at = await guest(t, name, settings(issuer));
    const good = await issuer.sign();
    assert.ok(isIn(await ask(name, at, good)));
    const stranger = makeKey();
    const before = issuer.reads;
    const forged = await Promise.all(Array.from({ length: 200 }, () => issuer.sign({ key: { ...stranger, kid: uuid7() } })));
    const { value: answers, ms } = await timed(async () => {
      const all = [];
      for (let i = 0; i < forged.length; i += 50) {
        all.push(...(await Promise.all(forged.slice(i, i + 50).map((token) => ask(name, at, token)))));
        assert.ok(isIn(await ask(name, at, good)), 'a good token between the forged ones');
      }
      return all;
    });
    assert.deepEqual([...new Set(answers.map(({ status }) => status))], [401]);
    assert.equal(answers[0].json.errors[0].code, 'unknown_key');
    const reads = issuer.reads - before;
    assert.ok(reads >= 1 && reads <= 2 + Math.ceil(ms / ASK_MS), `${reads} reads in ${ms} ms`);
  });

  test(`${name}: keys rotate under load without one failed request`, { timeout: 120_000 }, async (t) => {
    const issuer = await issuerOf(t);
    const at = await guest(t, name, settings(issuer));
    const seen = {};
    let isOver = false;
    const clients = Array.from({ length: 16 }, async () => {
      while (!isOver) {
        const { status } = await ask(name, at, await issuer.sign());
        seen[status] = (seen[status] ?? 0) + 1;
      }
    });
    for (let i = 0; i < 3; i += 1) {
      const before = Object.values(seen).reduce((sum, n) => sum + n, 0);
      issuer.keys = [makeKey(i % 2 ? 'RS256' : 'ES256'), ...issuer.keys]; // the old ones stay published while their tokens live
      await until(() => Object.values(seen).reduce((sum, n) => sum + n, 0) > before + 50, { within: 30_000, what: 'requests with the new key' });
    }
    isOver = true;
    await Promise.all(clients);
    assert.deepEqual(Object.keys(seen).filter((status) => !['200', '404'].includes(status)), [], JSON.stringify(seen));
  });

  for (const mode of ['500', 'hang', 'garbage', 'redirect']) {
    test(`${name}: while the key set answers "${mode}", the last good keys serve and the service stays ready`, async (t) => {
      const issuer = await issuerOf(t);
      const at = await guest(t, name, settings(issuer));
      const known = await issuer.sign();
      assert.ok(isIn(await ask(name, at, known)));
      issuer.mode = mode;
      const failed = () => at.metric('auth_keys_reads_total{outcome="failed"}');
      const unknown = await issuer.sign({ key: makeKey() });
      await until(async () => {
        assert.equal((await ask(name, at, unknown)).status, 401);
        return (await failed()) > 0;
      }, { within: 30_000, what: 'a failed reading' });
      assert.ok(isIn(await ask(name, at, known)));
      assert.ok(isIn(await ask(name, at, await issuer.sign())), 'a new token of the known key');
      assert.equal((await at.readyz()).status, 200);
      issuer.keys.unshift(makeKey());
      issuer.mode = 'good';
      await until(async () => isIn(await ask(name, at, await issuer.sign())), { within: 60_000, what: 'the new key after the issuer is back' });
    });
  }

  test(`${name}: a key that is withdrawn is refused when the set is read again`, async (t) => {
    const issuer = await issuerOf(t);
    const at = await guest(t, name, settings(issuer));
    const withdrawn = await issuer.sign();
    assert.ok(isIn(await ask(name, at, withdrawn)));
    issuer.keys = [makeKey()];
    await until(async () => isIn(await ask(name, at, await issuer.sign())), { within: 30_000, what: 'the new key' });
    assert.equal((await ask(name, at, withdrawn)).status, 401, 'it was in the cache');
  });
}
