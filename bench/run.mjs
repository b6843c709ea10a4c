// SPDX-License-Identifier: Apache-2.0
// The benchmarks: each a ratio of two things measured in turn in this run, with the limit the project has set itself.
// Exists so that a claim of speed can be checked by anyone with `./dev bench`. Must never print a figure it did not just measure.

import { execFileSync, spawn } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { cpus } from 'node:os';
import { join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import { SignJWT, importPKCS8 } from 'jose';
import pg from 'pg';

const root = new URL('..', import.meta.url).pathname;
const seconds = Number(process.env.BENCH_SECONDS ?? 8);
const rounds = Number(process.env.BENCH_ROUNDS ?? 3);
const clients = 8;
const dir = join(process.env.GWASUWON_VAR, 'bench');
mkdirSync(dir, { recursive: true });

const dev = (...args) => execFileSync(join(root, 'dev'), args, { encoding: 'utf8' }).trim();
const status = JSON.parse(dev('status', '--json'));
const db = new pg.Client({ connectionString: status.postgres.uri });
await db.connect();
const median = (list) => [...list].sort((a, b) => a - b)[Math.floor(list.length / 2)];
const run = (command, args) => execFileSync(command, args, { encoding: 'utf8', cwd: root });
const loops = (name) => Number(readFileSync(join(process.env.GWASUWON_VAR, 'env', `${name}.env`), 'utf8').match(/^LOOPS=(\d+)$/m)[1]);

async function freePort() {
  const server = createServer();
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address();
  await new Promise((resolve) => server.close(resolve));
  return port;
}

async function call(method, path, token, body, headers = {}) {
  const answer = await fetch(status.services['fruit-catalog'].http + path, {
    method,
    headers: { authorization: `Bearer ${token}`, ...(body ? { 'content-type': 'application/json' } : {}), ...headers },
    body: body && JSON.stringify(body),
  });
  const text = await answer.text();
  if (!answer.ok) throw new Error(`${method} ${path}: ${answer.status} ${text}`);
  return { body: JSON.parse(text), etag: answer.headers.get('etag') };
}

// ---- a farm with as many SKUs as the orders are spread over -----------------------------------------------------------------

const disclosure = {
  itemName: '사과', weight: '5kg', quantity: '1상자', size: '14~16과', producer: '견본농원', origin: '국산(경북 청송군)', packedOn: '2026-11-01',
  composition: '사과 14~16과', storage: '0~4℃ 냉장 보관', caution: '받은 즉시 냉장 보관', customerPhone: '054-000-0000',
};

async function makeProducts(count, skusEach) {
  const token = dev('token', 'operator1');
  const farmId = '018f0000-0000-7000-9000-0000000000be';
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
      const sku = await call('POST', `/api/v1/products/${productId}/skus`, token, { grade: ['특', '상', '보통', '못난이'][k], weightG: 5000, priceKrw: 32000 + k * 1000, stock: 100000 });
      skus.push(`${sku.body.skuId} ${sku.body.priceKrw}`);
    }
    const now = await call('GET', `/api/v1/products/${productId}`, token).catch(() => made);
    await call('PATCH', `/api/v1/products/${productId}`, token, { status: 'ON_SALE' }, { 'if-match': now.etag });
  }
  return { productId, skus };
}

// As many buyers as SKUs: one row an order, spread as a shop's are.
async function buyerTokens(count) {
  const keys = join(process.env.GWASUWON_VAR, 'keys');
  const kid = readFileSync(join(keys, 'signing.kid'), 'utf8').trim();
  const key = await importPKCS8(readFileSync(join(keys, `${kid}.pem`), 'utf8'), 'RS256');
  const sign = () => new SignJWT({ scope: 'orders:write orders:read', roles: ['buyer'] }).setProtectedHeader({ alg: 'RS256', kid, typ: 'at+jwt' })
    .setIssuer(status.issuer).setAudience('gwasuwon').setSubject(randomUUID()).setIssuedAt().setExpirationTime('1h').sign(key);
  return Promise.all(Array.from({ length: count }, sign));
}

