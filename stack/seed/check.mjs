// SPDX-License-Identifier: Apache-2.0
// Checks the seed without a shop: every body against the OpenAPI contracts, and what a schema cannot say.
// Must never reach the network.

import { readFileSync } from 'node:fs';
import Ajv from 'ajv/dist/2020.js';
import addFormats from 'ajv-formats';
import { parse } from 'yaml';
import { inOrderOfCreation, readFarms, todayInSeoul, variantsOf } from './catalogue.mjs';
import { orderBody } from './orders.mjs';

const CONTRACTS = new URL('../../contracts/openapi/', import.meta.url);
const PICTURE_MAX_BYTES = 5_242_880;
const FIRST_ORDER_STOCK_MIN = 500;
const PER_KG_KRW = [2000, 60_000]; // what fruit costs
const REQUIRED_ON_SALE = ['itemName', 'weight', 'quantity', 'size', 'producer', 'origin', 'composition', 'storage', 'caution', 'customerPhone'];
const LEAP_YEAR = '2028'; // in which every MM-DD that exists, exists

function openSchemas() {
  const ajv = new Ajv({ strict: false, allErrors: true, validateSchema: false });
  addFormats(ajv);
  const compiled = new Map();
  for (const name of ['fruit-catalog', 'order-manager']) ajv.addSchema(parse(readFileSync(new URL(`${name}.yaml`, CONTRACTS), 'utf8')), name);
  // Returns what is wrong with `value`, a line a fault.
  return (ref, value) => {
    if (!compiled.has(ref)) compiled.set(ref, ajv.compile({ $ref: ref }));
    const validate = compiled.get(ref);
    return validate(value) ? [] : validate.errors.map(({ instancePath, message }) => `${instancePath || '(body)'} ${message}`);
  };
}

const isDay = (md) => new Date(`${LEAP_YEAR}-${md}`).toISOString().slice(5, 10) === md;
const isWebp = (bytes) => bytes.toString('latin1', 0, 4) === 'RIFF' && bytes.toString('latin1', 8, 12) === 'WEBP';
const repeated = (list) => list.filter((item, i) => list.indexOf(item) !== i);

// Each rule: what it asks, and whether the thing does. Nothing here may look like a person, a firm or a number that exists.
const FARM_RULES = [
  ['its id is the next one', ({ farmId }, i) => farmId === `018f0000-0000-7000-9000-${(i + 1).toString(16).padStart(12, '0')}`],
  ['its phone is in no use', ({ body }) => /^0[0-9]{2}-000-[0-9]{4}$/.test(body.phone)],
  ['its business number is in no use', ({ body }) => /^000-00-[0-9]{5}$/.test(body.businessNumber)],
  ['its certificates begin with zeros', ({ body }) => body.certificates.every(({ number }) => /^(LC-)?00/.test(number))],
  ['its titles differ', ({ products }) => repeated(products.map(({ body }) => body.title)).length === 0],
  ['its keys differ', ({ products }) => repeated(products.map(({ key }) => key)).length === 0],
];
const PRODUCT_RULES = [
  ['its season has real days', ({ body }) => isDay(body.seasonFrom) && isDay(body.seasonTo)],
  ['its status is DRAFT, ON_SALE or PAUSED', ({ steps }) => steps !== undefined],
  ['it has a picture', ({ picture }) => picture !== undefined && isWebp(picture.bytes) && picture.bytes.length <= PICTURE_MAX_BYTES],
  ['its picture is told in words', ({ picture }) => picture?.alt.length > 0 && picture.alt.length <= 200],
  ['it has 2 or 3 boxes', ({ skus }) => skus.length >= 2 && skus.length <= 3],
  ['its disclosure is whole', ({ status, body: { disclosure } }) => status === 'DRAFT' ||
    (REQUIRED_ON_SALE.every((field) => disclosure[field]) && Boolean(disclosure.packedOn ?? disclosure.producedOn))],
];
const SKU_RULES = [
  ['its counts come in order', ({ countMin, countMax }) => (countMin === undefined) === (countMax === undefined) && !(countMin > countMax)],
  ['its price is that of fruit', ({ priceKrw, weightG }) => priceKrw / weightG * 1000 >= PER_KG_KRW[0] && priceKrw / weightG * 1000 <= PER_KG_KRW[1]],
  ['an order of three boxes is allowed', ({ perOrderLimit, perBuyerLimit = 999 }) => Math.min(perOrderLimit, perBuyerLimit) >= 3],
  ['its price is in hundreds', ({ priceKrw }) => priceKrw % 100 === 0],
];
const SEED_RULES = [
  ['there are 12 farms', (farms) => farms.length === 12],
  ['the first product is an apple that many can order', ([{ products: [first] }]) => first.body.fruit === '사과' && first.status === 'ON_SALE' &&
    first.skus.every(({ stock }) => stock >= FIRST_ORDER_STOCK_MIN)],
  ['a draft, a paused product, a sold-out box and one with a limit per buyer are in it', (farms) => {
    const products = farms.flatMap((farm) => farm.products);
    return ['DRAFT', 'PAUSED'].every((status) => products.some((product) => product.status === status)) &&
      products.some(({ status, skus }) => status === 'ON_SALE' && skus.some(({ stock }) => stock === 0)) &&
      products.some(({ status, skus }) => status === 'ON_SALE' && skus.some(({ perBuyerLimit }) => perBuyerLimit));
  }],
];

