// SPDX-License-Identifier: Apache-2.0
// From a placed order to the door: the delivery made by the order's event, moved by hand and by the clock, watched live over SSE and gRPC,
// and what the order's timeline says of it. All tests that need the simulation's clock stand in this file, because there is one clock.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';

import { rows, value } from '../lib/db.mjs';
import { checkMessage, cloudEvent, deadLetters, listen, publishEvents } from '../lib/events.mjs';
import { client, closeClients, grpc, metadata, rpc } from '../lib/grpc.mjs';
import { assertProblem, call, expectJson, expectProblem } from '../lib/http.mjs';
import { newKey, uuid7 } from '../lib/ids.mjs';
import { Buyer, makeFarm, orderBody, shop } from '../lib/shop.mjs';
import { sse, take } from '../lib/sse.mjs';
import { service, stack } from '../lib/stack.mjs';
import { operatorToken, serviceToken, token } from '../lib/tokens.mjs';
import { until, within } from '../lib/until.mjs';

const S = grpc.status;
const STILL = { paused: true, speed: 1, readyMeanS: 600, routeMeanS: 1200 };
const FAST = { paused: false, speed: 1000, readyMeanS: 600, routeMeanS: 1200 };
const simulate = async (json) => expectJson(200, 'PUT /api/v1/simulation', { token: await operatorToken(), json });

let world;
before(async () => {
  await simulate(STILL);
  world = await shop({ stock: 1000 });
});
after(async () => {
  await simulate(STILL);
  closeClients();
});

const advance = async (orderId, to, token) => call(`POST /api/v1/deliveries/${orderId}/advance`, { token: token ?? (await operatorToken()), json: { to } });
const deliveryOf = (orderId, token = world.buyer.token) => expectJson(200, `GET /api/v1/deliveries/${orderId}`, { token });

// A new order whose delivery is there.
async function placed() {
  const order = await world.buyer.buys(world.sku);
  await until(async () => (await call(`GET /api/v1/deliveries/${order.orderId}`, { token: world.buyer.token })).status === 200, { what: 'the delivery' });
  return order;
}

// The order's detail once its delivery says this.
const detailWhen = (orderId, status, limit = 3000) =>
  until(async () => {
    const detail = await world.buyer.detail(orderId);
    return detail.deliveryStatus === status && detail;
  }, { within: limit, what: `deliveryStatus ${status}` });

test('deliveryStatus is READY within a second of the order', async () => {
  const order = await world.buyer.buys(world.sku);
  const detail = await detailWhen(order.orderId, 'READY', 1000);
  assert.equal(detail.delivery.status, 'READY');
  assert.equal(detail.delivery.isLive, true);
  assert.match(detail.delivery.invoiceNo, /^[0-9]{11}[0-6]$/);
  assert.equal(Number(detail.delivery.invoiceNo.slice(0, 11)) % 7, Number(detail.delivery.invoiceNo[11]), 'the check digit');
  assert.deepEqual(detail.delivery.events.map((event) => [event.sequence, event.type, event.status]), [[1, 'CREATED', 'READY']]);
});

test('a delivery goes READY, ON_ROUTE, DELIVERED by hand, and the order follows with a timeline', async () => {
  const order = await placed();
  assertProblem(await advance(order.orderId, 'DELIVERED'), 409, 'bad_transition', '/to');
  assert.equal((await advance(order.orderId, 'ON_ROUTE')).json.status, 'ON_ROUTE');
  await detailWhen(order.orderId, 'ON_ROUTE');
  assert.equal((await advance(order.orderId, 'DELIVERED')).json.status, 'DELIVERED');
  await detailWhen(order.orderId, 'DELIVERED');
  const detail = await until(async () => {
    const seen = await world.buyer.detail(order.orderId);
    return seen.status === 'DELIVERED' && seen;
  }, { what: 'the order to be DELIVERED' });
  assert.deepEqual(detail.timeline.map((entry) => [entry.status, entry.actor]), [['PLACED', 'buyer'], ['PREPARING', 'delivery'], ['SHIPPING', 'delivery'], ['DELIVERED', 'delivery']]);
  const times = detail.timeline.map((entry) => entry.at);
  assert.deepEqual(times, times.toSorted());
  assert.equal(detail.timeline[0].at, order.createdAt);
});

