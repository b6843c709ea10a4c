// SPDX-License-Identifier: Apache-2.0
// Finding fruit: Korean text in the middle of words, initial consonants, filters, sorts, cursors, and what the search refuses.

import assert from 'node:assert/strict';
import { before, test } from 'node:test';

import { expectJson, expectProblem } from '../lib/http.mjs';
import { koreanWord, uuid7 } from '../lib/ids.mjs';
import { makeDraft, makeFarm, makeProduct } from '../lib/shop.mjs';

const search = (query, status = 200) => expectJson(status, 'GET /api/v1/products', { query });
const ids = (page) => page.items.map((item) => item.productId);

// All pages of a search, as one list; fails when a page repeats what another had.
async function searchAll(query) {
  const all = [];
  let cursor;
  do {
    const page = await search({ ...query, ...(cursor ? { cursor } : {}) });
    all.push(...page.items);
    cursor = page.nextCursor;
    assert.ok(all.length <= 500, 'the cursor goes in circles');
  } while (cursor);
  assert.equal(new Set(all.map((item) => item.productId)).size, all.length, 'a product came twice');
  return all;
}

// A farm whose products share one made-up word, so that a search by it sees only them.
const word = koreanWord(4);
let farm;
let apple;
let pear;
let grape;
before(async () => {
  farm = await makeFarm({ sido: '전남', sigungu: '나주시', certificates: [{ kind: 'GAP', number: '1', agency: '기관', validTo: '2099-12-31' }, { kind: 'ORGANIC', number: '2', agency: '기관', validTo: '2001-01-01' }] });
  apple = await makeProduct(farm, { product: { title: `${word} 꿀사과랑 선물`, fruit: '사과', variety: '홍로', seasonFrom: '01-01', seasonTo: '12-31' }, skus: [{ grade: '특', priceKrw: 30_000 }, { grade: '상', priceKrw: 20_000 }] });
  pear = await makeProduct(farm, { product: { title: `${word} 나주배`, fruit: '배', variety: '신고', seasonFrom: '01-01', seasonTo: '12-31' }, skus: [{ grade: '상', priceKrw: 40_000 }] });
  grape = await makeProduct(farm, { product: { title: `${word} 포도송이`, fruit: '포도', variety: '샤인머스캣', ...yesterday() }, skus: [{ grade: '못난이', priceKrw: 10_000 }] });
});

// A season of one day, not today.
function yesterday() {
  const day = new Date(Date.now() - 10 * 86_400_000).toISOString().slice(5, 10);
  return { seasonFrom: day, seasonTo: day };
}

test('q=사과 finds apples', async () => {
  const page = await search({ q: '사과', limit: 100 });
  assert.ok(page.items.length > 0);
  for (const item of page.items) assert.match(`${item.title} ${item.fruit} ${item.variety} ${item.farm.name}`, /사과/);
});

const FINDS = [
  { name: 'a two-syllable word in the middle of another', q: () => `${word} 사과`, want: () => [apple] },
  { name: 'two syllables across the middle of a word', q: () => `${word} 과랑`, want: () => [apple] },
  { name: 'the variety', q: () => `${word} 신고`, want: () => [pear] },
  { name: 'one syllable', q: () => `${word} 배`, want: () => [pear] },
  { name: 'initial consonants ㅅㄱ', q: () => `${word} ㅅㄱ`, want: () => [apple, pear] }, // 사과, 신고
  { name: 'initial consonants in the middle of a word: ㄱㄹ', q: () => `${word} ㄱㄹ`, want: () => [apple] }, // 꿀사[과랑]
  { name: 'initial consonants of a whole variety', q: () => `${word} ㅅㅇㅁㅅㅋ`, want: () => [grape] },
  { name: 'the farm', q: () => farm.name, want: () => [apple, pear, grape] },
  { name: 'nothing where nothing is', q: () => `${word} 두리안`, want: () => [] },
];
for (const { name, q, want } of FINDS) {
  test(`the search finds by ${name}`, async () => {
    assert.deepEqual(new Set(ids(await search({ q: q(), limit: 100 }))), new Set(want().map((product) => product.productId)));
  });
}

test('q=ㅅㄱ finds 사과', async () => {
  const all = await search({ q: 'ㅅㄱ', limit: 100, fruit: '사과', farmId: farm.farmId });
  assert.deepEqual(ids(all), [apple.productId]);
});

const FILTERS = [
  { name: 'fruit', query: { fruit: '배' }, want: () => [pear] },
  { name: 'region by sido', query: { region: '전남' }, want: () => [apple, pear, grape] },
  { name: 'region by sido and sigungu', query: { region: '전남 나주시' }, want: () => [apple, pear, grape] },
  { name: 'another region', query: { region: '제주' }, want: () => [] },
  { name: 'in season', query: { inSeason: 'true' }, want: () => [apple, pear] },
  { name: 'not in season', query: { inSeason: 'false' }, want: () => [grape] },
  { name: 'grade', query: { grade: '상' }, want: () => [apple, pear] },
  { name: 'a valid certificate', query: { certificate: 'GAP' }, want: () => [apple, pear, grape] },
  { name: 'a certificate that ran out', query: { certificate: 'ORGANIC' }, want: () => [] },
  { name: 'price from', query: { minPriceKrw: 30_000 }, want: () => [apple, pear] },
  { name: 'price to', query: { maxPriceKrw: 20_000 }, want: () => [apple, grape] },
  { name: 'a price range', query: { minPriceKrw: 15_000, maxPriceKrw: 25_000 }, want: () => [apple] },
  { name: 'grade and price of the same SKU', query: { grade: '상', minPriceKrw: 25_000 }, want: () => [pear] },
  { name: 'farm', query: {}, want: () => [apple, pear, grape] },
  { name: 'all at once', query: { fruit: '사과', grade: '특', inSeason: 'true', certificate: 'GAP', region: '전남', maxPriceKrw: 30_000 }, want: () => [apple] },
];
for (const { name, query, want } of FILTERS) {
  test(`the search filters by ${name}`, async () => {
    const page = await search({ ...query, farmId: farm.farmId, limit: 100 });
    assert.deepEqual(new Set(ids(page)), new Set(want().map((product) => product.productId)));
  });
}

