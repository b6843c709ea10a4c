// SPDX-License-Identifier: Apache-2.0
// Bodies that a service must not take: too large, of another type, not UTF-8, not JSON, ambiguous JSON, wrong values. Each is answered by
// the right problem with the pointer of the field where there is one, and nothing is stored.

import assert from 'node:assert/strict';
import test from 'node:test';

import { assertProblem } from '../lib/http.mjs';
import { RawConnection, exchange } from '../lib/raw.mjs';
import { SERVICES, headOf, pointerOf, targetOf, withValue } from '../lib/targets.mjs';

const OVER_LIMIT = 6 * 1024 * 1024;

const text = (target) => JSON.stringify(target.body);
// The body with the raw text of one value replaced: for values that JSON.stringify can't write.
const rawValue = (target, path, raw) => JSON.stringify(withValue(target.body, path, '@@')).replace('"@@"', raw);

// want: [status, code, pointer, code of the fault]; bytes of the body, and other headers.
const CASES = [
  { name: 'a wrong content type', want: [415, 'unsupported_media_type', 'Content-Type'], body: text, headers: { 'content-type': 'text/plain' } },
  { name: 'no content type', want: [415, 'unsupported_media_type', 'Content-Type'], body: text, headers: { 'content-type': null } },
  { name: 'JSON in another charset', want: [415, 'unsupported_media_type', 'Content-Type'], body: text, headers: { 'content-type': 'application/json; charset=euc-kr' } },
  { name: 'no body', want: [400, 'malformed_request', '', 'syntax'], body: () => '' },
  { name: 'half a body', want: [400, 'malformed_request', '', 'syntax'], body: (t) => text(t).slice(0, -1) },
  { name: 'invalid UTF-8', want: [400, 'malformed_request', '', 'encoding'], body: (t) => Buffer.from(text(t).replace(/^\{/, '{"x\xc3\x28":1,'), 'latin1') },
  { name: 'UTF-16 surrogates in UTF-8', want: [400, 'malformed_request', '', 'encoding'], body: () => Buffer.from('{"a":"\xed\xa0\x80"}', 'latin1') },
  { name: 'a byte order mark', want: [400, 'malformed_request', ''], body: (t) => `\ufeff${text(t)}` },
  { name: 'a NUL in a string', want: [400, 'malformed_request', '', 'encoding'], body: () => '{"a":"\\u0000"}' },
  { name: 'duplicate keys', want: [400, 'malformed_request', '', 'duplicate'], body: (t) => text(t).replace(/^\{("[^"]+":)/, '{$1null,$1') },
  { name: 'duplicate keys deeper down', want: [400, 'malformed_request', '', 'duplicate'], body: () => '{"a":{"b":1,"b":2}}' },
  { name: 'a depth bomb of arrays', want: [400, 'malformed_request', '', 'depth'], body: () => '['.repeat(100_000) },
  { name: 'a depth bomb of objects', want: [400, 'malformed_request', '', 'depth'], body: () => '{"a":'.repeat(30_000) },
  { name: 'a number over int64', want: [400, 'malformed_request', '', 'range'], body: (t) => rawValue(t, t.number, '9223372036854775808') },
  { name: 'a number below int64', want: [400, 'malformed_request', '', 'range'], body: (t) => rawValue(t, t.number, '-9223372036854775809') },
  { name: 'a number over double', want: [400, 'malformed_request', '', 'range'], body: (t) => rawValue(t, t.number, '1e400') },
  { name: 'NaN', want: [400, 'malformed_request', '', 'syntax'], body: (t) => rawValue(t, t.number, 'NaN') },
  { name: 'a leading zero', want: [400, 'malformed_request', '', 'syntax'], body: (t) => rawValue(t, t.number, '01') },
  { name: 'trailing garbage', want: [400, 'malformed_request', '', 'syntax'], body: (t) => `${text(t)} x` },
  { name: 'two documents', want: [400, 'malformed_request', '', 'syntax'], body: (t) => `${text(t)}${text(t)}` },
  { name: 'an array instead of an object', want: [400, 'invalid_request', '', 'type'], body: (t) => `[${text(t)}]` },
  { name: 'null', want: [400, 'invalid_request', '', 'type'], body: () => 'null' },
  { name: 'an unknown field', want: [400, 'invalid_request', '/hidden~1admin~0', 'unknown'], body: (t) => JSON.stringify({ ...t.body, 'hidden/admin~': 1 }) },
  { name: 'a missing field', want: [400, 'invalid_request', (t) => `/${Object.keys(t.body)[0]}`, 'required'], body: (t) => JSON.stringify({ ...t.body, [Object.keys(t.body)[0]]: undefined }) },
  { name: 'a value of another type', want: [400, 'invalid_request', (t) => pointerOf(t.number), 'type'], body: (t) => rawValue(t, t.number, 'true') },
  { name: 'a fraction or number of another kind', want: [400, 'invalid_request', (t) => pointerOf(t.number), 'type'], body: (t) => rawValue(t, t.number, '1.5') },
  { name: 'a null that is not allowed', want: [400, 'invalid_request', (t) => pointerOf(t.number), 'type'], body: (t) => rawValue(t, t.number, 'null') },
  { name: 'a control character in a text', skip: (t) => !t.text, want: [400, 'invalid_request', (t) => pointerOf(t.text), 'format'], body: (t) => rawValue(t, t.text, '"a\\u0007b"') },
  { name: 'an empty text', skip: (t) => !t.text, want: [400, 'invalid_request', (t) => pointerOf(t.text), 'length'], body: (t) => rawValue(t, t.text, '""') },
  { name: 'a text over its length', skip: (t) => !t.text, want: [400, 'invalid_request', (t) => pointerOf(t.text), 'length'], body: (t) => rawValue(t, t.text, `"${'사'.repeat(500)}"`) },
];
const WITHOUT_TEXT = 'delivery-mock';

for (const name of SERVICES) {
  for (const { name: what, want, body, headers, skip } of CASES) {
    if (skip && name === WITHOUT_TEXT) continue;
    test(`${name} refuses ${what}`, async () => {
      const target = await targetOf(name);
      const before = await target.stored();
      const bytes = Buffer.from(body(target));
      const head = headOf(target, { 'content-length': bytes.length, ...headers });
      const { connection, ...answer } = await exchange(target.base, Buffer.concat([Buffer.from(head), bytes]), { line: target.line });
      connection.destroy();
      const [status, code, pointer, faultCode] = want;
      const where = typeof pointer === 'function' ? pointer(target) : pointer;
      assertProblem(answer, status, code, where);
      if (faultCode) assert.equal(answer.json.errors.find((fault) => fault.pointer === where).code, faultCode, answer.text);
      assert.equal(await target.stored(), before, 'something was stored');
    });
  }

  test(`${name} refuses a body over the limit before it is sent`, async () => {
    const target = await targetOf(name);
    const { connection, ...answer } = await exchange(target.base, headOf(target, { 'content-length': OVER_LIMIT, expect: '100-continue' }));
    assertProblem(answer, 413, 'payload_too_large');
    assert.ok(await connection.closes());
    connection.destroy();
  });

  test(`${name} refuses a chunked body when it grows over the limit`, async () => {
    const target = await targetOf(name);
    const connection = await RawConnection.open(target.base);
    connection.send(headOf(target, { 'transfer-encoding': 'chunked' }));
    const piece = `10000\r\n${' '.repeat(0x10000)}\r\n`;
    for (let sent = 0; sent < OVER_LIMIT; sent += 0x10000) connection.send(piece);
    assertProblem(await connection.answer(), 413, 'payload_too_large');
    connection.destroy();
  });

  test(`${name} refuses JSON over its own limit`, async () => {
    const target = await targetOf(name);
    const bytes = Buffer.from(`${' '.repeat(300 * 1024)}${text(target)}`);
    const { connection, ...answer } = await exchange(target.base, Buffer.concat([Buffer.from(headOf(target, { 'content-length': bytes.length })), bytes]), { line: target.line });
    connection.destroy();
    assertProblem(answer, 413, 'payload_too_large');
  });

  test(`${name} names every fault of a body at once`, async () => {
    const target = await targetOf(name);
    const bytes = Buffer.from('{"one":1,"two":2}');
    const { connection, ...answer } = await exchange(target.base, Buffer.concat([Buffer.from(headOf(target, { 'content-length': bytes.length })), bytes]), { line: target.line });
    connection.destroy();
    const pointers = answer.json.errors.map((fault) => fault.pointer);
    for (const wanted of ['/one', '/two', `/${Object.keys(target.body)[0]}`]) assert.ok(pointers.includes(wanted), `${wanted} is not in ${pointers}`);
    assert.ok(answer.json.errors.length <= 20);
  });

  test(`${name} never repeats a value of a refused body`, async () => {
    const target = await targetOf(name);
    const secret = 'zz-9f8e7d6c-zz';
    const bytes = Buffer.from(JSON.stringify(withValue(target.body, target.number, secret)));
    const { connection, ...answer } = await exchange(target.base, Buffer.concat([Buffer.from(headOf(target, { 'content-length': bytes.length })), bytes]), { line: target.line });
    connection.destroy();
    assert.equal(answer.status, 400);
    assert.ok(!answer.text.includes(secret), answer.text);
  });
}
