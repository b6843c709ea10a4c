// SPDX-License-Identifier: Apache-2.0
// What must hold of orders: none lost, none twice, none but what was asked for, the same answer always, and no way but the allowed one.

const EDGES = new Set(['PLACED>PREPARING', 'PREPARING>SHIPPING', 'SHIPPING>DELIVERED', 'DELIVERED>CONFIRMED', 'PLACED>CANCELLED', 'PREPARING>CANCELLED']);
const ORDER = ['PLACED', 'PREPARING', 'SHIPPING', 'DELIVERED', 'CONFIRMED', 'CANCELLED'];
const linesOf = (rows = []) => JSON.stringify(rows.map(({ sku_id, quantity }) => [sku_id, quantity]));

export const isStored = (order) => order !== undefined && order.status !== 'ABORTED';
export const isLive = (order) => isStored(order) && order.status !== 'CANCELLED';

export const acknowledgedStored = {
  invariant: 'acknowledged_stored',
  says: 'an order that was acknowledged is stored',
  counts: 'lost',
  *check({ facts, db }) {
    for (const { key, buyer, answers } of facts.keys.values()) {
      for (const { n, orderId } of answers) {
        const order = db.orders.get(orderId);
        if (!isStored(order)) yield { ids: { key, orderId, attempt: n }, expected: 'a stored order', found: order?.status ?? 'no row' };
        else if (order.key !== key || order.buyer_id !== buyer) yield { ids: { key, orderId, attempt: n }, expected: `key ${key} of ${buyer}`, found: `key ${order.key} of ${order.buyer_id}` };
      }
    }
  },
};

export const oneOrderPerKey = {
  invariant: 'one_order_per_key',
  says: 'a key makes one order, whatever happens and however often it is sent',
  counts: 'duplicated',
  *check({ facts, db }) {
    for (const { key, buyer, answers } of facts.keys.values()) {
      const ids = new Set(answers.map(({ orderId }) => orderId));
      for (const row of db.ordersByKey.get(key) ?? []) if (row.buyer_id === buyer && isStored(row)) ids.add(row.order_id);
      if (ids.size > 1) yield { ids: { key, orderIds: [...ids] }, expected: 'one order', found: `${ids.size} orders` };
    }
  },
};

export const repliesIdentical = {
  invariant: 'replies_identical',
  says: 'a key is answered with the same bytes each time, and they are the stored ones',
  *check({ facts, db }) {
    for (const { key, answers } of facts.keys.values()) {
      for (const { n, orderId, orderNo, totalKrw, sha, via } of answers) {
        const order = db.orders.get(orderId);
        if (!isStored(order)) continue; // lost: told elsewhere
        if (via !== 'grpc' && sha !== order.sha) yield { ids: { key, orderId, attempt: n }, expected: `bytes with SHA-256 ${order.sha}`, found: sha };
        if (orderNo !== order.order_no || totalKrw !== order.total_krw) yield { ids: { key, orderId, attempt: n }, expected: `${order.order_no}, ${order.total_krw} KRW`, found: `${orderNo}, ${totalKrw} KRW` };
      }
    }
  },
};

export const replyIsWhatWasAsked = {
  invariant: 'reply_is_what_was_asked',
  says: 'what was answered and what is stored is the basket that was sent; another basket under the same key is refused',
  *check({ facts, db }) {
    for (const { key, answers } of facts.keys.values()) {
      for (const { n, orderId, asked, given } of answers) {
        const stored = linesOf(db.orderLines.get(orderId));
        if (asked !== given || (isStored(db.orders.get(orderId)) && asked !== stored)) yield { ids: { key, orderId, attempt: n }, expected: asked, found: `answered ${given}, stored ${stored}` };
      }
    }
  },
};

export const orderHasCause = {
  invariant: 'order_has_cause',
  says: 'every stored order is one that its buyer asked for',
  *check({ facts, db }) {
    for (const order of db.orders.values()) {
      if (!isStored(order)) continue;
      const cause = facts.keys.get(order.key);
      if (!cause || cause.buyer !== order.buyer_id) yield { ids: { orderId: order.order_id, key: order.key }, expected: 'an attempt with this key', found: 'none' };
      else if (!cause.baskets.has(linesOf(db.orderLines.get(order.order_id)))) yield { ids: { orderId: order.order_id, key: order.key }, expected: [...cause.baskets].join(' or '), found: linesOf(db.orderLines.get(order.order_id)) };
    }
  },
};

export const refusedNotStored = {
  invariant: 'refused_not_stored',
  says: 'an order of which every attempt was refused is not stored',
  *check({ facts, db }) {
    for (const { key, buyer, counts } of facts.keys.values()) {
      if (counts.ok > 0 || counts.unknown > 0) continue;
      const row = (db.ordersByKey.get(key) ?? []).find((one) => one.buyer_id === buyer && isStored(one));
      if (row) yield { ids: { key, orderId: row.order_id }, expected: 'no order', found: row.status };
    }
  },
};

export const timelineAllowed = {
  invariant: 'timeline_allowed',
  says: 'an order moves along allowed edges only, and its timeline tells each step once',
  *check({ db }) {
    for (const order of db.orders.values()) {
      if (!isStored(order)) continue;
      const steps = db.timeline.get(order.order_id) ?? [];
      const told = steps.map(({ seq, status }) => `${seq}:${status}`).join(' ');
      const isGood = steps[0]?.status === 'PLACED' && steps.at(-1).status === order.status &&
        steps.every(({ seq, status }, i) => seq === i + 1 && (i === 0 || EDGES.has(`${steps[i - 1].status}>${status}`)));
      if (!isGood) yield { ids: { orderId: order.order_id }, expected: `1:PLACED … ${order.status} by allowed steps`, found: told || 'no timeline' };
    }
  },
};

export const readsMonotonic = {
  invariant: 'reads_monotonic',
  says: 'an acknowledged order is found by its buyer, and never goes back',
  *check({ facts }) {
    for (const [orderId, reads] of facts.reads) {
      const known = facts.acknowledgedAt.get(orderId) ?? Infinity;
      const inOrder = [...reads].sort((a, b) => a.at - b.at);
      for (const read of inOrder) {
        if (read.http === 404 && read.since > known) yield { ids: { orderId, attempt: read.n }, expected: 'the order', found: '404' };
        if (read.http === 404) continue;
        // Of those that had their answer before this one asked, the last.
        const before = inOrder.findLast((one) => one.at < read.since && one.http !== 404);
        if (before && (ORDER.indexOf(read.status) < ORDER.indexOf(before.status) || read.steps < before.steps)) {
          yield { ids: { orderId, attempt: read.n }, expected: `${before.status} or later, ${before.steps} steps or more`, found: `${read.status}, ${read.steps} steps` };
        }
      }
    }
  },
};
