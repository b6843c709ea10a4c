// SPDX-License-Identifier: Apache-2.0
// People who look: at their order, at its delivery, at the shop. What they see of an order goes into the journal with the time they asked, for an
// order that was acknowledged must be found, and must not go back.

import { send } from '../client.mjs';

export async function read({ shop, journal, watch, random }) {
  if (shop.recent.length === 0) return;
  const { orderId, buyer } = random.pick(shop.recent);
  const { url, to } = shop.address(random, 'order-manager');
  const n = journal.number();
  const since = performance.timeOrigin + performance.now();
  watch.begin(n, 'read', to);
  const answer = await send('GET', `${url}/api/v1/orders/${orderId}`, { token: buyer.token });
  watch.end(n);
  if (answer.result === 'ok' || answer.status === 404) {
    await journal.write({ kind: 'read', n, orderId, since: Math.round(since), http: answer.status, status: answer.json?.status, steps: answer.json?.timeline?.length });
  }
}

export async function track({ shop, journal, watch, random }) {
  if (shop.recent.length === 0) return;
  const { orderId, buyer } = random.pick(shop.recent);
  const { url, to, via } = shop.address(random, 'delivery-mock');
  const n = journal.number();
  const since = performance.now();
  watch.begin(n, 'track', to);
  const answer = await send('GET', `${url}/api/v1/deliveries/${orderId}`, { token: buyer.token });
  watch.end(n);
  if (answer.result === 'ok' || answer.status === 404) watch.success('read-delivery', since, via === 'gateway' ? null : to);
}

export async function browse({ shop, journal, watch, random }) {
  const { url, to } = shop.address(random, 'fruit-catalog');
  const n = journal.number();
  watch.begin(n, 'browse', to);
  await send('GET', `${url}/api/v1/products/${shop.product.productId}`);
  watch.end(n);
}
