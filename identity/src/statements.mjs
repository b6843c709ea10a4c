// SPDX-License-Identifier: Apache-2.0
// The statements of identity/sql by their names. SQL stands nowhere else.

import { readFileSync, readdirSync } from 'node:fs';

const folder = new URL('../sql/', import.meta.url);

export function readStatements() {
  const found = new Map();
  for (const file of readdirSync(folder).filter((name) => name.endsWith('.sql'))) {
    const [, ...blocks] = readFileSync(new URL(file, folder), 'utf8').split(/^-- name: /m);
    for (const block of blocks) {
      const end = block.indexOf('\n');
      found.set(block.slice(0, end).trim(), block.slice(end + 1));
    }
  }
  return found;
}
