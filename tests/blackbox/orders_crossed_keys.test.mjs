// SPDX-License-Identifier: Apache-2.0
// Two batches of inserts that hold the same keys in opposite order, as two loops may send them: neither may wait for the other for ever,
// because then all orders of both batches would fail. The statement is run as it stands in the service's file: which requests share a
// batch cannot be chosen from outside.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import pg from 'pg';

import { rows } from '../lib/db.mjs';
import { uuid7 } from '../lib/ids.mjs';
import { ROOT, stack } from '../lib/stack.mjs';

const file = readFileSync(join(ROOT, 'services/order-manager/sql/orders.sql'), 'utf8');
const statement = /-- name: order_insert_batch :write\n([^;]*);/.exec(file)[1];
const buyer = uuid7();

// Parameters of order_insert_batch for one order a key, without lines.
function parameters(keys) {
  const each = (make) => keys.map(make);
  const orders = [
    each(() => uuid7()), each(() => uuid7()), each(() => buyer), keys, each(() => Buffer.alloc(36)), each(() => 1000), each(() => 0),
    each(() => Buffer.alloc(40)), each(() => 'pay_****test'), each(() => '{}'), each(() => new Date()), each(() => ''), each(() => ''),
    each(() => uuid7()), each(() => '{}'),
  ];
  return [...orders, ...Array.from({ length: 12 }, () => []), each(() => null)];
}

// Taken back at once, so that no relay sends the events.
async function insert(keys) {
  const client = new pg.Client({ connectionString: stack.postgres.uri });
  await client.connect();
  try {
    await client.query('BEGIN');
    return (await client.query(statement, parameters(keys))).rowCount;
  } finally {
    await client.query('ROLLBACK');
    await client.end();
  }
}

const DROP = 'DROP TRIGGER IF EXISTS crossed ON orders.orders; DROP FUNCTION IF EXISTS orders.crossed()';
before(async () => {
  await rows(DROP);
  await rows(`CREATE FUNCTION orders.crossed() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_sleep(0.3); RETURN NEW; END $$`);
  await rows(`CREATE TRIGGER crossed BEFORE INSERT ON orders.orders FOR EACH ROW WHEN (NEW.buyer_id = '${buyer}') EXECUTE FUNCTION orders.crossed()`);
});
after(() => rows(DROP));

test('two batches with the same keys in opposite order do not block each other', { timeout: 20_000 }, async () => {
  const placed = await Promise.all([insert(['crossed-a', 'crossed-b']), insert(['crossed-b', 'crossed-a'])]);
  assert.deepEqual(placed, [2, 2]); // the one that waited found nothing, for the other was taken back
});
