// SPDX-License-Identifier: Apache-2.0
// A shop for one test: a farm, its product on sale, SKUs and buyers, all new, made by the public API. Exists so that tests never
// share anything and can run side by side. Must never reach into the database.

import assert from 'node:assert/strict';

import { call, expectJson } from './http.mjs';
import { koreanWord, newKey, paymentToken, uuid7 } from './ids.mjs';
import { buyerToken, farmerToken, operatorToken } from './tokens.mjs';

export const farmBody = (more = {}) => ({
  name: `${koreanWord(4)}농원`,
  sido: '경북',
  sigungu: '청송군',
  introduction: '시험을 위해 기르는 과수원입니다.',
  phone: '054-870-1234',
  businessNumber: '123-45-67890',
  certificates: [],
  ...more,
});

export const disclosure = (more = {}) => ({
  itemName: '사과(부사)',
  weight: '5kg(포장 제외)',
  quantity: '14~16과',
  size: '대과',
  producer: '햇살농원',
  origin: '국산(경북 청송군)',
  producedOn: '2026-11-05',
  composition: '사과 5kg 1상자',
  storage: '0~4℃ 냉장 보관',
  caution: '씻은 뒤 드세요.',
  customerPhone: '054-870-1234',
  ...more,
});

export const productBody = (more = {}) => ({
  title: `${koreanWord()} 부사 사과 가정용`,
  fruit: '사과',
  variety: '부사',
  origin: '국산(경북 청송군)',
  storage: '0~4℃ 냉장 보관',
  seasonFrom: '10-20',
  seasonTo: '03-31',
  ...more,
});

export const skuBody = (more = {}) => ({ grade: '특', weightG: 5000, priceKrw: 32900, perOrderLimit: 99, stock: 100, ...more });

export const recipient = (more = {}) => ({
  name: '홍길동',
  phone: '010-1234-5678',
  postcode: '06236',
  address1: '서울 강남구 테헤란로 152',
  ...more,
});

export const orderBody = (sku, quantity = 1, more = {}) => ({
  paymentToken: paymentToken(),
  recipient: recipient(),
  lines: [{ skuId: sku.skuId, quantity, unitPriceKrw: sku.priceKrw }],
  ...more,
});

export async function makeFarm(more = {}) {
  const farmId = uuid7();
  const farm = await expectJson(201, `PUT /api/v1/farms/${farmId}`, { token: await operatorToken(), json: farmBody(more) });
  return { ...farm, token: await farmerToken(farmId) };
}

export const makeDraft = (farm, more = {}) => expectJson(201, `POST /api/v1/farms/${farm.farmId}/products`, { token: farm.token, json: productBody(more) });

export const makeSku = (farm, product, more = {}) =>
  expectJson(201, `POST /api/v1/products/${product.productId}/skus`, { token: farm.token, json: skuBody(more) });

export function publish(farm, product) {
  return expectJson(200, `PATCH /api/v1/products/${product.productId}`, {
    token: farm.token,
    headers: { 'if-match': `"${product.version}"` },
    json: { status: 'ON_SALE', disclosure: disclosure() },
  });
}

// makeProduct(farm, { product, skus }): on sale, with these SKUs.
export async function makeProduct(farm, { product = {}, skus = [{}] } = {}) {
  const draft = await makeDraft(farm, product);
  const made = [];
  for (const more of skus) made.push(await makeSku(farm, draft, more));
  return { ...(await publish(farm, draft)), skus: made };
}

export class Buyer {
  constructor(sub, token) {
    this.sub = sub;
    this.token = token;
  }

  static async make(sub = uuid7()) {
    return new Buyer(sub, await buyerToken(sub));
  }

  send(json, key = newKey(), more = {}) {
    return call('POST /api/v1/orders', { token: this.token, json, headers: { 'idempotency-key': key, ...more.headers }, ...more.options });
  }

  order(sku, quantity = 1, more = {}) {
    return this.send(orderBody(sku, quantity, more));
  }

  // The order that was stored, or a failed test.
  async buys(sku, quantity = 1, more = {}) {
    const answer = await this.order(sku, quantity, more);
    assert.equal(answer.status, 201, answer.text);
    return answer.json;
  }

  // Without `json` there is no body.
  cancel(orderId, json) {
    return call(`POST /api/v1/orders/${orderId}/cancel`, { token: this.token, json });
  }

  detail(orderId) {
    return expectJson(200, `GET /api/v1/orders/${orderId}`, { token: this.token });
  }
}

// shop({ stock, priceKrw, perOrderLimit, perBuyerLimit, buyers }): one farm, one product on sale, one SKU, and buyers.
export async function shop({ stock = 100, priceKrw = 32900, perOrderLimit = 99, perBuyerLimit, buyers = 1, product = {} } = {}) {
  const farm = await makeFarm();
  const made = await makeProduct(farm, { product, skus: [{ stock, priceKrw, perOrderLimit, perBuyerLimit }] });
  const people = await Promise.all(Array.from({ length: buyers }, () => Buyer.make()));
  return { farm, product: made, sku: made.skus[0], buyer: people[0], buyers: people };
}

// What is left, as the newest row of the ledger has it: pages may be up to a second old.
export async function stockOf(sku) {
  const { items } = await expectJson(200, `GET /api/v1/skus/${sku.skuId}/stock-ledger`, { token: await operatorToken(), query: { limit: 1 } });
  return items[0]?.availableAfter ?? 0;
}

export const ledgerOf = async (farm, sku) =>
  (await expectJson(200, `GET /api/v1/skus/${sku.skuId}/stock-ledger`, { token: farm.token, query: { limit: 100 } })).items;

// count([{status: 201}, ...]) -> {201: n, ...}
export function count(answers) {
  const sums = {};
  for (const { status } of answers) sums[status] = (sums[status] ?? 0) + 1;
  return sums;
}
