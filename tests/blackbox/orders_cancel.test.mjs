// SPDX-License-Identifier: Apache-2.0
// Cancelling an order: who may, when it is too late, and that money, stock and box come back exactly once however often and however much at
// once it is asked for. What happens when something dies on the way stands in tests/faults/orders_cancel.test.mjs.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import pg from 'pg';

import { assertCancelledOnce, cancellationOf, deliveryOf, holdOf, ledgerOfOrder, refundsOf, timelineOf, untilStock } from '../lib/cancel.mjs';
import { value } from '../lib/db.mjs';
import { cloudEvent, deadLetters, publishEvents } from '../lib/events.mjs';
import { asWritten, closeClients, grpc, rpc } from '../lib/grpc.mjs';
import { assertProblem, call, expectJson, expectProblem } from '../lib/http.mjs';
import { uuid7 } from '../lib/ids.mjs';
import { contracts } from '../lib/openapi.mjs';
import { count, shop, stockOf } from '../lib/shop.mjs';
import { ROOT, service, stack } from '../lib/stack.mjs';
import { operatorToken, serviceToken } from '../lib/tokens.mjs';
import { until } from '../lib/until.mjs';

let world, operator;
before(async () => {
  world = await shop({ stock: 1000, buyers: 2 });
  operator = await operatorToken();
});
after(closeClients);

const path = (orderId) => `POST /api/v1/orders/${orderId}/cancel`;
const advance = (orderId, to) => call(`POST /api/v1/deliveries/${orderId}/advance`, { token: operator, json: { to } });
const hasDelivery = (orderId) => until(async () => (await deliveryOf(orderId))?.delivery_id, { within: 10_000, what: 'the delivery' });
// Cancels that wait for the order's lock, or for a session of the database that would.
const beforeCommit = async () => (await (await fetch(`${service('order-manager').admin}/requests`)).json()).items.filter(({ name, step }) => name.includes('/cancel') && ['begin', 'cancellation_lock'].includes(step)).length;
const applied = (queue, eventId) =>
  until(async () => (await value(`SELECT count(*) FROM ${queue.startsWith('fruit') ? 'catalog' : 'orders'}.inbox WHERE consumer = $1 AND event_id = $2`, queue, eventId)) === 1, { what: `${queue} to apply the event` });

test('a buyer cancels: money, stock and box come back, and the order tells so', async () => {
  const { buyer, sku } = await shop({ stock: 10 });
  const order = await buyer.buys(sku, 3);
  await hasDelivery(order.orderId);
  const answer = await buyer.cancel(order.orderId, { reason: 'DELIVERY_DELAY', note: '  너무 늦어요  ' });
  assert.equal(answer.status, 200, answer.text);
  assert.equal(answer.json.status, 'CANCELLED');
  const { requestedAt, finishedAt, ...told } = answer.json.cancellation;
  assert.deepEqual(told, { status: 'DONE', reason: 'DELIVERY_DELAY', reasonText: '배송 지연', note: '너무 늦어요', actor: 'buyer', refundKrw: order.totalKrw });
  assert.ok(Date.parse(requestedAt) >= Date.parse(order.createdAt) && Date.parse(finishedAt) >= Date.parse(requestedAt));
  const last = answer.json.timeline.at(-1);
  assert.deepEqual([last.status, last.actor, last.reason], ['CANCELLED', 'buyer', '배송 지연']);
  assert.deepEqual([answer.json.delivery.status, answer.json.delivery.isLive], ['CANCELLED', true]);
  await assertCancelledOnce(order, 3);
  await untilStock(sku, 10);
  await until(async () => (await buyer.detail(order.orderId)).deliveryStatus === 'CANCELLED', { what: 'the delivery\'s own word' });
  assert.equal((await buyer.detail(order.orderId)).status, 'CANCELLED');
  const page = await expectJson(200, 'GET /api/v1/orders', { token: buyer.token, query: { status: 'CANCELLED' } });
  assert.deepEqual(page.items.map((row) => row.orderId), [order.orderId]);
  // What came back can be bought again, to the last box.
  assert.equal((await buyer.order(sku, 10)).status, 201);
});

