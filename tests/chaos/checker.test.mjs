// SPDX-License-Identifier: Apache-2.0
// The checker checked: a small world in which every invariant holds, and one lie for each invariant that it must see. Needs no stack.

import assert from 'node:assert/strict';
import { createServer } from 'node:net';
import { test } from 'node:test';

import { shape } from './database.mjs';
import { repeat } from './events.mjs';
import { readFacts } from './facts.mjs';
import { INVARIANTS, judge } from './invariants/all.mjs';
import { Random } from './random.mjs';
import { makeSchedule } from './schedule.mjs';

const [KEPT, SENT, CANCELLED, LOST] = ['o-kept', 'o-sent', 'o-cancelled', 'o-lost'];
const MARKER = `chaos-poison-${'0'.repeat(8)}-0000-0000-0000-${'0'.repeat(12)}`;

let n = 0;
const attempt = (call, done) => {
  n += 1;
  return [{ kind: 'call', n, at: n, ...call }, { kind: 'done', n, op: call.op, at: n + 0.5, ...done }];
};
const place = (key, orderId, result, more = {}) =>
  attempt({ op: 'place', key, buyer: 'b1', lines: [['s1', 2]], to: 'order-manager', via: 'rest' }, result === 'ok' ? { result, orderId, orderNo: `no-${orderId}`, totalKrw: 100, lines: [['s1', 2]], sha: `sha-${orderId}`, ...more } : { result });

// Three orders: one with its delivery ready, one sent by hand, one cancelled; one that was reserved and never stored; one refused.
function truth() {
  n = 0;
  const rows = [
    { kind: 'run' },
    { kind: 'sku', skuId: 's1', initial: 20, perBuyerLimit: 4 },
    { kind: 'sku', skuId: 's2', initial: 0 },
    ...place('k-kept', KEPT, 'unknown'), ...place('k-kept', KEPT, 'ok'),
    ...place('k-sent', SENT, 'ok'), ...place('k-cancelled', CANCELLED, 'ok'), ...place('k-lost', LOST, 'unknown'), ...place('k-refused', null, 'refused'),
    ...attempt({ op: 'adjust', skuId: 's1', delta: 3, reason: 'chaos 1' }, { result: 'ok' }),
    ...attempt({ op: 'advance', orderId: SENT, status: 'ON_ROUTE' }, { result: 'ok' }),
    ...attempt({ op: 'cancel', orderId: CANCELLED }, { result: 'ok', orderStatus: 'CANCELLED' }),
    ...attempt({ op: 'cancel', orderId: SENT }, { result: 'refused', code: 'order_not_cancellable' }),
    ...attempt({ op: 'poison', marker: MARKER }, { result: 'ok' }),
    { kind: 'read', n: 90, orderId: SENT, since: 90, at: 91, http: 200, status: 'PREPARING', steps: 2 },
    { kind: 'read', n: 92, orderId: SENT, since: 92, at: 93, http: 200, status: 'SHIPPING', steps: 3 },
  ];
  const order = (order_id, status, delivery_status, delivery_sequence) => ({
    order_id, status, buyer_id: 'b1', key: order_id.replace('o-', 'k-'), order_no: `no-${order_id}`, total_krw: 100, sha: `sha-${order_id}`, delivery_status, delivery_sequence,
  });
  const steps = (order_id, ...statuses) => statuses.map((status, i) => ({ order_id, seq: i + 1, status }));
  const tracks = (order_id, ...types) => types.map(([type, status], i) => ({ order_id, sequence: i + 1, type, status }));
  const move = (id, kind, delta, available_after, order_id, reason = '') => ({ sku_id: 's1', id, kind, delta, available_after, reason, order_id });
  const all = [KEPT, SENT, CANCELLED, LOST];
  const db = {
    orders: [order(KEPT, 'PREPARING', 'READY', 1), order(SENT, 'SHIPPING', 'ON_ROUTE', 2), order(CANCELLED, 'CANCELLED', 'READY', 1), { order_id: LOST, status: 'ABORTED', buyer_id: null, key: null }],
    orderLines: [KEPT, SENT, CANCELLED].map((order_id) => ({ order_id, sku_id: 's1', quantity: 2 })),
    timeline: [...steps(KEPT, 'PLACED', 'PREPARING'), ...steps(SENT, 'PLACED', 'PREPARING', 'SHIPPING'), ...steps(CANCELLED, 'PLACED', 'PREPARING', 'CANCELLED')],
    deliveries: [
      { order_id: KEPT, delivery_id: 'd1', status: 'READY', sequence: 1 },
      { order_id: SENT, delivery_id: 'd2', status: 'ON_ROUTE', sequence: 3 },
      { order_id: CANCELLED, delivery_id: 'd3', status: 'CANCELLED', sequence: 2 },
    ],
    tracking: [
      ...tracks(KEPT, ['CREATED', 'READY']),
      ...tracks(SENT, ['CREATED', 'READY'], ['PICKED_UP', 'ON_ROUTE'], ['AT_HUB', 'ON_ROUTE']),
      ...tracks(CANCELLED, ['CREATED', 'READY'], ['CANCELLED', 'CANCELLED']),
    ],
    skus: [{ sku_id: 's1', available: 19 }, { sku_id: 's2', available: 0 }],
    buyers: [{ sku_id: 's1', buyer_id: 'b1', quantity: 4 }],
    ledger: [
      move(1, 'INITIAL', 20, 20, null), move(2, 'RESERVATION', -2, 18, KEPT), move(3, 'RESERVATION', -2, 16, SENT), move(4, 'RESERVATION', -2, 14, CANCELLED), move(5, 'RESERVATION', -2, 12, LOST),
      move(6, 'ADJUSTMENT', 3, 15, null, 'chaos 1'), move(7, 'RELEASE', 2, 17, CANCELLED), move(8, 'RELEASE', 2, 19, LOST),
    ],
    holds: [{ order_id: KEPT, state: 'SOLD' }, { order_id: SENT, state: 'SOLD' }, { order_id: CANCELLED, state: 'RELEASED' }, { order_id: LOST, state: 'RELEASED' }],
    holdLines: all.map((order_id) => ({ order_id, sku_id: 's1', quantity: 2 })),
    unsent: ['catalog', 'orders', 'delivery'].map((schema) => ({ schema, count: 0, first: null })),
    outbox: [{ event_id: 'e1', type: 'order.placed.v1', subject: KEPT }],
    inbox: [{ consumer: 'delivery-mock.order-placed', event_id: 'e1' }],
    cancellations: [{ order_id: CANCELLED, state: 'DONE' }, { order_id: SENT, state: 'REFUSED' }],
    refunds: [{ order_id: CANCELLED, amount_krw: 100 }],
  };
  return { rows, db, broker: { depths: [{ name: 'delivery-mock.order-placed', messages: 0 }], dead: [{ text: MARKER }] } };
}

