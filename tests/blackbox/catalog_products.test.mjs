// SPDX-License-Identifier: Apache-2.0
// The life of a product: registered, filled in, published, edited, paused, ended; its SKUs, pictures and stock; and who may do it.

import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { before, test } from 'node:test';

import { listen } from '../lib/events.mjs';
import { assertProblem, call, expectJson, expectProblem } from '../lib/http.mjs';
import { koreanWord, uuid7 } from '../lib/ids.mjs';
import { png } from '../lib/pictures.mjs';
import { disclosure, farmBody, ledgerOf, makeDraft, makeFarm, makeProduct, makeSku, productBody, publish, shop, skuBody, stockOf } from '../lib/shop.mjs';
import { farmerToken, operatorToken } from '../lib/tokens.mjs';
import { until } from '../lib/until.mjs';

let farm;
let other;
before(async () => {
  farm = await makeFarm();
  other = await makeFarm();
});

const patch = (product, version, json, token = farm.token) =>
  call(`PATCH /api/v1/products/${product.productId}`, { token, json, headers: version === null ? {} : { 'if-match': version } });
const etag = (version) => `"${version}"`;

// ---- farms -------------------------------------------------------------------------------------------------------------

test('an operator creates a farm, replaces it, and If-Match guards it', async () => {
  const farmId = uuid7();
  const token = await operatorToken();
  const body = farmBody();
  const made = await expectJson(201, `PUT /api/v1/farms/${farmId}`, { token, json: body });
  assert.deepEqual({ name: made.name, region: made.region, shipCutoff: made.shipCutoff }, { name: body.name, region: '경북 청송군', shipCutoff: '14:00' });
  const edited = await expectJson(200, `PUT /api/v1/farms/${farmId}`, { token, json: { ...body, introduction: '새 소개' }, headers: { 'if-match': etag(made.version) } });
  assert.equal(edited.introduction, '새 소개');
  await expectProblem(412, 'precondition_failed', null, `PUT /api/v1/farms/${farmId}`, { token, json: body, headers: { 'if-match': etag(made.version) } });
  assert.equal((await expectJson(200, `GET /api/v1/farms/${farmId}`)).introduction, '새 소개');
});

test('farms are listed by name, page by page', async () => {
  const names = [];
  let cursor;
  for (let pages = 0; pages < 300; pages += 1) {
    const page = await expectJson(200, 'GET /api/v1/farms', { query: { limit: 50, cursor } });
    names.push(...page.items.map((row) => row.name));
    cursor = page.nextCursor;
    if (!cursor) break;
  }
  assert.ok(names.includes(farm.name));
  assert.deepEqual(names, names.toSorted((a, b) => (a < b ? -1 : 1)));
});

const BAD_FARMS = [
  ['a business number without hyphens', { businessNumber: '1234567890' }, '/businessNumber'],
  ['an unknown sido', { sido: '한양' }, '/sido'],
  ['a phone of letters', { phone: 'call me' }, '/phone'],
  ['a cut-off at 25:00', { shipCutoff: '25:00' }, '/shipCutoff'],
  ['a certificate of no kind', { certificates: [{ kind: 'ISO', number: '1', agency: '가', validTo: '2027-01-01' }] }, '/certificates/0/kind'],
  ['a certificate valid to 31 February', { certificates: [{ kind: 'GAP', number: '1', agency: '가', validTo: '2027-02-31' }] }, '/certificates/0/validTo'],
];
for (const [name, more, pointer] of BAD_FARMS) {
  test(`a farm with ${name} is refused`, async () => {
    await expectProblem(400, 'invalid_request', pointer, `PUT /api/v1/farms/${uuid7()}`, { token: await operatorToken(), json: farmBody(more) });
  });
}

// ---- products ----------------------------------------------------------------------------------------------------------

