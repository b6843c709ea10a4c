#!/usr/bin/env node
// SPDX-License-Identifier: Apache-2.0
// Writes the first inputs of the fuzzers: tests/fuzz/corpus/<target>/<name>. They are committed; this is how they were made, and how they are
// made again when a contract changes. Must never touch what a fuzzer found (found-*): those are regression tests.
//
//   node tests/fuzz/seeds.mjs

import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

import protobuf from 'protobufjs';
import { ROOT } from '../lib/stack-root.mjs';

const ID = '018f0000-0000-7000-8000-00000000000';
const TRACE = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01';
const CRLF = '\r\n';

function put(target, seeds) {
  const folder = join(ROOT, 'tests/fuzz/corpus', target);
  mkdirSync(folder, { recursive: true });
  for (const [name, bytes] of Object.entries(seeds)) writeFileSync(join(folder, name), bytes);
}

// ---- HTTP ----

const lines = (...parts) => parts.join(CRLF);
const http = {
  get: lines('GET /api/v1/products?q=%EC%82%AC%EA%B3%BC HTTP/1.1', 'Host: localhost:8080', 'Accept: */*', '', ''),
  absolute: lines('GET http://shop.example/a?b HTTP/1.1', 'Host: shop.example', 'Connection: close', '', ''),
  options: lines('OPTIONS * HTTP/1.1', 'Host: a', '', ''),
  old: lines('GET /a HTTP/1.0', 'Connection: keep-alive', '', ''),
  length: lines('POST /e HTTP/1.1', 'Host: a', 'Content-Type: application/json', 'Content-Length: 5', '', 'hello'),
  chunked: lines('POST /e HTTP/1.1', 'Host: a', 'Transfer-Encoding: chunked', '', '5;a="b"', 'hello', '00006', ' world', '0', 'X-Sum: 1', '', ''),
  expect: lines('POST /e HTTP/1.1', 'Host: a', 'Expect: 100-continue', 'Content-Length: 3', '', 'abc'),
  both_lengths: lines('POST /e HTTP/1.1', 'Host: a', 'Content-Length: 5', 'Transfer-Encoding: chunked', '', '0', '', ''),
  two_lengths: lines('POST /e HTTP/1.1', 'Host: a', 'Content-Length: 5', 'Content-Length: 6', '', 'hello!'),
  fold: lines('GET /a HTTP/1.1', 'Host: a', 'X: a', ' b', '', ''),
  no_host: lines('GET /a HTTP/1.1', '', ''),
  bare_lf: 'GET /a HTTP/1.1\nHost: a\n\n',
  upgrade: lines('GET /a HTTP/1.1', 'Host: a', 'Connection: Upgrade', 'Upgrade: h2c', '', ''),
  fields: lines('GET /a HTTP/1.1', 'Host: [::1]:80', 'Authorization: Bearer a.b.c', 'Idempotency-Key: k', 'If-Match: "1"', `traceparent: ${TRACE}`, '', ''),
};
const pipelined = {
  two: http.length + http.get,
  three: http.get + http.chunked + http.absolute,
  head_get: lines('HEAD /a HTTP/1.1', 'Host: a', '', '') + http.get,
  refused_after: http.get + http.bare_lf,
  empty_line_before: CRLF + http.get,
  unfinished: http.length.slice(0, -2),
  large: lines('POST /e HTTP/1.1', 'Host: a', 'Content-Length: 9000', '', ''),
};
const after = (byte, table) => Object.fromEntries(Object.entries(table).map(([name, text]) => [name, byte + text]));
put('http_head', after('\x02', http));
put('http_server', after('\x06', { ...http, ...pipelined }));

// ---- JSON, query, cursor, settings ----

