// SPDX-License-Identifier: Apache-2.0
// The pages between a client's request and its answer: sign in, sign up, consent. Must never finish an interaction that the browser's
// cookie does not belong to.

import { errors } from 'oidc-provider';

import { Browsers } from '../browsers.mjs';
import { OIDC_SCOPES, RESOURCE, SCOPES, scopesOf } from '../directory.mjs';
import { setPolicy } from '../frame.mjs';
import { allow } from '../provider.mjs';
import { clientOf, seeOther, show } from '../router.mjs';
import { loginOf } from '../subjects.mjs';
import { refuse } from './refusals.mjs';
import * as views from './views.mjs';

export function interactionPages(provider, { config, accounts, browsers }) {
  const cookies = { signed: false, httpOnly: true, sameSite: 'strict', secure: config.issuer.startsWith('https:'), path: '/auth/interaction', maxAge: Browsers.LIFE_MS };

  // The interaction of this browser at this address, with what the pages need of it.
  async function begun(ctx, prompt = null) {
    const details = await provider.interactionDetails(ctx.req, ctx.res);
    if (details.uid !== ctx.state.params.uid || (prompt && details.prompt.name !== prompt)) throw new errors.SessionNotFound('another interaction');
    setPolicy(ctx, new URL(details.params.redirect_uri).origin);
    return { details, base: `/auth/interaction/${details.uid}` };
  }

  async function finish(ctx, result, isMerged = false) {
    seeOther(ctx, await provider.interactionResult(ctx.req, ctx.res, result, { mergeWithLastSubmission: isMerged }));
  }
  function signedIn(ctx, { accountId, login }) {
    ctx.cookies.set(Browsers.COOKIE, browsers.after(ctx.cookies.get(Browsers.COOKIE, { signed: false }), login), cookies);
    return finish(ctx, { login: { accountId, amr: ['pwd'] } });
  }

  async function first(ctx) {
    const { details, base } = await begun(ctx);
    if (details.prompt.name === 'consent') return showConsent(ctx, details, base);
    if (details.params.screen === 'signup' && ctx.query.screen !== 'signin') return seeOther(ctx, `${base}/signup`);
    return show(ctx, views.signIn({ base, login: details.params.login_hint }));
  }

  async function signIn(ctx) {
    const { base } = await begun(ctx, 'login');
    const { field } = ctx.state;
    const bucket = browsers.bucketOf(ctx.cookies.get(Browsers.COOKIE, { signed: false }), loginOf(field('login')));
    const outcome = await accounts.signIn(clientOf(ctx), field('login'), field('password'), bucket);
    if (outcome.refusal) return refuse(ctx, outcome, (fault) => views.signIn({ base, login: field('login'), fault }));
    return signedIn(ctx, outcome);
  }

  async function showSignUp(ctx) {
    const { base } = await begun(ctx, 'login');
    show(ctx, views.signUp({ base }));
  }

  async function signUp(ctx) {
    const { base } = await begun(ctx, 'login');
    const login = ctx.state.field('login');
    const outcome = await accounts.beginSignUp(clientOf(ctx), login, ctx.state.field('password'));
    const again = (fault) => views.signUp({ base, login, fault });
    if (outcome.fault) return show(ctx, again(outcome.fault), 400);
    if (outcome.refusal) return refuse(ctx, outcome, again);
    return show(ctx, views.signUpCode({ base, login, pledge: outcome.pledge }));
  }

  async function verifySignUp(ctx) {
    const { base } = await begun(ctx, 'login');
    const [login, pledge, code] = ['login', 'pledge', 'code'].map(ctx.state.field);
    const outcome = await accounts.finishSignUp(clientOf(ctx), pledge, code);
    if (outcome.isOver) return show(ctx, views.signUp({ base, login, fault: '인증번호를 더 확인할 수 없습니다. 처음부터 다시 해 주세요.' }), 400);
    if (outcome.refusal) return refuse(ctx, outcome, (fault) => views.signUpCode({ base, login, pledge, fault }), '인증번호가 맞지 않습니다.');
    return signedIn(ctx, outcome);
  }

  const asked = ({ missingOIDCScope = [], missingResourceScopes = {} }) => [...missingOIDCScope, ...(missingResourceScopes[RESOURCE] ?? [])];

  async function showConsent(ctx, details, base) {
    const [account, client] = await Promise.all([accounts.find(details.session.accountId), provider.Client.find(details.params.client_id)]);
    const may = new Set(scopesOf(account.role));
    const wanted = details.params.scope.split(' ').filter((scope) => OIDC_SCOPES[scope] || may.has(scope));
    show(ctx, views.consent({ base, client: client.clientName, login: account.login, scopes: wanted.map((scope) => OIDC_SCOPES[scope] ?? SCOPES[scope]) }));
  }

  async function consent(ctx) {
    const { details } = await begun(ctx, 'consent');
    const { accountId } = details.session;
    const account = await accounts.find(accountId);
    const found = details.grantId ? await provider.Grant.find(details.grantId) : null;
    const grant = found ?? new provider.Grant({ accountId, clientId: details.params.client_id });
    allow(grant, asked(details.prompt.details), account.role);
    await finish(ctx, { consent: { grantId: await grant.save() } }, true);
  }

  async function abort(ctx) {
    await begun(ctx);
    await finish(ctx, { error: 'access_denied', error_description: 'End-User aborted interaction' });
  }

  return {
    'GET /interaction/:uid': first,
    'POST /interaction/:uid': signIn,
    'GET /interaction/:uid/signup': showSignUp,
    'POST /interaction/:uid/signup': signUp,
    'POST /interaction/:uid/signup/verify': verifySignUp,
    'POST /interaction/:uid/consent': consent,
    'GET /interaction/:uid/abort': abort,
  };
}
