// SPDX-License-Identifier: Apache-2.0
// The database crashes after a reservation was committed and before its order is. A reservation in the cluster of the orders does not wait
// for the disk, so the crash may take it; the order must then not be stored. Runs alone: it crashes the database that all use.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import pg from 'pg';

import { countedOf } from '../lib/buyers.mjs';
import { rows, value } from '../lib/db.mjs';
import { newKey } from '../lib/ids.mjs';
import { orderBody, shop } from '../lib/shop.mjs';
import { pidOf, readiness, stack } from '../lib/stack.mjs';
import { until } from '../lib/until.mjs';

const HOLDS = 'SELECT count(*) FROM catalog.hold_lines WHERE sku_id = $1';
const STUCK = `SELECT pid FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND application_name = 'fruit-catalog'`;

// A session that the crash may end.
async function session() {
  const client = new pg.Client({ connectionString: stack.postgres.uri });
  client.on('error', () => {});
  await client.connect();
  return client;
}

let world;
before(async () => {
  world = await shop({ stock: 10, perBuyerLimit: 3 });
  await rows(`ALTER SYSTEM SET wal_writer_delay = '10s'`); // nobody else carries the log to the disk meanwhile
  await rows('SELECT pg_reload_conf()');
  await world.buyer.buys(world.sku);
});
after(async () => {
  await rows('ALTER SYSTEM RESET wal_writer_delay');
  await rows('SELECT pg_reload_conf()');
});

test('an order whose reservation a crash took is not stored', { timeout: 60_000 }, async () => {
  const { buyer, sku } = world;
  const key = newKey();
  const body = orderBody(sku, 2);
  const watcher = await session();
  const blocker = await session();
  const catalog = pidOf('fruit-catalog');

  await blocker.query('BEGIN');
  await blocker.query('LOCK TABLE catalog.hold_lines IN SHARE MODE');
  const answering = buyer.send(body, key);
  const pid = await until(async () => (await watcher.query(STUCK)).rows[0]?.pid, { what: 'a reservation that waits' });
  process.kill(catalog, 'SIGSTOP');
  let answer;
  try {
    await blocker.query('COMMIT');
    await until(async () => Number((await watcher.query(HOLDS, [sku.skuId])).rows[0].count) === 2, { what: 'the reservation' });
    process.kill(pid, 'SIGKILL'); // PostgreSQL ends all sessions and recovers from its log
    await until(async () => (await value('SELECT 1')) === 1, { what: 'the database' });
    await until(async () => (await readiness('order-manager')).status === 200, { what: 'order-manager to be ready' });
  } finally {
    process.kill(catalog, 'SIGCONT');
    answer = await answering;
  }

  const held = await value(HOLDS, sku.skuId);
  const stored = await value('SELECT count(*) FROM orders.order_lines WHERE sku_id = $1', sku.skuId);
  assert.ok(stored <= held, `${stored} orders, but stock was taken for ${held} (answer ${answer.status})`);

  const again = await until(async () => {
    const one = await buyer.send(body, key);
    return one.status === 201 && one;
  }, { what: 'the same key to be served' });
  assert.equal(await value(HOLDS.replace('hold_lines', 'hold_lines JOIN catalog.holds USING (order_id)') + ` AND order_id = '${again.json.orderId}' AND state IN ('HELD', 'SOLD')`, sku.skuId), 1);
  await until(async () => (await value(`SELECT available FROM catalog.skus WHERE sku_id = $1`, sku.skuId)) === 10 - 1 - 2, { within: 10_000, what: 'the stock to add up' });
  assert.deepEqual(await countedOf(sku), { [buyer.sub]: 3 }, 'and what the buyer may have');
});
