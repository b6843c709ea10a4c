// SPDX-License-Identifier: Apache-2.0
// Passwords: the rule for new ones, and argon2id with OWASP's parameters, in turn. Who has signed in from the same browser before has a
// turn of his own, which no flood of guesses from elsewhere can take. Must never tell by its work whether there is an account: a login
// that nobody has costs the same hash.

import { Algorithm, hash, verify } from '@node-rs/argon2';

import { Turns } from './turns.mjs';

export const PARAMETERS = { algorithm: Algorithm.Argon2id, memoryCost: 19_456, timeCost: 2, parallelism: 1 };
const MIN = 10;
const MAX = 128;
const WELL_KNOWN = /^(.)\1*$|^(0123456789|1234567890|12345678910|9876543210|qwertyuiop|qwerty12345|asdfghjkl;|password\d*!?|letmein\d+|iloveyou\d*|abcdefghij|abcd123456|abc1234567|1q2w3e4r5t\w*|qwer1234\w*|admin12345|비밀번호\d*)$/i;

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
  #lanes;
  #stranger;

  constructor(concurrency) {
    this.#lanes = { known: new Turns('known', 1), strangers: new Turns('strangers', concurrency) };
  }

  async prepare() {
    this.#stranger = await hash(`${Math.random()}`, PARAMETERS);
  }

  // who: { lane, line, failures }, the failures those of late.
  hash({ lane, line, failures }, password) {
    return this.#lanes[lane].take(line, failures, () => hash(normalise(password), PARAMETERS));
  }

  // verify(who, stored, password): stored is null when nobody has the login; the answer is false then, at the same cost.
  async verify({ lane, line, failures }, stored, password) {
    const isRight = await this.#lanes[lane].take(line, failures, () => verify(stored ?? this.#stranger, normalise(password)));
    return isRight && stored !== null;
  }
}
