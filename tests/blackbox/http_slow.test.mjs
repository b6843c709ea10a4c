// SPDX-License-Identifier: Apache-2.0
// Clients that send slowly, or nothing: each is answered 408 and cut off, and none keeps others waiting. The waits are the services' own
// timeouts, so all of them run side by side.

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';

import { assertProblem } from '../lib/http.mjs';
import { RawConnection } from '../lib/raw.mjs';
import { SERVICES, service } from '../lib/stack.mjs';
import { headOf, targetOf } from '../lib/targets.mjs';
import { timed } from '../lib/until.mjs';

const LONGEST_MS = 45_000; // above the services' 10 s for a head and 30 s for a body
const DRIP_MS = 500;

// Sends one byte after the other until the server answers: a byte now and then must not buy more time.
async function drip(connection, bytes) {
  let at = 0;
  const timer = setInterval(() => connection.send(bytes.subarray(at, (at += 1))), DRIP_MS);
  try {
    return await connection.answer({ timeout: LONGEST_MS });
  } finally {
    clearInterval(timer);
  }
}

describe('slow clients', { concurrency: true }, () => {
  for (const name of SERVICES) {
    test(`${name} answers 408 to slow headers`, { timeout: 60_000 }, async () => {
      const target = await targetOf(name);
      const connection = await RawConnection.open(target.base);
      connection.send('POST /api/v1/x HTTP/1.1\r\nhost: a\r\n');
      const answer = await drip(connection, Buffer.from(`x-note: ${'a'.repeat(500)}`));
      assertProblem(answer, 408, 'request_timeout');
      assert.equal(answer.headers.get('connection'), 'close');
      await connection.closes();
      connection.destroy();
    });

    test(`${name} answers 408 to a slow body and stores nothing`, { timeout: 60_000 }, async () => {
      const target = await targetOf(name);
      const before = await target.stored();
      const connection = await RawConnection.open(target.base);
      connection.send(headOf(target, { 'content-length': 4000 }));
      const answer = await drip(connection, Buffer.alloc(4000, ' '));
      assertProblem(answer, 408, 'request_timeout');
      await connection.closes();
      connection.destroy();
      assert.equal(await target.stored(), before);
    });

    test(`${name} serves others while 200 clients stall`, { timeout: 60_000 }, async () => {
      const stalled = await Promise.all(Array.from({ length: 200 }, () => RawConnection.open(service(name).http)));
      for (const connection of stalled) connection.send('GET /api/v1/x HTTP/1.1\r\nhost: a\r\nx-');
      const { value, ms } = await timed(() => fetch(`${service(name).http}/api/v1/nothing`));
      assert.equal(value.status, 404);
      assert.ok(ms < 1000, `${ms} ms`);
      for (const connection of stalled) connection.destroy();
    });
  }
});
