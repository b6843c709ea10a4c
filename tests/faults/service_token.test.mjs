// SPDX-License-Identifier: Apache-2.0
// OrderManager's own token is not accepted by FruitCatalog any more: that is the shop's trouble and no buyer's, who must not be told to sign
// in again. A token from a file, as a mesh or an agent would bring it, is read again when it changes.

import assert from 'node:assert/strict';
import { mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';

import { guest } from '../lib/guest.mjs';
import { assertProblem, call } from '../lib/http.mjs';
import { newKey } from '../lib/ids.mjs';
import { orderBody, shop } from '../lib/shop.mjs';
import { serviceToken } from '../lib/tokens.mjs';
import { until } from '../lib/until.mjs';

test('an order while OrderManager shows a bad token: 503, and 201 again with a good one', { timeout: 90_000 }, async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'gwasuwon-token-'));
  const file = join(folder, 'token');
  const put = (text) => {
    writeFileSync(`${file}.new`, text, { mode: 0o600 });
    renameSync(`${file}.new`, file);
  };
  put(serviceToken('order-manager'));
  t.after(() => rmSync(folder, { recursive: true }));
  const { sku, buyer } = await shop({ stock: 100_000 });
  const at = await guest(t, 'order-manager', { TOKEN_URL: '', CLIENT_ID: '', CLIENT_SECRET_FILE: '', SERVICE_TOKEN_FILE: file });
  const order = () => call('POST /api/v1/orders', { base: at.http, token: buyer.token, json: orderBody(sku), headers: { 'idempotency-key': newKey() } });
  assert.equal((await order()).status, 201);
  put('no.such.token\n');
  const answer = await until(async () => {
    const one = await order();
    return one.status !== 201 && one;
  }, { within: 15_000, what: 'the bad token to be used' });
  assertProblem(answer, 503, 'service_unavailable');
  assert.match(answer.headers.get('retry-after') ?? '', /^[1-9]\d*$/);
  put(serviceToken('order-manager'));
  await until(async () => (await order()).status === 201, { within: 15_000, what: 'orders to be taken again' });
});