test('a product is registered as a draft and found by its Location after it is published', async () => {
  const answer = await call(`POST /api/v1/farms/${farm.farmId}/products`, { token: farm.token, json: productBody() });
  assert.equal(answer.status, 201, answer.text);
  const product = answer.json;
  assert.equal(answer.headers.get('location'), `/api/v1/products/${product.productId}`);
  assert.match(answer.headers.get('etag'), new RegExp(`^"${product.version}(-[0-9a-z]+)?"$`));
  assert.deepEqual([product.status, product.taxClass, product.skus, product.images, product.farm.farmId], ['DRAFT', 'EXEMPT', [], [], farm.farmId]);
  await makeSku(farm, product);
  await publish(farm, product);
  assert.equal((await expectJson(200, `GET ${answer.headers.get('location')}`)).status, 'ON_SALE');
});

const REQUIRED_DISCLOSURE = ['itemName', 'weight', 'quantity', 'size', 'producer', 'origin', 'composition', 'storage', 'caution', 'customerPhone'];

test('publishing without a disclosure names every required field', async () => {
  const draft = await makeDraft(farm);
  const answer = await patch(draft, etag(draft.version), { status: 'ON_SALE' });
  assertProblem(answer, 422, 'disclosure_missing');
  assert.deepEqual(
    new Set(answer.json.errors.map((fault) => fault.pointer)),
    new Set([...REQUIRED_DISCLOSURE, 'packedOn'].map((field) => `/disclosure/${field}`)),
  );
});

for (const field of REQUIRED_DISCLOSURE) {
  test(`publishing without disclosure.${field} is refused`, async () => {
    const draft = await makeDraft(farm);
    const answer = await patch(draft, etag(draft.version), { status: 'ON_SALE', disclosure: disclosure({ [field]: undefined }) });
    assertProblem(answer, 422, 'disclosure_missing', `/disclosure/${field}`);
    assert.equal(answer.json.errors.length, 1);
  });
}

test('packedOn or producedOn is enough', async () => {
  const draft = await makeDraft(farm);
  const answer = await patch(draft, etag(draft.version), { status: 'ON_SALE', disclosure: disclosure({ producedOn: undefined, packedOn: '2026-11-06' }) });
  assert.equal(answer.status, 200, answer.text);
});

test('a product on sale can not lose its disclosure', async () => {
  const product = await makeProduct(farm);
  assertProblem(await patch(product, etag(product.version), { disclosure: disclosure({ producer: undefined }) }), 422, 'disclosure_missing', '/disclosure/producer');
});

// from, to, what comes of it
const TRANSITIONS = [
  ['DRAFT', 'PAUSED', 409], ['DRAFT', 'ENDED', 200], ['DRAFT', 'DRAFT', 200], ['DRAFT', 'ON_SALE', 200],
  ['ON_SALE', 'DRAFT', 409], ['ON_SALE', 'PAUSED', 200], ['ON_SALE', 'ENDED', 200], ['ON_SALE', 'ON_SALE', 200],
  ['PAUSED', 'DRAFT', 409], ['PAUSED', 'ON_SALE', 200], ['PAUSED', 'ENDED', 200], ['PAUSED', 'PAUSED', 200],
  ['ENDED', 'DRAFT', 409], ['ENDED', 'ON_SALE', 409], ['ENDED', 'PAUSED', 409], ['ENDED', 'ENDED', 200],
];
const WAY_TO = { DRAFT: [], ON_SALE: ['ON_SALE'], PAUSED: ['ON_SALE', 'PAUSED'], ENDED: ['ENDED'] };
for (const [from, to, status] of TRANSITIONS) {
  test(`a product ${status === 200 ? 'goes' : 'can not go'} from ${from} to ${to}`, async () => {
    let product = await makeDraft(farm, { disclosure: disclosure() });
    for (const step of WAY_TO[from]) product = (await patch(product, etag(product.version), { status: step })).json;
    assert.equal(product.status, from);
    const answer = await patch(product, etag(product.version), { status: to });
    if (status === 200) assert.deepEqual([answer.status, answer.json.status], [200, to], answer.text);
    else assertProblem(answer, 409, 'bad_transition', '/status');
  });
}

