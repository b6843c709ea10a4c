// SPDX-License-Identifier: Apache-2.0
// What must hold of the orders and SKUs of each visit once the shop is at rest. Reads the database and the broker only. Each violation is
// { invariant, what, sku }, so that it can be told which visit caused it. Must never wait: whoever asks has waited already.

import amqp from 'amqplib';

import { replyOf } from '../../lib/personal.mjs';

// Each query yields the rows that must not be; $1 are the SKUs of the visits, $2 what they began with.
const QUERIES = {
  // Boxes of live orders and of holds that wait are all that is missing, and the ledger says the same.
  stock: `WITH seen AS (
            SELECT s.sku_id, s.available, t.initial,
                   (SELECT coalesce(sum(l.quantity), 0) FROM orders.order_lines l JOIN orders.orders o USING (order_id)
                    WHERE l.sku_id = s.sku_id AND o.status NOT IN ('CANCELLED', 'ABORTED')) AS sold,
                   (SELECT coalesce(sum(l.quantity), 0) FROM catalog.hold_lines l JOIN catalog.holds h USING (order_id)
                    WHERE l.sku_id = s.sku_id AND h.state = 'HELD' AND NOT EXISTS (SELECT FROM orders.orders o WHERE o.order_id = h.order_id)) AS held,
                   (SELECT sum(delta) FROM catalog.stock_ledger l WHERE l.sku_id = s.sku_id) AS ledger
            FROM unnest($1::uuid[], $2::int[]) AS t (sku_id, initial) JOIN catalog.skus s USING (sku_id))
          SELECT sku_id, format('%s available, %s at first, %s sold, %s held, %s by the ledger', available, initial, sold, held, ledger) AS what
          FROM seen WHERE available <> initial - sold - held OR available <> ledger`,
  // What is counted of each buyer is what the holds that wait or are sold say.
  buyers: `SELECT sku_id, format('%s boxes counted of buyer %s, %s held and sold', coalesce(b.quantity, 0), buyer_id, coalesce(held.quantity, 0)) AS what
           FROM (SELECT l.sku_id, h.buyer_id, sum(l.quantity) AS quantity FROM catalog.hold_lines l JOIN catalog.holds h USING (order_id)
                 WHERE h.state IN ('HELD', 'SOLD') AND h.buyer_id IS NOT NULL GROUP BY l.sku_id, h.buyer_id) AS held
           FULL JOIN catalog.sku_buyers b USING (sku_id, buyer_id)
           WHERE sku_id = ANY ($1::uuid[]) AND cardinality($2::int[]) >= 0 AND coalesce(b.quantity, 0) <> coalesce(held.quantity, 0)`,
  holds: `SELECT DISTINCT l.sku_id, format('hold %s is %s, order %s', h.order_id, h.state, coalesce(o.status, 'unknown')) AS what
          FROM catalog.hold_lines l JOIN catalog.holds h USING (order_id) LEFT JOIN orders.orders o USING (order_id)
          WHERE l.sku_id = ANY ($1::uuid[]) AND cardinality($2::int[]) >= 0
            AND h.state <> CASE WHEN coalesce(o.status, 'ABORTED') IN ('ABORTED', 'CANCELLED') THEN 'RELEASED' ELSE 'SOLD' END`,
  delivery: `SELECT l.sku_id, format('order %s is %s, its delivery %s', l.order_id, o.status, coalesce(d.status, 'missing')) AS what
             FROM (SELECT DISTINCT sku_id, order_id FROM orders.order_lines WHERE sku_id = ANY ($1::uuid[]) AND cardinality($2::int[]) >= 0) AS l
             JOIN orders.orders o USING (order_id) LEFT JOIN delivery.deliveries d USING (order_id)
             WHERE CASE WHEN o.status = 'CANCELLED' THEN coalesce(d.status, 'CANCELLED') <> 'CANCELLED'
                        ELSE d.delivery_id IS NULL OR d.status = 'CANCELLED' OR o.delivery_status IS DISTINCT FROM d.status END
             UNION ALL
             SELECT l.sku_id, format('delivery of %s, which is no order', d.order_id)
             FROM delivery.deliveries d JOIN catalog.hold_lines l USING (order_id) LEFT JOIN orders.orders o USING (order_id)
             WHERE l.sku_id = ANY ($1::uuid[]) AND d.delivery_id IS NOT NULL AND coalesce(o.status, 'ABORTED') = 'ABORTED'`,
  // A wish came to its end; who is CANCELLED got the money back, once; nobody else did.
  cancelled: `SELECT l.sku_id, format('order %s is %s, its cancellation %s, %s refunds, %s events', o.order_id, o.status, coalesce(c.state, 'none'), r.count, e.count) AS what
              FROM (SELECT DISTINCT sku_id, order_id FROM orders.order_lines WHERE sku_id = ANY ($1::uuid[]) AND cardinality($2::int[]) >= 0) AS l
              JOIN orders.orders o USING (order_id) LEFT JOIN orders.cancellations c USING (order_id),
                   LATERAL (SELECT count(*) FROM orders.refunds WHERE order_id = o.order_id) AS r,
                   LATERAL (SELECT count(*) FROM orders.outbox WHERE subject = o.order_id::text AND type = 'order.cancelled.v1') AS e
              WHERE CASE WHEN o.status = 'CANCELLED' THEN c.state IS DISTINCT FROM 'DONE' OR r.count <> 1 OR e.count <> 1
                         ELSE c.state IN ('REQUESTED', 'DONE') OR r.count + e.count > 0 END`,
  inbox: `SELECT l.sku_id, format('%s %s is in no inbox of its consumer', x.type, x.event_id) AS what
          FROM (SELECT DISTINCT sku_id, order_id::text AS subject FROM orders.order_lines WHERE sku_id = ANY ($1::uuid[]) AND cardinality($2::int[]) >= 0) AS l
          JOIN (SELECT event_id, type, subject, 'order.placed.v1' AS wanted FROM orders.outbox
                UNION ALL SELECT event_id, type, subject, 'delivery.status-changed.v1' FROM delivery.outbox) AS x USING (subject)
          WHERE x.type = x.wanted
            AND NOT EXISTS (SELECT FROM delivery.inbox i WHERE i.event_id = x.event_id)
            AND NOT EXISTS (SELECT FROM orders.inbox i WHERE i.event_id = x.event_id)`,
};

