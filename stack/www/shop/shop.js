// SPDX-License-Identifier: Apache-2.0
// The page on which a box of fruit is chosen and ordered. Exists until there is a storefront, so that signing in leads somewhere. Must never
// order twice: an order keeps its key until it is answered.

import { accessToken, resume, signIn, signOut } from '/shop/session.js';

const at = (id) => document.getElementById(id);
const won = new Intl.NumberFormat('ko-KR');
const STATUS = { PLACED: '결제완료', PREPARING: '상품준비중', SHIPPING: '배송중', DELIVERED: '배송완료', CONFIRMED: '구매확정', CANCELLED: '취소됨' };
const SECTIONS = ['shelf', 'checkout', 'order'];
const LOOK_AGAIN_MS = 2000;

let chosen = null; // { title, sku, request }
let watching = 0;

function show(section) {
  for (const id of SECTIONS) at(id).hidden = id !== section;
  at('fault').textContent = '';
  at(`${section}-title`).focus?.();
}

async function api(path, options = {}) {
  const answer = await fetch(`/api/v1${path}`, options);
  const body = await answer.json();
  if (!answer.ok) throw Object.assign(new Error(body.detail ?? body.title), { status: answer.status, errors: body.errors ?? [] });
  return body;
}

async function asBuyer(path, options = {}) {
  const token = await accessToken();
  if (!token) return signIn();
  return api(path, { ...options, headers: { Authorization: `Bearer ${token}`, ...options.headers } });
}

function tell(error) {
  const details = (error.errors ?? []).map((one) => one.detail).filter(Boolean);
  at('fault').textContent = details.length ? details.join(' ') : error.message || '잠시 후 다시 해 주세요.';
}

const boxText = (sku) => `${sku.grade} ${sku.weightG / 1000}kg`;

function boxRow(product, sku) {
  const row = document.createElement('li');
  const [what, price, button] = ['span', 'strong', 'button'].map((tag) => document.createElement(tag));
  what.textContent = boxText(sku);
  price.textContent = `${won.format(sku.priceKrw)}원`;
  button.type = 'button';
  button.textContent = sku.available > 0 ? '주문' : '품절';
  button.disabled = sku.available <= 0;
  button.setAttribute('aria-label', `${product.title} ${boxText(sku)} ${button.textContent}`);
  button.addEventListener('click', () => choose(product, sku));
  row.append(what, price, button);
  return row;
}

async function fillShelf() {
  const { items } = await api('/products?limit=24');
  at('products').replaceChildren(...items.map((product) => {
    const card = at('product').content.cloneNode(true);
    const picture = card.querySelector('img');
    if (product.imageUrl) picture.src = product.imageUrl;
    else picture.remove();
    card.querySelector('h2').textContent = product.title;
    card.querySelector('.farm').textContent = `${product.farm.region} ${product.farm.name}`;
    card.querySelector('.boxes').append(...product.skus.map((sku) => boxRow(product, sku)));
    return card;
  }));
}

async function choose(product, sku) {
  const choice = { title: product.title, sku };
  if (!(await accessToken())) return signIn({ after: choice });
  return checkout(choice);
}

function checkout(choice) {
  chosen = { ...choice };
  at('checkout-what').textContent = `${choice.title} · ${boxText(choice.sku)} 1상자 · ${won.format(choice.sku.priceKrw)}원`;
  show('checkout');
}

// The same recipient again is the same order again; another one is a new order.
function requestFor(recipient) {
  const fields = JSON.stringify(recipient);
  if (chosen.request?.fields !== fields) {
    const body = { paymentToken: `pay_${crypto.randomUUID().replaceAll('-', '')}`, recipient, lines: [{ skuId: chosen.sku.skuId, quantity: 1, unitPriceKrw: chosen.sku.priceKrw }] };
    chosen.request = { fields, key: crypto.randomUUID(), body: JSON.stringify(body) };
  }
  return chosen.request;
}

async function order(event) {
  event.preventDefault();
  const button = event.submitter ?? event.target.querySelector('button[type="submit"]');
  button.disabled = true;
  at('fault').textContent = '';
  try {
    const recipient = Object.fromEntries([...new FormData(event.target)].filter(([, value]) => value !== ''));
    const request = requestFor(recipient);
    const placed = await asBuyer('/orders', { method: 'POST', headers: { 'Content-Type': 'application/json', 'Idempotency-Key': request.key }, body: request.body });
    showOrder(placed);
  } catch (error) {
    tell(error);
  } finally {
    button.disabled = false;
  }
}

function showOrder(placed) {
  at('order-no').textContent = placed.orderNo;
  at('order-what').textContent = `${chosen.title} · ${boxText(chosen.sku)} 1상자`;
  at('order-total').textContent = `${won.format(placed.totalKrw)}원`;
  at('order-status').textContent = STATUS[placed.status];
  show('order');
  watch(placed.orderId, ++watching);
}

async function watch(orderId, turn) {
  while (turn === watching) {
    const { status } = await asBuyer(`/orders/${orderId}`).catch(() => ({}));
    if (status) at('order-status').textContent = STATUS[status];
    if (['DELIVERED', 'CONFIRMED', 'CANCELLED'].includes(status)) return;
    await new Promise((done) => { setTimeout(done, LOOK_AGAIN_MS); });
  }
}

function backToShelf() {
  watching += 1;
  show('shelf');
  fillShelf().catch(tell);
}

function greet(person) {
  at('who').textContent = person ? `${person.name} 님` : '';
  for (const id of ['who', 'account', 'sign-out']) at(id).hidden = !person;
  for (const id of ['sign-in', 'sign-up']) at(id).hidden = Boolean(person);
}

at('sign-in').addEventListener('click', () => signIn().catch(tell));
at('sign-up').addEventListener('click', () => signIn({ screen: 'signup' }).catch(tell));
at('sign-out').addEventListener('click', () => signOut().catch(tell));
at('form').addEventListener('submit', order);
at('back').addEventListener('click', backToShelf);
at('more').addEventListener('click', backToShelf);

const person = await resume().catch((error) => (tell({ message: '로그인을 마치지 못했습니다. 다시 해 주세요.' }), console.warn(error.code ?? error.name), null));
greet(person);
if (person?.after) checkout(person.after);
await fillShelf().catch(tell);
document.documentElement.dataset.ready = 'yes';
