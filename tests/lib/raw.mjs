// SPDX-License-Identifier: Apache-2.0
// HTTP/1.1 byte by byte: sends exactly what it is given and reads what comes, for requests that no well-behaved client can make.
// Must never mend, retry or reuse anything.

import { connect } from 'node:net';
import { checkAnswer } from './openapi.mjs';
import { hostPort } from './stack.mjs';

// Splits the first answer off: { status, headers, text, rest } or null while it is incomplete.
export function parseAnswer(bytes, isHead = false) {
  const end = bytes.indexOf('\r\n\r\n');
  if (end < 0) return null;
  const [first, ...lines] = bytes.subarray(0, end).toString('latin1').split('\r\n');
  const status = Number(/^HTTP\/1\.1 (\d{3}) /.exec(first)?.[1]);
  const headers = new Map(lines.map((line) => [line.slice(0, line.indexOf(':')).toLowerCase(), line.slice(line.indexOf(':') + 1).trim()]));
  const hasBody = !isHead && status >= 200 && status !== 204 && status !== 304;
  const length = hasBody ? Number(headers.get('content-length') ?? 0) : 0;
  if (bytes.length < end + 4 + length) return null;
  const text = bytes.subarray(end + 4, end + 4 + length).toString('utf8');
  const type = headers.get('content-type') ?? '';
  return { status, headers, type, text, json: text && /json/.test(type) ? JSON.parse(text) : undefined, rest: bytes.subarray(end + 4 + length) };
}

export class RawConnection {
  #socket;
  #bytes = Buffer.alloc(0);
  #wake = () => {};
  isClosed = false;
  wasReset = false;

  static async open(base) {
    const connection = new RawConnection();
    await connection.#connect(base);
    return connection;
  }

  #connect(base) {
    const { host, port } = hostPort(base);
    return new Promise((resolve, reject) => {
      this.#socket = connect({ host, port, noDelay: true }, resolve);
      this.#socket.on('error', (error) => {
        this.wasReset ||= error.code === 'ECONNRESET' || error.code === 'EPIPE';
        reject(error);
        this.#wake();
      });
      this.#socket.on('data', (chunk) => {
        this.#bytes = Buffer.concat([this.#bytes, chunk]);
        this.#wake();
      });
      for (const end of ['end', 'close']) {
        this.#socket.on(end, () => {
          this.isClosed = true;
          this.#wake();
        });
      }
    });
  }

  // What the server thinks of what follows is told by its answer: a reset while we still write is not our failure.
  send(data) {
    if (!this.#socket.destroyed) this.#socket.write(typeof data === 'string' ? Buffer.from(data, 'utf8') : data);
    return this;
  }

  async #waitFor(ask, timeout, what) {
    const limit = performance.now() + timeout;
    for (;;) {
      const value = ask();
      if (value) return value;
      const left = limit - performance.now();
      if (left <= 0) throw new Error(`${what} within ${timeout} ms; so far: ${JSON.stringify(this.#bytes.toString('latin1').slice(0, 400))}`);
      await new Promise((resolve) => {
        const timer = setTimeout(resolve, left);
        this.#wake = () => {
          clearTimeout(timer);
          resolve();
        };
      });
    }
  }

  // The next whole answer, interim ones (1xx) too.
  async answer({ timeout = 5000, isHead = false } = {}) {
    const answer = await this.#waitFor(
      () => parseAnswer(this.#bytes, isHead) ?? (this.isClosed ? 'closed' : null),
      timeout,
      'no whole answer',
    );
    if (answer === 'closed') throw new Error(`closed without a whole answer: ${JSON.stringify(this.#bytes.toString('latin1').slice(0, 400))}`);
    this.#bytes = answer.rest;
    return answer;
  }

  // True when the server closes the connection in time and sends nothing more.
  async closes(timeout = 3000) {
    await this.#waitFor(() => this.isClosed, timeout, 'the connection was not closed');
    return this.#bytes.length === 0;
  }

  get unread() {
    return this.#bytes;
  }

  destroy() {
    this.#socket.destroy();
  }
}

// Sends one request's bytes on a connection of its own; the answer is checked against the contract.
export async function exchange(base, bytes, { line, timeout } = {}) {
  const connection = await RawConnection.open(base);
  try {
    const answer = await connection.send(bytes).answer({ timeout });
    if (line) {
      const [method, path] = line.split(' ');
      checkAnswer(method, path.split('?')[0], answer.status, answer.type, answer.text);
    }
    return { ...answer, connection };
  } catch (error) {
    connection.destroy();
    throw error;
  }
}
