// SPDX-License-Identifier: Apache-2.0
// What a refusal is called on a page, and its status. Must read the same for a login that exists and one that does not.

const minutes = (seconds) => (seconds >= 90 ? `${Math.ceil(seconds / 60)}분` : `${seconds}초`);

const REFUSALS = {
  refused: { status: 400, text: () => '이메일(아이디) 또는 비밀번호가 맞지 않습니다.' },
  locked: { status: 429, text: (seconds) => `여러 번 틀려서 잠시 잠갔습니다. ${minutes(seconds)} 뒤에 다시 해 주세요.` },
  limited: { status: 429, text: (seconds) => `짧은 시간에 너무 많이 시도했습니다. ${minutes(seconds)} 뒤에 다시 해 주세요.` },
  busy: { status: 503, text: () => '지금 로그인하는 사람이 많습니다. 잠시 후 다시 해 주세요.' },
};

// refuse(ctx, outcome, page): page(sentence) with the right status and Retry-After.
export function refuse(ctx, { refusal, retryS }, page, words = null) {
  const { status, text } = REFUSALS[refusal];
  if (retryS) ctx.set('Retry-After', String(retryS));
  ctx.status = status;
  ctx.type = 'html';
  ctx.body = page(refusal === 'refused' && words ? words : text(retryS));
}
