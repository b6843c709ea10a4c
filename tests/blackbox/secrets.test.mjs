// SPDX-License-Identifier: Apache-2.0
// No secret of the stack is seen where it does not belong: logs, what admin ports and ./dev show, arguments of processes, answers to errors, what
// a service says of a setting that it refuses. Passwords, keys and tokens are the stack's own, so that each stands somewhere real.

import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { readFileSync, readdirSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';

import { filesUnder, isSecretFile, secrets } from '../lib/secrets.mjs';
import { ROOT, SERVICES, binaryOf, environmentOf, service, stack } from '../lib/stack.mjs';

const read = (path) => readFileSync(path, 'utf8');
const SECRETS = secrets();

function assertClean(text, where) {
  for (const [name, value] of SECRETS) assert.ok(!text.includes(value), `${where} shows ${name}`);
}

test('there are secrets to look for, and the look finds one', () => {
  assert.ok(SECRETS.size >= 12 && [...SECRETS.values()].every((value) => value.length >= 20));
  assert.throws(() => assertClean(`x${SECRETS.get('RABBITMQ_PASSWORD')}y`, 'a text'), /a text shows RABBITMQ_PASSWORD/);
});

test('secret files are readable by their owner alone', () => {
  for (const path of [join(stack.var, 'secrets.env'), ...filesUnder(join(stack.var, 'env')), ...filesUnder(join(stack.var, 'keys')).filter(isSecretFile)])
    assert.equal(statSync(path).mode & 0o077, 0, path);
});

test('admin ports show none', async () => {
  for (const name of SERVICES)
    for (const page of ['config', 'requests', 'metrics', 'version', 'readyz', 'log-level']) {
      const answer = await fetch(`${service(name).admin}/${page}`);
      assertClean(await answer.text(), `${name} /${page}`);
    }
  const config = await (await fetch(`${service('order-manager').admin}/config`)).json();
  assert.match(config.POSTGRES_URI, /:\*\*\*@/);
});

test('answers to bad tokens do not repeat them', async () => {
  const [token] = [...SECRETS].filter(([name]) => name.endsWith('.token')).map(([, value]) => value);
  for (const headers of [{ authorization: `Bearer ${token}x` }, { authorization: `Basic ${token}` }, { authorization: `Bearer ${token}`, 'idempotency-key': token }])
    for (const [name, path] of [['order-manager', '/api/v1/orders'], ['delivery-mock', '/api/v1/simulation']]) {
      const answer = await fetch(`${service(name).http}${path}?${new URLSearchParams({ cursor: token })}`, { headers });
      assertClean(`${await answer.text()} ${[...answer.headers].join(' ')}`, `${name} ${answer.status}`);
    }
});

test('a service says nothing of a secret in its settings, good or refused', () => {
  for (const name of SERVICES) {
    const environment = environmentOf(name);
    const uri = environment.POSTGRES_URI;
    const cases = [{ args: ['--check-config'] }, { args: ['--help'] }, { args: ['--version'] }, { args: [], env: { POSTGRES_URI: uri.replace('postgresql:', 'postgresql') } },
      { args: [], env: { RABBITMQ_URI: `${environment.RABBITMQ_URI}%zz` } }, { args: [], env: { HTTP_PORT: 'x' } }, { args: ['--check-config'], env: { RABBITMQ_URI: environment.RABBITMQ_URI.replace('amqp:', 'amqps:') } }];
    for (const { args, env } of cases) {
      const done = spawnSync(binaryOf(name), args, { env: { PATH: process.env.PATH, ...environment, ...env }, encoding: 'utf8', timeout: 30_000 });
      assertClean(`${done.stdout}${done.stderr}`, `${name} ${args.join(' ')} ${JSON.stringify(Object.keys(env ?? {}))}`);
    }
  }
});

test('no process of the stack has one among its arguments', () => {
  for (const pid of readdirSync('/proc').filter((name) => /^\d+$/.test(name)))
    try {
      assertClean(read(`/proc/${pid}/cmdline`), `the arguments of process ${pid}`);
    } catch (error) {
      if (error.code !== 'ENOENT' && error.code !== 'ESRCH') throw error; // it has ended
    }
});

// Every program that ./dev starts, however short it lives: strace notes its arguments.
test('./dev gives none to a program by its arguments', () => {
  for (const args of [['status'], ['status', '--json'], ['dead-letters', 'list'], ['start', 'delivery-mock']]) {
    const log = join(tmpdir(), `gw-exec-${process.pid}-${args.join('-')}`);
    const done = spawnSync('strace', ['-f', '-qq', '-s', '100000', '-v', '-e', 'trace=execve', '-e', 'signal=none', '-o', log, join(ROOT, 'dev'), ...args],
      { env: { ...process.env, GWASUWON_VAR: stack.var }, encoding: 'utf8', timeout: 120_000 });
    const calls = read(log).split('\n').map((line) => line.match(/execve\("[^"]*", \[(.*?)\], \[/)?.[1]).filter(Boolean); // the environment comes after
    rmSync(log);
    assert.equal(done.status, 0, done.stderr);
    assert.ok(calls.length > 1, 'strace saw nothing');
    for (const call of calls) assertClean(call, `./dev ${args.join(' ')}: ${call.slice(0, 60)}`);
    if (args[1] !== '--json') assertClean(done.stdout + done.stderr, `the output of ./dev ${args.join(' ')}`); // that one is for programs that connect
  }
});

test('no log has one', () => {
  for (const path of filesUnder(join(stack.var, 'log'))) assertClean(read(path), path);
  assertClean(execFileSync(join(ROOT, 'dev'), ['logs'], { env: { ...process.env, GWASUWON_VAR: stack.var }, encoding: 'utf8' }), './dev logs');
});
