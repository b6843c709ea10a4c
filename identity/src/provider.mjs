// SPDX-License-Identifier: Apache-2.0
// What oidc-provider is told: clients, claims, lifetimes, features, pages. Exists so that the whole policy can be read in one place. Must
// never issue a scope that the account's role does not have.

import { hkdfSync } from 'node:crypto';
import { Provider, errors, interactionPolicy } from 'oidc-provider';

import { INTERNAL, OIDC_SCOPES, RESOURCE, SCOPES, clientsOf, isOwn, scopesOf, serviceOf } from './directory.mjs';
import { log } from './log.mjs';
import { reuses, tokens } from './metrics.mjs';
import * as views from './pages/views.mjs';
import { adapterFor } from './store.mjs';

const INTERACTION_S = 1800;
const CODE_S = 60;

const accountFinder = (accounts) => async (ctx, sub) => {
  const row = await accounts.find(sub);
  if (!row || row.is_locked) return undefined;
  const roles = [row.role];
  const farm = row.farm_id ? { farmId: row.farm_id } : {};
  return {
    accountId: row.account_id, role: row.role, roles, farm,
    claims: async () => ({ sub: row.account_id, preferred_username: row.login, email: row.email, email_verified: true, roles, ...farm }),
  };
};

// The shop's own client has what it asks for, as far as the role reaches; every other client has what the person agreed to.
async function loadExistingGrant(ctx) {
  const { client, session, provider, result, account } = ctx.oidc; // asked only when there is an account
  const grantId = result?.consent?.grantId ?? session.grantIdFor(client.clientId);
  const found = grantId ? await provider.Grant.find(grantId) : undefined;
  if (!isOwn(client.clientId)) return found;
  const grant = found ?? new provider.Grant({ accountId: account.accountId, clientId: client.clientId });
  if (allow(grant, ctx.oidc.requestParamScopes, account.role) || !found) await grant.save();
  return grant;
}

// allow(grant, scopes, role): grants what the role may have and rejects the rest; true when something was not in it yet.
export function allow(grant, scopes, role) {
  const may = new Set(scopesOf(role));
  const known = new Set(`${grant.getOIDCScopeEncountered()} ${grant.getResourceScopeEncountered(RESOURCE)}`.split(' '));
  const fresh = [...scopes].filter((scope) => !known.has(scope));
  for (const scope of fresh) {
    if (OIDC_SCOPES[scope]) grant.addOIDCScope(scope);
    else if (SCOPES[scope] && may.has(scope)) grant.addResourceScope(RESOURCE, scope);
    else if (SCOPES[scope]) grant.rejectResourceScope(RESOURCE, scope);
  }
  return fresh.length > 0;
}

// Claims as every service checks them; a role may have become less since the grant.
async function shapeToken(ctx, token, jwt) {
  if (token.kind === 'ClientCredentials') {
    const service = serviceOf(token.clientId);
    Object.assign(jwt.payload, { sub: service.sub, scope: INTERNAL, roles: ['service'], service: service.name });
    return;
  }
  const { account } = ctx.oidc;
  const may = new Set(scopesOf(account.role));
  const scope = (token.scope ?? '').split(' ').filter((one) => may.has(one)).join(' ');
  Object.assign(jwt.payload, { scope: scope || undefined, roles: account.roles, ...account.farm });
}

const resourceFor = (config) => (ctx, indicator, client) => {
  if (indicator !== RESOURCE) throw new errors.InvalidTarget();
  const isMachine = Boolean(serviceOf(client.clientId));
  return {
    audience: config.audience, accessTokenFormat: 'jwt', jwt: { sign: { alg: 'RS256' } },
    scope: isMachine ? INTERNAL : Object.keys(SCOPES).join(' '), accessTokenTTL: isMachine ? config.serviceTtlS : config.accessTtlS,
  };
};

// A session whose account was locked or erased asks for a sign-in.
function interactionRules() {
  const { Check, base } = interactionPolicy;
  const policy = base();
  policy.get('login').checks.add(new Check('account_gone', 'End-User authentication is required', ({ oidc }) => Boolean(oidc.session.accountId) && !oidc.account));
  return policy;
}

