// SPDX-License-Identifier: Apache-2.0
// Everybody who uses the shop during a run, each a loop of its own. Must never let one fault of a driver pass for a fault of the shop: what a driver
// throws ends the run.

import { setTimeout as pause } from 'node:timers/promises';
import { adjust } from './drivers/farms.mjs';
import { advance } from './drivers/couriers.mjs';
import { browse, read, track } from './drivers/readers.mjs';
import { cancel } from './drivers/cancels.mjs';
import { order } from './drivers/orders.mjs';
import { Random } from './random.mjs';

// how many there are of them, and how long each waits on average before it acts again
const PEOPLE = [
  { act: order, count: 16, waitMs: 90 },
  { act: cancel, count: 3, waitMs: 120, needs: 'cancel' },
  { act: adjust, count: 2, waitMs: 150 },
  { act: advance, count: 2, waitMs: 100 },
  { act: read, count: 2, waitMs: 60 },
  { act: track, count: 2, waitMs: 60 },
  { act: browse, count: 1, waitMs: 100 },
];

export class Crowd {
  #isOver = false;

  constructor({ shop, journal, watch, seed, abilities }) {
    Object.assign(this, { shop, journal, watch, seed, abilities });
  }

  start() {
    this.running = [];
    for (const { act, count, waitMs, needs } of PEOPLE) {
      if (needs && !this.abilities.has(needs)) continue;
      for (let i = 0; i < count; i++) this.running.push(this.#live(act, waitMs, new Random(this.seed, `${act.name} ${i}`)));
    }
    this.failed = Promise.all(this.running).then(() => new Promise(() => {}));
    this.failed.catch(() => {});
  }

  async #live(act, waitMs, random) {
    const world = { shop: this.shop, journal: this.journal, watch: this.watch, random };
    while (!this.#isOver) {
      await act(world);
      await pause(random.wait(waitMs));
    }
  }

  // Nobody begins anything new; what was begun is finished.
  async stop() {
    this.#isOver = true;
    await Promise.all(this.running);
  }
}
