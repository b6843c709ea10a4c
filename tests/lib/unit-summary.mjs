// SPDX-License-Identifier: Apache-2.0
// Adds up the unit tests: Meson's log says which programs failed, cmocka's XML how many cases each had. A program that failed without a
// failed case (a crash, a sanitizer's report) counts as one. Prints failures, then "@ passed failed". Must never hide the report of a sanitizer
// behind what the program said after it.
//
//   node unit-summary.mjs TESTLOG.json FOLDER_OF_XML REPORT_MARK      the mark: what a sanitizer's report begins with, a regular expression

import { existsSync, readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';

const REPORT_LINES = 60;
const LAST_LINES = 20;

const [log, folder, mark] = process.argv.slice(2);
if (!existsSync(log)) {
  console.log(readFileSync(join(folder, 'meson.log'), 'utf8'));
  process.exit(1);
}

const sum = (text, name) => [...text.matchAll(new RegExp(`<testsuite [^>]*\\b${name}="(\\d+)"`, 'g'))].reduce((total, [, n]) => total + Number(n), 0);

function casesOf(program) {
  const text = readdirSync(folder).filter((name) => name.startsWith(`${program}.`) && name.endsWith('.xml')).map((name) => readFileSync(join(folder, name), 'utf8')).join('');
  const names = [...text.matchAll(/<testcase name="([^"]+)"[^>]*>\s*<(failure|error)/g)].map(([, name]) => name);
  return { total: sum(text, 'tests'), failed: sum(text, 'failures') + sum(text, 'errors'), names };
}

// Of a failed program's output: the first report of a sanitizer, if there is one, and the end.
function excerptOf(text) {
  const lines = text.trim().split('\n');
  const first = lines.findIndex((line) => new RegExp(mark).test(line));
  if (first < 0) return lines.slice(-2 * LAST_LINES);
  const end = first + REPORT_LINES;
  if (end + LAST_LINES >= lines.length) return lines.slice(first);
  return [...lines.slice(first, end), `… ${lines.length - end - LAST_LINES} lines …`, ...lines.slice(-LAST_LINES)];
}

let passed = 0;
let failed = 0;
for (const line of readFileSync(log, 'utf8').split('\n').filter(Boolean)) {
  const { name, result, command, stdout, stderr, duration } = JSON.parse(line);
  const program = command.at(-1).split('/').at(-1);
  const cases = casesOf(program);
  const isGood = result === 'OK' || result === 'EXPECTEDFAIL';
  const bad = isGood ? 0 : Math.max(1, cases.failed);
  failed += bad;
  passed += isGood ? Math.max(1, cases.total) : Math.max(0, cases.total - cases.failed);
  if (bad) {
    console.log(`  FAIL  ${name}: ${result}${cases.names.length ? `, ${cases.names.join(', ')}` : ''}`);
    console.log(excerptOf(`${stdout ?? ''}\n${stderr ?? ''}`).map((one) => `        ${one}`).join('\n'));
  } else if (duration > 20) console.log(`  slow  ${name}: ${Math.round(duration)} s`);
}
console.log(`@ ${passed} ${failed}`);
