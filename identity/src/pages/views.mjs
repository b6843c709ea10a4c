// SPDX-License-Identifier: Apache-2.0
// The pages, as text. Each takes what it shows and decides nothing. Must never hold a script or a style: the policy of these pages forbids
// both.

import { field, fromProvider, html, layout, notice } from './html.mjs';

const newPassword = (isInvalid, label = '비밀번호') => field({ name: 'password', label, type: 'password', autocomplete: 'new-password', hint: '10자 이상. 문장처럼 길게 정하면 안전하고 외우기 쉽습니다.', isInvalid, maxlength: 256 });

export const signIn = ({ base, login = '', fault, told }) => layout('로그인', html`
    ${notice(told, 'told')}${notice(fault)}
    <form method="post" action="${base}">
      ${field({ name: 'login', label: '이메일 또는 아이디', value: login, autocomplete: 'username', isInvalid: Boolean(fault), isFirst: !login })}
      ${field({ name: 'password', label: '비밀번호', type: 'password', autocomplete: 'current-password', isInvalid: Boolean(fault), isFirst: Boolean(login), maxlength: 256 })}
      <button type="submit">로그인</button>
    </form>
    <nav class="links" aria-label="다른 방법">
      <a href="${base}/signup">회원가입</a>
      <a href="/auth/password/forgot">비밀번호를 잊으셨나요?</a>
      <a href="${base}/abort">돌아가기</a>
    </nav>`);

export const signUp = ({ base, login = '', fault }) => layout('회원가입', html`
    ${notice(fault)}
    <p>이메일과 비밀번호만 있으면 됩니다. 이메일로 인증번호를 보내 드립니다.</p>
    <form method="post" action="${base}/signup">
      ${field({ name: 'login', label: '이메일', type: 'email', value: login, autocomplete: 'username', isInvalid: Boolean(fault), isFirst: true, inputmode: 'email' })}
      ${newPassword(Boolean(fault))}
      <button type="submit">인증번호 받기</button>
    </form>
    <nav class="links" aria-label="다른 방법"><a href="${base}">이미 계정이 있으신가요? 로그인</a></nav>`);

export const signUpCode = ({ base, login, pledge, fault }) => layout('이메일 확인', html`
    ${notice(fault)}
    <p><strong>${login}</strong>(으)로 인증번호를 보냈습니다. 메일에 적힌 숫자 6자리를 입력해 주세요.</p>
    <form method="post" action="${base}/signup/verify">
      <input type="hidden" name="pledge" value="${pledge}"><input type="hidden" name="login" value="${login}">
      ${field({ name: 'code', label: '인증번호', autocomplete: 'one-time-code', inputmode: 'numeric', isInvalid: Boolean(fault), isFirst: true, maxlength: 12 })}
      <button type="submit">가입하기</button>
    </form>
    <nav class="links" aria-label="다른 방법"><a href="${base}/signup">메일이 오지 않았나요? 다시 하기</a></nav>`);

export const consent = ({ base, client, login, scopes }) => layout('접근 허용', html`
    <p><strong>${client}</strong>에서 <strong>${login}</strong> 님의 계정을 쓰려고 합니다. 허용하면 다음 일을 할 수 있습니다.</p>
    <ul class="scopes">${scopes.map((sentence) => html`<li>${sentence}</li>`)}</ul>
    <form method="post" action="${base}/consent"><button type="submit">허용</button></form>
    <nav class="links" aria-label="다른 방법"><a href="${base}/abort">허용하지 않고 돌아가기</a></nav>`);

export const signOut = (form) => layout('로그아웃', html`
    <p>이 기기에서 로그아웃할까요?</p>
    ${fromProvider(form)}
    <button type="submit" form="op.logoutForm" name="logout" value="yes" autofocus>로그아웃</button>
    <button type="submit" form="op.logoutForm" class="plain">로그인한 채로 두기</button>`);

