// SPDX-License-Identifier: Apache-2.0
// The links of a run against an echo server: every mode does what it says, and never changes a byte. Needs no stack.

import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { connect, createServer } from 'node:net';
import { after, before, test } from 'node:test';

import { timed, within } from '../lib/until.mjs';
import { Link } from './proxy.mjs';
import { Random } from './random.mjs';

let echo;
const open = new Set(); // of the server: a failed test must not keep it
before(async () => {
  echo = createServer((socket) => {
    open.add(socket);
    socket.on('error', () => {}).pipe(socket);
  });
  await new Promise((resolve) => echo.listen(0, '127.0.0.1', resolve));
});
after(() => {
  echo.close();
  for (const socket of open) socket.destroy();
});

const openLink = () => new Link('test>echo', '127.0.0.1', echo.address().port, new Random(1, 'link')).open();

function through(link) {
  const [host, port] = link.address.split(':');
  const socket = connect({ host, port: Number(port) });
  const got = [];
  socket.on('data', (chunk) => got.push(chunk));
  socket.on('error', () => {});
  const ended = new Promise((resolve) => socket.on('close', resolve));
  return {
    ended,
    close: () => socket.destroy(),
    // What was sent has come back, byte for byte.
    echo: async (bytes) => {
      got.length = 0;
      socket.write(bytes);
      await new Promise((resolve) => {
        const look = () => {
          if (Buffer.concat(got).length < bytes.length) return;
          socket.off('data', look);
          resolve();
        };
        socket.on('data', look);
      });
      assert.ok(Buffer.concat(got).equals(bytes));
    },
  };
}

const BYTES = randomBytes(200_000);

test('a link lets bytes through unchanged', async () => {
  const link = await openLink();
  const client = through(link);
  await within(5000, client.echo(BYTES));
  client.close();
  link.close();
});

test('a held link keeps bytes until it lets them go', async () => {
  const link = await openLink();
  const client = through(link);
  await within(5000, client.echo(Buffer.from('known')));
  link.set('hold');
  let isBack = false;
  const back = client.echo(BYTES).then(() => (isBack = true));
  await within(5000, new Promise((resolve) => setTimeout(resolve, 150)));
  assert.equal(isBack, false);
  link.set('pass');
  await within(5000, back);
  client.close();
  link.close();
});

test('a delayed link is late and keeps the order', async () => {
  const link = await openLink();
  const client = through(link);
  await within(5000, client.echo(Buffer.from('known')));
  link.set('delay', { delayMax: 60 });
  const { ms } = await timed(() => within(20_000, client.echo(BYTES)));
  assert.ok(ms >= 40, `${ms} ms`); // 20 ms at least each way
  client.close();
  link.close();
});

test('a throttled link is slow', async () => {
  const link = await openLink();
  const client = through(link);
  await within(5000, client.echo(Buffer.from('known')));
  link.set('throttle', { rate: 64_000 });
  const { ms } = await timed(() => within(20_000, client.echo(BYTES.subarray(0, 20_000))));
  assert.ok(ms > 200, `${ms} ms`);
  client.close();
  link.close();
});

test('a cut link breaks what is open and refuses what comes, until it passes again', async () => {
  const link = await openLink();
  const client = through(link);
  await within(5000, client.echo(Buffer.from('known')));
  link.set('cut');
  await within(5000, client.ended);
  await within(5000, through(link).ended);
  assert.equal(link.connections, 0);
  link.set('pass');
  const again = through(link);
  await within(5000, again.echo(BYTES));
  again.close();
  link.close();
});

test('a snapped link breaks some and lets others in', async () => {
  const link = await openLink();
  const clients = Array.from({ length: 20 }, () => through(link));
  for (const client of clients) await within(5000, client.echo(Buffer.from('known')));
  link.snap(0.5);
  assert.ok(link.connections < 20 && link.connections > 0, `${link.connections} of 20`);
  const again = through(link);
  await within(5000, again.echo(BYTES));
  for (const client of [...clients, again]) client.close();
  link.close();
});
