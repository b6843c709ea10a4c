// SPDX-License-Identifier: Apache-2.0
// The named steps and the deliberate bugs (chassis/include/ch/points.def, mutants.def) and the code say the same: each row stands in the
// code where it says, nothing else does, and no build without them carries a trace. Exists because in an ordinary build the compiler does
// not see the names.

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'node:test';

import { mutants, points } from '../lib/points.mjs';
import { ROOT } from '../lib/stack-root.mjs';

const SERVICES = ['fruit-catalog', 'order-manager', 'delivery-mock'];
const BUILDS = ['release', 'asan'].map((kind) => join(ROOT, 'build', kind)).filter(existsSync);
const PROTOCOLS = ['place', 'cancel', 'resolve', 'relay', 'consume'];

// [{ name, file }] of every match in the code that is not a test.
function uses(pattern, end = '.c') {
  return ['chassis/src', 'services'].flatMap((folder) =>
    readdirSync(join(ROOT, folder), { recursive: true })
      .filter((file) => file.endsWith(end) && !file.includes('tests/'))
      .flatMap((file) => [...readFileSync(join(ROOT, folder, file), 'utf8').matchAll(pattern)].map(([, name, statement]) => ({ name, statement, file: join(folder, file) }))),
  );
}
const HUNK = /^mutant (\w+) (\w+)$/gm;

test('each row is used once, in the part that it names, and nothing else is used', () => {
  const found = uses(/\bCH_POINT\((\w+)\)/g);
  assert.deepEqual(found.map(({ name }) => name).sort(), points.map(({ name }) => name).sort());
  for (const { name, service } of points) {
    const { file } = found.find((use) => use.name === name);
    const home = service === 'any' ? 'chassis/src/' : `services/${service}/`;
    assert.ok(file.startsWith(home), `${name} is in ${file}, its row says ${home}`);
  }
});

test('each row has a protocol, a service, and says what was done and what comes', () => {
  assert.deepEqual([...new Set(points.map(({ protocol }) => protocol))].filter((one) => !PROTOCOLS.includes(one)), []);
  assert.deepEqual(points.filter(({ service }) => service !== 'any' && !SERVICES.includes(service)), []);
  for (const { name, text } of points) assert.match(text, /^[^;]+; [^;]+$/, name);
});

test('a binary that was not built for it has no step and no bug in it', { skip: BUILDS.length === 0 && 'nothing is built' }, () => {
  const builds = BUILDS.flatMap((build) => SERVICES.map((name) => join(build, 'services', name, name))).filter(existsSync);
  for (const file of builds) {
    const bytes = readFileSync(file);
    for (const trace of ['point.hit', 'ch_point', 'MUTANT', 'publish_early', ...points.map(({ name }) => name), ...mutants.map(({ name }) => name)]) assert.ok(!bytes.includes(trace), `${file} holds ${trace}`);
  }
});

test('each deliberate bug stands in the code or in the SQL, and nothing else does', () => {
  const found = new Set([...uses(/\bCH_MUTANT\((\w+)\)/g), ...uses(HUNK, 'mutants.txt')].map(({ name }) => name));
  assert.deepEqual([...found].sort(), mutants.map(({ name }) => name).sort());
});

test('each deliberate bug in the SQL still fits its statement', (t) => {
  const scratch = mkdtempSync(join(tmpdir(), 'mutants-'));
  const out = join(scratch, 'queries.c');
  t.after(() => rmSync(scratch, { recursive: true }));
  for (const { name, statement, file } of uses(HUNK, 'mutants.txt')) {
    const folder = join(ROOT, file, '..');
    const sql = readdirSync(folder).map((entry) => join(folder, entry)).find((path) => path.endsWith('.sql') && readFileSync(path, 'utf8').includes(`-- name: ${statement} :`));
    assert.ok(sql, `${file}: no statement ${statement}`);
    const generate = (...mutant) => {
      execFileSync('python3', [join(ROOT, 'chassis/tools/sqlgen.py'), ...mutant, '/dev/null', out, sql]);
      return readFileSync(out, 'utf8');
    };
    assert.notEqual(generate('--mutant', name, join(ROOT, file)), generate());
  }
});
