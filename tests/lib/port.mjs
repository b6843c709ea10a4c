// SPDX-License-Identifier: Apache-2.0
// A port of this machine that nobody listens on, for a process that a test or a benchmark starts. Must never be asked for long before it is used:
// it is free now, and kept by nobody.

import { createServer } from 'node:net';

export function freePort() {
  return new Promise((resolve, reject) => {
    const server = createServer().once('error', reject);
    server.listen(0, '127.0.0.1', () => {
      const { port } = server.address();
      server.close(() => resolve(port));
    });
  });
}