test('to where it is already changes nothing, and there is no way back', async () => {
  const { orderId } = await placed();
  const first = await advance(orderId, 'ON_ROUTE');
  const again = await advance(orderId, 'ON_ROUTE');
  assert.deepEqual([again.status, again.json.events.length], [200, first.json.events.length]);
  await advance(orderId, 'DELIVERED');
  assertProblem(await advance(orderId, 'ON_ROUTE'), 409, 'bad_transition', '/to');
});

const BAD_ADVANCES = [['READY', '/to'], ['CANCELLED', '/to'], ['on_route', '/to'], [1, '/to'], [null, '/to']];
for (const [to, pointer] of BAD_ADVANCES) {
  test(`advancing to ${JSON.stringify(to)} is refused`, async () => {
    const { orderId } = await placed();
    assertProblem(await advance(orderId, to), 400, 'invalid_request', pointer);
  });
}

test('a delivery goes ON_ROUTE and DELIVERED by the clock', async () => {
  const order = await placed();
  await simulate(FAST);
  try {
    await detailWhen(order.orderId, 'DELIVERED', 20_000);
  } finally {
    await simulate(STILL);
  }
  const { events } = await deliveryOf(order.orderId);
  assert.deepEqual(events.map((event) => event.sequence), events.map((_, i) => i + 1));
  const types = events.map((event) => event.type);
  assert.deepEqual([types[0], types[1], types.at(-1)], ['CREATED', 'PICKED_UP', 'DELIVERED']);
  assert.ok(types.includes('OUT_FOR_DELIVERY'));
  const statuses = events.map((event) => event.status);
  assert.deepEqual([...new Set(statuses)], ['READY', 'ON_ROUTE', 'DELIVERED']);
  const detail = await until(async () => {
    const seen = await world.buyer.detail(order.orderId);
    return seen.timeline.length === 4 && seen;
  });
  assert.deepEqual(detail.timeline.map((entry) => entry.status), ['PLACED', 'PREPARING', 'SHIPPING', 'DELIVERED']);
});

test('a paused simulation moves nothing', async () => {
  await simulate({ ...FAST, paused: true });
  const { orderId } = await placed();
  const due = () => value('SELECT next_at_s - delivery.simulated_s() FROM delivery.deliveries WHERE order_id = $1', orderId);
  const left = await due();
  await placed(); // meanwhile the service works
  assert.equal(await due(), left);
  assert.equal((await deliveryOf(orderId)).status, 'READY');
  await simulate(STILL);
});

const BAD_SIMULATIONS = [
  ['a speed of 0', { speed: 0 }, '/speed'],
  ['a speed of 0.05', { speed: 0.05 }, '/speed'],
  ['a speed of 1001', { speed: 1001 }, '/speed'],
  ['a negative speed', { speed: -1 }, '/speed'],
  ['a speed in quotes', { speed: '1' }, '/speed'],
  ['a mean of 0', { readyMeanS: 0 }, '/readyMeanS'],
  ['a mean with a fraction', { routeMeanS: 1.5 }, '/routeMeanS'],
  ['paused as a number', { paused: 1 }, '/paused'],
  ['an unknown field', { turbo: true }, '/turbo'],
  ['a field missing', { speed: undefined }, '/speed'],
];
for (const [name, more, pointer] of BAD_SIMULATIONS) {
  test(`a simulation with ${name} is refused`, async () => {
    await expectProblem(400, 'invalid_request', pointer, 'PUT /api/v1/simulation', { token: await operatorToken(), json: { ...STILL, ...more } });
  });
}

test('the simulation is what was put', async () => {
  const odd = { paused: true, speed: 2.5, readyMeanS: 601, routeMeanS: 1201 };
  await simulate(odd);
  assert.deepEqual(await expectJson(200, 'GET /api/v1/simulation', { token: await operatorToken() }), odd);
  await simulate(STILL);
});

// ---- whose delivery ----------------------------------------------------------------------------------------------------

