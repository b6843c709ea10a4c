// SPDX-License-Identifier: Apache-2.0
// Writes a product's 상품정보제공고시 (the disclosure that the law asks of who sells farm produce) from what the seed knows of it.
// Exists so that the disclosure cannot contradict the boxes. Must never depend on anything but its arguments.

const CAUTION = {
  사과: '씻은 뒤 드시고 씨와 꼭지는 드시지 마세요. 무른 부분은 넉넉히 도려내고 드세요.',
  배: '씻은 뒤 드시고 씨는 드시지 마세요. 무른 부분은 넉넉히 도려내고 드세요.',
  감귤: '곰팡이가 핀 것은 버리고 닿은 것은 씻어 먼저 드세요. 껍질을 쓰실 때는 소금으로 문질러 씻어 주세요.',
  만감류: '곰팡이가 핀 것은 버리고 닿은 것은 씻어 먼저 드세요. 껍질을 쓰실 때는 소금으로 문질러 씻어 주세요.',
  포도: '먹기 직전에 흐르는 물에 씻어 주세요. 어린아이는 알을 잘라서 먹여 주세요.',
  복숭아: '복숭아 알레르기가 있으면 드시지 말고 솜털에 닿지 않게 하세요. 씨는 드시지 마세요.',
  자두: '씻은 뒤 드시고 씨는 드시지 마세요. 어린아이는 씨를 빼고 먹여 주세요.',
  참외: '씻은 뒤 껍질을 벗겨 드세요. 속이 시큼하거나 물컹하면 드시지 마세요.',
  수박: '자르기 전에 겉을 씻고, 자른 뒤에는 냉장하세요. 깨진 것은 드시지 마세요.',
  멜론: '자르기 전에 겉을 씻고, 자른 뒤에는 냉장하세요.',
  딸기: '먹기 직전에 흐르는 물에 씻어 주세요. 곰팡이가 핀 것은 버리고 닿은 것도 드시지 마세요.',
  단감: '씨는 드시지 마세요. 빈속에 많이 드시지 않는 것이 좋습니다.',
  키위: '키위 알레르기가 있으면 드시지 마세요. 덜 익은 것은 입안이 따가울 수 있습니다.',
  블루베리: '먹기 직전에 씻어 주세요. 냉동한 것이 녹으면 다시 얼리지 마세요.',
};
const DAY_MS = 86_400_000;
const STORED_EARLY_DAYS = 60; // a stored harvest is of this season when it is not older than that before the season's first day

const kg = (grams) => (grams < 1000 ? `${grams}g` : `${grams / 1000}kg`);
const unique = (list) => [...new Set(list)];
const count = ([from, to], unit) => (from === to ? `${from}${unit}` : `${from}~${to}${unit}`);

// The day `md` (MM-DD) that is the last one not after `today`, or the first one after it.
function lastDay(md, today) {
  const year = Number(today.slice(0, 4));
  return md <= today.slice(5) ? `${year}-${md}` : `${year - 1}-${md}`;
}
function nextDay(md, today) {
  const year = Number(today.slice(0, 4));
  return md > today.slice(5) ? `${year}-${md}` : `${year + 1}-${md}`;
}

function isInSeason([from, to], today) {
  const md = today.slice(5);
  return from <= to ? from <= md && md <= to : from <= md || md <= to;
}

// Stored fruit says when it was harvested, fresh fruit when it is packed; before its season, the first day it will be.
function dates({ season, harvested }, today) {
  if (!isInSeason(season, today)) return { packedOn: nextDay(season[0], today) };
  if (!harvested) return { packedOn: today };
  const day = lastDay(harvested, today);
  const isOfThisSeason = Date.parse(lastDay(season[0], today)) - Date.parse(day) <= STORED_EARLY_DAYS * DAY_MS;
  return isOfThisSeason ? { producedOn: day } : { packedOn: today };
}

export const originOf = ({ sido, sigungu }) => `국산(${sido} ${sigungu})`;

// today: YYYY-MM-DD. What product.undisclosed names is left out, as an unfinished draft would.
export function disclosureOf(farm, product, today) {
  const unit = product.unit ?? '과';
  const weights = unique(product.skus.map((sku) => kg(sku.weightG)));
  const whole = {
    itemName: `${product.fruit}(${product.variety})`,
    weight: `${weights.join(', ')}(포장재 무게 제외)`,
    quantity: unique(product.skus.map((sku) => `${kg(sku.weightG)} ${count(sku.count, unit)}`)).join(', '),
    size: product.size,
    producer: farm.name,
    origin: originOf(farm),
    ...dates(product, today),
    composition: `${product.variety} ${product.fruit} 1상자(주문한 규격: ${weights.join(', ')})`,
    labelling: '해당 사항 없음(유전자변형농산물 아님)',
    storage: product.storage,
    caution: CAUTION[product.fruit],
    customerPhone: farm.phone,
  };
  return Object.fromEntries(Object.entries(whole).filter(([field]) => !product.undisclosed?.includes(field)));
}
