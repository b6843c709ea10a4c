// SPDX-License-Identifier: Apache-2.0
// What a person does, in a real browser, on a phone and at a desk: sign up, sign in, order, sign out, change and reset the password, sign
// another device out. All in Korean, without an error in the console, and usable at 360 px.

import assert from 'node:assert/strict';
import { existsSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { chromium } from 'playwright-core';

import { demoPassword, freshLogin, ISSUER, mailTo, ORIGIN, SHOP } from '../lib/identity.mjs';

const BROWSER = [process.env.CHROMIUM, '/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome'].find((path) => path && existsSync(path));
const SHOTS = process.env.SCREENSHOTS; // a folder: what the pages look like
const SCREENS = { phone: { viewport: { width: 360, height: 740 }, isMobile: true, hasTouch: true, locale: 'ko-KR' }, desktop: { viewport: { width: 1280, height: 800 }, locale: 'ko-KR' } };
const PASSWORD = '봄날의 사과 한 상자';
const SLOW = { timeout: 180_000 };

let browser;
before(async () => {
  assert.ok(BROWSER, 'no Chromium: apt-get install chromium, or set CHROMIUM');
  browser = await chromium.launch({ executablePath: BROWSER, args: ['--no-sandbox'] });
  if (SHOTS) mkdirSync(SHOTS, { recursive: true });
});
after(() => browser?.close());

// A person at a screen. The local authority is not this browser's, hence ignoreHTTPSErrors; edge_tls.test.mjs checks the certificate.
async function person(t, screen) {
  const context = await browser.newContext({ ...SCREENS[screen], ignoreHTTPSErrors: true });
  const page = await context.newPage();
  page.setDefaultTimeout(30_000);
  const errors = [];
  page.on('console', (message) => message.type() === 'error' && errors.push(message.text()));
  page.on('pageerror', (error) => errors.push(String(error)));
  page.on('request', (request) => !request.url().startsWith(ORIGIN) && !request.url().startsWith('data:') && errors.push(`asked a stranger: ${request.url()}`));
  t.after(() => context.close());
  return { page, errors };
}

const shot = (page, screen, name) => SHOTS && page.screenshot({ path: join(SHOTS, `${screen}-${name}.png`) });

// What every page must be: Korean, no wider than the screen, with a label at each input and room for a finger at each button.
async function isUsable(page) {
  const seen = await page.evaluate(() => ({
    lang: document.documentElement.lang, wide: document.documentElement.scrollWidth - document.documentElement.clientWidth, headings: [...document.querySelectorAll('h1')].filter((one) => one.offsetParent).length,
    unnamed: [...document.querySelectorAll('input:not([type="hidden"]):not([hidden])')].filter((one) => one.offsetParent && !one.labels.length && !one.getAttribute('aria-label')).map((one) => one.name),
    small: [...document.querySelectorAll('button, main input:not([type="hidden"])')].filter((one) => one.offsetParent && one.getBoundingClientRect().height < 44).map((one) => one.textContent || one.name),
  }));
  assert.deepEqual(seen, { lang: 'ko', wide: 0, headings: 1, unnamed: [], small: [] }, page.url());
}

const heading = (page, name) => page.getByRole('heading', { level: 1, name }).waitFor();

async function fill(page, fields) {
  for (const [label, value] of Object.entries(fields)) await page.getByLabel(label, { exact: true }).fill(value);
}
const press = (page, name) => page.getByRole('button', { name, exact: true }).click();

async function signUp(page, screen, login) {
  await page.goto(SHOP);
  await heading(page, '지금 살 수 있는 과일');
  await page.getByRole('button', { name: /주문$/ }).first().waitFor();
  await isUsable(page);
  await shot(page, screen, '1-shop');
  await press(page, '회원가입');
  await heading(page, '회원가입');
  await isUsable(page);
  await shot(page, screen, '2-sign-up');
  await fill(page, { 이메일: login, 비밀번호: PASSWORD });
  await press(page, '인증번호 받기');
  await heading(page, '이메일 확인');
  await isUsable(page);
  await shot(page, screen, '3-code');
  await fill(page, { 인증번호: /인증번호: (\d{6})/.exec(await mailTo(login))[1] });
  await press(page, '가입하기');
  await page.getByText(`${login} 님`).waitFor();
}

async function signIn(page, login, password) {
  await heading(page, '로그인');
  await fill(page, { '이메일 또는 아이디': login, 비밀번호: password });
  await press(page, '로그인');
}

async function signOut(page, screen) {
  await press(page, '로그아웃');
  await heading(page, '로그아웃');
  await isUsable(page);
  await shot(page, screen, '7-sign-out');
  await press(page, '로그아웃');
  await page.getByRole('button', { name: '로그인', exact: true }).waitFor();
  assert.equal(page.url(), SHOP);
}

for (const screen of Object.keys(SCREENS)) {
  test(`${screen}: sign up, order a box, sign out, sign in again`, SLOW, async (t) => {
    const { page, errors } = await person(t, screen);
    const login = freshLogin();
    await signUp(page, screen, login);

    await page.getByRole('button', { name: /주문$/ }).first().click();
    await heading(page, '받는 분');
    await isUsable(page);
    await fill(page, { 이름: '홍길동', 휴대전화: '010-1234-5678', 우편번호: '06236', 주소: '서울 강남구 테헤란로 152', '상세 주소': '10층' });
    await shot(page, screen, '4-checkout');
    await press(page, '주문하기');
    await heading(page, '주문이 완료되었습니다');
    assert.match(await page.locator('#order-no').innerText(), /\d{6}/);
    await page.locator('#order-status', { hasText: /결제완료|상품준비중/ }).waitFor();
    await isUsable(page);
    await shot(page, screen, '5-order');

    await page.reload();
    await page.getByText(`${login} 님`).waitFor(); // known after a reload, without a token in any storage
    const stored = await page.evaluate(() => JSON.stringify([{ ...localStorage }, { ...sessionStorage }]));
    assert.doesNotMatch(stored, /eyJ|refresh|verifier/);

    await signOut(page, screen);
    await press(page, '로그인');
    await heading(page, '로그인');
    await isUsable(page);
    await shot(page, screen, '8-sign-in');
    await signIn(page, login, 'not the password');
    await page.getByRole('alert').filter({ hasText: '맞지 않습니다' }).waitFor();
    await isUsable(page);
    await shot(page, screen, '9-refused');
    await signIn(page, login, PASSWORD);
    await page.getByText(`${login} 님`).waitFor();
    assert.deepEqual(errors.filter((text) => !/status of 400/.test(text)), []);
  });

  test(`${screen}: change the password, sign another device out, reset a forgotten one`, SLOW, async (t) => {
    const { page, errors } = await person(t, screen);
    const other = await person(t, 'desktop');
    const login = freshLogin();
    await signUp(page, screen, login);
    await other.page.goto(`${ISSUER}/account`);
    await signIn(other.page, login, PASSWORD);
    await heading(other.page, '내 계정');

    await page.getByRole('link', { name: '내 계정' }).click();
    await heading(page, '내 계정');
    await isUsable(page);
    await shot(page, screen, 'a-account');
    await page.getByRole('link', { name: /로그인된 기기/ }).click();
    await heading(page, '로그인된 기기');
    await isUsable(page);
    await shot(page, screen, 'b-devices');
    await page.getByRole('button', { name: /^Chrome.*로그아웃$/ }).first().click();
    await page.getByRole('status').filter({ hasText: '로그아웃했습니다' }).waitFor();
    await other.page.goto(`${ISSUER}/account`);
    await heading(other.page, '로그인');

    await page.goto(`${ISSUER}/account/password`);
    await isUsable(page);
    await fill(page, { '지금 비밀번호': PASSWORD, '새 비밀번호': '여름날의 복숭아 두 상자' });
    await shot(page, screen, 'c-change');
    await press(page, '비밀번호 바꾸기');
    await page.getByRole('status').filter({ hasText: '바꿨습니다' }).waitFor();

    await other.page.getByRole('link', { name: '비밀번호를 잊으셨나요?' }).click();
    await heading(other.page, '비밀번호 재설정');
    await fill(other.page, { '이메일 또는 아이디': login });
    await press(other.page, '메일 받기');
    await heading(other.page, '메일을 확인해 주세요');
    await other.page.goto(/https:\S+\/password\/reset\?token=\S+/.exec(await mailTo(login, { after: 1 }))[0]);
    await heading(other.page, '새 비밀번호');
    await isUsable(other.page);
    await shot(other.page, screen, 'd-reset');
    await fill(other.page, { '새 비밀번호': '가을날의 배 세 상자 가득' });
    await press(other.page, '비밀번호 바꾸기');
    await heading(other.page, '비밀번호를 바꿨습니다');
    await page.goto(`${ISSUER}/account`);
    await signIn(page, login, '가을날의 배 세 상자 가득'); // the reset has signed it out
    await heading(page, '내 계정');
    assert.deepEqual([...errors, ...other.errors], []);
  });
}

test('the operator reads the mails that nobody sent', SLOW, async (t) => {
  const { page } = await person(t, 'phone');
  await page.goto(`${ISSUER}/operator/mail`);
  await signIn(page, 'operator1', demoPassword());
  await heading(page, '보낸 메일');
  await isUsable(page);
  await shot(page, 'phone', 'e-mail');
  const buyer = await person(t, 'phone');
  await buyer.page.goto(`${ISSUER}/operator/mail`);
  await signIn(buyer.page, 'buyer1', demoPassword());
  await heading(buyer.page, '볼 수 없는 페이지입니다');
});
