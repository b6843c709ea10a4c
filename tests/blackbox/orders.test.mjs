// SPDX-License-Identifier: Apache-2.0
// Placing and reading orders: the answer's shape, the stock it takes, one order a key, no box sold twice, what is refused, and whose
// order it is.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { after, before, test } from 'node:test';

import { rows, value } from '../lib/db.mjs';
import { checkMessage, listen } from '../lib/events.mjs';
import { closeClients, grpc, rpc } from '../lib/grpc.mjs';
import { assertProblem, call, expectJson, expectProblem } from '../lib/http.mjs';
import { newKey, paymentToken, uuid7 } from '../lib/ids.mjs';
import { Buyer, count, ledgerOf, orderBody, recipient, shop, stockOf } from '../lib/shop.mjs';
import { SERVICES, service, stack } from '../lib/stack.mjs';
import { operatorToken, serviceToken } from '../lib/tokens.mjs';
import { until } from '../lib/until.mjs';

after(closeClients);

const S = grpc.status;
const ordersOf = (buyer) => value('SELECT count(*) FROM orders.orders WHERE buyer_id = $1', buyer.sub);

// ---- the answer --------------------------------------------------------------------------------------------------------

test('an order answers 201 with the contract\'s shape and a Location that leads to it', async () => {
  const { farm, product, sku, buyer } = await shop({ priceKrw: 32_900 });
  const body = orderBody(sku, 2, { giftMessage: '생일 축하해요', recipient: recipient({ phone: '01012345678', address2: '10층', doorNote: '문 앞' }) });
  const answer = await buyer.send(body);
  assert.equal(answer.status, 201, answer.text);
  const order = answer.json;
  assert.equal(answer.headers.get('location'), `/api/v1/orders/${order.orderId}`);
  assert.match(order.orderId, /^[0-9a-f]{8}-[0-9a-f]{4}-7/);
  const { lines, orderId, orderNo, createdAt, ...rest } = order;
  assert.deepEqual(rest, {
    status: 'PLACED',
    deliveryStatus: null,
    totalKrw: 65_800,
    itemsKrw: 65_800,
    shippingFeeKrw: 0,
    recipient: { name: '홍길동', phone: '010-1234-5678', postcode: '06236', address1: '서울 강남구 테헤란로 152', address2: '10층', doorNote: '문 앞' },
    giftMessage: '생일 축하해요',
    payment: { maskedToken: `pay_****${body.paymentToken.slice(-4)}` },
  });
  const seoulDay = new Date(Date.parse(createdAt) + 9 * 3600_000).toISOString().slice(0, 10).replaceAll('-', '');
  assert.equal(orderNo.slice(0, 8), seoulDay);
  assert.deepEqual(lines, [
    {
      skuId: sku.skuId, productId: product.productId, farmId: farm.farmId, farmName: farm.name, title: product.title, grade: '특',
      weightG: 5000, quantity: 2, unitPriceKrw: 32_900, lineKrw: 65_800, lotId: lines[0].lotId,
    },
  ]);
  const detail = await buyer.detail(orderId);
  assert.equal(detail.orderId, orderId);
  assert.deepEqual(detail.lines, lines);
});

const FEES = [
  { name: 'below 50,000 KRW pays 3,500', priceKrw: 49_999, fee: 3500 },
  { name: 'of exactly 50,000 KRW is delivered free', priceKrw: 50_000, fee: 0 },
];
for (const { name, priceKrw, fee } of FEES) {
  test(`an order ${name}`, async () => {
    const { sku, buyer } = await shop({ priceKrw });
    const order = await buyer.buys(sku);
    assert.deepEqual([order.itemsKrw, order.shippingFeeKrw, order.totalKrw], [priceKrw, fee, priceKrw + fee]);
  });
}

test('the payment token is nowhere stored whole', async () => {
  const { sku, buyer } = await shop();
  const body = orderBody(sku);
  const { json } = await buyer.send(body);
  const stored = await value('SELECT row_to_json(o)::text FROM orders.orders o WHERE order_id = $1', json.orderId);
  assert.ok(!stored.includes(body.paymentToken));
});

