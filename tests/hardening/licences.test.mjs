// SPDX-License-Identifier: Apache-2.0
// Everything that comes from others has a row and a licence that suits Apache-2.0; and the check finds what it is for.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';

import { PAGE, allRows, debianCopyright, faultsOf, isAllowed, npmRows, pythonRows, rules } from './licences.mjs';

const rows = allRows();

test('every dependency has a licence that is allowed', () => {
  assert.deepEqual(faultsOf(rows), []);
  assert.ok(rows.npm.length > 100 && rows.debian.length > 20 && rows.python.length > 0);
});

test('docs/third-party.md has a row for each', () => {
  const page = readFileSync(PAGE, 'utf8');
  const missing = Object.values(rows).flat().filter(({ name, licence }) => !page.includes(`| ${name} | ${licence} |`));
  assert.deepEqual(missing.map(({ name }) => name), [], 'node tests/hardening/licences.mjs --write');
});

test('what is said of a Debian package is what its copyright file says', () => {
  for (const { name } of rows.debian) assert.equal(debianCopyright(name) ?? rules.debian[name].copyright, rules.debian[name].copyright, name);
});

test('a package without a row, and one under the GPL, are named', () => {
  const lock = { packages: { '': {}, 'node_modules/a': { version: '1.0.0', license: 'GPL-3.0-only' }, 'node_modules/b': { version: '1.0.0' } } };
  assert.deepEqual(faultsOf({ npm: npmRows(lock), debian: [{ name: 'libnew1' }], python: [] }), [
    'npm a: GPL-3.0-only is not allowed',
    'npm b: no licence is known: a row in tests/hardening/licences.json',
    'Debian libnew1: no licence is known: a row in tests/hardening/licences.json',
  ]);
});

test('each list of Python packages is read', () => {
  assert.deepEqual(pythonRows(['# tools\nPyYAML==1\n', 'PyYAML==1\nunheard-of==2\n']).map(({ name }) => name), ['PyYAML', 'unheard-of']);
  const names = rows.python.map(({ name }) => name);
  assert.ok(['detect-secrets', 'schemathesis'].every((name) => names.includes(name)), names.join(' '));
  assert.deepEqual(faultsOf({ npm: [], debian: [], python: pythonRows(['unheard-of==2\n']) }), ['Python unheard-of: no licence is known: a row in tests/hardening/licences.json']);
});

test('of alternatives one has to suit, of a sum all', () => {
  const allowed = ['MIT', 'BSD-3-Clause'];
  for (const [expression, want] of [['MIT', true], ['GPL-2.0 OR MIT', true], ['(BSD-3-Clause AND MIT)', true], ['MIT AND GPL-2.0', false], ['GPL-2.0', false]])
    assert.equal(isAllowed(expression, allowed), want, expression);
});
