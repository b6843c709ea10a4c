// SPDX-License-Identifier: Apache-2.0
// The stock ledger's months: made ahead, dropped when they are old, and the stock still adds up. Runs alone: it moves rows into the past.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { before, test } from 'node:test';
import pg from 'pg';

import { countedOf } from '../lib/buyers.mjs';
import { rows, value } from '../lib/db.mjs';
import { expectJson } from '../lib/http.mjs';
import { metricAt } from '../lib/metrics.mjs';
import { ledgerOf, shop } from '../lib/shop.mjs';
import { ROOT, environmentOf, readiness, service, start, stopNow } from '../lib/stack.mjs';
import { until } from '../lib/until.mjs';

const MONTHS_AGO = 30; // LEDGER_KEEP_MONTHS is 24
const partitions = async () => (await rows("SELECT c.relname AS name FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid WHERE i.inhparent = 'catalog.stock_ledger'::regclass ORDER BY 1")).map((row) => row.name);
const nameOf = (months) => value("SELECT 'stock_ledger_' || to_char(date_trunc('month', now() AT TIME ZONE 'UTC') + make_interval(months => $1), 'YYYYMM')", months);
const metric = (series) => metricAt(service('fruit-catalog').admin, series);

// The auditor's own question, without waiting for its turn.
const violations = () => {
  const text = readFileSync(join(ROOT, 'services/fruit-catalog/sql/skus.sql'), 'utf8');
  return value(/-- name: stock_violations :read\n([^;]+);/.exec(text)[1]);
};

async function asApp(sql) {
  const client = new pg.Client({ connectionString: environmentOf('fruit-catalog').POSTGRES_URI });
  await client.connect();
  try {
    return await client.query(sql);
  } finally {
    await client.end();
  }
}

let world;
before(async () => {
  world = await shop({ stock: 100 });
});

test('this month and the next two are there, and what is sold stands in this one', async () => {
  const found = await partitions();
  for (const months of [0, 1, 2]) assert.ok(found.includes(await nameOf(months)), `${months} months ahead: ${found}`);
  await world.buyer.buys(world.sku, 3);
  assert.equal(await value(`SELECT count(*) FROM catalog.${await nameOf(0)} WHERE sku_id = $1`, world.sku.skuId), 2);
  assert.equal(await value('SELECT count(*) FROM catalog.stock_ledger_rest'), 0);
});

test('a month that is missing is no order lost, and one that is old is dropped; the stock adds up all the same', { timeout: 90_000 }, async () => {
  const { skuId } = world.sku;
  const old = await nameOf(-MONTHS_AGO);
  await rows(`CREATE TABLE catalog.${old} PARTITION OF catalog.stock_ledger FOR VALUES
    FROM ('${await value("SELECT (date_trunc('month', now() AT TIME ZONE 'UTC') - make_interval(months => $1)) AT TIME ZONE 'UTC'", MONTHS_AGO).then((at) => at.toISOString())}')
    TO ('${await value("SELECT (date_trunc('month', now() AT TIME ZONE 'UTC') - make_interval(months => $1)) AT TIME ZONE 'UTC'", MONTHS_AGO - 1).then((at) => at.toISOString())}')`);
  await rows(`ALTER TABLE catalog.${old} OWNER TO catalog_owner`);
  // All that the SKU's ledger says happened then.
  await rows("UPDATE catalog.stock_ledger SET at = date_trunc('month', now() AT TIME ZONE 'UTC') - make_interval(months => $2) + interval '3 days' WHERE sku_id = $1", skuId, MONTHS_AGO);
  assert.equal(await value(`SELECT count(*) FROM catalog.${old} WHERE sku_id = $1`, skuId), 2);

  await stopNow('fruit-catalog');
  await rows(`DROP TABLE catalog.${await nameOf(2)}`);
  await start('fruit-catalog');
  await until(async () => !(await partitions()).includes(old), { within: 30_000, what: 'the old month to go' });
  await until(async () => (await partitions()).includes(await nameOf(2)), { what: 'the month to come' });
  assert.equal(await metric('stock_ledger_months_dropped_total'), 1);
  assert.deepEqual(await rows('SELECT available_after FROM catalog.stock_carried WHERE sku_id = $1', skuId), [{ available_after: 97 }]);
  assert.deepEqual(await ledgerOf(world.farm, world.sku), []);
  assert.equal(await violations(), 0);
  await until(async () => (await readiness('order-manager')).body.checks['fruit-catalog'].status === 'up', { within: 10_000, what: 'order-manager to see it again' });
  await world.buyer.buys(world.sku, 1);
  assert.equal(await value('SELECT available FROM catalog.skus WHERE sku_id = $1', skuId), 96);
});

test('a limit per buyer counts what was ordered in the months that are gone', async () => {
  const { farm, sku, buyer } = world;
  await expectJson(200, `PATCH /api/v1/skus/${sku.skuId}`, { token: farm.token, json: { perBuyerLimit: 5 }, headers: { 'if-match': `"${sku.version}"` } });
  assert.deepEqual(await countedOf(sku), { [buyer.sub]: 4 });
});

test('the service may turn the months and do nothing else to the ledger', async () => {
  const month = await nameOf(0);
  for (const sql of [`DROP TABLE catalog.${month}`, `DELETE FROM catalog.${month}`, `UPDATE catalog.stock_ledger SET delta = 1`, 'DELETE FROM catalog.stock_ledger', `INSERT INTO catalog.${month} DEFAULT VALUES`, 'DELETE FROM catalog.stock_carried']) {
    await assert.rejects(asApp(sql), /permission denied|must be owner/, sql);
  }
  for (const args of ['0, 2', '24, 99', '-1, 0']) await assert.rejects(asApp(`SELECT catalog.stock_ledger_turn(${args})`), /out of range/);
  assert.equal((await asApp('SELECT catalog.stock_ledger_turn(24, 2) AS dropped')).rows[0].dropped, 0);
});
