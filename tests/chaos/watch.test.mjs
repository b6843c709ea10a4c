// SPDX-License-Identifier: Apache-2.0
// What counts as in flight, and from when to when a recovery is counted. Needs no stack.

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { Watch } from './watch.mjs';

const ORDERS = { name: 'order-manager', base: 'order-manager' };
const SECOND = { name: 'order-manager-2', base: 'order-manager' };
const CATALOG = { name: 'fruit-catalog', base: 'fruit-catalog' };
const later = () => performance.now() + 1;

test('an open attempt is in flight where it was sent and where it leads, and nowhere after its end', () => {
  const watch = new Watch();
  watch.begin(1, 'place', 'order-manager');
  assert.deepEqual([ORDERS, SECOND, CATALOG, { name: 'postgres', base: 'postgres' }].map((part) => watch.inFlight(part)), [1, 0, 1, 1]);
  watch.end(1);
  assert.equal(watch.inFlight(ORDERS), 0);
});

test('an event on its way is in flight at the broker until it is heard', () => {
  const watch = new Watch();
  watch.leave('o1');
  assert.equal(watch.inFlight({ name: 'rabbitmq', base: 'rabbitmq' }), 1);
  watch.arrive('o1');
  assert.equal(watch.inFlight({ name: 'rabbitmq', base: 'rabbitmq' }), 0);
});

test('only a success of its own, begun after it answered, ends a recovery', () => {
  const watch = new Watch();
  const before = performance.now();
  watch.broken('order-manager');
  watch.healed('order-manager', ORDERS);
  watch.success('place', before - 1, 'order-manager');
  watch.success('place', later(), 'order-manager-2');
  watch.success('read-delivery', later(), 'order-manager');
  assert.deepEqual(watch.unrecovered, ['order-manager']);
  watch.success('place', later(), 'order-manager');
  assert.deepEqual([watch.unrecovered, watch.recoveries.length, watch.recoveries[0].isShadowed], [[], 1, false]);
});

test('a recovery beside another fault is told apart', () => {
  const watch = new Watch();
  watch.broken('postgres');
  watch.broken('order-manager');
  watch.healed('order-manager', ORDERS);
  watch.success('place', later(), 'order-manager');
  assert.equal(watch.recoveries[0].isShadowed, true);
  assert.deepEqual([watch.table.map(({ name, times, slowestMs }) => [name, times, slowestMs]), watch.slowestMs], [[['order-manager', 1, null]], 0]);
});
