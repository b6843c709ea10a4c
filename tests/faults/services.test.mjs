// SPDX-License-Identifier: Apache-2.0
// A service goes away, or a key changes, while the others work: each fault is felt only where it must be, and nothing that was
// acknowledged is lost. Runs alone.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';

import { BUYERS_WRONG } from '../lib/buyers.mjs';
import { value } from '../lib/db.mjs';
import { closeClients, grpc, rpc } from '../lib/grpc.mjs';
import { assertProblem, call, expectJson } from '../lib/http.mjs';
import { newKey, uuid7 } from '../lib/ids.mjs';
import { ledgerOf, orderBody, shop, stockOf } from '../lib/shop.mjs';
import { sse, take } from '../lib/sse.mjs';
import { SERVICES, dev, environmentOf, pidOf, readiness, service, stack, start, stopNow } from '../lib/stack.mjs';
import { buyerToken, operatorToken, serviceToken } from '../lib/tokens.mjs';
import { timed, until, within } from '../lib/until.mjs';

let world;
before(async () => {
  await expectJson(200, 'PUT /api/v1/simulation', { token: await operatorToken(), json: { paused: true, speed: 1, readyMeanS: 600, routeMeanS: 1200 } });
  world = await shop({ stock: 500, perBuyerLimit: 999 });
});
after(async () => {
  for (const name of SERVICES) await start(name);
  closeClients();
});

// PREPARING, not only READY: OrderManager has heard of the delivery, and need not ask for it.
const ready = (orderId) => until(async () => (await world.buyer.detail(orderId)).status === 'PREPARING', { within: 8000, what: 'PREPARING' });

test('without DeliveryMock an order is placed and read, with what was known last', { timeout: 60_000 }, async () => {
  const known = await world.buyer.buys(world.sku);
  await ready(known.orderId);
  await stopNow('delivery-mock');
  const fresh = await world.buyer.buys(world.sku);
  const { value: detail, ms } = await timed(() => world.buyer.detail(known.orderId));
  assert.ok(ms < 1000, `${Math.round(ms)} ms`);
  assert.deepEqual([detail.deliveryStatus, detail.delivery.status, detail.delivery.isLive, detail.delivery.events], ['READY', 'READY', false, []]);
  assert.ok(Date.parse(detail.delivery.asOf) <= Date.now());
  assert.equal((await world.buyer.detail(fresh.orderId)).delivery, null);
  const { status, body } = await until(async () => {
    const seen = await readiness('order-manager');
    return seen.body.checks['delivery-mock'].status === 'down' && seen;
  });
  assert.deepEqual([status, body.status], [200, 'degraded']);
  assertProblem(await call(`GET /api/v1/deliveries/${known.orderId}`, { token: world.buyer.token }), 503, 'service_unavailable');
  await start('delivery-mock');
  await ready(fresh.orderId);
  await until(async () => (await world.buyer.detail(known.orderId)).delivery.isLive, { what: 'live again' });
});

test('without FruitCatalog an order answers 503 at once and takes nothing; its key works afterwards', { timeout: 60_000 }, async () => {
  const [key, body] = [newKey(), orderBody(world.sku)];
  const left = await stockOf(world.sku);
  await stopNow('fruit-catalog');
  const { value: answer, ms } = await timed(() => world.buyer.send(body, key));
  assertProblem(answer, 503, 'service_unavailable');
  assert.match(answer.headers.get('retry-after') ?? '', /^\d+$/);
  assert.ok(ms < 1000, `${Math.round(ms)} ms`);
  await expectJson(200, 'GET /api/v1/orders', { token: world.buyer.token });
  const seen = await until(async () => {
    const now = await readiness('order-manager');
    return now.body.checks['fruit-catalog'].status === 'down' && now;
  });
  assert.equal(seen.status, 200);
  await start('fruit-catalog');
  await until(async () => (await world.buyer.send(body, key)).status === 201, { within: 5000, what: 'the order' });
  assert.equal(await stockOf(world.sku), left - 1);
});

