// SPDX-License-Identifier: Apache-2.0
// Twice as many orders as can be done: how many are still taken, and how long those take. Must never count an order that is not stored, nor a
// latency from another time than when the order was due.
//
//   sustainable rate   the highest of closed loops at growing clients, nothing refused
//   unloaded           p99 of one client that orders again as soon as it is answered, and p99 at half the sustainable rate, open loop
//   overload           open loop at twice the sustainable rate: due times by chance, latency from the due time

import { randomUUID } from 'node:crypto';
import { setTimeout as wait } from 'node:timers/promises';
import { buyerTokens, makeProducts, status, value } from './lib.mjs';
import { closedLoop, openLoop } from './load.mjs';

const CLIENTS = [8, 16, 32, 64];
const CLOSED_S = 4;
const OVERLOAD_S = 15;
const LATE_MS = 25; // the generator's own lateness, p99: above it the figures would be its

const orderMaker = async () => {
  const { skus } = await makeProducts(16, 4), tokens = await buyerTokens(64), salt = randomUUID();
  const rows = skus.map((row) => row.split(' '));
  let n = 0;
  return () => {
    n++;
    const [skuId, price] = rows[n % rows.length];
    const body = `{"paymentToken":"pay_Ab12Cd34Ef56Gh78Ij90KlYz","recipient":{"name":"가나다","phone":"010-1234-5678","postcode":"06236","address1":"서울 강남구 테헤란로 152","address2":"10층","doorNote":"문 앞"},"lines":[{"skuId":"${skuId}","quantity":1,"unitPriceKrw":${price}}]}`;
    return `POST /api/v1/orders HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nAuthorization: Bearer ${tokens[n % tokens.length]}\r\nIdempotency-Key: ${salt}-${n}\r\nContent-Length: ${Buffer.byteLength(body)}\r\n\r\n${body}`;
  };
};

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
  const make = await orderMaker(), { hostname, port } = new URL(status.services['order-manager'].http), place = { host: hostname, port: Number(port) };
  const before = await placed();
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
  const single = await closed(1);
  const growing = [];
  for (const clients of CLIENTS) growing.push({ clients, ...(await closed(clients)) });
  const best = growing.filter(({ counts }) => !counts[503]).reduce((a, b) => (b.rate > a.rate ? b : a));
  const half = await open(best.rate / 2, 5);
  const flood = await open(best.rate * 2, OVERLOAD_S);

  const stored = (await placed()) - before;
  if (stored < taken) throw new Error(`${taken} acknowledged, ${stored} stored`);
  const odd = Object.keys(flood.counts).filter((one) => one !== '201' && one !== '503');
  if (odd.length) throw new Error(`under overload: ${JSON.stringify(flood.counts)}`);
  for (const { clients, rate, p50, p99 } of growing) console.log(`  ${clients} clients: ${Math.round(rate)} orders/s, p50 ${p50.toFixed(1)} ms, p99 ${p99.toFixed(1)} ms`);
  console.log(`  overload: ${Math.round(flood.offered)} offered, ${Math.round(flood.rate)} taken a second, p50 ${flood.p50.toFixed(1)} ms; refused p50 ${flood.refusedP50.toFixed(1)} ms, p99 ${flood.refusedP99.toFixed(1)} ms; generator late p99 ${flood.lateP99.toFixed(1)} ms, ${Math.round(flood.cpuShare * 100)} % of a core`);
  const ms = (name, theirs) => ({ name, limit: 5, value: flood.p99 / theirs, unit: `times: ${flood.p99.toFixed(1)} against ${theirs.toFixed(1)} ms` });
  return [
    { name: `overload: orders taken at twice the sustainable rate / sustainable rate (${best.clients} clients)`, limit: 0.9, ours: flood.rate, theirs: best.rate, unit: 'orders/s', ratio: flood.rate / best.rate },
    ms('overload: p99 of orders taken / p99 at half the sustainable rate', half.p99),
    ms('overload: p99 of orders taken / p99 of a single client', single.p99),
  ];
}
