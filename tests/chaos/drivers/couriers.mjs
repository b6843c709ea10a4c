// SPDX-License-Identifier: Apache-2.0
// An operator who moves boxes by hand beside the simulation's clock.

import { send } from '../client.mjs';

export async function advance({ shop, journal, watch, random }) {
  if (shop.recent.length === 0) return;
  const { orderId } = random.pick(shop.recent);
  const to = random.chance(0.6) ? 'ON_ROUTE' : 'DELIVERED';
  const address = shop.address(random, 'delivery-mock');
  await journal.attempt({ op: 'advance', orderId, status: to, to: address.to, via: address.via }, async (n) => {
    watch.begin(n, 'advance', address.to);
    const answer = await send('POST', `${address.url}/api/v1/deliveries/${orderId}/advance`, { token: shop.operator, json: { to } });
    watch.end(n);
    return { result: answer.result, code: answer.code };
  });
}
