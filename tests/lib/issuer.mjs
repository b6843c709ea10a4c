// SPDX-License-Identifier: Apache-2.0
// An issuer for tests: a key set and a token endpoint over HTTP, whose every request is counted, and which can be told to fail, hang or
// publish other keys. Exists because what a service does while its issuer misbehaves cannot be seen with a good one. Must never be
// reached from outside the machine.

import { generateKeyPairSync, randomUUID } from 'node:crypto';
import { createServer } from 'node:http';
import { exportJWK, SignJWT } from 'jose';

import { uuid7 } from './ids.mjs';
import { AUDIENCE, directory } from './stack.mjs';

const KINDS = { RS256: ['rsa', { modulusLength: 2048 }], ES256: ['ec', { namedCurve: 'P-256' }] };

export function makeKey(alg = 'RS256') {
  const [type, options] = KINDS[alg];
  return { kid: randomUUID(), alg, ...generateKeyPairSync(type, options) };
}

const publicJwk = async ({ kid, alg, publicKey }) => ({ ...(await exportJWK(publicKey)), kid, alg, use: 'sig' });

export class Issuer {
  keys = [makeKey()];
  reads = 0; // of the key set
  grants = []; // requests for a token: { form, authorization }
  mode = 'good'; // of the key set: good, 500, hang, garbage, redirect
  tokenMode = 'good'; // good, 401, 500, hang, garbage
  lifeS = 3600; // of granted tokens
  #server = createServer((request, answer) => this.#serve(request, answer));

  async start(port = 0) {
    await new Promise((resolve, reject) => this.#server.once('error', reject).listen(port, '127.0.0.1', resolve));
    this.port = this.#server.address().port;
    this.url = `http://127.0.0.1:${this.port}`;
    return this;
  }

  stop() {
    const over = new Promise((resolve) => this.#server.close(resolve)); // first: one more that came in between would be waited for
    this.#server.closeAllConnections();
    return over;
  }

  get jwksUrl() {
    return `${this.url}/jwks.json`;
  }

  get tokenUrl() {
    return `${this.url}/token`;
  }

  // A token of this issuer; `key` may be one that is not published.
  sign({ key = this.keys[0], role = 'operator', sub = uuid7(), ttlS = 600, ...more } = {}) {
    const now = Math.floor(Date.now() / 1000);
    return new SignJWT({ iss: this.url, aud: AUDIENCE, sub, iat: now, exp: now + ttlS, jti: uuid7(), scope: (directory.roles[role] ?? []).join(' '), roles: [role], ...more })
      .setProtectedHeader({ alg: key.alg, kid: key.kid, typ: 'at+jwt' })
      .sign(key.privateKey);
  }

  async #serve(request, answer) {
    const { pathname } = new URL(request.url, this.url);
    if (pathname === '/jwks.json') return this.#jwks(answer);
    if (pathname === '/token' && request.method === 'POST') return this.#grant(request, answer);
    answer.writeHead(404).end();
  }

  async #jwks(answer) {
    this.reads += 1;
    const bodies = {
      good: async () => answer.writeHead(200, { 'content-type': 'application/jwk-set+json' }).end(JSON.stringify({ keys: await Promise.all(this.keys.map(publicJwk)) })),
      500: () => answer.writeHead(500).end('no'),
      garbage: () => answer.writeHead(200).end('{"keys":[{"kty":"oct","kid":"x","k":"AAAA"}]}'),
      redirect: () => answer.writeHead(302, { location: '/elsewhere' }).end(),
      hang: () => {},
    };
    await bodies[this.mode]();
  }

  async #grant(request, answer) {
    let form = '';
    for await (const chunk of request) form += chunk;
    this.grants.push({ form: Object.fromEntries(new URLSearchParams(form)), authorization: request.headers.authorization });
    const bodies = {
      good: async () => {
        const [client] = Buffer.from(request.headers.authorization.slice('Basic '.length), 'base64').toString().split(':').map(decodeURIComponent);
        const token = await this.sign({ ttlS: this.lifeS, scope: this.scope ?? 'internal', roles: ['service'], service: client, ...this.claims });
        answer.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify({ access_token: token, token_type: 'Bearer', expires_in: this.lifeS }));
      },
      401: () => answer.writeHead(401, { 'content-type': 'application/json' }).end('{"error":"invalid_client"}'),
      500: () => answer.writeHead(500).end('no'),
      garbage: () => answer.writeHead(200).end('{"access_token":"a b","token_type":"Bearer"}'),
      hang: () => {},
    };
    await bodies[this.tokenMode]();
  }
}