test('an order of many lines of two farms takes each SKU', async () => {
  const [a, b] = [await shop({ stock: 5 }), await shop({ stock: 5 })];
  const buyer = a.buyer;
  const order = await buyer.send({ ...orderBody(a.sku, 2), lines: [...orderBody(a.sku, 2).lines, ...orderBody(b.sku, 3).lines] });
  assert.equal(order.status, 201, order.text);
  assert.deepEqual([await stockOf(a.sku), await stockOf(b.sku)], [3, 2]);
});

// ---- stock -------------------------------------------------------------------------------------------------------------

test('stock falls by exactly the quantity, and the ledger names the order', async () => {
  const { farm, sku, buyer } = await shop({ stock: 10 });
  const order = await buyer.buys(sku, 3);
  assert.equal(await stockOf(sku), 7);
  const [row, ...others] = (await ledgerOf(farm, sku)).filter((one) => one.kind === 'RESERVATION');
  assert.deepEqual([row.delta, row.availableAfter, row.orderId, row.actor, others.length], [-3, 7, order.orderId, 'buyer', 0]);
});

test('a sold-out box is never sold again: 200 buyers, 100 boxes', async () => {
  const { farm, sku, buyers } = await shop({ stock: 100, buyers: 200 });
  const answers = await Promise.all(buyers.map((buyer) => buyer.order(sku, 1)));
  assert.deepEqual(count(answers), { 201: 100, 409: 100 });
  for (const answer of answers.filter((one) => one.status === 409)) assertProblem(answer, 409, 'stock_short', '/lines/0/quantity');
  assert.equal(await stockOf(sku), 0);
  const sums = await rows('SELECT count(DISTINCT order_id) AS orders, sum(delta) AS delta FROM catalog.stock_ledger WHERE sku_id = $1 AND order_id IS NOT NULL', sku.skuId);
  assert.deepEqual(sums, [{ orders: 100, delta: -100 }]);
  assert.equal(await value('SELECT count(*) FROM orders.order_lines WHERE sku_id = $1', sku.skuId), 100);
  assert.equal((await ledgerOf(farm, sku))[0].availableAfter, 0);
});

test('orders of several boxes never take more than there is', async () => {
  const { sku, buyers } = await shop({ stock: 50, buyers: 40 });
  const answers = await Promise.all(buyers.map((buyer, i) => buyer.order(sku, (i % 5) + 1)));
  const sold = answers.filter((answer) => answer.status === 201).reduce((sum, answer) => sum + answer.json.lines[0].quantity, 0);
  assert.equal(await stockOf(sku), 50 - sold);
  assert.ok(sold <= 50 && sold > 45, `${sold} sold`); // only one that is larger than the rest is refused
});

test('an order is all or nothing', async () => {
  const [plenty, scarce] = [await shop({ stock: 10 }), await shop({ stock: 1 })];
  const answer = await plenty.buyer.send({ ...orderBody(plenty.sku), lines: [...orderBody(plenty.sku, 2).lines, ...orderBody(scarce.sku, 2).lines] });
  assertProblem(answer, 409, 'stock_short', '/lines/1/quantity');
  assert.equal(answer.json.errors.length, 1);
  assert.ok(answer.json.errors[0].detail.startsWith(scarce.sku.skuId), answer.text);
  assert.deepEqual([await stockOf(plenty.sku), await stockOf(scarce.sku), await ordersOf(plenty.buyer)], [10, 1, 0]);
});

// ---- one order a key ---------------------------------------------------------------------------------------------------

test('the same request again answers the same bytes and orders nothing', async () => {
  const { sku, buyer } = await shop({ stock: 10 });
  const [key, body] = [newKey(), orderBody(sku, 2)];
  const first = await buyer.send(body, key);
  const again = await buyer.send(body, key);
  assert.deepEqual([again.status, again.headers.get('location')], [201, first.headers.get('location')]);
  assert.ok(again.bytes.equals(first.bytes), `${first.text}\n${again.text}`);
  assert.deepEqual([await ordersOf(buyer), await stockOf(sku)], [1, 8]);
});

test('the same order in another order of fields is the same', async () => {
  const { sku, buyer } = await shop({ stock: 10 });
  const [key, body] = [newKey(), orderBody(sku)];
  const first = await buyer.send(body, key);
  const again = await buyer.send(Object.fromEntries(Object.entries(body).reverse()), key);
  assert.ok(again.bytes.equals(first.bytes));
});

