// SPDX-License-Identifier: Apache-2.0
// Browsers that a login was signed in from before: a cookie says so, with a tag for each login that only this service can make (OWASP's
// device cookies). Its holder's tries count by browser and login, apart from everybody else's, and are not kept waiting behind them: a
// flood of guesses locks nobody out of the own browser. Must never open anything by itself, nor hold a login that could be read.

import { createHmac, hkdfSync, randomBytes, timingSafeEqual } from 'node:crypto';

const DAYS = 180;
const LOGINS_MAX = 4; // of one browser; the newest stay
const FORM = /^[\w-]{22}(\.\d{1,6}~[\w-]{43}){1,4}$/;

const today = (now) => Math.floor(now / 86_400_000);
const isSame = (one, other) => timingSafeEqual(Buffer.from(one), Buffer.from(other));

export class Browsers {
  static COOKIE = 'gw_device';
  static LIFE_MS = DAYS * 86_400_000;
  #key;

  constructor(secret) {
    this.#key = Buffer.from(hkdfSync('sha256', secret, '', 'identity browsers', 32));
  }

  #mac(...parts) {
    return createHmac('sha256', this.#key).update(parts.join('\0')).digest();
  }

  #entry(browser, day, login) {
    return `${day}~${this.#mac('tag', browser, day, login).toString('base64url')}`;
  }

  // The tags of a cookie that are not too old.
  #read(cookie, now) {
    if (!FORM.test(cookie ?? '')) return { browser: null, entries: [] };
    const [browser, ...entries] = cookie.split('.');
    return { browser, entries: entries.filter((entry) => today(now) - parseInt(entry, 10) <= DAYS) };
  }

  // bucketOf(cookie, login): where the tries of this browser at this login are counted; null when the cookie is not one of ours for it.
  bucketOf(cookie, login, now = Date.now()) {
    const { browser, entries } = this.#read(cookie, now);
    const isKnown = entries.some((entry) => isSame(entry.padEnd(50), this.#entry(browser, parseInt(entry, 10), login).padEnd(50)));
    return isKnown ? this.#mac('bucket', browser, login) : null;
  }

  // after(cookie, login): the cookie once the login has been signed in with.
  after(cookie, login, now = Date.now()) {
    const { browser, entries } = this.#read(cookie, now);
    const name = browser ?? randomBytes(16).toString('base64url');
    const others = entries.filter((entry) => entry !== this.#entry(name, parseInt(entry, 10), login));
    return [name, this.#entry(name, today(now), login), ...others].slice(0, 1 + LOGINS_MAX).join('.');
  }

  // A session is as good as a cookie: of the account that it is signed in with.
  bucketOfSession(uid, login) {
    return this.#mac('session', uid, login);
  }
}
