// SPDX-License-Identifier: Apache-2.0
// Many requests at once over a fixed number of kept connections, each of which sends the next as soon as it has its answer. Exists
// because a client that costs more than the services measures itself. Must never hide an answer: a 503 is counted before it is repeated.

import net from 'node:net';
import { setTimeout as pause } from 'node:timers/promises';

const AGAIN_MS = 50; // after 503, and doubled with each further one

export const requestBytes = (method, path, headers, body) =>
  Buffer.from(`${method} ${path} HTTP/1.1\r\n${Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`).join('')}content-length: ${Buffer.byteLength(body)}\r\n\r\n${body}`);

class Connection {
  constructor(where) {
    this.where = where;
    this.socket = null;
  }

  open() {
    return new Promise((resolve, reject) => {
      const socket = net.connect({ ...this.where, noDelay: true });
      let input = Buffer.alloc(0);
      socket.once('connect', () => resolve(this));
      socket.on('error', (error) => (this.waiting ?? reject)(error));
      socket.on('close', () => {
        this.socket = null;
        this.waiting?.(new Error('closed without an answer'));
      });
      socket.on('data', (piece) => {
        input = input.length ? Buffer.concat([input, piece]) : piece;
        const head = input.indexOf('\r\n\r\n');
        if (head < 0) return;
        const text = input.latin1Slice(0, head);
        const length = Number(/\r\ncontent-length: (\d+)/i.exec(text)?.[1] ?? NaN);
        if (Number.isNaN(length)) return this.waiting(new Error(`an answer without length: ${text}`));
        if (input.length < head + 4 + length) return;
        const answer = { status: Number(text.slice(9, 12)), body: input.subarray(head + 4, head + 4 + length) };
        input = Buffer.alloc(0);
        if (/\r\nconnection: close/i.test(text)) {
          socket.destroy();
          this.socket = null;
        }
        this.waiting(null, answer);
      });
      this.socket = socket;
    });
  }

  async send(bytes) {
    if (!this.socket) await this.open();
    return new Promise((resolve, reject) => {
      this.waiting = (error, answer) => {
        this.waiting = null;
        error ? reject(error) : resolve(answer);
      };
      this.socket.write(bytes);
    });
  }
}

// rush([{ host, port }], 256, requests): the last answer to each request, in their order, how long it took (until that answer, from the
// first attempt) and how often 503 came before it; and how long all took.
export async function rush(places, connections, requests) {
  const answers = new Array(requests.length);
  const open = await Promise.all(Array.from({ length: connections }, (_, i) => new Connection(places[i % places.length]).open()));
  let next = 0;
  const began = performance.now();
  await Promise.all(open.map(async (connection) => {
    while (next < requests.length) {
      const at = next++, from = performance.now();
      let answer, refusals = 0;
      while ((answer = await connection.send(requests[at])).status === 503 && refusals < 8) await pause(AGAIN_MS * 2 ** refusals++);
      answers[at] = { ...answer, refusals, ms: performance.now() - from };
    }
  }));
  const ms = performance.now() - began;
  for (const { socket } of open) socket?.destroy();
  return { answers, ms };
}

// Each row of a SKU's ledger begins with what another one left: how many do not. A reservation that worked with a stock that was no longer
// true leaves such a gap, even when the sum comes out right.
export const ledgerGaps = (value, skuId) => value(
  `SELECT count(*)::int FROM (
     (SELECT available_after - delta FROM catalog.stock_ledger WHERE sku_id = $1 UNION ALL SELECT available FROM catalog.skus WHERE sku_id = $1)
     EXCEPT ALL (SELECT available_after FROM catalog.stock_ledger WHERE sku_id = $1 UNION ALL SELECT 0)) AS gaps`, skuId);

// What the books say after a sale of one SKU that began with `stock` boxes: all of it by SQL. `value(sql, ...values)` answers one number.
export async function booksOf(value, skuId) {
  const ask = (sql) => value(sql, skuId);
  return {
    available: await ask('SELECT available FROM catalog.skus WHERE sku_id = $1'),
    ledger: await ask('SELECT coalesce(sum(delta), 0)::int FROM catalog.stock_ledger WHERE sku_id = $1'),
    ledgerGaps: await ledgerGaps(value, skuId),
    ledgerLowest: await ask('SELECT min(available_after)::int FROM catalog.stock_ledger WHERE sku_id = $1'),
    reservations: await ask("SELECT count(*)::int FROM catalog.stock_ledger WHERE sku_id = $1 AND kind = 'RESERVATION'"),
    held: await ask("SELECT coalesce(sum(l.quantity), 0)::int FROM catalog.hold_lines l JOIN catalog.holds h USING (order_id) WHERE l.sku_id = $1 AND h.state IN ('HELD', 'SOLD')"),
    ordered: await ask("SELECT coalesce(sum(l.quantity), 0)::int FROM orders.order_lines l JOIN orders.orders o USING (order_id) WHERE l.sku_id = $1 AND o.status NOT IN ('ABORTED', 'CANCELLED')"),
    heldWithoutOrder: await ask("SELECT count(*)::int FROM catalog.hold_lines l JOIN catalog.holds h USING (order_id) WHERE l.sku_id = $1 AND h.state IN ('HELD', 'SOLD') AND NOT EXISTS (SELECT 1 FROM orders.orders o WHERE o.order_id = h.order_id AND o.status NOT IN ('ABORTED', 'CANCELLED'))"),
  };
}