const OTHERS = [
  ['quantity', (body) => ({ ...body, lines: [{ ...body.lines[0], quantity: 2 }] })],
  ['payment', (body) => ({ ...body, paymentToken: paymentToken() })],
  ['recipient', (body) => ({ ...body, recipient: recipient({ name: '임꺽정' }) })],
  ['gift message', (body) => ({ ...body, giftMessage: '다른 말' })],
];
for (const [name, change] of OTHERS) {
  test(`the same key with another ${name} answers 422`, async () => {
    const { sku, buyer } = await shop({ stock: 10 });
    const [key, body] = [newKey(), orderBody(sku)];
    assert.equal((await buyer.send(body, key)).status, 201);
    assertProblem(await buyer.send(change(body), key), 422, 'key_reused', 'Idempotency-Key');
    assert.deepEqual([await ordersOf(buyer), await stockOf(sku)], [1, 9]);
  });
}

test('two at once with one key make one order', async () => {
  const { sku, buyer } = await shop({ stock: 10 });
  const [key, body] = [newKey(), orderBody(sku)];
  const answers = await Promise.all([buyer.send(body, key), buyer.send(body, key)]);
  assert.deepEqual(count(answers), { 201: 2 }, answers.map((answer) => answer.text).join('\n'));
  assert.ok(answers[0].bytes.equals(answers[1].bytes));
  assert.equal(await ordersOf(buyer), 1);
  await until(async () => (await stockOf(sku)) === 9, { what: 'the stock of the one that lost to return' });
});

test('twenty at once with one key make one order', async () => {
  const { sku, buyer } = await shop({ stock: 50 });
  const [key, body] = [newKey(), orderBody(sku)];
  const answers = await Promise.all(Array.from({ length: 20 }, () => buyer.send(body, key)));
  assert.equal(await ordersOf(buyer), 1);
  const placed = answers.filter((answer) => answer.status === 201);
  assert.equal(placed.length, 20, JSON.stringify(count(answers)));
  assert.equal(new Set(placed.map((answer) => answer.text)).size, 1);
  await until(async () => (await stockOf(sku)) === 49, { what: 'the stock of those that lost to return' });
});

test('two buyers may use the same key', async () => {
  const { sku, buyers: [one, two] } = await shop({ buyers: 2 });
  const [key, body] = [newKey(), orderBody(sku)];
  const answers = [await one.send(body, key), await two.send(body, key)];
  assert.deepEqual(count(answers), { 201: 2 });
  assert.notEqual(answers[0].json.orderId, answers[1].json.orderId);
});

test('a refused order frees its key', async () => {
  const { farm, sku, buyer } = await shop({ stock: 0 });
  const [key, body] = [newKey(), orderBody(sku)];
  assertProblem(await buyer.send(body, key), 409, 'stock_short');
  await expectJson(200, `POST /api/v1/skus/${sku.skuId}/stock-adjustments`, { token: farm.token, json: { delta: 5, reason: '추가 입고' } });
  assert.equal((await buyer.send(body, key)).status, 201);
});

const BAD_KEYS = [['missing', null], ['of 7 characters', '1234567'], ['of 129 characters', 'k'.repeat(129)], ['with a space', 'key with space'], ['in Korean', Buffer.from('키'.repeat(8)).toString('latin1')]];
for (const [name, key] of BAD_KEYS) {
  test(`an Idempotency-Key ${name} is refused`, async () => {
    const { sku, buyer } = await shop();
    const answer = await call('POST /api/v1/orders', { token: buyer.token, json: orderBody(sku), headers: key === null ? {} : { 'idempotency-key': key } });
    assertProblem(answer, 400, 'invalid_request', 'Idempotency-Key');
    assert.equal(await ordersOf(buyer), 0);
  });
}

// ---- what the catalogue refuses ----------------------------------------------------------------------------------------

test('another price than the catalogue\'s is price_changed, and names the SKU', async () => {
  const { farm, sku, buyer } = await shop({ stock: 5, priceKrw: 30_000 });
  await expectJson(200, `PATCH /api/v1/skus/${sku.skuId}`, { token: farm.token, json: { priceKrw: 31_000 }, headers: { 'if-match': `"${sku.version}"` } });
  const answer = await buyer.order(sku);
  assertProblem(answer, 409, 'price_changed', '/lines/0/unitPriceKrw');
  assert.match(answer.json.errors[0].detail, new RegExp(`${sku.skuId}.*31,?000`));
  assert.deepEqual([await stockOf(sku), await ordersOf(buyer)], [5, 0]);
  await buyer.buys({ ...sku, priceKrw: 31_000 });
});

