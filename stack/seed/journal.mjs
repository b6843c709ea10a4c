// SPDX-License-Identifier: Apache-2.0
// What the seed has done so far, a line a step, so that an interrupted run goes on where it ended and a finished one does nothing.
// Exists because a draft cannot be found over the API again. Must never hold anything secret, nor outlive the database it tells of:
// it lies in a folder that ./dev down --wipe deletes, and is dropped when the farms are gone.

import { appendFileSync, existsSync, mkdirSync, readFileSync, rmSync } from 'node:fs';
import { dirname, join } from 'node:path';

export function openJournal(varDir) {
  const path = join(varDir, 'run', 'seed.jsonl');
  const products = new Map(); // key -> { productId, version, done: Set of steps }

  function apply({ key, productId, version, step }) {
    if (productId) products.set(key, { productId, version, done: new Set() });
    const product = products.get(key);
    if (!product) return; // its first line was lost
    if (version) product.version = version;
    if (step) product.done.add(step);
  }

  function write(line) {
    mkdirSync(dirname(path), { recursive: true });
    appendFileSync(path, JSON.stringify(line) + '\n');
    apply(line);
  }

  for (const line of existsSync(path) ? readFileSync(path, 'utf8').split('\n') : []) {
    try {
      if (line) apply(JSON.parse(line));
    } catch {
      // The end of a line that a killed run was writing.
    }
  }

  return {
    find: (key) => products.get(key),
    isLaid: (key) => products.get(key)?.done.has('laid') ?? false,
    created: (key, productId, version) => write({ key, productId, version }),
    did: (key, step, version) => write({ key, step, version }),
    drop() {
      products.clear();
      rmSync(path, { force: true });
    },
  };
}
