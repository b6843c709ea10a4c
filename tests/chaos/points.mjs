#!/usr/bin/env node
// SPDX-License-Identifier: Apache-2.0
// Visits every named step (chassis/include/ch/points.def) once with each strike: die, stall, fail. Brings up a stack of its own, built with
// the steps, judges all orders at the end, prints a table. A step that was not hit is a failure like a violation. Must never leave its
// stack behind.
//
//   ./dev chaos --points [--keep] [--only NAME[:STRIKE],…]
//
// The last line: {"steps","visited","coverage","violations"}.

import { execFileSync } from 'node:child_process';
import { join } from 'node:path';
import { parseArgs } from 'node:util';

import { keysIn } from '../lib/personal.mjs';
import { points } from '../lib/points.mjs';
import { ROOT } from '../lib/stack-root.mjs';

process.env.GWASUWON_VAR = join(process.env.GWASUWON_VAR ?? join(ROOT, 'var'), 'points');
const STRIKES = ['die', 'stall', 'fail'];
// Steps of the chassis are visited in each service whose events an order makes.
const SITES = { relay: ['order-manager', 'delivery-mock'], consume: ['delivery-mock', 'order-manager'] };
// PostgreSQL itself, which has no step of ours: it crashes when the buyer has just been answered.
const DATABASE = { name: 'DATABASE', protocol: 'place', service: 'order-manager', text: 'the buyer is answered; the next order comes' };
const ORDER = ['place', 'cancel', 'relay', 'consume', 'resolve'];

export function planned(only = []) {
  const wanted = (point, action) => only.length === 0 || only.includes(point.name) || only.includes(`${point.name}:${action}`);
  return [...points, DATABASE]
    .sort((a, b) => ORDER.indexOf(a.protocol) - ORDER.indexOf(b.protocol))
    .flatMap((point) => (point.service === 'any' ? SITES[point.protocol] : [point.service]).map((site) => ({ point, site })))
    .flatMap(({ point, site }) => (point === DATABASE ? ['die'] : STRIKES).filter((action) => wanted(point, action)).map((action) => ({ point, action, site, orders: [] })));
}

// The stack, new unless a kept one may be used, its services taken over; what visits need.
export async function openWorld(build, isKept) {
  if (!isKept) wipe();
  try {
    return await makeWorld(build);
  } catch (error) {
    if (!isKept) wipe();
    throw error;
  }
}

async function makeWorld(build) {
  process.env.FRUIT_CATALOG_HOLD_TTL_S = '1';
  execFileSync(`${ROOT}/dev`, ['up', '--kind', 'points', '--instances', '2', '--no-seed'], { stdio: ['ignore', 'ignore', 'inherit'] });
  const { stack, environmentOf, SERVICES } = await import('../lib/stack.mjs');
  const { takeOver } = await import('./points/processes.mjs');
  const { Buyer, makeFarm, makeProduct } = await import('../lib/shop.mjs');
  const { expectJson } = await import('../lib/http.mjs');
  const { operatorToken } = await import('../lib/tokens.mjs');
  const { default: pg } = await import('pg');

  await expectJson(200, 'PUT /api/v1/simulation', { token: await operatorToken(), json: { paused: true, speed: 1, readyMeanS: 600, routeMeanS: 1200 } });
  const farm = await makeFarm();
  const world = {
    all: await takeOver(stack, { environmentOf, SERVICES, build }),
    personalKeys: keysIn(join(stack.var, 'keys/personal.keys')),
    amqpUri: stack.rabbitmq.amqp,
    queues: await queuesOf(stack.rabbitmq.management),
    buyer: await Buyer.make(),
    skus: [],
  };
  world.om = world.all['order-manager'];
  // Again after a crash of the database.
  world.connect = async () => {
    const client = new pg.Client({ connectionString: stack.postgres.uri });
    client.on('error', () => {}); // the crash may be part of the plan
    await client.connect();
    return (world.db = client);
  };
  await world.connect();
  // Another build of the services, from the next start on.
  world.use = (folder) => {
    for (const one of Object.values(world.all)) one.binary = one.binary.replace(/^.*(?=\/services\/)/, folder);
  };
  world.startAll = () => Promise.all(SERVICES.map((name) => world.all[name].restart()));
  world.stopAll = () => Promise.all(Object.values(world.all).map((one) => one.kill()));
  // A SKU for each visit, so that its stock tells of it alone.
  world.stock = async (visits) => {
    for (let i = 0; i < visits.length; i += 20) {
      const part = visits.slice(i, i + 20);
      const { skus } = await makeProduct(farm, { skus: part.map(() => ({ stock: 20, priceKrw: 32900, perBuyerLimit: 20 })) });
      part.forEach((visit, n) => { visit.sku = { ...skus[n], stock: 20 }; });
    }
    world.skus.push(...visits.map(({ sku }) => sku.skuId));
  };
  world.close = async () => {
    await world.stopAll();
    await world.db.end().catch(() => {});
  };
  return world;
}

