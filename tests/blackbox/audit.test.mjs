// SPDX-License-Identifier: Apache-2.0
// The record of privileged actions: each is there with who, what, on what and in which trace; the services' roles can only add to it; a row
// that was changed or taken away shows. What is broken on purpose is broken in a transaction that is rolled back.

import assert from 'node:assert/strict';
import { test } from 'node:test';

import pg from 'pg';

import { rows, value } from '../lib/db.mjs';
import { call, expectJson } from '../lib/http.mjs';
import { uuid7 } from '../lib/ids.mjs';
import { shop } from '../lib/shop.mjs';
import { dev, directory, stack } from '../lib/stack.mjs';
import { operatorToken } from '../lib/tokens.mjs';
import { until } from '../lib/until.mjs';

const SCHEMAS = ['catalog', 'orders', 'delivery'];
const operatorSub = directory.accounts.find((row) => row.role === 'operator').sub;
const recorded = (schema, action, subject) =>
  rows(`SELECT actor, role, outcome, detail, trace_id FROM ${schema}.audit WHERE action = $1 AND subject = $2 ORDER BY id`, action, subject);
const traced = () => {
  const traceId = uuid7().replaceAll('-', '');
  return { traceId, headers: { traceparent: `00-${traceId}-00f067aa0ba902b7-01` } };
};

test('an operator who changes stock, cancels an order, moves a box or the clock is on record; a farm with its own stock is not', async () => {
  const { farm, sku, buyer } = await shop();
  const token = await operatorToken();
  const by = { actor: operatorSub, role: 'operator', outcome: 'done' };
  const { traceId, headers } = traced();

  await expectJson(200, `POST /api/v1/skus/${sku.skuId}/stock-adjustments`, { token: farm.token, json: { delta: 1, reason: '재고 실사' } });
  await expectJson(200, `POST /api/v1/skus/${sku.skuId}/stock-adjustments`, { token, headers, json: { delta: -2, reason: '파손' } });
  assert.deepEqual(await recorded('catalog', 'stock.adjust', sku.skuId), [{ ...by, detail: 'delta=-2', trace_id: traceId }]);

  const order = await buyer.buys(sku);
  await expectJson(200, `POST /api/v1/orders/${order.orderId}/cancel`, { token, headers, json: { reason: 'SOLD_OUT' } });
  assert.deepEqual(await recorded('orders', 'order.cancel', order.orderId), [{ ...by, detail: 'SOLD_OUT', trace_id: traceId }]);

  const box = await buyer.buys(sku);
  await until(async () => (await call(`GET /api/v1/deliveries/${box.orderId}`, { token })).status === 200, { what: 'the delivery' });
  const moved = await call(`POST /api/v1/deliveries/${box.orderId}/advance`, { token, headers, json: { to: 'ON_ROUTE' } });
  const wanted = moved.status === 200 ? [{ ...by, detail: 'ON_ROUTE', trace_id: traceId }] : []; // the clock may have been faster
  const found = await recorded('delivery', 'delivery.advance', box.orderId);
  assert.ok(found.length <= 1 && (found.length === 0 || wanted.length === 1), JSON.stringify(found));

  const simulation = await expectJson(200, 'GET /api/v1/simulation', { token });
  await expectJson(200, 'PUT /api/v1/simulation', { token, headers, json: simulation });
  const set = (await recorded('delivery', 'simulation.set', 'simulation')).find((row) => row.trace_id === traceId);
  assert.match(set.detail, new RegExp(`readyMeanS=${simulation.readyMeanS}\\b`));
});

test('the role of a service can add to the record and do nothing else with it', async () => {
  for (const schema of SCHEMAS) {
    const app = new pg.Client({ connectionString: stack.postgres.roles[`${schema}_app`] });
    await app.connect();
    try {
      await app.query(`INSERT INTO ${schema}.audit (actor, role, action, subject, outcome, detail, trace_id) VALUES ('test', '', 'test.add', $1, 'done', '', '')`, [uuid7()]);
      for (const forbidden of [
        `UPDATE ${schema}.audit SET actor = 'nobody'`,
        `DELETE FROM ${schema}.audit`,
        `TRUNCATE ${schema}.audit`,
        `SELECT * FROM ${schema}.audit`,
        `DROP TABLE ${schema}.audit`,
        `ALTER TABLE ${schema}.audit DISABLE TRIGGER audit_chain`,
        `INSERT INTO ${schema}.audit (id, actor, role, action, subject, outcome, detail, trace_id) VALUES (1, '', '', '', '', '', '', '')`,
        `INSERT INTO ${schema}.audit (at, actor, role, action, subject, outcome, detail, trace_id) VALUES (now() - interval '1 day', '', '', '', '', '', '', '')`,
      ]) {
        await assert.rejects(app.query(forbidden), { code: '42501' }, `${schema}: ${forbidden}`);
      }
    } finally {
      await app.end();
    }
  }
});

test('rows added by many at once are one chain without gaps', async () => {
  await Promise.all(Array.from({ length: 20 }, (_, i) => rows(`INSERT INTO orders.audit (actor, role, action, subject, outcome, detail, trace_id) VALUES ('test', '', 'test.many', $1, 'done', '', '')`, String(i))));
  const { stdout } = await dev(['audit', 'verify']);
  for (const schema of SCHEMAS) assert.match(stdout, new RegExp(`${schema}: \\d+ rows, whole`));
  assert.match((await dev(['audit', '--limit', '5'])).stdout, /orders\t\d+\t/);
});

const BROKEN = `SELECT count(*) FROM (SELECT digest, orders.audit_digest(COALESCE(lag(digest) OVER w, ''), a) AS wanted, id, lag(id, 1, 0::int8) OVER w AS earlier
                FROM orders.audit a WINDOW w AS (ORDER BY id)) AS chain WHERE digest <> wanted OR id <> earlier + 1`;

test('a row that was changed or taken away shows', async () => {
  for (const crime of ["UPDATE orders.audit SET actor = 'somebody else' WHERE id = 2", 'DELETE FROM orders.audit WHERE id = 2', "UPDATE orders.audit SET at = at - interval '1 hour' WHERE id = 1"]) {
    const owner = new pg.Client({ connectionString: stack.postgres.uri });
    await owner.connect();
    try {
      await owner.query('BEGIN');
      assert.equal((await owner.query(BROKEN)).rows[0].count, 0);
      await owner.query(crime);
      assert.notEqual((await owner.query(BROKEN)).rows[0].count, 0, crime);
    } finally {
      await owner.query('ROLLBACK');
      await owner.end();
    }
  }
  assert.equal(await value(BROKEN), 0);
});
