// SPDX-License-Identifier: Apache-2.0
// An account's rights to its own data: a copy of all of it and of nothing else, and erasure: orders stay, the person does not, in the
// database, in answers, in the carrier's rows and in events to come.

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { rows, value } from '../lib/db.mjs';
import { listen } from '../lib/events.mjs';
import { rpc, grpc } from '../lib/grpc.mjs';
import { call, expectJson, expectProblem } from '../lib/http.mjs';
import { newKey } from '../lib/ids.mjs';
import { Buyer, orderBody, shop } from '../lib/shop.mjs';
import { operatorToken } from '../lib/tokens.mjs';
import { until } from '../lib/until.mjs';

const erase = (buyer) => call('POST /api/v1/me/erasure', { token: buyer.token });
const audited = (action, subject) => rows('SELECT actor, role, outcome FROM orders.audit WHERE action = $1 AND subject = $2 ORDER BY id', action, subject);

async function cancelled(buyer, sku, more = {}) {
  const order = await buyer.buys(sku, 1, more);
  const answer = await buyer.cancel(order.orderId, { reason: 'OTHER', note: '집 앞 공사' });
  assert.equal(answer.status, 200, answer.text);
  return order;
}

test('the copy has all orders of the account, whole, page by page, and is put on record', async () => {
  const { sku, buyers: [buyer, other] } = await shop({ buyers: 2 });
  const mine = [];
  for (let i = 0; i < 52; i += 1) mine.push((await buyer.buys(sku)).orderId);
  await other.buys(sku);
  const first = await call('GET /api/v1/me/data', { token: buyer.token });
  assert.equal(first.headers.get('content-disposition'), 'attachment; filename="gwasuwon-my-data.json"');
  assert.deepEqual([first.json.accountId, first.json.orders.length], [buyer.sub, 50]);
  const second = await expectJson(200, 'GET /api/v1/me/data', { token: buyer.token, query: { cursor: first.json.nextCursor } });
  assert.equal(second.nextCursor, null);
  const all = [...first.json.orders, ...second.orders];
  assert.deepEqual(all.map((order) => order.orderId), mine.toReversed());
  for (const order of all) assert.deepEqual([order.recipient.name, order.timeline[0].status], ['홍길동', 'PLACED']);
  assert.deepEqual(await audited('account.export', buyer.sub), Array(2).fill({ actor: buyer.sub, role: 'buyer', outcome: 'done' }));
});

test('who has no account has no data', async () => {
  await expectProblem(401, 'unauthenticated', null, 'GET /api/v1/me/data');
  await expectProblem(401, 'unauthenticated', null, 'POST /api/v1/me/erasure');
  const nobody = await Buyer.make();
  assert.deepEqual((await expectJson(200, 'GET /api/v1/me/data', { token: nobody.token })).orders, []);
  assert.deepEqual(await expectJson(200, 'GET /api/v1/me/erasure', { token: nobody.token }), { status: 'NONE', requestedAt: null, finishedAt: null, orders: 0 });
});

test('an order on its way refuses the erasure, by its number, and nothing is changed', async () => {
  const { sku, buyer } = await shop();
  const done = await cancelled(buyer, sku);
  const open = await buyer.buys(sku);
  const refused = await expectProblem(409, 'orders_open', '', 'POST /api/v1/me/erasure', { token: buyer.token });
  assert.deepEqual(refused.json.errors.map(({ detail }) => detail.includes(open.orderNo)), [true]);
  assert.equal((await buyer.detail(done.orderId)).recipient.name, '홍길동');
  assert.equal((await expectJson(200, 'GET /api/v1/me/erasure', { token: buyer.token })).status, 'NONE');
  assert.equal((await buyer.cancel(open.orderId)).status, 200);
  assert.equal((await erase(buyer)).json.status, 'DONE');
});