async function queuesOf(management) {
  const url = new URL(management);
  const answer = await fetch(`${url.origin}/api/queues/%2F`, { headers: { authorization: `Basic ${Buffer.from(`${url.username}:${url.password}`).toString('base64')}` } });
  return (await answer.json()).filter(({ exclusive }) => !exclusive).map(({ name }) => name);
}

export const wipe = () => execFileSync(`${ROOT}/dev`, ['down', '--wipe'], { stdio: ['ignore', 'ignore', 'inherit'] });

// run(world, visits): visits them in their order, then judges. Returns the violations; a wait in vain is one.
export async function run(world, visits, say = () => {}) {
  const { makeVisit, rest } = await import('./points/visits.mjs');
  const { judge } = await import('./points/invariants.mjs');
  await world.startAll();
  await world.stock(visits);
  for (const visit of visits) {
    await makeVisit(world, visit);
    say(visit);
  }
  const trouble = visits.filter((visit) => visit.trouble).map((visit) => ({ invariant: 'progress', what: visit.trouble, visit }));
  await rest(world, visits.map(({ sku }) => sku.skuId)).catch((error) => trouble.push({ invariant: 'progress', what: error.message.split('\n')[0] }));
  return [...trouble, ...(await judge(world, visits))];
}

function table(visits, violations) {
  const cell = (point, site, action) => {
    const visit = visits.find((one) => one.point === point && one.site === site && one.action === action);
    if (!visit) return '-';
    if (!visit.isHit) return 'MISSED';
    return violations.some((one) => one.visit === visit) ? 'VIOLATED' : `${visit.ms} ms`;
  };
  const rows = [...new Map(visits.map(({ point, site }) => [`${point.name} ${site}`, { point, site }])).values()];
  console.log(`\n${'step'.padEnd(24)}${'in'.padEnd(16)}${STRIKES.map((one) => one.padStart(10)).join('')}`);
  for (const { point, site } of rows) console.log(`${point.name.padEnd(24)}${site.padEnd(16)}${STRIKES.map((action) => cell(point, site, action).padStart(10)).join('')}`);
}

async function main() {
  const { values } = parseArgs({ options: { keep: { type: 'boolean' }, counted: { type: 'boolean' }, only: { type: 'string' } } });
  const visits = planned(values.only?.split(','));
  const world = await openWorld(`${ROOT}/build/points`, values.keep);
  let violations;
  try {
    violations = await run(world, visits, ({ point, action, site, isHit, ms, trouble }) => console.log(`  ${isHit ? 'ok  ' : 'MISS'}  ${point.name} ${action} in ${site}, ${ms} ms${trouble ? `: ${trouble}` : ''}`));
  } finally {
    await world.close();
    if (!values.keep) wipe();
  }
  table(visits, violations);
  for (const { invariant, what, visit } of violations) console.log(`VIOLATED  ${invariant}${visit ? ` (${visit.point.name} ${visit.action} in ${visit.site})` : ''}: ${what}`);
  const hit = visits.filter((visit) => visit.isHit);
  const good = hit.filter((visit) => !violations.some((one) => one.visit === visit));
  const loose = violations.filter((one) => !one.visit).length;
  if (values.counted) console.log(`@ ${good.length} ${visits.length - good.length + loose}`);
  console.log(JSON.stringify({ steps: visits.length, visited: hit.length, coverage: visits.length ? Number((hit.length / visits.length).toFixed(4)) : 0, violations: violations.length }));
  process.exit(hit.length === visits.length && visits.length > 0 && violations.length === 0 ? 0 : 1);
}

if (process.argv[1] === import.meta.filename) await main();
