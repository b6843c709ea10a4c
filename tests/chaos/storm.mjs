// SPDX-License-Identifier: Apache-2.0
// Carries out a schedule: each fault at its time, one at a time for each target, written to the journal with what was in flight. Must never end
// while something it broke is still broken.

import { setTimeout as pause } from 'node:timers/promises';
import { FAULTS } from './schedule.mjs';
import { Random } from './random.mjs';

const FAULT_MAX_MS = 120_000;

export class Storm {
  #busy = new Map();
  #number = 0;
  kills = 0;
  killsInFlight = 0;
  counts = {};
  skipped = 0;
  broken = []; // faults that could not be carried out

  constructor({ stack, journal, watch, ear, say }) {
    Object.assign(this, { stack, journal, watch, ear, say });
  }

  async run(schedule, isOver = () => false) {
    const began = performance.now();
    const all = [];
    for (const step of schedule) {
      const wait = step.at - (performance.now() - began);
      if (wait > 0) await pause(wait);
      if (isOver()) break;
      // The target is still broken by the last one: the next would only be hidden by it.
      if (this.#busy.get(step.target)) {
        this.skipped += 1;
        continue;
      }
      const work = this.#carryOut(step);
      this.#busy.set(step.target, work);
      all.push(work.finally(() => this.#busy.delete(step.target)));
      this.watch.forgetOld();
    }
    await Promise.all(all);
  }

  async #carryOut({ name, at, target, luck, ...rest }) {
    const fault = FAULTS.find((row) => row.name === name);
    const part = this.stack.parts.find((one) => one.name === target);
    const random = new Random(luck, name);
    if (fault.canRun && !fault.canRun({ stack: this.stack })) return;
    const id = ++this.#number;
    let struckAt = performance.now();
    const strike = async (work, detail) => {
      struckAt = performance.now();
      const inFlight = part ? this.watch.inFlight(part) : undefined;
      const written = this.journal.write({ kind: 'fault', id, name, target: detail ?? target, isKill: fault.isKill, inFlight });
      const result = await work();
      await written;
      this.counts[name] = (this.counts[name] ?? 0) + 1;
      if (fault.isKill) {
        this.kills += 1;
        if (inFlight > 0) this.killsInFlight += 1;
      }
      return result;
    };
    this.watch.broken(target);
    try {
      await Promise.race([
        fault.run({ stack: this.stack, journal: this.journal, ear: this.ear, part, target, random, strike, ...rest }),
        pause(FAULT_MAX_MS, null, { ref: false }).then(() => Promise.reject(new Error(`not healed after ${FAULT_MAX_MS / 1000} s`))),
      ]);
      await this.journal.write({ kind: 'healed', id, name, target, ms: Math.round(performance.now() - struckAt) });
    } catch (error) {
      this.broken.push(`${name} ${target}: ${error.message.split('\n')[0]}`);
      this.say(`fault ${name} on ${target}: ${error.message}`);
    }
    this.watch.healed(target, fault.isKill ? part : {});
  }

  get inFlightShare() {
    return this.kills === 0 ? 0 : Math.round((100 * this.killsInFlight) / this.kills) / 100;
  }
}
