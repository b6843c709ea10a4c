// SPDX-License-Identifier: Apache-2.0
// The limit per buyer of a SKU (1인당 최대 구매 수량): exact over many orders, parallel ones, repeated ones; what is cancelled or never
// became an order is given back once; setting, changing and taking it away.

import assert from 'node:assert/strict';
import { after, test } from 'node:test';

import { BUYERS_WRONG, boughtBy, countedOf } from '../lib/buyers.mjs';
import { value } from '../lib/db.mjs';
import { closeClients, grpc, rpc } from '../lib/grpc.mjs';
import { assertProblem, expectJson, expectProblem } from '../lib/http.mjs';
import { newKey, paymentToken, uuid7 } from '../lib/ids.mjs';
import { Buyer, count, makeDraft, makeFarm, orderBody, recipient, shop, skuBody, stockOf } from '../lib/shop.mjs';
import { serviceToken } from '../lib/tokens.mjs';
import { until } from '../lib/until.mjs';

after(closeClients);

const S = grpc.status;
const HOLD_TTL_MS = 5000; // FRUIT_CATALOG_HOLD_TTL_S of tests/run.sh

// Refused by the limit of the first line, which tells how many are still allowed.
function assertRefused(answer, sku, limit, left) {
  assertProblem(answer, 409, 'buyer_limit_exceeded', '/lines/0/quantity');
  assert.deepEqual(answer.json.errors, [
    { pointer: '/lines/0/quantity', code: 'buyer_limit_exceeded', detail: `${sku.skuId}: 1인당 최대 ${limit}상자, 더 주문할 수 있는 수량 ${left}` },
  ]);
}

const patchSku = (farm, sku, json) => expectJson(200, `PATCH /api/v1/skus/${sku.skuId}`, { token: farm.token, json, headers: { 'if-match': `"${sku.version}"` } });
const reserve = async (orders) => {
  const { code, details, value: answer } = await rpc('fruit-catalog', 'Reserve', { orders }, serviceToken('order-manager'));
  assert.equal(code, S.OK, details);
  return answer.results;
};
const wish = (sku, buyerId, quantity, orderId = uuid7()) => ({ orderId, buyerId, lines: [{ skuId: sku.skuId, quantity, unitPriceKrw: sku.priceKrw }] });
const outcomes = (results) => results.map(({ outcome }) => outcome.replace('RESERVE_OUTCOME_', ''));
const release = (orderId) => rpc('fruit-catalog', 'Release', { orderIds: [orderId], reason: 'order_cancelled' }, serviceToken('order-manager'));

// ---- exactly the limit ---------------------------------------------------------------------------------------------------

test('a buyer has exactly the limit over several orders, and the refusal says how many are left', async () => {
  const { sku, buyers: [one, other] } = await shop({ stock: 50, perBuyerLimit: 5, buyers: 2 });
  await one.buys(sku, 2);
  await one.buys(sku, 1);
  assertRefused(await one.order(sku, 3), sku, 5, 2);
  await one.buys(sku, 2);
  assertRefused(await one.order(sku, 1), sku, 5, 0);
  await other.buys(sku, 5);
  assert.deepEqual([await boughtBy(one, sku), await boughtBy(other, sku), await stockOf(sku)], [5, 5, 40]);
  assert.deepEqual(await countedOf(sku), { [one.sub]: 5, [other.sub]: 5 });
});

test('30 parallel orders of one buyer give exactly the limit, and another buyer is not touched', async () => {
  const { sku, buyers: [one, other] } = await shop({ stock: 60, perBuyerLimit: 7, buyers: 2 });
  const [mine, others] = await Promise.all([
    Promise.all(Array.from({ length: 30 }, () => one.order(sku, 1))),
    Promise.all(Array.from({ length: 7 }, () => other.order(sku, 1))),
  ]);
  assert.deepEqual(count(mine), { 201: 7, 409: 23 });
  assert.deepEqual(count(others), { 201: 7 });
  for (const answer of mine.filter(({ status }) => status === 409)) assertProblem(answer, 409, 'buyer_limit_exceeded', '/lines/0/quantity');
  assert.deepEqual([await boughtBy(one, sku), await stockOf(sku)], [7, 46]);
  assert.deepEqual(await countedOf(sku), { [one.sub]: 7, [other.sub]: 7 });
});

