// SPDX-License-Identifier: Apache-2.0
// Twice as many orders as can be done: how many are still taken, and how long those take. Must never count an order that is not stored, nor a
// latency from another time than when the order was due.
//
//   sustainable rate   of as many clients, each ordering again as soon as it is answered, as together get most orders through; nothing refused
//   unloaded           open loop at a tenth of that rate: due times by chance, latency from the due time; a single client, who orders again as soon as it
//                      is answered, is printed beside it: what a late generator adds is not in its figures
//   overload           the same at twice the sustainable rate
//
// The machine's own speed changes within a minute: each flood stands between two looks at the sustainable rate and the unloaded shop, is
// compared with both, and the median of the rounds counts. A round in which a virtual machine's host took more than a tenth of the time
// says nothing: it is printed and made again.

import { randomUUID } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { setTimeout as wait } from 'node:timers/promises';
import { buyerTokens, makeProducts, median, rounds, status, value } from './lib.mjs';
import { loadOf } from './load.mjs';

const CLIENTS = [8, 16, 32, 64];
const WARM_S = 1;
const BEST_S = 2;
const LIGHT_S = 3;
const OVERLOAD_S = 3;
const LIGHT = 0.1; // of the sustainable rate
const STOLEN_MOST = 0.1; // of the processors' time
const ROUNDS_MOST = 4; // times those asked for
const LATE_MS = 25; // the generator's own lateness, p99: above it the figures would be its

async function requestsOf() {
  const { skus } = await makeProducts(16, 4), tokens = await buyerTokens(skus.length), salt = randomUUID();
  return skus.map((row, i) => {
    const [skuId, price] = row.split(' ');
    const body = `{"paymentToken":"pay_Ab12Cd34Ef56Gh78Ij90KlYz","recipient":{"name":"가나다","phone":"010-1234-5678","postcode":"06236","address1":"서울 강남구 테헤란로 152","address2":"10층","doorNote":"문 앞"},"lines":[{"skuId":"${skuId}","quantity":1,"unitPriceKrw":${price}}]}`;
    return `POST /api/v1/orders HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nAuthorization: Bearer ${tokens[i]}\r\nContent-Length: ${Buffer.byteLength(body)}\r\nIdempotency-Key: ${salt}-#########\r\n\r\n${body}`;
  });
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

// What the host took of the processors' time between two of these.
function stolen() {
  const [, ...ticks] = readFileSync('/proc/stat', 'utf8').split('\n', 1)[0].split(/ +/).map(Number);
  return { stolen: ticks[7], all: ticks.slice(0, 8).reduce((sum, one) => sum + one, 0) };
}
const share = (from, to) => (to.stolen - from.stolen) / (to.all - from.all);

export async function overload() {
  const { hostname, port } = new URL(status.services['order-manager'].http), load = loadOf({ host: hostname, port, requests: await requestsOf() });
  const storedBefore = await placed();
  let taken = 0;
  const after = async (seen) => {
    taken += seen.counts[201];
    if (seen.lateP99 > LATE_MS) console.log(`  the generator itself was late: p99 ${Math.round(seen.lateP99)} ms`);
    await settle();
    return seen;
  };
  const closed = async (clients) => after(await load.closed(clients, BEST_S, WARM_S));
  const open = async (rate, seconds) => after(await load.open(rate, seconds, WARM_S));

  await closed(CLIENTS[0]); // statements are prepared, connections open
  const growing = [];
  for (const clients of CLIENTS) growing.push({ clients, ...(await closed(clients)) });
  const most = growing.filter(({ counts }) => !counts[503]).reduce((a, b) => (b.rate > a.rate ? b : a));
  const look = async () => ({ single: await closed(1), best: await closed(most.clients), light: await open(most.rate * LIGHT, LIGHT_S) });
  const seen = [], looks = [await look()];
  while (seen.length < 2 * rounds + 1) {
    if (looks.length > ROUNDS_MOST * rounds) throw new Error('the host of this machine takes too much of its time to measure anything');
    const from = stolen(), flood = await open(2 * median(looks.map(({ best }) => best.rate)), OVERLOAD_S), next = await look(), lost = share(from, stolen());
    if (lost <= STOLEN_MOST) seen.push({ flood, lost, sides: [looks.at(-1), next] });
    else console.log(`  the host took ${Math.round(lost * 100)} % of a round: made again`);
    looks.push(next);
  }

  const stored = (await placed()) - storedBefore;
  if (stored < taken) throw new Error(`${taken} acknowledged, ${stored} stored`);
  const between = ({ sides }, pick) => (pick(sides[0]) + pick(sides[1])) / 2;
  for (const round of seen) {
    const { flood } = round, counts = [flood.counts, ...round.sides.map(({ best }) => best.counts)];
    if (counts.some((one) => Object.keys(one).some((status) => status !== '201' && status !== '503'))) throw new Error(`under overload: ${JSON.stringify(counts)}`);
    console.log(`  overload: ${Math.round(flood.offered)} offered, ${Math.round(flood.rate)} taken a second of ${Math.round(between(round, ({ best }) => best.rate))}, p50 ${flood.p50.toFixed(1)} ms, p99 ${flood.p99.toFixed(1)} ms (unloaded p50 ${between(round, ({ light }) => light.p50).toFixed(1)} ms, p99 ${between(round, ({ light }) => light.p99).toFixed(1)} ms, a single client ${between(round, ({ single }) => single.p99).toFixed(1)} ms); refused p50 ${flood.refusedP50.toFixed(1)} ms, p99 ${flood.refusedP99.toFixed(1)} ms; generator late p99 ${flood.lateP99.toFixed(1)} ms, ${Math.round(flood.cpuShare * 100)} % of a core; host ${Math.round(round.lost * 100)} %`);
  }
  for (const { clients, rate, p50, p99 } of growing) console.log(`  ${clients} clients: ${Math.round(rate)} orders/s, p50 ${p50.toFixed(1)} ms, p99 ${p99.toFixed(1)} ms`);
  const against = (ours, pick) => ({ ours: median(seen.map(({ flood }) => ours(flood))), theirs: median(seen.map((round) => between(round, pick))), ratio: median(seen.map((round) => ours(round.flood) / between(round, pick))) });
  const rate = against((flood) => flood.rate, ({ best }) => best.rate), p99 = against((flood) => flood.p99, ({ light }) => light.p99);
  return [
    { name: `overload: orders taken at twice the sustainable rate / sustainable rate (${most.clients} clients)`, limit: 0.9, unit: 'orders/s', ...rate },
    { name: 'overload: p99 of orders taken / p99 at a tenth of the sustainable rate', limit: 5, value: p99.ratio, unit: `times: ${p99.ours.toFixed(1)} against ${p99.theirs.toFixed(1)} ms` },
  ];
}
