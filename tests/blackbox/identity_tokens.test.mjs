// SPDX-License-Identifier: Apache-2.0
// Tokens by the book: an official client library signs people in by code and PKCE and machines by client_credentials; the services take
// what comes out. What is not by the book is refused.

import assert from 'node:assert/strict';
import { readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { decodeJwt, decodeProtectedHeader } from 'jose';

import { ask } from '../lib/edge.mjs';
import { closeClients, rpc } from '../lib/grpc.mjs';
import { demoPassword, discover, flow, freshLogin, ISSUER, oidc, PEOPLE_SCOPE, redeem, refusalOf, SHOP, tokensOf, Visitor } from '../lib/identity.mjs';
import { uuid7 } from '../lib/ids.mjs';
import { directory, stack } from '../lib/stack.mjs';

const EVERY_SCOPE = 'openid profile email orders:read orders:write catalog:write deliveries:write admin';
const bearer = (token) => ({ base: stack.gateway, headers: { Authorization: `Bearer ${token}` } });

after(closeClients);

for (const { name, sub, role, farmId } of directory.accounts) {
  test(`${name} gets what a ${role} may have and no more`, async () => {
    const { tokens } = await tokensOf({ login: name, password: demoPassword(), scope: EVERY_SCOPE });
    const claims = decodeJwt(tokens.access_token);
    assert.equal(decodeProtectedHeader(tokens.access_token).typ, 'at+jwt');
    assert.equal(decodeProtectedHeader(tokens.access_token).alg, 'RS256');
    assert.deepEqual({ iss: claims.iss, aud: claims.aud, sub: claims.sub, roles: claims.roles, farmId: claims.farmId, client: claims.client_id }, { iss: ISSUER, aud: 'gwasuwon', sub, roles: [role], farmId, client: 'gwasuwon-web' });
    assert.deepEqual(claims.scope.split(' ').sort(), [...directory.roles[role]].sort());
    assert.ok(claims.jti && claims.exp - claims.iat <= 900);
    const id = decodeJwt(tokens.id_token);
    assert.deepEqual({ sub: id.sub, aud: id.aud, roles: id.roles, name: id.preferred_username }, { sub, aud: 'gwasuwon-web', roles: [role], name: name });
  });
}

test('every service takes a person\'s token', async () => {
  const { tokens } = await tokensOf({ login: 'operator1', password: demoPassword(), scope: EVERY_SCOPE });
  const farm = directory.accounts.find((row) => row.farmId).farmId;
  for (const path of ['/api/v1/orders', '/api/v1/simulation', `/api/v1/farms/${farm}/orders`]) assert.equal((await ask(`GET ${path}`, bearer(tokens.access_token))).status, 200, path);
  assert.equal((await ask(`GET /api/v1/skus/${uuid7()}/stock-ledger`, bearer(tokens.access_token))).status, 404);
});

test('a new account is a buyer\'s, whatever is asked for', async () => {
  const { tokens } = await tokensOf({ scope: EVERY_SCOPE });
  const claims = decodeJwt(tokens.access_token);
  assert.deepEqual(claims.roles, ['buyer']);
  assert.deepEqual(claims.scope.split(' ').sort(), ['orders:read', 'orders:write']);
  assert.match(claims.sub, /^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
  assert.equal((await ask('GET /api/v1/orders', bearer(tokens.access_token))).status, 200);
});

for (const { name, sub } of directory.services) {
  test(`the machine ${name} gets a token that services take and people's endpoints do not`, async () => {
    const path = join(stack.var, 'keys', `${name}.secret`);
    assert.equal(statSync(path).mode & 0o777, 0o600);
    const secret = readFileSync(path, 'utf8').trim();
    const tokens = await oidc.clientCredentialsGrant(await discover(name, secret), { scope: 'internal' });
    const claims = decodeJwt(tokens.access_token);
    assert.deepEqual({ aud: claims.aud, sub: claims.sub, scope: claims.scope, service: claims.service, roles: claims.roles }, { aud: 'gwasuwon', sub, scope: 'internal', service: name, roles: ['service'] });
    assert.equal(tokens.refresh_token, undefined);
    assert.equal((await ask('GET /api/v1/orders', bearer(tokens.access_token))).status, 403);
    if (name === 'order-manager') assert.equal((await rpc('delivery-mock', 'GetDeliveries', { orderIds: [uuid7()] }, tokens.access_token)).code, 0);
  });
}

test('a machine gets no person\'s scope, and nothing with a wrong secret', async () => {
  const secret = readFileSync(join(stack.var, 'keys', 'order-manager.secret'), 'utf8').trim();
  const tokens = await oidc.clientCredentialsGrant(await discover('order-manager', secret), { scope: 'internal admin orders:read' }).catch((error) => error);
  if (tokens.access_token) assert.equal(decodeJwt(tokens.access_token).scope, 'internal');
  assert.equal(await refusalOf(oidc.clientCredentialsGrant(await discover('order-manager', 'wrong'), {})), 'invalid_client');
  assert.equal(await refusalOf(oidc.clientCredentialsGrant(await discover('gwasuwon-web'), {})), 'invalid_request');
});

// What an authorization request may not say. A page when the client cannot be trusted, else an error at the client.
const BAD_REQUESTS = [
  { name: 'another redirect_uri', change: { redirect_uri: 'https://evil.example/shop/' }, page: /주소/ },
  { name: 'a redirect_uri that only begins like ours', change: { redirect_uri: `${SHOP}../evil` }, page: /주소/ },
  { name: 'an unknown client', change: { client_id: 'nobody' }, page: /등록되지 않은/ },
  { name: 'no PKCE', change: { code_challenge: undefined, code_challenge_method: undefined }, error: 'invalid_request' },
  { name: 'plain PKCE', change: { code_challenge_method: 'plain' }, error: 'invalid_request' },
  { name: 'a challenge without its method, which means plain', change: { code_challenge_method: undefined }, error: 'invalid_request' },
  { name: 'a token in the address', change: { response_type: 'token' }, error: 'unsupported_response_type' },
  { name: 'an ID token in the address', change: { response_type: 'id_token', nonce: 'n' }, error: 'unsupported_response_type' },
  { name: 'another resource', change: { resource: 'https://other.example' }, error: 'invalid_target' },
];

for (const { name, change, page, error } of BAD_REQUESTS) {
  test(`an authorization request with ${name} is refused`, async () => {
    const url = new URL((await flow(await discover())).url);
    for (const [key, value] of Object.entries(change)) value === undefined ? url.searchParams.delete(key) : url.searchParams.set(key, value);
    const answer = await new Visitor().open(url.href);
    if (page) {
      assert.equal(answer.leads, undefined, 'it went on to the client');
      assert.equal(answer.status, 400);
      assert.match(answer.text, page);
    } else {
      assert.equal(`${answer.leads?.origin}${answer.leads?.pathname}`, SHOP);
      const said = new URLSearchParams(answer.leads.search || answer.leads.hash.slice(1));
      assert.equal(said.get('error'), error);
      assert.equal(said.get('code'), null);
    }
  });
}

test('a code is of no use with another verifier, nor a second time', async () => {
  const config = await discover();
  const visitor = new Visitor();
  const first = await flow(config);
  const { leads } = await visitor.signUp(first.url, freshLogin(), 'correct horse battery');
  assert.equal(await refusalOf(redeem(config, { ...first, verifier: oidc.randomPKCECodeVerifier() }, leads)), 'invalid_grant');
  const second = await flow(config);
  const again = (await visitor.open(second.url)).leads;
  assert.ok(again, 'who is signed in is not asked again');
  const tokens = await redeem(config, second, again);
  assert.equal(await refusalOf(redeem(config, second, again)), 'invalid_grant');
  assert.equal(await refusalOf(oidc.refreshTokenGrant(config, tokens.refresh_token)), 'invalid_grant', 'a stolen code must take its tokens along');
});

test('ten exchanges of one code at once give one token at most', async () => {
  const config = await discover();
  const begun = await flow(config);
  const { leads } = await new Visitor().signUp(begun.url, freshLogin(), 'correct horse battery');
  const answers = await Promise.all(Array.from({ length: 10 }, () => redeem(config, begun, leads).then(() => 'token', (error) => error.error)));
  assert.ok(answers.filter((one) => one === 'token').length <= 1, String(answers));
  assert.ok(answers.every((one) => ['token', 'invalid_grant'].includes(one)), String(answers));
});

test('a program on a person\'s machine asks for consent, in Korean, and gets only what was allowed', async () => {
  const config = await discover('gwasuwon-cli');
  const visitor = new Visitor();
  const redirect = { redirect_uri: `http://127.0.0.1:${40_000 + (process.pid % 10_000)}/callback`, scope: `${PEOPLE_SCOPE} admin` };
  const begun = await flow(config, redirect);
  const asked = await visitor.signIn(begun.url, 'buyer2', demoPassword());
  assert.equal(asked.page.heading, '접근 허용');
  assert.match(asked.text, /내 이름으로 주문하고 취소합니다/);
  assert.doesNotMatch(asked.text, /모든 농가와 주문/);
  assert.match(asked.headers['content-security-policy'], /form-action 'self' http:\/\/127\.0\.0\.1:\d+;/);
  const { leads } = await visitor.send(asked, {});
  const tokens = await redeem(config, begun, leads);
  assert.deepEqual(decodeJwt(tokens.access_token).scope.split(' ').sort(), ['orders:read', 'orders:write']);
  assert.equal(tokens.refresh_token, undefined, 'nobody asked for offline_access');

  const refused = await visitor.open((await flow(config, redirect)).url);
  const abort = refused.page.links.find((href) => href.endsWith('/abort'));
  assert.equal((await visitor.open(abort)).leads.searchParams.get('error'), 'access_denied');
});

test('discovery tells what is so, and nothing that is not', async () => {
  const { json } = await ask('GET /auth/.well-known/openid-configuration', { base: stack.identity.http, headers: { Host: 'evil.example', 'X-Forwarded-Host': 'evil.example' } });
  assert.equal(json.issuer, ISSUER);
  for (const [name, value] of Object.entries(json)) if (name.endsWith('_endpoint') || name === 'jwks_uri') assert.ok(value.startsWith(`${ISSUER}/`), `${name}: ${value}`);
  assert.deepEqual(json.code_challenge_methods_supported, ['S256']);
  assert.deepEqual(json.response_types_supported.sort(), ['code', 'none']);
  assert.deepEqual(json.grant_types_supported.sort(), ['authorization_code', 'client_credentials', 'refresh_token']);
  assert.equal(json.jwks_uri, `${ISSUER}/jwks.json`);
  const keys = (await ask('GET /auth/jwks.json')).json.keys;
  assert.ok(keys.length >= 1 && keys.every((key) => key.kty === 'RSA' && !('d' in key) && !('p' in key)));
});
