// SPDX-License-Identifier: Apache-2.0
// Passwords: the rule for new ones, and argon2id with OWASP's parameters, a bounded number at a time. Who has failed least lately comes
// first, and clients that are equal take turns: a flood of guesses, from however many addresses, delays those who guess. Must never tell
// by its work whether there is an account: a login that nobody has costs the same hash.

import { Algorithm, hash, verify } from '@node-rs/argon2';

import { hashWaits } from './metrics.mjs';

export const PARAMETERS = { algorithm: Algorithm.Argon2id, memoryCost: 19_456, timeCost: 2, parallelism: 1 };
const WAITING_MAX = 256;
const WAITING_PER_CLIENT = 8;
const WAIT_MAX_MS = 3000;
const MIN = 10;
const MAX = 128;
const WELL_KNOWN = /^(.)\1*$|^(0123456789|1234567890|12345678910|9876543210|qwertyuiop|qwerty12345|asdfghjkl;|password\d*!?|letmein\d+|iloveyou\d*|abcdefghij|abcd123456|abc1234567|1q2w3e4r5t\w*|qwer1234\w*|admin12345|비밀번호\d*)$/i;

export class Busy extends Error {}

// What one types on another keyboard must be the same bytes.
export const normalise = (password) => password.normalize('NFC');

// faultOf(password, login): what is wrong with a new password, in Korean; null when it may be used.
export function faultOf(password, login) {
  const length = [...password].length;
  if (length < MIN) return `비밀번호는 ${MIN}자 이상이어야 합니다.`;
  if (length > MAX) return `비밀번호는 ${MAX}자까지 쓸 수 있습니다.`;
  if (WELL_KNOWN.test(password)) return '너무 흔한 비밀번호입니다. 다른 비밀번호를 정해 주세요.';
  const name = login.split('@')[0];
  if (name.length >= 4 && password.toLowerCase().includes(name)) return '비밀번호에 아이디나 이메일을 넣을 수 없습니다.';
  return null;
}

export class Passwords {
  #running = 0;
  #waiting = 0;
  #lines = new Map(); // address -> { failures, items }, in the order in which equals take turns
  #concurrency;
  #stranger;

  constructor(concurrency) {
    this.#concurrency = concurrency;
  }

  async prepare() {
    this.#stranger = await hash(`${Math.random()}`, PARAMETERS);
  }

  // client: { address, failures }, the failures those of late.
  hash(client, password) {
    return this.#inTurn(client, () => hash(normalise(password), PARAMETERS));
  }

  // verify(client, stored, password): stored is null when nobody has the login; the answer is false then, at the same cost.
  async verify(client, stored, password) {
    const isRight = await this.#inTurn(client, () => verify(stored ?? this.#stranger, normalise(password)));
    return isRight && stored !== null;
  }

  #inTurn({ address, failures }, work) {
    const line = this.#lines.get(address) ?? { failures, items: [] };
    line.failures = failures;
    if (line.items.length >= WAITING_PER_CLIENT || (this.#waiting >= WAITING_MAX && !this.#dropWorse(failures))) throw new Busy();
    return new Promise((resolve, reject) => {
      const item = { work, resolve, reject };
      item.patience = setTimeout(() => this.#giveUp(address, line, item), WAIT_MAX_MS);
      line.items.push(item);
      this.#lines.set(address, line);
      hashWaits.set(++this.#waiting);
      this.#next();
    });
  }

  // Makes room for one who has failed less than somebody who waits.
  #dropWorse(failures) {
    const [address, line] = [...this.#lines].reduce((worst, one) => (one[1].failures > worst[1].failures ? one : worst));
    if (line.failures <= failures) return false;
    this.#giveUp(address, line, line.items.at(-1));
    return true;
  }

  #giveUp(address, line, item) {
    clearTimeout(item.patience);
    line.items.splice(line.items.indexOf(item), 1);
    if (!line.items.length) this.#lines.delete(address);
    hashWaits.set(--this.#waiting);
    item.reject(new Busy());
  }

  #next() {
    if (this.#running >= this.#concurrency || this.#waiting === 0) return;
    const [address, line] = [...this.#lines].reduce((best, one) => (one[1].failures < best[1].failures ? one : best));
    const { work, resolve, reject, patience } = line.items.shift();
    clearTimeout(patience);
    this.#lines.delete(address);
    if (line.items.length) this.#lines.set(address, line); // behind its equals
    hashWaits.set(--this.#waiting);
    this.#running += 1;
    work().then(resolve, reject).finally(() => {
      this.#running -= 1;
      this.#next();
    });
  }
}
