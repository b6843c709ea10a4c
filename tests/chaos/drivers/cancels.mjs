// SPDX-License-Identifier: Apache-2.0
// Buyers who change their mind, now and then twice at once or before the delivery exists. Must never read its own success into a doubtful answer.

import { setTimeout as pause } from 'node:timers/promises';
import { send } from '../client.mjs';

async function attempt({ shop, journal, watch, random }, { orderId, buyer }) {
  const { url, to, via } = shop.address(random, 'order-manager');
  return journal.attempt({ op: 'cancel', orderId, buyer: buyer.sub, to, via }, async (n) => {
    watch.begin(n, 'cancel', to);
    const answer = await send('POST', `${url}/api/v1/orders/${orderId}/cancel`, { token: buyer.token, json: { reason: 'CHANGED_MIND' } });
    watch.end(n);
    return { result: answer.result, status: answer.status, code: answer.code, orderStatus: answer.json?.status };
  });
}

export async function cancel(world) {
  const { shop, random } = world;
  if (shop.recent.length === 0) return;
  // The newest are the likeliest to be cancellable; older ones have left.
  const order = random.chance(0.7) ? shop.recent.at(-random.int(1, Math.min(5, shop.recent.length))) : random.pick(shop.recent);
  let outcomes = await Promise.all(Array.from({ length: random.chance(0.2) ? 2 : 1 }, () => attempt(world, order)));
  if (random.chance(0.3)) return; // the reconciler's
  for (let i = 0; i < 6 && outcomes.every(({ result }) => result === 'unknown' || result === 'unsent'); i++) {
    await pause(random.int(50, 400));
    outcomes = [await attempt(world, order)];
  }
}
