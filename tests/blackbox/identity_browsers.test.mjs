// SPDX-License-Identifier: Apache-2.0
// A browser that a login was signed in from before counts by itself: guesses of others lock nobody out of it, and its own lock only it.
// What says so is a cookie that opens nothing, names nobody and cannot be made up. Many guesses at once are no more than many in a row.

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { discover, flow, freshLogin, ISSUER, tokensOf, Visitor } from '../lib/identity.mjs';
import { environmentOf } from '../lib/stack.mjs';

const LOCK_AFTER = Number(environmentOf('identity').LOCK_AFTER ?? 5);
const PASSWORD = 'correct horse battery';
const WRONG = 'wrong wrong wrong';

const door = async (visitor = new Visitor()) => ({ visitor, page: await visitor.open((await flow(await discover(), { prompt: 'login' })).url) });
const tryIt = async ({ visitor, page }, login, password) => visitor.send(page, { login, password });
const signsIn = async (visitor, login, password = PASSWORD) => tryIt(await door(visitor), login, password);
const withCookie = (value) => {
  const visitor = new Visitor();
  const ask = visitor.ask.bind(visitor);
  visitor.ask = (method, url, form, headers = {}) => ask(method, url, form, { ...headers, Cookie: [...Object.entries(visitor.cookies).map(([name, one]) => `${name}=${one}`), `gw_device=${value}`].join('; ') });
  return visitor;
};

async function lock(login) {
  for (let turn = 0; turn < LOCK_AFTER; turn++) assert.equal((await signsIn(new Visitor(), login, WRONG)).status, 400);
  assert.equal((await signsIn(new Visitor(), login)).status, 429, 'strangers are locked out');
}

test('guesses of others lock nobody out of the own browser', async () => {
  const { login, visitor } = await tokensOf();
  await lock(login);
  assert.ok((await signsIn(visitor, login)).leads, 'the browser of before');
  assert.equal((await signsIn(new Visitor(), login)).status, 429, 'strangers still are');
});

test('guesses from a known browser lock that browser, and no other', async () => {
  const { login, visitor } = await tokensOf();
  for (let turn = 0; turn < LOCK_AFTER; turn++) assert.equal((await signsIn(visitor, login, WRONG)).status, 400);
  assert.equal((await signsIn(visitor, login)).status, 429);
  assert.ok((await signsIn(new Visitor(), login)).leads);
});

test('guesses of others do not keep anybody from changing the own password', async () => {
  const { login, visitor } = await tokensOf();
  await lock(login);
  const form = await visitor.open(`${ISSUER}/account/password`);
  const changed = await visitor.send(form, { old: PASSWORD, password: 'another horse battery' });
  assert.match(changed.page.notice, /비밀번호를 바꿨습니다/);
});

test('the cookie is for the pages of signing in alone, names nobody and opens nothing', async () => {
  const { login, visitor } = await tokensOf();
  const entrance = await door(visitor);
  const answer = await visitor.ask('POST', entrance.page.page.action, { ...entrance.page.page.hidden, login, password: PASSWORD });
  const line = answer.headers['set-cookie'].find((one) => one.startsWith('gw_device='));
  for (const word of [/; path=\/auth\/interaction(;|$)/i, /; httponly/i, /; secure/i, /; samesite=strict/i]) assert.match(line, word);
  const { gw_device: value } = visitor.cookies;
  assert.ok(!Buffer.from(value.split('~').pop(), 'base64url').toString('latin1').includes(login.split('@')[0]) && !value.includes(login));
  assert.equal((await signsIn(withCookie(value), login, WRONG)).status, 400, 'the password is asked for all the same');
});

test('a cookie that was made up, or is another login\'s, counts as none', async () => {
  const { login, visitor } = await tokensOf();
  const other = await tokensOf();
  await lock(login);
  const { gw_device: own } = visitor.cookies;
  const [browser, entry] = own.split('.');
  const [day, tag] = entry.split('~');
  const forged = {
    'another login\'s': other.visitor.cookies.gw_device,
    'another browser\'s tag': `${other.visitor.cookies.gw_device.split('.')[0]}.${entry}`,
    'another day': `${browser}.${Number(day) + 1}~${tag}`,
    'another tag': `${browser}.${day}~${'A'.repeat(43)}`,
    'cut off': own.slice(0, -1),
    'endless': `${own}${`.${entry}`.repeat(20)}`,
    'nonsense': '%00~~..',
  };
  for (const [name, value] of Object.entries(forged)) assert.equal((await signsIn(withCookie(value), login)).status, 429, name);
  assert.ok((await signsIn(withCookie(own), login)).leads, 'as it was given');
});

test('one browser is known to four logins, the newest', async () => {
  const people = await Promise.all(Array.from({ length: 5 }, () => tokensOf()));
  let value = people[0].visitor.cookies.gw_device;
  for (const { login } of people.slice(1)) {
    const visitor = withCookie(value); // signed out, but the cookie is there
    assert.ok((await signsIn(visitor, login)).leads);
    value = visitor.cookies.gw_device;
  }
  const [{ login: first }, { login: second }] = people;
  for (const login of [first, second]) await lock(login);
  assert.equal((await signsIn(withCookie(value), first)).status, 429, 'the fifth took the place of the first');
  assert.ok((await signsIn(withCookie(value), second)).leads);
});

test('many guesses at once are no more than many in a row', async () => {
  for (const login of [(await tokensOf()).login, freshLogin()]) {
    const doors = await Promise.all(Array.from({ length: 20 }, () => door()));
    const answers = await Promise.all(doors.map((one) => tryIt(one, login, WRONG)));
    const count = (status) => answers.filter((one) => one.status === status).length;
    assert.equal(count(400), LOCK_AFTER, 'looked at');
    assert.equal(count(429), doors.length - LOCK_AFTER, 'locked');
  }
});
