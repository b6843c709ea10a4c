// SPDX-License-Identifier: Apache-2.0
// Requests that start by the clock, whatever became of those before them, on kept connections; each attempt is counted. Exists to see
// every request that a restart loses. Must never repeat a request that RFC 9112 (9.3.1) does not let a client repeat by itself: sent
// again is only what nobody listened to, and what met a kept connection that was closed before the first byte of an answer.

import http from 'node:http';

const TICK_MS = 5;

// A new connection on which nothing is asked for a second may be closed by a service that drains: so much patience it promises. Only a
// client that stood still itself, on a machine that is too busy, can meet that.
const PATIENCE_MS = 900;

// One attempt: { status, text } or { fault, isReused, isUntouched, ms }. Untouched: not a byte of an answer came.
function attempt(agent, base, { method = 'GET', path, headers = {}, body }, timeoutMs) {
  return new Promise((resolve) => {
    let isUntouched = true;
    const began = performance.now();
    const failed = (error) => resolve({ fault: error.code ?? error.message, isReused: request.reusedSocket, isUntouched, ms: performance.now() - began });
    const request = http.request(new URL(path, base), { agent, method, headers: { ...headers, ...(body ? { 'content-length': Buffer.byteLength(body) } : {}) }, timeout: timeoutMs });
    request.on('timeout', () => request.destroy(Object.assign(new Error('no answer in time'), { code: 'TIMEOUT' })));
    request.on('error', failed);
    request.on('response', (response) => {
      isUntouched = false;
      const pieces = [];
      response.on('data', (piece) => pieces.push(piece));
      response.on('error', failed);
      response.on('end', () => resolve({ status: response.statusCode, text: Buffer.concat(pieces).toString('utf8') }));
    });
    request.end(body);
  });
}

const CLOSED = new Set(['ECONNRESET', 'EPIPE']);
const ROUNDS = 2; // over all addresses
const ATTEMPTS = 10;

export class Client {
  // bases: where the same service listens; the next one is asked when nobody listens at the first.
  constructor(bases, { timeoutMs = 10_000 } = {}) {
    this.bases = [bases].flat();
    this.turn = 0;
    this.timeoutMs = timeoutMs;
    this.agent = new http.Agent({ keepAlive: true, maxSockets: 256 });
    this.counts = { attempts: 0, reusedCloses: 0, refusedConnections: 0, lateCloses: 0 };
  }

  // What became of it in the end: the last attempt, and how many it took.
  async send(request) {
    const first = this.turn++;
    let last, refused = 0;
    for (let n = 1; ; n++) {
      this.counts.attempts++;
      last = await attempt(this.agent, this.bases[(first + refused) % this.bases.length], request, this.timeoutMs);
      const isClosed = CLOSED.has(last.fault) && last.isUntouched;
      if (last.fault === 'ECONNREFUSED' && ++refused < ROUNDS * this.bases.length) this.counts.refusedConnections++;
      else if (isClosed && last.isReused && n < ATTEMPTS) this.counts.reusedCloses++;
      else if (isClosed && last.ms > PATIENCE_MS && n < ATTEMPTS) this.counts.lateCloses++;
      else return { ...last, attempts: n };
    }
  }

  close() {
    this.agent.destroy();
  }
}

// openLoop(200, fire): calls fire(n) 200 times a second; end() ends that; stop() also gives all that fire's promises gave.
export function openLoop(perSecond, fire) {
  const began = performance.now();
  const running = [];
  const timer = setInterval(() => {
    const due = ((performance.now() - began) / 1000) * perSecond;
    while (running.length < due) running.push(fire(running.length));
  }, TICK_MS);
  const end = () => clearInterval(timer);
  return {
    end,
    async stop() {
      end();
      const seconds = (performance.now() - began) / 1000;
      return { outcomes: await Promise.all(running), seconds };
    },
  };
}
