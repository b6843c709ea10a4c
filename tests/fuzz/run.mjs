#!/usr/bin/env node
// SPDX-License-Identifier: Apache-2.0
// Runs the fuzzers, two at once. Each begins with the committed inputs (tests/fuzz/corpus/<target>), which are regression tests too, and with
// what earlier runs found (var/fuzz/<target>, kept). Ends with a line a target. Must never write into the committed inputs.
//
//   ./dev fuzz [--seconds N] [--jobs N] [TARGET]...
//
// A finding: its input is left in var/fuzz/found, the command that repeats it is printed, the exit code is 1.

import { spawn } from 'node:child_process';
import { createWriteStream, existsSync, mkdirSync, readFileSync, readdirSync } from 'node:fs';
import { join, relative } from 'node:path';
import { parseArgs } from 'node:util';

import { ROOT } from '../lib/stack-root.mjs';

const HOME = join(process.env.GWASUWON_VAR ?? join(ROOT, 'var'), 'fuzz');
const BUILD = join(ROOT, 'build/fuzz/tests/fuzz');
const CORPUS = join(ROOT, 'tests/fuzz/corpus');
const FOUND = join(HOME, 'found');
const TARGETS = readdirSync(CORPUS).sort();
// A wrong input may ask for much memory: that is refused by our own limits, not by the sanitizer.
const ENVIRONMENT = { ASAN_OPTIONS: 'detect_stack_use_after_return=0:allocator_may_return_null=1:detect_leaks=1', UBSAN_OPTIONS: 'halt_on_error=1:print_stacktrace=1' };
const REPORT = /does not hold: .*|runtime error: .*|SUMMARY: .*|ERROR: libFuzzer: .*/;

function fuzz(target, seconds) {
  const kept = join(HOME, target);
  const dictionary = join(ROOT, 'tests/fuzz/dict', `${target}.dict`);
  const log = join(HOME, `${target}.log`);
  mkdirSync(kept, { recursive: true });
  const options = [`-max_total_time=${seconds}`, '-timeout=120', '-rss_limit_mb=2048', '-print_final_stats=1', `-artifact_prefix=${FOUND}/${target}-`];
  if (existsSync(dictionary)) options.push(`-dict=${dictionary}`);
  const child = spawn(join(BUILD, `fuzz_${target}`), [...options, kept, join(CORPUS, target)], { env: { ...process.env, ...ENVIRONMENT }, stdio: ['ignore', 'ignore', 'pipe'] });
  const out = createWriteStream(log);
  child.stderr.pipe(out, { end: false });
  return new Promise((resolve) => {
    child.on('error', (error) => resolve({ target, code: -1, text: String(error), log }));
    child.on('close', (code, signal) => out.end(() => resolve({ target, code: code ?? signal, text: readFileSync(log, 'latin1'), log })));
  });
}

const last = (text, pattern) => [...text.matchAll(pattern)].at(-1)?.[1] ?? '?';

function line({ target, code, text }) {
  const runs = last(text, /stat::number_of_executed_units:\s+(\d+)/g);
  const figures = `${runs.padStart(9)} executions  ${last(text, /\bcov: (\d+)/g).padStart(6)} edges  ${last(text, /\bcorp: (\d+)/g).padStart(5)} inputs`;
  return `  ${code === 0 ? 'ok  ' : 'FAIL'}  ${target.padEnd(12)} ${figures}`;
}

function explain({ text, log }) {
  const artifact = text.match(/Test unit written to (\S+)/)?.[1];
  const target = log.match(/([^/]+)\.log$/)[1];
  console.log(`        ${text.match(REPORT)?.[0] ?? 'ended without a report'}\n        log ${relative(ROOT, log)}`);
  if (artifact) console.log(`        again: build/fuzz/tests/fuzz/fuzz_${target} ${artifact}; mended, it stays as tests/fuzz/corpus/${target}/found-…`);
}

async function main() {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: { seconds: { type: 'string', default: '20' }, jobs: { type: 'string', default: '2' }, counted: { type: 'boolean' } },
  });
  const unknown = positionals.filter((name) => !TARGETS.includes(name));
  if (unknown.length > 0 || !(Number(values.seconds) > 0) || !(Number(values.jobs) > 0)) {
    console.error(`fuzz: [--seconds N] [--jobs N] and targets of: ${TARGETS.join(', ')}`);
    process.exit(2);
  }
  const waiting = positionals.length > 0 ? [...positionals] : [...TARGETS];
  const results = [];
  mkdirSync(FOUND, { recursive: true });
  const worker = async () => {
    for (let target = waiting.shift(); target; target = waiting.shift()) {
      const result = await fuzz(target, Number(values.seconds));
      results.push(result);
      if (result.code !== 0) explain(result);
    }
  };
  await Promise.all(Array.from({ length: Number(values.jobs) }, worker));
  results.sort((a, b) => a.target.localeCompare(b.target));
  for (const result of results) console.log(line(result));
  const failed = results.filter(({ code }) => code !== 0).length;
  if (values.counted) console.log(`@ ${results.length - failed} ${failed}`);
  process.exit(failed ? 1 : 0);
}

await main();