test('a delivery is its buyer\'s, its farms\' and admins\'; to others it is not found, over REST and gRPC', async () => {
  const { orderId } = await placed();
  const stranger = await Buyer.make();
  const otherFarm = await makeFarm();
  for (const path of [`/api/v1/deliveries/${orderId}`, `/api/v1/deliveries/${orderId}/events`, `/api/v1/deliveries/${uuid7()}`]) {
    await expectProblem(404, 'not_found', null, `GET ${path}`, { token: stranger.token });
    await expectProblem(404, 'not_found', null, `GET ${path}`, { token: otherFarm.token });
  }
  for (const token of [world.buyer.token, world.farm.token, await operatorToken()]) assert.equal((await deliveryOf(orderId, token)).orderId, orderId);
  const seen = async (token) => (await rpc('delivery-mock', 'GetDeliveries', { orderIds: [orderId, uuid7()] }, token)).value.deliveries.length;
  assert.deepEqual([await seen(stranger.token), await seen(world.buyer.token), await seen(world.farm.token), await seen(serviceToken('order-manager'))], [0, 1, 1, 1]);
});

test('a buyer may not advance a delivery', async () => {
  const { orderId } = await placed();
  assertProblem(await advance(orderId, 'ON_ROUTE', world.buyer.token), 403, 'forbidden');
  const answer = await rpc('delivery-mock', 'AdvanceDelivery', { orderId, to: 'DELIVERY_STATUS_ON_ROUTE' }, world.buyer.token);
  assert.equal(answer.code, S.PERMISSION_DENIED);
});

test('a stream of events ends when its token has run out', async () => {
  const { orderId } = await placed();
  const short = () => token({ role: 'buyer', sub: world.buyer.sub, exp: Math.floor(Date.now() / 1000) + 4 });
  const stream = await sse(streamUrl(orderId), { token: await short() });
  assert.equal(stream.status, 200);
  const rest = (async () => { for await (const _ of stream.events); })(); // until the server ends it
  const watched = client('delivery-mock').watchDelivery({ orderId }, metadata(await short()), { deadline: Date.now() + 60_000 });
  const code = new Promise((resolve) => watched.on('data', () => {}).on('error', (error) => resolve(error.code)).on('end', () => resolve(S.OK)));
  await within(60_000, rest, 'the end of the stream');
  assert.equal(await within(60_000, code, 'the end of the call'), S.UNAUTHENTICATED);
});

// ---- live: SSE ---------------------------------------------------------------------------------------------------------

const streamUrl = (orderId, base = stack.gateway) => `${base}/api/v1/deliveries/${orderId}/events`;

test('the live stream sends what was, then what comes, and ends with the delivery', async () => {
  const { orderId } = await placed();
  const stream = await sse(streamUrl(orderId), { token: world.buyer.token });
  assert.deepEqual([stream.status, stream.type.split(';')[0]], [200, 'text/event-stream']);
  const [created] = await within(2000, take(stream, 1), 'the first event');
  assert.deepEqual([created.id, created.event, created.data.type, created.data.orderId], ['1', 'delivery', 'CREATED', orderId]);
  await advance(orderId, 'ON_ROUTE');
  const [picked] = await within(2000, take(stream, 1), 'the next event');
  assert.deepEqual([picked.id, picked.data.status], ['2', 'ON_ROUTE']);
  await advance(orderId, 'DELIVERED');
  const [done] = await within(2000, take(stream, 1), 'the last event');
  assert.equal(done.data.status, 'DELIVERED');
  const { done: isOver } = await within(3000, stream.events.next(), 'the end of the stream');
  assert.equal(isOver, true);
});

test('a stream taken up by Last-Event-ID misses nothing and repeats nothing', async () => {
  const { orderId } = await placed();
  const first = await sse(streamUrl(orderId), { token: world.buyer.token });
  const [seen] = await within(2000, take(first, 1));
  first.close();
  await advance(orderId, 'ON_ROUTE'); // while nobody watches
  await advance(orderId, 'DELIVERED');
  const second = await sse(streamUrl(orderId), { token: world.buyer.token, lastEventId: seen.id });
  const rest = await within(3000, take(second, 10));
  assert.deepEqual(rest.map((event) => event.data.sequence), (await deliveryOf(orderId)).events.slice(1).map((event) => event.sequence));
  const last = rest.at(-1).id;
  const third = await call(`GET /api/v1/deliveries/${orderId}/events`, { token: world.buyer.token, headers: { 'last-event-id': last } });
  assert.equal(third.status, 204);
});

for (const bad of ['x', '-1', '1.5', '99999999999']) {
  test(`Last-Event-ID ${bad} is refused`, async () => {
    const { orderId } = await placed();
    await expectProblem(400, 'invalid_request', 'Last-Event-ID', `GET /api/v1/deliveries/${orderId}/events`, { token: world.buyer.token, headers: { 'last-event-id': bad } });
  });
}

