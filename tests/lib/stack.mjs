// SPDX-License-Identifier: Apache-2.0
// The running stack as the tests see it: where everything listens, its environment files, its processes, and ./dev to stop and start
// parts. Must never touch another stack than the one GWASUWON_VAR names.

import { execFile, execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';

import { ROOT } from './stack-root.mjs';

export { ROOT };
export const SERVICES = ['fruit-catalog', 'order-manager', 'delivery-mock'];
const DEV = join(ROOT, 'dev');

function readStatus() {
  const file = process.env.GWASUWON_STATUS;
  return JSON.parse(file ? readFileSync(file, 'utf8') : execFileSync(DEV, ['status', '--json'], { encoding: 'utf8' }));
}

export const stack = readStatus();
export const AUDIENCE = 'gwasuwon';
export const directory = JSON.parse(readFileSync(join(ROOT, 'stack/accounts.json'), 'utf8'));

export const service = (name) => stack.services[name];
export const binaryOf = (name) => join(process.env.GWASUWON_BUILD ?? join(ROOT, 'build', stack.kind), 'services', name, name);
export const hostPort = (url) => {
  const { hostname, port } = new URL(url.includes('://') ? url : `tcp://${url}`);
  return { host: hostname, port: Number(port) };
};

// The environment ./dev gave a service, as an object.
export function environmentOf(name) {
  const lines = readFileSync(join(stack.var, 'env', `${name}.env`), 'utf8').split('\n').filter(Boolean);
  return Object.fromEntries(lines.map((line) => [line.slice(0, line.indexOf('=')), line.slice(line.indexOf('=') + 1)]));
}

export async function dev(args, env = {}) {
  return promisify(execFile)(DEV, args, { env: { ...process.env, GWASUWON_VAR: stack.var, ...env }, timeout: 120_000 });
}
export const stopNow = (part) => dev(['stop', part, '--now']);
export const start = (part, env) => dev(['start', part], env);

// pidOf(name) asks anew: a test may have restarted it.
export const pidOf = (name) => Number(readFileSync(join(stack.var, 'run', `${name}.pid`), 'utf8'));

export function rssMiB(pid) {
  const [, kib] = /VmRSS:\s+(\d+) kB/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'));
  return Number(kib) / 1024;
}

export async function readiness(name) {
  const answer = await fetch(`${service(name).admin}/readyz`, { signal: AbortSignal.timeout(2000) });
  return { status: answer.status, body: await answer.json() };
}

// Every service's internal rpcs are open to any service token; order-manager's is the one that calls the most.
export const serviceTokenOwner = (name) => (name === 'order-manager' ? 'fruit-catalog' : 'order-manager');