test('more than the per-order limit is refused', async () => {
  const { sku, buyer } = await shop({ stock: 50, perOrderLimit: 3 });
  assertProblem(await buyer.order(sku, 4), 409, 'order_limit_exceeded', '/lines/0/quantity');
  assert.equal(await stockOf(sku), 50);
  await buyer.buys(sku, 3);
});

test('an unknown SKU is unavailable', async () => {
  const buyer = await Buyer.make();
  assertProblem(await buyer.order({ skuId: uuid7(), priceKrw: 1000 }), 409, 'sku_unavailable', '/lines/0/skuId');
});

test('a SKU of a draft, a paused product, or taken off sale is unavailable', async () => {
  const { farm, product, sku, buyer } = await shop();
  await expectJson(200, `PATCH /api/v1/skus/${sku.skuId}`, { token: farm.token, json: { isOnSale: false }, headers: { 'if-match': `"${sku.version}"` } });
  assertProblem(await buyer.order(sku), 409, 'sku_unavailable', '/lines/0/skuId');
  const { farm: farm2, product: paused, sku: sku2 } = await shop();
  await expectJson(200, `PATCH /api/v1/products/${paused.productId}`, { token: farm2.token, json: { status: 'PAUSED' }, headers: { 'if-match': `"${paused.version}"` } });
  assertProblem(await buyer.order(sku2), 409, 'sku_unavailable', '/lines/0/skuId');
  assert.equal(product.status, 'ON_SALE');
});

test('several faulty lines are named each, with the code of the worst', async () => {
  const a = await shop({ stock: 1 });
  const body = { ...orderBody(a.sku), lines: [{ skuId: a.sku.skuId, quantity: 2, unitPriceKrw: a.sku.priceKrw }, { skuId: uuid7(), quantity: 1, unitPriceKrw: 1000 }] };
  const answer = await a.buyer.send(body);
  assertProblem(answer, 409, 'sku_unavailable', '/lines/1/skuId');
  assert.ok(answer.json.errors.some((fault) => fault.code === 'stock_short' && fault.pointer === '/lines/0/quantity'), answer.text);
});

// ---- what breaks the contract ------------------------------------------------------------------------------------------

const line = (more) => (body) => ({ ...body, lines: [{ ...body.lines[0], ...more }] });
const to = (more) => (body) => ({ ...body, recipient: { ...body.recipient, ...more } });
const BAD_ORDERS = [
  ['no lines', (body) => ({ ...body, lines: [] }), '/lines'],
  ['21 lines', (body) => ({ ...body, lines: Array.from({ length: 21 }, () => ({ ...body.lines[0], skuId: uuid7() })) }), '/lines'],
  ['the same SKU twice', (body) => ({ ...body, lines: [body.lines[0], body.lines[0]] }), '/lines/1/skuId'],
  ['a quantity of 0', line({ quantity: 0 }), '/lines/0/quantity'],
  ['a negative quantity', line({ quantity: -1 }), '/lines/0/quantity'],
  ['a quantity of 100', line({ quantity: 100 }), '/lines/0/quantity'],
  ['a quantity in quotes', line({ quantity: '1' }), '/lines/0/quantity'],
  ['a price of 0', line({ unitPriceKrw: 0 }), '/lines/0/unitPriceKrw'],
  ['a SKU id that is none', line({ skuId: 'apple' }), '/lines/0/skuId'],
  ['an unknown field of a line', line({ discount: 100 }), '/lines/0/discount'],
  ['a payment token without pay_', (body) => ({ ...body, paymentToken: `tok_${'a'.repeat(24)}` }), '/paymentToken'],
  ['a payment token of 23 characters', (body) => ({ ...body, paymentToken: `pay_${'a'.repeat(23)}` }), '/paymentToken'],
  ['a payment token of 65 characters', (body) => ({ ...body, paymentToken: `pay_${'a'.repeat(65)}` }), '/paymentToken'],
  ['a payment token with signs', (body) => ({ ...body, paymentToken: `pay_${'a'.repeat(23)}-` }), '/paymentToken'],
  ['a line break after the payment token', (body) => ({ ...body, paymentToken: `pay_${'a'.repeat(24)}\n` }), '/paymentToken'],
  ['no recipient', ({ recipient: _, ...body }) => body, '/recipient'],
  ['a landline', to({ phone: '02-123-4567' }), '/recipient/phone'],
  ['a phone of letters', to({ phone: '010-ABCD-5678' }), '/recipient/phone'],
  ['a postcode of 6 digits', to({ postcode: '123456' }), '/recipient/postcode'],
  ['full-width digits in the postcode', to({ postcode: '０６２３６' }), '/recipient/postcode'],
  ['no name', to({ name: undefined }), '/recipient/name'],
  ['a blank name', to({ name: '   ' }), '/recipient/name'],
  ['a name of 51 characters', to({ name: '가'.repeat(51) }), '/recipient/name'],
  ['a gift message of 201 characters', (body) => ({ ...body, giftMessage: '가'.repeat(201) }), '/giftMessage'],
  ['a buyer of one\'s choice', (body) => ({ ...body, buyerId: uuid7() }), '/buyerId'],
  ['a status of one\'s choice', (body) => ({ ...body, status: 'DELIVERED' }), '/status'],
];
let badShop;
before(async () => {
  badShop = await shop({ stock: 5 });
});
for (const [name, change, pointer] of BAD_ORDERS) {
  test(`an order with ${name} is refused at ${pointer}`, async () => {
    const buyer = await Buyer.make();
    assertProblem(await buyer.send(change(orderBody(badShop.sku))), 400, 'invalid_request', pointer);
    assert.deepEqual([await ordersOf(buyer), await stockOf(badShop.sku)], [0, 5]);
  });
}

