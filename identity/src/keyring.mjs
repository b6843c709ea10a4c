// SPDX-License-Identifier: Apache-2.0
// The keys in use: loads them from disk, takes up a change within a second, and changes them by itself when they are old. Exists so that
// keys turn while requests run. Must never throw away the keys it has because the new ones cannot be read.

import { watch } from 'node:fs';
import { createPrivateKey, createPublicKey } from 'node:crypto';
import { ExternalSigningKey } from 'oidc-provider';

import { ALG, KeyFiles } from './keyfiles.mjs';
import { log } from './log.mjs';
import { keyChanges } from './metrics.mjs';

const DAY_MS = 86_400_000;
const LOOK_MS = 1000;

// A key that signs no more still verifies: the hint at a sign-out may be older than the signing key.
class RetiredKey extends ExternalSigningKey {
  #key;

  constructor(jwk) {
    super();
    this.#key = createPublicKey({ key: jwk, format: 'jwk' });
    this.kid = jwk.kid;
    this.alg = jwk.alg;
  }

  keyObject() {
    return this.#key;
  }

  sign() {
    throw new Error('a retired key signs nothing');
  }
}

export class Keyring {
  #files;
  #config;
  #onChange;
  #seen = '';
  #watcher;
  #timers = [];
  #isTurning = false;

  constructor(config) {
    this.#config = config;
    this.#files = new KeyFiles(config.keysDir);
    this.public = { keys: [] };
    this.forProvider = null;
  }

  // load(): true when there is something new. Throws when there is no whole key at all.
  load() {
    const kid = this.#files.signingKid();
    const jwks = this.#files.jwks();
    if (!kid) throw new Error('there is no signing key');
    const seen = `${kid} ${jwks.keys.map((key) => key.kid).join(' ')}`;
    if (seen === this.#seen) return false;
    const signing = createPrivateKey(this.#files.privatePem(kid)).export({ format: 'jwk' });
    this.forProvider = {
      keys: [{ ...signing, kid, use: 'sig', alg: ALG }, ...jwks.keys.filter((key) => key.kid !== kid).map((key) => new RetiredKey(key))],
    };
    this.public = jwks;
    this.kid = kid;
    this.#seen = seen;
    return true;
  }

  // start(onChange): calls it whenever keys have changed.
  start(onChange) {
    this.#onChange = onChange;
    this.#watcher = watch(this.#config.keysDir, () => this.#look());
    this.#watcher.on('error', () => {}); // the timer looks too
    this.#timers.push(setInterval(() => this.#look(), LOOK_MS));
    if (this.#config.keyRotateDays) this.#timers.push(setInterval(() => this.#turn(), LOOK_MS));
  }

  stop() {
    this.#watcher?.close();
    this.#timers.forEach(clearInterval);
  }

  #look() {
    try {
      if (!this.load()) return;
      this.#onChange();
      keyChanges.inc();
      log.info('keys.changed', { kid: this.kid, published: this.public.keys.length });
    } catch (error) {
      log.warn('keys.unreadable', { reason: error.message });
    }
  }

  // An old key: announce its follower, and let it sign when all have had time to fetch it.
  async #turn() {
    if (this.#isTurning) return;
    this.#isTurning = true;
    try {
      const announced = this.#files.announcedKid();
      if (announced && announced !== this.#files.signingKid()) {
        if (Date.now() - this.#files.announcedAtMs() >= this.#config.keyAnnounceS * 1000) this.#files.activate(announced);
      } else if (Date.now() - this.#files.changedAtMs() > this.#config.keyRotateDays * DAY_MS) {
        log.info('keys.announced', { kid: await this.#files.announce() });
      }
    } catch (error) {
      log.warn('keys.not_turned', { reason: error.message });
    } finally {
      this.#isTurning = false;
    }
  }
}
