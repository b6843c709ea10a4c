// SPDX-License-Identifier: Apache-2.0
// Twice as many orders as can be done: how many are still taken, and how long those take. Must never count an order that is not stored, nor a
// latency from another time than when the order was due.
//
//   sustainable rate   of as many clients, each ordering again as soon as it is answered, as together get most orders through; nothing refused
//   unloaded           p99 of one such client, and p99 at half the sustainable rate, open loop
//   overload           open loop at twice the sustainable rate: due times by chance, latency from the due time
//
// The machine's own speed changes within a minute: what is compared is measured in turn, in rounds, and the median of the rounds counts.

import { randomUUID } from 'node:crypto';
import { setTimeout as wait } from 'node:timers/promises';
import { buyerTokens, makeProducts, median, rounds, status, value } from './lib.mjs';
import { closedLoop, openLoop } from './load.mjs';

const CLIENTS = [8, 16, 32, 64];
const CLOSED_S = 3;
const OPEN_S = 3;
const OVERLOAD_S = 6;
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
  const growing = [];
  for (const clients of CLIENTS) growing.push({ clients, ...(await closed(clients)) });
  const most = growing.filter(({ counts }) => !counts[503]).reduce((a, b) => (b.rate > a.rate ? b : a));
  const seen = [];
  for (let i = 0; i < rounds; i++) {
    const single = await closed(1), best = await closed(most.clients);
    seen.push({ single, best, half: await open(best.rate / 2, OPEN_S), flood: await open(best.rate * 2, OVERLOAD_S) });
  }

  const stored = (await placed()) - before;
  if (stored < taken) throw new Error(`${taken} acknowledged, ${stored} stored`);
  for (const { best, flood } of seen) {
    const odd = Object.keys({ ...best.counts, ...flood.counts }).filter((one) => one !== '201' && one !== '503');
    if (odd.length) throw new Error(`under overload: ${JSON.stringify([best.counts, flood.counts])}`);
    console.log(`  overload: ${Math.round(flood.offered)} offered, ${Math.round(flood.rate)} taken a second, p50 ${flood.p50.toFixed(1)} ms, p99 ${flood.p99.toFixed(1)} ms; refused p50 ${flood.refusedP50.toFixed(1)} ms, p99 ${flood.refusedP99.toFixed(1)} ms; generator late p99 ${flood.lateP99.toFixed(1)} ms, ${Math.round(flood.cpuShare * 100)} % of a core`);
  }
  for (const { clients, rate, p50, p99 } of growing) console.log(`  ${clients} clients: ${Math.round(rate)} orders/s, p50 ${p50.toFixed(1)} ms, p99 ${p99.toFixed(1)} ms`);
  const of = (pick) => median(seen.map(pick));
  const ms = (name, theirs) => ({ name, limit: 5, value: of((row) => row.flood.p99 / theirs(row)), unit: `times: ${of(({ flood }) => flood.p99).toFixed(1)} against ${of(theirs).toFixed(1)} ms` });
  return [
    { name: `overload: orders taken at twice the sustainable rate / sustainable rate (${most.clients} clients)`, limit: 0.9,
      ours: of(({ flood }) => flood.rate), theirs: of(({ best }) => best.rate), unit: 'orders/s', ratio: of(({ flood, best }) => flood.rate / best.rate) },
    ms('overload: p99 of orders taken / p99 at half the sustainable rate', ({ half }) => half.p99),
    ms('overload: p99 of orders taken / p99 of a single client', ({ single }) => single.p99),
  ];
}
