// SPDX-License-Identifier: Apache-2.0
// The API documentation in a real browser: the page renders the three contracts, and "Try it out" reads an order with a token. No error
// may come to the console.

import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { after, before, test } from 'node:test';
import { chromium } from 'playwright-core';

import { gatewayPin } from '../lib/edge.mjs';
import { contracts, operations } from '../lib/openapi.mjs';
import { shop } from '../lib/shop.mjs';
import { SERVICES, stack } from '../lib/stack.mjs';

const BROWSER = [process.env.CHROMIUM, '/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome'].find((path) => path && existsSync(path));
const docs = `${stack.gateway}/docs/`;

let browser;
before(async () => {
  assert.ok(BROWSER, 'no Chromium: apt-get install chromium, or set CHROMIUM');
  browser = await chromium.launch({ executablePath: BROWSER, args: ['--no-sandbox', `--ignore-certificate-errors-spki-list=${gatewayPin()}`] });
});
after(() => browser?.close());

async function openPage(t, url) {
  const page = await browser.newPage();
  const errors = [];
  page.on('console', (message) => message.type() === 'error' && errors.push(message.text()));
  page.on('pageerror', (error) => errors.push(String(error)));
  page.on('requestfailed', (request) => errors.push(`${request.url()} failed`));
  page.on('request', (request) => ![stack.gateway, stack.gatewayTls].some((own) => request.url().startsWith(own)) && !request.url().startsWith('data:') && !request.url().startsWith('blob:') && errors.push(`asked a stranger: ${request.url()}`));
  t.after(() => page.close());
  await page.goto(url);
  return { page, errors };
}

test('/docs leads to the documentation', async () => {
  const answer = await fetch(`${stack.gateway}/docs`, { redirect: 'manual' });
  assert.equal(answer.status, 301);
  assert.equal((await fetch(docs)).status, 200);
});

for (const name of SERVICES) {
  test(`the documentation serves the contract of ${name}`, async () => {
    const answer = await fetch(`${docs}openapi/${name}.yaml`);
    assert.equal(answer.status, 200);
    assert.match(answer.headers.get('content-type'), /yaml/);
    assert.match(await answer.text(), /^openapi: 3\.1\.0$/m);
  });

  test(`the documentation shows every operation of ${name}`, { timeout: 60_000 }, async (t) => {
    const title = contracts[name].info.title;
    const { page, errors } = await openPage(t, `${docs}?urls.primaryName=${name}`);
    await page.locator('.info .title', { hasText: title }).waitFor({ timeout: 30_000 });
    const shown = await page.locator('.opblock').evaluateAll((blocks) => blocks.map((block) => block.id));
    for (const row of operations.filter((one) => one.service === name)) assert.ok(shown.some((id) => id.endsWith(`-${row.operationId}`)), `${row.operationId} is not in ${shown}`);
    assert.equal(await page.locator('.errors-wrapper').count(), 0, 'Swagger UI found an error in the contract');
    assert.deepEqual(errors, []);
  });
}

test('"Try it out" reads an order with a token', { timeout: 90_000 }, async (t) => {
  const { sku, buyer } = await shop();
  const order = await buyer.buys(sku);
  const { page, errors } = await openPage(t, `${docs}?urls.primaryName=order-manager`);
  await page.locator('.info .title', { hasText: contracts['order-manager'].info.title }).waitFor({ timeout: 30_000 });
  await page.locator('button.authorize').first().click();
  await page.locator('.modal-ux input').first().fill(buyer.token);
  await page.locator('.modal-ux button.authorize').click();
  await page.locator('.modal-ux button.btn-done').click();
  const block = page.locator('.opblock[id$="-order_detail"]');
  await block.locator('.opblock-summary').click();
  await block.locator('button.try-out__btn').click();
  await block.locator('tr[data-param-name="orderId"] input').fill(order.orderId);
  await block.locator('button.execute').click();
  await block.locator('.live-responses-table .response-col_status', { hasText: '200' }).waitFor({ timeout: 15_000 });
  const shown = await block.locator('.live-responses-table').innerText();
  assert.match(shown, new RegExp(order.orderNo));
  assert.deepEqual(errors, []);
});

test('the start page of the gateway loads without an error', { timeout: 60_000 }, async (t) => {
  const { page, errors } = await openPage(t, `${stack.gateway}/`); // leads to TLS
  assert.equal(page.url(), `${stack.gatewayTls}/`);
  await page.waitForLoadState('networkidle');
  assert.equal(await page.locator('html').getAttribute('lang'), 'ko');
  assert.deepEqual(errors, []);
});
