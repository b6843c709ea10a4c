#!/usr/bin/env node
// SPDX-License-Identifier: Apache-2.0
// What a built program says of its own defences: position-independent, all relocations resolved and read-only, no executable stack, stack
// protector, fortified calls, probed stacks, endbr64 at its functions, no search path of its own; shipped ones without symbols. One row a
// property, so that a fault has a name. Must never call a program good because a tool is missing.
//
//   node tests/hardening/binary.mjs [--shipped] PROGRAM...
//   node tests/hardening/binary.mjs --units COMPILE_COMMANDS.JSON       the level of a defence is not to be read off a program

import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { pathToFileURL } from 'node:url';

const run = (command, ...args) => execFileSync(command, args, { encoding: 'utf8', maxBuffer: 256 * 1024 * 1024 });

// Everything that is looked at, read once.
function facts(path) {
  return {
    head: run('readelf', '-Wh', path),
    segments: run('readelf', '-Wl', path),
    dynamic: run('readelf', '-Wd', path),
    sections: run('readelf', '-WS', path),
    notes: run('readelf', '-Wn', path),
    symbols: run('readelf', '-W', '--dyn-syms', path),
    code: run('objdump', '-d', '--no-show-raw-insn', '-j', '.text', path),
  };
}

const count = (text, pattern) => [...text.matchAll(pattern)].length;
const isWritableCode = (segments) => /^\s+LOAD\s.*\bRWE\b/m.test(segments);

// name, what is asked for, whether it holds
export const PROPERTIES = [
  ['pie', 'a position-independent executable', ({ head, dynamic }) => /Type:\s+DYN/.test(head) && /FLAGS_1.*\bPIE\b/.test(dynamic)],
  ['relro', 'a segment that is read-only after relocation', ({ segments }) => /GNU_RELRO/.test(segments)],
  ['bind-now', 'all symbols bound at the start', ({ dynamic }) => /\(FLAGS\).*BIND_NOW|\(FLAGS_1\).*\bNOW\b/.test(dynamic)],
  ['nx', 'a stack that cannot be executed, no segment both written and executed', ({ segments }) => /GNU_STACK.*\sRW\s/.test(segments) && !isWritableCode(segments)],
  ['stack-protector', 'canaries: __stack_chk_fail', ({ symbols }) => /__stack_chk_fail/.test(symbols)],
  ['fortify', '_FORTIFY_SOURCE: calls of …_chk', ({ symbols }) => count(symbols, /UND __(?!stack)\w+_chk\b/g) > 0],
  ['stack-clash', 'stack pages touched one by one', ({ code }) => /\borq?\s+\$0x0,\(%rsp\)/.test(code)],
  ['endbr', 'functions that may be reached indirectly begin with endbr64', ({ code }) => count(code, /\bendbr64\b/g) > 20],
  // Boost.Context jumps to another stack; under a shadow stack that the program claimed to bear, the first fiber would end it.
  ['no-false-shstk', 'no claim to bear a shadow stack', ({ notes }) => !/x86 feature:.*SHSTK/.test(notes)],
  ['no-rpath', 'no search path of its own', ({ dynamic }) => !/\((RPATH|RUNPATH)\)/.test(dynamic)],
  ['no-textrel', 'no relocations in code', ({ dynamic }) => !/TEXTREL/.test(dynamic)],
  ['no-sanitizer', 'no sanitizer in it', ({ dynamic, symbols }) => !/lib[atu]san|libubsan/.test(dynamic) && !/__(asan|tsan)_init/.test(symbols)],
  ['build-id', 'a build id', ({ notes }) => /Build ID: [0-9a-f]{40}/.test(notes)],
];
export const SHIPPED = [
  ['stripped', 'no symbols, no debug information', ({ sections }) => !/\.symtab|\.debug_info/.test(sections)],
  ['debug-link', 'the name of its debug information', ({ sections }) => /\.gnu_debuglink/.test(sections)],
];

// Names of the properties that do not hold.
export function faultsOf(path, isShipped = false) {
  const known = facts(path);
  return [...PROPERTIES, ...(isShipped ? SHIPPED : [])].filter(([, , holds]) => !holds(known)).map(([name]) => name);
}

export const FLAGS = ['-D_FORTIFY_SOURCE=3', '-fstack-protector-strong', '-fstack-clash-protection', '-fcf-protection', '-fPIE'];

// "file: flag" of every unit that was compiled without one.
export const unitFaults = (units) => units.flatMap(({ file, command }) => FLAGS.filter((flag) => !command.split(' ').includes(flag)).map((flag) => `${file}: ${flag}`));

function checkUnits(path) {
  // A library is linked into programs: position-independent code of either kind will do.
  const units = JSON.parse(readFileSync(path, 'utf8')).map(({ file, command }) => ({ file, command: command.replace(/ -fPIC\b/, ' -fPIE') }));
  const faults = unitFaults(units);
  console.log(faults.length > 0 ? faults.map((fault) => `FAIL  compiled without: ${fault}`).join('\n') : `ok    ${units.length} units compiled with ${FLAGS.join(' ')}`);
  process.exit(faults.length > 0 || units.length === 0 ? 1 : 0);
}

function main(args) {
  if (args[0] === '--units') return checkUnits(args[1]);
  const isShipped = args[0] === '--shipped';
  const paths = isShipped ? args.slice(1) : args;
  const texts = new Map([...PROPERTIES, ...SHIPPED].map(([name, text]) => [name, text]));
  let code = paths.length > 0 ? 0 : 2;
  for (const path of paths) {
    const faults = faultsOf(path, isShipped);
    if (faults.length > 0) code = 1;
    console.log(`${faults.length > 0 ? 'FAIL' : 'ok  '}  ${path}${isShipped ? ' (shipped)' : ''}`);
    for (const name of faults) console.log(`        ${name}: wanted: ${texts.get(name)}`);
  }
  process.exit(code);
}

if (import.meta.url === pathToFileURL(process.argv[1]).href) main(process.argv.slice(2));
