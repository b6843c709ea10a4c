// SPDX-License-Identifier: Apache-2.0
// The pages of one's own account: password, signed-in devices, the operator's mails; and the reset of a forgotten password. Must never act
// for a session that has ended, nor show a mail to anybody but an operator.

import { createHmac, hkdfSync, timingSafeEqual } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';

import { PAGES_CLIENT } from '../directory.mjs';
import { answerFault } from '../frame.mjs';
import { clientOf, seeOther, show } from '../router.mjs';
import { closingPages } from './closing.mjs';
import { refuse } from './refusals.mjs';
import * as views from './views.mjs';

const PAGES = ['/account', '/account/close', '/account/password', '/account/devices', '/operator/mail'];
const css = readFileSync(new URL('../../static/identity.css', import.meta.url), 'utf8');
const library = readFileSync(createRequire(import.meta.url).resolve('oauth4webapi'), 'utf8').replace(/\n\/\/# sourceMappingURL=.*\s*$/, '\n');

export function accountPages(provider, { config, accounts, mailbox, keyring }) {
  const csrfKey = Buffer.from(hkdfSync('sha256', config.secret, '', 'identity forms', 32));
  const csrfOf = (session) => createHmac('sha256', csrfKey).update(session.uid).digest('hex');

  function isOwnForm(ctx, session) {
    const [given, wanted] = [Buffer.from(ctx.state.field('csrf')), Buffer.from(csrfOf(session))];
    return given.length === wanted.length && timingSafeEqual(given, wanted);
  }

  // The account of this browser, or the way to sign in; `work` is called with both.
  const signedIn = (work) => async (ctx) => {
    const session = await provider.Session.get(ctx);
    const account = session.accountId ? await accounts.find(session.accountId) : null;
    if (!account || account.is_locked) {
      const query = new URLSearchParams({ client_id: PAGES_CLIENT, response_type: 'none', scope: 'openid', redirect_uri: `${config.issuer}/account/return`, state: ctx.path });
      return seeOther(ctx, `${config.issuer}/authorize?${query}`);
    }
    if (ctx.method === 'POST' && !isOwnForm(ctx, session)) return answerFault(ctx, 403);
    return work(ctx, account, session);
  };

  function comeBack(ctx) {
    const { state, error } = ctx.query;
    seeOther(ctx, !error && PAGES.includes(state) ? `${config.issuer}${state}` : '/');
  }

  const showAccount = (ctx, account) => show(ctx, views.account(account));
  const showChange = (ctx, account, session) => show(ctx, views.changePassword({ login: account.login, csrf: csrfOf(session) }));

  async function change(ctx, account, session) {
    const page = (more) => views.changePassword({ login: account.login, csrf: csrfOf(session), ...more });
    const outcome = await accounts.changePassword(clientOf(ctx), account.account_id, session.uid, ctx.state.field('old'), ctx.state.field('password'));
    if (outcome.refusal) return refuse(ctx, outcome, (fault) => page({ fault }), '지금 비밀번호가 맞지 않습니다.');
    if (outcome.fault) return show(ctx, page({ fault: outcome.fault }), 400);
    return show(ctx, page({ told: '비밀번호를 바꿨습니다. 다른 기기에서는 로그아웃했습니다.' }));
  }

  async function listDevices(ctx, account, session, told) {
    const rows = await accounts.sessions(account.account_id);
    const sessions = rows.map((row) => ({ uid: row.uid, device: row.device, signedInAt: row.signed_in_at, seenAt: row.seen_at, isThis: row.uid === session.uid }));
    show(ctx, views.devices({ sessions, csrf: csrfOf(session), told }));
  }

  async function endDevice(ctx, account, session) {
    const uid = ctx.state.field('session');
    await accounts.endSession(account.account_id, uid === 'all' ? null : uid, session.uid);
    await listDevices(ctx, account, session, uid === 'all' ? '다른 기기에서 모두 로그아웃했습니다.' : '그 기기에서 로그아웃했습니다.');
  }

  async function showMails(ctx, account) {
    if (account.role !== 'operator') return answerFault(ctx, 403);
    return show(ctx, views.mails(await mailbox.list()));
  }

  const showForgot = (ctx) => show(ctx, views.forgot({}));
  async function forgot(ctx) {
    const outcome = await accounts.beginReset(clientOf(ctx), ctx.state.field('login'));
    if (outcome.refusal) return refuse(ctx, outcome, (fault) => views.forgot({ login: ctx.state.field('login'), fault }));
    return show(ctx, views.forgotSent());
  }

  async function showReset(ctx) {
    const token = String(ctx.query.token ?? '');
    return (await accounts.isResetOpen(token)) ? show(ctx, views.reset({ token })) : show(ctx, views.resetOver(), 410);
  }

  async function reset(ctx) {
    const token = ctx.state.field('token');
    const outcome = await accounts.finishReset(clientOf(ctx), token, ctx.state.field('password'));
    if (outcome.isOver) return show(ctx, views.resetOver(), 410);
    if (outcome.refusal) return refuse(ctx, outcome, (fault) => views.reset({ token, fault }));
    if (outcome.fault) return show(ctx, views.reset({ token, fault: outcome.fault }), 400);
    return show(ctx, views.resetDone());
  }

  function keys(ctx) {
    ctx.set('Cache-Control', 'public, max-age=15');
    ctx.body = keyring.public;
  }

  const file = (type, body) => (ctx) => {
    ctx.set('Cache-Control', 'public, max-age=3600');
    ctx.type = type;
    ctx.body = body;
  };

  return {
    'GET /jwks.json': keys,
    'GET /static/identity.css': file('css', css),
    'GET /static/oauth4webapi.js': file('js', library), // for the shop's pages
    'GET /account': signedIn(showAccount),
    'GET /account/return': comeBack,
    'GET /account/password': signedIn(showChange),
    'POST /account/password': signedIn(change),
    'GET /account/devices': signedIn(listDevices),
    'POST /account/devices': signedIn(endDevice),
    ...closingPages(signedIn, csrfOf, accounts),
    'GET /operator/mail': signedIn(showMails),
    'GET /password/forgot': showForgot,
    'POST /password/forgot': forgot,
    'GET /password/reset': showReset,
    'POST /password/reset': reset,
  };
}
