// SPDX-License-Identifier: Apache-2.0
// More orders at once than a service takes on: what is too much is refused at once and says when to come again, the probes answer, nothing
// that was acknowledged is lost, and afterwards all is well. Also the deadline that a caller names. On an OrderManager of its own with a low
// REQUESTS_MAX, so that few requests are a flood and no other test is disturbed.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';

import { value } from '../lib/db.mjs';
import { assertProblem, call } from '../lib/http.mjs';
import { newKey } from '../lib/ids.mjs';
import { metricAt } from '../lib/metrics.mjs';
import { secondInstance } from '../lib/second.mjs';
import { count, orderBody, shop, stockOf } from '../lib/shop.mjs';
import { timed } from '../lib/until.mjs';

const FLOOD = 200;
const TAKEN_AT_ONCE = 8;
const AT_ONCE_MS = 2000; // an AddressSanitizer build that reads two hundred requests in one go, beside other tests

let one, http, admin, world;
before(async () => {
  world = await shop({ stock: FLOOD + 10 });
  one = await secondInstance('order-manager', { LOOPS: '1', REQUESTS_MAX: String(TAKEN_AT_ONCE) });
  ({ http, admin } = one);
});
after(() => one?.stop());

const order = (headers = {}) => call('POST /api/v1/orders', { base: http, token: world.buyer.token, json: orderBody(world.sku), headers: { 'idempotency-key': newKey(), ...headers } });
const metric = (series) => metricAt(admin, series);

test('a flood of orders is refused at once where it is too much, and nothing acknowledged is lost', { timeout: 60_000 }, async () => {
  const flood = Promise.all(Array.from({ length: FLOOD }, () => timed(order)));
  const probe = await timed(() => fetch(`${admin}/livez`));
  const answers = await flood;

  assert.equal(probe.value.status, 200);
  const taken = answers.filter(({ value: answer }) => answer.status === 201), refused = answers.filter(({ value: answer }) => answer.status === 503);
  assert.equal(taken.length + refused.length, FLOOD, JSON.stringify(count(answers.map((one) => one.value))));
  assert.ok(taken.length >= TAKEN_AT_ONCE && refused.length > 0, `${taken.length} taken, ${refused.length} refused`);
  for (const { value: answer, ms } of refused) {
    assertProblem(answer, 503, 'overloaded');
    assert.match(answer.headers.get('retry-after') ?? '', /^[1-3]$/);
    assert.ok(ms < AT_ONCE_MS, `${Math.round(ms)} ms`);
  }
  assert.ok(new Set(refused.map(({ value: answer }) => answer.headers.get('retry-after'))).size > 1, 'Retry-After is the same for all');

  const ids = taken.map(({ value: answer }) => answer.json.orderId);
  assert.equal(Number(await value('SELECT count(*) FROM orders.orders WHERE order_id = ANY ($1::uuid[])', ids)), taken.length);
  assert.equal(await stockOf(world.sku), FLOOD + 10 - taken.length);
  assert.equal(await metric('requests_shed_total{class="normal"}'), refused.length);
  assert.equal(await metric('requests_limit{loop="0"}'), TAKEN_AT_ONCE);
  assert.equal(await metric('requests_in_flight{class="normal"}'), 0);
  assert.equal((await fetch(`${admin}/readyz`)).status, 200);
  assert.equal((await order()).status, 201);
});

test('a caller may shorten the deadline, as Envoy does for whoever is behind it', async () => {
  const HEADER = 'x-envoy-expected-rq-timeout-ms';
  assert.equal((await order({ [HEADER]: '4000' })).status, 201);
  assert.equal((await order({ [HEADER]: '99999999' })).status, 201);
  for (const bad of ['0', '-1', 'soon', '1.5']) assertProblem(await order({ [HEADER]: bad }), 400, 'invalid_request');
});