test('parallel orders of two boxes under an odd limit leave one box', async () => {
  const { sku, buyer } = await shop({ stock: 60, perBuyerLimit: 7 });
  const answers = await Promise.all(Array.from({ length: 20 }, () => buyer.order(sku, 2)));
  assert.deepEqual(count(answers), { 201: 3, 409: 17 });
  assertRefused(await buyer.order(sku, 2), sku, 7, 1);
  await buyer.buys(sku, 1);
});

test('an order over the limit of one SKU takes nothing of its others', async () => {
  const [limited, free] = [await shop({ stock: 10, perBuyerLimit: 1 }), await shop({ stock: 10 })];
  const lines = [...orderBody(free.sku, 2).lines, ...orderBody(limited.sku, 2).lines];
  const answer = await free.buyer.send({ ...orderBody(free.sku), lines });
  assertProblem(answer, 409, 'buyer_limit_exceeded', '/lines/1/quantity');
  assert.equal(answer.json.errors.length, 1);
  assert.deepEqual([await stockOf(free.sku), await stockOf(limited.sku), await countedOf(limited.sku)], [10, 10, {}]);
});

test('the limit of one order goes before the limit per buyer, that before the price and the stock', async () => {
  const { sku, buyer } = await shop({ stock: 3, perOrderLimit: 6, perBuyerLimit: 4 });
  assertProblem(await buyer.order(sku, 7), 409, 'order_limit_exceeded', '/lines/0/quantity');
  assertRefused(await buyer.order(sku, 5), sku, 4, 4);
  assertRefused(await buyer.order({ ...sku, priceKrw: sku.priceKrw + 1 }, 5), sku, 4, 4);
  assertProblem(await buyer.order(sku, 4), 409, 'stock_short', '/lines/0/quantity');
});

test('of a SKU without a limit nothing is counted', async () => {
  const { sku, buyer } = await shop({ stock: 10 });
  assert.equal(sku.perBuyerLimit, null);
  await buyer.buys(sku, 3);
  assert.deepEqual(await countedOf(sku), {});
});

// ---- again, and back -----------------------------------------------------------------------------------------------------

test('the same key again is the same order and counts once', async () => {
  const { sku, buyer } = await shop({ stock: 10, perBuyerLimit: 3 });
  const [key, body] = [newKey(), orderBody(sku, 2)];
  const first = await buyer.send(body, key);
  for (let i = 0; i < 3; i += 1) assert.ok((await buyer.send(body, key)).bytes.equals(first.bytes));
  assert.deepEqual(await countedOf(sku), { [buyer.sub]: 2 });
  await buyer.buys(sku, 1);
  assert.ok((await buyer.send(body, key)).bytes.equals(first.bytes), 'also when nothing is left');
});

test('twenty at once with one key under a limit of one box are one order, and nobody is refused', async () => {
  const { sku, buyer } = await shop({ stock: 10, perBuyerLimit: 1 });
  const [key, body] = [newKey(), orderBody(sku, 1)];
  const answers = await Promise.all(Array.from({ length: 20 }, () => buyer.send(body, key)));
  assert.deepEqual(count(answers), { 201: 20 }, answers.map(({ text }) => text).join('\n'));
  assert.equal(new Set(answers.map(({ text }) => text)).size, 1);
  assert.equal(await boughtBy(buyer, sku), 1);
});

