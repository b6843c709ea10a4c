// SPDX-License-Identifier: Apache-2.0
// Signing in by code and PKCE, with oauth4webapi. Tokens live in this page's memory alone; a reload gets new ones without asking, for the
// identity service knows the browser. Must never put a token where another page or a later visit could read it.

import * as oauth from '/auth/static/oauth4webapi.js';

const ISSUER = new URL('/auth', location.origin);
const CLIENT = { client_id: 'gwasuwon-web' };
const HERE = new URL('/shop/', location.origin).href;
const SCOPE = 'openid profile orders:read orders:write';
const RENEW_BEFORE_MS = 30_000;
const [BEGUN, KNOWN] = ['gwasuwon.begun', 'gwasuwon.known'];

let server = null;
let tokens = null;
let renewing = null;

async function discover() {
  server ??= await oauth.processDiscoveryResponse(ISSUER, await oauth.discoveryRequest(ISSUER));
  return server;
}

function keep(answer) {
  const claims = oauth.getValidatedIdTokenClaims(answer);
  tokens = { access: answer.access_token, refresh: answer.refresh_token, until: Date.now() + answer.expires_in * 1000, name: claims?.preferred_username ?? tokens?.name };
}

// signIn({ screen, isSilent }): leaves this page. A silent one comes back at once, with or without a code.
export async function signIn({ screen, isSilent = false, after = null } = {}) {
  const { authorization_endpoint: endpoint } = await discover();
  const begun = { verifier: oauth.generateRandomCodeVerifier(), state: oauth.generateRandomState(), nonce: oauth.generateRandomNonce(), isSilent, after };
  sessionStorage.setItem(BEGUN, JSON.stringify(begun));
  const query = { ...CLIENT, redirect_uri: HERE, response_type: 'code', scope: SCOPE, state: begun.state, nonce: begun.nonce, code_challenge: await oauth.calculatePKCECodeChallenge(begun.verifier), code_challenge_method: 'S256', ...(isSilent ? { prompt: 'none' } : {}), ...(screen ? { screen } : {}) };
  location.assign(`${endpoint}?${new URLSearchParams(query)}`);
  return new Promise(() => {}); // the page is left
}

async function finish(begun) {
  const parameters = oauth.validateAuthResponse(await discover(), CLIENT, new URL(location.href), begun.state);
  const answer = await oauth.authorizationCodeGrantRequest(server, CLIENT, oauth.None(), parameters, HERE, begun.verifier);
  keep(await oauth.processAuthorizationCodeResponse(server, CLIENT, answer, { expectedNonce: begun.nonce, requireIdToken: true }));
  localStorage.setItem(KNOWN, '1');
}

// resume(): { name, after } of who is signed in, or null. Finishes a sign-in that comes back here; asks silently for one who was here before.
export async function resume() {
  const begun = JSON.parse(sessionStorage.getItem(BEGUN) ?? 'null');
  sessionStorage.removeItem(BEGUN);
  const query = new URLSearchParams(location.search);
  if (begun && (query.has('code') || query.has('error'))) {
    try {
      if (query.has('code')) await finish(begun);
      else localStorage.removeItem(KNOWN);
    } finally {
      history.replaceState(null, '', HERE);
    }
    return tokens && { name: tokens.name, after: begun.after };
  }
  if (localStorage.getItem(KNOWN)) return signIn({ isSilent: true });
  return null;
}

async function renew() {
  const answer = await oauth.refreshTokenGrantRequest(await discover(), CLIENT, oauth.None(), tokens.refresh);
  keep(await oauth.processRefreshTokenResponse(server, CLIENT, answer));
}

// accessToken(): a token that is good for a while; null when nobody is signed in any more. One renewal at a time, for a refresh token that
// is sent twice ends the sign-in.
export async function accessToken() {
  if (!tokens) return null;
  if (tokens.until - Date.now() > RENEW_BEFORE_MS) return tokens.access;
  renewing ??= renew().catch(() => { tokens = null; }).finally(() => { renewing = null; });
  await renewing;
  return tokens?.access ?? null;
}

export async function signOut() {
  const { end_session_endpoint: endpoint } = await discover();
  tokens = null;
  localStorage.removeItem(KNOWN);
  location.assign(`${endpoint}?${new URLSearchParams({ ...CLIENT, post_logout_redirect_uri: HERE })}`);
}