test('phones with and without hyphens are taken', async () => {
  const { sku, buyer } = await shop();
  for (const phone of ['010-1234-5678', '01012345678', '010-12345678']) {
    const order = await buyer.buys(sku, 1, { recipient: recipient({ phone }) });
    assert.equal(order.recipient.phone, '010-1234-5678');
  }
});

test('names with emoji, combining marks and right-to-left letters come back as they were', async () => {
  const { sku, buyer } = await shop();
  const name = '한글 🍎 é مرحبا';
  const order = await buyer.buys(sku, 1, { recipient: recipient({ name }), giftMessage: '첫 줄\n둘째 줄' });
  assert.deepEqual([order.recipient.name, order.giftMessage], [name, '첫 줄\n둘째 줄']);
});

// ---- reading -----------------------------------------------------------------------------------------------------------

test('a buyer lists own orders, newest first, page by page, and by status', async () => {
  const { sku, buyer, buyers } = await shop({ buyers: 2 });
  const placed = [];
  for (let i = 0; i < 5; i += 1) placed.unshift((await buyer.buys(sku)).orderId);
  await buyers[1].buys(sku);
  const listed = [];
  let cursor;
  do {
    const page = await expectJson(200, 'GET /api/v1/orders', { token: buyer.token, query: { limit: 2, cursor } });
    assert.ok(page.items.length <= 2);
    listed.push(...page.items.map((order) => order.orderId));
    cursor = page.nextCursor;
  } while (cursor);
  assert.deepEqual(listed, placed);
  assert.deepEqual((await expectJson(200, 'GET /api/v1/orders', { token: buyer.token, query: { status: 'CANCELLED' } })).items, []);
});

const BAD_LISTS = [['limit 0', { limit: 0 }, '?limit'], ['limit 101', { limit: 101 }, '?limit'], ['an unknown status', { status: 'LOST' }, '?status'], ['an unknown parameter', { buyerId: uuid7() }, '?buyerId'], ['a forged cursor', { cursor: 'AAAA' }, '?cursor']];
for (const [name, query, pointer] of BAD_LISTS) {
  test(`a list of orders with ${name} is refused`, async () => {
    const buyer = await Buyer.make();
    await expectProblem(400, 'invalid_request', pointer, 'GET /api/v1/orders', { token: buyer.token, query });
  });
}

test('another buyer\'s order is not found, over REST and gRPC, and looks like one that is not there', async () => {
  const { sku, buyers: [owner, other] } = await shop({ buyers: 2 });
  const { orderId } = await owner.buys(sku);
  for (const id of [orderId, uuid7()]) {
    await expectProblem(404, 'not_found', null, `GET /api/v1/orders/${id}`, { token: other.token });
    const answer = await rpc('order-manager', 'GetOrder', { orderId: id }, other.token);
    assert.equal(answer.code, S.NOT_FOUND);
  }
  assert.equal((await expectJson(200, `GET /api/v1/orders/${orderId}`, { token: await operatorToken() })).orderId, orderId);
});

