// SPDX-License-Identifier: Apache-2.0
// Who may call what: every cell of tests/access.txt is asked of the running services, REST and gRPC, with the ownership that belongs to it.
// The table, the contracts and the services must name the same operations and let the same people in.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';

import { accessTable, grpcAccess, letIn, restAccess } from '../lib/access.mjs';
import { client, closeClients, definitions, grpc, metadata, rpc, SERVICE_OF } from '../lib/grpc.mjs';
import { call } from '../lib/http.mjs';
import { newKey, uuid7 } from '../lib/ids.mjs';
import { operations } from '../lib/openapi.mjs';
import { png } from '../lib/pictures.mjs';
import { Buyer, farmBody, makeFarm, orderBody, productBody, shop, skuBody } from '../lib/shop.mjs';
import { SERVICES, service } from '../lib/stack.mjs';
import { operatorToken, serviceToken } from '../lib/tokens.mjs';
import { until, within } from '../lib/until.mjs';

after(closeClients);
const table = accessTable();

// ---- table and contracts ---------------------------------------------------------------------------------------------------

const isInREST = (cell) => !['401', '403', '404'].includes(cell);
const isInGrpc = (cell) => cell.startsWith('OK') && cell !== 'OK/0';

test('each operation of the contracts has one row, and each row an operation', () => {
  assert.deepEqual(table.REST.map(({ name }) => name).sort(), operations.map(({ operationId }) => operationId).sort());
  const methods = SERVICES.flatMap((name) => Object.values(definitions[SERVICE_OF[name]]).map(({ path }) => path.split('/')[2]));
  assert.deepEqual(table.gRPC.map(({ name }) => name).sort(), [...methods, 'Check', 'ServerReflection'].sort());
});

for (const { name, cells } of table.REST) {
  test(`the contract lets in to ${name} whom the table lets in`, () => {
    const inside = Object.keys(cells).filter((who) => isInREST(cells[who]));
    assert.deepEqual(inside.sort(), [...new Set(letIn(restAccess[name]))].sort());
  });
}
for (const { name, cells } of table.gRPC.filter((row) => grpcAccess[row.name])) {
  test(`the contract lets in to ${name} whom the table lets in`, () => {
    // Who may ask about any delivery and is shown one's own: the contract names the kind, the table shows whose.
    const inside = Object.keys(cells).filter((who) => (cells[who].includes('/') ? cells[who].startsWith('OK') : isInGrpc(cells[who])));
    assert.deepEqual(inside.sort(), [...new Set(letIn(grpcAccess[name]))].sort());
  });
}

// ---- the world that they are asked in ----------------------------------------------------------------------------------------

let world;
const tokens = {};

async function orderWithDelivery(goods) {
  const { orderId } = await goods.buyer.buys(goods.sku);
  await until(async () => (await call(`GET /api/v1/deliveries/${orderId}`, { token: goods.buyer.token })).status === 200, { within: 30_000, what: 'the delivery' });
  return orderId;
}

before(async () => {
  const goods = await shop({ stock: 10_000 });
  const stranger = await Buyer.make();
  const otherFarm = await makeFarm();
  world = { ...goods, orderId: await orderWithDelivery(goods) };
  Object.assign(tokens, {
    nobody: null,
    buyer: goods.buyer.token,
    buyer2: stranger.token,
    farmer: goods.farm.token,
    farmer2: otherFarm.token,
    operator: await operatorToken(),
    catalog: serviceToken('fruit-catalog'),
    orders: serviceToken('order-manager'),
    delivery: serviceToken('delivery-mock'),
  });
  const image = await call(`POST /api/v1/products/${world.product.productId}/images?alt=사과`, { token: tokens.farmer, body: png(), headers: { 'content-type': 'image/png' } });
  world.imageUrl = image.json.url;
});

// ---- REST ------------------------------------------------------------------------------------------------------------------

