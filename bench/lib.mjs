// SPDX-License-Identifier: Apache-2.0
// What the benchmarks share: the stack, a shop filled by the API, buyers, medians. Must never measure anything itself.

import { execFileSync } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { SignJWT, importPKCS8 } from 'jose';
import pg from 'pg';

export { freePort } from '../tests/lib/port.mjs';

export const root = new URL('..', import.meta.url).pathname;
export const seconds = Number(process.env.BENCH_SECONDS ?? 8);
export const rounds = Number(process.env.BENCH_ROUNDS ?? 3);
export const clients = 8;
export const dir = join(process.env.GWASUWON_VAR, 'bench');
mkdirSync(dir, { recursive: true });

export const dev = (...args) => execFileSync(join(root, 'dev'), args, { encoding: 'utf8' }).trim();
export const statusNow = () => JSON.parse(dev('status', '--json'));
export const status = statusNow();
export const db = new pg.Client({ connectionString: status.postgres.uri });
await db.connect();
export const value = async (sql, ...values) => Number(Object.values((await db.query(sql, values)).rows[0])[0]);
export const median = (list) => [...list].sort((a, b) => a - b)[Math.floor(list.length / 2)];
export const run = (command, args) => execFileSync(command, args, { encoding: 'utf8', cwd: root });
export const loops = (name) => Number(readFileSync(join(process.env.GWASUWON_VAR, 'env', `${name}.env`), 'utf8').match(/^LOOPS=(\d+)$/m)[1]);

export async function call(method, path, token, body, headers = {}) {
  const answer = await fetch(status.services['fruit-catalog'].http + path, {
    method,
    // A connection of its own: the service may have been started anew since the last call.
    headers: { connection: 'close', authorization: `Bearer ${token}`, ...(body ? { 'content-type': 'application/json' } : {}), ...headers },
    body: body && JSON.stringify(body),
  });
  const text = await answer.text();
  if (!answer.ok) throw new Error(`${method} ${path}: ${answer.status} ${text}`);
  return { body: JSON.parse(text), etag: answer.headers.get('etag') };
}

// The mock carrier's clock would move the boxes of the last round during this one; deliveries are still created.
export async function pauseSimulation() {
  const answer = await fetch(`${status.services['delivery-mock'].http}/api/v1/simulation`, {
    method: 'PUT',
    headers: { authorization: `Bearer ${dev('token', 'operator1')}`, 'content-type': 'application/json' },
    body: JSON.stringify({ paused: true, speed: 1, readyMeanS: 15, routeMeanS: 20 }),
  });
  if (!answer.ok) throw new Error(`simulation: ${answer.status}`);
}

// ---- a farm with as many SKUs as the orders are spread over -----------------------------------------------------------------

const disclosure = {
  itemName: '사과', weight: '5kg', quantity: '1상자', size: '14~16과', producer: '견본농원', origin: '국산(경북 청송군)', packedOn: '2026-11-01',
  composition: '사과 14~16과', storage: '0~4℃ 냉장 보관', caution: '받은 즉시 냉장 보관', customerPhone: '054-000-0000',
};

export async function makeProducts(count, skusEach, stock = 100000) {
  const token = dev('token', 'operator1');
  const farmId = `018f0000-0000-7000-9000-${randomUUID().slice(-12)}`;
  await call('PUT', `/api/v1/farms/${farmId}`, token, {
    name: '견본농원', sido: '경북', sigungu: '청송군', introduction: '측정에 쓰는 농원입니다.', phone: '054-000-0000', businessNumber: '123-45-67890', shipCutoff: '14:00', certificates: [],
  });
  const skus = [];
  let productId;
  for (let i = 0; i < count; i++) {
    const made = await call('POST', `/api/v1/farms/${farmId}/products`, token, {
      title: `측정용 사과 ${i + 1}`, fruit: '사과', variety: '부사', description: '측정에 쓰는 상품입니다.', origin: '국산(경북 청송군)', storage: '냉장', seasonFrom: '10-20', seasonTo: '03-31', disclosure,
    });
    productId = made.body.productId;
    for (let k = 0; k < skusEach; k++) {
      const sku = await call('POST', `/api/v1/products/${productId}/skus`, token, { grade: ['특', '상', '보통', '못난이'][k], weightG: 5000, priceKrw: 32000 + k * 1000, stock });
      skus.push(`${sku.body.skuId} ${sku.body.priceKrw}`);
    }
    const now = await call('GET', `/api/v1/products/${productId}`, token).catch(() => made);
    await call('PATCH', `/api/v1/products/${productId}`, token, { status: 'ON_SALE' }, { 'if-match': now.etag });
  }
  return { productId, skus };
}

// As many buyers as SKUs: one row an order, spread as a shop's are.
export async function buyerTokens(count) {
  const keys = join(process.env.GWASUWON_VAR, 'keys');
  const kid = readFileSync(join(keys, 'signing.kid'), 'utf8').trim();
  const key = await importPKCS8(readFileSync(join(keys, `${kid}.pem`), 'utf8'), 'RS256');
  const sign = () => new SignJWT({ scope: 'orders:write orders:read', roles: ['buyer'] }).setProtectedHeader({ alg: 'RS256', kid, typ: 'at+jwt' })
    .setIssuer(status.issuer).setAudience('gwasuwon').setSubject(randomUUID()).setIssuedAt().setExpirationTime('1h').sign(key);
  return Promise.all(Array.from({ length: count }, sign));
}

// What the least an order is costs in one transaction, with orders over so many SKUs: transactions a second.
export async function withPgbench(work) {
  await db.query(readFileSync(join(root, 'bench/order_schema.sql'), 'utf8'));
  try {
    return await work((skus, forS = seconds) => {
      const out = run('pgbench', ['-n', '-c', String(clients), '-j', '1', '-M', 'prepared', '-T', String(forS), '-D', `skus=${skus}`, '-f', 'bench/order.sql', status.postgres.uri]);
      return Number(out.match(/tps = ([\d.]+)/)[1]);
    });
  } finally {
    await db.query('DROP SCHEMA bench CASCADE');
  }
}