put('json', {
  all: JSON.stringify({ text: ' 사과 ', lines: 'a\nb', code: 'AB-12', n: 7, ratio: 0.25, on: true, id: `${ID}1`, colour: 'green', at: '2026-11-23T09:30:00+09:00', day: '2026-02-28', inner: { n: -5 }, inners: [{ n: 1 }, { n: 5 }], ids: [`${ID}2`, `${ID}3`] }),
  faults: '{"text":"x","n":0,"on":1,"id":"1","colour":"blue","at":"now","day":"2026-02-30","inner":{"n":9},"inners":[],"ids":["A"],"other":null}',
  numbers: '[0,-0,1.5,1e308,-9223372036854775808,9223372036854775807,9223372036854775808,1E-400,0.1]',
  escapes: '"\\u0041\\ud83c\\udf4e\\n\\"\\\\\\/\\u0000"',
  deep: '['.repeat(33) + ']'.repeat(33),
  twice: '{"a":1,"a":2}',
  nulls: '{"lines":null,"inner":null,"text":null}',
  tail: '{} x',
});
put('query', {
  search: `q=%EC%82%AC%EA%B3%BC&limit=20&inSeason=true&sort=priceAsc&farmId=${ID}1\n/api/v1/orders/${ID}1\n"7"\napplication/json`,
  faults: 'limit=0&sort=x&limit=1&%zz=1&y\n/api/v1/a/%2F/%EC%82%AC\n"7-1c9f", W/"8"\napplication/json; charset=utf-8',
  plus: 'q=a+b%20c&&=&inSeason=\n/api/v1/orders/search\n*\ntext/plain',
});
put('cursor', { none: '', empty: 'AQA', values: '2026-11-23|!|사과|', noise: 'AAAAAAAAAAAAAAAAAAAAAAAA', made: 'AQIABDIwMjYAAWFc1jyZ-s4' });
put('config', {
  good: 'text\n7\n0.25\nfalse\nsecret\npostgresql://user:pw@host:5432/db?password=x\namqp://user:pw@host:5672/vhost',
  bad: 'x\n11\nnan\nyes\nabc\npostgres\namqps://h',
  addresses: '\n\n\n\n\n\n127.0.0.1:80,[::1]:443,host.example:9090',
});
put('formats', {
  traceparent: `t${TRACE}`, later_version: `tcc${TRACE.slice(2)}-what`, timeout_m: 'g100m', timeout_h: 'g99999999H', message: 'm재고가 100% 부족', escaped: 'm%EC%9E%AC%zz',
  base64: 'b-_8', time: 'T2026-11-23T09:30:00.123456+09:00', leap: 'T2016-12-31T23:59:60Z', date: 'd2024-02-29', uuid: `u${ID}1`, integer: 'i-9223372036854775808',
  prefix: 'p\0\0\0\0\x05hello', content_type: 'papplication/grpc+proto', utf8: '8사과\u{1f34e}', bad_utf8: Buffer.from([0x38, 0xed, 0xa0, 0x80, 0xff, 0x00]),
});

// ---- tokens ----

const b64 = (value) => Buffer.from(typeof value === 'string' ? value : JSON.stringify(value)).toString('base64url');
const header = { alg: 'ES256', kid: 'e1', typ: 'at+jwt' };
const claims = { iss: 'https://issuer', aud: ['gwasuwon'], sub: `${ID}1`, exp: 2000, nbf: 900, scope: 'orders:read orders:write admin', roles: ['farmer', 'operator'], farmId: `${ID}2`, service: 'x' };
const token = (h, c) => `${b64(h)}.${b64(c)}.${Buffer.alloc(64, 7).toString('base64url')}`;
put('token', {
  signed: `S${JSON.stringify(header)}\n${JSON.stringify(claims)}`,
  signed_crit: `S${JSON.stringify({ ...header, crit: ['exp'] })}\n${JSON.stringify(claims)}`,
  signed_twice: `S${JSON.stringify(header)}\n${JSON.stringify(claims).replace('}', ',"sub":"y"}')}`,
  signed_expired: `S${JSON.stringify(header)}\n${JSON.stringify({ ...claims, exp: 1 })}`,
  stranger: token(header, claims),
  none: `${b64({ ...header, alg: 'none' })}.${b64(claims)}.`,
  hs256: token({ ...header, alg: 'HS256', kid: 'r1' }, claims),
  rs256: `${b64({ ...header, alg: 'RS256', kid: 'r1' })}.${b64(claims)}.${Buffer.alloc(256, 7).toString('base64url')}`,
  unknown_kid: token({ ...header, kid: 'zz' }, claims),
  jwe: 'a.b.c.d.e',
  keys: `K${JSON.stringify({ keys: [{ kty: 'EC', crv: 'P-256', kid: 'e', x: b64('x'.repeat(32)), y: b64('y'.repeat(32)) }, { kty: 'RSA', kid: 'r', n: Buffer.alloc(256, 0xa1).toString('base64url'), e: 'AQAB' }, { kty: 'oct', kid: 'o', k: 'AAAA' }] })}`,
});

