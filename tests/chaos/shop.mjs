// SPDX-License-Identifier: Apache-2.0
// What the drivers trade with: one farm, SKUs with much and with little stock, some with a limit per buyer, buyers, and the tokens of all of them; and where each request
// goes. Must never make anything but through the public API, so that the journal knows all stock there ever was.

import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { SignJWT, importPKCS8 } from 'jose';

import { uuid7 } from '../lib/ids.mjs';
import { ROOT } from '../lib/stack-root.mjs';
import { until } from '../lib/until.mjs';
import { send } from './client.mjs';

const { roles, accounts, audience } = JSON.parse(readFileSync(join(ROOT, 'stack/accounts.json'), 'utf8'));
const PLENTY = { count: 32, stock: 3000 };
const SCARCE = { count: 10, stock: 25 };
const LIMITED = { count: 4, stock: 3000, perBuyerLimit: 12 }; // soon every buyer has as many
const BUYERS = 12;
const DISCLOSURE = {
  itemName: '사과(부사)', weight: '5kg(포장 제외)', quantity: '14~16과', size: '대과', producer: '햇살농원', origin: '국산(경북 청송군)', producedOn: '2026-11-05',
  composition: '사과 5kg 1상자', storage: '0~4℃ 냉장 보관', caution: '씻은 뒤 드세요.', customerPhone: '054-870-1234',
};

export const shaOf = (text) => createHash('sha256').update(text).digest('hex');

async function signer(stack) {
  const keys = join(stack.folder, 'keys');
  const kid = readFileSync(join(keys, 'signing.kid'), 'utf8').trim();
  const key = await importPKCS8(readFileSync(join(keys, `${kid}.pem`), 'utf8'), 'RS256');
  // Issued an hour ago and good for a day: clocks that are set back or forward must not decide about the run's own tokens.
  const now = Math.floor(Date.now() / 1000);
  return (role, sub, more = {}) =>
    new SignJWT({ scope: roles[role].join(' '), roles: [role], jti: uuid7(), ...more })
      .setProtectedHeader({ alg: 'RS256', kid, typ: 'at+jwt' })
      .setIssuer(stack.status.issuer).setAudience(audience).setSubject(sub).setIssuedAt(now - 3600).setExpirationTime(now + 86_400)
      .sign(key);
}

export class Shop {
  // Orders that were acknowledged, newest last: what others read, cancel and move.
  recent = [];

  constructor(stack, journal) {
    Object.assign(this, { stack, journal });
    this.tokens = new Map();
  }

  async open() {
    const sign = await signer(this.stack);
    this.operator = await sign('operator', accounts.find(({ role }) => role === 'operator').sub);
    this.farmId = uuid7();
    this.farmer = await sign('farmer', uuid7(), { farmId: this.farmId });
    this.buyers = [];
    for (let i = 0; i < BUYERS; i++) {
      const sub = uuid7();
      this.buyers.push({ sub, token: await sign('buyer', sub) });
      this.tokens.set(sub, this.buyers.at(-1).token);
    }
    await this.#openFarm();
  }

  async #must(method, path, token, json, headers) {
    const answer = await send(method, this.stack.status.gateway + path, { token, json, headers });
    if (answer.result !== 'ok') throw new Error(`${method} ${path} answered ${answer.status ?? answer.code}: ${answer.text ?? ''}`);
    return answer.json;
  }

  async #openFarm() {
    await until(() => this.#must('GET', '/api/v1/products', this.operator), { within: 20_000, what: 'the shop' });
    await this.#must('PUT', `/api/v1/farms/${this.farmId}`, this.operator, {
      name: '시험농원', sido: '경북', sigungu: '청송군', introduction: '시험을 위해 기르는 과수원입니다.', phone: '054-870-1234', businessNumber: '123-45-67890', certificates: [],
    });
    this.product = await this.#must('POST', `/api/v1/farms/${this.farmId}/products`, this.farmer, {
      title: '시험 부사 사과 가정용', fruit: '사과', variety: '부사', origin: '국산(경북 청송군)', storage: '0~4℃ 냉장 보관', seasonFrom: '10-20', seasonTo: '03-31',
    });
    this.plenty = [...(await this.#makeSkus(PLENTY)), ...(await this.#makeSkus(LIMITED))];
    this.scarce = await this.#makeSkus(SCARCE);
    await this.#must('PATCH', `/api/v1/products/${this.product.productId}`, this.farmer, { status: 'ON_SALE', disclosure: DISCLOSURE }, { 'if-match': `"${this.product.version}"` });
  }

  async #makeSkus({ count, stock, perBuyerLimit }) {
    const made = [];
    for (let i = 0; i < count; i++) {
      const { skuId, priceKrw } = await this.#must('POST', `/api/v1/products/${this.product.productId}/skus`, this.farmer, {
        grade: '특', weightG: 5000, priceKrw: 20_000 + i * 100, perOrderLimit: 99, perBuyerLimit, stock,
      });
      await this.journal.write({ kind: 'sku', skuId, initial: stock, perBuyerLimit });
      made.push({ skuId, priceKrw });
    }
    return made;
  }

  // Where a request for a service goes: mostly straight to an instance, sometimes through the gateway. { base, to }
  address(random, base) {
    if (random.chance(0.2)) return { url: this.stack.status.gateway, to: base, via: 'gateway' };
    const service = random.pick(this.stack.of(base));
    return { url: service.http, to: service.name, via: 'rest' };
  }

  remember(order) {
    this.recent.push(order);
    if (this.recent.length > 400) this.recent.splice(0, 100);
  }

  async simulation(body) {
    return this.#must('PUT', '/api/v1/simulation', this.operator, body);
  }
}
