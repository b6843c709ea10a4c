// SPDX-License-Identifier: Apache-2.0
// A second instance of a service beside the stack's own, by the stack's settings: for tests in which two do the same work, or one is stopped. What has
// other settings and ends with its test is guest.mjs's. Must never be left behind: whoever starts one stops it.

import { spawn } from 'node:child_process';

import { freePort } from './port.mjs';
import { binaryOf, environmentOf } from './stack.mjs';
import { until } from './until.mjs';

const readyOf = async (admin) => (await fetch(`${admin}/readyz`)).status;
const isReady = async (admin) => (await readyOf(admin)) === 200;

// secondInstance('order-manager', { LOOPS: '1' }, isReady) -> when that holds. `output`: all it has written; `ended`: { code, signal, output }.
export async function secondInstance(name, more = {}, holds = isReady) {
  const [HTTP_PORT, GRPC_PORT, ADMIN_PORT] = await Promise.all([freePort(), freePort(), freePort()]);
  const child = spawn(binaryOf(name), [], { env: { PATH: process.env.PATH, ...environmentOf(name), HTTP_PORT, GRPC_PORT, ADMIN_PORT, ...more }, stdio: ['ignore', 'pipe', 'pipe'] });
  const base = (port) => `http://127.0.0.1:${port}`;
  const one = { child, output: '', http: base(HTTP_PORT), admin: base(ADMIN_PORT) };
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk) => (one.output += chunk));
  one.ended = new Promise((resolve) => child.once('exit', (code, signal) => resolve({ code, signal, output: one.output })));
  one.ready = () => readyOf(one.admin);
  one.stop = () => {
    child.kill('SIGTERM');
    return one.ended;
  };
  await until(() => holds(one.admin), { within: 20_000, what: `a second ${name}` }).catch((error) => {
    child.kill('SIGKILL');
    throw new Error(`${error.message}\n${one.output}`);
  });
  return one;
}
