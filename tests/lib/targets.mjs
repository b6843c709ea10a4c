// SPDX-License-Identifier: Apache-2.0
// One writing operation of each service, with a good body, a token that may call it, and a way to see that nothing was stored: what the
// tests of bad input send their faults to. Must never arrange a body that the service would refuse for another reason.

import { value } from './db.mjs';
import { expectJson } from './http.mjs';
import { newKey, uuid7 } from './ids.mjs';
import { SERVICES, service } from './stack.mjs';
import { makeFarm, orderBody, productBody, shop } from './shop.mjs';
import { operatorToken } from './tokens.mjs';

const MARK = 604_799;

const makers = {
  'fruit-catalog': async () => {
    const farm = await makeFarm();
    return {
      line: `POST /api/v1/farms/${farm.farmId}/products`,
      headers: {},
      token: farm.token,
      body: productBody(),
      number: ['seasonFrom'], // no integer in this body: any field takes the number
      text: ['title'],
      stored: () => value('SELECT count(*) FROM catalog.products WHERE farm_id = $1', farm.farmId),
    };
  },
  'order-manager': async () => {
    const { sku, buyer } = await shop({ stock: 5 });
    return {
      line: 'POST /api/v1/orders',
      headers: { 'idempotency-key': newKey() },
      token: buyer.token,
      body: orderBody(sku),
      number: ['lines', 0, 'quantity'],
      text: ['recipient', 'name'],
      stored: () => value('SELECT count(*) FROM orders.orders WHERE buyer_id = $1', buyer.sub),
    };
  },
  'delivery-mock': async () => {
    const token = await operatorToken();
    const { paused, speed, readyMeanS } = await expectJson(200, 'GET /api/v1/simulation', { token });
    return {
      line: 'PUT /api/v1/simulation',
      headers: {},
      token,
      body: { paused, speed, readyMeanS, routeMeanS: MARK },
      number: ['readyMeanS'],
      text: null, // this body has no text
      // Others may pause it or speed it up meanwhile; this mean only a fault that got through can set.
      stored: () => value('SELECT count(*) FROM delivery.simulation WHERE route_mean_s = $1', MARK),
    };
  },
};

// targetOf('order-manager'): made once a process.
const made = new Map();
export async function targetOf(name) {
  if (!made.has(name)) made.set(name, makers[name]().then((target) => ({ ...target, name, base: service(name).http })));
  return made.get(name);
}

export { SERVICES };

// A copy of the body with one value replaced.
export function withValue(body, path, replacement) {
  const copy = structuredClone(body);
  const last = path.at(-1);
  path.slice(0, -1).reduce((at, key) => at[key], copy)[last] = replacement;
  return copy;
}

export const pointerOf = (path) => path.map((part) => `/${part}`).join('');

// The head of a request to the target, as text. A header whose value is null is left out, an array stands once for each of its values.
export function headOf(target, headers = {}, { line = target.line, version = 'HTTP/1.1' } = {}) {
  const [method, path] = line.split(' ');
  const all = { host: '127.0.0.1', 'content-type': 'application/json', authorization: `Bearer ${target.token}`, ...target.headers, ...headers };
  const lines = Object.entries(all).flatMap(([name, values]) => (values === null ? [] : [values].flat().map((one) => `${name}: ${one}\r\n`)));
  return `${method} ${path} ${version}\r\n${lines.join('')}\r\n`;
}

export const nowhere = () => uuid7();
