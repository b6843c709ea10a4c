// SPDX-License-Identifier: Apache-2.0
// What must hold of stock: no box sold twice, none lost, every change told once, every hold settled.

import { isLive, isStored } from './orders.mjs';

const sumOf = (rows, column) => rows.reduce((sum, row) => sum + row[column], 0);

// Boxes of live orders, by SKU.
function soldBySku(db) {
  const sold = new Map();
  for (const [orderId, lines] of db.orderLines) {
    if (!isLive(db.orders.get(orderId))) continue;
    for (const { sku_id, quantity } of lines) sold.set(sku_id, (sold.get(sku_id) ?? 0) + quantity);
  }
  return sold;
}

// Boxes held for what has not become a live order yet.
function heldBySku(db) {
  const held = new Map();
  for (const [orderId, lines] of db.holdLines) {
    if (db.holds.get(orderId)?.state !== 'HELD' || isLive(db.orders.get(orderId))) continue;
    for (const { sku_id, quantity } of lines) held.set(sku_id, (held.get(sku_id) ?? 0) + quantity);
  }
  return held;
}

export const stockConserved = {
  invariant: 'stock_conserved',
  says: 'initial stock and adjustments are what is available, held and sold',
  *check({ facts, db }) {
    const sold = soldBySku(db);
    const held = heldBySku(db);
    for (const [skuId, initial] of facts.skus) {
      const adjusted = sumOf((db.ledger.get(skuId) ?? []).filter(({ kind }) => kind === 'ADJUSTMENT'), 'delta');
      const available = db.skus.get(skuId)?.available;
      const there = available + (held.get(skuId) ?? 0) + (sold.get(skuId) ?? 0);
      if (initial + adjusted !== there) {
        yield { ids: { skuId }, expected: `${initial} + ${adjusted} adjusted`, found: `${available} available + ${held.get(skuId) ?? 0} held + ${sold.get(skuId) ?? 0} sold` };
      }
    }
  },
};

export const ledgerSums = {
  invariant: 'ledger_sums',
  says: 'the ledger adds up to the stock, row by row, and never below zero',
  *check({ facts, db }) {
    for (const skuId of facts.skus.keys()) {
      let sum = 0;
      for (const { id, delta, available_after } of db.ledger.get(skuId) ?? []) {
        sum += delta;
        if (sum !== available_after || sum < 0) yield { ids: { skuId, ledgerRow: id }, expected: `${sum}, not below 0`, found: available_after };
      }
      if (sum !== db.skus.get(skuId)?.available) yield { ids: { skuId }, expected: `${sum} by the ledger`, found: `${db.skus.get(skuId)?.available} available` };
    }
  },
};

const TIMES = { ok: [1, 1], refused: [0, 0], unsent: [0, 0], unknown: [0, 1] };

export const adjustmentsOnce = {
  invariant: 'adjustments_once',
  says: 'an adjustment that was acknowledged is in the ledger once, one that was refused never',
  *check({ facts, db }) {
    const found = new Map();
    for (const rows of db.ledger.values()) for (const row of rows) if (row.kind === 'ADJUSTMENT') found.set(row.reason, [...(found.get(row.reason) ?? []), row]);
    for (const { n, skuId, delta, reason, result } of facts.adjustments) {
      const rows = found.get(reason) ?? [];
      const [least, most] = TIMES[result];
      const isGood = rows.length >= least && rows.length <= most && rows.every((row) => row.sku_id === skuId && row.delta === delta);
      if (!isGood) yield { ids: { skuId, attempt: n }, expected: `${result}: ${least} to ${most} rows of ${delta}`, found: JSON.stringify(rows.map((row) => row.delta)) };
      found.delete(reason);
    }
    for (const [reason, [row]] of found) if (facts.skus.has(row.sku_id)) yield { ids: { skuId: row.sku_id, ledgerRow: row.id }, expected: 'an attempt', found: `an adjustment nobody asked for: ${reason}` };
  },
};