export const signedOut = (origin) => layout('로그아웃했습니다', html`
    <p>이용해 주셔서 고맙습니다.</p>
    <nav class="links" aria-label="다음"><a href="${origin}/">과수원으로</a></nav>`);

export const forgot = ({ login = '', fault }) => layout('비밀번호 재설정', html`
    ${notice(fault)}
    <p>가입할 때 쓴 이메일을 알려 주세요. 비밀번호를 다시 정할 수 있는 주소를 보내 드립니다.</p>
    <form method="post" action="/auth/password/forgot">
      ${field({ name: 'login', label: '이메일 또는 아이디', value: login, autocomplete: 'username', isFirst: true })}
      <button type="submit">메일 받기</button>
    </form>`);

export const forgotSent = () => layout('메일을 확인해 주세요', html`
    ${notice('가입된 계정이라면 곧 메일이 도착합니다. 주소는 30분 동안 한 번만 쓸 수 있습니다.', 'told')}
    <p>메일이 보이지 않으면 스팸함을 확인하거나 이메일 주소를 다시 확인해 주세요.</p>
    <nav class="links" aria-label="다음"><a href="/auth/password/forgot">다시 보내기</a><a href="/">과수원으로</a></nav>`);

export const reset = ({ token, fault }) => layout('새 비밀번호', html`
    ${notice(fault)}
    <form method="post" action="/auth/password/reset">
      <input type="hidden" name="token" value="${token}">
      ${newPassword(Boolean(fault), '새 비밀번호')}
      <button type="submit">비밀번호 바꾸기</button>
    </form>
    <p class="hint">바꾸면 로그인된 모든 기기에서 로그아웃됩니다.</p>`);

export const resetDone = () => layout('비밀번호를 바꿨습니다', html`
    ${notice('모든 기기에서 로그아웃했습니다. 새 비밀번호로 로그인해 주세요.', 'told')}
    <nav class="links" aria-label="다음"><a href="/auth/account">로그인</a></nav>`);

export const resetOver = () => layout('쓸 수 없는 주소입니다', html`
    <p>이미 쓴 주소이거나 시간이 지났습니다. 메일을 다시 받아 주세요.</p>
    <nav class="links" aria-label="다음"><a href="/auth/password/forgot">비밀번호 재설정</a></nav>`);

const ROLES = { buyer: '구매자', farmer: '농가', operator: '운영자' };

export const account = ({ login, role }) => layout('내 계정', html`
    <dl><dt>아이디</dt><dd>${login}</dd><dt>역할</dt><dd>${ROLES[role]}</dd></dl>
    <ul class="cards">
      <li><a href="/auth/account/password"><strong>비밀번호 변경</strong><span>다른 기기에서는 로그아웃됩니다.</span></a></li>
      <li><a href="/auth/account/devices"><strong>로그인된 기기</strong><span>어디에서 로그인했는지 보고, 로그아웃시킵니다.</span></a></li>
      ${role === 'operator' ? html`<li><a href="/auth/operator/mail"><strong>보낸 메일</strong><span>실제로 보내지 않은 메일을 봅니다.</span></a></li>` : ''}
      ${role === 'buyer' ? html`<li><a href="/auth/account/close"><strong>회원 탈퇴</strong><span>계정과 개인정보를 모두 지웁니다.</span></a></li>` : ''}
      <li><a href="/auth/session/end"><strong>로그아웃</strong><span>이 기기에서 로그아웃합니다.</span></a></li>
    </ul>`);

export const changePassword = ({ login, csrf, fault, told }) => layout('비밀번호 변경', html`
    ${notice(told, 'told')}${notice(fault)}
    <form method="post" action="/auth/account/password">
      <input type="hidden" name="csrf" value="${csrf}">
      <input type="text" name="username" value="${login}" autocomplete="username" hidden>
      ${field({ name: 'old', label: '지금 비밀번호', type: 'password', autocomplete: 'current-password', isFirst: true, maxlength: 256 })}
      ${newPassword(Boolean(fault), '새 비밀번호')}
      <button type="submit">비밀번호 바꾸기</button>
    </form>
    <nav class="links" aria-label="다음"><a href="/auth/account">내 계정</a></nav>`);