// ---- gRPC frames ----

const record = (kind, stream, flags, bytes) => {
  const body = Buffer.from(bytes);
  return Buffer.concat([Buffer.from([typeof kind === 'string' ? kind.charCodeAt(0) : kind, stream, flags, body.length >> 8, body.length & 255]), body]);
};
const request = (path, ...more) => [':method:POST', ':scheme:http', `:path:${path}`, ':authority:a', 'content-type:application/grpc', 'te:trailers', ...more].join('\n');
const message = (bytes) => Buffer.concat([Buffer.from([0, 0, 0, bytes.length >> 8, bytes.length & 255]), bytes]);
const DATA = 0, RST = 3, SETTINGS = 4, PING = 6, GOAWAY = 7, WINDOW = 8, END_STREAM = 1;
const proto = await protobuf.load(['catalog', 'orders', 'delivery'].map((name) => join(ROOT, `contracts/proto/${name}/v1/${name}.proto`)));
const encode = (type, value) => {
  const Type = proto.lookupType(type);
  return Buffer.from(Type.encode(Type.fromObject(value)).finish());
};
const skus = (...skuIds) => message(encode('catalog.v1.GetSkusRequest', { skuIds }));
const GET_SKUS = '/catalog.v1.CatalogService/GetSkus';
const WATCH = '/delivery.v1.DeliveryService/WatchDelivery';
const REFLECTION = '/grpc.reflection.v1.ServerReflection/ServerReflectionInfo';
put('grpc_server', {
  unary: Buffer.concat([record('H', 1, 0, request(GET_SKUS, 'grpc-timeout:100m', `traceparent:${TRACE}`, 'authorization:Bearer good')), record(DATA, 1, END_STREAM, skus('a', 'b'))]),
  refused: Buffer.concat([record('H', 1, 0, request(GET_SKUS, 'authorization:Bearer bad')), record(DATA, 1, END_STREAM, skus())]),
  invalid: Buffer.concat([record('H', 1, 0, request(GET_SKUS)), record(DATA, 1, END_STREAM, skus('a', 'b', 'c'))]),
  bad_timeout: Buffer.concat([record('H', 1, 0, request(GET_SKUS, 'grpc-timeout:1x')), record(DATA, 1, END_STREAM, skus('a'))]),
  split: Buffer.concat([record('H', 3, 0, request(GET_SKUS)), record(DATA, 3, 0, skus('a').subarray(0, 4)), record(DATA, 3, 0, skus('a').subarray(4)), record(DATA, 3, END_STREAM, '')]),
  compressed: Buffer.concat([record('H', 1, 0, request(GET_SKUS)), record(DATA, 1, END_STREAM, Buffer.from([1, 0, 0, 0, 1, 0]))]),
  stream: Buffer.concat([record('H', 1, 0, request(WATCH)), record(DATA, 1, END_STREAM, message(encode('delivery.v1.WatchDeliveryRequest', { orderId: ID, afterSequence: 9 }))), record(RST, 1, 0, '\0\0\0\x08')]),
  reflection: Buffer.concat([record('H', 1, 0, request(REFLECTION)), record(DATA, 1, 0, message(Buffer.from('3a00', 'hex'))), record(DATA, 1, END_STREAM, message(Buffer.from('2205782e792e7a', 'hex')))]),
  health: Buffer.concat([record('H', 1, 0, request('/grpc.health.v1.Health/Check')), record(DATA, 1, END_STREAM, message(Buffer.alloc(0)))]),
  unknown: record('H', 1, END_STREAM, request('/no.Such/Method')),
  get: record('H', 1, END_STREAM, ':method:GET\n:scheme:http\n:path:/\n:authority:a'),
  control: Buffer.concat([record(SETTINGS, 0, 0, '\0\x04\0\0\0\x05'), record(PING, 0, 0, '12345678'), record(WINDOW, 0, 0, '\0\0\x10\0'), record(GOAWAY, 0, 0, '\0\0\0\0\0\0\0\0')]),
  raw: record('R', 0, 0, Buffer.from('000000040100000000', 'hex')),
});