// What must be fresh for a row: boxes leave by the clock.
const fresh = async () => (world.fresh = await orderWithDelivery(world));
// Each has a box on its way, so that nobody is erased for the tests that follow.
const onTheirWay = async () => {
  for (const token of [tokens.buyer, tokens.buyer2, tokens.operator]) await call('POST /api/v1/orders', { token, json: orderBody(world.sku), headers: { 'idempotency-key': newKey() } });
};
const PREPARE = { me_erase: onTheirWay, order_cancel: fresh, delivery_advance: fresh, CancelOrder: fresh, CancelDelivery: fresh, AdvanceDelivery: fresh };

const anyVersion = { 'if-match': '*' };
// What each operation is asked: something that succeeds for whoever may.
const REST = {
  product_search: () => ['GET /api/v1/products'],
  product_detail: () => [`GET /api/v1/products/${world.product.productId}`],
  product_patch: () => [`PATCH /api/v1/products/${world.product.productId}`, { headers: anyVersion, json: { description: `누가 고쳤나 ${newKey()}` } }],
  product_create: () => [`POST /api/v1/farms/${world.farm.farmId}/products`, { json: productBody() }],
  sku_create: () => [`POST /api/v1/products/${world.product.productId}/skus`, { json: skuBody({ weightG: 1000 + Math.floor(Math.random() * 19_000) }) }],
  sku_patch: () => [`PATCH /api/v1/skus/${world.sku.skuId}`, { headers: anyVersion, json: { perOrderLimit: 99 } }],
  stock_adjust: () => [`POST /api/v1/skus/${world.sku.skuId}/stock-adjustments`, { json: { delta: 1, reason: '한 상자 더' } }],
  stock_ledger: () => [`GET /api/v1/skus/${world.sku.skuId}/stock-ledger`],
  image_upload: () => [`POST /api/v1/products/${world.product.productId}/images?alt=%EC%82%AC%EA%B3%BC`, { body: png(), headers: { 'content-type': 'image/png' } }],
  image_get: () => [`GET ${world.imageUrl}`],
  farm_list: () => ['GET /api/v1/farms'],
  farm_detail: () => [`GET /api/v1/farms/${world.farm.farmId}`],
  farm_put: () => [`PUT /api/v1/farms/${world.farm.farmId}`, { headers: anyVersion, json: farmBody() }],
  order_place: () => ['POST /api/v1/orders', { json: orderBody(world.sku), headers: { 'idempotency-key': newKey() } }],
  order_list: () => ['GET /api/v1/orders'],
  order_detail: () => [`GET /api/v1/orders/${world.orderId}`],
  order_cancel: () => [`POST /api/v1/orders/${world.fresh}/cancel`, { json: { reason: 'OTHER', note: '시험' } }],
  me_data: () => ['GET /api/v1/me/data'],
  me_erasure_get: () => ['GET /api/v1/me/erasure'],
  me_erase: () => ['POST /api/v1/me/erasure'],
  farm_orders: () => [`GET /api/v1/farms/${world.farm.farmId}/orders`],
  delivery_detail: () => [`GET /api/v1/deliveries/${world.orderId}`],
  delivery_advance: () => [`POST /api/v1/deliveries/${world.fresh}/advance`, { json: { to: 'ON_ROUTE' } }],
  simulation_get: () => ['GET /api/v1/simulation'],
  simulation_put: () => ['PUT /api/v1/simulation', { json: { paused: 'no' } }],
};

// A stream has no end to wait for: its head is the answer.
async function statusOfStream(token) {
  const abort = new AbortController();
  const answer = await fetch(`${service('delivery-mock').http}/api/v1/deliveries/${world.orderId}/events`, {
    signal: AbortSignal.any([abort.signal, AbortSignal.timeout(15_000)]),
    headers: token ? { authorization: `Bearer ${token}` } : {},
  });
  abort.abort();
  return answer.status;
}

async function statusOf(operationId, token) {
  if (operationId === 'delivery_events') return statusOfStream(token);
  const [line, options] = REST[operationId]();
  return (await call(line, { base: service(operations.find((row) => row.operationId === operationId).service).http, token, ...options })).status;
}

