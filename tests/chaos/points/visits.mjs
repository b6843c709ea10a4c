// SPDX-License-Identifier: Apache-2.0
// One visit: a service is started with one step armed, exactly the traffic that passes the step is sent, the strike is seen, the service
// goes on as it would in life, and whoever was left without an answer asks again. Must never judge: invariants.mjs does.

import { setTimeout as pause } from 'node:timers/promises';

import { closeClients, grpc, rpc } from '../../lib/grpc.mjs';
import { newKey, uuid7 } from '../../lib/ids.mjs';
import { orderBody } from '../../lib/shop.mjs';
import { serviceToken } from '../../lib/tokens.mjs';
import { until, within } from '../../lib/until.mjs';
import { filled, unrest } from './invariants.mjs';

const HIT_MS = 8000;
const REST_MS = 12_000;
const CALL_MS = 3000; // no service waits longer for another: catalog_client.c, jobs.c

// ---- the callers -------------------------------------------------------------------------------------------------------

// One attempt of a buyer: the bytes of a success, or null when the caller does not know.
async function post(url, buyer, headers, body, timeout) {
  let answer;
  let text;
  try {
    answer = await fetch(url, {
      method: 'POST',
      headers: { authorization: `Bearer ${buyer.token}`, 'content-type': 'application/json', ...headers },
      body: JSON.stringify(body),
      signal: AbortSignal.timeout(timeout),
    });
    text = await answer.text();
  } catch {
    return null;
  }
  if (answer.status >= 400 && answer.status < 500) throw new Error(`refused: ${answer.status} ${text}`);
  return answer.ok ? text : null;
}

async function attempt(order, base, timeout) {
  const text = await post(`${base}/api/v1/orders`, order.buyer, { 'idempotency-key': order.key }, order.body, timeout);
  if (text !== null) order.answers.push(text);
  return text !== null;
}

const orderIdOf = ({ answers: [first] }) => JSON.parse(first).orderId;
const attemptCancel = async (order, base, timeout) => (await post(`${base}/api/v1/orders/${orderIdOf(order)}/cancel`, order.buyer, {}, {}, timeout)) !== null;

function newOrder(world, visit) {
  const order = { key: newKey(), buyer: world.buyer, body: orderBody(visit.sku, 1), answers: [] };
  visit.orders.push(order);
  return order;
}

// Who is refused need not ask again.
async function insistOn(ask, what) {
  let refusal;
  await until(async () => ask().catch((error) => (refusal = error)), { within: REST_MS, what });
  if (refusal) throw refusal;
}
const insistCancel = (order, base) => insistOn(() => attemptCancel(order, base, 1500), `the end of the cancellation of ${order.key}`);
const insist = (order, base, timeout = 1500) => insistOn(() => attempt(order, base, timeout), `an answer to ${order.key}`);

async function callCatalog(method, request) {
  closeClients(); // a new connection: the last one's back-off is not ours
  return rpc('fruit-catalog', method, request, serviceToken('order-manager'), { deadline: CALL_MS + 500 });
}
const insistCatalog = (method, request) =>
  until(async () => {
    const { code, value } = await callCatalog(method, request);
    return code === grpc.status.OK && value;
  }, { within: REST_MS, what: `an answer to ${method}` });

const wish = (visit, orderId) => ({ orders: [{ orderId, buyerId: uuid7(), lines: [{ skuId: visit.sku.skuId, quantity: 2, unitPriceKrw: visit.sku.priceKrw }] }] });

// ---- traffic: what passes the steps of a protocol. start() sends, again() is what a caller without an answer does -------------------------------