test('an edit needs If-Match (428), of the version it has seen (412), and raises the version', async () => {
  const draft = await makeDraft(farm);
  assertProblem(await patch(draft, null, { title: '새 제목' }), 428, 'precondition_required', 'If-Match');
  assertProblem(await patch(draft, etag(draft.version + 1), { title: '새 제목' }), 412, 'precondition_failed');
  const edited = await patch(draft, etag(draft.version), { title: '새 제목' });
  assert.deepEqual([edited.status, edited.json.title, edited.json.version], [200, '새 제목', draft.version + 1], edited.text);
  assertProblem(await patch(draft, etag(draft.version), { title: '더 새 제목' }), 412, 'precondition_failed');
  assert.equal((await patch(draft, `"${edited.json.version}-1c9f"`, { title: '더 새 제목' })).status, 200, 'only the number counts');
});

for (const bad of ['7', 'W/"7"', '"x"', '"7", "8"', '""']) {
  test(`If-Match ${bad} is refused`, async () => {
    const draft = await makeDraft(farm);
    assertProblem(await patch(draft, bad, { title: '새 제목' }), 400, 'invalid_request', 'If-Match');
  });
}

test('of two edits at once one wins and the other is told', async () => {
  const draft = await makeDraft(farm);
  const answers = await Promise.all(Array.from({ length: 8 }, (_, i) => patch(draft, etag(draft.version), { title: `제목 ${i}` })));
  assert.deepEqual(answers.map((answer) => answer.status).sort(), [200, ...Array(7).fill(412)]);
});

test('an empty edit is refused', async () => {
  const draft = await makeDraft(farm);
  assertProblem(await patch(draft, etag(draft.version), {}), 400, 'invalid_request', '');
});

const BAD_PRODUCTS = [
  ['no title', { title: undefined }, '/title'],
  ['a title of one character', { title: '가' }, '/title'],
  ['a title of 101 characters', { title: '가'.repeat(101) }, '/title'],
  ['a month 13', { seasonFrom: '13-01' }, '/seasonFrom'],
  ['a status at birth', { status: 'ON_SALE' }, '/status'],
  ['an unknown tax class', { taxClass: 'FREE' }, '/taxClass'],
  ['a disclosure with an unknown field', { disclosure: { colour: '빨강' } }, '/disclosure/colour'],
  ['a disclosure date that is none', { disclosure: { packedOn: '2026-02-30' } }, '/disclosure/packedOn'],
];
for (const [name, more, pointer] of BAD_PRODUCTS) {
  test(`a product with ${name} is refused`, async () => {
    await expectProblem(400, 'invalid_request', pointer, `POST /api/v1/farms/${farm.farmId}/products`, { token: farm.token, json: productBody(more) });
  });
}

test('a title of 100 Korean characters is taken', async () => {
  const title = '가'.repeat(100);
  assert.equal((await makeDraft(farm, { title })).title, title);
});

test('the detail has an ETag, answers 304 to it, and another one after the stock changed', async () => {
  const { product, sku, buyer } = await shop({ stock: 10 });
  const line = `GET /api/v1/products/${product.productId}`;
  const first = await call(line);
  const tag = first.headers.get('etag');
  const again = await call(line, { headers: { 'if-none-match': tag } });
  assert.deepEqual([again.status, again.text, again.headers.get('etag')], [304, '', tag]);
  assert.equal((await call(line, { headers: { 'if-none-match': `"x", W/${tag}` } })).status, 304, 'a list with a weak one');
  assert.equal((await call(line, { headers: { 'if-none-match': '"0-0"' } })).status, 200);
  await buyer.buys(sku, 1);
  const later = await until(async () => {
    const answer = await call(line, { headers: { 'if-none-match': tag } });
    return answer.status === 200 && answer;
  }, { within: 1500, what: 'the page to show the sale' });
  assert.equal(later.json.skus[0].available, 9);
});

test('a search has an ETag and answers 304 to it', async () => {
  const line = `GET /api/v1/products?farmId=${farm.farmId}&sort=priceAsc`;
  await makeProduct(farm);
  const first = await call(line);
  const again = await call(line, { headers: { 'if-none-match': first.headers.get('etag') } });
  assert.equal(again.status, 304);
});

for (const id of ['x', '018f0000-0000-7000-9000-00000000000G', '018F0000-0000-7000-9000-000000000001x', '..%2f..%2fetc', '%00']) {
  test(`a product id "${id}" is not found`, async () => {
    const answer = await call(`GET /api/v1/products/${id}`);
    assert.ok(answer.status === 404 || answer.status === 400, answer.text);
  });
}