test('a hundred watchers of one delivery all see it arrive', async () => {
  const { orderId } = await placed();
  const streams = await Promise.all(Array.from({ length: 100 }, () => sse(streamUrl(orderId, service('delivery-mock').http), { token: world.buyer.token })));
  await advance(orderId, 'ON_ROUTE');
  await advance(orderId, 'DELIVERED');
  const all = await within(10_000, Promise.all(streams.map((stream) => take(stream, 100))), 'the ends of all streams');
  const wanted = (await deliveryOf(orderId)).events.map((event) => event.sequence);
  for (const events of all) assert.deepEqual(events.map((event) => event.data.sequence), wanted);
});

test('watchers that go away leave nothing behind', async () => {
  const { orderId } = await placed();
  const requests = async () => (await (await fetch(`${service('delivery-mock').admin}/requests`)).json()).items.filter((item) => item.name.includes('events')).length;
  const known = await requests();
  const streams = await Promise.all(Array.from({ length: 50 }, () => sse(streamUrl(orderId, service('delivery-mock').http), { token: world.buyer.token })));
  await until(async () => (await requests()) >= known + 50, { what: 'all watchers' });
  for (const stream of streams) stream.close();
  await until(async () => (await requests()) <= known, { within: 15_000, what: 'no watchers' });
});

// ---- live: gRPC --------------------------------------------------------------------------------------------------------

function watch(orderId, token, afterSequence = 0, deadline = 10_000) {
  const stream = client('delivery-mock').WatchDelivery({ orderId, afterSequence }, metadata(token), { deadline: Date.now() + deadline });
  const events = [];
  stream.on('data', ({ event }) => events.push(event));
  const end = new Promise((resolve) => stream.on('status', (status) => resolve(status.code)).on('error', () => {}));
  return { events, end, cancel: () => stream.cancel() };
}

test('WatchDelivery streams the events and ends with the delivery', async () => {
  const { orderId } = await placed();
  const watched = watch(orderId, world.buyer.token);
  await until(() => watched.events.length === 1, { what: 'the first event' });
  await advance(orderId, 'ON_ROUTE');
  await advance(orderId, 'DELIVERED');
  assert.equal(await within(5000, watched.end, 'the end'), S.OK);
  assert.deepEqual(watched.events.map((event) => event.sequence), (await deliveryOf(orderId)).events.map((event) => event.sequence));
  assert.equal(watched.events.at(-1).status, 'DELIVERY_STATUS_DELIVERED');
  const rest = watch(orderId, world.buyer.token, watched.events.at(-1).sequence);
  assert.deepEqual([await within(5000, rest.end), rest.events], [S.OK, []]);
});

test('WatchDelivery keeps its deadline and can be cancelled', async () => {
  const { orderId } = await placed();
  assert.equal(await within(4000, watch(orderId, world.buyer.token, 0, 500).end, 'the deadline'), S.DEADLINE_EXCEEDED);
  const watched = watch(orderId, world.buyer.token);
  await until(() => watched.events.length === 1);
  watched.cancel();
  assert.equal(await within(3000, watched.end), S.CANCELLED);
});

test('WatchDelivery of another buyer\'s order is NOT_FOUND', async () => {
  const { orderId } = await placed();
  const stranger = await Buyer.make();
  assert.equal(await within(3000, watch(orderId, stranger.token).end), S.NOT_FOUND);
});

test('AdvanceDelivery over gRPC follows the same rules', async () => {
  const { orderId } = await placed();
  const token = await operatorToken();
  const step = (to) => rpc('delivery-mock', 'AdvanceDelivery', { orderId, to }, token);
  assert.equal((await step('DELIVERY_STATUS_DELIVERED')).code, S.FAILED_PRECONDITION);
  assert.equal((await step('DELIVERY_STATUS_READY')).code, S.INVALID_ARGUMENT);
  const moved = await step('DELIVERY_STATUS_ON_ROUTE');
  assert.deepEqual([moved.code, moved.value?.delivery.status], [S.OK, 'DELIVERY_STATUS_ON_ROUTE'], moved.details);
  assert.equal((await rpc('delivery-mock', 'AdvanceDelivery', { orderId: uuid7(), to: 'DELIVERY_STATUS_ON_ROUTE' }, token)).code, S.NOT_FOUND);
});

