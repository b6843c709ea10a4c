// SPDX-License-Identifier: Apache-2.0
// Thousands of connections that do nothing, HTTP and gRPC: others are served as fast as before, memory stays bounded, and all go away
// without a trace.

import assert from 'node:assert/strict';
import { connect } from 'node:net';
import test from 'node:test';

import { closeClients, grpc, rpc } from '../lib/grpc.mjs';
import { SERVICES, hostPort, pidOf, rssMiB, service } from '../lib/stack.mjs';
import { timed } from '../lib/until.mjs';

const IDLE = 3000;
const LATE_MS = 1000;
const KIB_EACH = 64;

const PREFACE = Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0', 'latin1');

function open({ host, port }, hello) {
  return new Promise((resolve, reject) => {
    const socket = connect({ host, port }, () => {
      if (hello) socket.write(hello);
      resolve(socket);
    });
    socket.once('error', reject);
    socket.on('data', () => {}); // a server's SETTINGS
  });
}

async function openMany(address, hello) {
  const sockets = [];
  while (sockets.length < IDLE) sockets.push(...(await Promise.all(Array.from({ length: 200 }, () => open(address, hello)))));
  return sockets;
}

const KINDS = [
  { kind: 'HTTP', address: (name) => hostPort(service(name).http), hello: null },
  { kind: 'gRPC', address: (name) => hostPort(service(name).grpc), hello: PREFACE },
];

for (const name of SERVICES) {
  for (const { kind, address, hello } of KINDS) {
    test(`${name} serves others beside ${IDLE} idle ${kind} connections`, async () => {
      const before = rssMiB(pidOf(name));
      const sockets = await openMany(address(name), hello);
      try {
        for (let i = 0; i < 20; i += 1) {
          const http = await timed(() => fetch(`${service(name).http}/api/v1/nothing`));
          assert.equal(http.value.status, 404);
          assert.ok(http.ms < LATE_MS, `HTTP took ${http.ms} ms`);
          const health = await timed(() => rpc(name, 'Check', {}, null, { full: 'grpc.health.v1.Health' }));
          assert.equal(health.value.code, grpc.status.OK, health.value.details);
          assert.ok(health.ms < LATE_MS, `gRPC took ${health.ms} ms`);
        }
        const grown = rssMiB(pidOf(name)) - before;
        assert.ok(grown < (IDLE * KIB_EACH) / 1024, `grew by ${grown} MiB`);
      } finally {
        for (const socket of sockets) socket.destroy();
        closeClients();
      }
    });
  }
}
