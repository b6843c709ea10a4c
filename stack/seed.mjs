// SPDX-License-Identifier: Apache-2.0
// Fills a running shop with farms, products, pictures and stock; with --scale also with what measurements need.
// Exists so that nobody meets an empty shop. Works through the REST API alone, as an operator; must never change what is there already.
//
//   ./dev seed              lays what is missing; a second run changes nothing
//   ./dev seed --scale N    besides, N generated variants of every product, and places N x 1000 new orders of synthetic buyers
//   node stack/seed.mjs --check    checks the data against the contracts, without a shop
//
// The data: stack/seed/farms/*.json. Environment: GWASUWON_VAR.

import { Failure, findStack, openCaller, openProgress, openSigner, operatorOf } from './seed/api.mjs';
import { VARIANT_TITLE, inOrderOfCreation, readFarms, todayInSeoul, variantsOf } from './seed/catalogue.mjs';
import { openJournal } from './seed/journal.mjs';
import { lay, listAll } from './seed/lay.mjs';
import { placeOrders } from './seed/orders.mjs';

const SCALE_MAX = 1000;
const ORDERS_PER_SCALE = 1000;
const AVAILABLE_MIN = 200; // boxes that the orders under way do not empty

const USAGE = 'usage: ./dev seed [--scale N] | node stack/seed.mjs --check';

function readArguments(args) {
  if (args.length === 0) return { scale: 0 };
  if (args.length === 1 && args[0] === '--check') return { isCheck: true };
  const scale = Number(args[0] === '--scale' && args.length === 2 ? args[1] : args[0].replace(/^--scale=/, ''));
  if (!args[0].startsWith('--scale') || !Number.isInteger(scale) || scale < 1 || scale > SCALE_MAX) {
    throw new Failure(`${USAGE}; N is 1 to ${SCALE_MAX}`);
  }
  return { scale };
}

async function check() {
  const { checkSeed } = await import('./seed/check.mjs');
  const { counts, faults } = checkSeed();
  if (faults.length) throw new Failure(`${faults.join('\n')}\n${faults.length} faults in the seed`);
  console.log(`the seed is right: ${counts.farms} farms, ${counts.products} products, ${counts.skus} boxes`);
}

// Boxes of the generated products, as the shop sells them now.
async function generatedSkus(call) {
  const items = await listAll(call, 'products on sale', '/api/v1/products?limit=100&sort=newest');
  return items.filter(({ title }) => VARIANT_TITLE.test(title)).flatMap(({ skus }) => skus).filter(({ available }) => available >= AVAILABLE_MIN);
}

async function seed(scale) {
  const began = performance.now();
  const stack = findStack(scale ? ['fruit-catalog', 'order-manager'] : ['fruit-catalog']);
  const sign = openSigner(stack);
  const call = openCaller(stack.gateway, await sign('operator', operatorOf()));
  const progress = openProgress();
  const farms = readFarms(todayInSeoul());
  const products = inOrderOfCreation(farms);

  const wanted = [...products, ...variantsOf(products, scale)];
  const made = await lay({ call, journal: openJournal(stack.var), farms, products: wanted, progress });
  const took = ((performance.now() - began) / 1000).toFixed(1);
  const isThere = made.farms + made.products === 0;
  progress.end(isThere
    ? `all there: ${farms.length} farms, ${wanted.length} products (${took} s)`
    : `laid ${made.farms} farms, ${made.products} products, ${made.skus} boxes in ${took} s`);
  if (!scale) return;

  const skus = await generatedSkus(call);
  const done = await placeOrders({ gateway: stack.gateway, sign, skus, orders: scale * ORDERS_PER_SCALE, progress });
  progress.end(`placed ${done.placed} orders of ${done.buyers} buyers in ${done.seconds.toFixed(1)} s: ${done.perSecond}/s, ` +
    `p50 ${done.p50Ms.toFixed(1)} ms, p99 ${done.p99Ms.toFixed(1)} ms; refused ${JSON.stringify(done.refusals)}`);
}

try {
  const { isCheck, scale } = readArguments(process.argv.slice(2));
  await (isCheck ? check() : seed(scale));
} catch (error) {
  console.error(error instanceof Failure ? error.message : error);
  process.exitCode = 1;
}
