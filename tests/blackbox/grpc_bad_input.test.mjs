// SPDX-License-Identifier: Apache-2.0
// Calls that gRPC forbids, or that a service must not take: malformed and oversized messages, unknown compressions and methods, bad UTF-8,
// deadlines that have passed. Official clients where they can, bare HTTP/2 streams where only those can.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { gzipSync } from 'node:zlib';

import { value } from '../lib/db.mjs';
import { SERVICE_OF, bareCall, closeClients, frame, grpc, openSession, rpc } from '../lib/grpc.mjs';
import { uuid7 } from '../lib/ids.mjs';
import { Buyer } from '../lib/shop.mjs';
import { SERVICES, serviceTokenOwner } from '../lib/stack.mjs';
import { serviceToken } from '../lib/tokens.mjs';

// One unary method of each service that an internal caller may call, with a small good request: field 1 is a repeated string.
const UNARY = { 'fruit-catalog': 'GetSkus', 'order-manager': 'ResolveOrders', 'delivery-mock': 'GetDeliveries' };
const pathOf = (name) => `/${SERVICE_OF[name]}/${UNARY[name]}`;
const field1 = (bytes) => Buffer.concat([Buffer.from([0x0a, bytes.length]), bytes]);
const goodRequest = () => field1(Buffer.from(uuid7()));
const S = grpc.status;

let sessions;
before(async () => {
  sessions = Object.fromEntries(await Promise.all(SERVICES.map(async (name) => [name, await openSession(name)])));
});
after(() => {
  for (const session of Object.values(sessions)) session.destroy();
  closeClients();
});

const CASES = [
  { name: 'a good message', body: () => frame(goodRequest()), want: S.OK },
  { name: 'bytes that are no protobuf', body: () => frame(Buffer.from('ffffffffff', 'hex')), want: [S.INVALID_ARGUMENT, S.INTERNAL] },
  { name: 'a field of another wire type', body: () => frame(Buffer.from('0d01020304', 'hex')), want: [S.INVALID_ARGUMENT, S.INTERNAL, S.OK] },
  { name: 'a field cut off', body: () => frame(Buffer.from('0a24303139', 'hex')), want: [S.INVALID_ARGUMENT, S.INTERNAL] },
  { name: 'a length over 64 bits', body: () => frame(Buffer.from('0affffffffffffffffffff01', 'hex')), want: [S.INVALID_ARGUMENT, S.INTERNAL] },
  { name: 'bad UTF-8 in a string', body: () => frame(field1(Buffer.from([0xff, 0xfe, 0x41]))), want: [S.INVALID_ARGUMENT, S.INTERNAL] },
  { name: 'an id that is none', body: () => frame(field1(Buffer.from('not-a-uuid'))), want: S.INVALID_ARGUMENT },
  { name: 'no ids at all', body: () => frame(Buffer.alloc(0)), want: S.INVALID_ARGUMENT },
  { name: 'too many ids', body: () => frame(Buffer.concat(Array.from({ length: 501 }, goodRequest))), want: S.INVALID_ARGUMENT },
  { name: 'no message', body: () => Buffer.alloc(0), want: [S.INVALID_ARGUMENT, S.INTERNAL, S.UNIMPLEMENTED] },
  { name: 'two messages', body: () => Buffer.concat([frame(goodRequest()), frame(goodRequest())]), want: [S.INVALID_ARGUMENT, S.INTERNAL, S.UNIMPLEMENTED] },
  { name: 'a message cut off', body: () => frame(goodRequest()).subarray(0, 12), want: [S.INVALID_ARGUMENT, S.INTERNAL] },
  { name: 'a message over 4 MiB', body: () => frame(Buffer.alloc(5 * 1024 * 1024)), want: S.RESOURCE_EXHAUSTED },
  { name: 'a message that only says it is over 4 MiB', body: () => Buffer.from('007fffffff00', 'hex'), want: S.RESOURCE_EXHAUSTED, isEnding: false },
  { name: 'a compressed flag without an encoding', body: () => frame(goodRequest(), 1), want: [S.INTERNAL, S.UNIMPLEMENTED] },
  { name: 'a compression that it has not', body: () => frame(gzipSync(goodRequest()), 1), headers: { 'grpc-encoding': 'snappy' }, want: S.UNIMPLEMENTED },
  { name: 'a compressed message that is not', body: () => frame(goodRequest(), 1), headers: { 'grpc-encoding': 'gzip' }, want: [S.INTERNAL, S.UNIMPLEMENTED] },
  { name: 'a flag that means nothing', body: () => frame(goodRequest(), 7), want: [S.INTERNAL, S.UNIMPLEMENTED, S.INVALID_ARGUMENT] },
  { name: 'a timeout that is no number', body: () => frame(goodRequest()), headers: { 'grpc-timeout': 'soon' }, want: [S.INVALID_ARGUMENT, S.INTERNAL] },
  { name: 'a deadline that has passed', body: () => frame(goodRequest()), headers: { 'grpc-timeout': '0n' }, want: S.DEADLINE_EXCEEDED },
  { name: 'a token that is none', body: () => frame(goodRequest()), headers: { authorization: 'Bearer x.y.z' }, want: S.UNAUTHENTICATED },
];