test('an order says that nobody asked to cancel it', async () => {
  const order = await world.buyer.buys(world.sku);
  assert.equal((await world.buyer.detail(order.orderId)).cancellation, null);
});

test('the trace of the request is that of the timeline entry and of the event', async () => {
  const order = await world.buyer.buys(world.sku);
  const traceId = '5bd66ef5095369c7b0d1f8f4bd33716a';
  await expectJson(200, path(order.orderId), { token: world.buyer.token, headers: { traceparent: `00-${traceId}-00f067aa0ba902b7-01` } });
  assert.equal((await world.buyer.detail(order.orderId)).timeline.at(-1).traceId, traceId);
  assert.match(await value("SELECT traceparent FROM orders.outbox WHERE subject = $1 AND type = 'order.cancelled.v1'", order.orderId), new RegExp(`^00-${traceId}-`));
});

test('only its buyer and operators cancel an order; nothing changes for others', async (t) => {
  const order = await world.buyer.buys(world.sku);
  const [, other] = world.buyers;
  const strangers = [
    ['another buyer', other.token, 404, 'not_found'],
    ['the farm that sells it', world.farm.token, 403, 'forbidden'],
    ['nobody', undefined, 401, 'unauthenticated'],
    ['a service', serviceToken('delivery-mock'), 403, 'forbidden'],
  ];
  for (const [name, token, status, code] of strangers)
    await t.test(name, () => expectProblem(status, code, null, path(order.orderId), { token }));
  await t.test('another buyer with a bad body', () => expectProblem(404, 'not_found', null, path(order.orderId), { token: other.token, json: { reason: 'OTHER' } }));
  assert.equal(await cancellationOf(order.orderId), undefined);
  assert.notEqual((await world.buyer.detail(order.orderId)).status, 'CANCELLED');
});

test('an order that does not exist is not found', async (t) => {
  for (const id of [uuid7(), 'nothing', '018f0000-0000-7000-8000-00000000000'])
    await t.test(id, () => expectProblem(404, 'not_found', null, path(id), { token: world.buyer.token }));
  await t.test('one that was fenced', async () => {
    const id = uuid7();
    const { value: answer } = await rpc('order-manager', 'ResolveOrders', { orderIds: [id] }, serviceToken('fruit-catalog'));
    assert.equal(answer.resolutions[0].fate, 'ORDER_FATE_ABORTED');
    await expectProblem(404, 'not_found', null, path(id), { token: operator, json: { reason: 'SOLD_OUT' } });
  });
});

const badBodies = [
  ['unknown reason', { reason: 'BORED' }, '/reason'],
  ['a reason in Korean', { reason: '단순 변심' }, '/reason'],
  ['a reason of the shop', { reason: 'SOLD_OUT' }, '/reason'],
  ['null', { reason: null }, '/reason'],
  ['unknown field', { why: 'OTHER' }, '/why'],
  ['other without a note', { reason: 'OTHER' }, '/note'],
  ['other with a blank note', { reason: 'OTHER', note: '   ' }, '/note'],
  ['a note of 201', { reason: 'OTHER', note: '가'.repeat(201) }, '/note'],
  ['a control character', { reason: 'OTHER', note: 'a\u0007b' }, '/note'],
];
test('a bad body is refused, each fault by its pointer, and nothing is stored', async (t) => {
  const order = await world.buyer.buys(world.sku);
  for (const [name, json, pointer] of badBodies)
    await t.test(name, () => expectProblem(400, 'invalid_request', pointer, path(order.orderId), { token: world.buyer.token, json }));
  const raw = (body, type = 'application/json') => call(path(order.orderId), { token: world.buyer.token, body, headers: { 'content-type': type } });
  await t.test('no JSON', async () => assertProblem(await raw('{'), 400, 'malformed_request'));
  await t.test('another type', async () => assertProblem(await raw('reason=OTHER', 'application/x-www-form-urlencoded'), 415, 'unsupported_media_type'));
  await t.test('too long', async () => assertProblem(await raw(`{"note":"${'x'.repeat(300_000)}"}`), 413, 'payload_too_large'));
  assert.equal(await cancellationOf(order.orderId), undefined);
  assert.equal((await world.buyer.cancel(order.orderId, { reason: 'OTHER', note: '가'.repeat(200) })).status, 200);
});

