// SPDX-License-Identifier: Apache-2.0
// Where the CPU time of a stretch of work went: a part a service, PostgreSQL's work for each of them, RabbitMQ. Exists so that a figure that
// falls short says why. Must never count a process that is not of this stack.

import { readFileSync, readdirSync } from 'node:fs';
import { db, status } from './lib.mjs';

const TICK_MS = 10;

// Parent and CPU time of a process, its threads and what it has waited for; null when it is gone.
function processOf(pid) {
  try {
    const text = readFileSync(`/proc/${pid}/stat`, 'utf8');
    const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
    return { parent: Number(fields[1]), ms: (Number(fields[11]) + Number(fields[12])) * TICK_MS };
  } catch {
    return null;
  }
}

// pid -> part. A session of PostgreSQL is the service's that it serves; its other processes are PostgreSQL's own.
async function partsNow() {
  const parts = new Map(Object.entries(status.services).map(([name, { pid }]) => [pid, name]));
  const { rows } = await db.query('SELECT pid, application_name AS name, backend_type AS type FROM pg_stat_activity WHERE pid <> pg_backend_pid()');
  for (const { pid, name, type } of rows) parts.set(pid, type !== 'client backend' ? 'PostgreSQL itself' : name === 'pgbench' ? 'PostgreSQL for pgbench' : `PostgreSQL for ${name}`);
  for (const pid of readdirSync('/proc').filter((one) => /^\d+$/.test(one)).map(Number))
    if (pid === status.rabbitmq.pid || processOf(pid)?.parent === status.rabbitmq.pid) parts.set(pid, 'RabbitMQ');
  return parts;
}

const timesNow = (parts) => new Map([...parts.keys()].map((pid) => [pid, processOf(pid)?.ms ?? 0]));

// Runs the work: what it returned, and milliseconds of CPU for each part, most first.
export async function cpuOf(work) {
  const before = await partsNow(), from = timesNow(before);
  const result = await work();
  const after = new Map([...before, ...(await partsNow())]), to = timesNow(after);
  const sums = {};
  for (const [pid, part] of after) sums[part] = (sums[part] ?? 0) + Math.max(0, to.get(pid) - (from.get(pid) ?? 0));
  return { result, cpu: Object.fromEntries(Object.entries(sums).filter(([, ms]) => ms > 0).sort((a, b) => b[1] - a[1])) };
}
