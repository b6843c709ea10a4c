// SPDX-License-Identifier: Apache-2.0
// What the shop keeps of a person, for who closes an account: asked to be erased in the person's own name, with a token that lives as long as
// this one request. Must never report as erased what the shop has not promised, nor give the token to anybody else.

import { randomUUID } from 'node:crypto';
import { SignJWT, importJWK } from 'jose';

import { ALG } from './keyfiles.mjs';
import { log } from './log.mjs';

const TOKEN_S = 30;
const OPEN = 'orders_open';

export class Shop {
  constructor({ erasureUrl, erasureTimeoutMs, issuer, audience }, { keyring }) {
    Object.assign(this, { url: erasureUrl, timeoutMs: erasureTimeoutMs, issuer, audience, keyring });
  }

  async #token(accountId) {
    const [{ kid, ...jwk }] = this.keyring.forProvider.keys; // the one that signs
    return new SignJWT({ scope: 'orders:write', roles: ['buyer'] })
      .setProtectedHeader({ alg: ALG, kid, typ: 'at+jwt' })
      .setIssuer(this.issuer).setAudience(this.audience).setSubject(accountId).setJti(randomUUID()).setIssuedAt().setExpirationTime(`${TOKEN_S}s`)
      .sign(await importJWK(jwk, ALG));
  }

  async #ask(accountId) {
    const headers = { authorization: `Bearer ${await this.#token(accountId)}`, accept: 'application/json' };
    const answer = await fetch(this.url, { method: 'POST', headers, redirect: 'error', signal: AbortSignal.timeout(this.timeoutMs) });
    return { status: answer.status, body: await answer.json() };
  }

  // erase(accountId): {} when the shop has stored the wish, which it then carries out whatever happens; { open } with a sentence for each order
  // that is on its way; { isAway } when nobody knows. Asking again is the same wish.
  async erase(accountId) {
    if (!this.url) return {};
    try {
      const { status, body } = await this.#ask(accountId);
      if (status === 200) return {};
      if (status === 409 && body.code === OPEN) return { open: body.errors.map(({ detail }) => detail) };
      log.error('erasure.refused', { status, code: body.code ?? null });
    } catch (error) {
      log.warn('erasure.unanswered', { error: error.name, code: error.cause?.code ?? null });
    }
    return { isAway: true };
  }
}