function configuration(config, { db, accounts, keyring }) {
  const isSecure = config.issuer.startsWith('https:');
  const cookies = { httpOnly: true, overwrite: true, sameSite: 'lax', signed: true, secure: isSecure };
  const policy = new URL(config.issuer).pathname;
  return {
    adapter: adapterFor(db),
    jwks: keyring.forProvider,
    clients: clientsOf(config),
    findAccount: accountFinder(accounts),
    loadExistingGrant,
    scopes: Object.keys(OIDC_SCOPES),
    claims: { openid: ['sub'], profile: ['preferred_username', 'roles', 'farmId'], email: ['email', 'email_verified'] },
    conformIdTokenClaims: false,
    responseTypes: ['code', 'none'],
    clientAuthMethods: ['client_secret_basic', 'client_secret_post', 'none'],
    pkce: { required: () => true },
    rotateRefreshToken: true,
    issueRefreshToken: async (ctx, client, source) => client.grantTypeAllowed('refresh_token') && (isOwn(client.clientId) || source.scopes.has('offline_access')),
    expiresWithSession: async (ctx, source) => isOwn(source.clientId) || !source.scopes.has('offline_access'),
    extraParams: ['screen'],
    cookies: {
      keys: [Buffer.from(hkdfSync('sha256', config.secret, '', 'identity cookies', 32)).toString('hex')],
      names: { session: 'gw_session', interaction: 'gw_interaction', resume: 'gw_resume' },
      long: { ...cookies, path: `${policy}/` }, short: cookies,
    },
    features: {
      devInteractions: { enabled: false },
      clientCredentials: { enabled: true },
      revocation: { enabled: true },
      userinfo: { enabled: false }, // every access token is for the API; the ID token carries the claims
      pushedAuthorizationRequests: { enabled: false },
      resourceIndicators: { enabled: true, defaultResource: () => RESOURCE, useGrantedResource: () => true, getResourceServerInfo: resourceFor(config) },
      rpInitiatedLogout: {
        enabled: true,
        logoutSource: (ctx, form) => { ctx.body = views.signOut(form); },
        postLogoutSuccessSource: (ctx) => { ctx.body = views.signedOut(config.webOrigins[0]); },
      },
      externalSigningSupport: { enabled: true, ack: 'experimental-01' },
    },
    formats: { customizers: { jwt: shapeToken } },
    routes: { jwks: '/jwks.json', token: '/token', authorization: '/authorize', end_session: '/session/end', revocation: '/token/revocation' },
    interactions: { policy: interactionRules(), url: (ctx, interaction) => `${policy}/interaction/${interaction.uid}` },
    ttl: {
      AccessToken: (ctx, token) => token.resourceServer?.accessTokenTTL ?? config.accessTtlS,
      ClientCredentials: (ctx, token) => token.resourceServer?.accessTokenTTL ?? config.serviceTtlS,
      AuthorizationCode: CODE_S, IdToken: config.accessTtlS, Interaction: INTERACTION_S, Session: config.sessionTtlS, Grant: config.sessionTtlS,
      RefreshToken: (ctx) => ctx?.oidc?.entities.RotatedRefreshToken?.remainingTTL ?? config.refreshTtlS,
    },
    renderError: (ctx, out, error) => {
      ctx.type = 'html';
      ctx.body = views.fault(ctx.status, out.error, error.name);
    },
  };
}

function listen(provider) {
  provider.on('server_error', (ctx, error) => log.error('oidc.failed', { route: ctx.oidc?.route ?? null, error: error.name, reason: error.message, at: error.stack?.split('\n')[1]?.trim() }));
  for (const event of ['authorization.error', 'end_session.error', 'revocation.error']) {
    provider.on(event, (ctx, error) => log.info('oidc.refused', { route: ctx.oidc?.route ?? null, error: error.error, detail: error.error_detail ?? error.error_description }));
  }
  const grants = new Set(['authorization_code', 'refresh_token', 'client_credentials']);
  const grantOf = (ctx) => (grants.has(ctx.oidc.params?.grant_type) ? ctx.oidc.params.grant_type : 'other');
  provider.on('grant.success', (ctx) => tokens.inc({ grant: grantOf(ctx), outcome: 'ok' }));
  provider.on('grant.error', (ctx, error) => {
    tokens.inc({ grant: grantOf(ctx), outcome: error.status >= 500 ? 'failed' : 'refused' });
    if (error.error_detail === 'refresh token already used') {
      reuses.inc();
      log.warn('token.reused', { kind: 'RefreshToken' });
    }
  });
}

// makeProvider(config, parts, ...middleware): a provider with the keys of this moment; made anew when they change.
export function makeProvider(config, parts, ...middleware) {
  const provider = new Provider(config.issuer, configuration(config, parts));
  provider.proxy = true;
  for (const one of middleware) provider.use(one(provider));
  listen(provider);
  return provider;
}
