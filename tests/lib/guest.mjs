// SPDX-License-Identifier: Apache-2.0
// A further process of a service beside the stack's own, with settings of the test's: what a service does with another issuer, or without
// one, can be tried while the shop goes on. It shares the stack's database and broker. Must never be left behind.

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';

import { metricAt } from './metrics.mjs';
import { binaryOf, environmentOf } from './stack.mjs';
import { within } from './until.mjs';

// A start may take as long as the machine is busy; the service itself waits at most two seconds for what it needs.
const START_MS = 30_000;

// guest(t, 'order-manager', { JWT_JWKS: ... }): running and listening; stopped when the test ends. Empty text unsets a variable.
export async function guest(t, name, settings) {
  const env = { PATH: process.env.PATH, ...environmentOf(name), HTTP_PORT: '0', GRPC_PORT: '0', ADMIN_PORT: '0', DRAIN_WAIT_MS: '0', LOOPS: '1', ...settings };
  const child = spawn(binaryOf(name), [], { env, stdio: ['ignore', 'pipe', 'pipe'] });
  const events = [];
  const exited = once(child, 'exit');
  let onEvent = () => {};
  child.stderr.resume();
  createInterface({ input: child.stdout }).on('line', (line) => {
    events.push(JSON.parse(line));
    onEvent();
  });
  const saw = (event, match = () => true) =>
    within(START_MS, new Promise((resolve) => {
      (onEvent = () => {
        const found = events.find((one) => one.event === event && match(one));
        if (found) resolve(found);
      })();
    }), `"${event}" of ${name}`);
  t.after(async () => {
    child.kill('SIGTERM');
    await exited;
  });
  const { http_port: http, grpc_port: grpc, admin_port: admin } = await Promise.race([
    saw('service.listening'),
    exited.then(([code]) => Promise.reject(new Error(`${name} ended with ${code}: ${JSON.stringify(events.at(-1))}`))),
  ]);
  return {
    http: `http://127.0.0.1:${http}`,
    grpc: `127.0.0.1:${grpc}`,
    admin: `http://127.0.0.1:${admin}`,
    events,
    saw,
    readyz: async () => {
      const answer = await fetch(`http://127.0.0.1:${admin}/readyz`, { signal: AbortSignal.timeout(5000) });
      return { status: answer.status, body: await answer.json() };
    },
    isAlive: async () => (await fetch(`http://127.0.0.1:${admin}/livez`, { signal: AbortSignal.timeout(5000) })).status === 200,
    metric: (series) => metricAt(`http://127.0.0.1:${admin}`, series),
  };
}
