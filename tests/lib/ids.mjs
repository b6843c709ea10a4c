// SPDX-License-Identifier: Apache-2.0
// Ids as the product makes them: UUIDv7 in lower case (RFC 9562, 5.7), and other values that must differ in each test.

import { randomBytes, randomInt } from 'node:crypto';

export function uuid7(ms = Date.now()) {
  const bytes = randomBytes(16);
  bytes.writeUIntBE(ms, 0, 6);
  bytes[6] = (bytes[6] & 0x0f) | 0x70;
  bytes[8] = (bytes[8] & 0x3f) | 0x80;
  return bytes.toString('hex').replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5');
}

export const newKey = () => `key-${uuid7()}`;
export const paymentToken = () => `pay_${randomBytes(14).toString('hex')}`;

// A made-up Korean word that no other product has: a test finds its own by it. Only initial consonants ㄷ, ㅋ, ㅌ, ㅍ, so that no search by
// initials hits it by chance. 0xAC00 is 가, and 588 syllables share an initial.
const INITIALS = [3, 15, 16, 17];
export const koreanWord = (syllables = 6) =>
  String.fromCodePoint(...Array.from({ length: syllables }, () => 0xac00 + INITIALS[randomInt(INITIALS.length)] * 588 + randomInt(588)));
