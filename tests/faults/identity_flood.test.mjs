// SPDX-License-Identifier: Apache-2.0
// Fifty guesses a second, from one address or many, at one login or many: whoever signs in to another account has the tokens within a
// second, and what is over a limit costs no hash. Guesses go to the service itself, as the gateway passes them on, so that none is stopped
// before; everybody else comes through the gateway. Must never take a flood for met that was not sent in time.

import assert from 'node:assert/strict';
import http from 'node:http';
import { test } from 'node:test';

import { discover, flow, freshLogin, ORIGIN, redeem, tokensOf, Visitor } from '../lib/identity.mjs';
import { environmentOf, stack } from '../lib/stack.mjs';
import { until } from '../lib/until.mjs';

const [RATE, SECONDS] = [50, 5];
const [BOUND_MS, BUSY] = [1000, 3]; // where a sign-in without a flood takes longer than a third of it: so many times as long as without a flood
const [PEOPLE, EACH_MAX] = [8, 9]; // a known browser goes first ten times a minute: one of them is without a flood
const ROUNDS_MAX = 3; // what holds by design holds in one of them on a machine that has something else to do, too
const LOCK_AFTER = Number(environmentOf('identity').LOCK_AFTER ?? 5);
const median = (list) => [...list].sort((a, b) => a - b)[Math.floor(list.length / 2)];

async function guesser() {
  const agent = new http.Agent({ keepAlive: true });
  const base = new URL(stack.identity.http);
  const visitor = new Visitor();
  const { page } = await visitor.open((await flow(await discover())).url);
  const cookie = Object.entries(visitor.cookies).map(([name, value]) => `${name}=${value}`).join('; ');
  const guess = (from, login, password = 'wrong wrong wrong') => new Promise((resolve) => {
    const body = new URLSearchParams({ login, password }).toString();
    const headers = { Origin: ORIGIN, Cookie: cookie, 'X-Forwarded-For': from, 'Content-Type': 'application/x-www-form-urlencoded', 'Content-Length': Buffer.byteLength(body) };
    const request = http.request({ agent, host: base.hostname, port: base.port, method: 'POST', path: page.action, headers }, (answer) => answer.resume().on('end', () => resolve(answer.statusCode)));
    request.on('error', (error) => resolve(error.code)).end(body);
  });
  return { guess, close: () => agent.destroy() };
}

// By the clock, whatever became of the guesses before.
async function flood({ guess }, aim) {
  const running = new Set();
  const counts = {};
  const began = performance.now();
  let sent = 0;
  await new Promise((resolve) => {
    const clock = setInterval(() => {
      const due = Math.min(RATE * SECONDS, ((performance.now() - began) * RATE) / 1000);
      while (sent < due) {
        const { from, login } = aim(sent++);
        const work = guess(from, login).then((what) => { counts[what] = (counts[what] ?? 0) + 1; });
        running.add(work);
        work.finally(() => running.delete(work));
      }
      if (sent < RATE * SECONDS) return;
      clearInterval(clock);
      resolve();
    }, 10);
  });
  await until(() => running.size === 0, { within: 60_000, what: 'the end of the flood' });
  return counts;
}

// The whole of it, page, password, code, tokens, in milliseconds; null: told to come again.
async function signIn({ login, password, visitor = new Visitor() }) {
  const config = await discover();
  const began = performance.now();
  const begun = await flow(config, { prompt: 'login' });
  const { leads, status, page } = await visitor.signIn(begun.url, login, password);
  if (status === 503) return null;
  assert.ok(leads, `${status} ${page.notice}`);
  await redeem(config, begun, leads);
  return performance.now() - began;
}

// Everybody else, until it is over: in the browsers of before, and in new ones at addresses that nobody knows.
async function others(people, isOver) {
  const times = { known: [], fresh: [] };
  const go = async (list, visitorOf) => {
    for (let turn = 0; turn < people.length || (!isOver() && turn < people.length * EACH_MAX); turn++) list.push(await signIn({ ...people[turn % people.length], visitor: visitorOf(people[turn % people.length]) }));
  };
  await Promise.all([go(times.known, ({ visitor }) => visitor), go(times.fresh, () => new Visitor())]);
  return times;
}

