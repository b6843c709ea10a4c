// SPDX-License-Identifier: Apache-2.0
// Buyers who place orders, and what buyers do to a shop: repeat a lost request, press twice, change the basket under the same key, go away.
// Must never use a key for two orders on purpose but to see the second refused.

import { newKey, paymentToken } from '../../lib/ids.mjs';
import { setTimeout as pause } from 'node:timers/promises';
import { call, send } from '../client.mjs';
import { shaOf } from '../shop.mjs';

const PATTERNS = [
  { name: 'plain', weight: 50, run: plain },
  { name: 'double', weight: 18, run: twice },
  { name: 'other body', weight: 10, run: otherBody },
  { name: 'again later', weight: 12, run: againLater },
  { name: 'gone', weight: 10, run: gone },
];
const TRIES = 40;

function basket({ shop, random }) {
  const skus = random.chance(0.3) ? [random.pick(shop.scarce)] : random.some(shop.plenty, random.int(1, 4));
  if (skus.length > 1 && random.chance(0.2)) skus[0] = random.pick(shop.scarce);
  return skus.map(({ skuId, priceKrw }) => ({ skuId, quantity: random.int(1, 3), unitPriceKrw: priceKrw }));
}

const makeWish = (world) => ({
  key: newKey(),
  buyer: world.random.pick(world.shop.buyers),
  body: {
    paymentToken: paymentToken(),
    recipient: { name: '홍길동', phone: '010-1234-5678', postcode: '06236', address1: '서울 강남구 테헤란로 152' },
    lines: basket(world),
  },
});

// ---- one attempt -------------------------------------------------------------------------------------------------------

const seen = ({ orderId, orderNo, totalKrw, lines }) => ({ orderId, orderNo, totalKrw, lines: lines.map(({ skuId, quantity }) => [skuId, quantity]) });

async function overRest({ url, key, buyer, body }) {
  const answer = await send('POST', `${url}/api/v1/orders`, { token: buyer.token, headers: { 'idempotency-key': key }, json: body });
  if (answer.result !== 'ok') return { result: answer.result, code: answer.code, status: answer.status };
  return { result: 'ok', status: answer.status, ...seen(answer.json), sha: shaOf(answer.text) };
}

async function overGrpc({ service, key, buyer, body }) {
  const message = {
    idempotencyKey: key,
    paymentToken: body.paymentToken,
    recipient: { ...body.recipient, address2: '', doorNote: '' },
    giftMessage: '',
    lines: body.lines.map(({ skuId, quantity, unitPriceKrw }) => ({ skuId, quantity, unitPriceKrw })),
  };
  const { result, code, value } = await call(service.grpc, 'PlaceOrder', message, { token: buyer.token });
  return result === 'ok' ? { result, ...seen(value.order) } : { result, code };
}

async function attempt(world, { key, buyer, body }) {
  const { shop, journal, watch, random } = world;
  const isGrpc = random.chance(0.15);
  const service = random.pick(shop.stack.of('order-manager'));
  const address = isGrpc ? { to: service.name, via: 'grpc' } : shop.address(random, 'order-manager');
  const call = { op: 'place', key, buyer: buyer.sub, lines: body.lines.map(({ skuId, quantity }) => [skuId, quantity]), to: address.to, via: address.via };
  return journal.attempt(call, async (n) => {
    const since = performance.now();
    watch.begin(n, 'place', address.to);
    const outcome = await (isGrpc ? overGrpc({ service, key, buyer, body }) : overRest({ url: address.url, key, buyer, body }));
    watch.end(n);
    if (outcome.result === 'ok') {
      watch.success('place', since, address.via === 'gateway' ? null : address.to);
      watch.leave(outcome.orderId);
    }
    return outcome;
  });
}

// Again with the same key until it is known what became of it.
async function untilKnown(world, wish, first) {
  let outcome = first ?? (await attempt(world, wish));
  for (let i = 0; i < TRIES && (outcome.result === 'unknown' || outcome.result === 'unsent'); i++) {
    await pause(world.random.int(20, 100 + 40 * i));
    outcome = await attempt(world, wish);
  }
  if (outcome.result === 'ok') world.shop.remember({ orderId: outcome.orderId, buyer: wish.buyer, wish });
  return outcome;
}

// ---- patterns ----------------------------------------------------------------------------------------------------------

function plain(world) {
  return untilKnown(world, makeWish(world));
}

// The same at once, to whichever instances the two meet.
async function twice(world) {
  const wish = makeWish(world);
  const [one, two] = await Promise.all([attempt(world, wish), attempt(world, wish)]);
  await untilKnown(world, wish, one.result === 'ok' ? one : two);
}

// Another basket under the same key: one of the two is refused, whoever was first.
async function otherBody(world) {
  const wish = makeWish(world);
  const other = { ...wish, body: { ...wish.body, lines: basket(world) } };
  if (world.random.chance(0.5)) await Promise.all([attempt(world, wish), attempt(world, other)]);
  else {
    await untilKnown(world, wish);
    await attempt(world, other);
  }
}

// The answer again, whatever happened to the order since.
async function againLater(world) {
  const { shop, random } = world;
  const known = shop.recent.length > 0 && random.pick(shop.recent);
  if (known) await untilKnown(world, known.wish);
  else await plain(world);
}

// Asks once and never looks back: what is left of it must settle by itself.
async function gone(world) {
  const wish = makeWish(world);
  const outcome = await attempt(world, wish);
  if (outcome.result === 'ok') world.shop.remember({ orderId: outcome.orderId, buyer: wish.buyer, wish });
}

export async function order(world) {
  await world.random.pickBy(PATTERNS).run(world);
}
