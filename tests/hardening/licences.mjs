#!/usr/bin/env node
// SPDX-License-Identifier: Apache-2.0
// The licences of everything that comes from others: npm by package-lock.json, Debian by what the programs are linked with, Python by the lists
// of tools. licences.json says what is allowed and what cannot be read off a package. Must never pass what it does not know.
//
//   node tests/hardening/licences.mjs [--write]      --write makes docs/third-party.md anew

import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';

import { ROOT } from '../lib/stack-root.mjs';
import { SERVICES, linkedPackages } from './linked.mjs';

export const PAGE = join(ROOT, 'docs/third-party.md');
export const rules = JSON.parse(readFileSync(join(ROOT, 'tests/hardening/licences.json'), 'utf8'));

// An SPDX expression: one of its alternatives must be allowed whole.
export const isAllowed = (expression, allowed) =>
  expression.replaceAll(/[()]/g, '').split(' OR ').some((alternative) => alternative.split(' AND ').every((id) => allowed.includes(id.trim())));

const bothLists = () => [...rules.allowed.permissive, ...rules.allowed.linked];

export function npmRows(lock = JSON.parse(readFileSync(join(ROOT, 'package-lock.json'), 'utf8'))) {
  return Object.entries(lock.packages).filter(([path]) => path !== '').map(([path, { version, license }]) => {
    const name = path.slice(path.lastIndexOf('node_modules/') + 'node_modules/'.length);
    return { name, version, licence: license ?? rules.npm[name]?.licence };
  }).sort((a, b) => a.name.localeCompare(b.name) || a.version.localeCompare(b.version));
}

export function debianRows() {
  const names = [...new Set(SERVICES.flatMap((service) => linkedPackages(service).map(({ name }) => name)))].sort();
  return names.map((name) => ({ name, licence: rules.debian[name]?.licence, how: rules.debian[name]?.static ? 'static' : 'dynamic' }));
}

// What Debian's copyright file says of "Files: *"; undefined: it is not in the machine-readable form.
export function debianCopyright(name) {
  const text = readFileSync(`/usr/share/doc/${name}/copyright`, 'utf8');
  if (!text.startsWith('Format')) return undefined;
  const stanza = text.split(/\n\s*\n/).find((part) => /^Files:\s*\*/m.test(part));
  return stanza?.match(/^License:\s*(.*)$/m)?.[1].trim();
}

export const PYTHON_LISTS = ['tests/requirements.txt', 'tests/contract-fuzz/requirements.txt'];

// Of several lists; what stands in two of them, in the same version, is one row.
export function pythonRows(texts = PYTHON_LISTS.map((list) => readFileSync(join(ROOT, list), 'utf8'))) {
  const pins = texts.flatMap((text) => [...text.matchAll(/^([A-Za-z0-9._-]+)==(\S+)/gm)].map(([pin]) => pin));
  return [...new Set(pins)].sort((a, b) => a.localeCompare(b)).map((pin) => {
    const [name, version] = pin.split('==');
    return { name, version, licence: rules.python[name]?.licence };
  });
}

// A line for everything that has no licence, or one that is not allowed where it stands.
export function faultsOf({ npm, debian, python }) {
  const check = (kind, rows, allowed, isTool = () => false) =>
    rows.flatMap(({ name, licence }) => {
      if (!licence) return [`${kind} ${name}: no licence is known: a row in tests/hardening/licences.json`];
      return isAllowed(licence, allowed) || isTool(name) ? [] : [`${kind} ${name}: ${licence} is not allowed`];
    });
  return [
    ...check('npm', npm, rules.allowed.permissive),
    ...check('Debian', debian, bothLists()),
    ...check('Python', python, rules.allowed.permissive, (name) => rules.python[name]?.why !== undefined),
  ];
}

export const allRows = () => ({ npm: npmRows(), debian: debianRows(), python: pythonRows() });

export function pageOf({ npm, debian, python }) {
  const packages = [...new Set(npm.map(({ name, licence }) => `| ${name} | ${licence} |`))];
  return `<!-- Made by: node tests/hardening/licences.mjs --write -->
# What comes from others, and under which licence

Every package, as lock files and programs say; \`tests/hardening/licences.test.mjs\` fails when one has no row here or a licence that does not suit
Apache-2.0. What is used for what: [licences.md](licences.md). With versions and checksums: \`./dev sbom\`.

## Debian packages in the services' programs

| Package | Licence | Linked |
|---|---|---|
${debian.map(({ name, licence, how }) => `| ${name} | ${licence} | ${how} |`).join('\n')}

## npm packages

| Package | Licence |
|---|---|
${packages.join('\n')}

## Python tools of \`./dev lint\` and \`./dev contract-fuzz\`

| Package | Licence |
|---|---|
${python.map(({ name, licence }) => `| ${name} | ${licence} |`).join('\n')}
`;
}

if (import.meta.url === pathToFileURL(process.argv[1]).href) {
  const rows = allRows();
  const faults = faultsOf(rows);
  console.log(faults.join('\n') || `${rows.npm.length} npm, ${rows.debian.length} Debian and ${rows.python.length} Python packages: all allowed`);
  if (process.argv.includes('--write') && faults.length === 0) writeFileSync(PAGE, pageOf(rows));
  process.exit(faults.length > 0 ? 1 : 0);
}
