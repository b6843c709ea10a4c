// SPDX-License-Identifier: Apache-2.0
// The signing keys on disk, shared by this service and stack/keys.mjs: <kid>.pem (0600), jwks.json, signing.kid, next.kid. Exists so that
// there is one way to change a key. Must never leave a private key readable by others, publish half a file, or sign with a key that was
// not published before.

import { randomBytes } from 'node:crypto';
import { closeSync, existsSync, mkdirSync, openSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { exportJWK, exportPKCS8, generateKeyPair } from 'jose';

export const ALG = 'RS256';
const LOCK_STALE_MS = 30_000;
const KEEP_PUBLIC_MS = 31 * 86_400_000; // longer than any token lives that was signed with a key that signs no more

// A reader sees the old file or the new one, never half of one.
export function writeWhole(path, text, mode) {
  const draft = `${path}.${process.pid}.new`;
  writeFileSync(draft, text, { mode });
  renameSync(draft, path);
}

export class KeyFiles {
  constructor(folder) {
    this.folder = folder;
    this.jwksPath = join(folder, 'jwks.json');
    this.signingPath = join(folder, 'signing.kid');
    this.nextPath = join(folder, 'next.kid');
  }

  privatePath(kid) {
    return join(this.folder, `${kid}.pem`);
  }

  jwks() {
    return existsSync(this.jwksPath) ? JSON.parse(readFileSync(this.jwksPath, 'utf8')) : { keys: [] };
  }

  #kidIn(path) {
    if (!existsSync(path)) return null;
    const kid = readFileSync(path, 'utf8').trim();
    return existsSync(this.privatePath(kid)) && this.jwks().keys.some((key) => key.kid === kid) ? kid : null;
  }

  // The key that signs; null when there is none, or not all of it.
  signingKid() {
    return this.#kidIn(this.signingPath);
  }

  // A key that is published and will sign.
  announcedKid() {
    return this.#kidIn(this.nextPath);
  }

  privatePem(kid) {
    return readFileSync(this.privatePath(kid), 'utf8');
  }

  changedAtMs() {
    return statSync(this.signingPath).mtimeMs;
  }

  announcedAtMs() {
    return statSync(this.nextPath).mtimeMs;
  }

  // Makes a key and publishes its public half; nothing is signed with it yet.
  async announce() {
    const { publicKey, privateKey } = await generateKeyPair(ALG, { modulusLength: 2048, extractable: true });
    const kid = `${new Date().toISOString().slice(0, 10)}-${randomBytes(4).toString('hex')}`;
    const [pem, jwk] = [await exportPKCS8(privateKey), await exportJWK(publicKey)];
    this.#locked(() => {
      writeWhole(this.privatePath(kid), pem, 0o600);
      const jwks = this.jwks();
      jwks.keys.unshift({ ...jwk, kid, use: 'sig', alg: ALG });
      writeWhole(this.jwksPath, `${JSON.stringify(jwks, null, 2)}\n`, 0o644);
      writeWhole(this.nextPath, `${kid}\n`, 0o644);
    });
    return kid;
  }

  // The announced key signs from now on; the private half of the one before is deleted, its public half stays for its tokens.
  activate(kid) {
    this.#locked(() => {
      const before = this.signingKid();
      writeWhole(this.signingPath, `${kid}\n`, 0o644);
      rmSync(this.nextPath, { force: true });
      if (before && before !== kid) rmSync(this.privatePath(before), { force: true });
      this.#forgetOld(kid);
    });
  }

  async rotate() {
    const kid = await this.announce();
    this.activate(kid);
    return kid;
  }

  // A key stops signing on the day that its follower was made; the day stands at the head of each kid.
  #forgetOld(signing) {
    const { keys } = this.jwks();
    const kept = keys.filter((key, index) => index === 0 || key.kid === signing || !(Date.parse(keys[index - 1].kid.slice(0, 10)) < Date.now() - KEEP_PUBLIC_MS));
    if (kept.length < keys.length) writeWhole(this.jwksPath, `${JSON.stringify({ keys: kept }, null, 2)}\n`, 0o644);
  }

  #locked(work) {
    const lock = join(this.folder, 'keys.lock');
    mkdirSync(this.folder, { recursive: true, mode: 0o700 });
    if (existsSync(lock) && Date.now() - statSync(lock).mtimeMs > LOCK_STALE_MS) rmSync(lock, { force: true });
    closeSync(openSync(lock, 'wx')); // fails when another changes keys right now: nothing has happened then
    try {
      work();
    } finally {
      rmSync(lock, { force: true });
    }
  }
}
