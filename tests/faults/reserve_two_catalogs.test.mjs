// SPDX-License-Identifier: Apache-2.0
// Two FruitCatalogs reserve from the same SKUs, in opposite order, while the farm changes the stock: no deadlock, all or nothing, and
// the books balance. Runs alone, for the services are scaled.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import pg from 'pg';

import { countedOf } from '../lib/buyers.mjs';
import { rows, value } from '../lib/db.mjs';
import { closeClients, grpc, rpc } from '../lib/grpc.mjs';
import { call } from '../lib/http.mjs';
import { uuid7 } from '../lib/ids.mjs';
import { scaleTo } from '../lib/instances.mjs';
import { ledgerGaps } from '../lib/rush.mjs';
import { makeFarm, makeProduct } from '../lib/shop.mjs';
import { stack } from '../lib/stack.mjs';
import { serviceToken } from '../lib/tokens.mjs';
import { until } from '../lib/until.mjs';

const STOCK = 150;
const CALLS = 40; // at each instance
const ORDERS = 8; // in each call
const ADJUSTMENTS = 30;

let scaled, token, farm, catalogs;
before(async () => {
  scaled = await scaleTo(2);
  token = serviceToken('order-manager');
  farm = await makeFarm();
  catalogs = ['fruit-catalog', 'fruit-catalog-2'].map((name) => scaled.services[name].grpc);
});
after(async () => {
  closeClients();
  await scaled?.back();
});

const deadlocks = () => value("SELECT deadlocks FROM pg_stat_database WHERE datname = 'gwasuwon'");
const twoSkus = async (stock = STOCK) => (await makeProduct(farm, { skus: [{ stock }, { grade: '상', stock }] })).skus;
const reserve = async (at, orders) => {
  const { code, details, value: answer } = await rpc('fruit-catalog', 'Reserve', { orders }, token, { at });
  assert.equal(code, grpc.status.OK, details);
  return answer.results;
};
const wishFor = (skus, quantity = 1) => ({ orderId: uuid7(), buyerId: uuid7(), lines: skus.map(({ skuId, priceKrw }) => ({ skuId, quantity, unitPriceKrw: priceKrw })) });

test('crossed SKUs at two instances, and a farm that changes the stock: no deadlock, whole orders only', { timeout: 60_000 }, async (t) => {
  const skus = await twoSkus();
  const crossed = [skus, [...skus].reverse()];
  const deadlocksBefore = await deadlocks();
  const results = [];
  const instance = async (at) => {
    const lanes = Array.from({ length: 4 }, async () => {
      for (let n = 0; n < CALLS / 4; n++) {
        const wishes = Array.from({ length: ORDERS }, () => wishFor(crossed[at]));
        const answered = await reserve(catalogs[at], wishes);
        results.push(...answered.map((one, i) => ({ outcome: one.outcome, orderId: wishes[i].orderId })));
      }
    });
    await Promise.all(lanes);
  };
  let adjusted = 0;
  const farmer = async () => {
    for (let n = 0; n < ADJUSTMENTS; n++) {
      const delta = n % 3 ? -1 : 2;
      const answer = await call(`POST /api/v1/skus/${skus[n % 2].skuId}/stock-adjustments`, { token: farm.token, json: { delta, reason: '실사' } });
      if (answer.status === 200 || answer.status === 201) adjusted++;
      else assert.ok([409, 422].includes(answer.status), answer.text);
    }
  };
  await Promise.all([instance(0), instance(1), farmer()]);

  const reserved = results.filter(({ outcome }) => outcome === 'RESERVE_OUTCOME_RESERVED');
  const short = results.filter(({ outcome }) => outcome === 'RESERVE_OUTCOME_STOCK_SHORT');
  t.diagnostic(`${reserved.length} reserved, ${short.length} short, ${adjusted} adjustments`);
  assert.equal(results.length, 2 * CALLS * ORDERS);
  assert.equal(reserved.length + short.length, results.length);
  assert.ok(short.length > 0 && adjusted > 0, 'both must have happened');
  assert.equal(await deadlocks(), deadlocksBefore, 'deadlocks');
  const lines = await rows('SELECT order_id::text AS id, count(*)::int AS lines FROM catalog.hold_lines WHERE sku_id = ANY($1) GROUP BY 1', skus.map(({ skuId }) => skuId));
  assert.ok(lines.every((row) => row.lines === 2), 'a hold has both lines');
  assert.deepEqual(new Set(lines.map(({ id }) => id)), new Set(reserved.map(({ orderId }) => orderId)));
  for (const { skuId } of skus) {
    const [{ available, initial, changes, taken, lowest }] = await rows(
      `SELECT s.available, $2::int AS initial, (SELECT min(available_after)::int FROM catalog.stock_ledger l WHERE l.sku_id = s.sku_id) AS lowest,
              (SELECT coalesce(sum(delta), 0)::int FROM catalog.stock_ledger l WHERE l.sku_id = s.sku_id AND kind NOT IN ('RESERVATION', 'RELEASE')) AS changes,
              (SELECT coalesce(sum(quantity), 0)::int FROM catalog.hold_lines l WHERE l.sku_id = s.sku_id) AS taken
       FROM catalog.skus s WHERE s.sku_id = $1`, skuId, STOCK);
    assert.equal(available, changes - taken, `${initial} at first; adjusted to ${changes}; ${taken} taken`);
    assert.ok(lowest >= 0);
    assert.equal(await ledgerGaps(value, skuId), 0, 'rows of the ledger that do not follow another');
  }
});

