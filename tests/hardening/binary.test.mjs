// SPDX-License-Identifier: Apache-2.0
// The check of built programs finds what it is for: each flaw is built into a small program and must be named, alone.

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';

import { ROOT } from '../lib/stack-root.mjs';
import { faultsOf, unitFaults } from './binary.mjs';

const folder = mkdtempSync(join(tmpdir(), 'gw-binary-'));
after(() => rmSync(folder, { recursive: true }));

// Large frames, copies of a length that only the caller knows, many functions.
const SOURCE = `
#include <stdio.h>
#include <string.h>
${Array.from({ length: 24 }, (_, i) => `__attribute__((noinline)) int f${i}(const char *s, size_t n) { char b[${i === 0 ? 40000 : 64}]; memcpy(b, s, n); return b[n / 2] + (int)strlen(b); }`).join('\n')}
int main(int argc, char **argv) { int (*all[])(const char *, size_t) = {${Array.from({ length: 24 }, (_, i) => `f${i}`).join(',')}}; return all[argc % 24](argv[0], (size_t)argc); }
`;
const source = join(folder, 'program.c');
writeFileSync(source, SOURCE);

const GOOD = ['-O2', '-g', '-fPIE', '-pie', '-U_FORTIFY_SOURCE', '-D_FORTIFY_SOURCE=3', '-fstack-protector-strong', '-fstack-clash-protection', '-fcf-protection',
  '-Wl,-z,relro,-z,now', '-Wl,--build-id'];
const FLAWS = {
  pie: ['-fno-pie', '-no-pie'],
  relro: ['-Wl,-z,norelro'],
  'bind-now': ['-Wl,-z,lazy'],
  nx: ['-Wl,-z,execstack'],
  'stack-protector': ['-fno-stack-protector'],
  fortify: ['-U_FORTIFY_SOURCE'],
  'stack-clash': ['-fno-stack-clash-protection'],
  endbr: ['-fcf-protection=none'],
  'no-rpath': ['-Wl,-rpath,/tmp'],
  'no-sanitizer': ['-fsanitize=undefined'],
  'build-id': ['-Wl,--build-id=none'],
};

function built(name, flags) {
  const path = join(folder, name);
  execFileSync('cc', ['-w', ...flags, source, '-o', path], { stdio: ['ignore', 'ignore', 'pipe'] });
  return path;
}

test('a program with all defences has no fault', () => assert.deepEqual(faultsOf(built('good', GOOD)), []));

for (const [name, flags] of Object.entries(FLAWS))
  test(`a program without ${name} is found`, () => assert.deepEqual(faultsOf(built(name, [...GOOD, ...flags])), [name]));

test('a program with its symbols is not to be shipped, one that was taken apart is', () => {
  const path = built('whole', GOOD);
  assert.deepEqual(faultsOf(path, true), ['stripped', 'debug-link']);
  execFileSync(join(ROOT, 'deploy/images/split-debug.sh'), [path, join(folder, 'apart')]);
  assert.deepEqual(faultsOf(join(folder, 'apart/whole'), true), []);
  assert.deepEqual(faultsOf(path, false), []); // was left alone
});

test('a unit compiled without a flag is named', () => {
  const all = GOOD.join(' ');
  assert.deepEqual(unitFaults([{ file: 'a.c', command: all }, { file: 'b.c', command: all.replace('SOURCE=3', 'SOURCE=2') }]), ['b.c: -D_FORTIFY_SOURCE=3']);
});