test('a farm sees the orders of its own products only, without other farms\' lines and payment', async () => {
  const [a, b] = [await shop(), await shop()];
  const { json } = await a.buyer.send({ ...orderBody(a.sku), lines: [...orderBody(a.sku, 2).lines, ...orderBody(b.sku, 1).lines] });
  const seen = await expectJson(200, `GET /api/v1/farms/${a.farm.farmId}/orders`, { token: a.farm.token });
  assert.deepEqual(seen.items.map((order) => order.orderId), [json.orderId]);
  assert.deepEqual(seen.items[0].lines.map((row) => row.skuId), [a.sku.skuId]);
  assert.equal(seen.items[0].farmItemsKrw, 2 * a.sku.priceKrw);
  await expectProblem(404, 'not_found', null, `GET /api/v1/farms/${a.farm.farmId}/orders`, { token: b.farm.token });
  await expectProblem(404, 'not_found', null, `GET /api/v1/farms/${a.farm.farmId}/orders`, { token: a.buyer.token });
  assert.equal((await expectJson(200, `GET /api/v1/farms/${a.farm.farmId}/orders`, { token: await operatorToken() })).items.length, 1);
});

test('answers with personal data are not to be cached', async () => {
  const { sku, buyer } = await shop();
  const { orderId } = await buyer.buys(sku);
  for (const path of [`/api/v1/orders/${orderId}`, '/api/v1/orders']) {
    assert.match((await call(`GET ${path}`, { token: buyer.token })).headers.get('cache-control') ?? '', /no-store/);
  }
});

// ---- gRPC --------------------------------------------------------------------------------------------------------------

const placeRequest = (sku, key, quantity = 1, more = {}) => ({
  idempotencyKey: key,
  paymentToken: paymentToken(),
  recipient: recipient(),
  lines: [{ skuId: sku.skuId, quantity, unitPriceKrw: sku.priceKrw }],
  ...more,
});

test('PlaceOrder over gRPC is the same order as over REST', async () => {
  const { sku, buyer } = await shop({ stock: 10 });
  const request = placeRequest(sku, newKey(), 2);
  const placed = await rpc('order-manager', 'PlaceOrder', request, buyer.token);
  assert.equal(placed.code, S.OK, placed.details);
  const { order } = placed.value;
  assert.deepEqual([order.status, order.deliveryStatus, order.itemsKrw, await stockOf(sku)], ['ORDER_STATUS_PLACED', '', 2 * sku.priceKrw, 8]);
  assert.equal((await buyer.detail(order.orderId)).orderNo, order.orderNo);
  const again = await rpc('order-manager', 'PlaceOrder', request, buyer.token);
  assert.deepEqual([again.code, again.value?.order.orderId, await stockOf(sku)], [S.OK, order.orderId, 8], again.details);
  const other = await rpc('order-manager', 'PlaceOrder', { ...request, giftMessage: '다른 말' }, buyer.token);
  assert.equal(other.code, S.INVALID_ARGUMENT);
  const got = await rpc('order-manager', 'GetOrder', { orderId: order.orderId }, buyer.token);
  assert.deepEqual([got.code, got.value.order.orderNo], [S.OK, order.orderNo]);
});

test('one key belongs to one order over REST and gRPC together', async () => {
  const { sku, buyer } = await shop({ stock: 10 });
  const [key, request] = [newKey(), placeRequest(sku, newKey())];
  const rest = await buyer.send({ paymentToken: request.paymentToken, recipient: request.recipient, lines: request.lines }, key);
  const call2 = await rpc('order-manager', 'PlaceOrder', { ...request, idempotencyKey: key }, buyer.token);
  assert.deepEqual([call2.code, call2.value?.order.orderId], [S.OK, rest.json.orderId], call2.details);
  assert.equal(await stockOf(sku), 9);
});