// ---- services ----

const recipient = { name: '홍길동', phone: '010-1234-5678', postcode: '06236', address1: '서울 강남구 테헤란로 152', address2: '10층', doorNote: '문 앞' };
const order = { paymentToken: 'pay_Ab12Cd34Ef56Gh78Ij90KlYz90', recipient, giftMessage: '맛있게\n드세요', lines: [{ skuId: `${ID}1`, quantity: 2, unitPriceKrw: 32000 }] };
const rest = (line, body, fields = '') => `${line}\n${body === undefined ? '' : 'Content-Type:application/json\n'}${fields}\n${body === undefined ? '' : JSON.stringify(body)}`;
const rpc = (number, type, value) => Buffer.concat([Buffer.from(`G${number}`), encode(type, value)]);
const event = (data) => `E${JSON.stringify(data)}`;

put('orders', {
  place: rest('POST /api/v1/orders', order),
  place_bad: rest('POST /api/v1/orders', { ...order, lines: [...order.lines, ...order.lines], extra: 1 }),
  list: rest('GET /api/v1/orders?limit=5&cursor=AQA'),
  detail: rest(`GET /api/v1/orders/${ID}1`),
  cancel: rest(`POST /api/v1/orders/${ID}1/cancel`, { reason: 'CHANGED_MIND', note: '마음이 바뀜' }),
  farm: rest(`GET /api/v1/farms/${ID}1/orders?status=PLACED`),
  rpc_place: rpc(0, 'orders.v1.PlaceOrderRequest', { idempotencyKey: 'key-0001', ...order }),
  rpc_get: rpc(1, 'orders.v1.GetOrderRequest', { orderId: `${ID}1` }),
  rpc_cancel: rpc(2, 'orders.v1.CancelOrderRequest', { orderId: `${ID}1`, reason: 'CHANGED_MIND' }),
  rpc_resolve: rpc(3, 'orders.v1.ResolveOrdersRequest', { orderIds: [`${ID}1`, `${ID}2`] }),
  event: event({ orderId: `${ID}1`, deliveryId: `${ID}2`, status: 'READY', sequence: 1, carrier: '과수원택배', invoiceNo: '123456789012', message: '접수', location: '서울', changedAt: '2026-11-23T00:00:00.000Z' }),
});
const product = { fruit: '사과', variety: '부사', title: '꿀사과', description: '달아요', origin: '경북 청송', storage: '냉장', seasonFrom: '09-01', seasonTo: '12-31', status: 'DRAFT', disclosure: { producer: '과수원' } };
const sku = { grade: '특', weightG: 5000, countMin: 10, countMax: 14, sizeCode: '5kg', brixX10Min: 130, priceKrw: 32000, perOrderLimit: 5 };
put('catalog', {
  search: rest('GET /api/v1/products?q=%E3%85%85%E3%84%B1&fruit=%EC%82%AC%EA%B3%BC&inSeason=true&sort=priceAsc&limit=5'),
  detail: rest(`GET /api/v1/products/${ID}1`),
  create: rest(`POST /api/v1/farms/${ID}1/products`, product),
  patch: rest(`PATCH /api/v1/products/${ID}1`, { status: 'ON_SALE', title: '새 이름' }, 'If-Match:"3"\n'),
  sku: rest(`POST /api/v1/products/${ID}1/skus`, sku),
  sku_patch: rest(`PATCH /api/v1/skus/${ID}1`, { priceKrw: 30000 }, 'If-Match:"1"\n'),
  adjust: rest(`POST /api/v1/skus/${ID}1/stock-adjustments`, { delta: -3, reason: '재고 조사' }, 'If-Match:"1"\n'),
  ledger: rest(`GET /api/v1/skus/${ID}1/stock-ledger?limit=10`),
  farm: rest(`PUT /api/v1/farms/${ID}1`, { name: '하늘농원', region: { sido: '경북', sigungu: '청송군' }, introduction: '안녕', phone: '054-123-4567', businessNumber: '123-45-67890', certificates: [{ kind: 'GAP', number: '1', agency: 'x', validTo: '2027-01-01' }] }),
  farms: rest('GET /api/v1/farms?limit=5'),
  picture: Buffer.concat([Buffer.from(`POST /api/v1/products/${ID}1/images?alt=a\nContent-Type:image/png\n\n`), Buffer.from('89504e470d0a1a0a0000000d49484452', 'hex')]),
  webp: `POST /api/v1/products/${ID}1/images\nContent-Type:image/webp\n\nRIFF\x10\0\0\0WEBPVP8 `,
  image: rest(`GET /api/v1/images/${'0a'.repeat(32)}`),
  rpc_skus: rpc(0, 'catalog.v1.GetSkusRequest', { skuIds: [`${ID}1`, `${ID}1`] }),
  rpc_reserve: rpc(1, 'catalog.v1.ReserveRequest', { clusterRun: '1', orders: [{ orderId: `${ID}1`, buyerId: `${ID}2`, lines: [{ skuId: `${ID}3`, quantity: 2, unitPriceKrw: 32000 }] }] }),
  rpc_release: rpc(2, 'catalog.v1.ReleaseRequest', { orderIds: [`${ID}1`], reason: '결제 실패' }),
  event: event({ orderId: `${ID}1`, orderNo: '20261123-ABCDEF', buyerId: `${ID}2`, actor: 'buyer', reason: 'CHANGED_MIND', refundKrw: 64000, cancelledAt: '2026-11-23T00:00:00.000Z' }),
});
put('deliveries', {
  detail: rest(`GET /api/v1/deliveries/${ID}1`),
  stream: rest(`GET /api/v1/deliveries/${ID}1/events`, undefined, 'Last-Event-ID:3\n'),
  advance: rest(`POST /api/v1/deliveries/${ID}1/advance`, { to: 'ON_ROUTE' }),
  simulation: rest('PUT /api/v1/simulation', { paused: false, speed: 10, readyMeanS: 15, routeMeanS: 20 }),
  rpc_get: rpc(0, 'delivery.v1.GetDeliveriesRequest', { orderIds: [`${ID}1`] }),
  rpc_cancel: rpc(1, 'delivery.v1.CancelDeliveryRequest', { orderId: `${ID}1`, reason: '취소 요청' }),
  rpc_advance: rpc(2, 'delivery.v1.AdvanceDeliveryRequest', { orderId: `${ID}1`, to: 2 }),
  rpc_watch: rpc(3, 'delivery.v1.WatchDeliveryRequest', { orderId: `${ID}1`, afterSequence: 1 }),
  event: event({ orderId: `${ID}1`, orderNo: '20261123-ABCDEF', buyerId: `${ID}2`, totalKrw: 64000, recipientRegion: '06', placedAt: '2026-11-23T00:00:00.000Z', lines: [{ skuId: `${ID}3`, productId: `${ID}4`, farmId: `${ID}5`, quantity: 2, unitPriceKrw: 32000, lotId: null }] }),
});

// ---- events ----

const envelope = { specversion: '1.0', id: `${ID}1`, source: '/gwasuwon/order-manager', type: 'order.placed.v1', subject: `${ID}2`, time: '2026-11-23T00:00:00.123Z', datacontenttype: 'application/json', traceparent: TRACE, data: { orderId: `${ID}2` } };
const text = (value) => Buffer.concat([Buffer.from([0, 0, 0, value.length]), Buffer.from(value)]);
const entries = Buffer.concat([Buffer.from('\x0btraceparentS'), text(TRACE), Buffer.from('\x10x-delivery-countl'), Buffer.from('0000000000000003', 'hex')]);
put('event', {
  good: JSON.stringify(envelope),
  other_type: JSON.stringify({ ...envelope, type: 'x' }),
  no_data: JSON.stringify({ ...envelope, data: 1, time: 'x', more: [] }),
  no_object: '[]',
  headers: Buffer.concat([Buffer.from('H'), Buffer.from([0, 0, entries.length >> 8, entries.length & 255]), entries]),
});
