// SPDX-License-Identifier: Apache-2.0
// Places orders by synthetic buyers on the generated products, so that measurements meet a shop with a past.
// Must never take stock of the products people look at, nor use a name, address or phone of a real person.

import { randomBytes } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { Failure, inLanes, randomUuid7, refused, request } from './api.mjs';

const LANES = 32;
const BUYERS_PER_1000 = 100;
const BUYERS_MAX = 1000;
const TRIES = 6;
const REFUSALS_SHARE_MAX = 0.05;

const SURNAMES = ['김', '이', '박', '최', '정', '강', '조', '윤', '장', '임'];
const NAMES = ['과수', '원이', '햇살', '단비', '새봄', '가온', '나래', '다온', '라온', '마루'];
// Towns are real, streets are not.
const PLACES = [
  ['04500', '서울 중구 과수원로'], ['48000', '부산 해운대구 포도송이길'], ['41900', '대구 중구 능금꽃로'], ['22300', '인천 중구 배꽃마당길'],
  ['61400', '광주 동구 무화과길'], ['34900', '대전 중구 살구나무로'], ['16400', '경기 수원시 팔달구 앵두길'], ['24200', '강원 춘천시 머루다래로'],
  ['28500', '충북 청주시 상당구 대추알길'], ['63100', '제주 제주시 귤향기길'],
];
const DOOR_NOTES = ['', '문 앞에 놓아 주세요', '경비실에 맡겨 주세요', '벨을 누르지 말아 주세요'];
const GIFT_MESSAGES = ['', '', '', '', '맛있게 드세요', '늘 고맙습니다'];

const pick = (list) => list[Math.floor(Math.random() * list.length)];
// Few boxes sell much, many sell little.
const pickPopular = (list) => list[Math.floor(list.length * Math.random() ** 2)];
const digits = (n) => String(Math.floor(Math.random() * 10 ** n)).padStart(n, '0');

// skus: [{ skuId, priceKrw }]
export function orderBody(skus) {
  const lines = new Map();
  const wanted = pick([1, 1, 1, 1, 2, 2, 3]);
  for (let i = 0; i < wanted; i++) {
    const { skuId, priceKrw } = pickPopular(skus);
    lines.set(skuId, { skuId, quantity: pick([1, 1, 1, 1, 2, 3]), unitPriceKrw: priceKrw });
  }
  const [postcode, road] = pick(PLACES);
  return {
    paymentToken: `pay_${randomBytes(16).toString('hex')}`,
    recipient: {
      name: pick(SURNAMES) + pick(NAMES),
      phone: `010-0000-${digits(4)}`,
      postcode,
      address1: `${road} ${1 + Math.floor(Math.random() * 200)}`,
      address2: `${101 + Math.floor(Math.random() * 20)}동 ${1 + Math.floor(Math.random() * 20)}0${1 + Math.floor(Math.random() * 4)}호`,
      doorNote: pick(DOOR_NOTES),
    },
    giftMessage: pick(GIFT_MESSAGES),
    lines: [...lines.values()],
  };
}

// The key makes it safe to repeat: what is not known to have happened is asked for again. The last answer, or the last reason for none.
async function place(gateway, token, json) {
  const headers = { 'idempotency-key': randomUuid7() };
  for (let tries = 1; ; tries++) {
    const isLast = tries === TRIES;
    try {
      const answer = await request(gateway, 'POST', '/api/v1/orders', { token, json, headers });
      if ((answer.status !== 503 && answer.status !== 504) || isLast) return answer;
    } catch (error) {
      if (isLast) throw new Failure(`an order: no answer from ${gateway}: ${error.cause?.message ?? error.message}`);
    }
    await sleep(50 * 2 ** tries * (0.5 + Math.random()));
  }
}

function quantile(sorted, share) {
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))];
}

async function makeBuyers(sign, orders) {
  const n = Math.min(BUYERS_MAX, Math.ceil((orders / 1000) * BUYERS_PER_1000));
  return Promise.all(Array.from({ length: n }, () => sign('buyer', randomUuid7())));
}

// Returns { placed, refusals, seconds, perSecond, p50Ms, p99Ms }.
export async function placeOrders({ gateway, sign, skus, orders, progress }) {
  if (!skus.length) throw new Failure('there is no generated box in stock to order');
  const buyers = await makeBuyers(sign, orders);
  const refusals = {};
  const tookMs = [];
  const began = performance.now();
  const seconds = () => (performance.now() - began) / 1000;

  await inLanes(Array(orders).keys(), LANES, async () => {
    const from = performance.now();
    const answer = await place(gateway, pick(buyers), orderBody(skus));
    tookMs.push(performance.now() - from);
    if (answer.status === 409) refusals[answer.body.code] = (refusals[answer.body.code] ?? 0) + 1;
    else if (answer.status !== 201) throw refused('an order', 'POST', '/api/v1/orders', answer);
    progress.show(`orders ${tookMs.length} of ${orders}, ${Math.round(tookMs.length / seconds())}/s`);
  });

  const took = seconds();
  const refusedCount = Object.values(refusals).reduce((sum, n) => sum + n, 0);
  if (refusedCount > orders * REFUSALS_SHARE_MAX) {
    throw new Failure(`${refusedCount} of ${orders} orders were refused: ${JSON.stringify(refusals)}; a higher --scale makes more stock`);
  }
  tookMs.sort((a, b) => a - b);
  return {
    placed: orders - refusedCount,
    refusals,
    buyers: buyers.length,
    seconds: took,
    perSecond: Math.round(orders / took),
    p50Ms: quantile(tookMs, 0.5),
    p99Ms: quantile(tookMs, 0.99),
  };
}
