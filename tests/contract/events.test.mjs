// SPDX-License-Identifier: Apache-2.0
// The AsyncAPI file and the services say the same: the types that are published and consumed in the sources, the queues and exchanges on
// the broker, and a real message of each of the six events.

import assert from 'node:assert/strict';
import { readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import test from 'node:test';

import { asyncapi, checkMessage, eventTypes, listen } from '../lib/events.mjs';
import { expectJson } from '../lib/http.mjs';
import { ROOT, SERVICES, stack } from '../lib/stack.mjs';
import { shop } from '../lib/shop.mjs';

const TYPE = /"([a-z-]+\.[a-z-]+\.v[0-9]+)"/g;
const follow = (ref) => ref.slice(2).split('/').reduce((at, part) => at[part], asyncapi);

// { 'delivery-mock': Set of types } of the operations with that action.
function contractTypes(action) {
  const byService = Object.fromEntries(SERVICES.map((name) => [name, new Set()]));
  for (const [id, operation] of Object.entries(asyncapi.operations)) {
    if (operation.action !== action) continue;
    const owner = SERVICES.find((name) => id.startsWith(name.replaceAll(/-(\w)/g, (_, letter) => letter.toUpperCase())));
    byService[owner].add(follow(operation.channel.$ref).address);
  }
  return byService;
}

function filesOf(folder, ext) {
  return readdirSync(folder, { withFileTypes: true, recursive: true })
    .filter((entry) => entry.isFile() && ext.test(entry.name) && !entry.parentPath?.includes('/tests') && !entry.path?.includes('/tests'))
    .map((entry) => readFileSync(join(entry.parentPath ?? entry.path, entry.name), 'utf8'));
}

function sourceTypes(name) {
  const folder = join(ROOT, 'services', name);
  const texts = filesOf(folder, /\.(c|h|sql)$/);
  // A row of the consumers' table: {"delivery-mock.order-placed", "order.placed.v1", ...
  const consumed = new Set(texts.flatMap((text) => [...text.matchAll(/\{\s*"[a-z.-]+",\s*"([a-z.-]+\.v[0-9]+)"/g)].map(([, type]) => type)));
  const all = new Set(texts.flatMap((text) => [...text.replaceAll("'", '"').matchAll(TYPE)].map(([, type]) => type)));
  return { consumed, published: new Set([...all].filter((type) => !consumed.has(type))) };
}

for (const name of SERVICES) {
  test(`${name} publishes exactly what the contract says`, () => {
    assert.deepEqual(sourceTypes(name).published, contractTypes('send')[name]);
  });

  test(`${name} consumes exactly what the contract says`, () => {
    assert.deepEqual(sourceTypes(name).consumed, contractTypes('receive')[name]);
  });
}

test('the six events are in the contract', () => {
  assert.deepEqual(eventTypes.toSorted(), ['delivery.status-changed.v1', 'order.cancelled.v1', 'order.erased.v1', 'order.placed.v1', 'product.changed.v1', 'stock.low.v1']);
});

test('a real message of each of the six events fits its schema', async () => {
  const events = await listen();
  try {
    const { product, sku, buyer } = await shop({ stock: 6 });
    const order = await buyer.buys(sku, 3);
    const met = await Promise.all([
      events.find('product.changed.v1', product.productId),
      events.find('order.placed.v1', order.orderId),
      events.find('stock.low.v1', sku.skuId),
      events.find('delivery.status-changed.v1', order.orderId),
    ]);
    await expectJson(200, `POST /api/v1/orders/${order.orderId}/cancel`, { token: buyer.token });
    met.push(await events.find('order.cancelled.v1', order.orderId));
    await expectJson(200, 'POST /api/v1/me/erasure', { token: buyer.token });
    met.push(await events.find('order.erased.v1', order.orderId));
    assert.deepEqual(met.map((event) => event.type).toSorted(), eventTypes.toSorted());
    for (const event of events.all) checkMessage(event);
    const ids = events.all.map((event) => event.body.id);
    assert.equal(new Set(ids).size, ids.length, 'an id came twice');
    for (const id of ids) assert.match(id, /^[0-9a-f]{8}-[0-9a-f]{4}-7/);
  } finally {
    await events.close();
  }
});

const management = async (path) => {
  const { origin, username, password } = new URL(stack.rabbitmq.management);
  const answer = await fetch(`${origin}/api/${path}`, { headers: { authorization: `Basic ${Buffer.from(`${username}:${password}`).toString('base64')}` } });
  assert.equal(answer.status, 200, path);
  return answer.json();
};

test('the exchanges are durable topics', async () => {
  for (const name of ['gwasuwon.events', 'gwasuwon.dlx']) {
    const exchange = await management(`exchanges/%2F/${name}`);
    assert.deepEqual([exchange.type, exchange.durable, exchange.auto_delete], ['topic', true, false], name);
  }
});

test('each consumer has a quorum queue, bound by its type, with a delivery limit and a way to the dead letters', async () => {
  for (const [name, types] of Object.entries(contractTypes('receive'))) {
    for (const type of types) {
      const queue = `${name}.${type.replace(/\.v\d+$/, '').replaceAll('.', '-')}`;
      const found = await management(`queues/%2F/${queue}`);
      assert.deepEqual([found.type, found.durable], ['quorum', true], queue);
      assert.deepEqual(found.arguments, {
        'x-queue-type': 'quorum',
        'x-delivery-limit': 20,
        'x-dead-letter-exchange': 'gwasuwon.dlx',
        'x-dead-letter-strategy': 'at-least-once',
        'x-overflow': 'reject-publish',
      });
      const bindings = await management(`queues/%2F/${queue}/bindings`);
      assert.deepEqual(bindings.filter((one) => one.source === 'gwasuwon.events').map((one) => one.routing_key), [type]);
    }
  }
});

test('what is dead-lettered comes to a quorum queue', async () => {
  const dead = await management('queues/%2F/gwasuwon.dead');
  assert.deepEqual([dead.type, dead.durable], ['quorum', true]);
});
