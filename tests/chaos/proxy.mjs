// SPDX-License-Identifier: Apache-2.0
// TCP links that can be cut, held, delayed or throttled: each stands between a service and something it needs. Exists because killing
// a process tells the other side at once, and a network does not. Must never reorder, change or repeat a byte of a connection.

import { createServer, connect } from 'node:net';

const HIGH_WATER = 1 << 20; // bytes held for one direction before its reader is paused

// One direction of one connection: bytes come from `from` and leave to `to` as the link's mode says.
class Pipe {
  #queue = [];
  #held = 0;
  #timer = null;

  constructor(link, from, to) {
    Object.assign(this, { link, from, to });
    from.on('data', (chunk) => this.#take(chunk));
  }

  #take(chunk) {
    if (this.link.mode === 'pass' && this.#queue.length === 0) {
      if (!this.to.write(chunk)) {
        this.from.pause();
        this.to.once('drain', () => this.from.resume());
      }
      return;
    }
    this.#queue.push({ chunk, due: performance.now() + (this.link.mode === 'delay' ? this.link.delay() : 0) });
    this.#held += chunk.length;
    if (this.#held > HIGH_WATER) this.from.pause();
    this.pump();
  }

  pump() {
    clearTimeout(this.#timer);
    const { mode, rate } = this.link;
    while (this.#queue.length > 0 && mode !== 'hold') {
      const [first] = this.#queue;
      const wait = mode === 'delay' ? first.due - performance.now() : 0;
      if (wait > 0) {
        this.#timer = setTimeout(() => this.pump(), wait);
        return;
      }
      const part = mode === 'throttle' ? first.chunk.subarray(0, Math.max(1, rate >> 5)) : first.chunk;
      this.to.write(part);
      this.#held -= part.length;
      if (part.length === first.chunk.length) this.#queue.shift();
      else first.chunk = first.chunk.subarray(part.length);
      if (this.#held <= HIGH_WATER) this.from.resume();
      if (mode === 'throttle') {
        this.#timer = setTimeout(() => this.pump(), 31);
        return;
      }
    }
  }

  stop() {
    clearTimeout(this.#timer);
  }
}

export class Link {
  mode = 'pass';
  rate = 4096; // bytes a second when throttled
  #server;
  #pairs = new Set();

  // name says between whom; random decides how long a delayed piece waits and which connections a cut meets.
  constructor(name, host, port, random) {
    Object.assign(this, { name, host, port, random });
  }

  async open() {
    this.#server = createServer({ allowHalfOpen: false, noDelay: true }, (near) => this.#accept(near));
    await new Promise((resolve, reject) => {
      this.#server.once('error', reject);
      this.#server.listen(0, '127.0.0.1', resolve);
    });
    this.#server.unref();
    this.address = `127.0.0.1:${this.#server.address().port}`;
    return this;
  }

  get connections() {
    return this.#pairs.size;
  }

  delay() {
    return this.random.int(20, this.delayMax ?? 400);
  }

  #accept(near) {
    if (this.mode === 'cut') {
      near.destroy();
      return;
    }
    const far = connect({ host: this.host, port: this.port, noDelay: true });
    const pair = { near, far, pipes: [new Pipe(this, near, far), new Pipe(this, far, near)] };
    const end = () => {
      for (const pipe of pair.pipes) pipe.stop();
      near.destroy();
      far.destroy();
      this.#pairs.delete(pair);
    };
    pair.end = end;
    for (const side of [near, far]) {
      side.on('error', end);
      side.on('close', end);
    }
    this.#pairs.add(pair);
  }

  // pass, cut (what is open breaks, nothing new is let through), hold (bytes wait), delay, throttle
  set(mode, { rate, delayMax } = {}) {
    this.mode = mode;
    if (rate) this.rate = rate;
    if (delayMax) this.delayMax = delayMax;
    if (mode === 'cut') this.snap(1);
    else for (const { pipes } of this.#pairs) for (const pipe of pipes) pipe.pump();
  }

  // Breaks a share of the open connections, now.
  snap(share) {
    for (const pair of [...this.#pairs]) if (share >= 1 || this.random.chance(share)) pair.end();
  }

  close() {
    this.#server?.close();
    this.snap(1);
  }
}