test('a killed OrderManager has lost no order that it acknowledged, and answers the same bytes again', { timeout: 60_000 }, async () => {
  const attempts = Array.from({ length: 60 }, () => ({ key: newKey(), body: orderBody(world.sku) }));
  const known = await stockOf(world.sku);
  const answered = [];
  const running = attempts.map(async (attempt) => {
    const answer = await world.buyer.send(attempt.body, attempt.key).catch(() => null);
    if (answer?.status === 201) answered.push({ ...attempt, answer });
  });
  await until(() => answered.length >= 5, { what: 'the first answers' });
  await stopNow('order-manager');
  await Promise.all(running);
  await start('order-manager');
  for (const { key, body, answer } of answered) {
    const again = await world.buyer.send(body, key);
    assert.ok(again.bytes.equals(answer.bytes), `${again.text}\n${answer.text}`);
  }
  for (const { key, body } of attempts) {
    const answer = await until(async () => {
      const one = await world.buyer.send(body, key);
      return one.status !== 503 && one;
    }, { what: 'an answer to the same key' });
    assert.equal(answer.status, 201, answer.text);
  }
  assert.equal(await value('SELECT count(*) FROM orders.orders WHERE buyer_id = $1 AND idempotency_key = ANY($2)', world.buyer.sub, attempts.map((one) => one.key)), 60);
  // What was reserved for orders that never came to be returns after the hold's time to live.
  const ttl = Number(environmentOf('fruit-catalog').HOLD_TTL_S ?? 120);
  await until(async () => (await stockOf(world.sku)) === known - 60, { within: (ttl + 15) * 1000, what: 'the stock of lost holds to return' });
});

test('a hold whose order never came returns its stock and is fenced for good', { timeout: 200_000 }, async () => {
  const { farm, sku } = await shop({ stock: 5 });
  const orderId = uuid7();
  const wish = { orderId, buyerId: uuid7(), lines: [{ skuId: sku.skuId, quantity: 2, unitPriceKrw: sku.priceKrw }] };
  await rpc('fruit-catalog', 'Reserve', { orders: [wish] }, serviceToken('order-manager'));
  assert.equal(await stockOf(sku), 3);
  const ttl = Number(environmentOf('fruit-catalog').HOLD_TTL_S ?? 120);
  await until(async () => (await stockOf(sku)) === 5, { within: (ttl + 15) * 1000, what: 'the stock to return' });
  assert.deepEqual((await ledgerOf(farm, sku)).slice(0, 2).map((row) => [row.kind, row.delta, row.actor]), [['RELEASE', 2, 'system'], ['RESERVATION', -2, 'buyer']]);
  assert.equal(await value('SELECT status FROM orders.orders WHERE order_id = $1', orderId), 'ABORTED');
});

test('a live stream survives a restart of DeliveryMock by Last-Event-ID', { timeout: 60_000 }, async () => {
  const order = await world.buyer.buys(world.sku);
  await ready(order.orderId);
  const url = `${service('delivery-mock').http}/api/v1/deliveries/${order.orderId}/events`;
  const first = await sse(url, { token: world.buyer.token });
  const [seen] = await within(3000, take(first, 1));
  const over = first.events.next().then((step) => step.done, () => true);
  await dev(['stop', 'delivery-mock']);
  assert.equal(await within(5000, over, 'the end of the stream'), true);
  await start('delivery-mock');
  await expectJson(200, `POST /api/v1/deliveries/${order.orderId}/advance`, { token: await operatorToken(), json: { to: 'ON_ROUTE' } });
  const second = await sse(url, { token: world.buyer.token, lastEventId: seen.id });
  const [next] = await within(3000, take(second, 1));
  assert.deepEqual([next.id, next.data.status], ['2', 'ON_ROUTE']);
  second.close();
});

test('a new signing key is taken up without a restart, and tokens of the old one stay valid', { timeout: 60_000 }, async () => {
  const pids = SERVICES.map(pidOf);
  const old = await buyerToken();
  await dev(['token', '--rotate']);
  const fresh = await buyerToken();
  const kid = (jwt) => JSON.parse(Buffer.from(jwt.split('.')[0], 'base64url').toString('utf8')).kid;
  assert.notEqual(kid(old), kid(fresh));
  const asks = {
    'fruit-catalog': async (token) => (await call(`GET /api/v1/skus/${uuid7()}/stock-ledger`, { base: service('fruit-catalog').http, token })).status !== 401,
    'order-manager': async (token) => (await call('GET /api/v1/orders', { base: service('order-manager').http, token })).status === 200,
    'delivery-mock': async (token) => (await rpc('delivery-mock', 'GetDeliveries', { orderIds: [uuid7()] }, token)).code === grpc.status.OK,
  };
  for (const name of SERVICES) {
    await until(() => asks[name](fresh), { within: 15_000, what: `${name} to know the new key` });
    assert.ok(await asks[name](old), `${name} refuses the old key`);
  }
  assert.deepEqual(SERVICES.map(pidOf), pids);
});