const traffic = {
  order: {
    // Until it passes the step: OrderManager may just have lost its connection to the one that was started anew.
    async start(world, visit, victim) {
      const order = newOrder(world, visit);
      const timeout = visit.site === 'order-manager' && visit.action === 'stall' ? 1000 : CALL_MS + 1000;
      for (const end = performance.now() + HIT_MS; !(await attempt(order, world.om.http, timeout)) && !victim.isHit && performance.now() < end; ) await pause(50);
    },
    async again(world, visit) {
      await insist(visit.orders[0], world.om.http);
      await insist(visit.orders[0], world.om.http); // and once more: the same bytes
    },
  },
  // FruitCatalog alone, asked as OrderManager asks: the same reservation until it is answered.
  reservation: {
    start: (world, visit) => callCatalog('Reserve', wish(visit, (visit.orphan = uuid7()))),
    async again(world, visit) {
      await insistCatalog('Reserve', wish(visit, visit.orphan));
      await insistCatalog('Reserve', wish(visit, visit.orphan));
    },
  },
  release: {
    async start(world, visit) {
      await insistCatalog('Reserve', wish(visit, (visit.orphan = uuid7())));
      visit.release = { orderIds: [visit.orphan], reason: 'order_not_stored' };
      return callCatalog('Release', visit.release);
    },
    async again(world, visit) {
      await insistCatalog('Release', visit.release);
      await insistCatalog('Release', visit.release);
    },
  },
  // An order whose box stands ready is cancelled, until the buyer hears that it is.
  cancellation: {
    async start(world, visit) {
      const order = newOrder(world, visit);
      await insist(order, world.om.http);
      await delivered(world, visit);
      return attemptCancel(order, world.om.http, CALL_MS);
    },
    async again(world, visit) {
      await insistCancel(visit.orders[0], world.om.http);
      await insistCancel(visit.orders[0], world.om.http);
    },
  },
  // The same before DeliveryMock has heard of the order: it has no broker until the cancellation is through.
  tombstone: {
    settings: { RABBITMQ_URI: 'amqp://nobody:nothing@127.0.0.1:1/' },
    async start(world, visit) {
      const order = newOrder(world, visit);
      if (visit.site !== 'delivery-mock') await world.all['delivery-mock'].restart({ settings: this.settings });
      await insist(order, world.om.http);
      await world.om.seesAll();
      return attemptCancel(order, world.om.http, CALL_MS);
    },
    async again(world, visit) {
      await insistCancel(visit.orders[0], world.om.http);
      await world.all['delivery-mock'].restart();
      await insistCancel(visit.orders[0], world.om.http);
    },
  },
  // The buyer's own request ends before DeliveryMock can be asked: what was left is the reconciler's.
  leftover: {
    async start(world, visit) {
      const order = newOrder(world, visit);
      await insist(order, world.om.http);
      await delivered(world, visit);
      await world.all['delivery-mock'].kill();
      await attemptCancel(order, world.om.http, CALL_MS);
      await world.all['delivery-mock'].start();
    },
    // Nobody asks again.
    again: (world, visit) =>
      until(async () => {
        const { rows } = await world.db.query(`SELECT status FROM orders.orders WHERE order_id = $1`, [orderIdOf(visit.orders[0])]);
        return rows[0].status === 'CANCELLED';
      }, { within: REST_MS, what: 'the reconciler to end the cancellation' }),
  },
  // A hold of an order that was placed, and one of an order that never came: both expire.
  holds: {
    async start(world, visit) {
      await insist(newOrder(world, visit), world.om.http);
      await insistCatalog('Reserve', wish(visit, uuid7()));
    },
    async again(world, visit) {
      await insist(visit.orders[0], world.om.http);
    },
  },
};

const DRIVES = {
  RESERVE_COMMITTED: 'reservation', RELEASE_BEFORE_COMMIT: 'release', RELEASE_COMMITTED: 'release',
  CANCEL_TOMBSTONE_LEFT: 'tombstone', CANCEL_BEFORE_COMMIT: 'tombstone', CANCEL_WISH_STORED: 'leftover', CANCEL_CLAIMED: 'leftover',
};
const OF_PROTOCOL = { resolve: 'holds', cancel: 'cancellation' };
const driveOf = ({ point }) => traffic[DRIVES[point.name] ?? OF_PROTOCOL[point.protocol] ?? 'order'];

// ---- what happens while the process stands still: life goes on at another instance, sessions time out ---------------------------------------------

// What PostgreSQL does to a session that is idle in a transaction, without waiting for its 5 s.
async function endIdleSessions(world, visit) {
  await world.db.query(`SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = $1 AND state LIKE 'idle in transaction%'`, [visit.site]);
}

const holdIs = (world, visit, states) =>
  until(async () => {
    const { rows } = await world.db.query(`SELECT state FROM catalog.holds JOIN catalog.hold_lines USING (order_id) WHERE sku_id = $1`, [visit.sku.skuId]);
    return rows.length > 0 && rows.every(({ state }) => states.includes(state));
  }, { within: REST_MS, what: `holds that are ${states}` });

// The second instances of OrderManager and FruitCatalog serve meanwhile.
async function withTwins(world, work) {
  await Promise.all([world.all['order-manager-2'].start(), world.all['fruit-catalog-2'].start()]);
  try {
    await work(world.all['order-manager-2']);
  } finally {
    await Promise.all([world.all['order-manager-2'].kill(), world.all['fruit-catalog-2'].kill()]);
  }
}

const meanwhile = {
  // The sweeper of the other instance settles the hold: the late order must lose.
  fence: (world, visit, resume) =>
    withTwins(world, async () => {
      await holdIs(world, visit, ['RELEASED']);
      resume();
      await pause(300); // the late steps, while the other instance is still there
    }),
  // The buyer asks the other instance: the late order of the same key must lose.
  retry: (world, visit, resume) =>
    withTwins(world, async (twin) => {
      await insist(visit.orders[0], twin.http);
      resume();
      await pause(300);
    }),
  // Another buyer wants the same boxes: it waits for the rows, or finds them taken.
  rival: (world, visit, resume) =>
    withTwins(world, async (twin) => {
      const rival = newOrder(world, visit);
      const isServed = attempt(rival, twin.http, CALL_MS + 2000);
      await Promise.race([isServed, pause(800)]);
      resume();
      await isServed;
      await insist(rival, twin.http);
    }),
  sessions: async (world, visit, resume) => {
    await endIdleSessions(world, visit);
    await pause(400);
    resume();
  },
  // Longer than the other service waits for an answer.
  patience: async (world, visit, resume) => {
    await pause(CALL_MS + 200);
    await endIdleSessions(world, visit);
    resume();
  },
};

