// SPDX-License-Identifier: Apache-2.0
// Orders against pgbench with the least an order is in one transaction. Must never count an order that is not stored.

import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import { buyerTokens, clients, db, dir, makeProducts, median, rounds, run, seconds, status, withPgbench } from './lib.mjs';

const unsent = async () => Number((await db.query('SELECT count(*) FROM orders.outbox WHERE sent_at IS NULL')).rows[0].count);
const placed = async () => Number((await db.query("SELECT count(*) FROM orders.orders WHERE status <> 'ABORTED'")).rows[0].count);

// Orders a second from the first request until the outbox is empty; every 201 must stand in the database.
async function ordersOnce(skus, salt) {
  const before = await placed();
  const started = performance.now();
  const out = run('wrk', ['-t1', `-c${clients}`, `-d${seconds}s`, '-s', 'bench/orders.lua', status.services['order-manager'].http, '--', join(dir, 'tokens'), skus, salt]);
  while (await unsent()) await wait(10);
  const took = (performance.now() - started) / 1000;
  const [, requests, , refused, p50, p99] = out.match(/RESULT (\d+) (\d+) (\d+) (\d+) (\d+)/).map(Number);
  if (refused) throw new Error(`${refused} of ${requests} orders were refused`);
  const stored = (await placed()) - before;
  if (stored < requests) throw new Error(`${requests} acknowledged, ${stored} stored`);
  return { rate: requests / took, p50: p50 / 1000, p99: p99 / 1000, drainS: took - seconds };
}

export async function orders() {
  const { skus } = await makeProducts(16, 4);
  writeFileSync(join(dir, 'skus'), skus.join('\n') + '\n');
  writeFileSync(join(dir, 'tokens'), (await buyerTokens(64)).join('\n') + '\n');
  const ours = [], theirs = [];
  await withPgbench(async (pgbench) => {
    await ordersOnce(join(dir, 'skus'), `warm-${Date.now()}`);
    await db.query('VACUUM ANALYZE'); // both sides alike, as pgbench does for its own tables
    for (let i = 0; i < rounds; i++) {
      theirs.push(pgbench(skus.length));
      ours.push(await ordersOnce(join(dir, 'skus'), `run-${i}-${Date.now()}`));
    }
  });
  return [{ name: `POST orders at ${clients} clients until the outbox is empty / one-transaction pgbench`, limit: 0.5, ours: median(ours.map((o) => o.rate)), theirs: median(theirs),
           unit: 'orders/s', ratio: median(ours.map((o, i) => o.rate / theirs[i])), p50Ms: median(ours.map((o) => o.p50)), p99Ms: median(ours.map((o) => o.p99)), drainS: median(ours.map((o) => o.drainS)) }];
}
