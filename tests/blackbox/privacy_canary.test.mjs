// SPDX-License-Identifier: Apache-2.0
// A canary: marked personal data goes through everything a buyer and an operator can do, right and wrong, with all logs at debug and all
// traces exported; then every place where data could be left is searched for the marks. That the search finds what is there is shown by
// planting another mark in each kind of place. Must never use words that anybody else uses.

import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { randomBytes, randomInt } from 'node:crypto';
import { appendFileSync, readFileSync, readdirSync, rmSync } from 'node:fs';
import { createServer } from 'node:http';
import { join } from 'node:path';
import { after, before, test } from 'node:test';

import amqp from 'amqplib';

import { rows } from '../lib/db.mjs';
import { cloudEvent, EXCHANGE, listen } from '../lib/events.mjs';
import { rpc } from '../lib/grpc.mjs';
import { call } from '../lib/http.mjs';
import { koreanWord, newKey } from '../lib/ids.mjs';
import { Buyer, orderBody, shop } from '../lib/shop.mjs';
import { SERVICES, binaryOf, environmentOf, service, stack } from '../lib/stack.mjs';
import { sse, take } from '../lib/sse.mjs';
import { operatorToken } from '../lib/tokens.mjs';
import { until } from '../lib/until.mjs';

const hex = () => randomBytes(8).toString('hex');
const digits = String(randomInt(10_000_000, 99_999_999));
const MARKS = {
  name: `${koreanWord(9)}`,
  phone: `010-${digits.slice(0, 4)}-${digits.slice(4)}`,
  phoneWithout: `010${digits}`,
  address1: `서울 ${koreanWord(9)}`,
  address2: `호${hex()}`,
  doorNote: `비번${hex()}`,
  giftMessage: `축하${hex()}`,
  note: `사연${hex()}`,
  paymentToken: `pay_${randomBytes(20).toString('hex')}`,
  email: `canary-${hex()}@example.com`,
};
const recipient = { name: MARKS.name, phone: MARKS.phone, postcode: '06236', address1: MARKS.address1, address2: MARKS.address2, doorNote: MARKS.doorNote };

// ---- a collector of traces, and an OrderManager that sends it all of its own

const spans = [];
const collector = createServer((request, response) => {
  const parts = [];
  request.on('data', (part) => parts.push(part));
  request.on('end', () => {
    spans.push(Buffer.concat(parts).toString('utf8'));
    response.end('{}');
  });
});
const freePort = () =>
  new Promise((resolve) => {
    const probe = createServer().listen(0, '127.0.0.1', () => {
      const { port } = probe.address();
      probe.close(() => resolve(port));
    });
  });
const helper = { log: '' };

async function startHelper() {
  const [HTTP_PORT, GRPC_PORT, ADMIN_PORT] = await Promise.all([freePort(), freePort(), freePort()]);
  const env = { ...environmentOf('order-manager'), PATH: process.env.PATH, HTTP_PORT, GRPC_PORT, ADMIN_PORT, LOG_LEVEL: 'debug', OTLP_ENDPOINT: `http://127.0.0.1:${collector.address().port}` };
  helper.child = spawn(binaryOf('order-manager'), [], { env, stdio: ['ignore', 'pipe', 'pipe'] });
  for (const stream of [helper.child.stdout, helper.child.stderr]) stream.on('data', (part) => (helper.log += part));
  Object.assign(helper, { base: `http://127.0.0.1:${HTTP_PORT}`, admin: `http://127.0.0.1:${ADMIN_PORT}`, grpc: `127.0.0.1:${GRPC_PORT}` });
  await until(async () => (await fetch(`${helper.admin}/readyz`)).status === 200, { within: 30_000, what: 'a second order-manager' });
}

const setLevel = (level) => Promise.all(SERVICES.map((name) => fetch(`${service(name).admin}/log-level`, { method: 'PUT', headers: { 'content-type': 'application/json' }, body: JSON.stringify({ level }) })));

const errors = []; // the bodies of all answers from 400 on
let world;
let events;

before(async () => {
  await new Promise((resolve) => collector.listen(0, '127.0.0.1', resolve));
  world = await shop({ stock: 1000 });
  events = await listen('#');
  await startHelper();
  await setLevel('debug');
});