async function judgeAnswers({ db, personalKeys }, visit) {
  const found = [];
  for (const { key, buyer, answers } of visit.orders) {
    const { rows } = await db.query('SELECT order_id, reply, personal FROM orders.orders WHERE buyer_id = $1 AND split_part(idempotency_key, $3, 1) = $2', [buyer.sub, key, '#']);
    const [first] = answers;
    if (rows.length > 1) found.push({ invariant: 'one_order_a_key', what: `${rows.length} orders of key ${key}` });
    if (first && rows.length === 0) found.push({ invariant: 'acknowledged', what: `key ${key} was answered 201 and is not stored` });
    if (first && rows.length > 0 && !rows.some((row) => replyOf(personalKeys, row) === first)) found.push({ invariant: 'acknowledged', what: `key ${key}: the stored answer is another than the buyer's` });
    if (answers.some((answer) => answer !== first)) found.push({ invariant: 'one_order_a_key', what: `key ${key} was answered differently` });
  }
  return found.map((one) => ({ ...one, visit }));
}

// What is on its way; all 0 when the shop is at rest.
export async function unrest(db, skus = []) {
  const { rows } = await db.query(
    `SELECT (SELECT count(*) FROM orders.outbox WHERE sent_at IS NULL) + (SELECT count(*) FROM delivery.outbox WHERE sent_at IS NULL) +
            (SELECT count(*) FROM catalog.outbox WHERE sent_at IS NULL) AS outbox,
            (SELECT count(*) FROM orders.cancellations WHERE state = 'REQUESTED') AS cancellations,
            (SELECT count(*) FROM catalog.hold_lines JOIN catalog.holds USING (order_id) WHERE state = 'HELD' AND sku_id = ANY ($1::uuid[])) AS holds`,
    [skus],
  );
  return Object.fromEntries(Object.entries(rows[0]).map(([name, count]) => [name, Number(count)]));
}

// [{ name, messages }] of the queues that hold something.
export async function filled(uri, names) {
  const connection = await amqp.connect(uri);
  try {
    const channel = await connection.createChannel();
    const found = [];
    for (const name of names) found.push({ name, messages: (await channel.checkQueue(name)).messageCount });
    return found.filter(({ messages }) => messages > 0);
  } finally {
    await connection.close();
  }
}

// judge(world, visits): every violation of these visits.
export async function judge({ db, personalKeys, amqpUri, queues }, visits) {
  const bySku = new Map(visits.map((visit) => [visit.sku.skuId, visit]));
  const found = [];
  for (const [invariant, sql] of Object.entries(QUERIES)) {
    const { rows } = await db.query(sql, [[...bySku.keys()], visits.map(({ sku }) => sku.stock)]);
    found.push(...rows.map(({ sku_id: sku, what }) => ({ invariant, what, visit: bySku.get(sku) })));
  }
  for (const visit of visits) found.push(...(await judgeAnswers({ db, personalKeys }, visit)));
  const { outbox } = await unrest(db);
  if (outbox) found.push({ invariant: 'outbox', what: `${outbox} events were never sent` });
  for (const { name, messages } of await filled(amqpUri, queues)) found.push({ invariant: name === 'gwasuwon.dead' ? 'dead_letters' : 'queues', what: `${messages} in ${name}` });
  return found;
}