async function violated(lie) {
  const world = truth();
  lie(world);
  const facts = await readFacts(world.rows);
  return judge({ facts, db: shape(world.db), broker: world.broker }).filter(({ violations }) => violations.length > 0);
}

const drop = (list, isIt) => list.splice(list.findIndex(isIt), 1);
const orderOf = ({ db }, id) => db.orders.find(({ order_id }) => order_id === id);

// invariant, the lie
const LIES = [
  ['acknowledged_stored', (w) => drop(w.db.orders, ({ order_id }) => order_id === KEPT)],
  ['acknowledged_stored', (w) => Object.assign(orderOf(w, KEPT), { status: 'ABORTED' })],
  ['acknowledged_stored', (w) => Object.assign(orderOf(w, KEPT), { key: 'k-other' })],
  ['one_order_per_key', (w) => w.rows.push(...place('k-kept', SENT, 'ok'))],
  ['one_order_per_key', (w) => Object.assign(orderOf(w, SENT), { key: 'k-kept' })],
  ['replies_identical', (w) => w.rows.push(...place('k-kept', KEPT, 'ok', { sha: 'other' }))],
  ['replies_identical', (w) => w.rows.push(...place('k-kept', KEPT, 'ok', { totalKrw: 99 }))],
  ['reply_is_what_was_asked', (w) => w.rows.push(...place('k-kept', KEPT, 'ok', { lines: [['s1', 1]] }))],
  ['order_has_cause', (w) => w.db.orders.push({ ...orderOf(w, KEPT), order_id: 'o-nowhere', key: 'k-nowhere' })],
  ['order_has_cause', (w) => Object.assign(w.db.orderLines[0], { quantity: 1 })],
  ['refused_not_stored', (w) => w.db.orders.push({ ...orderOf(w, KEPT), order_id: 'o-refused', key: 'k-refused' })],
  ['timeline_allowed', (w) => drop(w.db.timeline, ({ order_id, seq }) => order_id === SENT && seq === 2)],
  ['timeline_allowed', (w) => w.db.timeline.push({ order_id: KEPT, seq: 3, status: 'PREPARING' })],
  ['timeline_allowed', (w) => Object.assign(orderOf(w, SENT), { status: 'DELIVERED' })],
  ['reads_monotonic', (w) => w.rows.push({ kind: 'read', n: 95, orderId: SENT, since: 95, at: 96, http: 404 })],
  ['reads_monotonic', (w) => w.rows.push({ kind: 'read', n: 95, orderId: SENT, since: 95, at: 96, http: 200, status: 'PREPARING', steps: 3 })],
  ['stock_conserved', (w) => Object.assign(w.db.skus[0], { available: 20 })],
  ['stock_conserved', (w) => Object.assign(orderOf(w, KEPT), { status: 'CANCELLED' })],
  ['ledger_sums', (w) => Object.assign(w.db.ledger[3], { delta: -1 })],
  ['ledger_sums', (w) => Object.assign(w.db.skus[0], { available: 18 })],
  ['adjustments_once', (w) => drop(w.db.ledger, ({ kind }) => kind === 'ADJUSTMENT')],
  ['adjustments_once', (w) => w.db.ledger.push({ ...w.db.ledger[5], id: 9 })],
  ['adjustments_once', (w) => w.db.ledger.push({ ...w.db.ledger[5], id: 9, reason: 'nobody' })],
  ['holds_settled', (w) => Object.assign(w.db.holds[0], { state: 'HELD' })],
  ['holds_settled', (w) => Object.assign(w.db.holds[3], { state: 'SOLD' })],
  ['holds_settled', (w) => Object.assign(w.db.holdLines[0], { quantity: 1 })],
  ['holds_settled', (w) => drop(w.db.holds, ({ order_id }) => order_id === KEPT)],
  ['stock_returns_once', (w) => w.db.ledger.push({ sku_id: 's1', id: 9, kind: 'RELEASE', delta: 2, available_after: 21, order_id: CANCELLED })],
  ['stock_returns_once', (w) => drop(w.db.ledger, ({ kind, order_id }) => kind === 'RELEASE' && order_id === LOST)],
  ['stock_returns_once', (w) => w.db.ledger.push({ sku_id: 's1', id: 9, kind: 'RESERVATION', delta: -2, available_after: 17, order_id: KEPT })],
  ['buyer_limit_kept', (w) => Object.assign(w.rows[1], { perBuyerLimit: 3 })],
  ['buyers_counted', (w) => Object.assign(w.db.buyers[0], { quantity: 3 })],
  ['buyers_counted', (w) => drop(w.db.buyers, () => true)],
  ['buyers_counted', (w) => w.db.buyers.push({ sku_id: 's1', buyer_id: 'b2', quantity: 1 })],
  ['buyers_counted', (w) => w.db.buyers.push({ sku_id: 's2', buyer_id: 'b1', quantity: 0 })],
  ['one_delivery_per_order', (w) => drop(w.db.deliveries, ({ order_id }) => order_id === KEPT)],
  ['one_delivery_per_order', (w) => Object.assign(w.db.deliveries[2], { status: 'READY' })],
  ['one_delivery_per_order', (w) => w.db.deliveries.push({ order_id: 'o-nowhere', delivery_id: 'd9', status: 'READY', sequence: 1 })],
  ['tracking_gapless', (w) => drop(w.db.tracking, ({ order_id, sequence }) => order_id === SENT && sequence === 2)],
  ['tracking_gapless', (w) => Object.assign(w.db.tracking.at(-1), { status: 'DELIVERED' })],
  ['events_applied', (w) => Object.assign(orderOf(w, KEPT), { delivery_status: null, delivery_sequence: 0 })],
  ['events_applied', (w) => Object.assign(orderOf(w, SENT), { delivery_sequence: 1 })],
  ['advances_kept', (w) => Object.assign(w.db.deliveries[1], { status: 'READY' })],
  ['events_once', (w) => drop(w.db.inbox, () => true)],
  ['events_once', (w) => w.db.inbox.push({ consumer: 'delivery-mock.order-placed', event_id: 'e9' })],
  ['one_refund', (w) => drop(w.db.refunds, () => true)],
  ['one_refund', (w) => w.db.refunds.push({ order_id: CANCELLED, amount_krw: 100 })],
  ['one_refund', (w) => Object.assign(w.db.refunds[0], { amount_krw: 1 })],
  ['cancellations_settled', (w) => Object.assign(w.db.cancellations[0], { state: 'REQUESTED' })],
  ['cancellations_settled', (w) => Object.assign(w.db.cancellations[1], { state: 'DONE' })],
  ['cancellations_settled', (w) => drop(w.db.cancellations, ({ state }) => state === 'DONE')],
  ['cancels_kept', (w) => w.rows.push(...attempt({ op: 'cancel', orderId: KEPT }, { result: 'ok' }))],
  ['cancels_kept', (w) => w.rows.push(...attempt({ op: 'cancel', orderId: CANCELLED }, { result: 'refused', code: 'order_not_cancellable' }))],
  ['outbox_drained', (w) => Object.assign(w.db.unsent[1], { count: 1, first: 7 })],
  ['queues_empty', (w) => Object.assign(w.broker.depths[0], { messages: 1 })],
  ['dead_letters_exact', (w) => w.broker.dead.push({ text: '{"id":"e1","type":"order.placed.v1"}', queue: 'delivery-mock.order-placed', reason: 'delivery_limit' })],
  ['dead_letters_exact', (w) => w.broker.dead.push({ text: MARKER })],
  ['dead_letters_exact', (w) => w.broker.dead.pop()],
];

