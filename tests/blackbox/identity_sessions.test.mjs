// SPDX-License-Identifier: Apache-2.0
// What ends a sign-in: a refresh token that comes twice, a device that is signed out, a password that changes, an operator's word, a
// sign-out. After each, nothing that hung on it can be renewed.

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { flow, ISSUER, mailTo, oidc, refresh, refusalOf, SHOP, tokensOf, Visitor } from '../lib/identity.mjs';
import { dev } from '../lib/stack.mjs';

const isOver = async (config, tokens, what) => assert.equal(await refusalOf(refresh(config, tokens)), 'invalid_grant', what);

test('a refresh token is good once, and each gives the next', async () => {
  const { config, tokens } = await tokensOf();
  let last = tokens;
  for (let turn = 0; turn < 3; turn++) {
    const next = await refresh(config, last);
    assert.notEqual(next.refresh_token, last.refresh_token);
    last = next;
  }
});

test('a refresh token that comes twice ends its whole family', async () => {
  const { config, tokens } = await tokensOf();
  const second = await refresh(config, tokens);
  const third = await refresh(config, second);
  await isOver(config, tokens, 'a used one');
  await isOver(config, third, 'the newest of the family');
  await isOver(config, second, 'one between');
});

test('ten uses of one refresh token at once end the family', async () => {
  const { config, tokens } = await tokensOf();
  const answers = await Promise.all(Array.from({ length: 10 }, () => refresh(config, tokens).catch((error) => error.error)));
  const got = answers.filter((one) => one.refresh_token);
  assert.ok(got.length <= 1, `${got.length} got a token`);
  for (const one of got) await isOver(config, one, 'the one that was first');
});

test('one person\'s families do not touch each other', async () => {
  const first = await tokensOf();
  const other = await tokensOf({ login: first.login, password: first.password, visitor: new Visitor() });
  await refresh(first.config, first.tokens);
  await isOver(first.config, first.tokens, 'the reused one');
  await refresh(other.config, other.tokens);
});

test('a device is signed out from another one', async () => {
  const lost = await tokensOf();
  const here = await tokensOf({ login: lost.login, password: lost.password, visitor: new Visitor({ agent: 'Mozilla/5.0 (iPhone) Safari/605.1' }) });
  const page = await here.visitor.open(`${ISSUER}/account/devices`);
  assert.equal(page.page.heading, '로그인된 기기');
  assert.match(page.text, /Chrome · Linux/);
  assert.match(page.text, /Safari · iPhone<\/strong> <em>이 기기/);
  await here.visitor.send(page, {}); // the first form: the other device
  await isOver(lost.config, lost.tokens, 'the lost device');
  await refresh(here.config, here.tokens);
  assert.equal((await lost.visitor.open((await flow(lost.config)).url)).page.heading, '로그인', 'the lost device is asked to sign in');
});

test('changing the password signs out every other device', async () => {
  const other = await tokensOf();
  const here = await tokensOf({ login: other.login, password: other.password, visitor: new Visitor() });
  const page = await here.visitor.open(`${ISSUER}/account/password`);
  const changed = await here.visitor.send(page, { old: other.password, password: 'another horse battery' });
  assert.match(changed.page.notice, /바꿨습니다/);
  await isOver(other.config, other.tokens, 'the other device');
  await refresh(here.config, here.tokens);
  const visitor = new Visitor();
  assert.match((await visitor.signIn((await flow(here.config)).url, other.login, other.password)).page.notice, /맞지 않습니다/);
  assert.ok((await visitor.signIn((await flow(here.config)).url, other.login, 'another horse battery')).leads);
});

