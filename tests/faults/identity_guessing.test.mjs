// SPDX-License-Identifier: Apache-2.0
// Guessing passwords leads nowhere and tells nothing: logins lock, clients are limited, and neither an answer nor its time says whether
// there is such an account. What others notice of a flood of guesses stands in identity_flood.test.mjs.

import assert from 'node:assert/strict';
import http from 'node:http';
import { test } from 'node:test';

import { demoPassword, discover, flow, freshAddress, freshLogin, ISSUER, mailTo, ORIGIN, tokensOf, Visitor } from '../lib/identity.mjs';
import { environmentOf, stack } from '../lib/stack.mjs';

const PASSWORD = 'correct horse battery';
const { LOCK_AFTER = '5' } = environmentOf('identity');
const signInPage = async (visitor = new Visitor()) => ({ visitor, page: await visitor.open((await flow(await discover())).url) });
const guess = ({ visitor, page }, login, password = 'wrong wrong wrong') => visitor.send(page, { login, password });
const median = (list) => [...list].sort((a, b) => a - b)[Math.floor(list.length / 2)];

// What a page says, without what is different in every one: the interaction, the pledge, the login itself.
const alike = (answer, login) => answer.text.replaceAll(login, 'LOGIN').replace(/interaction\/[\w-]+/g, 'interaction/ID').replace(/name="pledge" value="[^"]*"/g, '');

test('a login is locked after failures in a row, whether there is such an account or not', async () => {
  const known = (await tokensOf()).login;
  const texts = [];
  for (const login of [known, freshLogin()]) {
    const door = await signInPage();
    const answers = [];
    for (let turn = 0; turn < Number(LOCK_AFTER); turn++) answers.push(await guess(door, login));
    assert.deepEqual(answers.map((one) => one.status), answers.map(() => 400));
    const locked = await guess(door, login, PASSWORD);
    assert.equal(locked.status, 429, 'even the right password');
    assert.match(locked.page.notice, /잠시 잠갔습니다/);
    const wait = Number(locked.headers['retry-after']);
    assert.ok(wait > 0 && wait <= 30, `Retry-After: ${wait}`);
    assert.equal((await guess(await signInPage(), login, PASSWORD)).status, 429, 'from another address too');
    texts.push(answers.map((one) => alike(one, login)).join());
  }
  assert.equal(texts[0], texts[1], 'the pages differ');
});

test('a success wipes the failures away', async () => {
  const { login, password } = await tokensOf();
  for (let round = 0; round < 2; round++) {
    const door = await signInPage();
    for (let turn = 1; turn < Number(LOCK_AFTER); turn++) assert.equal((await guess(door, login)).status, 400);
    assert.ok((await guess(door, login, password)).leads, `round ${round}`);
  }
});

test('one client may only guess so often, whatever login it tries', async () => {
  const door = await signInPage();
  const answers = await Promise.all(Array.from({ length: 45 }, () => guess(door, freshLogin())));
  const limited = answers.filter((one) => one.status === 429);
  assert.ok(limited.length >= 5, `${limited.length} of 45 were limited`);
  assert.ok(limited.every((one) => Number(one.headers['retry-after']) > 0));
  const other = await signInPage();
  assert.ok((await guess(other, 'buyer1', demoPassword())).leads, 'another client goes on');
});

// One sign-in's POST on a kept connection of the service itself, timed; the limits see `client`.
function timer() {
  const agent = new http.Agent({ keepAlive: true, maxSockets: 1 });
  const base = new URL(stack.identity.http);
  const post = (path, cookie, client, form) => new Promise((resolve, reject) => {
    const body = new URLSearchParams(form).toString();
    const began = performance.now();
    const request = http.request({ agent, host: base.hostname, port: base.port, method: 'POST', path, headers: { Origin: ORIGIN, Cookie: cookie, 'X-Forwarded-For': client, 'Content-Type': 'application/x-www-form-urlencoded', 'Content-Length': Buffer.byteLength(body) } }, (answer) => {
      answer.resume().on('end', () => resolve({ ms: performance.now() - began, status: answer.statusCode }));
    });
    request.on('error', reject).end(body);
  });
  return { post, close: () => agent.destroy() };
}

