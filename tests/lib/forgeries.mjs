// SPDX-License-Identifier: Apache-2.0
// Tokens that nobody may take, one row each; everything is right in them but the one thing named. And the tests made of them, for any
// base URL that stands before an operation which needs a token: a service, the gateway, an edge of another kind. Must never hold a token
// that would be good somewhere in this stack.

import assert from 'node:assert/strict';
import { createSign } from 'node:crypto';
import { test } from 'node:test';

import { grpc, rpc } from './grpc.mjs';
import { call } from './http.mjs';
import { uuid7 } from './ids.mjs';
import { stack } from './stack.mjs';
import { claimsOf, publicPem, sign, signingKey, strangersKey } from './tokens.mjs';

const encode = (value) => Buffer.from(typeof value === 'string' ? value : JSON.stringify(value)).toString('base64url');
const now = () => Math.floor(Date.now() / 1000);

function replacePart(jwt, index, part) {
  const parts = jwt.split('.');
  parts[index] = part;
  return parts.join('.');
}

// Signed by our own key, whatever the texts are: for what no JWT library would write.
async function signTexts(header, payload) {
  const { key } = await signingKey();
  const text = `${encode(header)}.${encode(payload)}`;
  return `${text}.${createSign('RSA-SHA256').update(text).sign(key).toString('base64url')}`;
}
const goodHeader = async (more = {}) => ({ alg: 'RS256', kid: (await signingKey()).kid, typ: 'at+jwt', ...more });
// {"a":1} and '"a":2' -> {"a":1,"a":2}
const withMember = (object, member) => `${JSON.stringify(object).slice(0, -1)},${member}}`;

// `make` gets the claims of an operator's token and answers the token, or the whole Authorization value as { authorization }.
// `statuses`: what REST may answer besides 401.
export const FORGERIES = [
  { name: 'no token', make: async () => ({}) },
  { name: 'an empty token', make: async () => ({ authorization: 'Bearer ' }), isMalformedForGrpc: true },
  { name: 'Basic instead of Bearer', make: async () => ({ authorization: `Basic ${encode('operator1:operator1')}` }) },
  { name: 'a good token without Bearer', make: async (claims) => ({ authorization: await sign(claims) }) },
  { name: 'alg none', make: async (claims) => `${encode(await goodHeader({ alg: 'none' }))}.${encode(claims)}.` },
  { name: 'alg None with a signature', make: async (claims) => replacePart(await sign(claims), 0, encode(await goodHeader({ alg: 'None' }))) },
  { name: 'no alg', make: async (claims) => signTexts({ ...(await goodHeader()), alg: undefined }, claims) },
  { name: 'no signature', make: async (claims) => replacePart(await sign(claims), 2, '') },
  { name: 'padding in the signature where none can be', make: async (claims) => replacePart(await sign(claims), 2, 'B=cHBwcH') },
  { name: 'RS/HS confusion: HS256 with the public key as secret', make: async (claims) => sign(claims, { alg: 'HS256' }, new TextEncoder().encode(await publicPem())) },
  { name: 'HS256 with an empty secret', make: async (claims) => `${encode(await goodHeader({ alg: 'HS256' }))}.${encode(claims)}.${encode('x')}` },
  { name: 'RS384 of our own key', make: async (claims) => signTexts(await goodHeader({ alg: 'RS384' }), claims) },
  { name: 'wrong key: another one under our kid', make: async (claims) => sign(claims, {}, strangersKey()) },
  { name: 'a changed payload', make: async (claims) => replacePart(await sign({ ...claims, scope: 'orders:read' }), 1, encode(claims)) },
  { name: 'stolen farmer role: a buyer who writes farmer and a farm into the token', make: async (claims) => replacePart(await sign({ ...claims, roles: ['buyer'] }), 1, encode({ ...claims, roles: ['farmer'], farmId: uuid7() })) },
  { name: 'unknown kid', make: async (claims) => sign(claims, { kid: 'nobody' }) },
  { name: 'a kid that looks like a path', make: async (claims) => sign(claims, { kid: '../../etc/passwd' }) },
  { name: 'a kid that looks like SQL', make: async (claims) => sign(claims, { kid: "' OR 1=1 --" }) },
  { name: 'no kid', make: async (claims) => sign(claims, { kid: undefined }) },
  { name: 'a key of its own in the header (jwk)', make: async (claims) => sign(claims, { kid: undefined, jwk: strangersKey().export({ format: 'jwk' }) }, strangersKey()) },
  { name: 'keys by address in the header (jku)', make: async (claims) => sign(claims, { kid: 'nobody', jku: 'http://127.0.0.1:9/jwks.json' }, strangersKey()) },
  { name: 'an extension that must be understood (crit)', make: async (claims) => signTexts(await goodHeader({ crit: ['exp'] }), claims) },
  { name: 'expired', make: async (claims) => sign({ ...claims, iat: now() - 7200, exp: now() - 3600 }) },
  { name: 'no exp', make: async (claims) => sign({ ...claims, exp: undefined }) },
  { name: 'exp as text', make: async (claims) => signTexts(await goodHeader(), { ...claims, exp: String(claims.exp) }) },
  { name: 'not yet valid', make: async (claims) => sign({ ...claims, nbf: now() + 3600 }) },
  { name: 'wrong iss', make: async (claims) => sign({ ...claims, iss: 'https://evil.example' }) },
  { name: 'wrong iss: ours with a slash more', make: async (claims) => sign({ ...claims, iss: `${stack.issuer}/` }) },
  { name: 'no iss', make: async (claims) => sign({ ...claims, iss: undefined }) },
  { name: 'a token of another realm: its own key, issuer and kid', make: async (claims) => sign({ ...claims, iss: 'https://login.example/realms/other' }, { kid: 'other-realm-1' }, strangersKey()) },
  { name: 'wrong aud', make: async (claims) => sign({ ...claims, aud: 'somebody-else' }) },
  { name: 'no aud', make: async (claims) => sign({ ...claims, aud: undefined }) },
  { name: 'wrong typ: an ID token', make: async (claims) => sign(claims, { typ: 'JWT' }) },
  { name: 'wrong typ: a logout token', make: async (claims) => sign(claims, { typ: 'logout+jwt' }) },
  { name: 'no typ', make: async (claims) => sign(claims, { typ: undefined }) },
  { name: 'no sub', make: async (claims) => sign({ ...claims, sub: undefined }) },
  { name: 'duplicate claims: exp twice', make: async (claims) => signTexts(await goodHeader(), withMember({ ...claims, exp: now() - 3600 }, `"exp":${now() + 3600}`)) },
  { name: 'duplicate claims: sub twice', make: async (claims) => signTexts(await goodHeader(), withMember(claims, `"sub":"${uuid7()}"`)) },
  { name: 'duplicate header: alg twice', make: async (claims) => signTexts(withMember({ alg: 'none', kid: (await signingKey()).kid, typ: 'at+jwt' }, '"alg":"RS256"'), claims) },
  { name: 'claims that are no object', make: async () => signTexts(await goodHeader(), '[]') },
  { name: 'four parts', make: async (claims) => `${await sign(claims)}.x` },
  { name: 'rubbish', make: async () => 'rubbish' },
  { name: 'a token of 16 kB', make: async (claims) => sign({ ...claims, note: 'a'.repeat(12_000) }), statuses: [400, 431], isTooLargeForGrpc: true },
  { name: 'a token of 64 kB', make: async (claims) => sign({ ...claims, note: 'a'.repeat(48_000) }), statuses: [400, 431], isTooLargeForGrpc: true },
];