test('a refused order frees its key', async () => {
  const { sku, buyer } = await shop({ stock: 10, perBuyerLimit: 1 });
  const first = await buyer.buys(sku, 1);
  const [key, body] = [newKey(), orderBody(sku, 1)];
  assertRefused(await buyer.send(body, key), sku, 1, 0);
  await buyer.cancel(first.orderId);
  await until(async () => !(buyer.sub in (await countedOf(sku))), { within: 15_000, what: 'the cancelled box to be given back' });
  assert.equal((await buyer.send(body, key)).status, 201);
});

test('a cancelled order gives back what it took, once', async () => {
  const { sku, buyer } = await shop({ stock: 20, perBuyerLimit: 4 });
  const [kept, cancelled] = [await buyer.buys(sku, 1), await buyer.buys(sku, 3)];
  assertRefused(await buyer.order(sku, 1), sku, 4, 0);
  for (let i = 0; i < 3; i += 1) assert.equal((await buyer.cancel(cancelled.orderId)).status, 200);
  await until(async () => (await countedOf(sku))[buyer.sub] === 1, { within: 15_000, what: 'the cancelled boxes to be given back' });
  assert.equal((await release(cancelled.orderId)).code, S.OK); // what the sweeper, a repeated event or OrderManager would do
  assertRefused(await buyer.order(sku, 4), sku, 4, 3);
  await buyer.buys(sku, 3);
  assertRefused(await buyer.order(sku, 1), sku, 4, 0);
  assert.deepEqual([await boughtBy(buyer, sku), (await buyer.detail(kept.orderId)).status === 'CANCELLED'], [4, false]);
});

test('a hold whose order never came gives back once, by the sweeper', { timeout: 60_000 }, async () => {
  const { sku, buyer } = await shop({ stock: 20, perBuyerLimit: 4 });
  const lost = wish(sku, buyer.sub, 3);
  assert.deepEqual(outcomes(await reserve([lost])), ['RESERVED']);
  assertRefused(await buyer.order(sku, 2), sku, 4, 1);
  await buyer.buys(sku, 1);
  await until(async () => (await countedOf(sku))[buyer.sub] === 1, { within: HOLD_TTL_MS + 15_000, what: 'the lost hold to be given back' });
  assert.equal((await release(lost.orderId)).code, S.OK);
  assert.deepEqual(outcomes(await reserve([lost])), ['ORDER_CLOSED']);
  assert.deepEqual([await countedOf(sku), await stockOf(sku)], [{ [buyer.sub]: 1 }, 19]);
});

// ---- gRPC ----------------------------------------------------------------------------------------------------------------

test('Reserve counts the orders of one batch in their order, and says what was left', async () => {
  const { sku } = await shop({ stock: 50, perBuyerLimit: 5 });
  const [one, other] = [uuid7(), uuid7()];
  const wishes = [wish(sku, one, 3), wish(sku, one, 3), wish(sku, other, 5), wish(sku, one, 2), wish(sku, one, 1)];
  const results = await reserve(wishes);
  assert.deepEqual(outcomes(results), ['RESERVED', 'BUYER_LIMIT_EXCEEDED', 'RESERVED', 'RESERVED', 'BUYER_LIMIT_EXCEEDED']);
  assert.deepEqual(results.map(({ lines: [{ buyerLeft, ok }] }) => [buyerLeft, ok]), [[5, true], [2, false], [5, true], [2, true], [0, false]]);
  assert.equal(results[0].lines[0].sku.perBuyerLimit, 5);
  assert.deepEqual(outcomes(await reserve(wishes.slice(0, 1))), ['RESERVED'], 'again');
  assert.deepEqual(await countedOf(sku), { [one]: 5, [other]: 5 });
  for (let i = 0; i < 2; i += 1) assert.equal((await release(wishes[0].orderId)).code, S.OK);
  assert.deepEqual(await countedOf(sku), { [one]: 2, [other]: 5 });
});

