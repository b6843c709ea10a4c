// SPDX-License-Identifier: Apache-2.0
// Personal data at rest and in answers: sealed in the database, bound to its order, whole for the buyer and whoever ships, masked for others.
// What the database holds is opened here by other code than the service's.

import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';

import { rows, value } from '../lib/db.mjs';
import { rpc } from '../lib/grpc.mjs';
import { call, expectJson } from '../lib/http.mjs';
import { newKey } from '../lib/ids.mjs';
import { keysIn, replyOf, unseal } from '../lib/personal.mjs';
import { orderBody, recipient, shop } from '../lib/shop.mjs';
import { stack } from '../lib/stack.mjs';
import { operatorToken } from '../lib/tokens.mjs';
import { until } from '../lib/until.mjs';

const to = recipient({ name: '남궁민수', phone: '010-9753-8642', address1: '서울 비밀구 아무로 77777', address2: '9층 901호', doorNote: '공동현관 #4821*' });
const gift = { recipient: to, giftMessage: '첫 줄\n"둘째" 줄' };
const masked = { name: '남**수', phone: '010-****-8642', postcode: '06***', address1: '서울 비밀구 아무로 ***', address2: '***', doorNote: '***', masked: true };

async function placed() {
  const world = await shop();
  const [key, body] = [newKey(), orderBody(world.sku, 1, gift)];
  const first = await world.buyer.send(body, key);
  assert.equal(first.status, 201, first.text);
  const [row] = await rows('SELECT order_id, reply, personal, request_hash FROM orders.orders WHERE order_id = $1', first.json.orderId);
  return { ...world, key, body, first, row, orderId: first.json.orderId };
}

test('what is stored opens for its order only, and is the answer byte for byte', async () => {
  const { buyer, key, body, first, row } = await placed();
  const keys = keysIn(join(stack.var, 'keys/personal.keys'));
  assert.equal(replyOf(keys, row), first.text);
  assert.equal((await buyer.send(body, key)).text, first.text);
  assert.equal((await buyer.send({ ...body, giftMessage: '다른 말' }, key)).status, 422);
  const other = await placed();
  assert.throws(() => unseal(keys, 'orders.personal', other.orderId, row.personal));
  assert.throws(() => unseal(keys, 'orders.cancellation_note', row.order_id, row.personal));
});

test('no column of the order holds personal data in clear', async () => {
  const { row, orderId, body } = await placed();
  const [whole] = await rows('SELECT row_to_json(o)::text AS text FROM orders.orders o WHERE order_id = $1', orderId);
  const hex = Buffer.from(whole.text, 'utf8').toString('utf8');
  for (const word of [...Object.values(to), '둘째', body.paymentToken]) {
    assert.ok(!hex.includes(word), word);
    assert.ok(!row.personal.includes(Buffer.from(word)), word);
  }
  assert.match(whole.text, /pay_\*{4}/);
});

test('a value that was moved to another order does not open: an error, no data', async () => {
  const [a, b] = [await placed(), await placed()];
  await rows('UPDATE orders.orders SET personal = $2 WHERE order_id = $1', a.orderId, b.row.personal);
  const answer = await call(`GET /api/v1/orders/${a.orderId}`, { token: a.buyer.token });
  assert.equal(answer.status, 500);
  assert.ok(!answer.text.includes('남궁'));
  await rows('UPDATE orders.orders SET personal = $2 WHERE order_id = $1', a.orderId, a.row.personal);
  assert.deepEqual((await a.buyer.detail(a.orderId)).recipient, to);
});

test('the buyer sees all, an operator what lets him recognise it, over REST and gRPC', async () => {
  const { buyer, orderId } = await placed();
  const operator = await operatorToken();
  assert.deepEqual((await buyer.detail(orderId)).recipient, to);
  const seen = await expectJson(200, `GET /api/v1/orders/${orderId}`, { token: operator });
  assert.deepEqual([seen.recipient, seen.giftMessage], [masked, '***']);
  const { order } = (await rpc('order-manager', 'GetOrder', { orderId }, operator)).value;
  assert.deepEqual([order.recipient.name, order.recipient.phone, order.recipient.masked], [masked.name, masked.phone, true]);
});

test('the farm sees all until the box has arrived, then what lets it recognise it; an operator never more', async () => {
  const { buyer, farm, orderId } = await placed();
  const operator = await operatorToken();
  const list = async (token) => (await expectJson(200, `GET /api/v1/farms/${farm.farmId}/orders`, { token })).items.find((order) => order.orderId === orderId);
  assert.deepEqual((await list(farm.token)).recipient, to);
  assert.deepEqual((await list(operator)).recipient, masked);
  await until(async () => (await buyer.detail(orderId)).deliveryStatus !== null, { what: 'the delivery' });
  for (const target of ['ON_ROUTE', 'DELIVERED']) {
    assert.deepEqual((await list(farm.token)).recipient, to);
    const moved = await call(`POST /api/v1/deliveries/${orderId}/advance`, { token: operator, json: { to: target } });
    assert.ok([200, 409].includes(moved.status), moved.text); // the clock may have been faster
    await until(async () => ['DELIVERED', target].includes((await buyer.detail(orderId)).deliveryStatus), { what: target });
  }
  await until(async () => (await value('SELECT status FROM orders.orders WHERE order_id = $1', orderId)) === 'DELIVERED', { what: 'the order to be delivered' });
  const after = await list(farm.token);
  assert.deepEqual([after.recipient, after.giftMessage], [masked, '***']);
  assert.deepEqual((await buyer.detail(orderId)).recipient, to);
});

test('the note of a cancellation is sealed, and the buyer reads it', async () => {
  const { buyer, orderId } = await placed();
  const note = '이웃 박비밀씨가 대신 받을 수 없어요';
  const cancelled = await expectJson(200, `POST /api/v1/orders/${orderId}/cancel`, { token: buyer.token, json: { reason: 'OTHER', note } });
  assert.equal(cancelled.cancellation.note, note);
  const sealed = await value('SELECT note FROM orders.cancellations WHERE order_id = $1', orderId);
  assert.ok(!sealed.includes(Buffer.from('박비밀')));
  assert.equal(unseal(keysIn(join(stack.var, 'keys/personal.keys')), 'orders.cancellation_note', orderId, sealed), note);
});