test('the truth breaks no invariant', async () => {
  assert.deepEqual(await violated(() => {}), []);
});

for (const [i, [invariant, lie]] of LIES.entries()) {
  test(`lie ${i + 1} breaks ${invariant}`, async () => {
    const found = await violated(lie);
    assert.ok(found.some((one) => one.invariant === invariant), `seen: ${found.map((one) => one.invariant)}`);
    for (const { violations } of found) for (const { ids, expected, found: seen } of violations) assert.ok(Object.keys(ids).length > 0 && expected !== undefined && seen !== undefined);
  });
}

test('every invariant has a lie', () => {
  assert.deepEqual(INVARIANTS.map(({ invariant }) => invariant).filter((name) => !LIES.some(([one]) => one === name)), []);
});

test('an attempt without an answer counts as unknown', async () => {
  const [call] = place('k-open', null, 'unknown');
  const { counts, keys } = await readFacts([call]);
  assert.deepEqual([counts.unknown, counts.unanswered, keys.get('k-open').counts.unknown], [1, 1, 1]);
});

test('a seed makes one schedule, another seed another', () => {
  const plan = (seed) => JSON.stringify(makeSchedule({ seed, minutes: 5, instances: 2, only: [] }));
  assert.equal(plan(1), plan(1));
  assert.notEqual(plan(1), plan(2));
});

test('a schedule plans at least 35 kills a minute', () => {
  const kills = makeSchedule({ seed: 3, minutes: 10, instances: 1, only: [] }).filter(({ name }) => ['kill', 'stop-kill', 'backend', 'postmaster', 'postgres', 'rabbitmq'].includes(name));
  assert.ok(kills.length >= 350, `${kills.length} in 10 minutes`);
});

test('random numbers are even', () => {
  const random = new Random(1, 'even');
  const counts = Array.from({ length: 10 }, () => 0);
  for (let i = 0; i < 10_000; i++) counts[random.int(0, 9)] += 1;
  assert.ok(counts.every((count) => count > 850 && count < 1150), counts.join(' '));
});

test('a broker that stops answering is given up', { timeout: 15_000 }, async () => {
  const server = createServer(() => {}).listen(0, '127.0.0.1'); // takes the connection, and says nothing
  await new Promise((resolve) => server.on('listening', resolve));
  const sockets = new Set();
  server.on('connection', (socket) => sockets.add(socket.on('error', () => {})));
  assert.equal(await repeat(`amqp://127.0.0.1:${server.address().port}`, []), false);
  for (const socket of sockets) socket.destroy();
  server.close();
});
