// SPDX-License-Identifier: Apache-2.0
// The last box, asked for twice at once with one key, as a client does that lost patience: both are the one order. The second must not be
// told that the box is gone, for it is the first that took it.

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { newKey } from '../lib/ids.mjs';
import { count, makeSku, orderBody, shop, stockOf } from '../lib/shop.mjs';

test('two at once with one key for the last box get one order', { timeout: 60_000 }, async () => {
  const { farm, product, buyer } = await shop({ stock: 1 });
  for (let round = 0; round < 15; round += 1) {
    const sku = await makeSku(farm, product, { stock: 1 });
    const key = newKey();
    const body = orderBody(sku);
    const answers = await Promise.all(Array.from({ length: 4 }, () => buyer.send(body, key)));
    assert.deepEqual(count(answers), { 201: 4 }, `round ${round}`);
    assert.equal(new Set(answers.map(({ text }) => text)).size, 1);
    assert.equal(await stockOf(sku), 0);
  }
});