for (const name of SERVICES) {
  for (const { name: what, body, headers, want, isEnding } of CASES) {
    test(`${name} over gRPC: ${what} is answered ${[want].flat().map((code) => S[code]).join(' or ')}`, async () => {
      const all = { authorization: `Bearer ${serviceToken(serviceTokenOwner(name))}`, ...headers };
      const answer = await bareCall(sessions[name], pathOf(name), body(), all, { isEnding });
      assert.equal(answer.http, 200, JSON.stringify(answer));
      assert.ok([want].flat().includes(answer.status), `${S[answer.status]}: ${answer.message}`);
    });
  }

  const UNKNOWN = [
    ['an unknown method', `/${SERVICE_OF[name]}/Nothing`],
    ['an unknown service', '/nothing.v1.Nothing/Nothing'],
    ['a path of one part', '/nothing'],
  ];
  for (const [what, path] of UNKNOWN) {
    test(`${name} over gRPC: ${what} is UNIMPLEMENTED`, async () => {
      const answer = await bareCall(sessions[name], path, frame(goodRequest()), { authorization: `Bearer ${serviceToken('order-manager')}` });
      assert.equal(answer.status, S.UNIMPLEMENTED);
    });
  }

  test(`${name} over gRPC: another content type is 415`, async () => {
    const answer = await bareCall(sessions[name], pathOf(name), frame(goodRequest()), { 'content-type': 'application/json' });
    assert.equal(answer.http, 415);
  });

  test(`${name} over gRPC: GET is no call`, async () => {
    const answer = await bareCall(sessions[name], pathOf(name), undefined, { ':method': 'GET' });
    assert.ok(answer.http === 405 || answer.status === S.UNIMPLEMENTED || answer.reset, JSON.stringify(answer));
  });

  test(`${name} over gRPC: a deadline in the past is told without work`, async () => {
    const field = { 'fruit-catalog': 'skuIds', 'order-manager': 'orderIds', 'delivery-mock': 'orderIds' }[name];
    const answer = await rpc(name, UNARY[name], { [field]: [uuid7()] }, serviceToken('order-manager'), { deadline: -1 });
    assert.equal(answer.code, S.DEADLINE_EXCEEDED);
  });

  test(`${name} over gRPC: a broken stream does not hurt the others of its connection`, async () => {
    const session = sessions[name];
    const authorization = `Bearer ${serviceToken(serviceTokenOwner(name))}`;
    const answers = await Promise.all([
      bareCall(session, pathOf(name), frame(Buffer.from('ffffffffff', 'hex')), { authorization }),
      bareCall(session, pathOf(name), frame(goodRequest()), { authorization }),
      bareCall(session, '/nothing', frame(goodRequest()), { authorization }),
      bareCall(session, pathOf(name), frame(goodRequest()), { authorization }),
    ]);
    assert.deepEqual([answers[1].status, answers[3].status], [S.OK, S.OK]);
  });
}

test('PlaceOrder names the field that is wrong, and stores nothing', async () => {
  const buyer = await Buyer.make();
  const answer = await rpc('order-manager', 'PlaceOrder', { idempotencyKey: 'key-12345678', paymentToken: 'money', lines: [] }, buyer.token);
  assert.equal(answer.code, S.INVALID_ARGUMENT);
  assert.equal(await value('SELECT count(*) FROM orders.orders WHERE buyer_id = $1', buyer.sub), 0);
});
