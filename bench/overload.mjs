// SPDX-License-Identifier: Apache-2.0
// Twice as many orders as can be done: how many are still taken, and how long those take. Must never count an order that is not stored, nor a
// latency from another time than when the order was due.
//
//   sustainable rate   of as many clients, each ordering again as soon as it is answered, as together get most orders through; nothing refused
//   unloaded           p99 of one such client, and p99 at half the sustainable rate, open loop
//   overload           open loop at twice the sustainable rate: due times by chance, latency from the due time
//
// The machine's own speed changes within a minute: each flood stands between two looks at the sustainable rate and is compared with both, each
// side of the p99 likewise, and the median of the rounds counts. On one machine the clients take time from those they ask: they run at a higher
// priority where that is allowed, as clients elsewhere would, and their share is printed.

import { randomUUID } from 'node:crypto';
import { setPriority } from 'node:os';
import { setTimeout as wait } from 'node:timers/promises';
import { buyerTokens, makeProducts, median, rounds, status, value } from './lib.mjs';
import { closedLoop, openLoop } from './load.mjs';

const CLIENTS = [8, 16, 32, 64];
const CLOSED_S = 2;
const OPEN_S = 3;
const OVERLOAD_S = 4;
const CLIENTS_NICE = -15;
const KEY_DIGITS = 9;
const LATE_MS = 25; // the generator's own lateness, p99: above it the figures would be its

// Requests ready to send but for the number that ends their key: what a client costs is taken from those it asks.
async function orderMaker() {
  const { skus } = await makeProducts(16, 4), tokens = await buyerTokens(skus.length), salt = randomUUID();
  const ready = skus.map((row, i) => {
    const [skuId, price] = row.split(' ');
    const body = `{"paymentToken":"pay_Ab12Cd34Ef56Gh78Ij90KlYz","recipient":{"name":"가나다","phone":"010-1234-5678","postcode":"06236","address1":"서울 강남구 테헤란로 152","address2":"10층","doorNote":"문 앞"},"lines":[{"skuId":"${skuId}","quantity":1,"unitPriceKrw":${price}}]}`;
    const head = `POST /api/v1/orders HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nAuthorization: Bearer ${tokens[i]}\r\nContent-Length: ${Buffer.byteLength(body)}\r\nIdempotency-Key: ${salt}-`;
    return { bytes: Buffer.from(`${head}${'0'.repeat(KEY_DIGITS)}\r\n\r\n${body}`), at: head.length };
  });
  let n = 0;
  return () => {
    const { bytes, at } = ready[n % ready.length], mine = Buffer.from(bytes);
    mine.write(String(n++).padStart(KEY_DIGITS, '0'), at, 'latin1');
    return mine;
  };
}

const placed = () => value("SELECT count(*) FROM orders.orders WHERE status <> 'ABORTED'");
// What earlier orders still cost must not be charged to the next: until all is told and every delivery is made.
async function settle() {
  for (let i = 0; i < 1000; i++) {
    if (!(await value('SELECT count(*) FROM orders.outbox WHERE sent_at IS NULL')) && (await value('SELECT count(*) FROM delivery.deliveries')) >= (await placed())) return;
    await wait(20);
  }
  throw new Error('deliveries do not follow orders');
}

export async function overload() {
  try {
    setPriority(CLIENTS_NICE);
  } catch {
    console.log('  the clients run at ordinary priority: a higher one is not permitted here');
    return measured();
  }
  return measured().finally(() => setPriority(0));
}

async function measured() {
  const make = await orderMaker(), { hostname, port } = new URL(status.services['order-manager'].http), place = { host: hostname, port: Number(port) };
  const storedBefore = await placed();
  let taken = 0;
  const closed = async (clients, seconds = CLOSED_S) => {
    const seen = await closedLoop({ place, make, clients, seconds });
    taken += seen.counts[201];
    await settle();
    return seen;
  };
  const open = async (rate, seconds) => {
    const seen = await openLoop({ place, make, rate, seconds, warmS: 2 });
    taken += seen.counts[201];
    if (seen.lateP99 > LATE_MS) console.log(`  the generator itself was late: p99 ${Math.round(seen.lateP99)} ms`);
    await settle();
    return seen;
  };

  await closed(8, 2);
  const growing = [];
  for (const clients of CLIENTS) growing.push({ clients, ...(await closed(clients)) });
  const most = growing.filter(({ counts }) => !counts[503]).reduce((a, b) => (b.rate > a.rate ? b : a));
  const look = async () => ({ single: await closed(1), best: await closed(most.clients), half: await open(most.rate / 2, OPEN_S) });
  const seen = [];
  for (let i = 0, before = await look(); i < rounds; i++) {
    const flood = await open(before.best.rate * 2, OVERLOAD_S), after = await look();
    seen.push({ flood, sides: [before, after] });
    before = after;
  }

  const stored = (await placed()) - storedBefore;
  if (stored < taken) throw new Error(`${taken} acknowledged, ${stored} stored`);
  const between = ({ sides }, pick) => (pick(sides[0]) + pick(sides[1])) / 2;
  for (const round of seen) {
    const { flood } = round, counts = [flood.counts, ...round.sides.map(({ best }) => best.counts)];
    if (counts.some((one) => Object.keys(one).some((status) => status !== '201' && status !== '503'))) throw new Error(`under overload: ${JSON.stringify(counts)}`);
    console.log(`  overload: ${Math.round(flood.offered)} offered, ${Math.round(flood.rate)} taken a second of ${Math.round(between(round, ({ best }) => best.rate))}, p50 ${flood.p50.toFixed(1)} ms, p99 ${flood.p99.toFixed(1)} ms (a single client ${between(round, ({ single }) => single.p99).toFixed(1)} ms); refused p50 ${flood.refusedP50.toFixed(1)} ms, p99 ${flood.refusedP99.toFixed(1)} ms; generator late p99 ${flood.lateP99.toFixed(1)} ms, ${Math.round(flood.cpuShare * 100)} % of a core`);
  }
  for (const { clients, rate, p50, p99 } of growing) console.log(`  ${clients} clients: ${Math.round(rate)} orders/s, p50 ${p50.toFixed(1)} ms, p99 ${p99.toFixed(1)} ms`);
  const against = (ours, pick) => ({ ours: median(seen.map(({ flood }) => ours(flood))), theirs: median(seen.map((round) => between(round, pick))), ratio: median(seen.map((round) => ours(round.flood) / between(round, pick))) });
  const ms = (name, pick) => {
    const { ours, theirs, ratio } = against(({ p99 }) => p99, pick);
    return { name, limit: 5, value: ratio, unit: `times: ${ours.toFixed(1)} against ${theirs.toFixed(1)} ms` };
  };
  return [
    { name: `overload: orders taken at twice the sustainable rate / sustainable rate (${most.clients} clients)`, limit: 0.9, unit: 'orders/s', ...against(({ rate }) => rate, ({ best }) => best.rate) },
    ms('overload: p99 of orders taken / p99 at half the sustainable rate', ({ half }) => half.p99),
    ms('overload: p99 of orders taken / p99 of a single client', ({ single }) => single.p99),
  ];
}
