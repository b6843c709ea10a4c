// SPDX-License-Identifier: Apache-2.0
// Closing an account: one action of the person's, and neither identity nor the shop knows the person any more; refused while a box is on its
// way, with nothing changed; and when the database fails in the middle, said so and carried on by the same action.

import assert from 'node:assert/strict';
import { readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { before, test } from 'node:test';
import { decodeJwt } from 'jose';
import pg from 'pg';

import { value } from '../lib/db.mjs';
import { expectJson } from '../lib/http.mjs';
import { demoPassword, flow, ISSUER, redeem, refresh, refusalOf, tokensOf, Visitor } from '../lib/identity.mjs';
import { Buyer, shop } from '../lib/shop.mjs';
import { stack } from '../lib/stack.mjs';
import { until } from '../lib/until.mjs';

const CLOSE = `${ISSUER}/account/close`;
let sku;
before(async () => {
  ({ sku } = await shop({ stock: 100, perBuyerLimit: 9 }));
});

// A person who signed up, with a cancelled order.
async function person() {
  const who = await tokensOf();
  const buyer = new Buyer(decodeJwt(who.tokens.access_token).sub, who.tokens.access_token);
  const order = await buyer.buys(sku);
  assert.equal((await buyer.cancel(order.orderId, { reason: 'OTHER', note: '이사합니다' })).status, 200);
  return { ...who, buyer, order };
}

const mailsTo = (login) => readdirSync(join(stack.var, 'mail')).filter((name) => readFileSync(join(stack.var, 'mail', name), 'utf8').includes(`\r\nTo: ${login}\r\n`));
const close = async ({ visitor, password }) => visitor.send(await visitor.open(CLOSE), { password });
const isThere = ({ buyer }) => value('SELECT count(*) FROM identity.accounts WHERE account_id = $1', buyer.sub);
const erasure = ({ buyer }) => value('SELECT state FROM orders.erasures WHERE account_id = $1', buyer.sub);

// Rows that lead to the person, anywhere but in the record of privileged actions and in the wish itself; events that were sent go with their age.
const LEFT = `SELECT (SELECT count(*) FROM identity.accounts WHERE account_id = $1) + (SELECT count(*) FROM identity.pledges WHERE login = $2)
  + (SELECT count(*) FROM identity.records WHERE account_id = $1 AND expires_at > now())
  + (SELECT count(*) FROM orders.orders WHERE buyer_id = $1) + (SELECT count(*) FROM orders.cancellations WHERE actor_id = $1)
  + (SELECT count(*) FROM delivery.deliveries WHERE buyer_id = $1)
  + (SELECT count(*) FROM catalog.holds WHERE buyer_id = $1) + (SELECT count(*) FROM catalog.sku_buyers WHERE buyer_id = $1)`;
async function assertGone(who) {
  await until(async () => (await value(LEFT, who.buyer.sub, who.login)) === 0, { within: 15_000, what: 'every trace to go' });
  assert.equal(await erasure(who), 'DONE');
  assert.equal(await value('SELECT personal IS NULL FROM orders.orders WHERE order_id = $1', who.order.orderId), true);
  assert.equal(await refusalOf(refresh(who.config, who.tokens)), 'invalid_grant');
  const visitor = new Visitor();
  assert.match((await visitor.signIn((await flow(who.config)).url, who.login, who.password)).page.notice, /맞지 않습니다/);
  assert.equal((await who.visitor.open(`${ISSUER}/account`)).page.heading, '로그인');
}

test('one action closes the account, and the person is gone everywhere', { timeout: 60_000 }, async () => {
  const [gone, stays] = await Promise.all([person(), person()]);
  assert.notDeepEqual(mailsTo(gone.login), []);
  assert.ok((await gone.visitor.open(`${ISSUER}/account`)).page.links.includes('/auth/account/close'));
  const wrong = await gone.visitor.send(await gone.visitor.open(CLOSE), { password: 'another horse battery' });
  assert.deepEqual([wrong.status, wrong.page.notice], [400, '비밀번호가 맞지 않습니다.']);
  assert.deepEqual([await isThere(gone), await erasure(gone)], [1, undefined]);
  const answer = await close(gone);
  assert.deepEqual([answer.status, answer.page.heading], [200, '탈퇴했습니다']);
  await assertGone(gone);
  assert.deepEqual(mailsTo(gone.login), []);
  assert.equal((await gone.buyer.order(sku)).status, 403, 'a token that is still good orders nothing');
  assert.deepEqual([await isThere(stays), (await stays.buyer.detail(stays.order.orderId)).cancellation.note], [1, '이사합니다']);
  // The address may sign up again: somebody new.
  const begun = await flow(gone.config);
  const { leads } = await new Visitor().signUp(begun.url, gone.login, gone.password);
  assert.notEqual(decodeJwt((await redeem(gone.config, begun, leads)).access_token).sub, gone.buyer.sub);
});

test('a box on its way refuses it, by the order\'s number, and nothing is changed', async () => {
  const who = await person();
  const open = await who.buyer.buys(sku);
  const answer = await close(who);
  assert.equal(answer.status, 409);
  assert.match(answer.text, new RegExp(open.orderNo));
  assert.deepEqual([await isThere(who), await erasure(who)], [1, undefined]);
  assert.equal((await who.buyer.detail(who.order.orderId)).recipient.name, '홍길동');
  await refresh(who.config, who.tokens);
  assert.equal((await who.buyer.cancel(open.orderId)).status, 200);
  assert.equal((await close(who)).page.heading, '탈퇴했습니다');
});

test('when the account cannot be deleted after the shop has forgotten, that is said, and the same action ends it', { timeout: 60_000 }, async () => {
  const who = await person();
  const blocker = new pg.Client({ connectionString: stack.postgres.uri });
  await blocker.connect();
  try {
    await blocker.query('BEGIN');
    await blocker.query('SELECT 1 FROM identity.accounts WHERE account_id = $1 FOR KEY SHARE', [who.buyer.sub]);
    const failed = await close(who);
    assert.equal(failed.status, 503);
    assert.deepEqual([await isThere(who), await erasure(who)], [1, 'DONE']);
  } finally {
    await blocker.end();
  }
  assert.equal((await close(who)).page.heading, '탈퇴했습니다');
  await assertGone(who);
});

test('who is not signed in, or is no buyer, closes nothing', async () => {
  assert.equal((await new Visitor().open(CLOSE)).page.heading, '로그인');
  const farmer = await tokensOf({ login: 'farmer2', password: demoPassword() });
  const page = await farmer.visitor.open(CLOSE);
  assert.deepEqual([page.status, page.page.action], [200, '']);
  const { csrf } = (await farmer.visitor.open(`${ISSUER}/account/password`)).page.hidden;
  assert.equal((await farmer.visitor.ask('POST', CLOSE, { csrf, password: demoPassword() })).status, 403);
  const other = await tokensOf();
  assert.equal((await other.visitor.ask('POST', CLOSE, { csrf, password: other.password })).status, 403, 'another\'s form');
  assert.equal((await expectJson(200, 'GET /api/v1/me/erasure', { token: other.tokens.access_token })).status, 'NONE');
});