// ---- SKUs --------------------------------------------------------------------------------------------------------------

const BAD_SKUS = [
  ['an unknown grade', { grade: '최고' }, '/grade'],
  ['a weight of 99 g', { weightG: 99 }, '/weightG'],
  ['a weight over 30 kg', { weightG: 30_001 }, '/weightG'],
  ['a price of 99', { priceKrw: 99 }, '/priceKrw'],
  ['a price over 10 million', { priceKrw: 10_000_001 }, '/priceKrw'],
  ['a negative stock', { stock: -1 }, '/stock'],
  ['a limit of 100 boxes', { perOrderLimit: 100 }, '/perOrderLimit'],
  ['a countMin over countMax', { countMin: 9, countMax: 8 }, null],
  ['a countMin without countMax', { countMin: 9 }, null],
];
for (const [name, more, pointer] of BAD_SKUS) {
  test(`a SKU with ${name} is refused`, async () => {
    const draft = await makeDraft(farm);
    await expectProblem(400, 'invalid_request', pointer, `POST /api/v1/products/${draft.productId}/skus`, { token: farm.token, json: skuBody(more) });
  });
}

test('a SKU is edited by If-Match, and null clears', async () => {
  const draft = await makeDraft(farm);
  const sku = await makeSku(farm, draft, { sizeCode: '대', countMin: 14, countMax: 16 });
  const line = `PATCH /api/v1/skus/${sku.skuId}`;
  await expectProblem(428, 'precondition_required', 'If-Match', line, { token: farm.token, json: { priceKrw: 1000 } });
  await expectProblem(412, 'precondition_failed', null, line, { token: farm.token, json: { priceKrw: 1000 }, headers: { 'if-match': etag(sku.version + 5) } });
  const edited = await expectJson(200, line, { token: farm.token, json: { priceKrw: 1000, sizeCode: null }, headers: { 'if-match': etag(sku.version) } });
  assert.deepEqual([edited.priceKrw, edited.sizeCode, edited.countMin, edited.version], [1000, null, 14, sku.version + 1]);
});

test('an ended product takes no SKU', async () => {
  const draft = await makeDraft(farm);
  await patch(draft, etag(draft.version), { status: 'ENDED' });
  await expectProblem(409, 'conflict', null, `POST /api/v1/products/${draft.productId}/skus`, { token: farm.token, json: skuBody() });
});

// ---- stock -------------------------------------------------------------------------------------------------------------

test('stock is adjusted with a reason, and the ledger tells who, why and how much was left', async () => {
  const { farm: own, sku } = await shop({ stock: 10 });
  const line = `POST /api/v1/skus/${sku.skuId}/stock-adjustments`;
  const taken = await expectJson(200, line, { token: own.token, json: { delta: -3, reason: '선별 중 파손' } });
  assert.deepEqual([taken.available, taken.version], [7, sku.version + 1]);
  const added = await expectJson(200, line, { token: await operatorToken(), json: { delta: 5, reason: '추가 입고' }, headers: { 'if-match': etag(taken.version) } });
  assert.equal(added.available, 12);
  await expectProblem(412, 'precondition_failed', null, line, { token: own.token, json: { delta: 5, reason: '추가 입고' }, headers: { 'if-match': etag(taken.version) } });
  const rows = await ledgerOf(own, sku);
  assert.deepEqual(
    rows.map(({ kind, delta, availableAfter, reason, actor }) => [kind, delta, availableAfter, reason, actor]),
    [['ADJUSTMENT', 5, 12, '추가 입고', 'operator'], ['ADJUSTMENT', -3, 7, '선별 중 파손', 'farm'], ['INITIAL', 10, 10, rows[2].reason, rows[2].actor]],
  );
  assert.equal(rows[1].ledgerId, taken.ledgerId);
});

test('more than there is can not be taken', async () => {
  const { farm: own, sku } = await shop({ stock: 2 });
  await expectProblem(409, 'stock_short', '/delta', `POST /api/v1/skus/${sku.skuId}/stock-adjustments`, { token: own.token, json: { delta: -3, reason: '파손' } });
  assert.equal(await stockOf(sku), 2);
  assert.equal((await ledgerOf(own, sku)).length, 1);
});

