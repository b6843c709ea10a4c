// SPDX-License-Identifier: Apache-2.0
// The identity service as a process: it refuses bad settings by name, answers fast and honestly while its database is away, comes back by
// itself, turns its key when it is old, ends without losing a request, and logs no person. Each test runs one of its own beside the stack's.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { cpSync, mkdtempSync, readFileSync, rmSync, utimesSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';

import { Link } from '../chaos/proxy.mjs';
import { ask } from '../lib/edge.mjs';
import { demoPassword, discover, flow, freshLogin, ISSUER, tokensOf, Visitor } from '../lib/identity.mjs';
import { freePort } from '../lib/port.mjs';
import { environmentOf, ROOT, stack } from '../lib/stack.mjs';
import { until } from '../lib/until.mjs';

// A process with the stack's environment, changed by `change` (null takes a variable away).
async function run(t, change = {}) {
  const env = { PATH: process.env.PATH, ...environmentOf('identity'), HTTP_PORT: String(await freePort()), ADMIN_PORT: String(await freePort()), ...change };
  for (const [name, value] of Object.entries(env)) if (value === null) delete env[name];
  const child = spawn(process.execPath, [join(ROOT, 'identity/main.mjs')], { env, stdio: ['ignore', 'pipe', 'pipe'] });
  const one = { child, output: '', http: `http://127.0.0.1:${env.HTTP_PORT}`, admin: `http://127.0.0.1:${env.ADMIN_PORT}` };
  one.ended = new Promise((resolve) => { child.on('exit', (code) => resolve(code)); });
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk) => { one.output += chunk; });
  one.lines = () => one.output.split('\n').filter(Boolean).map((line) => JSON.parse(line));
  one.ready = () => until(async () => (await fetch(`${one.admin}/readyz`)).status === 200, { within: 30_000, what: 'readiness' });
  t.after(() => child.kill('SIGKILL'));
  return one;
}

const CASES = [
  ['ISSUER', null, /\/auth/], ['ISSUER', 'https://x.example/other', /\/auth/], ['ISSUER', 'ftp://x.example/auth', /http/],
  ['HTTP_PORT', 'eighty', /1 to 65535/], ['ADMIN_PORT', '70000', /1 to 65535/], ['POSTGRES_URI', 'mysql://u:hushhush@127.0.0.1/db', /postgresql/],
  ['SECRET', 'hushhush', /32/], ['KEYS_DIR', 'relative', /absolute/], ['LOCK_AFTER', '1', /2 to/], ['LOG_LEVEL', 'loud', /debug/], ['WEB_ORIGINS', 'https://x.example/path', /origins/],
];

for (const [name, value, rule] of CASES) {
  test(`${name}=${value} is refused by name and rule`, async (t) => {
    const one = await run(t, { [name]: value });
    assert.equal(await one.ended, 78);
    const line = one.lines().find((row) => row.event === 'config.invalid');
    assert.equal(line.setting, name);
    assert.match(line.rule, rule);
    assert.doesNotMatch(one.output, /hushhush/);
  });
}

test('a port that is taken ends the start with 71', async (t) => {
  const one = await run(t, { HTTP_PORT: new URL(stack.identity.http).port });
  assert.equal(await one.ended, 71);
});

test('without its database it says so at once, and is back by itself', { timeout: 120_000 }, async (t) => {
  const target = new URL(stack.postgres.uri);
  const link = await new Link('identity to PostgreSQL', target.hostname, Number(target.port)).open();
  t.after(() => link.close());
  const uri = new URL(environmentOf('identity').POSTGRES_URI);
  uri.port = link.address.split(':')[1];
  const one = await run(t, { POSTGRES_URI: uri.href });
  await one.ready();
  const url = new URL((await flow(await discover())).url);
  const begin = () => ask(`GET ${url.pathname}${url.search}`, { base: one.http, headers: { Accept: 'text/html' } });
  assert.equal((await begin()).status, 303);
  for (const how of ['cut', 'hold']) {
    link.set(how);
    const began = performance.now();
    const answer = await begin();
    assert.equal(answer.status, 503, how);
    assert.ok(Number(answer.headers['retry-after']) > 0);
    assert.match(answer.text, /지금은 로그인 서비스를 쓸 수 없습니다/);
    assert.ok(performance.now() - began < 4000, `${how}: ${performance.now() - began} ms`);
    // Readiness is asked for twice a second at most.
    await until(async () => (await fetch(`${one.admin}/readyz`)).status === 503, { within: 3_000, what: `not being ready when it was ${how}` });
    assert.equal((await fetch(`${one.admin}/livez`)).status, 200);
    assert.equal((await ask('GET /auth/jwks.json', { base: one.http })).status, 200, 'keys need no database');
    link.set('pass');
    await until(async () => (await begin()).status === 303, { within: 20_000, what: `recovery when it was ${how}` });
    await one.ready();
  }
});

