// SPDX-License-Identifier: Apache-2.0
// A flash sale: ten thousand requests from 256 connections for a thousand boxes of one SKU, at two instances of each service, against
// pgbench with the least an order is, all on one row. Must never report a speed when a box was sold twice or not at all.

import { randomUUID } from 'node:crypto';
import { booksOf, requestBytes, rush } from '../tests/lib/rush.mjs';
import { buyerTokens, db, dev, makeProducts, median, rounds, statusNow, value, withPgbench } from './lib.mjs';

const BOXES = 1000;
const REQUESTS = 10_000;
const CONNECTIONS = 256;
const BUYERS = 500;
const PGBENCH_S = 5;

const placesOf = (status) => ['order-manager', 'order-manager-2'].map((name) => {
  const { hostname, port } = new URL(status.services[name].http);
  return { host: hostname, port: Number(port) };
});

const bodyFor = (skuId, priceKrw) => JSON.stringify({
  paymentToken: 'pay_Ab12Cd34Ef56Gh78Ij90KlYz',
  recipient: { name: '가나다', phone: '010-1234-5678', postcode: '06236', address1: '서울 강남구 테헤란로 152', address2: '10층', doorNote: '문 앞' },
  lines: [{ skuId, quantity: 1, unitPriceKrw: Number(priceKrw) }],
});

function expectEqual(what, seen, wanted) {
  if (JSON.stringify(seen) !== JSON.stringify(wanted)) throw new Error(`${what}: ${JSON.stringify(seen)} instead of ${JSON.stringify(wanted)}`);
}

async function saleOnce(places, tokens) {
  const { skus } = await makeProducts(1, 1, BOXES);
  const [skuId, priceKrw] = skus[0].split(' ');
  const body = bodyFor(skuId, priceKrw);
  const requests = Array.from({ length: REQUESTS }, (_, n) => requestBytes('POST', '/api/v1/orders', {
    host: '127.0.0.1', 'content-type': 'application/json', authorization: `Bearer ${tokens[n % tokens.length]}`, 'idempotency-key': randomUUID(),
  }, body));
  const { answers, ms } = await rush(places, CONNECTIONS, requests);
  const of = (status) => answers.filter((answer) => answer.status === status);
  expectEqual('answers', { sold: of(201).length, refused: of(409).length }, { sold: BOXES, refused: REQUESTS - BOXES });
  expectEqual('the books', await booksOf(value, skuId), { available: 0, ledger: 0, ledgerGaps: 0, ledgerLowest: 0, reservations: BOXES, held: BOXES, ordered: BOXES, heldWithoutOrder: 0 });
  return { rate: REQUESTS / (ms / 1000), soldMs: median(of(201).map((one) => one.ms)), refusedMs: median(of(409).map((one) => one.ms)), toldToWait: answers.filter((one) => one.refusals).length };
}

export async function flash() {
  const before = Object.keys(statusNow().services).filter((name) => name.startsWith('order-manager')).length;
  const scale = (count) => dev('up', '--kind', 'release', '--no-seed', '--instances', String(count));
  scale(2);
  try {
    const places = placesOf(statusNow()), tokens = await buyerTokens(BUYERS);
    const ours = [], theirs = [];
    await withPgbench(async (pgbench) => {
      await saleOnce(places, tokens);
      await db.query('VACUUM ANALYZE');
      for (let i = 0; i < rounds; i++) {
        theirs.push(pgbench(1, PGBENCH_S));
        ours.push(await saleOnce(places, tokens));
      }
    });
    const soldMs = median(ours.map((o) => o.soldMs)), refusedMs = median(ours.map((o) => o.refusedMs));
    return [
      { name: `flash sale of ${BOXES} boxes of one SKU to ${REQUESTS} requests at ${CONNECTIONS} connections / one-transaction pgbench on one row`, limit: 3, ours: median(ours.map((o) => o.rate)),
        theirs: median(theirs), unit: 'requests/s', ratio: median(ours.map((o, i) => o.rate / theirs[i])), soldMs, refusedMs, toldToWait: ours.map((o) => o.toldToWait) },
      { name: 'flash sale: median time of a success / of a refusal', limit: 1, ours: soldMs, theirs: refusedMs, unit: 'ms', ratio: soldMs / refusedMs },
    ];
  } finally {
    scale(before);
  }
}
