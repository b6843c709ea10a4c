// SPDX-License-Identifier: Apache-2.0
// Events that cannot be applied end in the dead letters, alone; ./dev dead-letters lists, shows, sends back and throws away, and loses
// none when it is killed. Runs alone: there is one queue of dead letters.

import assert from 'node:assert/strict';
import { execFile, spawn } from 'node:child_process';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { promisify } from 'node:util';

import { rows, value } from '../lib/db.mjs';
import { cloudEvent, deadLetters, publishEvents } from '../lib/events.mjs';
import { uuid7 } from '../lib/ids.mjs';
import { ROOT, dev, service, stack } from '../lib/stack.mjs';
import { until } from '../lib/until.mjs';

const QUEUE = 'delivery-mock.order-placed';
const placed = (orderId, more = {}) => ({
  orderId,
  orderNo: '20261123-7K3M9Q',
  buyerId: uuid7(),
  totalKrw: 32900,
  lines: [{ skuId: uuid7(), productId: uuid7(), farmId: uuid7(), quantity: 1, unitPriceKrw: 32900, lotId: null }],
  recipientRegion: '06',
  placedAt: new Date().toISOString(),
  ...more,
});
const orderPlaced = (orderId, more) => cloudEvent('order.placed.v1', '/gwasuwon/order-manager', orderId, placed(orderId, more));

const tool = async (...args) => (await dev(['dead-letters', ...args])).stdout;
const list = async () => JSON.parse(await tool('list', '--json'));
const refused = async (...args) => {
  const { code, stderr } = await promisify(execFile)(join(ROOT, 'dev'), ['dead-letters', ...args], { env: { ...process.env, GWASUWON_VAR: stack.var } }).then(() => ({ code: 0 }), (error) => error);
  assert.notEqual(code, 0, args.join(' '));
  return stderr;
};
const letters = (count) => until(async () => {
  const found = await list();
  return found.length === count && found;
}, { within: 20_000, what: `${count} dead letters` });
const deliveries = (ids) => value('SELECT count(*) FROM delivery.deliveries WHERE order_id = ANY($1::uuid[])', ids);

const recorded = (action, ids) => value('SELECT count(*) FROM delivery.audit WHERE action = $1 AND subject = ANY($2::text[])', action, ids);

// A fault of the consumer's that can be mended: its table refuses these orders.
const refuse = (ids) => rows(`ALTER TABLE delivery.deliveries ADD CONSTRAINT refuses CHECK (order_id NOT IN (${ids.map((id) => `'${id}'`)})) NOT VALID`);
const mend = () => rows('ALTER TABLE delivery.deliveries DROP CONSTRAINT IF EXISTS refuses');

before(async () => {
  await tool('discard', '--all');
});
after(mend);

test('what is poisoned ends there, alone, with where it came from; it is shown, and can be thrown away', { timeout: 60_000 }, async () => {
  const good = uuid7();
  const bad = orderPlaced(uuid7(), { lines: [] });
  await publishEvents('order.placed.v1', bad, Buffer.from('\u001b[31mno JSON'), orderPlaced(good));
  const found = await letters(2);
  await until(() => deliveries([good]), { what: 'the good one beside them' });
  for (const letter of found) assert.deepEqual([letter.queue, letter.reason], [QUEUE, 'rejected']);
  const ids = found.map((letter) => letter.id);
  assert.ok(ids.includes(bad.id));
  const nameless = ids.find((id) => id !== bad.id);
  assert.match(nameless, /^sha-[0-9a-f]{16}$/);

  const shown = JSON.parse(await tool('show', bad.id));
  assert.deepEqual(shown.event, bad);
  assert.deepEqual(shown.deaths, [{ queue: QUEUE, reason: 'rejected', count: 1 }]);
  assert.ok(!(await tool('show', nameless)).includes('\u001b'), 'it steers the terminal');
  assert.match(await tool('list'), new RegExp(`${bad.id}.*order\\.placed\\.v1.*${QUEUE}.*rejected`));

  await until(async () => /^dead_letters 2$/m.test(await (await fetch(`${service('order-manager').admin}/metrics`)).text()), { within: 15_000, what: 'the metric' });
  assert.equal((await list()).length, 2, 'looking took some away');
  assert.deepEqual(JSON.parse(await tool('discard', bad.id)).event, bad);
  assert.deepEqual((await list()).map((letter) => letter.id), [nameless]);
  await tool('discard', '--all');
  assert.deepEqual(await list(), []);
  assert.equal(await recorded('dead-letter.discard', ids), 2);
});

