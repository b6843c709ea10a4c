// SPDX-License-Identifier: Apache-2.0
// Orders against pgbench with the least an order is in one transaction. Must never count an order that is not stored.

import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import { cpuOf } from './cpu.mjs';
import { buyerTokens, clients, db, dir, makeProducts, median, rounds, run, seconds, status, withPgbench } from './lib.mjs';

const unsent = async () => Number((await db.query('SELECT count(*) FROM orders.outbox WHERE sent_at IS NULL')).rows[0].count);
const placed = async () => Number((await db.query("SELECT count(*) FROM orders.orders WHERE status <> 'ABORTED'")).rows[0].count);

// Orders a second from the first request until the outbox is empty; every 201 must stand in the database.
async function ordersOnce(connections, skus, salt) {
  const before = await placed();
  const started = performance.now();
  const out = run('wrk', ['-t1', `-c${connections}`, `-d${seconds}s`, '-s', 'bench/orders.lua', status.services['order-manager'].http, '--', join(dir, 'tokens'), skus, salt]);
  while (await unsent()) await wait(10);
  const took = (performance.now() - started) / 1000;
  const [, requests, , refused, p50, p99] = out.match(/RESULT (\d+) (\d+) (\d+) (\d+) (\d+)/).map(Number);
  if (refused) throw new Error(`${refused} of ${requests} orders were refused`);
  const stored = (await placed()) - before;
  if (stored < requests) throw new Error(`${requests} acknowledged, ${stored} stored`);
  return { orders: requests, rate: requests / took, p50: p50 / 1000, p99: p99 / 1000, drainS: took - seconds };
}

// Both sides at as many clients, and the shop with more buyers at once: its batches grow with those who wait.
const SIDES = [{ connections: clients, limit: 0.5 }, { connections: 64, limit: 1.5 }];

// One line: microseconds of CPU an order, in all and by part.
function tellCpu(connections, rounds) {
  const parts = [...new Set(rounds.flatMap(({ cpu }) => Object.keys(cpu)))].map((name) => [name, median(rounds.map(({ cpu, orders: count }) => ((cpu[name] ?? 0) * 1000) / count))]);
  const all = parts.reduce((sum, [, us]) => sum + us, 0);
  console.log(`  CPU an order at ${connections} connections: ${Math.round(all)} us: ${parts.sort((a, b) => b[1] - a[1]).filter(([, us]) => us >= 1).map(([name, us]) => `${name} ${Math.round(us)}`).join(', ')}`);
}

export async function orders() {
  const { skus } = await makeProducts(16, 4);
  const list = join(dir, 'skus');
  writeFileSync(list, skus.join('\n') + '\n');
  writeFileSync(join(dir, 'tokens'), (await buyerTokens(64)).join('\n') + '\n');
  const pairs = SIDES.map(() => []);
  await withPgbench(async (pgbench) => {
    await ordersOnce(clients, list, `warm-${Date.now()}`);
    await db.query('VACUUM ANALYZE'); // both sides alike, as pgbench does for its own tables
    for (let i = 0; i < rounds; i++)
      for (const [at, { connections }] of SIDES.entries()) {
        const theirs = pgbench(skus.length);
        const { result, cpu } = await cpuOf(() => ordersOnce(connections, list, `run-${i}-${Date.now()}`));
        pairs[at].push({ theirs, ...result, cpu });
      }
  });
  return SIDES.map(({ connections, limit }, at) => {
    const of = (name) => median(pairs[at].map((pair) => pair[name]));
    tellCpu(connections, pairs[at]);
    return { name: `POST orders at ${connections} connections until the outbox is empty / one-transaction pgbench at ${clients} clients`, limit,
             ours: of('rate'), theirs: of('theirs'), unit: 'orders/s', ratio: median(pairs[at].map((pair) => pair.rate / pair.theirs)), p50Ms: of('p50'), p99Ms: of('p99'), drainS: of('drainS') };
  });
}
