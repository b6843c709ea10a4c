// SPDX-License-Identifier: Apache-2.0
// The key of personal data changes while the shop is used: no request fails, what was sealed before opens, is sealed anew, and repeats its
// answer byte for byte; an old key goes only when nothing needs it. One after the other, for there is one file of keys.

import assert from 'node:assert/strict';
import { join } from 'node:path';
import { before, test } from 'node:test';

import { rows, value } from '../lib/db.mjs';
import { newKey } from '../lib/ids.mjs';
import { keyIdOf, keysIn, replyOf } from '../lib/personal.mjs';
import { orderBody, recipient, shop } from '../lib/shop.mjs';
import { dev, stack } from '../lib/stack.mjs';
import { until } from '../lib/until.mjs';

const file = join(stack.var, 'keys/personal.keys');
const newest = () => Math.max(...keysIn(file).keys());
const sealedOf = (orderId) => value('SELECT personal FROM orders.orders WHERE order_id = $1', orderId);

let world;
before(async () => {
  world = await shop({ stock: 99_999 });
});

async function place() {
  const [key, body] = [newKey(), orderBody(world.sku, 1, { recipient: recipient({ doorNote: '문 앞' }), giftMessage: '축하' })];
  const answer = await world.buyer.send(body, key);
  assert.equal(answer.status, 201, answer.text);
  return { key, body, text: answer.text, orderId: answer.json.orderId };
}

test('a new key takes over while people order; old orders open, repeat their answer, and are sealed anew', { timeout: 180_000 }, async () => {
  const old = newest();
  const first = await place();
  assert.equal(keyIdOf(await sealedOf(first.orderId)), old);
  const placed = [];
  let isOver = false;
  const ordering = (async () => {
    while (!isOver) placed.push(await place());
  })();
  await dev(['personal-keys', 'rotate']);
  isOver = true;
  await ordering;
  const [last, again] = [await place(), await world.buyer.send(first.body, first.key)];
  assert.equal(keyIdOf(await sealedOf(last.orderId)), old + 1);
  assert.equal(again.text, first.text); // its fingerprint is under the old key
  assert.equal((await world.buyer.send({ ...first.body, giftMessage: '다른' }, first.key)).status, 422);
  assert.deepEqual((await world.buyer.detail(first.orderId)).recipient, JSON.parse(first.text).recipient);
  const left = () => value('SELECT count(*) FROM orders.orders WHERE get_byte(personal, 4) <> $1', (old + 1) & 255);
  await until(async () => (await left()) === 0, { within: 120_000, what: 'old orders to be sealed anew' });
  await until(async () => (await value('SELECT is_done FROM orders.personal_rotation')) === true, { within: 60_000, what: 'the last pass' });
  const keys = keysIn(file);
  for (const one of [first, ...placed, last]) {
    const [row] = await rows('SELECT order_id, reply, personal FROM orders.orders WHERE order_id = $1', one.orderId);
    assert.equal(replyOf(keys, row), one.text);
    assert.equal((await world.buyer.send(one.body, one.key)).text, one.text);
  }
});

test('a key that something needs stays; one that nothing needs goes', { timeout: 60_000 }, async () => {
  await assert.rejects(dev(['personal-keys', 'drop', String(newest())]), /current/);
  const [old] = keysIn(file).keys();
  await assert.rejects(dev(['personal-keys', 'drop', String(old)]), /still needed/); // fingerprints of requests
  assert.match((await dev(['personal-keys', 'status'])).stdout, /fingerprints/);
  await rows('UPDATE orders.orders SET idempotency_key = NULL, request_hash = NULL, reply = NULL WHERE get_byte(request_hash, 3) = $1', old & 255);
  await dev(['personal-keys', 'drop', String(old)]);
  assert.ok(!keysIn(file).has(old));
});
