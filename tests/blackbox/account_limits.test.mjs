// SPDX-License-Identifier: Apache-2.0
// An erased account and FruitCatalog: no hold and no limit per buyer leads to the person any more, and what the others may have, the stock and
// the holds stay exact, in whatever order the events come.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import pg from 'pg';

import { BUYERS_WRONG, countedOf } from '../lib/buyers.mjs';
import { holdOf, untilStock } from '../lib/cancel.mjs';
import { rows, value } from '../lib/db.mjs';
import { cloudEvent, deadLetters, publishEvents } from '../lib/events.mjs';
import { closeClients, grpc, rpc } from '../lib/grpc.mjs';
import { assertProblem, call, expectJson } from '../lib/http.mjs';
import { uuid7 } from '../lib/ids.mjs';
import { shop } from '../lib/shop.mjs';
import { stack } from '../lib/stack.mjs';
import { operatorToken, serviceToken } from '../lib/tokens.mjs';
import { until } from '../lib/until.mjs';

let operator;
before(async () => {
  operator = await operatorToken();
});
after(closeClients);

const erase = (buyer) => expectJson(200, 'POST /api/v1/me/erasure', { token: buyer.token });
const traces = ({ sub }) => value('SELECT (SELECT count(*) FROM catalog.holds WHERE buyer_id = $1) + (SELECT count(*) FROM catalog.sku_buyers WHERE buyer_id = $1)', sub);
const untilForgotten = (buyer) => until(async () => (await traces(buyer)) === 0, { within: 15_000, what: 'the catalogue to forget the buyer' });
const release = (orderId) => rpc('fruit-catalog', 'Release', { orderIds: [orderId], reason: 'order_cancelled' }, serviceToken('order-manager'));
const erasedEvent = (...orderIds) => cloudEvent('order.erased.v1', '/gwasuwon/order-manager', orderIds[0], { orderIds });

async function deliver({ orderId }) {
  for (const to of ['ON_ROUTE', 'DELIVERED'])
    await until(async () => (await call(`POST /api/v1/deliveries/${orderId}/advance`, { token: operator, json: { to } })).status === 200, { within: 15_000, what: to });
  await until(async () => (await value('SELECT status FROM orders.orders WHERE order_id = $1', orderId)) === 'DELIVERED', { within: 15_000, what: 'DELIVERED' });
}

test('an erased account leaves no trace in holds and limits; stock, holds and the others\' shares stay', { timeout: 60_000 }, async () => {
  const { sku, buyers: [gone, other] } = await shop({ stock: 50, perBuyerLimit: 5, buyers: 2 });
  const free = await shop({ stock: 10 });
  const [delivered, cancelled, unlimited] = [await gone.buys(sku, 2), await gone.buys(sku, 3), await gone.buys(free.sku, 4)];
  await other.buys(sku, 4);
  await Promise.all([deliver(delivered), deliver(unlimited)]);
  assert.equal((await gone.cancel(cancelled.orderId)).status, 200);
  const lost = { orderId: uuid7(), buyerId: gone.sub, lines: [{ skuId: sku.skuId, quantity: 1, unitPriceKrw: sku.priceKrw }] }; // never becomes an order
  assert.equal((await rpc('fruit-catalog', 'Reserve', { orders: [lost] }, serviceToken('order-manager'))).code, grpc.status.OK);

  assert.equal((await erase(gone)).status, 'DONE');
  await untilForgotten(gone); // the lost hold goes with the sweeper
  assert.deepEqual(await countedOf(sku), { [other.sub]: 4 });
  await untilStock(sku, 50 - 2 - 4);
  assert.deepEqual([await holdOf(cancelled.orderId), await holdOf(lost.orderId)], ['RELEASED', 'RELEASED']);
  await until(async () => (await holdOf(delivered.orderId)) === 'SOLD', { within: 20_000, what: 'the sale' });
  assertProblem(await other.order(sku, 2), 409, 'buyer_limit_exceeded', '/lines/0/quantity');
  assert.equal((await other.order(sku, 1)).status, 201);
  // A limit that is set after the erasure counts what is known of the others, and nothing of nobody.
  await other.buys(free.sku, 1);
  await expectJson(200, `PATCH /api/v1/skus/${free.sku.skuId}`, { token: free.farm.token, json: { perBuyerLimit: 3 }, headers: { 'if-match': `"${free.sku.version}"` } });
  assert.deepEqual(await countedOf(free.sku), { [other.sub]: 1 });
  assert.equal(await value(BUYERS_WRONG), 0);
});

test('the event of an erasure may come again, before that of the cancellation, and for orders nobody knows', async () => {
  const { sku, buyer } = await shop({ stock: 20, perBuyerLimit: 6 });
  const [kept, back] = [await buyer.buys(sku, 1), await buyer.buys(sku, 4)];
  // The boxes stay READY: one on its way is not cancelled.
  await until(async () => (await rows('UPDATE delivery.deliveries SET next_at_s = NULL WHERE order_id = ANY($1) RETURNING order_id', [kept.orderId, back.orderId])).length === 2, { within: 15_000, what: 'the deliveries' });
  await publishEvents('order.erased.v1', erasedEvent(back.orderId, uuid7()), erasedEvent(back.orderId), erasedEvent(uuid7()));
  await until(async () => (await countedOf(sku))[buyer.sub] === 1, { within: 15_000, what: 'the share to shrink' });
  assert.notEqual(await holdOf(back.orderId), 'RELEASED');
  assert.equal((await buyer.cancel(back.orderId)).status, 200);
  await untilStock(sku, 19);
  for (let i = 0; i < 2; i += 1) assert.equal((await release(back.orderId)).code, grpc.status.OK);
  assert.deepEqual([await countedOf(sku), await holdOf(back.orderId)], [{ [buyer.sub]: 1 }, 'RELEASED']);
  await untilStock(sku, 19);
  assert.equal((await buyer.cancel(kept.orderId)).status, 200);
  await untilStock(sku, 20);
  assert.deepEqual(await countedOf(sku), {});
});

test('an erasure that is malformed is dead-lettered alone', async () => {
  const wrong = cloudEvent('order.erased.v1', '/gwasuwon/order-manager', uuid7(), { orderIds: ['nobody'] });
  await publishEvents('order.erased.v1', wrong);
  await until(async () => (await deadLetters()).filter((text) => text.includes(wrong.id)).length === 2, { within: 15_000, what: 'two dead letters, of the catalogue and the carrier' });
});

test('an order that was being placed while its account was erased is not stored, and gives its box back', { timeout: 60_000 }, async () => {
  const { sku, buyer } = await shop({ stock: 5, perBuyerLimit: 2 });
  const blocker = new pg.Client({ connectionString: stack.postgres.uri });
  await blocker.connect();
  try {
    await blocker.query('BEGIN');
    await blocker.query('SELECT 1 FROM catalog.skus WHERE sku_id = $1 FOR UPDATE', [sku.skuId]); // it is admitted, and waits for its stock
    const placing = buyer.order(sku, 1);
    await until(async () => (await value("SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE '%catalog.skus%'")) > 0, { what: 'the reservation to wait' });
    assert.equal((await erase(buyer)).status, 'DONE');
    await blocker.query('COMMIT');
    const answer = await placing;
    assert.equal(answer.status, 403, answer.text);
  } finally {
    await blocker.end();
  }
  assert.deepEqual(await rows('SELECT order_id FROM orders.orders WHERE buyer_id = $1', buyer.sub), []);
  await untilForgotten(buyer);
  await untilStock(sku, 5);
});
