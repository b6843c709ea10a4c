// SPDX-License-Identifier: Apache-2.0
// How much one client may try: a bucket of tokens for each, refilled steadily. Kept in memory, bounded; each instance has its own. Must
// never grow with the number of addresses that somebody comes from.

import { isIPv6 } from 'node:net';

const KEYS_MAX = 100_000;

// networkOf(address): of IPv6 the first 64 bits, of which one client has all; else the address.
export function networkOf(address) {
  const mapped = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/i.exec(address);
  if (mapped) return mapped[1];
  if (!isIPv6(address)) return address;
  const [head, tail] = address.toLowerCase().split('%')[0].split('::').map((part) => part.split(':').filter(Boolean));
  const zeros = tail ? Array(Math.max(0, 8 - head.length - tail.length)).fill('0') : [];
  return [...head, ...zeros, ...(tail ?? [])].slice(0, 4).map((group) => parseInt(group, 16).toString(16)).join(':');
}

export class Limiter {
  #buckets = new Map();
  #capacity;
  #perMs;

  // So many in a period; no more than `burst` at once.
  constructor(count, periodS, burst = count) {
    this.#capacity = burst;
    this.#perMs = count / (periodS * 1000);
  }

  #bucket(key, now) {
    const bucket = this.#buckets.get(key) ?? { left: this.#capacity, at: now };
    bucket.left = Math.min(this.#capacity, bucket.left + (now - bucket.at) * this.#perMs);
    bucket.at = now;
    this.#buckets.delete(key);
    this.#buckets.set(key, bucket); // the newest last
    if (this.#buckets.size > KEYS_MAX) this.#buckets.delete(this.#buckets.keys().next().value);
    return bucket;
  }

  // take(key): 0, or the seconds after which there is a token again.
  take(key, now = Date.now()) {
    const bucket = this.#bucket(key, now);
    if (bucket.left < 1) return Math.max(1, Math.ceil((1 - bucket.left) / this.#perMs / 1000));
    bucket.left -= 1;
    return 0;
  }

  // used(key): how many were taken and have not come back yet.
  used(key, now = Date.now()) {
    return Math.round(this.#capacity - this.#bucket(key, now).left);
  }

  // What was no abuse after all does not count.
  giveBack(key, now = Date.now()) {
    const bucket = this.#bucket(key, now);
    bucket.left = Math.min(this.#capacity, bucket.left + 1);
  }
}
