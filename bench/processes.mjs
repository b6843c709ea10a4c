// SPDX-License-Identifier: Apache-2.0
// Memory and start of each service. Memory says most after load: choose it together with other benchmarks, as without names.

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import { dev, median, statusNow } from './lib.mjs';

const rssMib = (pid) => Number(readFileSync(`/proc/${pid}/status`, 'utf8').match(/VmRSS:\s+(\d+) kB/)[1]) / 1024;

// A service says itself how long it took; its line is in the log a moment after it answers.
async function startMs(name) {
  dev('stop', name);
  const began = new Date().toISOString();
  dev('start', name);
  for (let i = 0; i < 200; i++) {
    const lines = readFileSync(join(process.env.GWASUWON_VAR, 'log', `${name}.log`), 'utf8').split('\n');
    const ready = lines.filter((line) => line.includes('"service.ready"')).map((line) => JSON.parse(line)).findLast((line) => line.time >= began);
    if (ready) return ready.start_ms;
    await wait(10);
  }
  throw new Error(`${name} did not say that it is ready`);
}

async function startMedianMs(name) {
  const all = [];
  for (let i = 0; i < 5; i++) all.push(await startMs(name));
  return median(all);
}

export async function memory() {
  return Object.entries(statusNow().services).map(([name, service]) => ({ name: `${name}: resident memory after load`, limit: 32, value: rssMib(service.pid), unit: 'MiB' }));
}

export async function start() {
  const results = [];
  for (const name of Object.keys(statusNow().services)) results.push({ name: `${name}: start to ready, median of 5`, limit: 200, value: await startMedianMs(name), unit: 'ms' });
  return results;
}