// Boxes of live orders of one SKU, by buyer: as OrderManager has them.
function soldByBuyer(db, skuId) {
  const sold = new Map();
  for (const [orderId, lines] of db.orderLines) {
    const order = db.orders.get(orderId);
    if (isLive(order)) for (const { sku_id, quantity } of lines) if (sku_id === skuId) sold.set(order.buyer_id, (sold.get(order.buyer_id) ?? 0) + quantity);
  }
  return sold;
}

export const buyerLimitKept = {
  invariant: 'buyer_limit_kept',
  says: 'no buyer has more of a SKU than its limit per buyer',
  *check({ facts, db }) {
    for (const [skuId, limit] of facts.limits) {
      for (const [buyer, sold] of soldByBuyer(db, skuId)) if (sold > limit) yield { ids: { skuId, buyer }, expected: `${limit} at most`, found: sold };
    }
  },
};

export const buyersCounted = {
  invariant: 'buyers_counted',
  says: 'what a buyer is thought to have of a SKU with a limit is what the live orders say, and of no other SKU it is counted',
  *check({ facts, db }) {
    for (const skuId of facts.skus.keys()) {
      const sold = facts.limits.has(skuId) ? soldByBuyer(db, skuId) : new Map();
      const counted = new Map((db.buyers.get(skuId) ?? []).map(({ buyer_id, quantity }) => [buyer_id, quantity]));
      for (const buyer of new Set([...sold.keys(), ...counted.keys()])) {
        const isKnown = facts.limits.has(skuId) || !counted.has(buyer);
        if (!isKnown || (sold.get(buyer) ?? 0) !== (counted.get(buyer) ?? 0)) yield { ids: { skuId, buyer }, expected: sold.get(buyer) ?? 0, found: counted.get(buyer) ?? 'no row' };
      }
    }
  },
};

const linesOf = (rows = []) => JSON.stringify(rows.map(({ sku_id, quantity }) => [sku_id, quantity]));

// What a hold must be when its order is …
const FATE = (order) => {
  if (isLive(order)) return ['SOLD'];
  return order?.status === 'CANCELLED' ? ['RELEASED'] : ['RELEASED', 'CLOSED'];
};

export const holdsSettled = {
  invariant: 'holds_settled',
  says: 'every hold is sold with its order, or given back without one',
  *check({ db }) {
    for (const [orderId, { state }] of db.holds) {
      const order = db.orders.get(orderId);
      if (!FATE(order).includes(state)) yield { ids: { orderId }, expected: `${FATE(order).join(' or ')}, for the order is ${order?.status ?? 'none'}`, found: state };
      if (isStored(order) && linesOf(db.holdLines.get(orderId)) !== linesOf(db.orderLines.get(orderId))) {
        yield { ids: { orderId }, expected: `the order's lines ${linesOf(db.orderLines.get(orderId))}`, found: linesOf(db.holdLines.get(orderId)) };
      }
    }
    for (const [orderId, order] of db.orders) if (isStored(order) && !db.holds.has(orderId)) yield { ids: { orderId }, expected: 'a hold', found: 'none' };
  },
};

export const stockReturnsOnce = {
  invariant: 'stock_returns_once',
  says: 'what an order took was taken once, and comes back once when there is no live order of it, else never',
  *check({ db }) {
    const moves = new Map();
    for (const rows of db.ledger.values()) {
      for (const { sku_id, kind, delta, order_id } of rows) {
        if (!order_id) continue;
        const id = `${order_id} ${sku_id}`;
        const one = moves.get(id) ?? { taken: [], back: [] };
        (kind === 'RELEASE' ? one.back : one.taken).push(delta);
        moves.set(id, one);
      }
    }
    for (const [id, { taken, back }] of moves) {
      const [orderId, skuId] = id.split(' ');
      const isSold = isLive(db.orders.get(orderId)) || db.holds.get(orderId)?.state === 'HELD';
      const isGood = taken.length === 1 && (isSold ? back.length === 0 : back.length === 1 && back[0] === -taken[0]);
      if (!isGood) yield { ids: { orderId, skuId }, expected: isSold ? 'taken once' : 'taken once, back once', found: `taken ${JSON.stringify(taken)}, back ${JSON.stringify(back)}` };
    }
  },
};
