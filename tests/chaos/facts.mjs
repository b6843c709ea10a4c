// SPDX-License-Identifier: Apache-2.0
// What a journal says, put together: what was asked and answered for each key, SKU, order, and what was poisoned. Must know nothing of the
// services but what their contracts say of an answer.

import { readJournal } from './journal.mjs';

const emptyFacts = () => ({
  run: null,
  skus: new Map(), // skuId -> initial stock
  limits: new Map(), // skuId -> most boxes of one buyer, where there is such a limit
  keys: new Map(), // key -> { key, buyer, baskets, answers, counts }
  adjustments: [],
  advances: [],
  cancels: new Map(), // orderId -> [{ result, status, code }]
  poisons: [],
  reads: new Map(), // orderId -> [{ since, at, http, status, steps }]
  acknowledgedAt: new Map(), // orderId -> when the first acknowledgement was on the disk
  counts: { attempts: 0, acknowledged: 0, refused: 0, unsent: 0, unknown: 0, unanswered: 0 },
  faults: [],
  recovered: 0,
});

export const basketOf = (lines) => JSON.stringify([...lines].sort(([a], [b]) => (a < b ? -1 : 1)));

function placeKey(facts, { key, buyer }) {
  if (!facts.keys.has(key)) facts.keys.set(key, { key, buyer, baskets: new Set(), answers: [], counts: { ok: 0, refused: 0, unsent: 0, unknown: 0 } });
  return facts.keys.get(key);
}

const listOf = (map, id) => map.get(id) ?? map.set(id, []).get(id);

// What is kept of a finished attempt, by what was attempted.
const KEEP = {
  place(facts, call, done) {
    const one = placeKey(facts, call);
    one.counts[done.result] += 1;
    if (done.result !== 'ok') return;
    if (one.counts.unknown > 0 && one.answers.length === 0) facts.recovered += 1;
    one.answers.push({ n: call.n, via: call.via, orderId: done.orderId, orderNo: done.orderNo, totalKrw: done.totalKrw, sha: done.sha, asked: basketOf(call.lines), given: basketOf(done.lines) });
    if (!facts.acknowledgedAt.has(done.orderId)) facts.acknowledgedAt.set(done.orderId, done.at);
  },
  adjust: (facts, call, done) => facts.adjustments.push({ ...call, result: done.result }),
  advance: (facts, call, done) => facts.advances.push({ ...call, result: done.result }),
  cancel: (facts, call, done) => listOf(facts.cancels, call.orderId).push({ n: call.n, result: done.result, status: done.status, code: done.code, orderStatus: done.orderStatus }),
  poison: (facts, call, done) => facts.poisons.push({ ...call, result: done.result }),
};

const KINDS = {
  run: (facts, row) => (facts.run = row),
  sku(facts, row) {
    facts.skus.set(row.skuId, row.initial);
    if (row.perBuyerLimit) facts.limits.set(row.skuId, row.perBuyerLimit);
  },
  read: (facts, row) => listOf(facts.reads, row.orderId).push(row),
  fault: (facts, row) => facts.faults.push(row),
};

export async function readFacts(rows) {
  const facts = emptyFacts();
  const open = new Map();
  const finish = (call, done) => {
    KEEP[call.op](facts, call, done);
    facts.counts.attempts += 1;
    facts.counts[done.result === 'ok' ? 'acknowledged' : done.result] += 1;
  };
  for await (const row of rows) {
    if (row.kind === 'call') {
      open.set(row.n, row);
      if (row.op === 'place') placeKey(facts, row).baskets.add(basketOf(row.lines));
    } else if (row.kind === 'done') {
      finish(open.get(row.n), row);
      open.delete(row.n);
    } else KINDS[row.kind]?.(facts, row);
  }
  // The driver died or was stopped before these were answered.
  for (const call of open.values()) {
    finish(call, { result: 'unknown' });
    facts.counts.unanswered += 1;
  }
  return facts;
}

export const factsOf = (path) => readFacts(readJournal(path));
