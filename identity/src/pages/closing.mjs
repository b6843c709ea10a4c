// SPDX-License-Identifier: Apache-2.0
// The page on which a person closes the account: one action, after which neither the shop nor this service knows the person. Must never say
// that something is gone which is not.

import { clientOf, show } from '../router.mjs';
import { field, html, layout, notice } from './html.mjs';
import { refuse } from './refusals.mjs';

const back = html`<nav class="links" aria-label="다음"><a href="/auth/account">내 계정</a></nav>`;

const form = ({ login, csrf, fault, open = [] }) => layout('회원 탈퇴', html`
    ${notice(fault)}
    ${open.length ? html`<ul>${open.map((sentence) => html`<li>${sentence}</li>`)}</ul>` : ''}
    <p>탈퇴하면 <strong>${login}</strong> 계정과 함께 받는 분의 이름·연락처·주소, 메시지와 메모가 모두 지워지고 되돌릴 수 없습니다.
      거래 기록(주문 번호, 상품, 금액)은 법에 따라 5년 동안 남지만 누구의 주문인지는 알 수 없게 됩니다.</p>
    <p>필요하다면 먼저 주문 내역을 받아 두세요. 배송 중인 주문이 있으면 받은 뒤에 탈퇴할 수 있습니다.</p>
    <form method="post" action="/auth/account/close">
      <input type="hidden" name="csrf" value="${csrf}">
      <input type="text" name="username" value="${login}" autocomplete="username" hidden>
      ${field({ name: 'password', label: '비밀번호', type: 'password', autocomplete: 'current-password', isInvalid: Boolean(fault), maxlength: 256 })}
      <button type="submit">탈퇴하기</button>
    </form>
    ${back}`);

const notByThemselves = () => layout('회원 탈퇴', html`
    <p>농가와 운영자 계정은 고객센터에 말씀해 주시면 정산을 마친 뒤 닫아 드립니다.</p>
    ${back}`);

const closed = () => layout('탈퇴했습니다', html`
    ${notice('계정과 개인정보를 지웠습니다. 그동안 이용해 주셔서 고맙습니다.', 'told')}
    <nav class="links" aria-label="다음"><a href="/">과수원으로</a></nav>`);

// closingPages(signedIn, csrfOf, accounts): rows for the router.
export function closingPages(signedIn, csrfOf, accounts) {
  const mayClose = (work) => signedIn((ctx, account, session) => (account.role === 'buyer' ? work(ctx, account, session) : show(ctx, notByThemselves(), ctx.method === 'POST' ? 403 : 200)));

  const ask = (ctx, { login }, session) => show(ctx, form({ login, csrf: csrfOf(session) }));

  async function close(ctx, account, session) {
    const page = (more) => form({ login: account.login, csrf: csrfOf(session), ...more });
    const outcome = await accounts.close(clientOf(ctx), account, session.uid, ctx.state.field('password'));
    if (outcome.refusal) return refuse(ctx, outcome, (fault) => page({ fault }), '비밀번호가 맞지 않습니다.');
    if (outcome.open) return show(ctx, page({ fault: '아직 끝나지 않은 주문이 있어 탈퇴할 수 없습니다. 아무것도 지우지 않았습니다.', open: outcome.open }), 409);
    if (outcome.isAway) return show(ctx, page({ fault: '지금은 탈퇴를 마칠 수 없습니다. 계정은 그대로 있습니다. 잠시 후 다시 누르면 이어서 처리합니다.' }), 503);
    return show(ctx, closed());
  }

  return { 'GET /account/close': mayClose(ask), 'POST /account/close': mayClose(close) };
}