const STALLS = {
  PLACE_KEY_LOOKED_UP: 'retry', PLACE_RESERVED: 'fence', PLACE_BEFORE_INSERT: 'retry', PLACE_INSERTED: 'retry', PLACE_BEFORE_REPLY: 'retry',
  RESERVE_BEFORE_COMMIT: 'rival', RESERVE_COMMITTED: 'patience', RESERVE_BEFORE_REPLY: 'rival',
  RESOLVE_BEFORE_FENCE: 'patience', RESOLVE_FENCED: 'patience', RESOLVE_BEFORE_REPLY: 'patience',
};

// ---- the strike --------------------------------------------------------------------------------------------------------

const strikes = {
  async die(world, visit, victim) {
    const { signal } = await within(5000, victim.ended, 'the end of the process');
    if (signal !== 'SIGKILL') throw new Error(`${victim.name} ended by ${signal}`);
    await victim.start();
  },
  async stall(world, visit, victim) {
    await until(() => victim.state === 'T', { what: `${victim.name} to stand still` });
    await meanwhile[STALLS[visit.point.name] ?? 'sessions'](world, visit, () => victim.signal('SIGCONT'));
  },
  async fail() {}, // it goes on by itself
};

// Nothing on its way, so that what passes the step is what the visit sends.
export async function rest(world, skus = world.skus) {
  await until(async () => {
    const { outbox, holds, cancellations } = await unrest(world.db, skus);
    return outbox === 0 && holds === 0 && cancellations === 0 && (await filled(world.amqpUri, world.queues.filter((name) => name !== 'gwasuwon.dead'))).length === 0;
  }, { within: REST_MS, what: 'the shop to be at rest' });
}

// Each order has a delivery and knows of it, or is cancelled.
const delivered = (world, visit) =>
  until(async () => {
    const { rows } = await world.db.query(
      `SELECT count(*) FILTER (WHERE o.status NOT IN ('PREPARING', 'CANCELLED')) AS open FROM orders.orders o WHERE o.buyer_id = $1 AND o.idempotency_key = ANY ($2)`,
      [world.buyer.sub, visit.orders.map(({ key }) => key)],
    );
    return Number(rows[0].open) === 0;
  }, { within: REST_MS, what: 'the deliveries of its orders' });

// PostgreSQL crashes right after the buyer was answered: a killed session makes it end all others and recover from its log. Nobody else
// carries the log to the disk meanwhile, so that only what a commit waited for is there afterwards.
async function crashDatabase(world, visit) {
  await rest(world, []);
  await world.all['delivery-mock'].kill();
  await world.db.query(`ALTER SYSTEM SET wal_writer_delay = '10s'`);
  await world.db.query('SELECT pg_reload_conf()');
  const { rows: [session] } = await world.db.query(`SELECT pid FROM pg_stat_activity WHERE application_name = 'order-manager' LIMIT 1`);
  await insist(newOrder(world, visit), world.om.http);
  process.kill(session.pid, 'SIGKILL');
  await until(() => world.connect(), { within: REST_MS, what: 'the database' });
  visit.isHit = true;
  await world.db.query('ALTER SYSTEM RESET wal_writer_delay');
  await world.db.query('SELECT pg_reload_conf()');
  await world.all['delivery-mock'].start();
  await traffic.order.again(world, visit);
  await delivered(world, visit);
}

async function strikeAt(world, visit) {
  const victim = world.all[visit.site];
  const drive = driveOf(visit);

  await rest(world, visit.point.protocol === 'resolve' ? world.skus : []);
  await victim.restart({ point: `${visit.point.name}:${visit.action}:1`, settings: visit.site === 'delivery-mock' ? drive.settings : {} });
  if (visit.site === 'fruit-catalog') await world.om.seesAll();
  const started = drive.start(world, visit, victim);
  started.catch(() => {}); // awaited below
  const hit = await Promise.race([victim.hit, pause(HIT_MS, null, { ref: false })]);
  visit.isHit = hit?.point === visit.point.name && hit?.action === visit.action;
  if (visit.isHit) await strikes[visit.action](world, visit, victim);
  await started;
  await drive.again(world, visit);
  await delivered(world, visit);
  if (visit.point.protocol === 'resolve') await rest(world, [visit.sku.skuId]);
  if (visit.point.protocol === 'cancel') await holdIs(world, visit, ['RELEASED']);
}

// visit: { point, action, site, sku, orders: [] }. Sets isHit, and trouble: what a caller or the shop waited for in vain.
export async function makeVisit(world, visit) {
  const victim = world.all[visit.site];
  const began = performance.now();
  try {
    await (visit.point.name === 'DATABASE' ? crashDatabase : strikeAt)(world, visit);
  } catch (error) {
    visit.trouble = error.message.split('\n')[0];
    if (victim.isAlive) victim.signal('SIGCONT');
    for (const one of [victim, world.all['delivery-mock']]) if (!one.isAlive) await one.start();
  }
  visit.ms = Math.round(performance.now() - began);
}
