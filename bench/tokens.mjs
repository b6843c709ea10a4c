// SPDX-License-Identifier: Apache-2.0
// What a token check costs, as chassis/tests/bench_auth.c measures it in CPU time: its lines become results. Must never measure itself:
// microseconds are not seen from here.

import { execFileSync } from 'node:child_process';
import { join } from 'node:path';

import { ROOT } from '../tests/lib/stack-root.mjs';

const LINE = /^(?:met|SHORT)\s+(.+?)\s+([\d.]+) us of CPU .*limit (\d+)\)$/gm;

export async function tokens() {
  let text;
  try {
    text = execFileSync(join(ROOT, 'build/release/chassis/tests/bench_auth'), { encoding: 'utf8' });
  } catch (error) {
    text = error.stdout; // a limit was passed: the lines say which
  }
  return [...text.matchAll(LINE)].map(([, name, value, limit]) => ({ name: `token: ${name}`, value: Number(value), unit: 'us of CPU', limit: Number(limit) }));
}