test('a graceful restart of each service loses no request that keeps its key', { timeout: 120_000 }, async () => {
  for (const name of ['order-manager', 'fruit-catalog']) {
    const left = await stockOf(world.sku);
    let isOver = false;
    const placed = [];
    const buyer = async () => {
      while (!isOver) {
        const [key, body] = [newKey(), orderBody(world.sku)];
        // The gateway has no second instance to send it to: 503 and a lost connection are answered by the same key again.
        await until(async () => (await world.buyer.send(body, key)).status === 201, { within: 20_000, what: 'the order' });
        placed.push(key);
      }
    };
    const buyers = Promise.all([buyer(), buyer()]);
    await until(() => placed.length > 3);
    await dev(['stop', name]);
    await start(name);
    const soFar = placed.length;
    await until(() => placed.length > soFar + 3, { within: 20_000 });
    isOver = true;
    await buyers;
    assert.equal(await value('SELECT count(*) FROM orders.orders WHERE idempotency_key = ANY($1)', placed), placed.length);
    await until(async () => (await stockOf(world.sku)) === left - placed.length, { within: 30_000, what: 'the stock to agree' });
  }
  assert.equal(stack.kind, (await dev(['status', '--json']).then(({ stdout }) => JSON.parse(stdout))).kind);
});

test('in the end the books balance: every SKU, every hold, every order', async () => {
  // What a crash left half done is settled by the sweep of holds: wait for it, then nothing may be off.
  const ttl = Number(environmentOf('fruit-catalog').HOLD_TTL_S ?? 120);
  await until(async () => (await value("SELECT count(*) FROM catalog.holds WHERE state = 'HELD' AND expires_at < now() - interval '5 seconds'")) === 0, { within: (ttl + 20) * 1000, what: 'no hold to be overdue' });
  const broken = {
    'a ledger that does not add up to the stock': 'SELECT count(*) FROM catalog.skus s WHERE available <> (SELECT coalesce(sum(delta), 0) FROM catalog.stock_ledger l WHERE l.sku_id = s.sku_id) + coalesce((SELECT available_after FROM catalog.stock_carried c WHERE c.sku_id = s.sku_id), 0)',
    'a live order without a hold': "SELECT count(*) FROM orders.orders o WHERE status NOT IN ('ABORTED', 'CANCELLED') AND NOT EXISTS (SELECT 1 FROM catalog.holds h WHERE h.order_id = o.order_id AND h.state IN ('HELD', 'SOLD'))",
    'an order line that its hold does not have': 'SELECT count(*) FROM orders.order_lines ol WHERE NOT EXISTS (SELECT 1 FROM catalog.hold_lines hl WHERE hl.order_id = ol.order_id AND hl.sku_id = ol.sku_id AND hl.quantity = ol.quantity)',
    'a live order without a delivery': "SELECT count(*) FROM orders.orders o WHERE status NOT IN ('ABORTED', 'CANCELLED') AND NOT EXISTS (SELECT 1 FROM delivery.deliveries d WHERE d.order_id = o.order_id)",
    'an event that was not sent': 'SELECT (SELECT count(*) FROM catalog.outbox WHERE sent_at IS NULL) + (SELECT count(*) FROM orders.outbox WHERE sent_at IS NULL) + (SELECT count(*) FROM delivery.outbox WHERE sent_at IS NULL)',
    'negative stock': 'SELECT count(*) FROM catalog.skus WHERE available < 0',
    'a buyer who is thought to have something else than the holds say': BUYERS_WRONG,
  };
  for (const [what, sql] of Object.entries(broken)) await until(async () => (await value(sql)) === 0, { within: 5000, what: `no ${what}` });
});
