// SPDX-License-Identifier: Apache-2.0
// Lays farms and products over the REST API, as an operator would. Adds what is missing and changes nothing that is there: what
// people edited in the shop stays as they left it. Must never write to the database directly.

import { inLanes } from './api.mjs';

const LANES = 8;

// Returns how many farms were made.
async function layFarms(call, journal, farms) {
  const missing = [];
  await inLanes(farms, LANES, async (farm) => {
    const { status } = await call(`farm ${farm.body.name}`, 'GET', `/api/v1/farms/${farm.farmId}`, { want: [200, 404] });
    if (status === 404) missing.push(farm);
  });
  if (missing.length === farms.length) journal.drop(); // it tells of a database that is gone
  await inLanes(missing, LANES, (farm) => call(`farm ${farm.body.name}`, 'PUT', `/api/v1/farms/${farm.farmId}`, { json: farm.body }));
  return missing.length;
}

// All items of a list, page by page.
export async function listAll(call, what, path) {
  const items = [];
  let cursor = null;
  do {
    const { body } = await call(what, 'GET', cursor ? `${path}&cursor=${cursor}` : path);
    items.push(...body.items);
    cursor = body.nextCursor;
  } while (cursor);
  return items;
}

// The titles on sale of each farm: how products are found again whose journal is lost.
async function titlesOnSale(call, farms) {
  const titles = new Map();
  await inLanes(farms, LANES, async ({ farmId, body }) => {
    const items = await listAll(call, `products of ${body.name}`, `/api/v1/products?farmId=${farmId}&limit=100`);
    titles.set(farmId, new Set(items.map((item) => item.title)));
  });
  return titles;
}

async function create(call, journal, product) {
  const { body } = await call(product.body.title, 'POST', `/api/v1/farms/${product.farmId}/products`, { json: product.body });
  journal.created(product.key, body.productId, body.version);
}

// Somebody may have edited a product between two of our steps; its page says the version it has now.
async function setStatus(call, product, laid, status) {
  const path = `/api/v1/products/${laid.productId}`;
  const patch = (version) => ({ json: { status }, headers: { 'if-match': `"${version}"` } });
  const first = await call(product.body.title, 'PATCH', path, { ...patch(laid.version), want: [200, 412] });
  if (first.status === 200) return first.body.version;
  const { body } = await call(product.body.title, 'GET', path);
  return (await call(product.body.title, 'PATCH', path, patch(body.version))).body.version;
}

// The steps after creation, without those that an earlier run has done. Boxes come before the status: nobody sees a product without them.
// The picture comes after it: a picture raises the product's version, and nobody is told the version of a draft.
async function fill(call, journal, product) {
  const laid = journal.find(product.key);
  const path = `/api/v1/products/${laid.productId}`;
  const { bytes, type, alt } = product.picture;
  const steps = [
    ...product.skus.map((json, i) => [`sku/${i}`, () => call(`${product.body.title}, box ${i + 1}`, 'POST', `${path}/skus`, { json })]),
    ...product.steps.map((status) => [status, () => setStatus(call, product, laid, status)]),
    ['picture', () => call(product.body.title, 'POST', `${path}/images?alt=${encodeURIComponent(alt)}`, { bytes, type })],
    ['laid', () => {}],
  ];
  for (const [step, act] of steps) {
    if (laid.done.has(step)) continue;
    const result = await act();
    journal.did(product.key, step, Number.isInteger(result) ? result : undefined);
  }
}

// products: in the order they are to be created. Returns what was made.
export async function lay({ call, journal, farms, products, progress }) {
  const madeFarms = await layFarms(call, journal, farms);
  const titles = await titlesOnSale(call, farms);
  const isThere = ({ key, farmId, body }) => journal.isLaid(key) || (!journal.find(key) && titles.get(farmId).has(body.title));
  const missing = products.filter((product) => !isThere(product));

  // One by one: the order of creation is the order of their ids.
  let made = 0;
  for (const product of missing) {
    if (!journal.find(product.key)) await create(call, journal, product);
    progress.show(`products ${++made} of ${missing.length}`);
  }
  let filled = 0;
  await inLanes(missing, LANES, async (product) => {
    await fill(call, journal, product);
    progress.show(`boxes and pictures of products ${++filled} of ${missing.length}`);
  });
  return { farms: madeFarms, products: missing.length, skus: missing.reduce((sum, { skus }) => sum + skus.length, 0) };
}
