// SPDX-License-Identifier: Apache-2.0
// Bearer tokens of people the tests make up, signed with the local stack's key. Must never be able to sign for anything but it.

import { generateKeyPairSync } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { SignJWT, exportSPKI, importJWK, importPKCS8 } from 'jose';

import { uuid7 } from './ids.mjs';
import { AUDIENCE, directory, stack } from './stack.mjs';

const keys = join(stack.var, 'keys');

export async function signingKey() {
  const kid = readFileSync(join(keys, 'signing.kid'), 'utf8').trim();
  return { kid, key: await importPKCS8(readFileSync(join(keys, `${kid}.pem`), 'utf8'), 'RS256') };
}

// The public half as PEM: what an attacker would use as an HMAC secret.
export async function publicPem() {
  const { kid } = await signingKey();
  const jwks = JSON.parse(readFileSync(join(keys, 'jwks.json'), 'utf8'));
  const jwk = jwks.keys.find((key) => key.kid === kid);
  return exportSPKI(await importJWK(jwk, 'RS256', { extractable: true }));
}

export const claimsOf = ({ sub = uuid7(), role = 'buyer', farmId, scope, ...more } = {}) => ({
  iss: stack.issuer,
  aud: AUDIENCE,
  sub,
  iat: Math.floor(Date.now() / 1000),
  exp: Math.floor(Date.now() / 1000) + 3600,
  jti: uuid7(),
  scope: scope ?? directory.roles[role].join(' '),
  roles: [role],
  ...(farmId ? { farmId } : {}),
  ...more,
});

export async function sign(claims, header = {}, key = null) {
  const own = await signingKey();
  return new SignJWT(claims).setProtectedHeader({ alg: 'RS256', kid: own.kid, typ: 'at+jwt', ...header }).sign(key ?? own.key);
}

export const token = (who) => sign(claimsOf(who));
export const buyerToken = (sub) => token({ role: 'buyer', sub });
export const farmerToken = (farmId) => token({ role: 'farmer', farmId });
export const operatorToken = () => token({ role: 'operator', sub: directory.accounts.find((row) => row.role === 'operator').sub });
export const accountToken = (name) => token(directory.accounts.find((row) => row.name === name));
export const serviceToken = (name) => readFileSync(join(keys, `${name}.token`), 'utf8').trim();

export const strangersKey = () => generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey;
