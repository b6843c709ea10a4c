// SPDX-License-Identifier: Apache-2.0
// Requests that HTTP/1.1 forbids or leaves ambiguous (RFC 9110, 9112), sent byte by byte to each service's own port. Each must be
// answered by the right problem, close the connection where the framing can't be trusted, and store nothing.

import assert from 'node:assert/strict';
import test from 'node:test';

import { assertProblem, call } from '../lib/http.mjs';
import { checkProblem } from '../lib/openapi.mjs';
import { RawConnection, exchange } from '../lib/raw.mjs';
import { SERVICES, stack } from '../lib/stack.mjs';
import { headOf, targetOf } from '../lib/targets.mjs';

const good = (target) => Buffer.from(JSON.stringify(target.body));
const withBody = (target, headers, body = good(target)) => Buffer.concat([Buffer.from(headOf(target, headers), 'latin1'), body]);
const chunked = (text) => Buffer.from(`${Buffer.byteLength(text).toString(16)}\r\n${text}\r\n0\r\n\r\n`);
const replaceHead = (target, from, to) => Buffer.concat([Buffer.from(headOf(target, { 'content-length': good(target).length }).replace(from, to), 'latin1'), good(target)]);

const CLOSED = true;
const CASES = [
  { name: 'two different Content-Length', want: [400, 'malformed_request', CLOSED], bytes: (t) => withBody(t, { 'content-length': [good(t).length, 3] }) },
  { name: 'two equal Content-Length', want: [400, 'malformed_request', CLOSED], bytes: (t) => withBody(t, { 'content-length': [good(t).length, good(t).length] }) },
  { name: 'a list in Content-Length', want: [400, 'malformed_request', CLOSED], bytes: (t) => withBody(t, { 'content-length': `${good(t).length}, ${good(t).length}` }) },
  { name: 'a negative Content-Length', want: [400, 'malformed_request', CLOSED], bytes: (t) => withBody(t, { 'content-length': -1 }) },
  { name: 'a signed Content-Length', want: [400, 'malformed_request', CLOSED], bytes: (t) => withBody(t, { 'content-length': `+${good(t).length}` }) },
  { name: 'a Content-Length over 64 bits', want: [[400, 413], null, CLOSED], bytes: (t) => withBody(t, { 'content-length': '99999999999999999999999' }) },
  {
    name: 'Content-Length with Transfer-Encoding',
    want: [400, 'malformed_request', CLOSED],
    bytes: (t) => withBody(t, { 'content-length': 4, 'transfer-encoding': 'chunked' }, chunked(JSON.stringify(t.body))),
  },
  { name: 'an unknown transfer coding', want: [[400, 501], null, CLOSED], bytes: (t) => withBody(t, { 'transfer-encoding': 'gzip' }) },
  { name: 'chunked that is not the last coding', want: [[400, 501], null, CLOSED], bytes: (t) => withBody(t, { 'transfer-encoding': 'chunked, gzip' }) },
  { name: 'two Transfer-Encoding', want: [400, 'malformed_request', CLOSED], bytes: (t) => withBody(t, { 'transfer-encoding': ['chunked', 'chunked'] }, chunked('{}')) },
  { name: 'a chunk size that is no number', want: [400, 'malformed_request', CLOSED], bytes: (t) => withBody(t, { 'transfer-encoding': 'chunked' }, Buffer.from('xyz\r\n{}\r\n0\r\n\r\n')) },
  { name: 'a chunk size over 64 bits', want: [[400, 413], null, CLOSED], bytes: (t) => withBody(t, { 'transfer-encoding': 'chunked' }, Buffer.from('fffffffffffffffff\r\n{}\r\n0\r\n\r\n')) },
  { name: 'a chunk longer than its size', want: [400, 'malformed_request', CLOSED], bytes: (t) => withBody(t, { 'transfer-encoding': 'chunked' }, Buffer.from('2\r\n{}{}\r\n0\r\n\r\n')) },
  { name: 'a NUL in a header', want: [400, 'malformed_request', CLOSED], bytes: (t) => replaceHead(t, '\r\n\r\n', '\r\nx-note: a\0b\r\n\r\n') },
  { name: 'a bare CR in a header', want: [400, 'malformed_request', CLOSED], bytes: (t) => replaceHead(t, '\r\n\r\n', '\r\nx-note: a\rb\r\n\r\n') },
  { name: 'a bare LF between headers', want: [400, 'malformed_request', CLOSED], bytes: (t) => replaceHead(t, '\r\n\r\n', '\nx-note: b\r\n\r\n') },
  { name: 'a folded header', want: [400, 'malformed_request', CLOSED], bytes: (t) => replaceHead(t, '\r\n\r\n', '\r\nx-note: a\r\n b\r\n\r\n') },
  { name: 'a space before the colon', want: [400, 'malformed_request', CLOSED], bytes: (t) => replaceHead(t, 'content-length:', 'content-length :') },
  { name: 'a header without a name', want: [400, 'malformed_request', CLOSED], bytes: (t) => replaceHead(t, '\r\n\r\n', '\r\n: b\r\n\r\n') },
  { name: 'no Host', want: [400, 'malformed_request'], bytes: (t) => withBody(t, { host: null, 'content-length': good(t).length }) },
  { name: 'two Host', want: [400, 'malformed_request'], bytes: (t) => withBody(t, { host: ['a', 'b'], 'content-length': good(t).length }) },
  { name: 'a Host with a path', want: [400, 'malformed_request'], bytes: (t) => withBody(t, { host: 'a/b', 'content-length': good(t).length }) },
  { name: 'two Authorization', want: [400, 'malformed_request'], bytes: (t) => withBody(t, { authorization: [`Bearer ${t.token}`, 'Bearer x'], 'content-length': good(t).length }) },
  { name: 'a header of 64 kB', want: [431, 'headers_too_large', CLOSED], bytes: (t) => withBody(t, { 'x-note': 'a'.repeat(65536), 'content-length': good(t).length }) },
  { name: 'a hundred headers', want: [431, 'headers_too_large', CLOSED], bytes: (t) => withBody(t, { 'x-note': Array(100).fill('a'), 'content-length': good(t).length }) },
  { name: 'a target of 16 kB', want: [414, 'uri_too_long', CLOSED], bytes: () => `GET /${'a'.repeat(16384)} HTTP/1.1\r\nhost: a\r\n\r\n` },
  { name: 'a space in the target', want: [400, 'malformed_request', CLOSED], bytes: () => 'GET /api/v1/a b HTTP/1.1\r\nhost: a\r\n\r\n' },
  { name: 'raw bytes that are not UTF-8 in the target', want: [400, 'malformed_request'], bytes: () => Buffer.from('GET /api/v1/\xff\xfe HTTP/1.1\r\nhost: a\r\n\r\n', 'latin1') },
  { name: 'HTTP/3.0', want: [505, 'http_version_not_supported'], bytes: (t) => headOf(t, {}, { version: 'HTTP/3.0' }) },
  { name: 'no version', want: [[400, 505], null, CLOSED], bytes: () => 'GET /\r\n\r\n' },
  { name: 'TLS on a plain port', want: [400, 'malformed_request', CLOSED], bytes: () => Buffer.from('16030100f8010000f40303', 'hex') },
  { name: 'an unknown method', want: [501, 'not_implemented'], bytes: (t) => headOf(t, {}, { line: 'BREW /api/v1/products' }) },
  { name: 'an Expect that nobody knows', want: [417, 'expectation_failed'], bytes: (t) => withBody(t, { expect: 'tea', 'content-length': good(t).length }) },
];