const BAD_CALLS = [
  ['stock that is short', (sku) => placeRequest(sku, newKey(), 50), S.FAILED_PRECONDITION],
  ['another price', (sku) => placeRequest({ ...sku, priceKrw: sku.priceKrw + 1 }, newKey()), S.FAILED_PRECONDITION],
  ['no key', (sku) => placeRequest(sku, ''), S.INVALID_ARGUMENT],
  ['no recipient', (sku) => placeRequest(sku, newKey(), 1, { recipient: null }), S.INVALID_ARGUMENT],
  ['a bad phone', (sku) => placeRequest(sku, newKey(), 1, { recipient: recipient({ phone: '02-123-4567' }) }), S.INVALID_ARGUMENT],
  ['a bad payment token', (sku) => placeRequest(sku, newKey(), 1, { paymentToken: 'pay_' }), S.INVALID_ARGUMENT],
  ['the same SKU twice', (sku) => ({ ...placeRequest(sku, newKey()), lines: Array(2).fill(placeRequest(sku, 'x').lines[0]) }), S.INVALID_ARGUMENT],
];
for (const [name, make, status] of BAD_CALLS) {
  test(`PlaceOrder with ${name} is ${S[status]}`, async () => {
    const { sku, buyer } = await shop({ stock: 5 });
    const answer = await rpc('order-manager', 'PlaceOrder', make(sku), buyer.token);
    assert.equal(answer.code, status, `${answer.codeName}: ${answer.details}`);
    assert.deepEqual([await ordersOf(buyer), await stockOf(sku)], [0, 5]);
  });
}

// ---- the stock's protocol ----------------------------------------------------------------------------------------------

const reserve = (orders) => rpc('fruit-catalog', 'Reserve', { orders }, serviceToken('order-manager'));
const reservation = (sku, quantity = 1, orderId = uuid7()) => ({ orderId, buyerId: uuid7(), lines: [{ skuId: sku.skuId, quantity, unitPriceKrw: sku.priceKrw }] });

test('Reserve decides first in, first out, each order as a whole', async () => {
  const { sku } = await shop({ stock: 5 });
  const answer = await reserve([reservation(sku, 3), reservation(sku, 3), reservation(sku, 2)]);
  assert.equal(answer.code, S.OK, answer.details);
  assert.deepEqual(answer.value.results.map((result) => result.outcome), ['RESERVE_OUTCOME_RESERVED', 'RESERVE_OUTCOME_STOCK_SHORT', 'RESERVE_OUTCOME_RESERVED']);
  assert.deepEqual(answer.value.results[1].lines.map((row) => [row.available, row.ok]), [[2, false]]);
  assert.equal(await stockOf(sku), 0);
});

test('Reserve is idempotent on the order, and a released order never holds again', async () => {
  const { farm, sku } = await shop({ stock: 5 });
  const wish = reservation(sku, 2);
  for (let i = 0; i < 3; i += 1) assert.equal((await reserve([wish])).value.results[0].outcome, 'RESERVE_OUTCOME_RESERVED');
  assert.equal(await stockOf(sku), 3);
  for (let i = 0; i < 2; i += 1) {
    const released = await rpc('fruit-catalog', 'Release', { orderIds: [wish.orderId], reason: 'order_cancelled' }, serviceToken('order-manager'));
    assert.deepEqual(released.value?.releasedOrderIds, [wish.orderId], released.details);
  }
  assert.equal(await stockOf(sku), 5);
  assert.equal((await reserve([wish])).value.results[0].outcome, 'RESERVE_OUTCOME_ORDER_CLOSED');
  assert.deepEqual((await ledgerOf(farm, sku)).filter((row) => row.orderId === wish.orderId).map((row) => [row.kind, row.delta]), [['RELEASE', 2], ['RESERVATION', -2]]);
});

test('a Release that overtakes its Reserve closes the order', async () => {
  const { sku } = await shop({ stock: 5 });
  const wish = reservation(sku);
  await rpc('fruit-catalog', 'Release', { orderIds: [wish.orderId], reason: 'order_lost' }, serviceToken('order-manager'));
  assert.equal((await reserve([wish])).value.results[0].outcome, 'RESERVE_OUTCOME_ORDER_CLOSED');
  assert.equal(await stockOf(sku), 5);
});

test('GetSkus answers in the order asked and leaves out what is unknown', async () => {
  const [a, b] = [await shop(), await shop()];
  const answer = await rpc('fruit-catalog', 'GetSkus', { skuIds: [b.sku.skuId, uuid7(), a.sku.skuId] }, serviceToken('order-manager'));
  assert.deepEqual(answer.value.skus.map((sku) => sku.skuId), [b.sku.skuId, a.sku.skuId]);
  assert.deepEqual([answer.value.skus[1].priceKrw, answer.value.skus[1].onSale, answer.value.skus[1].farmName], [a.sku.priceKrw, true, a.farm.name]);
});