after(async () => {
  await setLevel('info');
  await events.close();
  helper.child.kill('SIGTERM');
  await until(() => helper.child.exitCode !== null, { within: 20_000, what: 'the helper to end' });
  collector.close();
});

async function ask(line, options) {
  const answer = await call(line, options);
  if (answer.status >= 400) errors.push({ line, text: answer.text });
  return answer;
}

// ---- everything a buyer and an operator can do

const body = () => orderBody(world.sku, 1, { paymentToken: MARKS.paymentToken, recipient, giftMessage: MARKS.giftMessage });
const WRONG = [
  (one) => ({ ...one, recipient: { ...recipient, phone: MARKS.email } }),
  (one) => ({ ...one, recipient: { ...recipient, name: MARKS.name.repeat(9) } }),
  (one) => ({ ...one, recipient: { ...recipient, postcode: MARKS.phoneWithout } }),
  (one) => ({ ...one, recipient: { ...recipient, doorNote: [MARKS.doorNote] } }),
  (one) => ({ ...one, recipient: MARKS.name }),
  (one) => ({ ...one, paymentToken: `${MARKS.paymentToken}!` }),
  (one) => ({ ...one, giftMessage: MARKS.giftMessage.repeat(20) }),
  (one) => ({ ...one, lines: [{ ...one.lines[0], quantity: MARKS.phone }] }),
  (one) => ({ ...one, lines: [{ ...one.lines[0], unitPriceKrw: one.lines[0].unitPriceKrw + 100 }] }),
];

async function orderAndRepeat(base) {
  const { token } = world.buyer;
  const key = newKey();
  const headers = { 'idempotency-key': key };
  const placed = await ask('POST /api/v1/orders', { token, headers, json: body(), base });
  assert.equal(placed.status, 201, placed.text);
  assert.equal((await ask('POST /api/v1/orders', { token, headers, json: body(), base })).text, placed.text);
  assert.equal((await ask('POST /api/v1/orders', { token, headers, json: { ...body(), giftMessage: `${MARKS.giftMessage}!` }, base })).status, 422);
  for (const wrong of WRONG) {
    const refused = await ask('POST /api/v1/orders', { token, headers: { 'idempotency-key': newKey() }, json: wrong(body()), base });
    assert.ok([400, 409].includes(refused.status), `${WRONG.indexOf(wrong)}: ${refused.text}`);
  }
  assert.equal((await ask('POST /api/v1/orders', { token, headers: { 'idempotency-key': newKey(), 'content-type': 'application/json' }, body: `{"recipient": "${MARKS.name}`, base })).status, 400);
  assert.equal((await ask('POST /api/v1/orders', { token, headers: { 'idempotency-key': MARKS.email }, json: body(), base })).status, 400);
  return placed.json.orderId;
}

async function askByGrpc(at) {
  const request = { idempotencyKey: newKey(), paymentToken: MARKS.paymentToken, recipient, giftMessage: MARKS.giftMessage, lines: [{ skuId: world.sku.skuId, quantity: 1, unitPriceKrw: world.sku.priceKrw }] };
  assert.equal((await rpc('order-manager', 'PlaceOrder', request, world.buyer.token, { at })).code, 0);
  const refused = await rpc('order-manager', 'PlaceOrder', { ...request, recipient: { ...recipient, phone: MARKS.email } }, world.buyer.token, { at });
  errors.push({ line: 'PlaceOrder', text: `${refused.details} ${JSON.stringify(refused.metadata?.toJSON())}` });
}

async function readAndCancel(orderId, base) {
  const { token } = world.buyer;
  const operator = await operatorToken();
  for (const path of [`/api/v1/orders/${orderId}`, '/api/v1/orders', '/api/v1/me/data']) assert.equal((await ask(`GET ${path}`, { token, base })).status, 200);
  assert.equal((await ask(`GET /api/v1/orders/${orderId}`, { token: operator, base, query: { revealFor: '오배송 문의 응대' } })).json.recipient.name, MARKS.name);
  assert.equal((await ask(`GET /api/v1/farms/${world.farm.farmId}/orders`, { token: world.farm.token, base })).status, 200);
  assert.equal((await ask('GET /api/v1/orders', { token, base, query: { status: MARKS.email } })).status, 400);
  assert.equal((await ask('GET /api/v1/orders', { token, base, query: { cursor: MARKS.email } })).status, 400);
  assert.equal((await ask(`POST /api/v1/orders/${orderId}/cancel`, { token, base, json: { reason: MARKS.note } })).status, 400);
  assert.equal((await ask(`POST /api/v1/orders/${orderId}/cancel`, { token, base, json: { reason: 'OTHER', note: MARKS.note } })).status, 200);
}

