// SPDX-License-Identifier: Apache-2.0
// The farm that counts its boxes: stock comes and goes by hand. Each adjustment has a reason of its own by which the ledger shows whether it was
// made. Not repeated: the contract says that it is not idempotent.

import { send } from '../client.mjs';

export async function adjust({ shop, journal, watch, random }) {
  const { skuId } = random.chance(0.8) ? random.pick(shop.scarce) : random.pick(shop.plenty);
  const delta = random.chance(0.75) ? random.int(3, 15) : -random.int(1, 6);
  const { url, to, via } = shop.address(random, 'fruit-catalog');
  const reason = `chaos ${journal.number()}`;
  await journal.attempt({ op: 'adjust', skuId, delta, reason, to, via }, async (n) => {
    watch.begin(n, 'adjust', to);
    const answer = await send('POST', `${url}/api/v1/skus/${skuId}/stock-adjustments`, { token: shop.farmer, json: { delta, reason } });
    watch.end(n);
    return { result: answer.result, status: answer.status, code: answer.code };
  });
}
