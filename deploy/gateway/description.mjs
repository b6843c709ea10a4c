// SPDX-License-Identifier: Apache-2.0
// Reads routes.yaml and refuses what it can not mean: an unknown word in a row would otherwise be a policy that silently is not there.
// Must never fill in a default that opens something.

import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import YAML from 'yaml';

export const FILE = fileURLToPath(new URL('routes.yaml', import.meta.url));
const METHODS = ['GET', 'POST', 'PUT', 'PATCH', 'DELETE'];
const ROW = ['to', 'who', 'class', 'body', 'cache', 'stream', 'retry'];

function readRow(text, name, row) {
  const fail = (what) => {
    throw new Error(`routes.yaml: ${name}: ${what}`);
  };
  const methods = Object.keys(row).filter((key) => METHODS.includes(key));
  const unknown = Object.keys(row).filter((key) => !METHODS.includes(key) && !ROW.includes(key));
  if (methods.length !== 1) fail('wants exactly one method');
  if (unknown.length) fail(`does not know "${unknown[0]}"`);
  const [method] = methods;
  if (!/^(\/[a-z0-9-]+|\/\{[A-Za-z0-9]+\})+$/.test(row[method])) fail(`the path "${row[method]}" is none`);
  if (!text.upstreams[row.to]) fail(`no upstream "${row.to}"`);
  if (!['anyone', 'token'].includes(row.who)) fail(`who: anyone or token, not "${row.who}"`);
  if (!text.limits[row.class]) fail(`no class "${row.class}"`);
  if (row.body !== undefined && !text.bodies[row.body]) fail(`no body "${row.body}"`);
  if ((method === 'GET') !== (row.body === undefined)) fail('a GET has no body, everything else names one');
  if (row.cache !== undefined && (!text.caches.includes(row.cache) || method !== 'GET' || row.who !== 'anyone')) fail('only a GET for anyone is cached');
  if (row.retry !== undefined && row.retry !== 'always') fail(`retry: always, not "${row.retry}"`);
  return { name, method, path: row[method], to: row.to, who: row.who, class: row.class, body: row.body ?? 'none', cache: row.cache, isStream: row.stream === true, isRetried: row.retry === 'always' };
}

// { operations: [row], paths: [{ path, rows }], ... }: the order of the file.
export function describe(source = readFileSync(FILE, 'utf8')) {
  const text = YAML.parse(source);
  const operations = Object.entries(text.operations).map(([name, row]) => readRow(text, name, row));
  const paths = [];
  for (const row of operations) {
    const there = paths.find(({ path }) => path === row.path);
    if (!there) paths.push({ path: row.path, rows: [row] });
    else if (there.rows[0].to !== row.to) throw new Error(`routes.yaml: ${row.path} has two upstreams`); // nginx chooses by path
    else there.rows.push(row);
  }
  return { ...text, operations, paths };
}

export const pattern = (path, one) => path.replaceAll(/\{[^}]+\}/g, one);
