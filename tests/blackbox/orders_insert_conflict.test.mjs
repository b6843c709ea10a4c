// SPDX-License-Identifier: Apache-2.0
// The database gives an insert of orders up for the sake of others (a deadlock, a lock that did not come): that is nothing the buyer did,
// and the same key is worth trying again.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';

import { rows } from '../lib/db.mjs';
import { assertProblem } from '../lib/http.mjs';
import { newKey } from '../lib/ids.mjs';
import { orderBody, shop } from '../lib/shop.mjs';

const DROP = 'DROP TRIGGER IF EXISTS given_up ON orders.orders; DROP FUNCTION IF EXISTS orders.given_up()';
let world;
before(async () => {
  world = await shop({ stock: 10 });
  await rows(DROP);
});
after(() => rows(DROP));

for (const [what, state] of [['a deadlock', '40P01'], ['a lock that did not come', '55P03']]) {
  test(`${what} while an order is stored: 503, and the same key is served later`, async () => {
    const key = newKey();
    const body = orderBody(world.sku);
    await rows(`CREATE FUNCTION orders.given_up() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'given up' USING ERRCODE = '${state}'; END $$`);
    await rows(`CREATE TRIGGER given_up BEFORE INSERT ON orders.orders FOR EACH ROW WHEN (NEW.buyer_id = '${world.buyer.sub}') EXECUTE FUNCTION orders.given_up()`);
    assertProblem(await world.buyer.send(body, key), 503, 'service_unavailable');
    await rows(DROP);
    const answer = await world.buyer.send(body, key);
    assert.equal(answer.status, 201, answer.text);
  });
}