test('erasure: orders stay, the person does not, and asking again changes nothing', async () => {
  const events = await listen('order.erased.v1');
  const { sku, farm, buyers: [buyer, other] } = await shop({ buyers: 2 });
  const [key, body] = [newKey(), orderBody(sku, 1, { giftMessage: '생일 축하' })];
  const order = (await buyer.send(body, key)).json;
  assert.equal((await buyer.cancel(order.orderId, { reason: 'OTHER', note: '집 앞 공사' })).status, 200);
  const kept = await cancelled(other, sku);
  await until(async () => (await value('SELECT buyer_id FROM delivery.deliveries WHERE order_id = $1 AND delivery_id IS NOT NULL', order.orderId)) === buyer.sub || (await value('SELECT delivery_id IS NULL FROM delivery.deliveries WHERE order_id = $1', order.orderId)), { what: 'the delivery' });

  const answer = await erase(buyer);
  assert.deepEqual([answer.status, answer.json.status, answer.json.orders], [200, 'DONE', 1]);
  assert.deepEqual((await erase(buyer)).json, answer.json);
  assert.deepEqual(await expectJson(200, 'GET /api/v1/me/erasure', { token: buyer.token }), answer.json);

  const [row] = await rows('SELECT status, total_krw, order_no, buyer_id, personal, idempotency_key, request_hash, reply FROM orders.orders WHERE order_id = $1', order.orderId);
  assert.deepEqual(row, { status: 'CANCELLED', total_krw: order.totalKrw, order_no: order.orderNo, buyer_id: null, personal: null, idempotency_key: null, request_hash: null, reply: null });
  assert.deepEqual(await rows('SELECT note, actor_id FROM orders.cancellations WHERE order_id = $1', order.orderId), [{ note: null, actor_id: '00000000-0000-0000-0000-000000000000' }]);
  const event = await events.find('order.erased.v1', order.orderId);
  assert.deepEqual(event.body.data, { orderIds: [order.orderId] });
  await until(async () => (await value('SELECT count(*) FROM delivery.deliveries WHERE buyer_id = $1', buyer.sub)) === 0, { what: 'the carrier to forget' });

  assert.deepEqual((await expectJson(200, 'GET /api/v1/me/data', { token: buyer.token })).orders, []);
  await expectProblem(404, 'not_found', null, `GET /api/v1/orders/${order.orderId}`, { token: buyer.token });
  await expectProblem(404, 'not_found', null, `GET /api/v1/deliveries/${order.orderId}`, { token: buyer.token });
  const seen = await expectJson(200, `GET /api/v1/orders/${order.orderId}`, { token: await operatorToken() });
  assert.deepEqual([seen.recipient, seen.giftMessage, seen.totalKrw], [null, '', order.totalKrw]);
  const list = await expectJson(200, `GET /api/v1/farms/${farm.farmId}/orders`, { token: farm.token });
  assert.equal(list.items.find((one) => one.orderId === order.orderId).recipient, null);
  assert.equal((await other.detail(kept.orderId)).recipient.name, '홍길동');
  assert.deepEqual((await audited('account.erased', buyer.sub)).map(({ outcome }) => outcome), ['done']);
  const byGrpc = await rpc('order-manager', 'GetOrder', { orderId: order.orderId }, await operatorToken());
  assert.deepEqual([byGrpc.code, byGrpc.value.order.recipient], [grpc.status.OK, null]);
  await events.close();

  const late = await buyer.send(body, key); // a repetition that was long on its way, or a token that still works
  assert.equal(late.status, 403, late.text);
  assert.equal(await value('SELECT count(*) FROM orders.orders WHERE buyer_id = $1', buyer.sub), 0);
});

test('many orders go in bounded steps, by whoever comes', async () => {
  const { sku, buyer } = await shop();
  const { orderId } = await cancelled(buyer, sku);
  await rows(
    `INSERT INTO orders.orders (order_id, status, order_no, buyer_id, items_krw, shipping_fee_krw, total_krw, personal, masked_payment_token, created_at, updated_at)
     SELECT gen_random_uuid(), 'CANCELLED', 'T' || gen_random_uuid(), buyer_id, 1, 0, 1, '\\x00', masked_payment_token, created_at, updated_at
     FROM orders.orders, generate_series(1, 450) WHERE order_id = $1`,
    orderId,
  );
  assert.equal((await erase(buyer)).status, 200);
  await until(async () => (await expectJson(200, 'GET /api/v1/me/erasure', { token: buyer.token })).status === 'DONE', { within: 15_000, what: 'the end of it' });
  assert.equal((await expectJson(200, 'GET /api/v1/me/erasure', { token: buyer.token })).orders, 451);
  assert.equal(await value('SELECT count(*) FROM orders.orders WHERE buyer_id = $1 OR (personal IS NOT NULL AND buyer_id IS NULL)', buyer.sub), 0);
});

test('an operator sees the recipient as it is only for a reason, and the look is on record', async () => {
  const { sku, buyer } = await shop();
  const order = await buyer.buys(sku);
  const operator = await operatorToken();
  const path = `GET /api/v1/orders/${order.orderId}`;
  assert.equal((await expectJson(200, path, { token: operator })).recipient.masked, true);
  assert.deepEqual(await audited('recipient.read', order.orderId), []);
  const seen = await expectJson(200, path, { token: operator, query: { revealFor: '오배송 문의 응대' } });
  assert.deepEqual(seen.recipient, order.recipient);
  assert.deepEqual((await audited('recipient.read', order.orderId)).map(({ role, outcome }) => [role, outcome]), [['operator', 'done']]);
  assert.equal(await value("SELECT detail FROM orders.audit WHERE action = 'recipient.read' AND subject = $1", order.orderId), '오배송 문의 응대');
  await expectProblem(400, 'invalid_request', '?revealFor', path, { token: operator, query: { revealFor: 'x' } });
  assert.equal((await rpc('order-manager', 'GetOrder', { orderId: order.orderId }, operator)).value.order.recipient.masked, true);
});
