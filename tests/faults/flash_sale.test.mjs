// SPDX-License-Identifier: Apache-2.0
// Ten buyers for each box, all at once, at two instances of each service: every box is sold once, everybody else hears that it is gone.
// Runs alone, for the services are scaled. ./dev bench flash is the same at full size, with times.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';

import { value } from '../lib/db.mjs';
import { newKey } from '../lib/ids.mjs';
import { scaleTo } from '../lib/instances.mjs';
import { booksOf, requestBytes, rush } from '../lib/rush.mjs';
import { count, orderBody, shop } from '../lib/shop.mjs';
import { hostPort, stack } from '../lib/stack.mjs';

const BOXES = 100;
const REQUESTS = 1000;
const CONNECTIONS = 64;

let scaled;
before(async () => {
  scaled = await scaleTo(2);
});
after(() => scaled?.back());

const places = {
  'the gateway': () => [hostPort(stack.gateway)],
  'two OrderManagers': () => ['order-manager', 'order-manager-2'].map((name) => hostPort(scaled.services[name].http)),
};
for (const [name, of] of Object.entries(places)) {
  test(`a sale of ${BOXES} boxes to ${REQUESTS} requests at ${name}: each box is sold once`, { timeout: 60_000 }, async (t) => {
    const { sku, buyers } = await shop({ stock: BOXES, buyers: 50 });
    const requests = Array.from({ length: REQUESTS }, (_, n) => requestBytes('POST', '/api/v1/orders', {
      host: '127.0.0.1', 'content-type': 'application/json', authorization: `Bearer ${buyers[n % buyers.length].token}`, 'idempotency-key': newKey(),
    }, JSON.stringify(orderBody(sku))));
    const { answers, ms } = await rush(of(), CONNECTIONS, requests);
    t.diagnostic(`${(REQUESTS / ms * 1000).toFixed(0)} requests/s; ${answers.filter(({ refusals }) => refusals).length} were asked to come again before they had their answer`);
    assert.deepEqual(count(answers), { 201: BOXES, 409: REQUESTS - BOXES }, answers.find(({ status }) => status !== 201 && status !== 409)?.body.toString());
    const problems = answers.filter(({ status }) => status === 409).map(({ body }) => JSON.parse(body));
    assert.deepEqual([...new Set(problems.map(({ code }) => code))], ['stock_short']);
    const ids = answers.filter(({ status }) => status === 201).map(({ body }) => JSON.parse(body).orderId);
    assert.equal(new Set(ids).size, BOXES);
    assert.deepEqual(await booksOf(value, sku.skuId), { available: 0, ledger: 0, ledgerGaps: 0, ledgerLowest: 0, reservations: BOXES, held: BOXES, ordered: BOXES, heldWithoutOrder: 0 });
  });
}
