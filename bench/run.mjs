// SPDX-License-Identifier: Apache-2.0
// The benchmarks: each a ratio of two things measured in turn in this run, with the limit the project has set itself.
// Exists so that a claim of speed can be checked by anyone with `./dev bench`. Must never print a figure it did not just measure.
//
//   ./dev bench [NAME...]      without names: all, in this order

import { writeFileSync } from 'node:fs';
import { cpus } from 'node:os';
import { join } from 'node:path';
import { detail } from './detail.mjs';
import { edge } from './edge.mjs';
import { flash } from './flash.mjs';
import { db, dir, pauseSimulation, rounds, seconds } from './lib.mjs';
import { orders } from './orders.mjs';
import { overload } from './overload.mjs';
import { memory, start } from './processes.mjs';
import { tokens } from './tokens.mjs';

// Each answers a list of results: a ratio of `ours` to `theirs` that shall reach its limit, or a value that shall not pass it.
const benches = { detail, orders, memory, start, flash, overload, edge, tokens };

const wanted = process.argv.length > 2 ? process.argv.slice(2) : Object.keys(benches);
for (const name of wanted) {
  if (benches[name]) continue;
  console.error(`no benchmark "${name}"; there are: ${Object.keys(benches).join(', ')}`);
  process.exit(64);
}
await pauseSimulation();
const results = [];
for (const name of wanted) results.push(...(await benches[name]()).map((result) => ({ bench: name, ...result })));
await db.end();

const round = (value) => Math.round(value * 100) / 100;
let short = 0;
for (const r of results) {
  const isMet = r.ratio === undefined ? r.value <= r.limit : r.ratio >= r.limit;
  short += isMet ? 0 : 1;
  const what = r.ratio === undefined ? `${round(r.value)} ${r.unit} (limit ${r.limit})` : `${round(r.ratio)} (limit ${r.limit}): ${Math.round(r.ours)} against ${Math.round(r.theirs)} ${r.unit}`;
  console.log(`${isMet ? 'met  ' : 'SHORT'}  ${r.name}: ${what}`);
}
const report = { cpu: cpus()[0].model, cores: cpus().length, seconds, rounds, results };
writeFileSync(join(dir, 'last.json'), JSON.stringify(report, null, 2) + '\n');
console.log(`\nwritten to ${join(dir, 'last.json')}`);
process.exit(short ? 1 : 0);
