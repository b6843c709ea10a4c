// SPDX-License-Identifier: Apache-2.0
// The seed as requests: reads farms/*.json and pictures.json and makes of them the bodies that the REST API takes.
// Exists so that the check and the laying see the same bodies. Must never reach the network.

import { readFileSync, readdirSync } from 'node:fs';
import { createRequire } from 'node:module';
import { disclosureOf, originOf } from './disclosure.mjs';

const here = (path) => new URL(path, import.meta.url);
const readJson = (path) => JSON.parse(readFileSync(here(path), 'utf8'));

// What a product passes through to get where the seed wants it; it begins as DRAFT.
const STEPS_TO = { DRAFT: [], ON_SALE: ['ON_SALE'], PAUSED: ['ON_SALE', 'PAUSED'] };

const VARIANT_STOCK = 2000;
export const VARIANT_TITLE = /^.+ [0-9]+차 수확분$/;

export const todayInSeoul = () => new Date().toLocaleDateString('sv-SE', { timeZone: 'Asia/Seoul' });

function readPictures() {
  const emojis = createRequire(import.meta.url).resolve('@lobehub/fluent-emoji-3d/package.json');
  const pictures = Object.entries(readJson('pictures.json')).map(([name, { emoji, file, alt }]) => {
    const path = emoji ? new URL(`assets/${emoji}.webp`, `file://${emojis}`) : here(`pictures/${file}`);
    return [name, { bytes: readFileSync(path), type: 'image/webp', alt }];
  });
  return Object.fromEntries(pictures);
}

// 과수 is a number of fruits; packs and boxes are told in the disclosure only.
const NO_FRUITS = ['팩', '상자'];

function skuBody({ grade, weightG, count, sizeCode, brix, priceKrw, limit, buyerLimit, stock }, unit) {
  return {
    grade,
    weightG,
    ...(!NO_FRUITS.includes(unit) && { countMin: count[0], countMax: count[1] }),
    ...(sizeCode && { sizeCode }),
    brixX10Min: Math.round(brix * 10),
    priceKrw,
    perOrderLimit: limit,
    ...(buyerLimit && { perBuyerLimit: buyerLimit }),
    stock,
  };
}

function productOf(farmId, farm, product, pictures, today) {
  const status = product.status ?? 'ON_SALE';
  return {
    key: `${farmId.slice(-2)}/${product.key}`,
    farmId,
    status,
    steps: STEPS_TO[status],
    picture: pictures[product.picture],
    body: {
      title: product.title,
      fruit: product.fruit,
      variety: product.variety,
      description: product.description.join('\n\n'),
      origin: originOf(farm),
      storage: product.storage,
      seasonFrom: product.season[0],
      seasonTo: product.season[1],
      taxClass: 'EXEMPT',
      disclosure: disclosureOf(farm, product, today),
    },
    skus: product.skus.map((sku) => skuBody(sku, product.unit)),
  };
}

// Farms in the order of their ids, each with its products in the order of its page.
export function readFarms(today) {
  const pictures = readPictures();
  const names = readdirSync(here('farms/')).filter((name) => name.endsWith('.json')).sort();
  return names.map((name) => {
    const { farmId, farm, products } = readJson(`farms/${name}`);
    return { name, farmId, body: farm, products: products.map((product) => productOf(farmId, farm, product, pictures, today)) };
  });
}

// Of products as recommended as each other search shows the newest first, so a farm's first product has to come last, and the first
// farm's last of all.
export function inOrderOfCreation(farms) {
  const places = farms.flatMap((farm, f) => farm.products.map((product, p) => ({ product, f, p })));
  return places.sort((a, b) => b.p - a.p || b.f - a.f).map(({ product }) => product);
}

// Generated products for measurements: `times` further harvests of all that is on sale, with stock that many orders do not empty and
// without limits per buyer, because few buyers place them.
export function variantsOf(products, times) {
  const sold = products.filter(({ status }) => status === 'ON_SALE');
  return Array.from({ length: times }, (_, i) => i + 2).flatMap((harvest) => sold.map((product) => ({
    ...product,
    key: `${product.key}/${harvest}`,
    body: { ...product.body, title: `${product.body.title} ${harvest}차 수확분` },
    skus: product.skus.map(({ perBuyerLimit: _, ...sku }) => ({ ...sku, stock: VARIANT_STOCK })),
  })));
}