// Rounds of pairs, known and unknown in turn, on logins that have not failed yet; more rounds where the machine is noisy. What differs
// by itself differs the more surely the more rounds there are.
test('the time of a refusal does not tell whether there is an account', { timeout: 400_000 }, async (t) => {
  const [ROUND, ROUNDS_MIN, ROUNDS_MAX] = [30, 4, 12];
  const { visitor, page } = await signInPage();
  const cookie = Object.entries(visitor.cookies).map(([name, value]) => `${name}=${value}`).join('; ');
  const clock = timer();
  t.after(clock.close);
  const times = { known: [], unknown: [] };
  const people = [];
  while (people.length < ROUND) people.push(...await Promise.all(Array.from({ length: 5 }, () => tokensOf()))); // passwords are hashed in turn
  const one = async (kind, login, password = 'wrong wrong wrong') => {
    const { ms, status } = await clock.post(page.page.action, cookie, freshAddress(), { login, password });
    if (kind) assert.equal(status, 400);
    if (kind) times[kind].push(ms);
  };
  let [first, second, apart] = [0, 0, 1];
  for (let round = 0; round < ROUNDS_MAX && (round < ROUNDS_MIN || apart > 0.05); round++) {
    for (const [index, { login }] of people.entries()) {
      const stranger = freshLogin().slice(0, login.length).padEnd(login.length, 'x');
      const pair = [() => one('known', login), () => one('unknown', stranger)];
      for (const work of (index + round) % 2 ? pair : pair.reverse()) await work();
    }
    [first, second] = [median(times.known), median(times.unknown)];
    apart = Math.abs(first - second) / Math.min(first, second);
    t.diagnostic(`medians of ${times.known.length}: known ${first.toFixed(2)} ms, unknown ${second.toFixed(2)} ms`);
    if (round % 3 === 2) for (const { login, password } of people) await one(null, login, password); // wipes their failures before they lock
  }
  assert.ok(apart <= 0.05, `known ${first} ms, unknown ${second} ms`);
});

test('signing up and resetting say the same for an address that is known', async () => {
  const { login } = await tokensOf();
  const answers = [];
  for (const address of [login, freshLogin()]) {
    const door = await signInPage();
    const form = await door.visitor.open(`${door.page.page.action}/signup`);
    const sent = await door.visitor.send(form, { login: address, password: PASSWORD });
    const wrong = await door.visitor.send(sent, { code: '000000' });
    const forgot = await door.visitor.send(await door.visitor.open(`${ISSUER}/password/forgot`), { login: address });
    answers.push([sent, wrong, forgot].map((one) => `${one.status} ${alike(one, address)}`));
  }
  assert.deepEqual(answers[0], answers[1]);
  assert.match(await mailTo(login, { after: 1 }), /이미 가입되어 있으니|password\/reset/, 'only the mailbox learns it');
});

test('a sign-up\'s number can be guessed five times at most', async () => {
  const door = await signInPage();
  const login = freshLogin();
  const sent = await door.visitor.send(await door.visitor.open(`${door.page.page.action}/signup`), { login, password: PASSWORD });
  const code = /인증번호: (\d{6})/.exec(await mailTo(login))[1];
  const wrong = code === '111111' ? '222222' : '111111';
  for (let turn = 0; turn < 5; turn++) assert.equal((await door.visitor.send(sent, { code: wrong })).status, 400);
  const late = await door.visitor.send(sent, { code });
  assert.equal(late.leads, undefined);
  assert.match(late.page.notice, /처음부터 다시/);
});

test('a form that another site sends is refused', async () => {
  const { login, password } = await tokensOf();
  const { visitor, page } = await signInPage();
  for (const headers of [{ Origin: 'https://evil.example' }, { Origin: 'null' }, { Origin: undefined }]) {
    const given = Object.fromEntries(Object.entries(headers).filter(([, value]) => value !== undefined));
    const answer = await visitor.ask('POST', page.page.action, { login, password }, { ...given, ...(headers.Origin === undefined ? { Origin: '' } : {}) });
    assert.equal(answer.status, 403, JSON.stringify(headers));
  }
  const stranger = new Visitor();
  assert.equal((await stranger.ask('POST', page.page.action, { login, password })).status, 400, 'without the cookie of the interaction');
});

const WEAK = [['short', '짧은암호1', /10자/], ['its own name', 'LOGIN-is-mine', /이메일을/], ['well known', 'qwertyuiop', /흔한/], ['one letter', 'aaaaaaaaaaaa', /흔한/], ['endless', 'x1'.repeat(65), /128자/]];
for (const [name, password, says] of WEAK) {
  test(`a new password that is ${name} is not taken`, async () => {
    const door = await signInPage();
    const login = freshLogin();
    const answer = await door.visitor.send(await door.visitor.open(`${door.page.page.action}/signup`), { login, password: password.replace('LOGIN', login.split('@')[0]) });
    assert.equal(answer.status, 400);
    assert.match(answer.page.notice, says);
  });
}