for (const name of SERVICES) {
  for (const { name: what, want, bytes } of CASES) {
    test(`${name} refuses ${what}`, async () => {
      const target = await targetOf(name);
      const before = await target.stored();
      const [status, code, isClosed] = want;
      const { connection, ...answer } = await exchange(target.base, bytes(target));
      try {
        assert.ok([status].flat().includes(answer.status), `${answer.status} ${answer.text}`);
        assertProblem(answer, answer.status, code ?? answer.json.code);
        checkProblem(name, answer.json);
        if (isClosed) {
          assert.equal(answer.headers.get('connection'), 'close');
          assert.ok(await connection.closes(), 'there was more than one answer');
        }
      } finally {
        connection.destroy();
      }
      assert.equal(await target.stored(), before, 'something was stored');
    });
  }

  test(`${name} answers nothing that follows an ambiguous length`, async () => {
    const target = await targetOf(name);
    const smuggled = headOf(target, { 'content-length': 0 }, { line: 'GET /api/v1/nothing' });
    const connection = await RawConnection.open(target.base);
    connection.send(withBody(target, { 'content-length': 4, 'transfer-encoding': 'chunked' }, Buffer.from(`0\r\n\r\n${smuggled}`)));
    assert.equal((await connection.answer()).status, 400);
    assert.ok(await connection.closes(), `a second answer: ${connection.unread}`);
    connection.destroy();
  });

  test(`${name} keeps the connection after an answer, errors of the application too`, async () => {
    const target = await targetOf(name);
    const connection = await RawConnection.open(target.base);
    for (let i = 0; i < 3; i += 1) {
      connection.send('GET /api/v1/nothing HTTP/1.1\r\nhost: a\r\n\r\n');
      assert.equal((await connection.answer()).status, 404);
    }
    connection.send('GET /api/v1/nothing HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n');
    const last = await connection.answer();
    assert.equal(last.headers.get('connection'), 'close');
    assert.ok(await connection.closes());
    connection.destroy();
  });

  test(`${name} answers pipelined requests in their order`, async () => {
    const target = await targetOf(name);
    const connection = await RawConnection.open(target.base);
    connection.send(`GET /api/v1/nothing HTTP/1.1\r\nhost: a\r\n\r\n${headOf(target, { authorization: null, 'content-length': 0 })}GET /api/v1/nothing HTTP/1.1\r\nhost: a\r\n\r\n`);
    const statuses = [];
    for (let i = 0; i < 3; i += 1) statuses.push((await connection.answer()).status);
    assert.deepEqual(statuses, [404, 401, 404]);
    connection.destroy();
  });

  test(`${name} closes after an HTTP/1.0 request`, async () => {
    const target = await targetOf(name);
    const { connection, ...answer } = await exchange(target.base, 'GET /api/v1/nothing HTTP/1.0\r\n\r\n');
    assert.equal(answer.status, 404);
    assert.ok(await connection.closes());
    connection.destroy();
  });

  test(`${name} asks for the body when told to expect 100-continue`, async () => {
    const target = await targetOf(name);
    const connection = await RawConnection.open(target.base);
    connection.send(headOf(target, { 'content-length': 2, expect: '100-continue' }));
    assert.equal((await connection.answer()).status, 100);
    connection.send('{}');
    assert.equal((await connection.answer()).status, 400);
    connection.destroy();
  });

  test(`${name} leaves the body out of an answer to HEAD`, async () => {
    const target = await targetOf(name);
    const connection = await RawConnection.open(target.base);
    connection.send('HEAD /api/v1/nothing HTTP/1.1\r\nhost: a\r\n\r\nGET /api/v1/nothing HTTP/1.1\r\nhost: a\r\n\r\n');
    const head = await connection.answer({ isHead: true });
    assert.equal(head.status, 404);
    const full = await connection.answer();
    assert.equal(head.headers.get('content-type'), full.headers.get('content-type'));
    assert.ok(Number(full.headers.get('content-length')) > 0);
    connection.destroy();
  });

  test(`${name} names the methods of a path when another is used`, async () => {
    const target = await targetOf(name);
    const [method, path] = target.line.split(' ');
    const answer = await call(`DELETE ${path}`, { base: target.base, token: target.token });
    assertProblem(answer, 405, 'method_not_allowed');
    assert.ok(answer.headers.get('allow').split(', ').includes(method));
  });
}

test('the gateway answers what it can not read itself as a problem', async () => {
  const cases = [
    ['GET / HTTP/1.1\r\n\r\n', 400],
    ['POST /api/v1/orders HTTP/1.1\r\nhost: a\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nxx', 400],
    ['POST /api/v1/orders HTTP/1.1\r\nhost: a\r\ncontent-length: 99999999\r\n\r\n', 413],
    ['GET /api/v1/unheard HTTP/1.1\r\nhost: a\r\n\r\n', 404],
  ];
  for (const [bytes, status] of cases) {
    const { connection, ...answer } = await exchange(stack.gateway, bytes);
    assertProblem(answer, status, answer.json.code);
    for (const name of SERVICES) checkProblem(name, answer.json);
    connection.destroy();
  }
});
