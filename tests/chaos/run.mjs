#!/usr/bin/env node
// SPDX-License-Identifier: Apache-2.0
// ./dev chaos: people use the shop while everything around them dies, then the journal is held against what is stored. Prints what it did, each
// violation, and as its last line one JSON object. Must always end, always take its stack down, and never call a run good that did no work.

import { mkdirSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';

import { ROOT } from '../lib/stack-root.mjs';
import { until } from '../lib/until.mjs';
import { check, report } from './check.mjs';
import { closeAgent, closeClients } from './client.mjs';
import { Crowd } from './crowd.mjs';
import { Ear } from './events.mjs';
import { Journal } from './journal.mjs';
import { readOptions } from './options.mjs';
import { Random } from './random.mjs';
import { makeSchedule } from './schedule.mjs';
import { Shop } from './shop.mjs';
import { Stack } from './stack.mjs';
import { Storm } from './storm.mjs';
import { Watch } from './watch.mjs';

const began = performance.now();
const say = (text) => console.log(`${((performance.now() - began) / 1000).toFixed(1).padStart(7)}s  ${text}`);
const IN_FLIGHT_LEAST = 0.3; // of the kills: fewer prove too little
const RECOVER_MS = 20_000;
const DISK_MIB = 2500;
const EXTRA_MS = 12 * 60_000; // beyond the storm: coming up, settling, checking

const options = readOptions(process.argv.slice(2));
const schedule = makeSchedule(options);
if (options.plan) {
  for (const step of schedule) console.log(JSON.stringify(step));
  process.exit(0);
}

const home = join(process.env.GWASUWON_VAR ?? join(ROOT, 'var'), 'chaos');
const stack = new Stack({ folder: join(home, 'stack'), kind: options.kind, instances: options.instances, say });
if (options.wipe) {
  await stack.wipe();
  process.exit(0);
}
const watch = new Watch();
const faultsOfServices = [];
let isOver = false;

// What the shop can do is what its contract says.
const ABILITIES = { cancel: '/api/v1/orders/{orderId}/cancel' };
const contract = readFileSync(join(ROOT, 'contracts/openapi/order-manager.yaml'), 'utf8');
const abilities = new Set(Object.entries(ABILITIES).filter(([, path]) => contract.includes(`\n  ${path}:\n`)).map(([name]) => name));

async function takeDown() {
  await stack.down({ isKept: options.keep });
}

async function prepare(journal) {
  say(`seed ${options.seed}, ${options.minutes} minutes, ${options.instances} of each service, ${schedule.length} faults planned`);
  if (!abilities.has('cancel')) say('the contract has no way to cancel an order: nobody cancels in this run');
  await stack.up();
  say('the stack is up');
  await stack.wire((name) => new Random(options.seed, name));
  for (const service of stack.services) service.onFault = (fault) => faultsOfServices.push(fault);
  if (schedule.some(({ name }) => name === 'disk') && !(await stack.postgres.moveToSmallDisk(DISK_MIB))) say('no small disk: needs root and loop devices; the fault "disk" is left out');
  await stack.restartThroughLinks();
  say(`${stack.links.length} links stand between the services and what they need`);
  const shop = new Shop(stack, journal);
  await shop.open();
  return shop;
}

// Faults until their time is over, or until a driver breaks.
async function storm(shop, journal) {
  const ear = new Ear(stack.status.rabbitmq.amqp, watch);
  const crowd = new Crowd({ shop, journal, watch, seed: options.seed, abilities });
  const weather = new Storm({ stack, journal, watch, ear, say });
  ear.start();
  crowd.start();
  const progress = setInterval(() => say(`${weather.kills} kills (${weather.inFlightShare} in flight), ${watch.succeeded} successes, ${Math.round(process.memoryUsage().rss / 1048576)} MiB`), 15_000);
  try {
    await Promise.race([weather.run(schedule, () => isOver), crowd.failed]);
    for (const link of stack.links) link.set('pass');
    for (const part of stack.parts) await part.heal();
    // While people still use it: each part that was killed must be seen to work. What does not is told by judgeRun.
    await until(() => watch.unrecovered.length === 0, { within: RECOVER_MS, what: 'the last recovery' }).catch(() => {});
    await Promise.race([crowd.stop(), crowd.failed, pause(120_000, null, { ref: false }).then(() => Promise.reject(new Error('drivers did not end')))]);
    // Nothing moves by itself any more.
    await shop.simulation({ paused: true, speed: 1, readyMeanS: 600, routeMeanS: 600 });
  } finally {
    clearInterval(progress);
  }
  await ear.stop();
  return weather;
}

// What the run itself must have done, or it has proven nothing.
function judgeRun(weather, totals) {
  const wantsKills = schedule.some(({ name }) => ['kill', 'stop-kill', 'backend', 'postmaster', 'postgres', 'rabbitmq'].includes(name));
  return [
    { name: 'orders were placed', isGood: totals.acknowledged >= 20 * options.minutes, found: `${totals.acknowledged} acknowledged` },
    { name: 'kills met work in flight', isGood: !wantsKills || weather.inFlightShare >= IN_FLIGHT_LEAST, found: `${weather.inFlightShare} of ${weather.kills}` },
    { name: 'every fault was carried out', isGood: weather.broken.length === 0, found: weather.broken.join('; ') },
    { name: 'no service ended by itself', isGood: faultsOfServices.length === 0, found: JSON.stringify(faultsOfServices.slice(0, 10)) },
    { name: 'everything works again', isGood: watch.unrecovered.length === 0, found: watch.unrecovered.join(', ') },
  ];
}

async function main() {
  mkdirSync(home, { recursive: true });
  const path = join(home, 'journal.jsonl');
  rmSync(path, { force: true });
  const journal = await Journal.create(path);
  await journal.write({ ...options, kind: 'run', build: options.kind, folder: stack.folder });
  const shop = await prepare(journal);
  const weather = await storm(shop, journal);
  await journal.close();
  say(`faults: ${JSON.stringify(weather.counts)}, ${weather.skipped} skipped because their target was down`);
  for (const { name, times, medianMs, slowestMs, slowestShadowedMs } of watch.table) {
    const ms = (value) => (value === null ? '-' : `${value} ms`);
    say(`  recovered ${name} ${times} times: first success after it answered, median ${ms(medianMs)}, slowest ${ms(slowestMs)}; while something else was broken too ${ms(slowestShadowedMs)}`);
  }
  const judged = await check(path, stack.status, say);
  const totals = report(judged, say);
  const runs = judgeRun(weather, totals);
  for (const { name, isGood, found } of runs) say(`  ${isGood ? 'holds   ' : 'VIOLATED'}  run: ${name}${isGood ? '' : `: ${found}`}`);
  const badRuns = runs.filter(({ isGood }) => !isGood).length;
  totals.violations += badRuns;
  const failed = judged.results.filter(({ violations }) => violations.length > 0).length + badRuns;
  if (failed) say(`replay: ./dev chaos --seed ${options.seed} --minutes ${options.minutes} --instances ${options.instances}${options.only.length ? ` --only ${options.only}` : ''}; journal ${path}`);
  return {
    last: { ...totals, kills: weather.kills, inFlightShare: weather.inFlightShare, recoveredMsMax: watch.slowestMs },
    passed: judged.results.length + runs.length - failed,
    failed,
  };
}

// The end, whatever happens: the stack goes down, and a run that hangs is ended.
async function end(outcome) {
  await takeDown();
  closeAgent();
  closeClients();
  if (options.counted) console.log(`@ ${outcome.passed} ${outcome.failed}`);
  else console.log(JSON.stringify(outcome.last));
  process.exit(outcome.failed > 0 ? 1 : 0);
}

const broken = (why) => {
  say(`the run broke off: ${why}`);
  return { last: { attempts: 0, acknowledged: 0, lost: 0, duplicated: 0, violations: 1, kills: 0, inFlightShare: 0, recoveredMsMax: 0 }, passed: 0, failed: 1 };
};
for (const name of ['SIGINT', 'SIGTERM']) {
  process.once(name, () => {
    isOver = true;
    void end(broken(name));
  });
}
const late = pause(options.minutes * 60_000 + EXTRA_MS, null, { ref: false }).then(() => Promise.reject(new Error('it did not end in time')));
const outcome = await Promise.race([main(), late]).catch((error) => broken(error.stack ?? error));
await end(outcome);
