// SPDX-License-Identifier: Apache-2.0
// Keys and tokens of the local stack: makes the signing key, the JWKS, the services' client secrets and tokens, and a token for a demo
// account without a browser. The identity service signs with the same key and takes up a changed one while it runs. Must never print a
// private key, nor leave one readable by others, nor drop a public key that a token in use was signed with.
//
//   node stack/keys.mjs init                     key, JWKS, client secrets, and service tokens for tests and by hand: makes what is
//                                                missing, renews what runs out. The services themselves get theirs from identity
//   node stack/keys.mjs rotate                   a new signing key; the old public key stays in the JWKS
//   node stack/keys.mjs token ACCOUNT [--ttl S]  prints a bearer token (S may be negative: a token that has run out)
//
// Environment: GWASUWON_VAR, JWT_ISSUER.

import { randomBytes, randomUUID } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { SignJWT, decodeJwt, importPKCS8 } from 'jose';

import { ALG, KeyFiles, writeWhole } from '../identity/src/keyfiles.mjs';

const DAY_S = 86_400;
const SERVICE_TTL_S = 30 * DAY_S;
const SERVICE_RENEW_S = 15 * DAY_S;
const ACCOUNT_TTL_S = 3600;

const directory = JSON.parse(readFileSync(new URL('accounts.json', import.meta.url), 'utf8'));
const issuer = need('JWT_ISSUER');
const keysDir = join(need('GWASUWON_VAR'), 'keys');
const files = new KeyFiles(keysDir);
const serviceTokenPath = (name) => join(keysDir, `${name}.token`);
const clientSecretPath = (name) => join(keysDir, `${name}.secret`);

function need(name) {
  if (!process.env[name]) die(`${name} is not set; run this by ./dev`);
  return process.env[name];
}

function die(message) {
  console.error(message);
  process.exit(1);
}

async function sign(claims, sub, ttlS) {
  const kid = files.signingKid();
  if (!kid) die('there is no signing key yet: run ./dev up first');
  const now = Math.floor(Date.now() / 1000);
  const key = await importPKCS8(files.privatePem(kid), ALG);
  return new SignJWT(claims)
    .setProtectedHeader({ alg: ALG, kid, typ: 'at+jwt' })
    .setIssuer(issuer)
    .setAudience(directory.audience)
    .setSubject(sub)
    .setIssuedAt(ttlS < 0 ? now + ttlS - 60 : now)
    .setExpirationTime(now + ttlS)
    .setJti(randomUUID())
    .sign(key);
}

function accountToken(name, ttlS) {
  const account = directory.accounts.find((row) => row.name === name);
  if (!account) die(`no account "${name}"; there are ${directory.accounts.map((row) => row.name).join(', ')}`);
  const claims = { scope: directory.roles[account.role].join(' '), roles: [account.role] };
  if (account.farmId) claims.farmId = account.farmId;
  return sign(claims, account.sub, ttlS);
}

function isServiceTokenGood(path, jwks) {
  if (!existsSync(path)) return false;
  const token = readFileSync(path, 'utf8').trim();
  try {
    const { iss, exp } = decodeJwt(token);
    const { kid } = JSON.parse(Buffer.from(token.split('.')[0], 'base64url').toString('utf8'));
    return iss === issuer && exp - Date.now() / 1000 > SERVICE_RENEW_S && jwks.keys.some((key) => key.kid === kid);
  } catch {
    return false; // damaged: made anew
  }
}

// What a service shows the identity service to get a token.
function makeClientSecret(name) {
  if (existsSync(clientSecretPath(name))) return false;
  writeWhole(clientSecretPath(name), `${randomBytes(32).toString('base64url')}\n`, 0o600);
  return true;
}

async function init() {
  mkdirSync(keysDir, { recursive: true, mode: 0o700 });
  const done = [];
  if (!files.signingKid()) done.push(`key ${await files.rotate()}`);
  const jwks = files.jwks();
  for (const { name, sub } of directory.services) {
    if (makeClientSecret(name)) done.push(`${name} secret`);
    const path = serviceTokenPath(name);
    if (isServiceTokenGood(path, jwks)) continue;
    const claims = { scope: 'internal', roles: ['service'], service: name };
    writeWhole(path, (await sign(claims, sub, SERVICE_TTL_S)) + '\n', 0o600);
    done.push(`${name} token`);
  }
  console.log(done.length ? `made ${done.join(', ')}` : 'unchanged');
}

async function token(args) {
  let name = null;
  let ttlS = ACCOUNT_TTL_S;
  while (args.length) {
    const arg = args.shift();
    if (arg === '--ttl') {
      ttlS = Number(args.shift());
      if (!Number.isInteger(ttlS)) die('--ttl wants whole seconds');
    } else if (name === null) name = arg;
    else die(`unexpected "${arg}"`);
  }
  if (name === null) die('usage: ./dev token ACCOUNT [--ttl SECONDS] | --rotate');
  console.log(await accountToken(name, ttlS));
}

const commands = {
  init,
  token,
  rotate: async () => console.log(`signing with key ${await files.rotate()}; older tokens stay valid until they run out`),
};
const [command, ...args] = process.argv.slice(2);
if (!commands[command]) die(`unknown command "${command}"`);
await commands[command](args);
