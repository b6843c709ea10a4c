// SPDX-License-Identifier: Apache-2.0
// The checker: waits until the shop is at rest, compares journal, database and broker, tells every violation with its ids. Exists apart from
// the run so that a journal can be judged again. Must never change the shop, nor end well with a violation.
//
//   node tests/chaos/check.mjs JOURNAL        the stack of that run must be up

import { execFileSync } from 'node:child_process';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';

import { ROOT } from '../lib/stack-root.mjs';
import { deadLetters, depths, queues } from './broker.mjs';
import { Database } from './database.mjs';
import { factsOf } from './facts.mjs';
import { judge } from './invariants/all.mjs';

const SETTLE_MS = 180_000; // a cancellation that failed often is tried again after up to 96 s
const SHOWN = 10; // violations of one invariant

// Until nothing is on its way any more, or for as long as the shop may take; what is left then is a violation of its own.
async function settle(database, status, names, say) {
  const began = performance.now();
  let unrest;
  for (;;) {
    const waiting = (await depths(status.rabbitmq.amqp, names)).reduce((sum, { messages }) => sum + messages, 0);
    unrest = { ...(await database.unrest()), waiting };
    const isQuiet = Object.values(unrest).every((count) => count === 0);
    if (isQuiet || performance.now() - began > SETTLE_MS) break;
    await pause(500);
  }
  say(`at rest after ${Math.round((performance.now() - began) / 1000)} s: ${JSON.stringify(unrest)}`);
}

export async function check(journal, status, say = console.log) {
  const facts = await factsOf(journal);
  const database = await Database.open(status.postgres.uri, join(status.var, 'keys/personal.keys'));
  try {
    const names = await queues(status.rabbitmq.management);
    await settle(database, status, names, say);
    const broker = { depths: await depths(status.rabbitmq.amqp, names), dead: await deadLetters(status.rabbitmq.amqp) };
    return { facts, results: judge({ facts, db: await database.read(), broker }) };
  } finally {
    await database.close();
  }
}

export function report({ facts, results }, say = console.log) {
  const { attempts, acknowledged, refused, unsent, unknown, unanswered } = facts.counts;
  const sum = (kind) => results.filter(({ counts }) => counts === kind).reduce((total, { violations }) => total + violations.length, 0);
  say(`attempts ${attempts}: acknowledged ${acknowledged}, definite failures ${refused + unsent} (refused ${refused}, never sent ${unsent}), unknown ${unknown}${unanswered ? ` (${unanswered} without any answer)` : ''}`);
  say(`orders: ${facts.acknowledgedAt.size} acknowledged, lost ${sum('lost')}, duplicated ${sum('duplicated')}, recovered ${facts.recovered} (acknowledged by the same key after an unknown outcome)`);
  for (const { invariant, says, violations } of results) {
    say(`  ${violations.length === 0 ? 'holds   ' : 'VIOLATED'}  ${invariant}: ${says}`);
    for (const { ids, expected, found } of violations.slice(0, SHOWN)) say(`            ${JSON.stringify(ids)} expected ${expected}, found ${found}`);
    if (violations.length > SHOWN) say(`            … and ${violations.length - SHOWN} more`);
  }
  return { attempts, acknowledged, lost: sum('lost'), duplicated: sum('duplicated'), violations: sum('violations') };
}

async function main(journal) {
  const { run } = await factsOf(journal);
  if (!run) throw new Error(`${journal} is no journal of a run: it does not begin with one`);
  const status = JSON.parse(execFileSync(join(ROOT, 'dev'), ['status', '--json'], { encoding: 'utf8', env: { ...process.env, GWASUWON_VAR: run.folder } }));
  const totals = report(await check(journal, status));
  console.log(JSON.stringify(totals));
  process.exitCode = totals.lost + totals.duplicated + totals.violations > 0 ? 1 : 0;
}

if (process.argv[1] === import.meta.filename) {
  if (process.argv.length !== 3) {
    console.error('usage: node tests/chaos/check.mjs JOURNAL');
    process.exit(2);
  }
  await main(process.argv[2]);
}