const seoul = new Intl.DateTimeFormat('ko-KR', { timeZone: 'Asia/Seoul', year: 'numeric', month: 'long', day: 'numeric', hour: '2-digit', minute: '2-digit', hourCycle: 'h23' });

export const devices = ({ sessions, csrf, told }) => layout('로그인된 기기', html`
    ${notice(told, 'told')}
    <ul class="devices">${sessions.map((one) => html`
      <li>
        <div><strong>${one.device}</strong>${one.isThis ? html` <em>이 기기</em>` : ''}<br>
          <span>로그인 ${seoul.format(one.signedInAt)}<br>마지막 사용 ${seoul.format(one.seenAt)}</span></div>
        ${one.isThis ? '' : html`<form method="post" action="/auth/account/devices"><input type="hidden" name="csrf" value="${csrf}"><input type="hidden" name="session" value="${one.uid}">
          <button type="submit" class="plain" aria-label="${one.device} 로그아웃">로그아웃</button></form>`}
      </li>`)}
    </ul>
    <form method="post" action="/auth/account/devices"><input type="hidden" name="csrf" value="${csrf}"><input type="hidden" name="session" value="all">
      <button type="submit" class="plain">다른 기기에서 모두 로그아웃</button></form>
    <p class="hint">로그아웃된 기기의 접근 권한은 늦어도 몇 분 안에 사라집니다.</p>
    <nav class="links" aria-label="다음"><a href="/auth/account">내 계정</a></nav>`);

export const mails = (list) => layout('보낸 메일', html`
    <p>이 과수원은 메일을 실제로 보내지 않습니다. 보냈을 메일은 여기에 모입니다.</p>
    ${list.length ? '' : html`<p>아직 없습니다.</p>`}
    ${list.map((mail) => html`<article class="mail"><h2>${mail.subject}</h2><p class="hint">${mail.to} · ${seoul.format(mail.at)}</p><pre>${mail.text}</pre></article>`)}`);

// status or code of the provider -> what to say.
const FAULTS = {
  SessionNotFound: ['시간이 지났습니다', '로그인을 시작한 지 오래되었거나 다른 창에서 이미 마쳤습니다. 처음부터 다시 해 주세요.'],
  invalid_redirect_uri: ['잘못된 요청입니다', '돌아갈 주소가 등록된 주소와 다릅니다. 로그인을 시작한 곳에서 다시 해 주세요.'],
  invalid_client: ['잘못된 요청입니다', '등록되지 않은 프로그램입니다.'],
  400: ['잘못된 요청입니다', '요청을 처리할 수 없습니다. 처음부터 다시 해 주세요.'],
  403: ['볼 수 없는 페이지입니다', '이 페이지를 볼 권한이 없습니다.'],
  404: ['페이지가 없습니다', '주소를 다시 확인해 주세요.'],
  405: ['잘못된 요청입니다', '이 주소에서는 쓸 수 없는 방식입니다.'],
  413: ['보낸 내용이 너무 큽니다', '입력한 내용을 줄여 주세요.'],
  429: ['잠시 후 다시 해 주세요', '짧은 시간에 너무 많이 시도했습니다.'],
  503: ['잠시 후 다시 해 주세요', '지금은 로그인 서비스를 쓸 수 없습니다. 곧 다시 됩니다.'],
};
const UNKNOWN = ['문제가 생겼습니다', '잠시 후 다시 해 주세요. 계속되면 고객센터로 알려 주세요.'];

export function fault(status, ...names) {
  const [title, sentence] = names.map((name) => FAULTS[name]).find(Boolean) ?? FAULTS[status] ?? UNKNOWN;
  return layout(title, html`<p>${sentence}</p><nav class="links" aria-label="다음"><a href="/">과수원으로</a></nav>`);
}