// ---- wrk and pgbench ---------------------------------------------------------------------------------------------------------

function wrkGet(url) {
  const out = run('wrk', ['-t1', '-c32', `-d${seconds}s`, '--latency', url]);
  if (/Non-2xx/.test(out)) throw new Error(out);
  return Number(out.match(/Requests\/sec:\s+([\d.]+)/)[1]);
}

async function detailAgainstNginx(productId) {
  const service = status.services['fruit-catalog'];
  const path = `/api/v1/products/${productId}`;
  const bytes = Buffer.from(await (await fetch(service.http + path)).arrayBuffer());
  writeFileSync(join(dir, 'detail.json'), bytes);
  const port = await freePort();
  const workers = loops('fruit-catalog');
  const conf = readFileSync(join(root, 'bench/nginx.conf'), 'utf8').replaceAll('@DIR@', dir).replaceAll('@PORT@', port).replaceAll('@WORKERS@', workers);
  writeFileSync(join(dir, 'nginx.conf'), conf);
  const nginx = spawn('/usr/sbin/nginx', ['-p', dir, '-c', join(dir, 'nginx.conf')], { stdio: 'ignore' });
  try {
    for (let i = 0; ; i++) {
      if (await fetch(`http://127.0.0.1:${port}/detail.json`).then((answer) => answer.ok, () => false)) break;
      if (i > 100) throw new Error('nginx did not start');
      await wait(50);
    }
    const ours = [], theirs = [];
    for (let i = 0; i < rounds; i++) {
      theirs.push(wrkGet(`http://127.0.0.1:${port}/detail.json`));
      ours.push(wrkGet(service.http + path));
    }
    return { name: 'GET product detail, service / nginx with the same bytes', limit: 0.4, ours: median(ours), theirs: median(theirs), unit: 'requests/s',
             ratio: median(ours.map((v, i) => v / theirs[i])), bytes: bytes.length, workers };
  } finally {
    nginx.kill('SIGTERM');
  }
}

const unsent = async () => Number((await db.query('SELECT count(*) FROM orders.outbox WHERE sent_at IS NULL')).rows[0].count);
const placed = async () => Number((await db.query("SELECT count(*) FROM orders.orders WHERE status <> 'ABORTED'")).rows[0].count);

// Orders a second from the first request until the outbox is empty; every 201 must stand in the database.
async function ordersOnce(skus, salt) {
  const before = await placed();
  const started = performance.now();
  const out = run('wrk', ['-t1', `-c${clients}`, `-d${seconds}s`, '-s', 'bench/orders.lua', status.services['order-manager'].http, '--', join(dir, 'tokens'), skus, salt]);
  while (await unsent()) await wait(10);
  const took = (performance.now() - started) / 1000;
  const [, requests, , refused, p50, p99] = out.match(/RESULT (\d+) (\d+) (\d+) (\d+) (\d+)/).map(Number);
  if (refused) throw new Error(`${refused} of ${requests} orders were refused`);
  const stored = (await placed()) - before;
  if (stored < requests) throw new Error(`${requests} acknowledged, ${stored} stored`);
  return { rate: requests / took, p50: p50 / 1000, p99: p99 / 1000, drainS: took - seconds };
}

function pgbenchOnce() {
  const out = run('pgbench', ['-n', '-c', String(clients), '-j', '1', '-M', 'prepared', '-T', String(seconds), '-f', 'bench/order.sql', status.postgres.uri]);
  return Number(out.match(/tps = ([\d.]+)/)[1]);
}

