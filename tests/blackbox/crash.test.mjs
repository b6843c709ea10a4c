// SPDX-License-Identifier: Apache-2.0
// A service that crashes with somebody's order in its memory leaves no core file, and nothing of the person or of the stack's secrets in what it
// says at its end; nor do the other programs of the stack leave core files.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdtempSync, readFileSync, readdirSync, rmSync } from 'node:fs';
import { createServer } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';

import { call } from '../lib/http.mjs';
import { koreanWord, newKey } from '../lib/ids.mjs';
import { filesUnder, secrets } from '../lib/secrets.mjs';
import { orderBody, recipient, shop } from '../lib/shop.mjs';
import { binaryOf, environmentOf, pidOf, stack } from '../lib/stack.mjs';
import { until } from '../lib/until.mjs';

const MARKS = { name: koreanWord(9), address1: `서울 ${koreanWord(9)}`, doorNote: `비번${randomBytes(8).toString('hex')}`, giftMessage: `축하${randomBytes(8).toString('hex')}` };
const freePort = () =>
  new Promise((resolve) => {
    const probe = createServer().listen(0, '127.0.0.1', () => {
      const { port } = probe.address();
      probe.close(() => resolve(port));
    });
  });
const coreLimit = (pid) => /^Max core file size +(\S+)/m.exec(readFileSync(`/proc/${pid}/limits`, 'utf8'))[1];

// An OrderManager of its own, started as somebody would who allows core files of any size; a sanitizer neither catches the signal nor forbids the core.
async function startHelper(folder) {
  const [HTTP_PORT, GRPC_PORT, ADMIN_PORT] = await Promise.all([freePort(), freePort(), freePort()]);
  const env = { ...environmentOf('order-manager'), PATH: process.env.PATH, HTTP_PORT, GRPC_PORT, ADMIN_PORT, LOG_LEVEL: 'debug', ASAN_OPTIONS: 'disable_coredump=0:handle_abort=0:handle_segv=1:detect_leaks=0' };
  const child = spawn('bash', ['-c', 'ulimit -S -c "$(ulimit -H -c)"; exec "$0"', binaryOf('order-manager')], { env, cwd: folder, stdio: ['ignore', 'pipe', 'pipe'] });
  const helper = { child, log: '', base: `http://127.0.0.1:${HTTP_PORT}` };
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (part) => (helper.log += part));
  helper.ended = new Promise((resolve) => child.once('close', (code, signal) => resolve({ code, signal })));
  await until(async () => (await fetch(`http://127.0.0.1:${ADMIN_PORT}/readyz`)).status === 200, { within: 30_000, what: 'an order-manager' });
  return helper;
}

for (const signal of ['SIGABRT', 'SIGSEGV']) {
  test(`${signal} in the middle of orders leaves no core file and no personal data`, { timeout: 60_000 }, async () => {
    const { sku, buyer } = await shop();
    const folder = mkdtempSync(join(tmpdir(), 'gw-crash-'));
    try {
      const helper = await startHelper(folder);
      const json = orderBody(sku, 1, { recipient: recipient({ name: MARKS.name, address1: MARKS.address1, doorNote: MARKS.doorNote }), giftMessage: MARKS.giftMessage });
      const placed = await call('POST /api/v1/orders', { token: buyer.token, headers: { 'idempotency-key': newKey() }, json, base: helper.base });
      assert.equal(placed.status, 201, placed.text);
      assert.equal(coreLimit(helper.child.pid), '1');
      helper.child.kill(signal);
      const end = await helper.ended;
      assert.ok(end.signal === signal || end.code > 0, JSON.stringify(end));
      assert.deepEqual(readdirSync(folder), []);
      for (const [what, mark] of [...Object.entries(MARKS), ...secrets()]) assert.ok(!helper.log.includes(mark), `its last words show ${what}`);
    } finally {
      rmSync(folder, { recursive: true });
    }
  });
}

test('no program of the stack leaves a core file, nor has left one', () => {
  for (const name of ['fruit-catalog', 'order-manager', 'delivery-mock', 'identity', 'rabbitmq']) assert.match(coreLimit(pidOf(name)), /^[01]$/, name);
  assert.deepEqual(filesUnder(stack.var).filter((path) => /\/(core|vgcore)(\.\d+)?$/.test(path)), []);
});