test('30 Reserve calls at once for one buyer take exactly the limit', async () => {
  const { sku } = await shop({ stock: 50, perBuyerLimit: 11 });
  const buyer = uuid7();
  const answers = await Promise.all(Array.from({ length: 30 }, () => reserve([wish(sku, buyer, 1), wish(sku, buyer, 1)])));
  assert.equal(answers.flatMap(outcomes).filter((outcome) => outcome === 'RESERVED').length, 11);
  assert.deepEqual([await countedOf(sku), await stockOf(sku)], [{ [buyer]: 11 }, 39]);
});

test('GetSkus tells the limit, 0 when there is none', async () => {
  const [limited, free] = [await shop({ perBuyerLimit: 999 }), await shop()];
  const { value: answer } = await rpc('fruit-catalog', 'GetSkus', { skuIds: [limited.sku.skuId, free.sku.skuId] }, serviceToken('order-manager'));
  assert.deepEqual(answer.skus.map(({ perBuyerLimit }) => perBuyerLimit), [999, 0]);
});

test('PlaceOrder over the limit is FAILED_PRECONDITION', async () => {
  const { sku, buyer } = await shop({ perBuyerLimit: 2 });
  const place = (quantity) =>
    rpc('order-manager', 'PlaceOrder', { idempotencyKey: newKey(), paymentToken: paymentToken(), recipient: recipient(), lines: [{ skuId: sku.skuId, quantity, unitPriceKrw: sku.priceKrw }] }, buyer.token);
  assert.equal((await place(2)).code, S.OK);
  const refused = await place(1);
  assert.equal(refused.code, S.FAILED_PRECONDITION, refused.details);
});

// ---- setting, changing, taking away ----------------------------------------------------------------------------------------

test('a limit that is set later counts what was ordered before, without what was cancelled', async () => {
  const { farm, sku, buyers: [one, other] } = await shop({ stock: 50, buyers: 2 });
  const cancelled = await one.buys(sku, 4);
  await one.buys(sku, 2);
  await one.buys(sku, 1);
  await other.buys(sku, 9);
  await one.cancel(cancelled.orderId);
  await until(async () => (await value('SELECT state FROM catalog.holds WHERE order_id = $1', cancelled.orderId)) === 'RELEASED', { within: 15_000, what: 'the cancelled stock' });
  const limited = await patchSku(farm, sku, { perBuyerLimit: 5 });
  assert.equal(limited.perBuyerLimit, 5);
  assert.deepEqual(await countedOf(sku), { [one.sub]: 3, [other.sub]: 9 });
  assertRefused(await one.order(sku, 3), sku, 5, 2);
  assertRefused(await other.order(sku, 1), sku, 5, 0);
  await one.buys(sku, 2);
});

test('a limit is raised, lowered, taken away and set again, and the count stays right', async () => {
  const { farm, sku, buyer } = await shop({ stock: 50, perBuyerLimit: 2 });
  const first = await buyer.buys(sku, 2);
  let now = await patchSku(farm, sku, { perBuyerLimit: 4 });
  await buyer.buys(sku, 2);
  now = await patchSku(farm, now, { perBuyerLimit: 1 });
  assertRefused(await buyer.order(sku, 1), sku, 1, 0);
  now = await patchSku(farm, now, { perBuyerLimit: null });
  assert.deepEqual([now.perBuyerLimit, await countedOf(sku)], [null, {}]);
  await buyer.buys(sku, 3);
  now = await patchSku(farm, now, { perBuyerLimit: 8 });
  assert.deepEqual(await countedOf(sku), { [buyer.sub]: 7 });
  now = await patchSku(farm, now, { priceKrw: sku.priceKrw + 100 });
  assert.deepEqual([now.perBuyerLimit, await countedOf(sku)], [8, { [buyer.sub]: 7 }]);
  await buyer.cancel(first.orderId); // placed under another limit than the one of now
  await until(async () => (await countedOf(sku))[buyer.sub] === 5, { within: 15_000, what: 'the cancelled boxes to be given back' });
});