const BAD_ADJUSTMENTS = [
  ['a delta of 0', { delta: 0, reason: '없음' }, '/delta'],
  ['no reason', { delta: 1 }, '/reason'],
  ['a reason of one character', { delta: 1, reason: '가' }, '/reason'],
  ['a delta of 100001', { delta: 100_001, reason: '입고' }, '/delta'],
];
for (const [name, json, pointer] of BAD_ADJUSTMENTS) {
  test(`an adjustment with ${name} is refused`, async () => {
    const { farm: own, sku } = await shop();
    await expectProblem(400, 'invalid_request', pointer, `POST /api/v1/skus/${sku.skuId}/stock-adjustments`, { token: own.token, json });
  });
}

test('a ledger is read page by page', async () => {
  const { farm: own, sku } = await shop({ stock: 1 });
  for (let i = 1; i <= 4; i += 1) await expectJson(200, `POST /api/v1/skus/${sku.skuId}/stock-adjustments`, { token: own.token, json: { delta: i, reason: `입고 ${i}` } });
  const deltas = [];
  let cursor;
  do {
    const page = await expectJson(200, `GET /api/v1/skus/${sku.skuId}/stock-ledger`, { token: own.token, query: { limit: 2, cursor } });
    assert.ok(page.items.length <= 2);
    deltas.push(...page.items.map((row) => row.delta));
    cursor = page.nextCursor;
  } while (cursor);
  assert.deepEqual(deltas, [4, 3, 2, 1, 1]);
});

// ---- pictures ----------------------------------------------------------------------------------------------------------

const upload = (product, token, body, type = 'image/png', alt = '빨간 사과') =>
  call(`POST /api/v1/products/${product.productId}/images`, { token, body, headers: { 'content-type': type }, query: { alt } });

test('a picture is uploaded, served for a year, and stays once when it is sent again', async () => {
  const product = await makeProduct(farm);
  const bytes = png();
  const sha256 = createHash('sha256').update(bytes).digest('hex');
  const first = await upload(product, farm.token, bytes);
  assert.equal(first.status, 201, first.text);
  assert.deepEqual(first.json, { imageId: sha256, url: `/api/v1/images/${sha256}`, alt: '빨간 사과' });
  assert.equal((await upload(product, farm.token, bytes)).status, 201);
  const served = await call(`GET /api/v1/images/${sha256}`);
  assert.equal(served.status, 200);
  assert.equal(served.type, 'image/png');
  assert.ok(served.bytes.equals(bytes));
  assert.match(served.headers.get('cache-control'), /immutable/);
  assert.equal((await call(`GET /api/v1/images/${sha256}`, { headers: { 'if-none-match': served.headers.get('etag') } })).status, 304);
  assert.deepEqual((await expectJson(200, `GET /api/v1/products/${product.productId}`)).images.map((image) => image.imageId), [sha256]);
});

test('a picture whose bytes are of another type is refused', async () => {
  const product = await makeProduct(farm);
  for (const [bytes, type] of [[png(), 'image/jpeg'], [Buffer.from('<svg/>'), 'image/png'], [Buffer.from('GIF89a'), 'image/gif'], [png(), 'text/html']]) {
    const answer = await upload(product, farm.token, bytes, type);
    assert.ok([400, 415].includes(answer.status), answer.text);
  }
  assert.deepEqual((await expectJson(200, `GET /api/v1/products/${product.productId}`)).images, []);
});

test('a picture over 5 MiB is refused', async () => {
  const product = await makeProduct(farm);
  assertProblem(await upload(product, farm.token, Buffer.concat([png(), Buffer.alloc(5 * 1024 * 1024)])), 413, 'payload_too_large');
});

test('a picture needs a text for those who cannot see it', async () => {
  const product = await makeProduct(farm);
  await expectProblem(400, 'invalid_request', '?alt', `POST /api/v1/products/${product.productId}/images`, { token: farm.token, body: png(), headers: { 'content-type': 'image/png' } });
});