test('an operator cancels for a reason, and only for a reason', async (t) => {
  const order = await world.buyer.buys(world.sku);
  for (const json of [undefined, {}, { note: '품절입니다' }])
    await t.test(JSON.stringify(json ?? 'no body'), () => expectProblem(400, 'invalid_request', '/reason', path(order.orderId), { token: operator, json }));
  const answer = await expectJson(200, path(order.orderId), { token: operator, json: { reason: 'SOLD_OUT', note: '재고 착오' } });
  assert.deepEqual([answer.status, answer.cancellation.actor, answer.cancellation.reasonText], ['CANCELLED', 'operator', '상품 품절']);
  const told = await world.buyer.detail(order.orderId);
  assert.deepEqual([told.timeline.at(-1).actor, told.timeline.at(-1).reason], ['operator', '상품 품절']);
  await assertCancelledOnce(order, 1);
});

test('every reason is known to the rules, the contracts and the database', async () => {
  const table = [...readFileSync(join(ROOT, 'services/order-manager/cancel_reasons.def'), 'utf8').matchAll(/^CANCEL_REASON\((\w+), "([^"]+)", (.*)\)$/gm)];
  const names = table.map(([, name]) => name);
  assert.deepEqual(contracts['order-manager'].components.schemas.CancelReason.enum, names);
  const inProto = asWritten['orders.v1.CancelReason'].type.value.map((row) => row.name);
  assert.deepEqual(inProto, ['CANCEL_REASON_UNSPECIFIED', ...names.map((name) => `CANCEL_REASON_${name}`)]);
  for (const [, reason, text, who] of table) {
    const order = await world.buyer.buys(world.sku);
    const json = { reason, note: '시험' };
    if (who.includes('BY_BUYER')) assert.equal((await world.buyer.cancel(order.orderId, json)).status, 200, reason);
    else await expectProblem(400, 'invalid_request', '/reason', path(order.orderId), { token: world.buyer.token, json });
    const answer = await expectJson(200, path(order.orderId), { token: operator, json });
    assert.deepEqual([answer.cancellation.reason, answer.cancellation.reasonText], [reason, text]);
  }
});

test('cancelling again answers the same, and does nothing again', async () => {
  const order = await world.buyer.buys(world.sku, 2);
  await hasDelivery(order.orderId);
  const first = await expectJson(200, path(order.orderId), { token: world.buyer.token, json: { reason: 'ORDER_MISTAKE' } });
  await until(async () => (await world.buyer.detail(order.orderId)).deliveryStatus === 'CANCELLED');
  for (const json of [undefined, { reason: 'ORDER_MISTAKE' }, { reason: 'CHANGED_MIND' }]) {
    const again = await expectJson(200, path(order.orderId), { token: world.buyer.token, json });
    assert.deepEqual([again.status, again.cancellation, again.timeline], [first.status, first.cancellation, first.timeline]);
  }
  await assertCancelledOnce(order, 2);
});

test('40 cancels at once of one order are one', async () => {
  const order = await world.buyer.buys(world.sku, 4);
  await hasDelivery(order.orderId);
  // The order's row is locked until many have read that it may be cancelled: so they really meet.
  const blocker = new pg.Client({ connectionString: stack.postgres.uri });
  await blocker.connect();
  let answering;
  try {
    await blocker.query('BEGIN');
    await blocker.query('SELECT 1 FROM orders.orders WHERE order_id = $1 FOR NO KEY UPDATE', [order.orderId]);
    answering = Promise.all(Array.from({ length: 40 }, (_, i) => world.buyer.cancel(order.orderId, i % 2 ? { reason: 'CHANGED_MIND' } : undefined)));
    answering.catch(() => {}); // awaited below
    await until(async () => (await beforeCommit()) >= 20, { what: '20 cancels before their commit' });
    await blocker.query('COMMIT');
  } finally {
    await blocker.end();
  }
  const answers = await answering;
  assert.deepEqual(count(answers), { 200: 40 });
  for (const { json } of answers) assert.equal(json.status, 'CANCELLED');
  await assertCancelledOnce(order, 4);
});

test('an order cancelled the moment it is placed never gets a box, whichever comes first', async () => {
  const { buyer, sku } = await shop({ stock: 60 });
  const orders = await Promise.all(
    Array.from({ length: 30 }, async () => {
      const order = await buyer.buys(sku, 2);
      const answer = await buyer.cancel(order.orderId);
      assert.equal(answer.status, 200, answer.text);
      return order;
    }),
  );
  // The event of each was sent; once it is applied nothing more can happen to the delivery.
  const ids = orders.map((order) => order.orderId);
  await until(async () => (await value(`SELECT count(*) FROM orders.outbox o JOIN delivery.inbox i USING (event_id) WHERE type = 'order.placed.v1' AND subject = ANY ($1)`, ids)) === 30, { within: 15_000, what: 'the events to be applied' });
  for (const order of orders) await assertCancelledOnce(order, 2);
  await untilStock(sku, 60);
  for (const order of orders) assert.equal((await buyer.detail(order.orderId)).status, 'CANCELLED');
});

test('cancel and departure at once: one of the two happens, never both', async () => {
  const { buyer, sku } = await shop({ stock: 50 });
  const orders = await Promise.all(Array.from({ length: 24 }, () => buyer.buys(sku)));
  for (const { orderId } of orders) await hasDelivery(orderId);
  const answers = await Promise.all(
    orders.map(async (order, i) => {
      const both = i % 2 ? [() => buyer.cancel(order.orderId), () => advance(order.orderId, 'ON_ROUTE')] : [() => advance(order.orderId, 'ON_ROUTE'), () => buyer.cancel(order.orderId)];
      const [one, two] = await Promise.all(both.map((ask) => ask()));
      return i % 2 ? { order, cancel: one, leave: two } : { order, cancel: two, leave: one };
    }),
  );
  let left = 0;
  for (const { order, cancel, leave } of answers) {
    if (cancel.status === 200) {
      assertProblem(leave, 409, 'bad_transition');
      await assertCancelledOnce(order, 1);
    } else {
      left++;
      assertProblem(cancel, 409, 'order_not_cancellable');
      assert.equal(leave.status, 200, leave.text);
      await until(async () => (await buyer.detail(order.orderId)).status === 'SHIPPING', { within: 10_000, what: 'SHIPPING' });
      assert.deepEqual(await refundsOf(order.orderId), []);
      assert.deepEqual((await ledgerOfOrder(order.orderId)).map((row) => row.kind), ['RESERVATION']);
    }
  }
  await untilStock(sku, 50 - left);
});

test('once the box has left it is too late, for good', async () => {
  const order = await world.buyer.buys(world.sku);
  await hasDelivery(order.orderId);
  for (const [to, status] of [['ON_ROUTE', 'SHIPPING'], ['DELIVERED', 'DELIVERED']]) {
    assert.equal((await advance(order.orderId, to)).status, 200);
    await until(async () => (await world.buyer.detail(order.orderId)).status === status, { within: 10_000, what: status });
    assertProblem(await world.buyer.cancel(order.orderId), 409, 'order_not_cancellable');
    await expectProblem(409, 'order_not_cancellable', null, path(order.orderId), { token: operator, json: { reason: 'FARM_REQUEST' } });
  }
  assert.equal((await world.buyer.detail(order.orderId)).status, 'DELIVERED');
  assert.deepEqual(await refundsOf(order.orderId), []);
});

test('DeliveryMock alone knows that the box has left: its refusal is kept and shown', async () => {
  const order = await world.buyer.buys(world.sku);
  await until(async () => (await world.buyer.detail(order.orderId)).status === 'PREPARING', { within: 10_000, what: 'PREPARING' });
  // The order's row is locked, so the event of the departure cannot be applied before the refusal.
  const blocker = new pg.Client({ connectionString: stack.postgres.uri });
  await blocker.connect();
  try {
    await blocker.query('BEGIN');
    await blocker.query('SELECT 1 FROM orders.orders WHERE order_id = $1 FOR NO KEY UPDATE', [order.orderId]);
    assert.equal((await advance(order.orderId, 'ON_ROUTE')).status, 200);
    assertProblem(await world.buyer.cancel(order.orderId), 409, 'order_not_cancellable');
    const told = await world.buyer.detail(order.orderId);
    assert.equal(told.status, 'PREPARING');
    assert.deepEqual([told.cancellation.status, told.cancellation.refundKrw], ['REFUSED', null]);
    assert.ok(told.cancellation.finishedAt);
    assertProblem(await world.buyer.cancel(order.orderId, { reason: 'ADDRESS_CHANGE' }), 409, 'order_not_cancellable');
    await blocker.query('COMMIT');
  } finally {
    await blocker.end();
  }
  await until(async () => (await world.buyer.detail(order.orderId)).status === 'SHIPPING', { within: 10_000, what: 'SHIPPING' });
  assert.deepEqual([await refundsOf(order.orderId), (await cancellationOf(order.orderId)).state], [[], 'REFUSED']);
});

test('what the delivery says late does not move a cancelled order', async () => {
  const order = await world.buyer.buys(world.sku);
  const { deliveryId } = await hasDelivery(order.orderId).then((id) => ({ deliveryId: id }));
  await expectJson(200, path(order.orderId), { token: world.buyer.token });
  const before = timelineOf(await world.buyer.detail(order.orderId));
  const events = ['READY', 'ON_ROUTE', 'DELIVERED'].map((status, i) =>
    cloudEvent('delivery.status-changed.v1', '/gwasuwon/delivery-mock', order.orderId, {
      orderId: order.orderId, deliveryId, status, previous: i ? 'READY' : null, carrier: '과수원택배', invoiceNo: '512345678902', sequence: 10 + i, at: new Date().toISOString(), location: '청송영업소',
    }),
  );
  await publishEvents('delivery.status-changed.v1', ...events);
  for (const event of events) await applied('order-manager.delivery-status-changed', event.id);
  const told = await world.buyer.detail(order.orderId);
  assert.deepEqual([told.status, timelineOf(told)], ['CANCELLED', before]);
});

test('the event of a cancellation gives the stock back once, however often it comes', async () => {
  const { buyer, sku } = await shop({ stock: 7 });
  const order = await buyer.buys(sku, 5);
  await expectJson(200, path(order.orderId), { token: buyer.token });
  await untilStock(sku, 7);
  const data = { orderId: order.orderId, orderNo: order.orderNo, actor: 'buyer', reason: 'CHANGED_MIND', refundKrw: order.totalKrw, cancelledAt: new Date().toISOString() };
  const event = () => cloudEvent('order.cancelled.v1', '/gwasuwon/order-manager', order.orderId, data);
  const [one, two] = [event(), event()];
  await publishEvents('order.cancelled.v1', one, one, two);
  for (const { id } of [one, two]) await applied('fruit-catalog.order-cancelled', id);
  assert.equal(await stockOf(sku), 7);
  await assertCancelledOnce(order, 5);
});

test('a wrong event of a cancellation is dead-lettered alone', async () => {
  const { buyer, sku } = await shop({ stock: 3 });
  const order = await buyer.buys(sku, 3);
  const wrong = cloudEvent('order.cancelled.v1', '/gwasuwon/order-manager', order.orderId, { orderId: 'nothing' });
  await publishEvents('order.cancelled.v1', wrong);
  await expectJson(200, path(order.orderId), { token: buyer.token });
  await untilStock(sku, 3);
  await until(async () => (await deadLetters()).some((text) => text.includes(wrong.id)), { what: 'the dead letter' });
});

test('stock returns from a hold that is a sale already, and the sweeper leaves both alone', { timeout: 200_000 }, async () => {
  const { buyer, sku } = await shop({ stock: 9 });
  const [early, late] = [await buyer.buys(sku, 2), await buyer.buys(sku, 3)];
  assert.equal(await holdOf(early.orderId), 'HELD');
  await expectJson(200, path(early.orderId), { token: buyer.token });
  await assertCancelledOnce(early, 2);
  await until(async () => (await holdOf(late.orderId)) === 'SOLD', { within: 140_000, what: 'the sweeper to call it a sale' });
  await expectJson(200, path(late.orderId), { token: buyer.token });
  await assertCancelledOnce(late, 3);
  await untilStock(sku, 9);
  assert.equal(await holdOf(early.orderId), 'RELEASED');
  const { value: answer } = await rpc('order-manager', 'ResolveOrders', { orderIds: [early.orderId, late.orderId] }, serviceToken('fruit-catalog'));
  assert.deepEqual(answer.resolutions.map((row) => row.fate), ['ORDER_FATE_CANCELLED', 'ORDER_FATE_CANCELLED']);
});

test('the key of a cancelled order still answers that order, and orders nothing', async () => {
  const { buyer, sku } = await shop({ stock: 4 });
  const key = `key-${uuid7()}`;
  const body = { paymentToken: `pay_${'a'.repeat(24)}`, recipient: { name: '홍길동', phone: '010-1234-5678', postcode: '06236', address1: '서울 강남구 테헤란로 152' }, lines: [{ skuId: sku.skuId, quantity: 4, unitPriceKrw: sku.priceKrw }] };
  const first = await buyer.send(body, key);
  await expectJson(200, path(first.json.orderId), { token: buyer.token });
  await untilStock(sku, 4);
  const again = await buyer.send(body, key);
  assert.ok(again.bytes.equals(first.bytes));
  assert.equal(await stockOf(sku), 4);
});

test('gRPC cancels by the same rules', async (t) => {
  const cancel = (request, token) => rpc('order-manager', 'CancelOrder', request, token);
  const order = await world.buyer.buys(world.sku, 2);
  const { orderId } = order;
  const refusals = [
    ['another buyer', { orderId }, world.buyers[1].token, 'NOT_FOUND'],
    ['the farm', { orderId }, world.farm.token, 'PERMISSION_DENIED'],
    ['a service', { orderId }, serviceToken('delivery-mock'), 'PERMISSION_DENIED'],
    ['nobody', { orderId }, null, 'UNAUTHENTICATED'],
    ['no id', { orderId: '' }, world.buyer.token, 'INVALID_ARGUMENT'],
    ['an unknown reason', { orderId, reason: 99 }, world.buyer.token, 'INVALID_ARGUMENT'],
    ['the shop\'s reason', { orderId, reason: 'CANCEL_REASON_SOLD_OUT' }, world.buyer.token, 'INVALID_ARGUMENT'],
    ['other without a note', { orderId, reason: 'CANCEL_REASON_OTHER' }, world.buyer.token, 'INVALID_ARGUMENT'],
    ['a note of 201', { orderId, note: '가'.repeat(201) }, world.buyer.token, 'INVALID_ARGUMENT'],
    ['an operator without a reason', { orderId }, operator, 'INVALID_ARGUMENT'],
  ];
  for (const [name, request, token, codeName] of refusals) await t.test(name, async () => assert.equal((await cancel(request, token)).codeName, codeName));
  assert.equal(await cancellationOf(orderId), undefined);

  const first = await cancel({ orderId, reason: 'CANCEL_REASON_OTHER', note: '이사' }, world.buyer.token);
  assert.equal(first.code, grpc.status.OK, first.details);
  const { order: told } = first.value;
  assert.deepEqual([told.status, told.timeline.at(-1).status, told.timeline.at(-1).reason], ['ORDER_STATUS_CANCELLED', 'ORDER_STATUS_CANCELLED', '기타']);
  const { requestedAt, finishedAt, ...cancellation } = told.cancellation;
  assert.deepEqual(cancellation, { status: 'CANCELLATION_STATUS_DONE', reason: 'CANCEL_REASON_OTHER', reasonText: '기타', note: '이사', actor: 'buyer', refundKrw: order.totalKrw });
  assert.ok(requestedAt && finishedAt);
  const again = await cancel({ orderId }, world.buyer.token);
  assert.deepEqual(again.value.order.cancellation, told.cancellation);
  await assertCancelledOnce(order, 2);

  const gone = await world.buyer.buys(world.sku);
  await hasDelivery(gone.orderId);
  assert.equal((await advance(gone.orderId, 'ON_ROUTE')).status, 200);
  const late = await cancel({ orderId: gone.orderId }, world.buyer.token);
  assert.deepEqual([late.codeName, late.metadata.get('gwasuwon-code')], ['FAILED_PRECONDITION', ['order_not_cancellable']]);
});
