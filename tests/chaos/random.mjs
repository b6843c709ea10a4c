// SPDX-License-Identifier: Apache-2.0
// Numbers that look random and are not: the same seed and name give the same ones (xoshiro128**, seeded by SplitMix32 of both). Exists so that
// a run can be repeated. Must never be used for keys, ids or tokens: those must differ between two runs.

function* splitMix(seed) {
  for (let state = seed >>> 0; ; ) {
    state = (state + 0x9e3779b9) >>> 0;
    let mixed = state;
    mixed = Math.imul(mixed ^ (mixed >>> 16), 0x85ebca6b);
    mixed = Math.imul(mixed ^ (mixed >>> 13), 0xc2b2ae35);
    yield (mixed ^ (mixed >>> 16)) >>> 0;
  }
}

const rotate = (value, by) => ((value << by) | (value >>> (32 - by))) >>> 0;
const hashOf = (name) => [...name].reduce((hash, letter) => Math.imul(hash ^ letter.codePointAt(0), 0x01000193) >>> 0, 0x811c9dc5);

export class Random {
  #state;

  // Streams of other names are independent: a driver that asks once more changes nothing for the others.
  constructor(seed, name = '') {
    const source = splitMix((seed ^ hashOf(name)) >>> 0);
    this.#state = Array.from({ length: 4 }, () => source.next().value);
  }

  // 0 <= x < 1
  next() {
    const s = this.#state;
    const result = Math.imul(rotate(Math.imul(s[1], 5) >>> 0, 7), 9) >>> 0;
    const shifted = (s[1] << 9) >>> 0;
    s[2] = (s[2] ^ s[0]) >>> 0;
    s[3] = (s[3] ^ s[1]) >>> 0;
    s[1] = (s[1] ^ s[2]) >>> 0;
    s[0] = (s[0] ^ s[3]) >>> 0;
    s[2] = (s[2] ^ shifted) >>> 0;
    s[3] = rotate(s[3], 11);
    return result / 4294967296;
  }

  // from <= x <= to
  int(from, to) {
    return from + Math.floor(this.next() * (to - from + 1));
  }

  chance(share) {
    return this.next() < share;
  }

  pick(list) {
    return list[this.int(0, list.length - 1)];
  }

  // pickBy([{ weight }, …]): the heavier the likelier.
  pickBy(rows) {
    let at = this.next() * rows.reduce((sum, { weight }) => sum + weight, 0);
    for (const row of rows) {
      at -= row.weight;
      if (at < 0) return row;
    }
    return rows.at(-1);
  }

  // Times between events that know nothing of each other; never more than five means.
  wait(mean) {
    return Math.min(5 * mean, -Math.log(1 - this.next()) * mean);
  }

  // n different ones, in a new order.
  some(list, n) {
    const rest = [...list];
    const taken = [];
    while (taken.length < n && rest.length > 0) taken.push(...rest.splice(this.int(0, rest.length - 1), 1));
    return taken;
  }
}
