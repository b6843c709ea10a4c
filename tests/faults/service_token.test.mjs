// SPDX-License-Identifier: Apache-2.0
// OrderManager's own token is not accepted by FruitCatalog any more: that is the shop's trouble and no buyer's, who must not be told to sign
// in again. Runs alone: nobody could order meanwhile.

import assert from 'node:assert/strict';
import { readFileSync, renameSync, writeFileSync } from 'node:fs';
import { after, before, test } from 'node:test';

import { assertProblem } from '../lib/http.mjs';
import { shop } from '../lib/shop.mjs';
import { environmentOf } from '../lib/stack.mjs';
import { until } from '../lib/until.mjs';

const file = environmentOf('order-manager').SERVICE_TOKEN_FILE;
const token = readFileSync(file, 'utf8');

function put(text) {
  writeFileSync(`${file}.new`, text, { mode: 0o600 });
  renameSync(`${file}.new`, file);
}

let world;
before(async () => {
  world = await shop({ stock: 100_000 });
});
after(async () => {
  put(token);
  await until(async () => (await world.buyer.order(world.sku)).status === 201, { within: 15_000, what: 'orders to be taken again' });
});

test('an order while OrderManager shows a bad token: 503', { timeout: 60_000 }, async () => {
  put('no.such.token\n');
  const answer = await until(async () => {
    const one = await world.buyer.order(world.sku);
    return one.status !== 201 && one;
  }, { within: 15_000, what: 'the bad token to be used' });
  assertProblem(answer, 503, 'service_unavailable');
  assert.match(answer.headers.get('retry-after') ?? '', /^[1-9]\d*$/);
});