test('what its consumer failed on is sent back when the consumer is mended', { timeout: 120_000 }, async () => {
  const ids = Array.from({ length: 3 }, uuid7);
  await refuse(ids);
  await publishEvents('order.placed.v1', ...ids.map((id) => orderPlaced(id)));
  const found = await letters(3);
  assert.equal(await deliveries(ids), 0);
  await tool('replay', found[0].id); // nothing is mended yet: it comes back
  await letters(3);
  await mend();
  await tool('replay', found[0].id);
  await until(async () => (await deliveries(ids)) === 1, { what: 'one delivery' });
  assert.equal((await list()).length, 2);
  await tool('replay', '--all');
  await until(async () => (await deliveries(ids)) === 3, { what: 'all deliveries' });
  assert.equal(await recorded('dead-letter.replay', found.map((letter) => letter.id)), 4); // the first of them twice
  assert.deepEqual(await list(), []);
});

test('a wrong command, an unknown id and a queue that is gone are refused, and change nothing', { timeout: 60_000 }, async () => {
  const bad = orderPlaced(uuid7(), { lines: [] });
  await publishEvents('order.placed.v1', bad);
  await letters(1);
  for (const args of [[], ['look'], ['replay'], ['show', '--all'], ['list', '--all'], ['discard', '--force']]) assert.match(await refused(...args), /사용법/);
  for (const verb of ['show', 'replay', 'discard']) assert.match(await refused(verb, uuid7()), /없습니다/);
  assert.equal((await list()).length, 1);
  await tool('discard', bad.id);
});

test('killed in the middle of a replay it loses nothing', { timeout: 180_000 }, async () => {
  const ids = Array.from({ length: 60 }, uuid7);
  const events = ids.map((id) => orderPlaced(id));
  await refuse(ids);
  await publishEvents('order.placed.v1', ...events);
  await letters(ids.length);
  await mend();
  // Killed soon after it says that the first is on its way: the others are in its hands, the fate of one is unknown. Each time at another
  // moment of its work, for each step takes a part of a millisecond, or some of them.
  for (const laterMs of [0, 1, 2, 3, 4, 5, 7, 9, 11, 14]) {
    const child = spawn(process.execPath, [join(ROOT, 'stack/dead-letters.mjs'), 'replay', '--all'], { env: { ...process.env, RABBITMQ_URI: stack.rabbitmq.amqp, POSTGRES_URI: stack.postgres.uri } });
    const ended = new Promise((resolve) => child.once('exit', (code, signal) => resolve(signal)));
    child.stdout.once('data', () => setTimeout(() => child.kill('SIGKILL'), laterMs));
    assert.equal(await ended, 'SIGKILL');
    await until(async () => {
      const left = new Set((await deadLetters()).map((text) => JSON.parse(text).data.orderId));
      const made = new Set((await rows('SELECT order_id FROM delivery.deliveries WHERE order_id = ANY($1::uuid[])', ids)).map((row) => row.order_id));
      return ids.every((id) => left.has(id) || made.has(id));
    }, { within: 10_000, what: 'each event in the queue or applied' });
  }
  assert.ok((await list()).length > 0, 'it was never killed in the middle');
  await tool('replay', '--all');
  await until(async () => (await deliveries(ids)) === ids.length, { within: 10_000, what: 'all deliveries' });
  assert.deepEqual(await list(), []);
});
