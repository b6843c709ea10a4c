// SPDX-License-Identifier: Apache-2.0
// The secrets of the stack under test, each with the place it stands in, for tests that look whether they stand anywhere else.

import { readFileSync, readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';

import { stack } from './stack.mjs';

const read = (path) => readFileSync(path, 'utf8');
export const filesUnder = (folder) => readdirSync(folder, { recursive: true }).map((name) => join(folder, name)).filter((path) => statSync(path).isFile());
export const isSecretFile = (path) => /\.(pem|token|secret|keys)$/.test(path);

// name: value. The password of the demo accounts is none: ./dev up prints it for people.
export function secrets() {
  const found = new Map();
  for (const [, name, value] of read(join(stack.var, 'secrets.env')).matchAll(/^(\w+)=(.+)$/gm)) if (name !== 'DEMO_PASSWORD') found.set(name, value);
  for (const path of filesUnder(join(stack.var, 'keys'))) {
    if (/\.(token|secret)$/.test(path)) found.set(path, read(path).trim());
    if (path.endsWith('.pem')) found.set(path, read(path).split('\n')[3]);
    if (path.endsWith('.keys')) for (const [, id, key] of read(path).matchAll(/^(\d+) (\S+)$/gm)) found.set(`${path} ${id}`, key);
  }
  return found;
}