test('ResolveOrders tells the fate of orders, and fences what it never heard of', async () => {
  const { sku, buyer } = await shop();
  const { orderId } = await buyer.buys(sku);
  const lost = uuid7();
  for (let i = 0; i < 2; i += 1) {
    const answer = await rpc('order-manager', 'ResolveOrders', { orderIds: [lost, orderId] }, serviceToken('fruit-catalog'));
    assert.deepEqual(answer.value?.resolutions, [{ orderId: lost, fate: 'ORDER_FATE_ABORTED' }, { orderId, fate: 'ORDER_FATE_PLACED' }], answer.details);
  }
  assert.equal(await value('SELECT status FROM orders.orders WHERE order_id = $1', lost), 'ABORTED');
  await expectProblem(404, 'not_found', null, `GET /api/v1/orders/${lost}`, { token: await operatorToken() });
});

// ---- what OrderManager tells others ------------------------------------------------------------------------------------

test('order.placed tells of the order without personal data, in the trace of its request', async () => {
  const events = await listen('order.placed.v1');
  const { farm, product, sku, buyer } = await shop();
  const traceId = uuid7().replaceAll('-', '');
  const answer = await buyer.send(orderBody(sku, 2), newKey(), { headers: { traceparent: `00-${traceId}-00f067aa0ba902b7-01` } });
  const order = answer.json;
  const event = await events.find('order.placed.v1', order.orderId);
  await events.close();
  checkMessage(event);
  assert.deepEqual(event.body.data, {
    orderId: order.orderId,
    orderNo: order.orderNo,
    buyerId: buyer.sub,
    totalKrw: order.totalKrw,
    lines: [{ skuId: sku.skuId, productId: product.productId, farmId: farm.farmId, quantity: 2, unitPriceKrw: sku.priceKrw, lotId: order.lines[0].lotId }],
    recipientRegion: '06',
    placedAt: order.createdAt,
  });
  assert.equal(event.body.traceparent.split('-')[1], traceId);
  assert.doesNotMatch(JSON.stringify(event.body), /홍길동|1234-5678|테헤란로/);
});

test('every order is told once', async () => {
  const events = await listen('order.placed.v1');
  const { sku, buyers } = await shop({ stock: 60, buyers: 60 });
  const orders = await Promise.all(buyers.map((buyer) => buyer.buys(sku)));
  const mine = new Set(orders.map((order) => order.orderId));
  await until(() => mine.size === new Set(events.all.map((event) => event.body.subject).filter((id) => mine.has(id))).size, { what: 'an event of each order' });
  await until(async () => (await value('SELECT count(*) FROM orders.outbox WHERE sent_at IS NULL AND subject = ANY($1)', [...mine])) === 0, { what: 'the outbox to be drained' });
  assert.equal(events.all.filter((event) => mine.has(event.body.subject)).length, 60);
  await events.close();
});

test('logs never hold names, phones, addresses, payment or bearer tokens', async () => {
  const { sku, buyer } = await shop();
  const secret = { name: '김비밀아무개', phone: '010-9753-8642', address1: '서울 비밀구 아무로 77777' };
  const body = orderBody(sku, 1, { recipient: recipient(secret) });
  const order = await buyer.send(body);
  await buyer.detail(order.json.orderId);
  await buyer.send({ ...body, recipient: { ...body.recipient, phone: '비밀번호' } });
  for (const name of SERVICES) {
    const log = readFileSync(`${stack.var}/log/${name}.log`, 'utf8');
    for (const word of [...Object.values(secret), body.paymentToken, buyer.token.split('.')[2]]) assert.ok(!log.includes(word), `${name} logged ${word}`);
  }
});

test('each line of the log is one JSON object with its trace', async () => {
  const traceId = uuid7().replaceAll('-', '');
  await call('GET /api/v1/orders', { base: service('order-manager').http, headers: { traceparent: `00-${traceId}-00f067aa0ba902b7-01` } });
  const line = await until(() => readFileSync(`${stack.var}/log/order-manager.log`, 'utf8').split('\n').find((one) => one.includes(traceId)), { what: 'the request in the log' });
  const { trace_id: logged } = JSON.parse(line);
  assert.equal(logged, traceId);
});