async function deliver(orderId) {
  const { token } = world.buyer;
  const operator = await operatorToken();
  await until(async () => (await call(`GET /api/v1/deliveries/${orderId}`, { token })).status === 200, { what: 'the delivery' });
  const stream = await sse(`${stack.gateway}/api/v1/deliveries/${orderId}/events`, { token });
  for (const to of ['ON_ROUTE', 'DELIVERED']) await ask(`POST /api/v1/deliveries/${orderId}/advance`, { token: operator, json: { to } });
  for (const event of await take(stream, 2)) streamed.push(JSON.stringify(event));
  stream.close();
}
const streamed = [];

async function search() {
  for (const q of [MARKS.name, MARKS.email, MARKS.phone]) await ask('GET /api/v1/products', { query: { q } });
  await ask('GET /api/v1/products', { query: { limit: MARKS.phoneWithout } });
  await ask(`GET /api/v1/orders/${encodeURIComponent(MARKS.email)}`, { token: world.buyer.token });
  await ask(`POST /api/v1/skus/${world.sku.skuId}/stock-adjustments`, { token: world.farm.token, json: { delta: MARKS.phone, reason: '실사' } });
}

async function poison() {
  const connection = await amqp.connect(stack.rabbitmq.amqp);
  const channel = await connection.createConfirmChannel();
  channel.publish(EXCHANGE, 'order.placed.v1', Buffer.from(JSON.stringify(cloudEvent('order.placed.v1', '/gwasuwon/order-manager', 'x', { orderId: 'none' }))), { persistent: true, contentType: 'application/cloudevents+json' });
  await channel.waitForConfirms();
  await connection.close();
}

// ---- where data could be left: each gives [name of the place, text]

function* filesUnder(folder) {
  for (const entry of readdirSync(folder, { withFileTypes: true })) {
    const path = join(folder, entry.name);
    if (entry.isDirectory()) yield* filesUnder(path);
    else if (entry.isFile()) yield path;
  }
}

const PLACES = {
  'log files': () => [...filesUnder(join(stack.var, 'log'))].map((path) => [path, readFileSync(path, 'utf8')]),
  'the log of a service at debug': () => [['helper', helper.log]],
  'exported traces': () => spans.map((text, i) => [`export ${i}`, text]),
  'error bodies': () => errors.map(({ line, text }) => [line, text]),
  'events': () => [...events.all.map((event) => [event.type, JSON.stringify(event)]), ...streamed.map((text) => ['SSE', text])],
  'metrics and requests in flight': () =>
    Promise.all([...SERVICES.map((name) => service(name).admin), helper.admin].flatMap((admin) => ['metrics', 'requests', 'config'].map(async (page) => [`${admin}/${page}`, await (await fetch(`${admin}/${page}`)).text()]))),
  'queues and dead letters': async () => {
    const { origin, username, password } = new URL(stack.rabbitmq.management);
    const headers = { authorization: `Basic ${Buffer.from(`${username}:${password}`).toString('base64')}`, 'content-type': 'application/json' };
    const queues = await (await fetch(`${origin}/api/queues/%2F`, { headers })).json();
    return Promise.all(
      queues.filter(({ type }) => type === 'quorum').map(async ({ name }) => [
        name,
        await (await fetch(`${origin}/api/queues/%2F/${name}/get`, { method: 'POST', headers, body: JSON.stringify({ count: 1000, ackmode: 'ack_requeue_true', encoding: 'auto' }) })).text(),
      ]),
    );
  },
  'tables': async () => {
    const tables = await rows("SELECT format('%I.%I', schemaname, tablename) AS name FROM pg_tables WHERE schemaname IN ('orders', 'delivery', 'catalog', 'identity')");
    return Promise.all(tables.map(async ({ name }) => [name, (await rows(`SELECT coalesce(string_agg(t::text, E'\\n'), '') AS text FROM ${name} t`))[0].text]));
  },
};
// What PostgreSQL and RabbitMQ have written to disk, also what no statement shows any more: old rows, WAL, segments.
const DISKS = () => [realpath(join(stack.var, 'postgres')), join(stack.var, 'rabbitmq/data')];
const realpath = (path) => execFileSync('readlink', ['-f', path], { encoding: 'utf8' }).trim();