test('an eleventh picture is refused', async () => {
  const product = await makeProduct(farm);
  for (let i = 0; i < 10; i += 1) assert.equal((await upload(product, farm.token, png())).status, 201);
  assertProblem(await upload(product, farm.token, png()), 409, 'conflict');
});

test('a picture nobody uploaded is not found', async () => {
  await expectProblem(404, 'not_found', null, `GET /api/v1/images/${'0'.repeat(64)}`);
  await expectProblem(404, 'not_found', null, 'GET /api/v1/images/..%2f..%2fetc%2fpasswd');
});

// ---- ownership ---------------------------------------------------------------------------------------------------------

const OF_ANOTHER_FARM = [
  ['register a product', ({ farmId }) => [`POST /api/v1/farms/${farmId}/products`, { json: productBody() }]],
  ['edit a product', ({ productId }) => [`PATCH /api/v1/products/${productId}`, { json: { title: '훔친 제목' }, headers: { 'if-match': '"1"' } }]],
  ['add a SKU', ({ productId }) => [`POST /api/v1/products/${productId}/skus`, { json: skuBody() }]],
  ['edit a SKU', ({ skuId }) => [`PATCH /api/v1/skus/${skuId}`, { json: { priceKrw: 100 }, headers: { 'if-match': '"1"' } }]],
  ['adjust stock', ({ skuId }) => [`POST /api/v1/skus/${skuId}/stock-adjustments`, { json: { delta: 1, reason: '훔치기' } }]],
  ['read a ledger', ({ skuId }) => [`GET /api/v1/skus/${skuId}/stock-ledger`, {}]],
  ['upload a picture', ({ productId }) => [`POST /api/v1/products/${productId}/images?alt=사과`, { body: png(), headers: { 'content-type': 'image/png' } }]],
];
for (const [name, make] of OF_ANOTHER_FARM) {
  test(`a farmer can not ${name} of another farm: it is not found`, async () => {
    const product = await makeProduct(farm);
    const [line, options] = make({ farmId: farm.farmId, productId: product.productId, skuId: product.skus[0].skuId });
    const before = await call(`GET /api/v1/products/${product.productId}`);
    await expectProblem(404, 'not_found', null, line, { token: other.token, ...options });
    await expectProblem(404, 'not_found', null, line, { token: await farmerToken(undefined), ...options });
    assert.equal((await call(`GET /api/v1/products/${product.productId}`)).text, before.text);
  });
}

test('an operator may edit every farm\'s product', async () => {
  const product = await makeProduct(farm);
  const answer = await patch(product, etag(product.version), { title: `${koreanWord()} 고침` }, await operatorToken());
  assert.equal(answer.status, 200, answer.text);
});

// ---- events ------------------------------------------------------------------------------------------------------------

test('product.changed tells of registration, edit and status, with rising versions', async () => {
  const events = await listen('product.changed.v1');
  const product = await makeProduct(farm);
  await events.find('product.changed.v1', product.productId, (data) => data.status === 'ON_SALE');
  const versions = events.of('product.changed.v1', product.productId).map((event) => event.body.data.version);
  assert.deepEqual(versions, [...versions].sort((a, b) => a - b));
  assert.equal(events.of('product.changed.v1', product.productId)[0].body.data.farmId, farm.farmId);
  await events.close();
});

test('stock.low is told once until the stock rises above again', async () => {
  const events = await listen('stock.low.v1');
  const { farm: own, sku, buyer } = await shop({ stock: 20 });
  await buyer.buys(sku, 19);
  const first = await events.find('stock.low.v1', sku.skuId);
  assert.equal(first.body.data.available, 1);
  assert.ok(first.body.data.threshold >= 1);
  await buyer.buys(sku, 1); // still low: nothing new
  await expectJson(200, `POST /api/v1/skus/${sku.skuId}/stock-adjustments`, { token: own.token, json: { delta: 50, reason: '추가 입고' } });
  await buyer.buys(sku, 49);
  await events.find('stock.low.v1', sku.skuId, (data) => data.available === 1 && events.of('stock.low.v1', sku.skuId).length === 2);
  await events.close();
});
