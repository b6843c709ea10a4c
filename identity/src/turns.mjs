// SPDX-License-Identifier: Apache-2.0
// Work in turn, a bounded number at a time. Whoever has failed least lately comes first, and those that are equal take turns, so that who
// asks much waits behind who asks little. When equals ask for more than can be done, the newest comes first: most have their turn at once
// and the rest are told to come again, instead of all waiting long. Must never let anybody wait without end, nor hold more than it says.

import { hashWaited, hashWaits } from './metrics.mjs';

const WAITING_MAX = 256;
const WAITING_PER_LINE = 8;
const WAIT_MAX_MS = 3000;
const LATE_MS = 250; // the first of its equals has waited so long: there is more than can be done

export class Busy extends Error {}

export class Turns {
  #running = 0;
  #waiting = 0;
  #lines = new Map(); // name -> { failures, items }, in the order in which equals take turns
  #lane;
  #concurrency;

  constructor(lane, concurrency) {
    this.#lane = lane;
    this.#concurrency = concurrency;
  }

  // take(line, failures, work): what the work gives; Busy when there is no room, or no turn in time.
  take(name, failures, work) {
    const line = this.#lines.get(name) ?? { failures, items: [] };
    line.failures = failures;
    if (line.items.length >= WAITING_PER_LINE || (this.#waiting >= WAITING_MAX && !this.#dropWorse(failures))) return Promise.reject(new Busy());
    return new Promise((resolve, reject) => {
      const item = { work, resolve, reject, since: performance.now() };
      item.patience = setTimeout(() => this.#giveUp(name, line, item), WAIT_MAX_MS);
      line.items.push(item);
      this.#lines.set(name, line);
      this.#count(1);
      this.#next();
    });
  }

  #count(change) {
    this.#waiting += change;
    hashWaits.set({ lane: this.#lane }, this.#waiting);
  }

  // Makes room for one who has failed less than somebody who waits.
  #dropWorse(failures) {
    const [name, line] = [...this.#lines].reduce((worst, one) => (one[1].failures > worst[1].failures ? one : worst));
    if (line.failures <= failures) return false;
    this.#giveUp(name, line, line.items.at(-1));
    return true;
  }

  #giveUp(name, line, item) {
    clearTimeout(item.patience);
    line.items.splice(line.items.indexOf(item), 1);
    if (!line.items.length) this.#lines.delete(name);
    this.#count(-1);
    item.reject(new Busy());
  }

  // The line whose turn it is.
  #best() {
    const fewest = Math.min(...[...this.#lines.values()].map((line) => line.failures));
    const equals = [...this.#lines].filter(([, line]) => line.failures === fewest);
    return equals.at(performance.now() - equals[0][1].items[0].since > LATE_MS ? -1 : 0);
  }

  #next() {
    if (this.#running >= this.#concurrency || this.#waiting === 0) return;
    const [name, line] = this.#best();
    const { work, resolve, reject, patience, since } = line.items.shift();
    clearTimeout(patience);
    hashWaited.observe({ lane: this.#lane }, (performance.now() - since) / 1000);
    this.#lines.delete(name);
    if (line.items.length) this.#lines.set(name, line); // behind its equals
    this.#count(-1);
    this.#running += 1;
    work().then(resolve, reject).finally(() => {
      this.#running -= 1;
      this.#next();
    });
  }
}