// The same text in the forms in which it could stand somewhere.
const formsOf = (mark) => [mark, Buffer.from(mark).toString('hex'), Buffer.from(mark).toString('base64').replace(/=+$/, ''), encodeURIComponent(mark), JSON.stringify(mark).slice(1, -1)];

async function leaksOf(marks) {
  const found = [];
  for (const [place, read] of Object.entries(PLACES))
    for (const [where, text] of await read())
      for (const [what, mark] of Object.entries(marks)) if (formsOf(mark).some((form) => text.includes(form))) found.push({ place, where, what });
  await rows('CHECKPOINT');
  for (const [what, mark] of Object.entries(marks))
    for (const disk of DISKS()) {
      const list = grep(mark, disk);
      found.push(...list.map((where) => ({ place: 'disks', where, what })));
    }
  return found;
}

// Exit code 1 is "nothing"; a file that went away meanwhile is no fault (code 2 with output nevertheless tells what was found).
function grep(mark, folder) {
  try {
    return execFileSync('grep', ['-rlaF', '--', mark, folder], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] }).split('\n').filter(Boolean);
  } catch ({ status, stdout }) {
    if (status !== 1 && status !== 2) throw new Error(`grep ended with ${status}`);
    return String(stdout).split('\n').filter(Boolean);
  }
}

test('marked personal data is left in no place', { timeout: 300_000 }, async () => {
  for (const base of [undefined, helper.base]) {
    await readAndCancel(await orderAndRepeat(base), base);
    await askByGrpc(base && helper.grpc);
  }
  await deliver(await orderAndRepeat(helper.base));
  await search();
  await poison();
  await until(() => spans.some((text) => text.includes('order_place') || text.includes('/api/v1/orders')), { within: 20_000, what: 'traces' });
  assert.ok(helper.log.includes('"level":"debug"') || helper.log.includes('http.request'), 'the helper logs nothing');
  assert.ok(errors.length > 20);
  assert.deepEqual(await leaksOf(MARKS), []);
  const gone = await Buyer.make();
  assert.deepEqual((await call('GET /api/v1/me/data', { token: gone.token })).json.orders, []);
});

test('the search finds what is there: a mark planted in each kind of place', { timeout: 120_000 }, async () => {
  const planted = { planted: `심은것${hex()}` };
  const file = join(stack.var, 'log/canary-planted.log');
  appendFileSync(file, `{"event":"x","recipient":"${planted.planted}"}\n`);
  helper.log += planted.planted;
  spans.push(JSON.stringify({ name: planted.planted }));
  errors.push({ line: 'planted', text: Buffer.from(planted.planted).toString('base64') });
  events.all.push({ type: 'planted', body: { data: planted.planted } });
  await rows("INSERT INTO delivery.inbox (consumer, event_id) VALUES ($1, gen_random_uuid())", planted.planted);
  const connection = await amqp.connect(stack.rabbitmq.amqp);
  const channel = await connection.createConfirmChannel();
  channel.sendToQueue('gwasuwon.dead', Buffer.from(planted.planted), { persistent: true });
  await channel.waitForConfirms();
  const places = new Set((await leaksOf(planted)).map(({ place }) => place));
  try {
    assert.deepEqual([...places].sort(), ['disks', 'error bodies', 'events', 'exported traces', 'log files', 'queues and dead letters', 'tables', 'the log of a service at debug'].sort());
  } finally {
    rmSync(file);
    await rows('DELETE FROM delivery.inbox WHERE consumer = $1', planted.planted);
    // Ours out of the dead letters, the others back.
    for (let message = await channel.get('gwasuwon.dead'); message; message = await channel.get('gwasuwon.dead')) {
      if (message.content.toString('utf8') === planted.planted) {
        channel.ack(message);
        break;
      }
    }
    await channel.close();
    await connection.close();
  }
});
