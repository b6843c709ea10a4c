// SPDX-License-Identifier: Apache-2.0
// docs/security.md names tests: each file exists and holds a test (or a row of tests) of the name given, and each of the ten items names one.

import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import test from 'node:test';

import { ROOT } from '../lib/stack-root.mjs';

const ITEMS = 10;
const text = readFileSync(join(ROOT, 'docs/security.md'), 'utf8');
const sections = text.split(/^## /m).slice(1);

// - `file`: `name`, or ``name`` as a template in the source; * means any test of the file.
const named = (section) => [...section.matchAll(/^- `([^`]+)`: (``?)(.+?)\2$/gm)].map(([, file, , name]) => ({ file, name }));

test('docs/security.md has the ten items of 2023, each with tests', () => {
  assert.deepEqual(sections.map((section) => /^API(\d+) /.exec(section)?.[1]), Array.from({ length: ITEMS }, (_, i) => String(i + 1)));
  for (const section of sections) {
    assert.ok(named(section).length > 0, section.split('\n')[0]);
    assert.equal(named(section).length, section.split('\n').filter((line) => line.startsWith('- ')).length, `a line that names no test: ${section}`);
  }
});

for (const { file, name } of sections.flatMap(named)) {
  test(`docs/security.md: ${file} has "${name}"`, () => {
    assert.ok(existsSync(join(ROOT, file)), `${file} does not exist`);
    const source = readFileSync(join(ROOT, file), 'utf8');
    if (name === '*') assert.match(source, /^\s*test\(/m);
    else assert.ok(source.includes(name), `no test of that name in ${file}`);
  });
}