// ---- events ------------------------------------------------------------------------------------------------------------

test('delivery.status-changed tells of each status once, in order, in the order\'s trace', async () => {
  const events = await listen('delivery.status-changed.v1');
  const traceId = uuid7().replaceAll('-', '');
  const answer = await world.buyer.send(orderBody(world.sku), newKey(), { headers: { traceparent: `00-${traceId}-00f067aa0ba902b7-01` } });
  const { orderId } = answer.json;
  const ready = await events.find('delivery.status-changed.v1', orderId, (data) => data.status === 'READY');
  assert.equal(ready.body.traceparent.split('-')[1], traceId);
  assert.equal(ready.body.data.previous, null);
  await advance(orderId, 'ON_ROUTE');
  await advance(orderId, 'DELIVERED');
  await events.find('delivery.status-changed.v1', orderId, (data) => data.status === 'DELIVERED');
  await events.close();
  const told = events.of('delivery.status-changed.v1', orderId);
  told.forEach(checkMessage);
  assert.deepEqual(told.map((event) => [event.body.data.previous, event.body.data.status]), [[null, 'READY'], ['READY', 'ON_ROUTE'], ['ON_ROUTE', 'DELIVERED']]);
  const { events: steps, ...delivery } = await deliveryOf(orderId);
  assert.equal(told[2].body.data.deliveryId, delivery.deliveryId);
  assert.deepEqual(told.map((event) => event.body.data.sequence), told.map(({ body }) => steps.find((step) => step.status === body.data.status).sequence));
});

const placedData = (more = {}) => ({
  orderId: uuid7(),
  orderNo: '20261123-7K3M9Q',
  buyerId: world.buyer.sub,
  totalKrw: 65_800,
  lines: [{ skuId: uuid7(), productId: uuid7(), farmId: world.farm.farmId, quantity: 2, unitPriceKrw: 32_900, lotId: null }],
  recipientRegion: '06',
  placedAt: new Date().toISOString(),
  ...more,
});
const orderPlaced = (data, more) => cloudEvent('order.placed.v1', '/gwasuwon/order-manager', data.orderId, data, more);
const inboxRows = (id) => value('SELECT count(*) FROM delivery.inbox WHERE event_id = $1', id);

test('an order.placed that comes three times makes one delivery and is remembered once', async () => {
  const event = orderPlaced(placedData());
  const { orderId } = event.data;
  const told = await listen('delivery.status-changed.v1');
  await publishEvents('order.placed.v1', event, event, event);
  await told.find('delivery.status-changed.v1', orderId);
  const marker = orderPlaced(placedData()); // the queue is worked in its order: when this is done, the three are
  await publishEvents('order.placed.v1', marker);
  await told.find('delivery.status-changed.v1', marker.data.orderId);
  assert.equal(told.of('delivery.status-changed.v1', orderId).length, 1);
  assert.equal(await inboxRows(event.id), 1);
  assert.equal(await value('SELECT count(*) FROM delivery.tracking_events WHERE order_id = $1', orderId), 1);
  await told.close();
});

test('a second event of the same order makes no second delivery', async () => {
  const data = placedData();
  await publishEvents('order.placed.v1', orderPlaced(data));
  const first = await until(async () => (await rows('SELECT delivery_id FROM delivery.deliveries WHERE order_id = $1', data.orderId))[0]);
  const second = orderPlaced(data);
  await publishEvents('order.placed.v1', second);
  await until(async () => (await inboxRows(second.id)) === 1, { what: 'the second event to be taken' });
  assert.deepEqual(await rows('SELECT delivery_id FROM delivery.deliveries WHERE order_id = $1', data.orderId), [first]);
});

test('a cancellation that overtakes its order leaves a tombstone, and the delivery is never made', async () => {
  const data = placedData();
  const cancelled = await rpc('delivery-mock', 'CancelDelivery', { orderId: data.orderId, reason: 'order_cancelled' }, serviceToken('order-manager'));
  assert.deepEqual([cancelled.code, cancelled.value?.delivery.status, cancelled.value?.delivery.deliveryId], [S.OK, 'DELIVERY_STATUS_CANCELLED', ''], cancelled.details);
  const event = orderPlaced(data);
  await publishEvents('order.placed.v1', event);
  await until(async () => (await inboxRows(event.id)) === 1, { what: 'the event to be taken' });
  assert.deepEqual(await rows('SELECT delivery_id, status FROM delivery.deliveries WHERE order_id = $1', data.orderId), [{ delivery_id: null, status: 'CANCELLED' }]);
  assert.deepEqual((await rpc('delivery-mock', 'GetDeliveries', { orderIds: [data.orderId] }, serviceToken('order-manager'))).value.deliveries, []);
});