test('a limit that comes and goes while people order is right in the end', { timeout: 60_000 }, async () => {
  const { farm, sku, buyers } = await shop({ stock: 500, buyers: 3 });
  let isOver = false;
  const shopping = buyers.map(async (buyer) => {
    const placed = [];
    while (!isOver) {
      const answer = await buyer.order(sku, 1);
      if (answer.status === 201) placed.push(answer.json.orderId);
      else assertProblem(answer, 409, 'buyer_limit_exceeded');
      if (placed.length % 3 === 2) await buyer.cancel(placed.shift());
    }
  });
  let now = sku;
  for (const perBuyerLimit of [5, null, 10, 3, null, 8, null, 12]) {
    now = await patchSku(farm, now, { perBuyerLimit });
    await Promise.race([...shopping, buyers[0].order(sku, 1)]);
  }
  isOver = true;
  await Promise.all(shopping);
  await until(async () => (await value(`SELECT count(*) FROM catalog.hold_lines JOIN catalog.holds h USING (order_id) JOIN orders.orders o USING (order_id)
    WHERE sku_id = $1 AND o.status = 'CANCELLED' AND h.state <> 'RELEASED'`, sku.skuId)) === 0, { within: 15_000, what: 'what was cancelled to come back' });
  const counted = await countedOf(sku);
  assert.deepEqual(counted, Object.fromEntries(await Promise.all(buyers.map(async (buyer) => [buyer.sub, await boughtBy(buyer, sku)]))));
});

const BAD_LIMITS = [['0', 0], ['-1', -1], ['1000', 1000], ['a text', '5'], ['a fraction', 1.5], ['true', true]];
for (const [name, perBuyerLimit] of BAD_LIMITS) {
  test(`a limit per buyer of ${name} is refused by its name`, async () => {
    const farm = await makeFarm();
    const draft = await makeDraft(farm);
    await expectProblem(400, 'invalid_request', '/perBuyerLimit', `POST /api/v1/products/${draft.productId}/skus`, { token: farm.token, json: skuBody({ perBuyerLimit }) });
    const { farm: own, sku } = await shop();
    await expectProblem(400, 'invalid_request', '/perBuyerLimit', `PATCH /api/v1/skus/${sku.skuId}`, { token: own.token, json: { perBuyerLimit }, headers: { 'if-match': `"${sku.version}"` } });
  });
}

test('null is a value of an edit only', async () => {
  const farm = await makeFarm();
  const draft = await makeDraft(farm);
  await expectProblem(400, 'invalid_request', '/perBuyerLimit', `POST /api/v1/products/${draft.productId}/skus`, { token: farm.token, json: skuBody({ perBuyerLimit: null }) });
});

test('search and detail tell the limit, so that a page can say 1인당 N상자', async () => {
  const { farm, product, sku } = await shop({ perBuyerLimit: 3 });
  const shown = async () => [
    (await expectJson(200, `GET /api/v1/products/${product.productId}`)).skus[0].perBuyerLimit,
    (await expectJson(200, 'GET /api/v1/products', { query: { farmId: farm.farmId } })).items[0].skus[0].perBuyerLimit,
  ];
  assert.deepEqual(await shown(), [3, 3]);
  await patchSku(farm, sku, { perBuyerLimit: null });
  assert.equal((await shown())[0], null);
  await until(async () => (await shown())[1] === null, { what: 'search to follow' });
});

test('another buyer gets nothing from what this one gave back', async () => {
  const { sku, buyer } = await shop({ stock: 10, perBuyerLimit: 2 });
  const other = await Buyer.make();
  const order = await buyer.buys(sku, 2);
  await other.buys(sku, 2);
  await buyer.cancel(order.orderId);
  await until(async () => !(buyer.sub in (await countedOf(sku))), { within: 15_000, what: 'the cancelled boxes to be given back' });
  assertRefused(await other.order(sku, 1), sku, 2, 0);
});

test('whatever these tests did, what is counted is what is held', async () => {
  await until(async () => (await value(BUYERS_WRONG)) === 0, { what: 'the count of every SKU to be right' });
});