// Returns { counts, faults }.
export function checkSeed() {
  const faultsOf = openSchemas();
  const faults = [];
  const blame = (where, lines) => faults.push(...lines.map((line) => `${where}: ${line}`));
  const ask = (where, rules, ...things) => blame(where, rules.filter(([, holds]) => !holds(...things)).map(([rule]) => `not so that ${rule}`));
  const matches = (where, ref, value) => blame(where, faultsOf(`${ref.split('#')[0]}#/components/schemas/${ref.split('#')[1]}`, value));

  const today = todayInSeoul();
  const farms = readFarms(today);
  ask('the seed', SEED_RULES, farms);
  farms.forEach((farm, i) => {
    matches(farm.name, 'fruit-catalog#FarmPut', farm.body);
    ask(farm.name, FARM_RULES, farm, i);
  });

  const products = inOrderOfCreation(farms);
  for (const product of [...products, ...variantsOf(products, 2)]) {
    const where = `${product.key} ${product.body.title}`;
    matches(where, 'fruit-catalog#ProductCreate', product.body);
    ask(where, PRODUCT_RULES, product);
    product.steps?.forEach((status) => matches(where, 'fruit-catalog#ProductPatch', { status }));
    product.skus.forEach((sku, s) => {
      matches(`${where}, box ${s + 1}`, 'fruit-catalog#SkuCreate', sku);
      ask(`${where}, box ${s + 1}`, SKU_RULES, sku);
    });
  }

  // The disclosure's dates move with the year.
  for (let month = 1; month <= 12; month++) {
    const day = `${today.slice(0, 4)}-${String(month).padStart(2, '0')}-15`;
    for (const product of inOrderOfCreation(readFarms(day))) {
      matches(`${product.key} on ${day}`, 'fruit-catalog#ProductCreate', product.body);
      ask(`${product.key} on ${day}`, PRODUCT_RULES, product);
    }
  }

  const boxes = [1, 2, 3, 4].map((n) => ({ skuId: `018f0000-0000-7000-a000-00000000000${n}`, priceKrw: 10_000 * n }));
  for (let i = 0; i < 200; i++) matches('a generated order', 'order-manager#OrderPlace', orderBody(boxes));

  const counts = { farms: farms.length, products: products.length, skus: products.reduce((sum, { skus }) => sum + skus.length, 0) };
  return { counts, faults };
}