const EVERY_SCOPE = { role: 'operator', scope: 'admin catalog:write orders:read orders:write deliveries:write' };

async function headersOf(make) {
  const made = await make(claimsOf(EVERY_SCOPE));
  return typeof made === 'string' ? { authorization: `Bearer ${made}` } : made;
}

const tail = (headers) => headers.authorization?.slice(-40) || null;

// One named test a row: REST at `base`, an operation `line()` that needs a token and a scope that an operator has.
export function testForgeries({ name, base, line }) {
  test(`${name}: a good token comes in`, async () => {
    const answer = await call(line(), { base, token: await sign(claimsOf(EVERY_SCOPE)) });
    assert.ok([200, 404].includes(answer.status), answer.text);
  });
  for (const { name: what, make, statuses = [] } of FORGERIES) {
    test(`${name} refuses: ${what}`, async () => {
      const headers = await headersOf(make);
      const answer = await call(line(), { base, headers });
      assert.ok([401, ...statuses].includes(answer.status), `${answer.status}: ${answer.text}`);
      if (answer.status === 401) assert.match(answer.headers.get('www-authenticate') ?? '', /^Bearer\b/);
      assert.ok(!tail(headers) || !answer.text.includes(tail(headers)), 'the token is in the answer');
    });
  }
}

// The same over gRPC: `service` of the stack, `method`, `request()`.
export function testGrpcForgeries({ name, service, method, request }) {
  test(`${name}: a good token comes in`, async () => {
    const answer = await rpc(service, method, request(), await sign(claimsOf({ ...EVERY_SCOPE, ...(service === 'fruit-catalog' ? { scope: 'internal', service: 'order-manager' } : {}) })));
    assert.ok([grpc.status.OK, grpc.status.NOT_FOUND].includes(answer.code), answer.details);
  });
  for (const { name: what, make, isTooLargeForGrpc, isMalformedForGrpc } of FORGERIES) {
    test(`${name} refuses: ${what}`, async () => {
      const headers = await headersOf(make);
      const answer = await rpc(service, method, request(), null, { headers });
      // Over HTTP/2 a field with a space at its end, or of such a length, is refused before anybody asks what it means.
      if (isTooLargeForGrpc || isMalformedForGrpc) assert.notEqual(answer.code, grpc.status.OK);
      else assert.equal(answer.code, grpc.status.UNAUTHENTICATED, `${answer.codeName}: ${answer.details}`);
      assert.ok(!tail(headers) || !(answer.details ?? '').includes(tail(headers)), 'the token is in the answer');
    });
  }
}