async function ordersAgainstPgbench(skus) {
  writeFileSync(join(dir, 'skus'), skus.join('\n') + '\n');
  writeFileSync(join(dir, 'tokens'), (await buyerTokens(64)).join('\n') + '\n');
  await db.query(readFileSync(join(root, 'bench/order_schema.sql'), 'utf8'));
  await ordersOnce(join(dir, 'skus'), `warm-${Date.now()}`);
  await db.query('VACUUM ANALYZE'); // both sides alike, as pgbench does for its own tables
  const ours = [], theirs = [];
  for (let i = 0; i < rounds; i++) {
    theirs.push(pgbenchOnce());
    ours.push(await ordersOnce(join(dir, 'skus'), `run-${i}-${Date.now()}`));
  }
  await db.query('DROP SCHEMA bench CASCADE');
  return { name: `POST orders at ${clients} clients until the outbox is empty / one-transaction pgbench`, limit: 0.5, ours: median(ours.map((o) => o.rate)), theirs: median(theirs),
           unit: 'orders/s', ratio: median(ours.map((o, i) => o.rate / theirs[i])), p50Ms: median(ours.map((o) => o.p50)), p99Ms: median(ours.map((o) => o.p99)), drainS: median(ours.map((o) => o.drainS)) };
}

// ---- memory and start -----------------------------------------------------------------------------------------------------------

const rssMib = (pid) => Number(readFileSync(`/proc/${pid}/status`, 'utf8').match(/VmRSS:\s+(\d+) kB/)[1]) / 1024;

// A service says itself how long it took; its line is in the log a moment after it answers.
async function startMs(name) {
  dev('stop', name);
  const began = new Date().toISOString();
  dev('start', name);
  for (let i = 0; i < 200; i++) {
    const lines = readFileSync(join(process.env.GWASUWON_VAR, 'log', `${name}.log`), 'utf8').split('\n');
    const ready = lines.filter((line) => line.includes('"service.ready"')).map((line) => JSON.parse(line)).findLast((line) => line.time >= began);
    if (ready) return ready.start_ms;
    await wait(10);
  }
  throw new Error(`${name} did not say that it is ready`);
}

async function startMedianMs(name) {
  const all = [];
  for (let i = 0; i < 5; i++) all.push(await startMs(name));
  return median(all);
}

// The mock carrier's clock would move the boxes of the last round during this one; deliveries are still created.
async function pauseSimulation() {
  const answer = await fetch(`${status.services['delivery-mock'].http}/api/v1/simulation`, {
    method: 'PUT',
    headers: { authorization: `Bearer ${dev('token', 'operator1')}`, 'content-type': 'application/json' },
    body: JSON.stringify({ paused: true, speed: 1, readyMeanS: 15, routeMeanS: 20 }),
  });
  if (!answer.ok) throw new Error(`simulation: ${answer.status}`);
}

await pauseSimulation();
const { productId, skus } = await makeProducts(16, 4);
const results = [await detailAgainstNginx(productId), await ordersAgainstPgbench(skus)];
for (const [name, service] of Object.entries(status.services))
  results.push({ name: `${name}: resident memory after load`, limit: 32, value: rssMib(service.pid), unit: 'MiB' });
for (const name of Object.keys(status.services))
  results.push({ name: `${name}: start to ready, median of 5`, limit: 200, value: await startMedianMs(name), unit: 'ms' });
await db.end();

const round = (value) => Math.round(value * 100) / 100;
let short = 0;
for (const r of results) {
  const isMet = r.ratio === undefined ? r.value <= r.limit : r.ratio >= r.limit;
  short += isMet ? 0 : 1;
  const what = r.ratio === undefined ? `${round(r.value)} ${r.unit} (limit ${r.limit})` : `${round(r.ratio)} (limit ${r.limit}): ${Math.round(r.ours)} against ${Math.round(r.theirs)} ${r.unit}`;
  console.log(`${isMet ? 'met  ' : 'SHORT'}  ${r.name}: ${what}`);
}
const report = { cpu: cpus()[0].model, cores: cpus().length, seconds, rounds, results };
writeFileSync(join(dir, 'last.json'), JSON.stringify(report, null, 2) + '\n');
console.log(`\nwritten to ${join(dir, 'last.json')}`);
process.exit(short ? 1 : 0);
