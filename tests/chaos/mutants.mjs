#!/usr/bin/env node
// SPDX-License-Identifier: Apache-2.0
// Builds each deliberate bug (chassis/include/ch/mutants.def) and visits the steps at which it must show. A bug that no invariant sees is a
// failure: then the checks are worth nothing there. Must never run a mutant but in a stack of its own.
//
//   ./dev chaos --mutants [--keep] [--only NAME,…]
//
// The last line: {"mutants","caught"}.

import { execFileSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import amqp from 'amqplib';

import { mutants } from '../lib/points.mjs';
import { ROOT } from '../lib/stack-root.mjs';
import { openWorld, planned, run, wipe } from './points.mjs';

// Where each bug must show. What happens there without a bug is the affair of points.mjs.
const SHOWS_AT = {
  ACK_BEFORE_COMMIT: ['CONSUME_INBOX_INSERTED:die'],
  PUBLISH_BEFORE_COMMIT: ['PLACE_BEFORE_INSERT:die'],
  MARK_SENT_BEFORE_CONFIRM: ['RELAY_MARK_COMMITTED:die'],
  INBOX_OUTSIDE_TRANSACTION: ['CONSUME_INBOX_INSERTED:die'],
  NO_INBOX: ['CONSUME_COMMITTED:die'],
  NO_ROW_LOCK: ['RESERVE_BEFORE_COMMIT:stall'],
  HOLD_NOT_CHECKED: ['RESERVE_COMMITTED:die'],
  RELEASE_TWICE: ['RELEASE_COMMITTED:die'],
  RELEASE_ON_UNKNOWN: ['PLACE_INSERTED:fail'],
  RESOLVE_WITHOUT_FENCE: ['PLACE_RESERVED:stall'],
  KEY_OUTSIDE_TRANSACTION: ['PLACE_BEFORE_INSERT:stall'],
  CANCEL_WITHOUT_TOMBSTONE: ['CANCEL_BEFORE_COMMIT:fail'],
  CANCEL_FORGOTTEN: ['CANCEL_WISH_STORED:die'],
  REPLY_BEFORE_COMMIT: ['DATABASE:die'],
};

const FOLDER = join(ROOT, 'build/mutant');
const TARGETS = ['fruit-catalog', 'order-manager', 'delivery-mock'].map((name) => `services/${name}/${name}`);
const seconds = (from) => ((performance.now() - from) / 1000).toFixed(1);

// One folder for all: what has no bug in it is compiled once.
function build(name) {
  const began = performance.now();
  const options = ['-Dbuildtype=debugoptimized', '-Db_ndebug=false', '-Dpoints=true', `-Dmutant=${name}`];
  const how = { stdio: ['ignore', 'pipe', 'pipe'], encoding: 'utf8' };
  execFileSync('meson', existsSync(join(FOLDER, 'build.ninja')) ? ['configure', FOLDER, ...options] : ['setup', FOLDER, ROOT, ...options], how);
  execFileSync('ninja', ['-C', FOLDER, ...TARGETS], how);
  const says = execFileSync(join(FOLDER, 'services/order-manager/order-manager'), ['--version'], how);
  if (!says.includes(`MUTANT ${name}:`)) throw new Error(`the build of ${name} says ${says}`);
  return seconds(began);
}

// What a bug left on its way is not the next one's.
async function clear(world) {
  await world.stopAll();
  for (const schema of ['orders', 'delivery', 'catalog']) await world.db.query(`UPDATE ${schema}.outbox SET sent_at = now() WHERE sent_at IS NULL`);
  await world.db.query(`UPDATE orders.cancellations SET state = 'REFUSED', finished_at = now() WHERE state = 'REQUESTED'`);
  await world.db.query(`UPDATE catalog.holds SET state = 'RELEASED', buyer_id = NULL WHERE state = 'HELD'`);
  const connection = await amqp.connect(world.amqpUri);
  const channel = await connection.createChannel();
  for (const name of world.queues) await channel.purgeQueue(name);
  await connection.close();
  world.skus = [];
}

async function main() {
  const { values } = parseArgs({ options: { keep: { type: 'boolean' }, only: { type: 'string' } } });
  const chosen = mutants.filter(({ name }) => !values.only || values.only.split(',').includes(name));
  const rows = [];
  execFileSync(`${ROOT}/dev`, ['build', 'points'], { stdio: ['ignore', 'ignore', 'inherit'] });
  const world = await openWorld(join(ROOT, 'build/points'), values.keep);
  try {
    for (const { name, invariant } of chosen) {
      const took = build(name);
      world.use(FOLDER);
      const began = performance.now();
      const visits = planned(SHOWS_AT[name] ?? []);
      const violations = await run(world, visits);
      const seen = [...new Set(violations.map((one) => one.invariant))];
      rows.push({ name, invariant, seen, isCaught: visits.every(({ isHit }) => isHit) && seen.includes(invariant), seconds: seconds(began), example: violations.find((one) => one.invariant === invariant)?.what });
      console.log(`  built in ${took} s  ${name}: ${rows.at(-1).isCaught ? `caught by ${invariant}` : `SURVIVED, seen: ${seen}`}`);
      await clear(world);
    }
  } finally {
    await world.close();
    if (!values.keep) wipe();
  }
  console.log(`\n${'mutant'.padEnd(28)}${'caught'.padEnd(8)}${'by'.padEnd(18)}${'after'.padStart(8)}  for example`);
  for (const { name, isCaught, invariant, seconds: after, example } of rows) console.log(`${name.padEnd(28)}${(isCaught ? 'yes' : 'NO').padEnd(8)}${invariant.padEnd(18)}${`${after} s`.padStart(8)}  ${example ?? ''}`);
  const caught = rows.filter(({ isCaught }) => isCaught).length;
  console.log(JSON.stringify({ mutants: rows.length, caught }));
  process.exit(caught === rows.length && rows.length > 0 ? 0 : 1);
}

await main();