// The farm's transaction holds the first SKU until both instances wait. Whoever had locked others before it would now hold what the other
// one needs.
test('two batches that waited for the same farm do not wait for each other', { timeout: 60_000 }, async () => {
  const { skus } = await makeProduct(farm, { skus: Array.from({ length: 20 }, (_, n) => ({ grade: ['특', '상', '보통', '못난이'][n % 4], weightG: 1000 + 100 * n })) });
  const [first] = skus.map(({ skuId }) => skuId).sort();
  const deadlocksBefore = await deadlocks();
  const farmer = new pg.Client({ connectionString: stack.postgres.uri });
  await farmer.connect();
  try {
    for (let n = 0; n < 3; n++) {
      await farmer.query('BEGIN');
      await farmer.query('SELECT 1 FROM catalog.skus WHERE sku_id = $1 FOR UPDATE', [first]);
      const both = Promise.all([reserve(catalogs[0], [wishFor(skus)]), reserve(catalogs[1], [wishFor([...skus].reverse())])]);
      both.catch(() => {}); // told below
      await until(async () => (await value("SELECT count(*)::int FROM pg_stat_activity WHERE datname = 'gwasuwon' AND usename = 'catalog_app' AND wait_event_type = 'Lock'")) === 2, { what: 'both instances to wait' });
      await farmer.query('COMMIT');
      for (const [{ outcome }] of await both) assert.equal(outcome, 'RESERVE_OUTCOME_RESERVED');
    }
  } finally {
    await farmer.end();
  }
  assert.equal(await deadlocks(), deadlocksBefore, 'deadlocks');
});

test('one buyer at both instances at once gets exactly the limit', { timeout: 30_000 }, async () => {
  const { skus: [sku, other] } = await makeProduct(farm, { skus: [{ stock: 100, perBuyerLimit: 9 }, { grade: '상', stock: 100, perBuyerLimit: 50 }] });
  const buyerId = uuid7();
  const wish = () => ({ ...wishFor([sku, other]), buyerId });
  const answers = await Promise.all(Array.from({ length: 30 }, (_, i) => reserve(catalogs[i % 2], [wish(), wish()])));
  const taken = answers.flat().filter(({ outcome }) => outcome === 'RESERVE_OUTCOME_RESERVED');
  assert.equal(taken.length, 9);
  assert.deepEqual([await countedOf(sku), await countedOf(other)], [{ [buyerId]: 9 }, { [buyerId]: 9 }]);
  const released = await Promise.all([...catalogs, ...catalogs].map((at) => rpc('fruit-catalog', 'Release', { orderIds: taken.map(({ orderId }) => orderId), reason: 'order_cancelled' }, token, { at })));
  for (const { code, details } of released) assert.equal(code, grpc.status.OK, details);
  assert.deepEqual([await countedOf(sku), await countedOf(other)], [{}, {}]);
});

test('the same order at both instances at once is reserved once', { timeout: 30_000 }, async () => {
  const skus = await twoSkus(100);
  for (let n = 0; n < 10; n++) {
    const wish = wishFor(skus);
    const answers = await Promise.all([...catalogs, ...catalogs].map((at) => reserve(at, [wish])));
    for (const [result] of answers) assert.equal(result.outcome, 'RESERVE_OUTCOME_RESERVED');
  }
  for (const { skuId } of skus) assert.equal(await value('SELECT available FROM catalog.skus WHERE sku_id = $1', skuId), 90);
});