test('a reset by mail sets a new password once and signs out everywhere', async () => {
  const { config, tokens, login, password } = await tokensOf();
  const visitor = new Visitor();
  const sent = await visitor.send(await visitor.open(`${ISSUER}/password/forgot`), { login });
  assert.equal(sent.page.heading, '메일을 확인해 주세요');
  const link = /https:\S+\/password\/reset\?token=\S+/.exec(await mailTo(login, { after: 1 }))[0];
  const form = await visitor.open(link);
  const done = await visitor.send(form, { password: 'a brand new battery' });
  assert.equal(done.page.heading, '비밀번호를 바꿨습니다');
  await isOver(config, tokens, 'what was signed in before');
  assert.equal((await visitor.open(link)).status, 410, 'the link is good once');
  assert.equal((await visitor.send(form, { password: 'yet another battery' })).status, 410);
  assert.match((await visitor.signIn((await flow(config)).url, login, password)).page.notice, /맞지 않습니다/);
  assert.ok((await visitor.signIn((await flow(config)).url, login, 'a brand new battery')).leads);
});

test('an operator ends sessions, locks an account and lets it in again', async () => {
  const first = await tokensOf();
  await dev(['account', 'end-sessions', first.login]);
  await isOver(first.config, first.tokens, 'an ended session');

  const second = await tokensOf({ login: first.login, password: first.password });
  await dev(['account', 'lock', first.login]);
  await isOver(second.config, second.tokens, 'a locked account');
  const visitor = new Visitor();
  assert.match((await visitor.signIn((await flow(first.config)).url, first.login, first.password)).page.notice, /맞지 않습니다/, 'as if the password were wrong');
  await dev(['account', 'unlock', first.login]);
  assert.ok((await visitor.signIn((await flow(first.config)).url, first.login, first.password)).leads);
});

test('whoever is given another role is signed out and comes back with it', async () => {
  const { config, tokens, login, password } = await tokensOf();
  await dev(['account', 'role', login, 'farmer', '018f0000-0000-7000-9000-000000000001']);
  await isOver(config, tokens, 'the buyer');
  const again = await tokensOf({ login, password, scope: 'openid catalog:write orders:write' });
  const claims = JSON.parse(Buffer.from(again.tokens.access_token.split('.')[1], 'base64url'));
  assert.deepEqual([claims.roles, claims.farmId, claims.scope], [['farmer'], '018f0000-0000-7000-9000-000000000001', 'catalog:write']);
});

test('signing out ends the session and its tokens, and leads back to the shop', async () => {
  const { config, visitor, tokens } = await tokensOf();
  const url = oidc.buildEndSessionUrl(config, { id_token_hint: tokens.id_token, post_logout_redirect_uri: SHOP }).href;
  const page = await visitor.open(url);
  assert.equal(page.page.heading, '로그아웃');
  assert.equal((await visitor.send(page, { logout: 'yes' })).leads.href.split('?')[0], SHOP);
  await isOver(config, tokens, 'after the sign-out');
  assert.equal((await visitor.open((await flow(config)).url)).page.heading, '로그인');
});

test('a sign-out never leads to a stranger', async () => {
  const { config, visitor, tokens } = await tokensOf();
  const url = oidc.buildEndSessionUrl(config, { id_token_hint: tokens.id_token, post_logout_redirect_uri: 'https://evil.example/' }).href;
  const answer = await visitor.open(url);
  assert.equal(answer.leads, undefined);
  assert.equal(answer.status, 400);
});

test('revoking a refresh token ends its family', async () => {
  const { config, tokens } = await tokensOf();
  const next = await refresh(config, tokens);
  await oidc.tokenRevocation(config, next.refresh_token);
  await isOver(config, next, 'the revoked one');
});

test('a session cookie that was tampered with is no session', async () => {
  const { visitor } = await tokensOf();
  const stranger = new Visitor();
  const answer = await stranger.ask('GET', `${ISSUER}/account`, null, { Cookie: `gw_session=${visitor.cookies.gw_session}; gw_session.sig=${'A'.repeat(43)}` });
  assert.equal(answer.status, 303);
  assert.match(answer.headers.location, /authorize/);
});