// How many known browsers had their turn, and how many within a quarter of a second, since the service began.
async function turnsOfKnown() {
  const text = await (await fetch(`${stack.identity.admin}/metrics`)).text();
  const value = (series) => Number(text.split('\n').find((line) => line.startsWith(`identity_password_wait_seconds_${series} `))?.split(' ')[1] ?? 0);
  return { all: value('count{lane="known"}'), soon: value('bucket{le="0.25",lane="known"}') };
}

async function round(attacker, aim, people) {
  let isOver = false;
  const attack = flood(attacker, aim).finally(() => { isOver = true; });
  const before = await turnsOfKnown();
  const times = await others(people, () => isOver);
  const after = await turnsOfKnown();
  return { ...times, answers: await attack, turns: { all: after.all - before.all, soon: after.soon - before.soon } };
}

const isMet = (times, bound_ms) => times.every((ms) => ms !== null && ms < bound_ms);
const told = (times) => {
  const [served, longest] = [times.filter((ms) => ms !== null), Math.max(...times)];
  return `${times.length} sign-ins, ${times.length - served.length} told to come again, median ${median(served)?.toFixed(0)} ms, longest ${longest.toFixed(0)} ms`;
};

// Whose sign-ins stay under a second; how many guesses may cost a hash. In the last two a guess looks like the first sign-in of somebody new:
// who comes with a browser of before is safe from them, who comes with a new one is not (docs/security.md).
const [KNOWN, ALL] = [['known'], ['known', 'fresh']];
const BURST = 20 + 3 * SECONDS; // of one address: ATTEMPTS_PER_MINUTE
let place = 0;
const addressOf = (number) => `198.${18 + (place & 1)}.${(number >> 7) & 127}.${number & 127}`;
const FLOODS = [
  { name: 'one address at one login', met: ALL, hashesMax: LOCK_AFTER, aim: (n, victim) => ({ from: '203.0.113.7', login: victim }) },
  { name: 'one address at many logins', met: ALL, hashesMax: BURST, aim: () => ({ from: `203.0.113.${8 + place % 80}`, login: freshLogin() }) },
  { name: 'many addresses at one login', met: ALL, hashesMax: LOCK_AFTER, aim: (n, victim) => ({ from: addressOf(n), login: victim }) },
  { name: 'fifty addresses at many logins', met: KNOWN, hashesMax: Infinity, aim: (n) => ({ from: `203.0.${place % 100}.${100 + n % 50}`, login: freshLogin() }) },
  { name: 'a new address for each guess, at many logins', met: KNOWN, hashesMax: Infinity, aim: (n) => ({ from: addressOf(n), login: freshLogin() }) },
];

async function newPeople() {
  const people = [];
  while (people.length < PEOPLE) people.push(...(await Promise.all(Array.from({ length: 4 }, () => tokensOf()))));
  return people;
}

// How long the same takes when nobody guesses, at worst.
async function calm(people) {
  const { known, fresh } = await others(people, () => true);
  return Math.max(...known, ...fresh);
}

for (const { name, met, hashesMax, aim } of FLOODS) {
  test(`fifty guesses a second from ${name} leave the others under a second`, { timeout: 200_000 }, async (t) => {
    const attacker = await guesser();
    t.after(attacker.close);
    let seen;
    let bound_ms;
    const isGood = (who) => isMet(seen[who], bound_ms);
    for (let turn = 0; turn < ROUNDS_MAX && !(seen && met.every(isGood)); turn++) {
      place += 1;
      const victim = (await tokensOf()).login;
      const people = await newPeople();
      const calm_ms = await calm(people);
      bound_ms = Math.max(BOUND_MS, BUSY * calm_ms);
      seen = await round(attacker, (n) => aim(n, victim), people);
      t.diagnostic(`${JSON.stringify(seen.answers)}; browsers of before: ${told(seen.known)}; new ones: ${told(seen.fresh)}; without a flood ${calm_ms.toFixed(0)} ms at worst`);
      assert.deepEqual(seen.turns, { all: seen.known.length, soon: seen.known.length }, 'a known browser has its turn at once');
      assert.ok((seen.answers[400] ?? 0) <= hashesMax, `${seen.answers[400]} guesses were looked at`);
      assert.deepEqual(Object.keys(seen.answers).filter((status) => !['400', '429', '503'].includes(status)), []);
    }
    for (const who of met) assert.ok(isGood(who), `${who}: ${told(seen[who])}, bound ${bound_ms.toFixed(0)} ms`);
  });
}