for (const { name, cells } of table.REST) {
  test(`REST ${name} answers everybody as the table says`, async () => {
    await PREPARE[name]?.();
    const got = {};
    for (const who of Object.keys(cells)) got[who] = String(await statusOf(name, tokens[who]));
    assert.deepEqual(got, cells);
  });
}

// ---- gRPC ------------------------------------------------------------------------------------------------------------------

const GRPC = {
  GetSkus: () => ({ skuIds: [world.sku.skuId] }),
  Reserve: () => ({ orders: [{ orderId: uuid7(), buyerId: uuid7(), lines: [{ skuId: world.sku.skuId, quantity: 1, unitPriceKrw: world.sku.priceKrw }] }] }),
  Release: () => ({ orderIds: [uuid7()], reason: 'order_cancelled' }),
  PlaceOrder: () => ({ idempotencyKey: newKey(), ...orderBody(world.sku) }),
  GetOrder: () => ({ orderId: world.orderId }),
  CancelOrder: () => ({ orderId: world.fresh, reason: 'CANCEL_REASON_OTHER', note: '시험' }),
  ResolveOrders: () => ({ orderIds: [uuid7()] }),
  GetDeliveries: () => ({ orderIds: [world.orderId] }),
  CancelDelivery: () => ({ orderId: world.fresh, reason: 'order_cancelled' }),
  AdvanceDelivery: () => ({ orderId: world.fresh, to: 'DELIVERY_STATUS_ON_ROUTE' }),
};

const serviceOf = (method) => SERVICES.find((name) => Object.values(definitions[SERVICE_OF[name]]).some(({ path }) => path.endsWith(`/${method}`)));
const word = (code) => (code === grpc.status.OK ? 'OK' : String(code));

// The first message means that one was let in.
function watch(token) {
  const stream = client('delivery-mock').watchDelivery({ orderId: world.orderId }, metadata(token), { deadline: Date.now() + 15_000 });
  return within(15_000, new Promise((resolve) => {
    stream.on('data', () => (resolve('OK'), stream.cancel())).on('error', ({ code }) => resolve(String(code)));
  }));
}

// Reflection is one stream of questions: lists the services.
function reflect(token) {
  const address = service('order-manager').grpc;
  const stream = new grpc.Client(address, grpc.credentials.createInsecure()).makeBidiStreamRequest(
    '/grpc.reflection.v1.ServerReflection/ServerReflectionInfo', (bytes) => bytes, (bytes) => bytes, metadata(token), { deadline: Date.now() + 15_000 });
  stream.write(Buffer.from([0x3a, 0x00])); // list_services = ""
  return within(15_000, new Promise((resolve) => {
    stream.on('data', () => (resolve('OK'), stream.cancel())).on('error', ({ code }) => resolve(String(code)));
  }));
}

async function grpcCell(method, token) {
  if (method === 'WatchDelivery') return watch(token);
  if (method === 'ServerReflection') return reflect(token);
  if (method === 'Check') return word((await rpc('order-manager', 'Check', {}, token, { full: 'grpc.health.v1.Health' })).code);
  const { code, value, details } = await rpc(serviceOf(method), method, GRPC[method](), token, { deadline: 15_000 });
  assert.ok(![grpc.status.INVALID_ARGUMENT, grpc.status.UNKNOWN, grpc.status.INTERNAL].includes(code), `${method}: ${details}`);
  return method === 'GetDeliveries' && code === grpc.status.OK ? `OK/${value.deliveries.length}` : word(code);
}

for (const { name, cells } of table.gRPC) {
  test(`gRPC ${name} answers everybody as the table says`, async () => {
    await PREPARE[name]?.();
    const got = {};
    for (const who of Object.keys(cells)) got[who] = await grpcCell(name, tokens[who]);
    assert.deepEqual(got, cells);
  });
}