test('SIGTERM lets what runs end, and takes nothing more', { timeout: 120_000 }, async (t) => {
  const one = await run(t, { HASH_CONCURRENCY: '1', ATTEMPTS_PER_MINUTE: '1000', DRAIN_WAIT_MS: '2000' });
  await one.ready();
  const visitor = new Visitor();
  const page = await visitor.open((await flow(await discover())).url);
  const cookie = Object.entries(visitor.cookies).map(([name, value]) => `${name}=${value}`).join('; ');
  const origin = new URL(ISSUER).origin;
  const guess = (number) => {
    const body = new URLSearchParams({ login: freshLogin(), password: 'wrong wrong wrong' }).toString();
    return ask(`POST ${page.page.action}`, { base: one.http, body, headers: { Origin: origin, Cookie: cookie, 'X-Forwarded-For': `10.9.${number >> 3}.1`, 'Content-Type': 'application/x-www-form-urlencoded', 'Content-Length': Buffer.byteLength(body) } });
  };
  const running = Array.from({ length: 16 }, (_, number) => guess(number));
  await until(async () => /identity_password_checks_waiting\{lane="strangers"\} [1-9]/.test(await (await fetch(`${one.admin}/metrics`)).text()), { what: 'passwords that wait' });
  one.child.kill('SIGTERM');
  const answers = await Promise.all(running);
  assert.deepEqual([...new Set(answers.map((answer) => answer.status))], [400]);
  assert.equal(await one.ended, 0);
  assert.ok(one.lines().some((line) => line.event === 'drain.done' && line.left === 0));
  await assert.rejects(guess(0), /ECONNREFUSED/);
});

test('a key that is old is announced first, and signs later', { timeout: 60_000 }, async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'identity-keys-'));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  cpSync(join(stack.var, 'keys'), folder, { recursive: true });
  const old = readFileSync(join(folder, 'signing.kid'), 'utf8').trim();
  const longAgo = Date.now() / 1000 - 2 * 86_400;
  utimesSync(join(folder, 'signing.kid'), longAgo, longAgo);
  const one = await run(t, { KEYS_DIR: folder, KEY_ROTATE_DAYS: '1', KEY_ANNOUNCE_S: '2' });
  await one.ready();
  const kids = async () => (await ask('GET /auth/jwks.json', { base: one.http })).json.keys.map((key) => key.kid);
  const [announced] = await until(async () => ((await kids())[0] !== old) && kids(), { within: 10_000, what: 'a new key in the set' });
  assert.equal(readFileSync(join(folder, 'signing.kid'), 'utf8').trim(), old, 'it signs with the old one yet');
  await until(() => readFileSync(join(folder, 'signing.kid'), 'utf8').trim() === announced, { within: 20_000, what: 'the new key signing' });
  assert.ok((await kids()).includes(old), 'the old one stays published');
});

test('the log is JSON and knows no person', async () => {
  const { login } = await tokensOf();
  const visitor = new Visitor();
  const page = await visitor.open((await flow(await discover())).url);
  await visitor.send(page, { login: 'canary-login@shop.example', password: 'canary-password-1234' });
  await visitor.send(page, { login: 'operator1', password: demoPassword() });
  const text = await until(() => {
    const log = readFileSync(join(stack.var, 'log/identity.log'), 'utf8');
    return log.includes('"route":"/interaction/:uid"') && log;
  });
  for (const secret of [login, 'canary', 'operator1', demoPassword(), visitor.cookies.gw_session]) assert.ok(!text.includes(secret), `the log has ${secret}`);
  for (const line of text.split('\n').filter(Boolean)) assert.ok(JSON.parse(line).event, line);
  const metrics = await (await fetch(`${stack.identity.admin}/metrics`)).text();
  assert.match(metrics, /identity_sign_ins_total\{outcome="ok"\} [1-9]/);
  assert.doesNotMatch(metrics, /canary|@shop/);
});

test('the database keeps no id that could be used, and the service may give no role', async () => {
  const { tokens, visitor } = await tokensOf();
  const pg = (await import('pg')).default;
  const client = new pg.Client({ connectionString: stack.postgres.roles.identity_app });
  await client.connect();
  try {
    const { rows } = await client.query('SELECT kind, payload::text AS payload FROM identity.records');
    for (const secret of [tokens.refresh_token, visitor.cookies.gw_session]) assert.ok(!rows.some((row) => row.payload.includes(secret)), 'a usable id is stored');
    await assert.rejects(client.query("UPDATE identity.accounts SET role = 'operator'"), /permission denied/);
    await assert.rejects(client.query("INSERT INTO identity.accounts (account_id, login, email, password_hash, role) VALUES (gen_random_uuid(), 'xyz', 'x', '$argon2id$', 'operator')"), /permission denied/);
    await assert.rejects(client.query('DELETE FROM identity.accounts'), /permission denied/);
    await assert.rejects(client.query('SELECT 1 FROM orders.orders'), /permission denied/);
  } finally {
    await client.end();
  }
});
