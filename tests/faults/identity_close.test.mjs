// SPDX-License-Identifier: Apache-2.0
// Closing an account while the shop is away: that is said, the account and all its data are as they were, and the same action ends it later.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { decodeJwt } from 'jose';

import { value } from '../lib/db.mjs';
import { ISSUER, refresh, tokensOf } from '../lib/identity.mjs';
import { Buyer, shop } from '../lib/shop.mjs';
import { start, stopNow } from '../lib/stack.mjs';

test('without OrderManager nothing is closed; with it the same action is enough', { timeout: 120_000 }, async () => {
  const who = await tokensOf();
  const { sub } = decodeJwt(who.tokens.access_token);
  const buyer = new Buyer(sub, who.tokens.access_token);
  const { orderId } = await buyer.buys((await shop()).sku);
  assert.equal((await buyer.cancel(orderId)).status, 200);
  const close = async () => who.visitor.send(await who.visitor.open(`${ISSUER}/account/close`), { password: who.password });
  await stopNow('order-manager');
  try {
    const answer = await close();
    assert.equal(answer.status, 503);
    assert.match(answer.page.notice, /계정은 그대로 있습니다/);
    assert.equal(await value('SELECT count(*) FROM identity.accounts WHERE account_id = $1', sub), 1);
    assert.equal(await value('SELECT personal IS NOT NULL FROM orders.orders WHERE order_id = $1', orderId), true);
    await refresh(who.config, who.tokens);
  } finally {
    await start('order-manager');
  }
  assert.equal((await close()).page.heading, '탈퇴했습니다');
  assert.equal(await value('SELECT count(*) FROM identity.accounts WHERE account_id = $1', sub), 0);
  assert.equal(await value('SELECT personal IS NULL FROM orders.orders WHERE order_id = $1', orderId), true);
});
