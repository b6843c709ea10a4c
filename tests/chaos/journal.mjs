// SPDX-License-Identifier: Apache-2.0
// The journal of a run: one JSON object a line, the only thing that the checker believes of what was asked and answered. Many lines share one
// fsync; `write` returns when its line is on the disk. Must never let a request leave before its line is there, nor count an answer
// before its own is.

import { createReadStream } from 'node:fs';
import { open } from 'node:fs/promises';
import { createInterface } from 'node:readline';

export class Journal {
  #file;
  #waiting = [];
  #isWriting = false;
  #count = 0;

  static async create(path) {
    const journal = new Journal();
    journal.path = path;
    journal.#file = await open(path, 'wx');
    return journal;
  }

  number() {
    return ++this.#count;
  }

  // Resolves when the row is durable.
  write(row) {
    return new Promise((resolve, reject) => {
      this.#waiting.push({ line: `${JSON.stringify({ ...row, at: Math.round(performance.timeOrigin + performance.now()) })}\n`, resolve, reject });
      if (!this.#isWriting) void this.#drain();
    });
  }

  async #drain() {
    this.#isWriting = true;
    while (this.#waiting.length > 0) {
      const batch = this.#waiting.splice(0);
      try {
        await this.#file.write(batch.map(({ line }) => line).join(''));
        await this.#file.datasync();
        for (const { resolve } of batch) resolve();
      } catch (error) {
        for (const { reject } of batch) reject(error);
      }
    }
    this.#isWriting = false;
  }

  // One attempt: call is written before `work` starts, done before its outcome is told. `work` answers { result, … } and must not throw.
  // Results: ok, refused (nothing was done), unsent (it never left), unknown.
  async attempt(call, work) {
    const n = this.number();
    await this.write({ kind: 'call', n, ...call });
    const outcome = await work(n);
    const { bare, ...kept } = outcome; // what the driver wants and the checker need not know
    await this.write({ kind: 'done', n, op: call.op, ...kept });
    return outcome;
  }

  async close() {
    await this.#file.close();
  }
}

// The rows of a journal, one by one. A last line without its end is what a killed writer leaves: never acknowledged, left out.
export async function* readJournal(path) {
  let held = null;
  for await (const line of createInterface({ input: createReadStream(path, 'utf8'), crlfDelay: Infinity })) {
    if (held !== null) yield JSON.parse(held);
    held = line;
  }
  if (held) {
    try {
      yield JSON.parse(held);
    } catch {
      /* torn */
    }
  }
}