const SORTS = [
  { sort: 'priceAsc', want: () => [grape, apple, pear] },
  { sort: 'priceDesc', want: () => [pear, apple, grape] },
  { sort: 'newest', want: () => [grape, pear, apple] },
];
for (const { sort, want } of SORTS) {
  test(`the search sorts by ${sort}, and a cursor goes on where the page ended`, async () => {
    const wanted = want().map((product) => product.productId);
    assert.deepEqual(ids(await search({ farmId: farm.farmId, sort })), wanted);
    for (const limit of [1, 2]) assert.deepEqual((await searchAll({ farmId: farm.farmId, sort, limit })).map((item) => item.productId), wanted);
  });
}

test('a recommended search pages over everything once', async () => {
  const all = await searchAll({ q: word, limit: 1 });
  assert.equal(all.length, 3);
});

test('an item shows the cheapest SKU first and its farm', async () => {
  const { items } = await search({ q: `${word} 꿀사과랑` });
  const [item] = items;
  assert.equal(item.fromPriceKrw, 20_000);
  assert.equal(item.grade, '상');
  assert.deepEqual(item.skus.map((sku) => sku.priceKrw), [20_000, 30_000]);
  assert.equal(item.skus[0].available, 100);
  assert.deepEqual(item.farm, { farmId: farm.farmId, name: farm.name, region: '전남 나주시' });
  assert.equal(item.inSeason, true);
  assert.deepEqual(item.certificates, ['GAP']);
});

test('a draft is found by nobody', async () => {
  const draft = await makeDraft(farm, { title: `${koreanWord()} 초안` });
  assert.deepEqual((await search({ q: draft.title })).items, []);
  await expectProblem(404, 'not_found', null, `GET /api/v1/products/${draft.productId}`);
});

test('a paused product is not found any more, but its page stays', async () => {
  const paused = await makeProduct(farm, { product: { title: `${koreanWord()} 잠깐` } });
  await expectJson(200, `PATCH /api/v1/products/${paused.productId}`, { token: farm.token, headers: { 'if-match': `"${paused.version}"` }, json: { status: 'PAUSED' } });
  assert.deepEqual((await search({ q: paused.title })).items, []);
  assert.equal((await expectJson(200, `GET /api/v1/products/${paused.productId}`)).status, 'PAUSED');
});

const BAD = [
  ['limit below 1', { limit: 0 }, '?limit'],
  ['limit over 100', { limit: 101 }, '?limit'],
  ['a limit that is no number', { limit: 'many' }, '?limit'],
  ['a limit with a fraction', { limit: '1.5' }, '?limit'],
  ['a limit over int64', { limit: '9223372036854775808' }, '?limit'],
  ['an unknown parameter', { page: 2 }, '?page'],
  ['an unknown sort', { sort: 'cheapest' }, '?sort'],
  ['an unknown grade', { grade: '최고' }, '?grade'],
  ['an unknown certificate', { certificate: 'ISO' }, '?certificate'],
  ['an empty q', { q: '' }, '?q'],
  ['a q of 51 characters', { q: '사'.repeat(51) }, '?q'],
  ['a season that is no bool', { inSeason: 'yes' }, '?inSeason'],
  ['a farm that is no id', { farmId: 'f1' }, '?farmId'],
  ['a price below 0', { minPriceKrw: -1 }, '?minPriceKrw'],
  ['a highest price below the lowest', { minPriceKrw: 2000, maxPriceKrw: 1000 }, '?maxPriceKrw'],
  ['a cursor of another program', { cursor: 'bm90LW91cnM' }, '?cursor'],
  ['a cursor with signs', { cursor: '<script>' }, '?cursor'],
];
for (const [name, query, pointer] of BAD) {
  test(`the search refuses ${name}`, async () => {
    await expectProblem(400, 'invalid_request', pointer, 'GET /api/v1/products', { query });
  });
}

test('the search refuses a parameter given twice, and bad percent-encoding', async () => {
  await expectProblem(400, 'invalid_request', '?limit', 'GET /api/v1/products?limit=1&limit=2');
  await expectProblem(400, 'invalid_request', '?q', 'GET /api/v1/products?q=%ff%fe');
});

test('the search refuses a cursor of another search', async () => {
  const page = await search({ farmId: farm.farmId, sort: 'priceAsc', limit: 1 });
  await expectProblem(400, 'invalid_request', '?cursor', 'GET /api/v1/products', { query: { farmId: farm.farmId, sort: 'newest', limit: 1, cursor: page.nextCursor } });
});

test('the search refuses a cursor with one character changed', async () => {
  const { nextCursor } = await search({ farmId: farm.farmId, limit: 1 });
  const changed = nextCursor.slice(0, -2) + (nextCursor.at(-2) === 'A' ? 'B' : 'A') + nextCursor.at(-1);
  await expectProblem(400, 'invalid_request', '?cursor', 'GET /api/v1/products', { query: { farmId: farm.farmId, limit: 1, cursor: changed } });
});

for (const q of [`' OR 1=1 --`, '%', '_', '\\', `${word}%`, '🍎', '<b>사과</b>']) {
  test(`the search takes ${JSON.stringify(q)} as text`, async () => {
    const page = await search({ q, farmId: uuid7() });
    assert.deepEqual(page.items, []);
  });
}