test('a delivery is cancelled until it leaves, and no later', async () => {
  const [stays, leaves] = [await placed(), await placed()];
  const cancel = (orderId) => rpc('delivery-mock', 'CancelDelivery', { orderId, reason: 'order_cancelled' }, serviceToken('order-manager'));
  for (let i = 0; i < 2; i += 1) assert.equal((await cancel(stays.orderId)).value.delivery.status, 'DELIVERY_STATUS_CANCELLED');
  assertProblem(await advance(stays.orderId, 'ON_ROUTE'), 409, 'bad_transition');
  await advance(leaves.orderId, 'ON_ROUTE');
  assert.equal((await cancel(leaves.orderId)).code, S.FAILED_PRECONDITION);
  assert.equal((await deliveryOf(leaves.orderId)).status, 'ON_ROUTE');
});

const statusChanged = (data) => cloudEvent('delivery.status-changed.v1', '/gwasuwon/delivery-mock', data.orderId, data);
const changedData = (orderId, status, previous, sequence) => ({
  orderId, deliveryId: uuid7(), status, previous, carrier: '과수원택배', invoiceNo: '512345678902', sequence, at: new Date().toISOString(), location: '옥천HUB',
});
const ordersInbox = (id) => value('SELECT count(*) FROM orders.inbox WHERE event_id = $1', id);

test('OrderManager bears repetition, and old news after new', async () => {
  const { orderId } = await placed();
  await advance(orderId, 'ON_ROUTE');
  await until(async () => (await world.buyer.detail(orderId)).status === 'SHIPPING', { what: 'SHIPPING' });
  const known = await rows('SELECT status, delivery_status, delivery_sequence FROM orders.orders WHERE order_id = $1', orderId);
  const timeline = await rows('SELECT * FROM orders.timeline WHERE order_id = $1 ORDER BY seq', orderId);
  const old = statusChanged(changedData(orderId, 'READY', null, 1));
  await publishEvents('delivery.status-changed.v1', old, old);
  await until(async () => (await ordersInbox(old.id)) === 1, { what: 'the old news to be taken' });
  assert.deepEqual(await rows('SELECT status, delivery_status, delivery_sequence FROM orders.orders WHERE order_id = $1', orderId), known);
  assert.deepEqual(await rows('SELECT * FROM orders.timeline WHERE order_id = $1 ORDER BY seq', orderId), timeline);
});

test('news of the end before the middle still makes a whole timeline', async () => {
  const order = await placed();
  await until(async () => (await world.buyer.detail(order.orderId)).status === 'PREPARING', { what: 'PREPARING' });
  const event = statusChanged(changedData(order.orderId, 'DELIVERED', 'ON_ROUTE', 7));
  await publishEvents('delivery.status-changed.v1', event);
  const detail = await until(async () => {
    const seen = await world.buyer.detail(order.orderId);
    return seen.status === 'DELIVERED' && seen;
  });
  assert.deepEqual(detail.timeline.map((entry) => entry.status), ['PLACED', 'PREPARING', 'SHIPPING', 'DELIVERED']);
});

const POISONS = {
  'no JSON': (id) => Buffer.from(`{"id":"${id}"`),
  'no CloudEvent': (id) => Buffer.from(JSON.stringify({ id })),
  'data against the contract': (id) => orderPlaced(placedData({ recipientRegion: id }), { id }),
};
for (const [kind, make] of Object.entries(POISONS)) {
  test(`a poisoned event (${kind}) ends in the dead-letter queue, and those beside it are taken`, async () => {
    const id = uuid7();
    const good = [orderPlaced(placedData()), orderPlaced(placedData())];
    await publishEvents('order.placed.v1', good[0], make(id), good[1]);
    await until(async () => (await deadLetters()).filter((text) => text.includes(id)).length === 1, { within: 15_000, what: 'the dead letter' });
    for (const event of good) await until(async () => (await inboxRows(event.id)) === 1, { what: 'its neighbours' });
  });
}
